//! Finds where events end.

use memchr::memchr2;

/// Remembers, between pieces of a stream, where in an event it stands.
///
/// An event ends behind an empty line. Lines end with LF, CR or CRLF, in any mixture.
#[derive(Debug)]
pub(super) struct Boundary {
    in_event: bool,
    in_line: bool,
    /// Whether the last byte was a CR: a LF right behind it belongs to it.
    after_cr: bool,
}

impl Boundary {
    /// Creates one that stands at the beginning of a stream.
    pub(super) fn new() -> Self {
        Self { in_event: false, in_line: false, after_cr: false }
    }

    /// Tells whether the next byte, whatever it is, begins a new event.
    pub(super) fn is_between_events(&self) -> bool {
        !self.in_event && !self.after_cr
    }

    /// Tells whether `bytes` begins with the LF of a CRLF whose CR ended the last event, and steps
    /// over it.
    pub(super) fn take_line_feed(&mut self, bytes: &[u8]) -> bool {
        let Some(first) = bytes.first() else { return false };
        if self.in_event {
            return false;
        }
        std::mem::take(&mut self.after_cr) && *first == b'\n'
    }

    /// Steps to the end of the present event and returns how many of `bytes` belong to it; `None`
    /// if they all do and more is to come.
    pub(super) fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        if !bytes.is_empty() && std::mem::take(&mut self.after_cr) && bytes.starts_with(b"\n") {
            at = 1;
        }
        self.in_event = true;
        while let Some(rest) = bytes.get(at..) {
            let Some(text) = memchr2(b'\n', b'\r', rest) else {
                self.in_line |= !rest.is_empty();
                return None;
            };
            self.in_line |= text > 0;
            let end = rest.get(text..).unwrap_or_default();
            at += text + if end.starts_with(b"\r\n") { 2 } else { 1 };
            self.after_cr = end == b"\r";
            if !std::mem::take(&mut self.in_line) {
                self.in_event = false;
                return Some(at);
            }
        }
        None
    }
}

//! Takes one event apart.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memchr2;
use memchr::memmem::Finder;

use crate::relay::json::usage_member;

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// It goes on as it is.
    Keep,
    /// It goes no further.
    Drop,
    /// It goes on without these bytes.
    Cut(Range<usize>),
    /// This goes on in its place.
    Rewrite(Vec<u8>),
}

/// One event as it came, with the blank line that ends it.
#[derive(Debug)]
pub(super) struct Event<'a> {
    bytes: &'a [u8],
    /// How long the byte order mark in front is.
    mark: usize,
}

impl<'a> Event<'a> {
    /// Wraps the bytes of an event; the first of a stream may have a byte order mark in front.
    pub(super) fn new(bytes: &'a [u8], at_start: bool) -> Self {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        let mark = if at_start && bytes.starts_with(MARK) { MARK.len() } else { 0 };
        Self { bytes, mark }
    }

    /// Returns the event's data; `None` if it has none.
    pub(super) fn data(&self) -> Option<Data> {
        let mut parts = self.lines().filter_map(|line| self.data_of(&line));
        let first = parts.next()?;
        let Some(second) = parts.next() else { return Some(Data::Line(first)) };
        let mut joined = self.bytes.get(first)?.to_vec();
        for part in std::iter::once(second).chain(parts) {
            joined.push(b'\n');
            joined.extend_from_slice(self.bytes.get(part)?);
        }
        Some(Data::Joined(joined))
    }

    /// Returns the text of `data`.
    pub(super) fn text<'d>(&'d self, data: &'d Data) -> &'d [u8] {
        match data {
            Data::Line(range) => self.bytes.get(range.clone()).unwrap_or_default(),
            Data::Joined(joined) => joined,
        }
    }

    /// Returns how to take the member `"usage":null` out of the event, whose data is `data`.
    pub(super) fn without_null_usage(&self, data: Data) -> Edit {
        let json = self.text(&data);
        let Some(member) = usage_member(json) else { return Edit::Keep };
        if json.get(member.value.clone()) != Some(b"null") {
            return Edit::Keep;
        }
        let cut = member.with_comma(json);
        match data {
            Data::Line(line) => Edit::Cut(line.start + cut.start..line.start + cut.end),
            Data::Joined(mut joined) => {
                joined.drain(cut);
                Edit::Rewrite(self.with_data(&joined))
            }
        }
    }

    /// Returns the event with other data: other lines and line ends stay as they are.
    fn with_data(&self, data: &[u8]) -> Vec<u8> {
        let mut rewritten = self.bytes.get(..self.mark).unwrap_or_default().to_vec();
        let mut is_written = false;
        for line in self.lines() {
            let text = self.bytes.get(line.text.clone()).unwrap_or_default();
            let end = self.bytes.get(line.text.end..line.end).unwrap_or_default();
            if self.data_of(&line).is_none() {
                rewritten.extend_from_slice(text);
                rewritten.extend_from_slice(end);
            } else if !std::mem::replace(&mut is_written, true) {
                for part in data.split(|byte| *byte == b'\n') {
                    rewritten.extend_from_slice(b"data: ");
                    rewritten.extend_from_slice(part);
                    rewritten.extend_from_slice(end);
                }
            }
        }
        rewritten
    }

    fn lines(&self) -> impl Iterator<Item = Line> {
        let mut at = self.mark;
        std::iter::from_fn(move || {
            let rest = self.bytes.get(at..).filter(|rest| !rest.is_empty())?;
            let len = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let end = rest.get(len..).unwrap_or_default();
            let end = if end.starts_with(b"\r\n") { 2 } else { end.len().min(1) };
            let line = Line { text: at..at + len, end: at + len + end };
            at = line.end;
            Some(line)
        })
    }

    /// Returns where the value of a data line stands; `None` for a line of another field.
    fn data_of(&self, line: &Line) -> Option<Range<usize>> {
        let text = self.bytes.get(line.text.clone())?;
        if text == b"data" {
            return Some(line.text.end..line.text.end);
        }
        let value = text.strip_prefix(b"data:")?;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        Some(line.text.end - value.len()..line.text.end)
    }
}

/// The data of an event.
#[derive(Debug)]
pub(super) enum Data {
    /// All in one line, which stands here.
    Line(Range<usize>),
    /// Several lines, joined as the format says.
    Joined(Vec<u8>),
}

/// Where a line stands in its event.
#[derive(Debug)]
struct Line {
    text: Range<usize>,
    /// Behind the line's end.
    end: usize,
}

/// Tells whether the text has a word that stands in events which end an answer, or in others that speak of it.
pub(super) fn may_be_last(text: &[u8]) -> bool {
    DONE.find(text).is_some() || MESSAGE_STOP.find(text).is_some()
}

/// Tells whether an event without usage ends the answer: `[DONE]` of chat and completions, `message_stop` of
/// Anthropic's messages. Those that end others tell their usage.
pub(super) fn is_last(event: &[u8]) -> bool {
    let mut lines = event.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.any(|line| {
        let value = |name: &[u8]| line.strip_prefix(name).map(<[u8]>::trim_ascii);
        value(b"data:") == Some(b"[DONE]") || value(b"event:") == Some(b"message_stop")
    })
}

static DONE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("[DONE]"));
static MESSAGE_STOP: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("message_stop"));

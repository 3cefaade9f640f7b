//! Reads server-sent events as they pass, and takes out what the client did not ask for.
//!
//! # What this module owns
//!
//! [`Reader`]: bytes in, bytes out, whatever the chunking. Where the client asked for usage (or
//! always gets it) the bytes go through as they came and are only looked at. Where
//! `include_usage` was spliced into the request, the event that it adds is dropped and the
//! `"usage":null` that it puts into the other events is cut out.
//!
//! # What this module does not do
//!
//! No I/O, no clock, no settling. A non-null `usage` beside `choices` stays: providers that send
//! it do so unasked.
//!
//! # Invariants
//!
//! 1. The output does not depend on how the input is cut into pieces.
//! 2. A complete event is never held back; an incomplete one only where events may be changed.
//! 3. No more than [`MAX_EVENT`] bytes are held. A larger event passes unread and unchanged.
//! 4. Events without the text `"usage"` are not parsed.
//!
//! The format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, read 2026-08-21.

mod boundary;
mod event;
mod output;

use std::ops::Range;

use bytes::Bytes;

use self::boundary::Boundary;
use self::event::{Edit, Event};
use self::output::Output;
use crate::call::StreamUsage;
use crate::relay::json::{USAGE_KEY, may_report_usage};
use crate::relay::usage::{EventKind, EventUsage, usage_of_event};
use crate::units::{Served, Usage};

/// The largest event that is looked at, in bytes.
pub const MAX_EVENT: usize = 8 << 20;

/// Reads one stream of server-sent events.
#[derive(Debug)]
pub struct Reader {
    mode: StreamUsage,
    boundary: Boundary,
    /// The part of the present event that came in earlier pieces.
    held: Vec<u8>,
    /// Whether the present event is larger than what is held.
    oversize: bool,
    /// Whether the event that ended last was dropped, and with it a line feed that may follow.
    dropped: bool,
    /// Whether no event has ended yet, so that a byte order mark may stand in front.
    at_start: bool,
    /// Boxed, for it is large and comes once.
    seen: Option<Box<EventUsage>>,
    /// Whether the event that was judged last ends the answer.
    is_last: bool,
    /// Where in what was returned last the end of the event begins that ends the answer.
    end: Option<usize>,
}

impl Reader {
    /// Creates a reader at the beginning of a stream.
    pub fn new(mode: StreamUsage) -> Self {
        Self {
            mode,
            boundary: Boundary::new(),
            held: Vec::new(),
            oversize: false,
            dropped: false,
            at_start: true,
            seen: None,
            is_last: false,
            end: None,
        }
    }

    /// Returns the usage that was reported last; with a server that reports it in every event, it
    /// is that of the output so far.
    pub fn usage(&self) -> Option<Usage> {
        self.seen.as_ref().map(|seen| seen.usage)
    }

    /// Returns as what the answer was served, as far as the events told that reported usage.
    pub fn served(&self) -> Served {
        self.seen.as_ref().map(|seen| seen.served.clone()).unwrap_or_default()
    }

    /// Returns the ids of the answer, which the event told that ended it.
    pub fn ids(&self) -> &[Box<str>] {
        self.seen.as_ref().map_or(&[], |seen| &seen.ids)
    }

    /// Returns whether the event came that reports the usage of the whole answer.
    pub fn is_final(&self) -> bool {
        let of_all =
            |seen: &EventUsage| matches!(seen.event, EventKind::UsageOnly | EventKind::Terminal);
        self.seen.as_deref().is_some_and(of_all)
    }

    /// Returns whether what was reported last tells of the output so far.
    pub fn tells_output(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.event != EventKind::Opening)
    }

    /// Tells whether the client may get other bytes than come in.
    pub fn is_editing(&self) -> bool {
        self.mode == StreamUsage::Spliced
    }

    /// Returns where in the piece that was returned last the line end begins that completes the event which
    /// ends the answer; `None` if that did not come with it.
    pub fn take_end(&mut self) -> Option<usize> {
        self.end.take()
    }

    /// Takes the next piece of the stream and returns what goes on to the client, maybe nothing.
    ///
    /// The piece itself is returned, uncopied, where nothing in it is to be changed.
    pub fn feed(&mut self, piece: Bytes) -> Bytes {
        if self.is_plain(&piece) {
            self.at_start &= piece.is_empty();
            return piece;
        }
        let output = self.scan(&piece);
        match self.mode {
            StreamUsage::Told => piece,
            StreamUsage::Spliced => output.finish(),
        }
    }

    /// Ends the stream and returns what was still held: an event that was never finished.
    pub fn finish(&mut self) -> Bytes {
        let event = std::mem::take(&mut self.held);
        let mut output = Output::new(Bytes::new());
        if !event.is_empty() {
            let edit = self.judge(&event);
            output.push(event, edit);
        }
        match self.mode {
            StreamUsage::Told => Bytes::new(),
            StreamUsage::Spliced => output.finish(),
        }
    }

    /// Tells whether `piece` is a number of whole events of which none needs a closer look: what
    /// nearly every frame of a provider is.
    fn is_plain(&self, piece: &[u8]) -> bool {
        self.boundary.is_between_events()
            && (piece.ends_with(b"\n\n") || piece.ends_with(b"\r\n\r\n"))
            && USAGE_KEY.find(piece).is_none()
            && !event::may_be_last(piece)
    }

    /// Looks at the events in `piece`; where the stream may be changed, returns what is left.
    fn scan(&mut self, piece: &Bytes) -> Output {
        let mut output = Output::new(piece.clone());
        let mut start = 0;
        if self.boundary.take_line_feed(piece) {
            start = 1;
            if !self.dropped {
                output.keep(0..start);
            }
        }
        while let Some(rest) = piece.get(start..).filter(|rest| !rest.is_empty()) {
            let Some(len) = self.boundary.next_end(rest) else {
                self.hold(rest, start..piece.len(), &mut output);
                break;
            };
            self.end_event(rest.get(..len).unwrap_or(rest), start..start + len, &mut output);
            start += len;
        }
        output
    }

    /// Takes the beginning or a middle part of an event.
    fn hold(&mut self, part: &[u8], range: Range<usize>, output: &mut Output) {
        if !self.oversize && self.held.len() + part.len() <= MAX_EVENT {
            self.held.extend_from_slice(part);
            return;
        }
        self.oversize = true;
        output.push(std::mem::take(&mut self.held), Edit::Keep);
        output.keep(range);
    }

    /// Takes the last part of an event, which may be the whole.
    fn end_event(&mut self, part: &[u8], range: Range<usize>, output: &mut Output) {
        let line_end = if part.ends_with(b"\r\n") { 2 } else { 1 };
        let range_end = range.end;
        self.dropped = false;
        if std::mem::take(&mut self.oversize) {
            output.keep(range);
        } else if self.held.is_empty() {
            let edit = self.judge(part);
            self.dropped = matches!(edit, Edit::Drop);
            output.edit(range, edit);
        } else {
            self.held.extend_from_slice(part);
            let event = std::mem::take(&mut self.held);
            let edit = self.judge(&event);
            self.dropped = matches!(edit, Edit::Drop);
            output.push(event, edit);
        }
        self.at_start = false;
        if std::mem::take(&mut self.is_last) {
            let end = match self.mode {
                StreamUsage::Told => range_end,
                StreamUsage::Spliced => output.len(),
            };
            self.end = self.end.or(end.checked_sub(line_end));
        }
    }

    /// Notes the usage that `event` reports, and says what becomes of the event.
    fn judge(&mut self, event: &[u8]) -> Edit {
        if event.len() <= MAX_EVENT && event::may_be_last(event) {
            self.is_last |= event::is_last(event);
        }
        if event.len() > MAX_EVENT || USAGE_KEY.find(event).is_none() {
            return Edit::Keep;
        }
        let event = Event::new(event, self.at_start);
        let Some(data) = event.data() else { return Edit::Keep };
        let json = event.text(&data);
        if may_report_usage(json)
            && let Some(seen) = usage_of_event(json)
        {
            let seen = seen.after(self.seen.as_deref());
            self.is_last |= seen.event == EventKind::Terminal;
            let is_extra = seen.event == EventKind::UsageOnly;
            self.seen = Some(Box::new(seen));
            if self.mode == StreamUsage::Spliced && is_extra {
                return Edit::Drop;
            }
        }
        match self.mode {
            StreamUsage::Told => Edit::Keep,
            StreamUsage::Spliced => event.without_null_usage(data),
        }
    }
}

#[cfg(test)]
mod tests;

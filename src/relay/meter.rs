//! Reads an answer's usage as it passes, and settles its request exactly once.

use bytes::Bytes;
use tokio::runtime::Handle;

use super::Metering;
use super::due::Due;
use super::heard::{Heard, count_body};
use super::sse::Reader;
use super::usage::usage_of_body;
use crate::call::{Product, StreamUsage};
use crate::config::Disconnect;
use crate::settle::Ending;
use crate::units::{Tokens, Usage};

/// An answer under way, with the request that it settles.
///
/// Dropping it books the request as lost; every other way out consumes it.
#[derive(Debug)]
#[must_use = "an answer that is not closed is booked as lost"]
pub(super) struct Meter {
    due: Due,
    reading: Reading,
}

/// How the answer is read.
#[derive(Debug)]
enum Reading {
    /// As events that pass.
    Stream { reader: Reader, is_spliced: bool, heard: Heard, metering: Metering },
    /// When it is there as a whole.
    Whole { metering: Metering },
    /// Not at all.
    Blind,
}

impl Meter {
    /// Creates a meter of an answer that comes as events.
    pub(super) fn of_stream(due: Due, usage: StreamUsage, metering: Metering) -> Self {
        let is_spliced = usage == StreamUsage::Spliced;
        let reader = Reader::new(usage);
        let heard = Heard::default();
        Self { due, reading: Reading::Stream { reader, is_spliced, heard, metering } }
    }

    /// Creates a meter of an answer that is gathered before it is sent.
    pub(super) fn of_whole(due: Due, metering: Metering) -> Self {
        Self { due, reading: Reading::Whole { metering } }
    }

    /// Creates a meter that reads nothing and leaves the estimate as it is.
    pub(super) fn blind(due: Due) -> Self {
        Self { due, reading: Reading::Blind }
    }

    /// Stops reading: the answer turned out too large to be gathered.
    pub(super) fn into_blind(self) -> Self {
        Self::blind(self.due)
    }

    /// Takes a piece of the answer and returns what of it goes on to the client.
    pub(super) fn feed(&mut self, piece: Bytes) -> Bytes {
        let Reading::Stream { reader, heard, .. } = &mut self.reading else { return piece };
        if reader.usage().is_none() {
            heard.hear(&piece);
        }
        reader.feed(piece)
    }

    /// Ends the input and returns what was held back of it.
    pub(super) fn finish(&mut self) -> Bytes {
        match &mut self.reading {
            Reading::Stream { reader, .. } => reader.finish(),
            Reading::Whole { .. } | Reading::Blind => Bytes::new(),
        }
    }

    /// Tells whether the client may get other bytes than the provider sent.
    pub(super) fn is_editing(&self) -> bool {
        matches!(self.reading, Reading::Stream { is_spliced: true, .. })
    }

    /// Tells whether the answer is to be read to its end when the client has hung up.
    pub(super) fn outlives_client(&self) -> bool {
        match &self.reading {
            Reading::Stream { reader, metering, .. } => {
                metering.on_disconnect == Disconnect::Drain && !reader.is_final()
            }
            Reading::Whole { metering } => metering.on_disconnect == Disconnect::Drain,
            Reading::Blind => false,
        }
    }

    /// Closes an answer that came to its end.
    pub(super) fn end(self) {
        self.close(Ending::Counted);
    }

    /// Closes an answer that was broken off, by whom `ending` says.
    pub(super) fn break_off(self, ending: Ending) {
        self.close(ending);
    }

    /// Closes an answer that came whole, and returns what it is charged.
    ///
    /// The request is settled even if the future is dropped.
    pub(super) async fn end_whole(self, body: Bytes) -> Option<Usage> {
        let Reading::Whole { metering } = self.reading else {
            self.due.keep(Ending::Counted);
            return None;
        };
        if let Some(usage) = usage_of_body(metering.endpoint, &body) {
            self.due.settle(&usage, Ending::Reported);
            return Some(usage);
        }
        let text = match metering.endpoint.product() {
            Product::Text => Text::Body(body),
            // Models that do not tell know no tokens, but for those of their input.
            Product::Images | Product::Sound | Product::Figures | Product::NoTokens => Text::None,
        };
        let count = Count { due: self.due, metering, text, ending: Ending::Counted };
        tokio::task::spawn_blocking(|| count.settle()).await.ok()
    }

    fn close(self, ending: Ending) {
        let Reading::Stream { reader, heard, metering, .. } = self.reading else {
            self.due.keep(ending);
            return;
        };
        let Some(usage) = reader.usage() else {
            let text = if heard.is_empty() { Text::None } else { Text::Heard(heard) };
            Count { due: self.due, metering, text, ending }.settle_aside();
            return;
        };
        // What was reported at the last is the whole usage, if nothing was missing behind it.
        let is_whole = reader.is_final() || ending == Ending::Counted;
        self.due.settle(&usage, if is_whole { Ending::Reported } else { ending });
    }
}

/// A request whose output must be counted because nobody told it.
#[derive(Debug)]
struct Count {
    due: Due,
    metering: Metering,
    text: Text,
    ending: Ending,
}

/// What is to be counted.
#[derive(Debug)]
enum Text {
    None,
    Heard(Heard),
    Body(Bytes),
}

impl Count {
    /// Counts and settles where that may take its time: a vocabulary may have to be loaded.
    fn settle_aside(self) {
        match (&self.text, Handle::try_current()) {
            (Text::Heard(_) | Text::Body(_), Ok(runtime)) => {
                // Nobody waits for it; a runtime that stops drops it, and it is booked as lost.
                drop(runtime.spawn_blocking(|| self.settle()));
            }
            _ => {
                self.settle();
            }
        }
    }

    fn settle(self) -> Usage {
        let Metering { counter, encoding, .. } = &self.metering;
        let output = match self.text {
            Text::None => Tokens::ZERO,
            Text::Heard(heard) => heard.count(counter, *encoding),
            Text::Body(body) => count_body(&body, counter, *encoding),
        };
        let usage = Usage { input: self.due.input(), output, ..Usage::default() };
        self.due.settle(&usage, self.ending);
        usage
    }
}

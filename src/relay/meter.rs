//! Reads an answer's usage as it passes, and settles its request exactly once.

use bytes::Bytes;
use tokio::runtime::Handle;

use super::due::Due;
use super::heard::{Heard, count_body};
use super::sse::Reader;
use super::usage::{Answered, answered_body, unfinished};
use super::{Metering, Unpacking};
use crate::call::{Product, StreamUsage};
use crate::config::Disconnect;
use crate::count::Method;
use crate::packing::{UnpackError, Unpacker};
use crate::settle::{Ending, Pass, Settlement};
use crate::units::{Receipt, Served, Tokens, Usage};

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
    Stream {
        reader: Reader,
        heard: Heard,
        /// Boxed, for few are packed.
        unpacker: Option<Box<Unpacker>>,
        metering: Metering,
    },
    /// When it is there as a whole.
    Whole { metering: Metering },
    /// As it passes, to be read when it is there as a whole.
    Passing { metering: Metering, passed: Vec<u8> },
    /// Not at all.
    Blind,
}

impl Meter {
    /// Creates a meter of an answer that comes as events.
    pub(super) fn of_stream(due: Due, usage: StreamUsage, metering: Metering) -> Self {
        let reader = Reader::new(usage);
        let heard = Heard::default();
        let unpacker = match metering.unpacking {
            Unpacking::Needless => None,
            Unpacking::Beside(coding) | Unpacking::Through(coding) => {
                Some(Box::new(Unpacker::new(coding)))
            }
        };
        Self { due, reading: Reading::Stream { reader, heard, unpacker, metering } }
    }

    /// Creates a meter of an answer that is gathered before it is sent.
    pub(super) fn of_whole(due: Due, metering: Metering) -> Self {
        Self { due, reading: Reading::Whole { metering } }
    }

    /// Creates a meter that reads nothing and leaves the estimate as it is.
    pub(super) fn blind(due: Due) -> Self {
        Self { due, reading: Reading::Blind }
    }

    /// Reads what passes from now on instead of gathering it first.
    pub(super) fn into_passing(self) -> Self {
        let reading = match self.reading {
            Reading::Whole { metering } => Reading::Passing { metering, passed: Vec::new() },
            other => other,
        };
        Self { reading, ..self }
    }

    /// Stops reading: the answer turned out too large to be gathered.
    pub(super) fn into_blind(self) -> Self {
        Self::blind(self.due)
    }

    /// Takes a piece of the answer and returns what of it goes on to the client.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be unpacked, where the client gets it unpacked.
    pub(super) fn feed(&mut self, piece: Bytes) -> Result<Bytes, UnpackError> {
        let (reader, heard, unpacker, metering) = match &mut self.reading {
            Reading::Stream { reader, heard, unpacker, metering } => {
                (reader, heard, unpacker, metering)
            }
            Reading::Passing { passed, .. } if passed.len() + piece.len() <= MOST_UNPACKED => {
                passed.extend_from_slice(&piece);
                return Ok(piece);
            }
            Reading::Passing { .. } => {
                self.reading = Reading::Blind;
                return Ok(piece);
            }
            Reading::Whole { .. } | Reading::Blind => return Ok(piece),
        };
        let mut read = |plain: Bytes| {
            if !reader.tells_output() {
                heard.hear(&plain);
            }
            reader.feed(plain)
        };
        let Some(unpacker) = unpacker else { return Ok(read(piece)) };
        let unpacked = unpacker.feed(&piece, MOST_OF_A_PIECE);
        match metering.unpacking {
            Unpacking::Through(_) => unpacked.map(read),
            Unpacking::Needless | Unpacking::Beside(_) => {
                // What cannot be read is the client's to read.
                let _read = unpacked.map(read);
                Ok(piece)
            }
        }
    }

    /// Ends the input and returns what was held back of it.
    pub(super) fn finish(&mut self) -> Bytes {
        match &mut self.reading {
            Reading::Stream { reader, .. } => reader.finish(),
            Reading::Whole { .. } | Reading::Passing { .. } | Reading::Blind => Bytes::new(),
        }
    }

    /// Tells whether the client may get other bytes than the provider sent.
    pub(super) fn is_editing(&self) -> bool {
        match &self.reading {
            Reading::Stream { reader, metering, .. } => {
                reader.is_editing() || matches!(metering.unpacking, Unpacking::Through(_))
            }
            Reading::Whole { .. } | Reading::Passing { .. } | Reading::Blind => false,
        }
    }

    /// Tells whether the answer is to be read to its end when the client has hung up.
    pub(super) fn outlives_client(&self) -> bool {
        match &self.reading {
            Reading::Stream { reader, metering, .. } => {
                metering.on_disconnect == Disconnect::Drain && !reader.is_final()
            }
            Reading::Whole { metering } | Reading::Passing { metering, .. } => {
                metering.on_disconnect == Disconnect::Drain
            }
            Reading::Blind => false,
        }
    }

    /// Returns what tells when the program stops.
    pub(super) fn pass(&self) -> Option<&Pass> {
        self.due.pass()
    }

    /// Closes an answer that came to its end.
    pub(super) fn end(self) {
        self.close(Ending::Counted);
    }

    /// Closes an answer that was broken off, by whom `ending` says.
    pub(super) fn break_off(self, ending: Ending) {
        self.close(ending);
    }

    /// Closes an answer that came whole, and returns what was read of it.
    ///
    /// The request is settled even if the future is dropped.
    pub(super) async fn end_whole(self, body: Bytes) -> ReadWhole {
        let Reading::Whole { metering } = self.reading else {
            self.due.keep(Ending::Counted);
            return ReadWhole::unread(body);
        };
        if metering.unpacking == Unpacking::Needless
            && let Ok(receipt) = metering.reported(&body)
        {
            let settlement = self.due.settle(&receipt, Method::Exact, Ending::Reported);
            return ReadWhole { charged: Some(settlement), ..ReadWhole::unread(body) };
        }
        let (due, packed) = (self.due, body.clone());
        let read = tokio::task::spawn_blocking(|| read_whole(due, metering, packed));
        // Only a runtime that stops drops it.
        read.await.unwrap_or_else(|_| ReadWhole::unread(body))
    }

    fn close(self, ending: Ending) {
        let (reader, heard, unpacker, metering) = match self.reading {
            Reading::Stream { reader, heard, unpacker, metering } => {
                (reader, heard, unpacker, metering)
            }
            Reading::Passing { metering, passed } if ending == Ending::Counted => {
                return read_passed(self.due, metering, passed.into());
            }
            Reading::Whole { .. } | Reading::Passing { .. } | Reading::Blind => {
                return self.due.keep(ending);
            }
        };
        if unpacker.is_some_and(|unpacker| unpacker.is_over()) {
            return self.due.keep(ending);
        }
        let is_cut = ending != Ending::Counted;
        if reader.usage().is_none() && is_cut && metering.endpoint.product() == Product::Images {
            // What was seen of a picture does not tell what it takes.
            return self.due.keep(ending);
        }
        let told = reader.usage();
        let Some(usage) = told.filter(|_| reader.tells_output()) else {
            let text = if heard.is_empty() { Text::None } else { Text::Heard(heard) };
            let served = Served::default();
            Count { due: self.due, metering, text, told, served, ending }.settle_aside();
            return;
        };
        // What was reported at the last is the whole usage, if nothing was missing behind it.
        let is_whole = reader.is_final() || ending == Ending::Counted;
        metering.counter.remember_answer(reader.ids(), usage.total());
        let receipt = Receipt { usage, served: reader.served() };
        self.due.settle(&receipt, Method::Exact, if is_whole { Ending::Reported } else { ending });
    }
}

impl Metering {
    /// Returns what a whole answer tells of its cost; remembers what others may go on with.
    ///
    /// # Errors
    ///
    /// Returns as what it was served, where it does not tell what it used.
    fn reported(&self, body: &[u8]) -> Result<Receipt, Served> {
        let Answered { usage, served, ids } = answered_body(self.endpoint, body);
        let Some(usage) = usage else { return Err(served) };
        if !ids.is_empty() {
            self.counter.remember_answer(&ids, usage.total());
        }
        Ok(Receipt { usage, served })
    }
}

/// What was read of an answer that came whole.
#[derive(Debug)]
pub(super) struct ReadWhole {
    /// What the client gets.
    pub(super) data: Bytes,
    /// Whether that was unpacked.
    pub(super) is_unpacked: bool,
    /// What the request was settled with.
    pub(super) charged: Option<Settlement>,
}

impl ReadWhole {
    /// An answer of which nothing was learned.
    pub(super) fn unread(data: Bytes) -> Self {
        Self { data, is_unpacked: false, charged: None }
    }
}

/// Reads an answer that has passed, where nobody waits for it.
fn read_passed(due: Due, metering: Metering, body: Bytes) {
    let told = metering.reported(&body);
    match (told, Handle::try_current()) {
        (Ok(receipt), _) => {
            due.settle(&receipt, Method::Exact, Ending::Reported);
        }
        (Err(_), Ok(runtime)) => {
            drop(runtime.spawn_blocking(|| read_whole(due, metering, body)));
        }
        (Err(_), Err(_)) => due.keep(Ending::Counted),
    }
}

/// Reads an answer that is packed, or must be counted, and settles its request.
fn read_whole(due: Due, metering: Metering, body: Bytes) -> ReadWhole {
    let plain = match metering.unpacking {
        Unpacking::Needless => Ok(body.clone()),
        Unpacking::Beside(coding) | Unpacking::Through(coding) => {
            coding.unpack(&body, MOST_UNPACKED)
        }
    };
    let Ok(plain) = plain else {
        due.keep(Ending::Counted);
        return ReadWhole::unread(body);
    };
    let is_unpacked = matches!(metering.unpacking, Unpacking::Through(_));
    let data = if is_unpacked { plain.clone() } else { body };
    let reported = metering.reported(&plain);
    let settlement = match reported {
        Ok(receipt) => due.settle(&receipt, Method::Exact, Ending::Reported),
        Err(served) => {
            if let Some(id) = unfinished(metering.endpoint, &plain) {
                due.defer(&id);
                return ReadWhole { data, is_unpacked, charged: None };
            }
            let text = match metering.endpoint.product() {
                Product::Text => Text::Body(plain),
                // Models that do not tell know no tokens, but for those of their input.
                Product::Images | Product::Sound | Product::Figures | Product::NoTokens => {
                    Text::None
                }
            };
            Count { due, metering, text, told: None, served, ending: Ending::Counted }.settle()
        }
    };
    ReadWhole { data, is_unpacked, charged: Some(settlement) }
}

/// The most that a piece of a stream may unpack to.
const MOST_OF_A_PIECE: usize = 16 << 20;
/// The most that a whole answer may unpack to.
const MOST_UNPACKED: usize = 64 << 20;

/// A request whose output must be counted because nobody told it.
#[derive(Debug)]
struct Count {
    due: Due,
    metering: Metering,
    text: Text,
    /// What was reported before the output.
    told: Option<Usage>,
    /// What is known of that already.
    served: Served,
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

    fn settle(self) -> Settlement {
        let Metering { counter, encoding, .. } = &self.metering;
        let (output, served) = match self.text {
            Text::None => (Tokens::ZERO, self.served),
            Text::Heard(heard) => heard.count(counter, *encoding),
            Text::Body(body) => (count_body(&body, counter, *encoding), self.served),
        };
        let usage = match self.told {
            Some(told) => Usage { output: output.max(told.output), ..told },
            None => Usage { input: self.due.input(), output, ..Usage::default() },
        };
        self.due.settle(&Receipt { usage, served }, Method::Approximate, self.ending)
    }
}

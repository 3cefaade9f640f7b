//! Reads an answer's usage as it passes, and settles its request exactly once.

mod count;

use bytes::Bytes;
use tokio::runtime::Handle;

use self::count::{Count, Text};
use super::due::Due;
use super::heard::Heard;
use super::sse::Reader;
use super::usage::{Answered, answered_body, unfinished};
use super::{Metering, Unpacking};
use crate::call::{Product, StreamUsage};
use crate::config::Disconnect;
use crate::count::Method;
use crate::ledger::Booked;
use crate::packing::{UnpackError, Unpacker};
use crate::settle::{Ending, Pass, Settlement};
use crate::units::{Receipt, Served, Usage};

/// An answer under way, with the request that it settles.
///
/// Dropping it books the request as lost; every other way out consumes it.
#[derive(Debug)]
#[must_use = "an answer that is not closed is booked as lost"]
pub(super) struct Meter {
    /// Empty once the request is settled: what comes behind the end of an answer is read all the same.
    due: Option<Due>,
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
        Self { due: Some(due), reading: Reading::Stream { reader, heard, unpacker, metering } }
    }

    /// Creates a meter of an answer that is gathered before it is sent.
    pub(super) fn of_whole(due: Due, metering: Metering) -> Self {
        Self { due: Some(due), reading: Reading::Whole { metering } }
    }

    /// Creates a meter that reads nothing and leaves the estimate as it is.
    pub(super) fn blind(due: Due) -> Self {
        Self { due: Some(due), reading: Reading::Blind }
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
        Self { reading: Reading::Blind, ..self }
    }

    /// Takes a piece of the answer and returns what of it goes on to the client.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be unpacked, where the client gets it unpacked.
    pub(super) fn feed(&mut self, piece: Bytes) -> Result<Fed, UnpackError> {
        let (reader, heard, unpacker, metering) = match &mut self.reading {
            Reading::Stream { reader, heard, unpacker, metering } => {
                (reader, heard, unpacker, metering)
            }
            Reading::Passing { passed, .. } if passed.len() + piece.len() <= MOST_UNPACKED => {
                passed.extend_from_slice(&piece);
                return Ok(Fed::amid(piece));
            }
            Reading::Passing { .. } => {
                self.reading = Reading::Blind;
                return Ok(Fed::amid(piece));
            }
            Reading::Whole { .. } | Reading::Blind => return Ok(Fed::amid(piece)),
        };
        let mut read = |plain: Bytes| {
            if !reader.tells_output() {
                heard.hear(&plain);
            }
            let piece = reader.feed(plain);
            Fed { piece, end: reader.take_end() }
        };
        let Some(unpacker) = unpacker else { return Ok(read(piece)) };
        let unpacked = unpacker.feed(&piece, MOST_OF_A_PIECE);
        match metering.unpacking {
            Unpacking::Through(_) => unpacked.map(read),
            Unpacking::Needless | Unpacking::Beside(_) => {
                // What cannot be read is the client's to read. Where in what is packed the end
                // stands nobody can tell.
                let end = unpacked.map(read).ok().and_then(|fed| fed.end).map(|_| 0);
                Ok(Fed { piece, end })
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
        if self.due.is_none() {
            return false;
        }
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

    /// Returns what tells when the program stops, until the request is settled.
    pub(super) fn pass(&self) -> Option<&Pass> {
        self.due.as_ref()?.pass()
    }

    /// Settles an answer that came to its end, if that was not done; the client gets that when it is booked.
    pub(super) fn end(&mut self) -> Booked {
        self.close(Ending::Counted)
    }

    /// Settles an answer that was broken off, by whom `ending` says, if that was not done.
    pub(super) fn break_off(mut self, ending: Ending) {
        // There is no end to hold back.
        let _booked = self.close(ending);
    }

    /// Closes an answer that came whole, and returns what was read of it.
    ///
    /// The request is settled even if the future is dropped.
    pub(super) async fn end_whole(self, body: Bytes) -> ReadWhole {
        let Self { due: Some(due), reading } = self else { return ReadWhole::unread(body) };
        let Reading::Whole { metering } = reading else {
            let booked = due.keep(Ending::Counted);
            return ReadWhole { booked, ..ReadWhole::unread(body) };
        };
        if metering.unpacking == Unpacking::Needless
            && let Ok(receipt) = metering.reported(&body)
        {
            let (settlement, booked) = due.settle(&receipt, Method::Exact, Ending::Reported);
            return ReadWhole { charged: Some(settlement), booked, ..ReadWhole::unread(body) };
        }
        let packed = body.clone();
        let read = tokio::task::spawn_blocking(|| read_whole(due, metering, packed));
        // Only a runtime that stops drops it.
        read.await.unwrap_or_else(|_| ReadWhole::unread(body))
    }

    fn close(&mut self, ending: Ending) -> Booked {
        let Some(due) = self.due.take() else { return Booked::there() };
        let (reader, heard, unpacker, metering) = match &mut self.reading {
            Reading::Stream { reader, heard, unpacker, metering } => {
                (reader, heard, unpacker, metering)
            }
            Reading::Passing { metering, passed } if ending == Ending::Counted => {
                return read_passed(due, metering.clone(), std::mem::take(passed).into());
            }
            Reading::Whole { .. } | Reading::Passing { .. } | Reading::Blind => {
                return due.keep(ending);
            }
        };
        if unpacker.as_ref().is_some_and(|unpacker| unpacker.is_over()) {
            return due.keep(ending);
        }
        let is_cut = ending != Ending::Counted;
        if reader.usage().is_none() && is_cut && metering.endpoint.product() == Product::Images {
            // What was seen of a picture does not tell what it takes.
            return due.keep(ending);
        }
        let told = reader.usage();
        let Some(usage) = told.filter(|_| reader.tells_output()) else {
            let (heard, metering) = (std::mem::take(heard), metering.clone());
            let text = if heard.is_empty() { Text::None } else { Text::Heard(heard) };
            let served = Served::default();
            return Count { due, metering, text, told, served, ending }.settle_aside();
        };
        // What was reported at the last is the whole usage, if nothing was missing behind it.
        let is_whole = reader.is_final() || ending == Ending::Counted;
        metering.remember(reader.ids(), usage, &reader.served());
        let receipt = Receipt { usage, served: reader.served() };
        due.settle(&receipt, Method::Exact, if is_whole { Ending::Reported } else { ending }).1
    }
}

/// What goes on to the client of a piece of an answer.
#[derive(Debug)]
pub(super) struct Fed {
    pub(super) piece: Bytes,
    /// Where in it the end of the answer begins, which the client gets when its request is booked; `None` if it
    /// is not there yet.
    pub(super) end: Option<usize>,
}

impl Fed {
    /// A piece that does not tell whether the answer is over.
    fn amid(piece: Bytes) -> Self {
        Self { piece, end: None }
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
            self.remember(&ids, usage, &served);
        }
        Ok(Receipt { usage, served })
    }

    /// Remembers what others may go on with.
    fn remember(&self, ids: &[Box<str>], usage: Usage, served: &Served) {
        self.counter.remember_answer(ids, usage.total());
        self.remember_model(ids, served);
    }

    fn remember_model(&self, ids: &[Box<str>], served: &Served) {
        if let Some(model) = served.model.as_ref().filter(|_| self.endpoint.is_of_thread()) {
            self.models.note(ids, model);
        }
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
    /// What its end waits for.
    pub(super) booked: Booked,
}

impl ReadWhole {
    /// An answer of which nothing was learned.
    pub(super) fn unread(data: Bytes) -> Self {
        Self { data, is_unpacked: false, charged: None, booked: Booked::there() }
    }
}

/// Reads an answer that has passed, where nobody waits for it.
fn read_passed(due: Due, metering: Metering, body: Bytes) -> Booked {
    let told = metering.reported(&body);
    match (told, Handle::try_current()) {
        (Ok(receipt), _) => due.settle(&receipt, Method::Exact, Ending::Reported).1,
        (Err(_), Ok(runtime)) => {
            let (closed, booked) = Booked::later();
            drop(runtime.spawn_blocking(|| {
                // Whoever hung up does not wait.
                let _told = closed.send(read_whole(due, metering, body).booked);
            }));
            booked
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
        let booked = due.keep(Ending::Counted);
        return ReadWhole { booked, ..ReadWhole::unread(body) };
    };
    let is_unpacked = matches!(metering.unpacking, Unpacking::Through(_));
    let data = if is_unpacked { plain.clone() } else { body };
    let reported = metering.reported(&plain);
    let (settlement, booked) = match reported {
        Ok(receipt) => due.settle(&receipt, Method::Exact, Ending::Reported),
        Err(served) => {
            if let Some(id) = unfinished(metering.endpoint, &plain) {
                if metering.endpoint.is_of_thread() {
                    let Answered { ids, served, .. } = answered_body(metering.endpoint, &plain);
                    metering.remember_model(&ids, &served);
                }
                due.defer(&id);
                return ReadWhole { is_unpacked, ..ReadWhole::unread(data) };
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
    ReadWhole { data, is_unpacked, charged: Some(settlement), booked }
}

/// The most that a piece of a stream may unpack to.
const MOST_OF_A_PIECE: usize = 16 << 20;
/// The most that a whole answer may unpack to.
const MOST_UNPACKED: usize = 64 << 20;

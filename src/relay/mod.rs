//! Passes the provider's answer on to the client and learns from it what it cost.
//!
//! # What this module owns
//!
//! Bytes on the way back. [`Body`] is the one body type of all answers: those that stream through
//! and are metered ([`stream`]), those that are read whole first ([`whole`]), those that pass
//! unmetered ([`pass`]), those of requests that still wait ([`Kept`]) and our own. Each owns its [`Unsettled`] request and settles it.
//! A [`Pinner`] notes on the way which objects the answer tells of.
//!
//! # What this module does not do
//!
//! No headers: whoever calls [`stream`] with [`StreamUsage::Spliced`] must take a `content-length`
//! out of the answer, and with [`Unpacking::Through`] its `content-encoding`, too. No retries: by
//! the time a body is here, the answer's headers were good.
//!
//! # Invariants
//!
//! 1. A request is settled exactly once, however its answer ends.
//! 2. An answer that the provider broke off never ends cleanly towards the client.
//! 3. Nothing is asked of the provider before the client takes it: no queue grows here. Only
//!    [`whole`] and [`read`] read ahead, up to their limit.

mod body;
mod due;
mod frames;
mod heard;
mod json;
mod kept;
mod known;
mod live;
mod meter;
mod pinning;
mod renaming;
mod socket;
mod sound;
mod source;
pub mod sse;
mod usage;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

pub use self::body::Body;
use self::due::Due;
pub use self::heard::Heard;
pub use self::kept::{Begun, Kept, Notes, is_binary, is_event_stream};
pub use self::known::KnownModels;
use self::live::Live;
use self::meter::Meter;
pub use self::pinning::{Owner, Pinner, Watched};
pub use self::renaming::Rename;
pub use self::socket::{Ended, join};
pub use self::usage::{Answered, answered, answered_body};
pub use self::whole::{Read, Whole, read, whole};
use crate::call::{Endpoint, StreamUsage};
use crate::catalog::Encoding;
use crate::config::Disconnect;
use crate::count::Counter;
use crate::packing::{Coding, UnpackError};
use crate::settle::Unsettled;

/// How an answer is metered.
#[derive(Debug, Clone)]
pub struct Metering {
    /// What kind of answer it is.
    pub endpoint: Endpoint,
    /// The vocabulary that counts an answer which does not tell its usage.
    pub encoding: Encoding,
    /// Counts with that vocabulary.
    pub counter: Counter,
    /// The longest silence between two pieces of the answer.
    pub idle: Duration,
    /// What becomes of the answer when the client hangs up.
    pub on_disconnect: Disconnect,
    /// How a compressed answer is read.
    pub unpacking: Unpacking,
    /// The run that it is a part of, which may have begun with another request.
    pub run: Option<Arc<str>>,
    /// What is known of the models that serve runs.
    pub models: KnownModels,
}

/// How an answer is unpacked on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpacking {
    /// It is plain.
    Needless,
    /// To be read, beside the packed bytes that the client gets.
    Beside(Coding),
    /// For the client as well, whose answer is changed.
    Through(Coding),
}

/// Why an answer ended before its end.
///
/// Nothing can be repaired once a part of the answer is with the client: the client's connection is
/// broken, too. From [`whole`] and [`read`] it comes before anything was sent.
#[derive(Debug, Error)]
pub enum RelayError {
    /// The provider's connection broke.
    #[error("the provider broke off its answer")]
    Cut(#[source] hyper::Error),

    /// It cannot be unpacked, but must be.
    #[error("the provider's answer cannot be read")]
    Packed(#[from] UnpackError),

    /// The provider sent nothing for too long.
    #[error("the provider sent nothing for {timeout:?} in the middle of its answer")]
    Silent {
        /// How long it was waited for.
        timeout: Duration,
    },
}

/// Returns a body that streams a metered answer of server-sent events and settles `unsettled`.
///
/// With [`StreamUsage::Spliced`] what `include_usage` added is taken out. At the end, usage that
/// was reported is settled, else what was said is counted. When the client hangs up (the body is
/// dropped) the answer is cancelled or drained, as `metering` says.
pub fn stream(
    answer: impl Into<Watched>,
    unsettled: Unsettled,
    usage: StreamUsage,
    metering: Metering,
) -> Body {
    let idle = metering.idle;
    let due = Due::of_run(unsettled, metering.run.as_deref());
    Body::live(Live::new(answer.into(), idle, Meter::of_stream(due, usage, metering)))
}

/// Returns a body that passes on a whole answer to a request that costs nothing but itself, and which may tell
/// what another one used that is [awaited](Unsettled::awaits) under the id given: read as it passes, and told
/// at its end.
pub fn overhear(
    answer: impl Into<Watched>,
    (unsettled, awaited): (Unsettled, &str),
    metering: Metering,
) -> Body {
    let (idle, due) = (metering.idle, Due::Overheard(unsettled, awaited.into()));
    Body::live(Live::new(answer.into(), idle, Meter::of_whole(due, metering).into_passing()))
}

/// The same for an answer of server-sent events.
pub fn overhear_stream(
    answer: impl Into<Watched>,
    (unsettled, awaited): (Unsettled, &str),
    metering: Metering,
) -> Body {
    let (idle, due) = (metering.idle, Due::Overheard(unsettled, awaited.into()));
    Body::live(Live::new(answer.into(), idle, Meter::of_stream(due, StreamUsage::Told, metering)))
}

/// Returns a body that streams an answer unread; at its end the estimate stays debited.
///
/// When the client hangs up the answer is cancelled.
pub fn pass(answer: impl Into<Watched>, unsettled: Unsettled, idle: Duration) -> Body {
    Body::live(Live::new(answer.into(), idle, Meter::blind(unsettled.into())))
}

#[cfg(test)]
mod tests;

//! Reads answers that must be known before their headers leave.

use std::time::Duration;

use bytes::Bytes;

use super::due::Due;
use super::live::{Gathered, Live, Slot};
use super::meter::{Meter, ReadWhole};
use super::{Body, Metering, RelayError, Watched};
use crate::settle::{Settlement, Unsettled};
use crate::upstream::Answer;

/// A metered answer that was read ahead.
#[derive(Debug)]
pub struct Whole {
    /// The provider's very bytes, unless they were unpacked.
    pub body: Body,
    /// Whether they were unpacked for the client, so that `content-encoding` is not true any more.
    pub is_unpacked: bool,
    /// What the request was settled with; `None` if the answer is too large to be read ahead: it
    /// streams, and its estimate stays debited.
    pub charged: Option<Settlement>,
}

/// Reads a metered JSON answer of up to `limit` bytes and settles `unsettled`.
///
/// Where the answer does not report its usage, its output is counted. Dropping the future means
/// that the client hung up: the answer is cancelled, and its estimate stays debited, or it is
/// drained, as `metering` says.
///
/// # Errors
///
/// Returns why the answer broke off. Nothing of it went to the client, and the request is closed
/// with its estimate debited.
pub async fn whole(
    answer: impl Into<Watched>,
    unsettled: Unsettled,
    metering: Metering,
    limit: usize,
) -> Result<Whole, RelayError> {
    let idle = metering.idle;
    let due = Due::of_run(unsettled, metering.run.as_deref());
    gather(Live::new(answer.into(), idle, Meter::of_whole(due, metering)), limit).await
}

/// Reads a metered answer of up to `limit` bytes.
pub(super) async fn gather(live: Live, limit: usize) -> Result<Whole, RelayError> {
    let mut slot = Slot::new(live.gathering(limit));
    let Some(live) = slot.live_mut() else {
        return Ok(Whole { body: Body::empty(), is_unpacked: false, charged: None });
    };
    match live.gather().await? {
        Gathered::Whole => {
            let (read, trailers) = live.end_whole().await;
            let ReadWhole { data, is_unpacked, charged, mut booked } = read;
            if data.len() <= SENT_AT_ONCE {
                // All of it in one go costs half of what its last byte apart would.
                (&mut booked).await;
            }
            Ok(Whole { body: Body::gathered(data, trailers).until(booked), is_unpacked, charged })
        }
        Gathered::TooLarge | Gathered::Passing => {
            Ok(Whole { body: Body::from_slot(slot), is_unpacked: false, charged: None })
        }
    }
}

/// Answers of up to so many bytes, which go out in one piece, wait for their entry as a whole.
const SENT_AT_ONCE: usize = 16 * 1024;

/// An unmetered answer that was read ahead.
#[derive(Debug)]
pub enum Read {
    /// All of it.
    Whole(Bytes),
    /// It is too large; nothing is lost, and the rest streams.
    TooLarge(Body),
}

/// Reads an answer of up to `limit` bytes that is not metered, such as an error's; trailers are
/// not kept. Dropping the future cancels the answer.
///
/// # Errors
///
/// Returns why the answer broke off.
pub async fn read(answer: Answer, idle: Duration, limit: usize) -> Result<Read, RelayError> {
    let mut live = Live::unmetered(answer.into(), idle).gathering(limit);
    match live.gather().await? {
        Gathered::Whole => Ok(Read::Whole(live.end_whole().await.0.data)),
        Gathered::TooLarge | Gathered::Passing => Ok(Read::TooLarge(Body::live(live))),
    }
}

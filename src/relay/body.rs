//! The one body type of all answers that clients get.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::RelayError;
use super::live::{Live, Slot};
use super::source::NextFrame;

/// The body of an answer to a client.
///
/// Dropping one that still comes from the provider means that the client hung up.
#[derive(Debug)]
#[must_use = "dropping a body tells the provider that the client hung up"]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    /// All of it is there.
    Full { data: Bytes, trailers: Option<HeaderMap> },
    /// It comes from the provider.
    Live(Slot),
}

impl Body {
    /// Creates a body of our own.
    pub fn full(data: impl Into<Bytes>) -> Self {
        Self::gathered(data.into(), None)
    }

    /// Creates a body without data.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Creates a body of what was read ahead.
    pub(super) fn gathered(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self(Kind::Full { data, trailers })
    }

    /// Creates a body that comes from the provider; one without data is settled at once.
    pub(super) fn live(live: Live) -> Self {
        Self::from_slot(Slot::new(live))
    }

    /// Creates a body of an answer of which a part was read ahead.
    pub(super) fn from_slot(mut slot: Slot) -> Self {
        if let Some(live) = slot.live_mut() {
            live.end_if_complete();
        }
        Self(Kind::Live(slot))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<NextFrame>> {
        match &mut self.get_mut().0 {
            Kind::Full { data, trailers } => {
                let data = std::mem::take(data);
                let frame = if data.is_empty() {
                    trailers.take().map(Frame::trailers)
                } else {
                    Some(Frame::data(data))
                };
                Poll::Ready(frame.map(Ok))
            }
            Kind::Live(slot) => match slot.live_mut() {
                Some(live) => live.poll_frame(context),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full { data, trailers } => data.is_empty() && trailers.is_none(),
            Kind::Live(slot) => slot.live().is_none_or(Live::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full { data, .. } => {
                SizeHint::with_exact(u64::try_from(data.len()).unwrap_or(u64::MAX))
            }
            Kind::Live(slot) => slot.live().map(Live::size_hint).unwrap_or_default(),
        }
    }
}

//! The one body type of all answers that clients get.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::RelayError;
use super::kept::{Kept, Next};
use super::live::{Live, Slot};
use super::source::NextFrame;
use crate::ledger::Booked;

/// The body of an answer to a client.
///
/// Dropping one that still comes from the provider means that the client hung up.
#[derive(Debug)]
#[must_use = "dropping a body tells the provider that the client hung up"]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    /// All of it is there; trailers are boxed, for few answers have any. Its last byte waits for the
    /// receipt.
    Full { data: Bytes, trailers: Option<Box<HeaderMap>>, receipt: Booked },
    /// It comes from the provider.
    Live(Slot),
    /// Its request is still served; boxed, for few are.
    Kept(Box<Kept>),
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
        let (trailers, receipt) = (trailers.map(Box::new), Booked::there());
        Self(Kind::Full { data, trailers, receipt })
    }

    /// Holds what ends it back until `until` is there; what still comes from the provider is held by its
    /// own.
    pub fn until(mut self, until: Booked) -> Self {
        if let Kind::Full { receipt, .. } = &mut self.0 {
            *receipt = until;
        }
        self
    }

    /// Waits for the receipt of a body without data, whose end goes out with its head.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn booked(&mut self) {
        match &mut self.0 {
            Kind::Full { data, receipt, .. } if data.is_empty() => receipt.await,
            Kind::Live(slot) => {
                if let Some(live) = slot.live_mut() {
                    live.booked().await;
                }
            }
            Kind::Full { .. } | Kind::Kept(_) => {}
        }
    }

    /// Creates a body that comes from the provider; one without data is settled at once.
    pub(super) fn live(live: Live) -> Self {
        Self::from_slot(Slot::new(live))
    }

    /// Creates a body of a request that is still served.
    pub(super) fn kept(kept: Kept) -> Self {
        Self(Kind::Kept(Box::new(kept)))
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
        let body = self.get_mut();
        if let Kind::Kept(kept) = &mut body.0 {
            match ready!(kept.poll_next(context)) {
                Next::Comment(comment) => return Poll::Ready(Some(Ok(comment))),
                Next::Answer(answer) => *body = answer,
            }
        }
        match &mut body.0 {
            // What a request is answered with is never one that is served again.
            Kind::Kept(_) => Poll::Ready(None),
            Kind::Full { data, trailers, receipt } => {
                if !receipt.is_there() {
                    if data.len() > 1 {
                        let most = data.split_to(data.len() - 1);
                        return Poll::Ready(Some(Ok(Frame::data(most))));
                    }
                    ready!(Pin::new(receipt).poll(context));
                }
                let data = std::mem::take(data);
                let frame = if data.is_empty() {
                    trailers.take().map(|trailers| Frame::trailers(*trailers))
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
            Kind::Full { data, trailers, receipt } => {
                data.is_empty() && trailers.is_none() && receipt.is_there()
            }
            Kind::Live(slot) => slot.live().is_none_or(Live::is_end_stream),
            Kind::Kept(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full { data, trailers, .. } => {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                let mut hint = SizeHint::with_exact(length);
                if trailers.is_some() {
                    // Nothing follows a body whose length is stated.
                    hint = SizeHint::new();
                    hint.set_lower(length);
                }
                hint
            }
            Kind::Live(slot) => slot.live().map(Live::size_hint).unwrap_or_default(),
            Kind::Kept(_) => SizeHint::default(),
        }
    }
}

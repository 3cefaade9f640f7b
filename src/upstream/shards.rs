//! Spreads requests over several HTTP/2 connections.
//!
//! A pool keeps one HTTP/2 connection to a host, and a provider takes about 100 streams on one: the
//! next request would wait inside the pool, where no line sees it. So there are several pools, and a
//! request takes the first with room. HTTP/1.1 needs none of this and is not slowed by it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

/// The body of an answer, which holds its place on the connection until it is dropped.
#[derive(Debug)]
pub struct Answer {
    incoming: Incoming,
    /// What was read of it before it is passed on; boxed, for few are looked into.
    front: Option<Box<Front>>,
    /// Held until the whole answer is read.
    _place: Option<Place>,
}

impl Answer {
    pub(super) fn new(incoming: Incoming, place: Option<Place>) -> Self {
        Self { incoming, front: None, _place: place }
    }

    /// Returns what was read of it so far, as long as nothing of it was passed on.
    pub(super) fn front(&self) -> &[u8] {
        self.front.as_ref().map_or(&[], |front| &front.data)
    }

    /// Reads the next piece into the front; returns whether more may come.
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn read_on(&mut self) -> bool {
        let frame = poll_fn(|cx| Pin::new(&mut self.incoming).poll_frame(cx)).await;
        let Some(frame) = frame else { return false };
        let front = self.front.get_or_insert_default();
        match frame.map(Frame::into_data) {
            Ok(Ok(piece)) => {
                front.data.extend_from_slice(&piece);
                true
            }
            Ok(Err(last)) => {
                front.last = Some(Ok(last));
                false
            }
            Err(error) => {
                front.last = Some(Err(error));
                false
            }
        }
    }
}

type NextFrame = Result<Frame<Bytes>, hyper::Error>;

/// The part of an answer that was read before it is passed on.
#[derive(Debug, Default)]
struct Front {
    data: BytesMut,
    /// The trailers behind it, or why nothing comes behind it.
    last: Option<NextFrame>,
}

impl Front {
    fn next(&mut self) -> Option<NextFrame> {
        if self.data.is_empty() {
            return self.last.take();
        }
        Some(Ok(Frame::data(self.data.split().freeze())))
    }

    fn is_empty(&self) -> bool {
        self.data.is_empty() && self.last.is_none()
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NextFrame>> {
        if let Some(next) = self.front.as_mut().and_then(|front| front.next()) {
            return Poll::Ready(Some(next));
        }
        self.front = None;
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.front.as_ref().is_none_or(|front| front.is_empty()) && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let front = self.front().len() as u64;
        let rest = self.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(front));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(front));
        }
        hint
    }
}

/// How many requests are under way in each pool. Cloning it copies a pointer.
#[derive(Debug, Clone)]
pub(super) struct Shards(Arc<[AtomicUsize]>);

impl Shards {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicUsize::new(0)).collect())
    }

    /// Takes a place in the first pool with room, or in the emptiest.
    pub(super) fn take(&self) -> Place {
        let with_room = self.0.iter().position(|load| load.load(Ordering::Relaxed) < STREAMS);
        let index = with_room.or_else(|| {
            let loads = self.0.iter().map(|load| load.load(Ordering::Relaxed));
            loads.enumerate().min_by_key(|(_, load)| *load).map(|(index, _)| index)
        });
        let index = index.unwrap_or_default();
        if let Some(load) = self.0.get(index) {
            load.fetch_add(1, Ordering::Relaxed);
        }
        Place { shards: self.clone(), index }
    }
}

/// A place in a pool, given back on drop.
#[derive(Debug)]
#[must_use = "dropping a place gives it back"]
pub(super) struct Place {
    shards: Shards,
    index: usize,
}

impl Place {
    pub(super) fn index(&self) -> usize {
        self.index
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(load) = self.shards.0.get(self.index) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Streams on one connection; the common limit of servers and front ends (RFC 9113 section 6.5.2
/// recommends no smaller one, read 2026-11-21).
const STREAMS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_filled_before_the_next_and_places_come_back() {
        let shards = Shards::new(2);
        let mut places: Vec<Place> = (0..STREAMS).map(|_| shards.take()).collect();
        assert!(places.iter().all(|place| place.index() == 0));
        let next = shards.take();
        assert_eq!(next.index(), 1);
        places.pop();
        assert_eq!(shards.take().index(), 0);
    }
}

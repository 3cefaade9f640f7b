//! The body of a request to the provider, in the four shapes that the proxy sends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;

use super::spool::Spool;

/// A request body. Its size is exact unless it is streamed, so that `content-length` is sent.
#[derive(Debug)]
pub struct Body {
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// Pieces still to be sent; empty ones are skipped, the next one is the first.
    Pieces([Bytes; 5]),
    /// The client's own body, as it arrives, behind what was read of it before.
    Streamed { front: Option<Box<Spool>>, rest: Option<Incoming>, progress: Progress },
}

type NextFrame = Result<Frame<Bytes>, BodyError>;

/// Why a body breaks off.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The client's connection broke.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// What was read before cannot be read again.
    #[error("a part of the body was lost on this machine's disk")]
    Disk(#[source] io::Error),
}

impl Body {
    /// Creates a body of no bytes.
    pub const fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Creates a body of `bytes`, which are not copied.
    pub const fn full(bytes: Bytes) -> Self {
        Self::pieces([bytes, Bytes::new(), Bytes::new(), Bytes::new(), Bytes::new()])
    }

    /// Creates a body of pieces, one behind the other, which are not copied: a spliced body.
    pub const fn pieces(pieces: [Bytes; 5]) -> Self {
        Self { shape: Shape::Pieces(pieces) }
    }

    /// Creates a body that passes on what a client sends, as it comes.
    pub fn streamed(incoming: Incoming) -> Self {
        let progress = Progress::default();
        Self { shape: Shape::Streamed { front: None, rest: Some(incoming), progress } }
    }

    /// Creates a body that was read in part: its front, then the rest as it comes.
    pub fn spooled(front: Box<Spool>, rest: Option<Incoming>) -> Self {
        let progress = Progress::default();
        Self { shape: Shape::Streamed { front: Some(front), rest, progress } }
    }

    /// Returns how an upload can be watched; `None` where the whole body is at hand.
    pub(super) fn progress(&self) -> Option<Progress> {
        match &self.shape {
            Shape::Pieces(_) => None,
            Shape::Streamed { progress, .. } => Some(progress.clone()),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NextFrame>> {
        match &mut self.get_mut().shape {
            Shape::Pieces(pieces) => {
                let next = pieces.iter_mut().find(|piece| !piece.is_empty());
                Poll::Ready(next.map(|piece| Ok(Frame::data(std::mem::take(piece)))))
            }
            Shape::Streamed { front, rest, progress } => {
                let polled = poll_streamed(front, rest, cx);
                match &polled {
                    Poll::Ready(Some(Err(_))) => progress.broke_off(),
                    Poll::Ready(_) => progress.moved(),
                    Poll::Pending => {}
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.shape {
            Shape::Pieces(pieces) => pieces.iter().all(Bytes::is_empty),
            Shape::Streamed { front, rest, .. } => {
                front.as_ref().is_none_or(|front| front.size() == 0)
                    && rest.as_ref().is_none_or(Incoming::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.shape {
            Shape::Pieces(pieces) => {
                let length = pieces.iter().map(Bytes::len).sum::<usize>();
                SizeHint::with_exact(length as u64)
            }
            Shape::Streamed { front, rest, .. } => {
                let front = front.as_ref().map_or(0, |front| front.size());
                let rest = rest.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint);
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(front));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(front));
                }
                hint
            }
        }
    }
}

fn poll_streamed(
    front: &mut Option<Box<Spool>>,
    rest: &mut Option<Incoming>,
    cx: &mut Context<'_>,
) -> Poll<Option<NextFrame>> {
    if let Some(spool) = front {
        if let Some(piece) = ready!(spool.poll_piece(cx)) {
            return Poll::Ready(Some(piece.map(Frame::data).map_err(BodyError::Disk)));
        }
        *front = None;
    }
    match rest {
        Some(rest) => Pin::new(rest).poll_frame(cx).map_err(BodyError::Client),
        None => Poll::Ready(None),
    }
}

/// How far an upload has come. Cloning it copies a pointer.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

/// The mark of an upload that its client broke off.
const BROKEN: u64 = u64::MAX;

impl Progress {
    /// Returns a number that changes whenever a piece has been passed on.
    pub(super) fn mark(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Tells whether the client broke off its upload.
    pub(super) fn is_broken(&self) -> bool {
        self.mark() == BROKEN
    }

    fn moved(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn broke_off(&self) {
        self.0.store(BROKEN, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_in_order_and_empty_ones_are_left_out() {
        let [first, last] = ["{\"a\":1", "}"].map(Bytes::from);
        let pieces = [first, Bytes::new(), last, Bytes::new(), Bytes::new()];
        let body = Body::pieces(pieces);
        assert_eq!(body.size_hint().exact(), Some(7));
        assert!(!body.is_end_stream());
        let whole = body.collect().await.expect("cannot fail").to_bytes();
        assert_eq!(whole, "{\"a\":1}");
    }

    #[test]
    fn an_empty_body_has_ended_before_it_began() {
        let body = Body::empty();
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
    }
}

//! The body of a request to the provider, in the four shapes that the proxy sends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

/// A request body. Its size is exact unless it is streamed, so that `content-length` is sent.
#[derive(Debug)]
pub struct Body {
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// Pieces still to be sent; empty ones are skipped, the next one is the first.
    Pieces([Bytes; 5]),
    /// The client's own body, as it arrives.
    Streamed { incoming: Incoming, progress: Progress },
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
        Self { shape: Shape::Streamed { incoming, progress: Progress::default() } }
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
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().shape {
            Shape::Pieces(pieces) => {
                let next = pieces.iter_mut().find(|piece| !piece.is_empty());
                Poll::Ready(next.map(|piece| Ok(Frame::data(std::mem::take(piece)))))
            }
            Shape::Streamed { incoming, progress } => {
                let polled = Pin::new(incoming).poll_frame(cx);
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
            Shape::Streamed { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.shape {
            Shape::Pieces(pieces) => {
                let length = pieces.iter().map(Bytes::len).sum::<usize>();
                SizeHint::with_exact(length as u64)
            }
            Shape::Streamed { incoming, .. } => incoming.size_hint(),
        }
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
    use http_body::Body as _;
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

//! Reads an answer from the provider, and notices when it falls silent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::RelayError;
use super::pinning::{Pinner, Watched};
use crate::upstream::Answer;

/// A piece of an answer or its trailers, or why there is none.
pub(super) type NextFrame = Result<Frame<Bytes>, RelayError>;

/// The body of an answer on its way from the provider.
#[derive(Debug)]
pub(super) struct Source {
    answer: Answer,
    pinner: Option<Box<Pinner>>,
    idle: Idle,
}

impl Source {
    /// Wraps an answer's body; `idle` is the longest silence between two pieces of it.
    pub(super) fn new(Watched { answer, pinner }: Watched, idle: Duration) -> Self {
        Self { answer, pinner, idle: Idle::new(idle) }
    }

    /// Polls the next piece. Silence is only measured while somebody asks: a client that reads
    /// slowly is not the provider's fault.
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<NextFrame>> {
        match Pin::new(&mut self.answer).poll_frame(context) {
            Poll::Ready(frame) => {
                self.idle.heard();
                if let (Some(pinner), Some(Ok(frame))) = (&mut self.pinner, &frame)
                    && let Some(piece) = frame.data_ref()
                {
                    pinner.feed(piece);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(RelayError::Cut)))
            }
            Poll::Pending => {
                let silence = ready!(self.idle.poll_silence(context));
                Poll::Ready(Some(Err(RelayError::Silent { timeout: silence })))
            }
        }
    }

    /// Waits for the next piece. Dropping the future loses nothing.
    pub(super) async fn frame(&mut self) -> Option<NextFrame> {
        std::future::poll_fn(|context| self.poll_frame(context)).await
    }

    /// Tells whether all data has come; trailers may follow.
    ///
    /// A server that knows the length never asks for what comes behind the last byte, so the end
    /// must be known with that byte.
    pub(super) fn is_complete(&self) -> bool {
        self.answer.is_end_stream() || self.answer.size_hint().exact() == Some(0)
    }

    /// Tells whether nothing comes any more.
    pub(super) fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    /// Returns how much is still to come, as far as that is known.
    pub(super) fn size_hint(&self) -> http_body::SizeHint {
        self.answer.size_hint()
    }
}

/// Measures silence with one timer that is moved only when it fires.
#[derive(Debug)]
struct Idle {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the present silence began; `None` while there is none.
    since: Option<Instant>,
}

impl Idle {
    fn new(timeout: Duration) -> Self {
        Self { timeout, timer: None, since: None }
    }

    fn heard(&mut self) {
        self.since = None;
    }

    /// Is ready, with the timeout, when the silence has lasted that long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        loop {
            ready!(timer.as_mut().poll(context));
            let Some(end) = since.checked_add(self.timeout) else { return Poll::Pending };
            if timer.deadline() >= end {
                return Poll::Ready(self.timeout);
            }
            timer.as_mut().reset(end);
        }
    }
}

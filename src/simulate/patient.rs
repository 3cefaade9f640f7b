//! A body that keeps its client patient with blanks until the answer is there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};

use super::engine::Outcome;
use super::shared::Work;

/// An answer that is done at a given time, with blanks before it.
///
/// Dropped before that, its request is settled with what was written.
pub(super) struct Patient {
    noise: &'static str,
    /// Whether nothing was sent so far.
    is_new: bool,
    /// When the next blanks are due.
    next: Instant,
    done: Instant,
    answer: Bytes,
    work: Option<(Work, Outcome)>,
    timer: Pin<Box<Sleep>>,
}

impl Patient {
    /// Creates the body of an `answer` that is there at `done`, when its work ends so.
    pub(super) fn new(
        noise: &'static str,
        done: Instant,
        answer: Bytes,
        work: (Work, Outcome),
    ) -> Self {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(now));
        Self { noise, is_new: true, next: now, done, answer, work: Some(work), timer }
    }
}

impl http_body::Body for Patient {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.work.is_none() {
            return Poll::Ready(None);
        }
        // The first blanks come at once, however soon the answer does.
        let due = if self.is_new { self.next } else { self.next.min(self.done) };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        ready!(self.timer.as_mut().poll(context));
        if self.is_new || due < self.done {
            self.is_new = false;
            self.next = due + EVERY;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.noise.as_bytes())))));
        }
        if let Some((work, outcome)) = self.work.take() {
            work.done(outcome);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.answer)))))
    }

    fn is_end_stream(&self) -> bool {
        self.work.is_none()
    }
}

/// How often something is sent to those who wait.
pub(super) const EVERY: Duration = Duration::from_secs(1);

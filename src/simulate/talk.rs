//! An answer on its way: an event stream at the model's pace, or a body that breaks off.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::{Instant, Sleep, sleep_until};

use super::config::Frames;
use super::engine::Outcome;
use super::patient::EVERY;
use super::plan::Cut;
use super::shared::Work;
use super::wire::{Pace, Script};

/// The body of every answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Returns a body that is whole.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Returns a body that breaks off or hangs after `bytes`.
pub(super) fn broken(bytes: Bytes, cut: Cut) -> Body {
    Broken { bytes: Some(bytes), flushed: false, hangs: cut.hangs }.boxed_unsync()
}

/// An event stream that is written token by token.
///
/// Dropped before its end, its request is settled with the tokens that were handed out.
pub(super) struct Talk {
    script: Script,
    pace: Pace,
    begin: Instant,
    work: Option<Work>,
    stage: Stage,
    next: u64,
    /// The stream breaks off before this piece.
    breaks_at: Option<u64>,
    /// Behind its last piece it tells what was used before it breaks off.
    tells_usage: bool,
    /// It does not break off there, but says nothing more.
    hangs: bool,
    /// What is written and not sent.
    rest: Bytes,
    frames: Frames,
    timer: Pin<Box<Sleep>>,
    /// What is sent until the first token, and when the next of it is due.
    noise: Option<(&'static str, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preface,
    Opening,
    Pieces,
    Flushing,
    Breaking,
    Closing,
    Over,
}

impl Talk {
    /// Creates the stream of an answer that began at `begin`, and ends early where `cut` says so.
    pub(super) fn new(
        script: Script,
        pace: Pace,
        begin: Instant,
        work: Work,
        cut: Option<Cut>,
    ) -> Self {
        let breaks_at = cut.map(|cut| share_of(script.draft.len(), cut.share));
        Self {
            script,
            pace,
            begin,
            work: Some(work),
            stage: Stage::Preface,
            next: 0,
            breaks_at,
            tells_usage: cut.is_some_and(Cut::is_behind_usage),
            hangs: cut.is_some_and(|cut| cut.hangs),
            rest: Bytes::new(),
            frames: Frames::Whole,
            timer: Box::pin(sleep_until(begin)),
            noise: None,
        }
    }

    /// Lets the same be sent now and then until the first token is there.
    pub(super) fn with_noise(self, noise: Option<&'static str>) -> Self {
        Self { noise: noise.map(|noise| (noise, self.begin)), ..self }
    }

    /// Cuts it into pieces on its way.
    pub(super) fn with_frames(self, frames: Frames) -> Self {
        Self { frames, ..self }
    }

    /// Writes what comes last of a stream that breaks off.
    fn break_off(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.tells_usage {
            out = self.script.closing_up_to_usage();
            if let Some(work) = self.work.take() {
                work.done(Outcome::Answered { output: self.script.draft.tokens() });
            }
        } else if matches!(self.frames, Frames::Torn(_)) {
            self.script.append_torn(self.next, &mut out);
        }
        out
    }

    /// Takes the next frame of what is written.
    fn frame(&mut self) -> Bytes {
        match self.frames {
            Frames::Whole => std::mem::take(&mut self.rest),
            Frames::Torn(size) => self.rest.split_to(size.get().min(self.rest.len())),
        }
    }

    /// Writes every piece that is due, or one where all are due at once.
    fn pieces(&mut self) -> Vec<u8> {
        let (last, elapsed) = (self.script.draft.len(), self.begin.elapsed());
        let mut out = Vec::new();
        loop {
            self.script.append(self.next, &mut out);
            self.next += 1;
            let due = !self.pace.token.is_zero() && self.pace.until(self.next) <= elapsed;
            let stop = self.next >= last || self.breaks_at == Some(self.next);
            if stop || !due || out.len() >= LARGE_FRAME {
                break;
            }
        }
        let tokens = self.script.draft.tokens_of(self.next);
        if let Some(work) = &mut self.work {
            work.note(tokens);
        }
        out
    }

    fn poll_until(&mut self, piece: u64, context: &mut Context<'_>) -> Poll<()> {
        self.poll_at(self.begin + self.pace.until(piece), context)
    }

    fn poll_at(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        if self.timer.deadline() != at {
            self.timer.as_mut().reset(at);
        }
        self.timer.as_mut().poll(context)
    }
}

impl http_body::Body for Talk {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            if !this.rest.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(this.frame()))));
            }
            let bytes = match this.stage {
                Stage::Preface => {
                    this.stage = Stage::Opening;
                    std::mem::take(&mut this.script.preface)
                }
                Stage::Opening => {
                    if let Some((noise, due)) = this.noise {
                        let first = this.begin + this.pace.until(0);
                        // The first of it comes at once, however soon the first token does.
                        if due == this.begin || due < first {
                            ready!(this.poll_at(due, context));
                            this.noise = Some((noise, due + EVERY));
                            let bytes = Bytes::from_static(noise.as_bytes());
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                    }
                    ready!(this.poll_until(0, context));
                    this.stage = Stage::Pieces;
                    std::mem::take(&mut this.script.opening)
                }
                Stage::Pieces if this.breaks_at.is_some_and(|at| this.next >= at) => {
                    this.stage = Stage::Flushing;
                    this.break_off()
                }
                Stage::Flushing => {
                    this.stage = Stage::Breaking;
                    return flush_first(context);
                }
                // Nothing wakes it any more but the end of the connection.
                Stage::Breaking if this.hangs => return Poll::Pending,
                Stage::Breaking => {
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
                }
                Stage::Pieces if this.next >= this.script.draft.len() => {
                    this.stage = Stage::Closing;
                    continue;
                }
                Stage::Pieces => {
                    ready!(this.poll_until(this.next, context));
                    this.pieces()
                }
                Stage::Closing => {
                    ready!(this.poll_until(this.next, context));
                    this.stage = Stage::Over;
                    if let Some(work) = this.work.take() {
                        work.done(Outcome::Answered { output: this.script.draft.tokens() });
                    }
                    std::mem::take(&mut this.script.closing)
                }
                Stage::Over => return Poll::Ready(None),
            };
            this.rest = bytes.into();
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stage == Stage::Over && self.rest.is_empty()
    }
}

/// Returns `share` of `all`, rounded down.
pub(super) fn share_of(all: u64, share: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a token count, for a random breaking point"
    )]
    let part = (all as f64 * share.clamp(0.0, 1.0)) as u64;
    part
}

/// A frame is not made larger than this by pieces that are late.
const LARGE_FRAME: usize = 16 * 1024;

struct Broken {
    bytes: Option<Bytes>,
    flushed: bool,
    hangs: bool,
}

/// Lets the connection send what it has before the next frame is an error, which ends it at once.
fn flush_first<T>(context: &mut Context<'_>) -> Poll<T> {
    context.waker().wake_by_ref();
    Poll::Pending
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(bytes) = self.bytes.take().filter(|bytes| !bytes.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.hangs {
            return Poll::Pending;
        }
        if !self.flushed {
            self.flushed = true;
            return flush_first(context);
        }
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

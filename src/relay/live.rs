//! Joins an answer's source with its meter, and sees both to their end.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::runtime::Handle;

use super::RelayError;
use super::meter::{Fed, Meter, ReadWhole};
use super::pinning::Watched;
use super::source::{NextFrame, Source};
use crate::ledger::Booked;
use crate::settle::{Ending, Pass};

/// An answer on its way from the provider to the client.
#[derive(Debug)]
pub(super) struct Live {
    source: Source,
    /// What is to be sent before the source is asked again.
    queue: VecDeque<Frame<Bytes>>,
    /// What ends the answer, and what it waits for.
    ending: VecDeque<Frame<Bytes>>,
    receipt: Booked,
    /// `None` once the request is settled, and where there is none.
    meter: Option<Meter>,
    /// How many bytes may be read ahead.
    gather_limit: usize,
    is_ended: bool,
    /// Why it broke off, once all that came before is with the client.
    broken: Option<Box<RelayError>>,
}

impl Live {
    /// Joins an answer with its meter.
    pub(super) fn new(answer: Watched, idle: Duration, meter: Meter) -> Self {
        Self { meter: Some(meter), ..Self::unmetered(answer, idle) }
    }

    /// Wraps an answer that nobody meters.
    pub(super) fn unmetered(answer: Watched, idle: Duration) -> Self {
        let source = Source::new(answer, idle);
        Self {
            source,
            queue: VecDeque::new(),
            ending: VecDeque::new(),
            receipt: Booked::there(),
            meter: None,
            gather_limit: 0,
            is_ended: false,
            broken: None,
        }
    }

    /// Lets `limit` bytes of the answer be read ahead; more than none.
    pub(super) fn gathering(mut self, limit: usize) -> Self {
        self.gather_limit = limit;
        self
    }

    /// Polls the next frame for the client.
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<NextFrame>> {
        loop {
            if let Some(frame) = self.queue.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if !self.receipt.is_there() {
                ready!(Pin::new(&mut self.receipt).poll(context));
                self.queue.append(&mut self.ending);
                continue;
            }
            if let Some(error) = self.broken.take() {
                return Poll::Ready(Some(Err(*error)));
            }
            if self.is_ended {
                return Poll::Ready(None);
            }
            match ready!(self.source.poll_frame(context)) {
                Some(frame) => {
                    if let Err(error) = frame.and_then(|frame| self.take(frame)) {
                        self.fail();
                        // A server drops what it has not written yet when a body fails; it writes
                        // when there is nothing for the moment.
                        self.broken = Some(Box::new(error));
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                None => {
                    self.is_ended = true;
                    self.end();
                }
            }
        }
    }

    /// Takes a frame of the source and queues what the client gets of it.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), RelayError> {
        match frame.into_data() {
            Ok(piece) => {
                let fed = match &mut self.meter {
                    Some(meter) => meter.feed(piece)?,
                    None => Fed { piece, end: None },
                };
                match fed {
                    Fed { piece, end: None } => self.queue_data(piece),
                    Fed { mut piece, end: Some(at) } => {
                        if let Some(meter) = &mut self.meter {
                            self.receipt = meter.end();
                        }
                        let is_held = !self.receipt.is_there();
                        let at = if is_held { at.min(piece.len()) } else { piece.len() };
                        let last = piece.split_off(at);
                        self.queue_data(piece);
                        self.queue_end(last);
                    }
                }
                self.end_if_complete();
            }
            Err(trailers) => {
                self.end();
                let end = if self.receipt.is_there() { &mut self.queue } else { &mut self.ending };
                end.push_back(trailers);
            }
        }
        Ok(())
    }

    /// Settles an answer that came to its end. The client gets that when it is booked.
    fn end(&mut self) {
        let Some(mut meter) = self.meter.take() else { return };
        let rest = meter.finish();
        if self.receipt.is_there() {
            self.queue_data(rest);
            self.receipt = meter.end();
        } else {
            self.queue_end(rest);
        }
    }

    /// Settles an answer of which all data is there already.
    pub(super) fn end_if_complete(&mut self) {
        if self.meter.is_none() || !self.source.is_complete() {
            return;
        }
        let is_held = !self.receipt.is_there();
        self.end();
        if is_held || self.receipt.is_there() {
            return;
        }
        if let Some(Ok(mut piece)) = self.queue.pop_back().map(Frame::into_data) {
            let last = piece.split_off(piece.len().saturating_sub(1));
            self.queue_data(piece);
            self.queue_end(last);
        }
    }

    /// Waits for the receipt of an answer that is over and of which nothing is to be sent.
    pub(super) async fn booked(&mut self) {
        let is_over = self.meter.is_none() && self.source.is_end_stream();
        if is_over && self.queue.is_empty() && self.ending.is_empty() {
            (&mut self.receipt).await;
        }
    }

    fn break_off(&mut self, ending: Ending) {
        if let Some(meter) = self.meter.take() {
            meter.break_off(ending);
        }
    }

    fn queue_data(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.queue.push_back(Frame::data(piece));
        }
    }

    /// Queues what the client gets when its request is booked.
    fn queue_end(&mut self, piece: Bytes) {
        if self.receipt.is_there() {
            self.queue_data(piece);
        } else if !piece.is_empty() {
            self.ending.push_back(Frame::data(piece));
        }
    }

    /// Tells whether nothing more will come.
    pub(super) fn is_end_stream(&self) -> bool {
        let is_read = self.is_ended || self.meter.is_none() && self.source.is_end_stream();
        let is_sent = self.queue.is_empty() && self.receipt.is_there();
        is_read && self.broken.is_none() && is_sent
    }

    /// Returns how many bytes the client will still get, as far as that is known.
    pub(super) fn size_hint(&self) -> SizeHint {
        if self.meter.as_ref().is_some_and(Meter::is_editing) {
            return SizeHint::default();
        }
        let queued = self.queue.iter().chain(&self.ending).filter_map(Frame::data_ref);
        let queued: u64 = queued.map(|piece| u64::try_from(piece.len()).unwrap_or(u64::MAX)).sum();
        let source = self.source.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(source.lower().saturating_add(queued));
        if let Some(upper) = source.upper() {
            hint.set_upper(upper.saturating_add(queued));
        }
        hint
    }

    /// Reads ahead until the answer is there as a whole, or is larger than the limit. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    ///
    /// Returns why the answer broke off; its request is closed then.
    pub(super) async fn gather(&mut self) -> Result<Gathered, RelayError> {
        let mut room = self.gather_limit;
        let mut is_blank = true;
        while let Some(frame) = self.source.frame().await {
            let frame = frame.inspect_err(|_| self.fail())?;
            let data = frame.data_ref();
            let len = data.map_or(0, Bytes::len);
            is_blank &= data.is_some_and(|data| data.trim_ascii().is_empty());
            self.queue.push_back(frame);
            if is_blank && len > 0 && self.meter.is_some() {
                // The provider keeps its client alive with blanks before the answer, as DeepSeek does
                // (<https://api-docs.deepseek.com/quick_start/rate_limit>, read 2026-11-21).
                self.gather_limit = 0;
                self.meter = self.meter.take().map(Meter::into_passing);
                return Ok(Gathered::Passing);
            }
            let Some(left) = room.checked_sub(len) else {
                self.meter = self.meter.take().map(Meter::into_blind);
                return Ok(Gathered::TooLarge);
            };
            room = left;
        }
        self.is_ended = true;
        Ok(Gathered::Whole)
    }

    /// Settles an answer that was gathered as a whole; returns what was read of it, and its trailers.
    pub(super) async fn end_whole(&mut self) -> (ReadWhole, Option<HeaderMap>) {
        let mut pieces = Vec::new();
        let mut trailers = None;
        for frame in self.queue.drain(..) {
            match frame.into_data() {
                Ok(piece) => pieces.push(piece),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let data = join(pieces);
        let read = match self.meter.take() {
            Some(meter) => meter.end_whole(data).await,
            None => ReadWhole::unread(data),
        };
        (read, trailers)
    }

    /// Reads the rest of an answer that no client waits for, until the program stops.
    async fn drain(mut self: Box<Self>) {
        let pass = self.meter.as_ref().and_then(Meter::pass).cloned();
        let stopped = async {
            match pass {
                Some(mut pass) => pass.cut().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.read_out() => {}
            () = stopped => self.break_off(Ending::Stopped),
        }
    }

    async fn read_out(&mut self) {
        if self.gather_limit > 0 {
            if matches!(self.gather().await, Ok(Gathered::Whole)) {
                self.end_whole().await;
            }
            return self.break_off(Ending::ClientGone);
        }
        while let Some(Ok(_)) = poll_fn(|context| self.poll_frame(context)).await {}
    }

    fn fail(&mut self) {
        self.is_ended = true;
        self.break_off(Ending::UpstreamCut);
    }
}

/// What became of reading ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gathered {
    /// The whole answer is there.
    Whole,
    /// It is too large; what is there is kept, and the rest streams.
    TooLarge,
    /// It begins with blanks, which the client is to hear of: it streams, and is read at its end.
    Passing,
}

/// Holds an answer as long as its client is there.
///
/// Dropping it is the client's hanging up: the answer is cancelled or drained.
#[derive(Debug)]
pub(super) struct Slot(Option<Box<Live>>);

impl Slot {
    /// Puts an answer into a slot.
    pub(super) fn new(live: Live) -> Self {
        Self(Some(Box::new(live)))
    }

    /// Returns the answer, which is there until the slot is dropped.
    pub(super) fn live(&self) -> Option<&Live> {
        self.0.as_deref()
    }

    /// Returns the answer, to be moved on.
    pub(super) fn live_mut(&mut self) -> Option<&mut Live> {
        self.0.as_deref_mut()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(mut live) = self.0.take() else { return };
        let meter = live.meter.as_ref();
        let drains = meter.is_some_and(Meter::outlives_client);
        let is_stopped = meter.and_then(Meter::pass).is_some_and(Pass::is_cut);
        match Handle::try_current() {
            _ if is_stopped => live.break_off(Ending::Stopped),
            Ok(runtime) if drains => drop(runtime.spawn(live.drain())),
            _ => live.break_off(Ending::ClientGone),
        }
    }
}

fn join(pieces: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(pieces) {
        Ok([only]) => only,
        Err(pieces) => Bytes::from(pieces.concat()),
    }
}

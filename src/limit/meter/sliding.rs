//! Counts as the sum over the last window.
//!
//! # What this module owns
//!
//! The rule that a slice leaves when its last debit is older than the window and the grace: only
//! then has it left at the provider too, however late it got there and however soon the next one
//! does.

use super::super::learned::PastDebit;
use super::super::moment::Moment;
use super::log::Log;

/// The sum over the last window.
#[derive(Debug, Clone)]
pub(in super::super) struct Sliding {
    pub(super) limit: u64,
    window: u64,
    pub(super) log: Log,
}

impl Sliding {
    /// Creates an empty window of `window` nanoseconds.
    pub(super) fn new(limit: u64, window: u64) -> Self {
        Self { limit, window, log: Log::new(window) }
    }

    /// Drops what has left at `now`.
    pub(super) fn advance(&mut self, now: Moment, grace: u64) {
        let window = self.window;
        self.log.expire(|last| leaves(last, window, grace) <= now);
    }

    /// Returns what is used at `now`.
    pub(super) fn used(&self, now: Moment, grace: u64) -> i128 {
        self.log.sum_without(|last| leaves(last, self.window, grace) <= now)
    }

    /// Returns what is used at `now`, slice by slice.
    pub(super) fn past(&self, now: Moment, grace: u64) -> Vec<PastDebit> {
        self.log.past(now, |last| leaves(last, self.window, grace) <= now)
    }

    /// Returns when so much has left that at most `target` is used; `now` if that is so.
    pub(super) fn when(&self, target: i128, now: Moment, grace: u64) -> Moment {
        let last = self.log.last_to_leave(target);
        last.map_or(now, |last| leaves(last, self.window, grace).max(now))
    }

    /// Returns when nothing is left of what is used now.
    pub(super) fn empty_at(&self, now: Moment, grace: u64) -> Moment {
        let used = self.log.slices().filter(|slice| slice.sum > 0);
        let last = used.last().map(|slice| slice.last);
        last.map_or(now, |last| leaves(last, self.window, grace).max(now))
    }

    /// Returns what may already have left at the provider for a request that gets there at `arrival`
    /// at the latest.
    pub(super) fn perhaps_gone(&self, arrival: Moment) -> i128 {
        let limit = arrival.minus(self.window);
        let gone = self.log.slices().take_while(|_| arrival.0 >= self.window);
        gone.take_while(|slice| slice.start <= limit).map(|slice| slice.sum).sum()
    }
}

/// Returns when a debit made at `last` has left: the first nanosecond outside the window.
fn leaves(last: Moment, window: u64, grace: u64) -> Moment {
    last.plus(window).plus(grace).plus(1)
}

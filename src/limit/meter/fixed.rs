//! Counts in windows with an end: by the calendar, or begun by a first request.
//!
//! # What this module owns
//!
//! The end of the provider's present window, as an interval: the provider tells how far it is off,
//! but not exactly when the telling request got there. While no end is known every window of that
//! length is held to the limit, as in [`super::sliding`]: whatever the phase, that is safe. The same
//! holds between an end and the first answer behind it, so it does not matter what begins a window.
//!
//! # Invariants
//!
//! 1. A request sent so late that it may get there behind the end counts before it and behind it.
//! 2. Nothing is forgotten before the end has surely passed.

use super::super::learned::PastDebit;
use super::super::moment::Moment;
use super::sliding::Sliding;

/// Sums over windows with an end.
#[derive(Debug, Clone)]
pub(in super::super) struct Fixed {
    pub(super) recent: Sliding,
    window: u64,
    end: Option<End>,
    /// Requests that got there before this belong to windows that have ended.
    begun: Option<Moment>,
}

/// The end of a window lies between these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct End {
    /// Not before this.
    pub(in super::super) earliest: Moment,
    /// Not after this.
    pub(in super::super) latest: Moment,
}

impl Fixed {
    /// Creates an empty window of `window` nanoseconds whose end nobody knows.
    pub(super) fn new(limit: u64, window: u64) -> Self {
        Self { recent: Sliding::new(limit, window), window, end: None, begun: None }
    }

    /// Drops what has left at `now`.
    pub(super) fn advance(&mut self, now: Moment, grace: u64) {
        if let Some(end) = self.end.filter(|end| end.latest < now) {
            self.begun = self.begun.max(Some(end.earliest));
            self.end = None;
        }
        self.recent.advance(now, grace);
        if let Some(begun) = self.begun {
            self.recent.log.expire(|last| last.plus(grace) < begun);
        }
    }

    /// Takes over what an answer says of the present window's end.
    pub(super) fn learn_end(&mut self, told: End, now: Moment, grace: u64) {
        self.advance(now, grace);
        if self.begun.is_some_and(|begun| told.earliest <= begun.plus(grace)) {
            return; // It tells of a window that has ended since.
        }
        let end = match self.end {
            None => told,
            Some(known) => {
                let both = End {
                    earliest: known.earliest.max(told.earliest),
                    latest: known.latest.min(told.latest),
                };
                let later = if told.latest > known.latest { told } else { known };
                if both.earliest <= both.latest { both } else { later }
            }
        };
        if end.earliest.0 >= self.window {
            self.begun = self.begun.max(Some(end.earliest.minus(self.window)));
        }
        self.end = Some(end);
        self.advance(now, grace);
    }

    /// Takes out `amount`, debited at `since`, if the request got there at `arrival` at the latest
    /// and that was in a window which has ended. Returns whether it did.
    pub(super) fn leave_behind(&mut self, amount: u64, since: Moment, arrival: Moment) -> bool {
        let left = self.begun.is_some_and(|begun| arrival < begun);
        if left {
            self.recent.log.correct(-i128::from(amount), since);
        }
        left
    }

    /// Returns when the present window began at the earliest, where that is known.
    pub(super) fn begun(&self) -> Option<Moment> {
        self.begun
    }

    /// Returns how long the present window lasts at most, where its end is known, or where it begins now that the
    /// last one has ended.
    pub(super) fn rest(&self, now: Moment) -> Option<u64> {
        let next = self.begun.map(|begun| begun.plus(self.window)).filter(|next| *next > now);
        self.end.map(|end| end.latest).or(next).map(|end| end.since(now))
    }

    /// Returns what is used at `now`.
    pub(super) fn used(&self, now: Moment, grace: u64) -> i128 {
        let ended = self.end.filter(|end| end.latest < now).map(|end| end.earliest);
        let Some(begun) = self.begun.max(ended) else { return self.recent.used(now, grace) };
        let in_window = self.recent.log.sum_without(|last| last.plus(grace) < begun);
        in_window.min(self.recent.used(now, grace))
    }

    /// Returns what is used at `now`, slice by slice.
    pub(super) fn past(&self, now: Moment, grace: u64) -> Vec<PastDebit> {
        let ended = self.end.filter(|end| end.latest < now).map(|end| end.earliest);
        match self.begun.max(ended) {
            Some(begun) => self.recent.log.past(now, |last| last.plus(grace) < begun),
            None => self.recent.past(now, grace),
        }
    }

    /// Returns the end of the present window, where it is known.
    pub(super) fn end(&self, now: Moment) -> Option<End> {
        self.end.filter(|end| end.latest >= now)
    }

    /// Returns when at most `target` is used; `now` if that is so.
    pub(super) fn when(&self, target: i128, now: Moment, grace: u64) -> Moment {
        let slid = self.recent.when(target, now, grace);
        let Some(end) = self.end else { return slid };
        let behind = self.recent.log.sum_without(|last| last.plus(grace) < end.earliest);
        let next = end.latest.plus(1);
        if slid <= now || behind > target { slid } else { slid.min(next.max(now)) }
    }

    /// Returns since when debits count at `at`: those made then are gone.
    pub(super) fn counts_after(&self, at: Moment) -> Option<Moment> {
        let end = self.end.filter(|end| end.latest < at).map(|end| end.earliest);
        end.max(at.checked_minus(self.recent.window()))
    }

    /// Returns when nothing is left of what is used now.
    pub(super) fn empty_at(&self, now: Moment, grace: u64) -> Moment {
        let slid = self.recent.empty_at(now, grace);
        self.end.map_or(slid, |end| slid.min(end.latest.max(now)))
    }

    /// Returns what may have left at the provider for a request that gets there at `arrival` at the
    /// latest.
    pub(super) fn perhaps_gone(&self, arrival: Moment) -> i128 {
        match self.end {
            Some(end) if arrival < end.earliest => {
                // Only what was sent around the window's beginning may belong to the one before.
                let begun = end.latest.minus(self.window);
                let unsure = self.recent.log.slices().filter(|slice| slice.earliest <= begun);
                unsure.map(|slice| slice.sum).sum()
            }
            _ => self.recent.log.sum(),
        }
    }
}

//! Sums debits by slices of time, at a cost that does not depend on their number.
//!
//! # What this module owns
//!
//! At most [`PLACES`] slices, each with the time of its first and last debit and their sum. A slice
//! begins with a debit, so bursts stay exact; while fewer than [`FINE`] are there, every debit has
//! a slice of its own.
//!
//! # What this module does not do
//!
//! It does not know when a slice leaves: the windows ([`super::sliding`], [`super::fixed`]) say.
//!
//! # Invariants
//!
//! 1. `sum` is the sum over the slices.
//! 2. A slice leaves as a whole, and not before its last debit would.

use std::collections::VecDeque;

use super::super::learned::PastDebit;
use super::super::moment::Moment;

/// Debits of the recent past.
#[derive(Debug, Clone)]
pub(super) struct Log {
    slices: VecDeque<Slice>,
    sum: i128,
    coarse: u64,
}

/// Debits of one span of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    /// The time of the first debit.
    pub(super) start: Moment,
    /// When the provider may have debited the first of it.
    pub(super) earliest: Moment,
    /// The time of the last debit.
    pub(super) last: Moment,
    /// What is debited, corrected.
    pub(super) sum: i128,
}

/// Returns `part` of `whole`, of `amount`; nothing of nothing. None is negative.
fn share(amount: i128, part: i128, whole: i128) -> i128 {
    let small = |number: i128| u32::try_from(number).ok().map(u64::from);
    match (small(amount), small(part), u64::try_from(whole)) {
        (_, _, Ok(0)) => 0,
        // Dividing what is twice as long takes ten times longer, and this is done for each slice.
        (Some(amount), Some(part), Ok(whole)) => i128::from(amount * part / whole),
        _ => amount * part / whole,
    }
}

impl Log {
    /// Creates an empty log for a window of `window` nanoseconds.
    pub(super) fn new(window: u64) -> Self {
        Self { slices: VecDeque::new(), sum: 0, coarse: window / COARSE }
    }

    /// Returns the sum over all slices.
    pub(super) fn sum(&self) -> i128 {
        self.sum
    }

    /// Returns the slices, oldest first.
    pub(super) fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.slices.iter()
    }

    /// Adds `amount` at `now`, which is not older than the latest debit. The provider debited it then,
    /// or since `earliest`.
    pub(super) fn push(&mut self, amount: u64, now: Moment, earliest: Moment) {
        let amount = i128::from(amount);
        self.sum += amount;
        let places = self.slices.len();
        match self.slices.back_mut() {
            Some(newest)
                if newest.last >= now
                    || places >= PLACES
                    || (places >= FINE && now.since(newest.start) < self.coarse) =>
            {
                newest.earliest = newest.earliest.min(earliest);
                newest.last = newest.last.max(now);
                newest.sum += amount;
            }
            _ => self.slices.push_back(Slice { start: now, earliest, last: now, sum: amount }),
        }
    }

    /// Adds `amount` to a debit made at `since`; nothing where its slice has left.
    pub(super) fn correct(&mut self, amount: i128, since: Moment) {
        let at = self.slices.partition_point(|slice| slice.start <= since);
        let slice = at.checked_sub(1).and_then(|i| self.slices.get_mut(i));
        if let Some(slice) = slice.filter(|slice| since <= slice.last) {
            slice.sum += amount;
            self.sum += amount;
        }
    }

    /// Takes out up to `amount` that was debited too much: of every slice the same part, as nobody knows
    /// which debits were too large, and what is taken where it was not leaves too early or too late.
    pub(super) fn lower(&mut self, amount: i128) {
        let mut sum: i128 = self.slices.iter().map(|slice| slice.sum.max(0)).sum();
        let mut rest = amount.min(sum);
        self.sum -= rest;
        for slice in &mut self.slices {
            let debited = slice.sum.max(0);
            let taken = share(rest, debited, sum);
            slice.sum -= taken;
            rest -= taken;
            sum -= debited;
        }
    }

    /// Drops every slice whose last debit `has_left`.
    pub(super) fn expire(&mut self, has_left: impl Fn(Moment) -> bool) {
        while let Some(oldest) = self.slices.pop_front_if(|slice| has_left(slice.last)) {
            self.sum -= oldest.sum;
        }
    }

    /// Returns what stays of the sum without the slices whose last debit `has_left`.
    pub(super) fn sum_without(&self, has_left: impl Fn(Moment) -> bool) -> i128 {
        let gone = self.slices.iter().take_while(|slice| has_left(slice.last));
        self.sum - gone.map(|slice| slice.sum).sum::<i128>()
    }

    /// Returns the last debit of the slice whose leaving brings the sum down to `target`; `None`
    /// where it is there already.
    pub(super) fn last_to_leave(&self, target: i128) -> Option<Moment> {
        let mut sum = self.sum;
        let mut slices = self.slices.iter();
        let mut last = None;
        while sum > target {
            let slice = slices.next()?;
            sum -= slice.sum;
            last = Some(slice.last);
        }
        last
    }

    /// Returns the oldest slice with which, together with those before it, `amount` has left.
    pub(super) fn first_to_cover(&self, amount: i128) -> Option<&Slice> {
        let mut sum = 0;
        self.slices.iter().find(|slice| {
            sum += slice.sum;
            sum >= amount
        })
    }

    /// Returns the sums of the slices whose last debit has not left, of neighbours together where
    /// there are many, each at the time of its last debit.
    pub(super) fn past(&self, now: Moment, has_left: impl Fn(Moment) -> bool) -> Vec<PastDebit> {
        let kept: Vec<&Slice> =
            self.slices.iter().skip_while(|slice| has_left(slice.last)).collect();
        let together = kept.len().div_ceil(KEPT).max(1);
        let joined = kept.chunks(together).filter_map(|slices| {
            let sum = slices.iter().map(|slice| slice.sum).sum::<i128>();
            let ago_ms = now.since(slices.last()?.last) / 1_000_000;
            let amount = u64::try_from(sum).ok().filter(|amount| *amount > 0)?;
            Some(PastDebit { ago_ms, amount })
        });
        joined.collect()
    }
}

/// The most slices: a window's worth of coarse ones, the fine ones, and some for the grace.
const PLACES: usize = FINE + 104;
/// While there are fewer slices than these, each debit has its own.
const FINE: usize = 32;
/// The most that a memory keeps of them.
const KEPT: usize = 24;
/// Beyond those a slice is this part of the window, so that at most 1 % of it is held back.
const COARSE: u64 = 96;

//! A level that refills continuously, exact to the nanosecond.

use super::meter::Life;
use super::path::{Path, Step};
use super::rules::RefundAt;

/// A bucket of `limit` units that refills by `limit` per window.
///
/// All amounts are kept in units times nanoseconds of the window ("grains"), in which the refill of
/// a nanosecond is the whole number `limit`: nothing is ever rounded.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    limit: i128,
    window: i128,
    refund_at: RefundAt,
    /// The level before the first step of the path.
    base: i128,
    /// When the last step was taken.
    at: u64,
    /// Refill and credit that was lost at the brim before the first step of the path.
    lost: i128,
    /// Debits that may still change, and what came after them.
    path: Path,
}

impl Bucket {
    /// Creates a bucket with `level` grains in it at `now`.
    pub(super) fn new(limit: u64, window: u64, refund_at: RefundAt, level: i128, now: u64) -> Self {
        Self {
            limit: i128::from(limit),
            window: i128::from(window),
            refund_at,
            base: level,
            at: now,
            lost: 0,
            path: Path::default(),
        }
    }

    /// Returns level and loss, in grains.
    pub(super) fn level_and_lost(&self, now: u64) -> (i128, i128) {
        let gain = self.limit * i128::from(now.saturating_sub(self.at));
        let free = self.base + self.path.sum() + gain;
        let peak = (self.base + self.path.peak()).max(free);
        let over = (peak - self.capacity()).max(0);
        (free - over, self.lost + over)
    }

    /// Takes `units`, and returns the number by which they must be corrected where they are `open`.
    pub(super) fn debit(&mut self, units: i128, now: u64, life: Life) -> u64 {
        let open = life == Life::Open && self.refund_at == RefundAt::Debit;
        self.step(units * self.window, now, open)
    }

    /// Replaces the debit `number` of `from` units by `to`, as of the debit or of now.
    pub(super) fn correct(&mut self, number: u64, from: i128, to: i128, now: u64) {
        let at_debit = self.refund_at == RefundAt::Debit;
        if from == to && !at_debit || at_debit && self.path.close(number, to * self.window) {
            return;
        }
        self.step((to - from) * self.window, now, false);
    }

    /// Changes the limit: what lies above the new capacity is lost, the refill follows from now on, and
    /// debits from before are corrected at present.
    pub(super) fn change_limit(&mut self, limit: u64, now: u64) {
        self.step(0, now, false);
        let (capacity, mut base, mut lost) = (self.capacity(), self.base, self.lost);
        self.path.forget(|old| fold(old, capacity, &mut base, &mut lost));
        self.limit = i128::from(limit);
        let over = (base - self.capacity()).max(0);
        (self.base, self.lost) = (base - over, lost + over);
    }

    /// Returns the nanoseconds until `units` fit, if nothing else happens.
    pub(super) fn wait(&self, units: i128, now: u64) -> i128 {
        let short = units * self.window - self.level_and_lost(now).0;
        if short <= 0 || self.limit == 0 { short.max(0) } else { ceil_div(short, self.limit) }
    }

    fn capacity(&self) -> i128 {
        self.limit * self.window
    }

    fn step(&mut self, debit: i128, now: u64, open: bool) -> u64 {
        let now = now.max(self.at);
        let gain = self.limit * i128::from(now - self.at);
        self.at = now;
        let step = Step { gain, debit, open };
        let (capacity, mut base, mut lost) = (self.capacity(), self.base, self.lost);
        let number = if !open && self.path.is_empty() {
            fold(step, capacity, &mut base, &mut lost);
            self.path.next_number()
        } else {
            self.path.push(step, |old| fold(old, capacity, &mut base, &mut lost))
        };
        (self.base, self.lost) = (base, lost);
        number
    }
}

/// Takes a step that can no longer change.
fn fold(step: Step, capacity: i128, level: &mut i128, lost: &mut i128) {
    for change in [step.gain, -step.debit] {
        *level += change;
        let over = (*level - capacity).max(0);
        *level -= over;
        *lost += over;
    }
}

fn ceil_div(dividend: i128, divisor: i128) -> i128 {
    (dividend + divisor - 1).div_euclid(divisor)
}

//! Counts as the sum over the last window.
//!
//! # What this module owns
//!
//! The rule that a slice leaves when its last debit is older than the window and the grace: only
//! then has it left at the provider too, however late it got there and however soon the next one
//! does.

use super::super::learned::PastDebit;
use super::super::moment::Moment;
use super::fixed::End;
use super::log::Log;
use super::others::Others;

/// The sum over the last window.
#[derive(Debug, Clone)]
pub(in super::super) struct Sliding {
    pub(super) limit: u64,
    window: u64,
    pub(super) log: Log,
    others: Others,
}

impl Sliding {
    /// Creates an empty window of `window` nanoseconds.
    pub(super) fn new(limit: u64, window: u64) -> Self {
        Self { limit, window, log: Log::new(window), others: Others::default() }
    }

    /// Returns the length of the window.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Drops what has left at `now`.
    pub(super) fn advance(&mut self, now: Moment, grace: u64) {
        let window = self.window;
        self.log.expire(|last| leaves(last, window, grace) <= now);
    }

    /// Returns what is used at `now`.
    pub(super) fn used(&self, now: Moment, grace: u64) -> i128 {
        self.own(now, grace) + self.others.at(now)
    }

    /// Moves what is left by `tokens`: what others use grows or shrinks, or was less than we thought.
    pub(super) fn nudge(&mut self, tokens: i64, now: Moment) {
        if tokens < 0 {
            self.others.add(tokens.unsigned_abs(), self.window, now);
        } else {
            let rest = self.others.take(tokens.unsigned_abs(), now);
            self.log.lower(i128::from(rest));
        }
    }

    fn own(&self, now: Moment, grace: u64) -> i128 {
        self.log.sum_without(|last| leaves(last, self.window, grace) <= now)
    }

    /// Returns what is used at `now`, slice by slice.
    pub(super) fn past(&self, now: Moment, grace: u64) -> Vec<PastDebit> {
        let mut past = self.log.past(now, |last| leaves(last, self.window, grace) <= now);
        let amount = u64::try_from(self.others.at(now)).unwrap_or(0);
        past.extend(Some(PastDebit { ago_ms: 0, amount }).filter(|_| amount > 0));
        past
    }

    /// Returns when so much has left that at most `target` is used; `now` if that is so.
    pub(super) fn when(&self, target: i128, now: Moment, grace: u64) -> Moment {
        if self.others.at(now) == 0 {
            let last = self.log.last_to_leave(target);
            return last.map_or(now, |last| leaves(last, self.window, grace).max(now));
        }
        let mut own = self.log.sum();
        let mut from = now;
        for slice in self.log.slices() {
            let leaves = leaves(slice.last, self.window, grace);
            let enough = self.others.when(target - own, from);
            if own <= target && enough < leaves {
                return enough;
            }
            own -= slice.sum;
            from = from.max(leaves);
        }
        self.others.when(target - own, from)
    }

    /// Returns when nothing is left of what is used now.
    pub(super) fn empty_at(&self, now: Moment, grace: u64) -> Moment {
        let used = self.log.slices().filter(|slice| slice.sum > 0);
        let last = used.last().map(|slice| slice.last);
        let own = last.map_or(now, |last| leaves(last, self.window, grace).max(now));
        own.max(self.others.gone_at(now))
    }

    /// Returns between which moments `amount` leaves at the provider, seen by a request that gets there at
    /// `arrival` at the latest; up to `slack` of what is debited may not be there any more. Nothing leaves
    /// before the oldest debit: which of them were larger than is believed nobody knows.
    pub(super) fn leaving(&self, (amount, slack): (u64, u64), arrival: Moment, grace: u64) -> End {
        let amount = i128::from(amount);
        let latest = amount + i128::from(slack) + self.perhaps_gone(arrival);
        let first = self.log.slices().next().filter(|_| self.others.at(arrival) == 0);
        let last = self.log.first_to_cover(latest);
        let earliest = first.map(|slice| slice.start.plus(self.window).minus(grace));
        End {
            earliest: earliest.unwrap_or_default(),
            latest: last.map_or(FAR, |slice| leaves(slice.last, self.window, grace)),
        }
    }

    /// Returns what may already have left at the provider for a request that gets there at `arrival`
    /// at the latest.
    pub(super) fn perhaps_gone(&self, arrival: Moment) -> i128 {
        let limit = arrival.minus(self.window);
        let gone = self.log.slices().filter(|_| arrival.0 >= self.window);
        gone.filter(|slice| slice.earliest <= limit).map(|slice| slice.sum).sum()
    }
}

/// Nobody knows when.
const FAR: Moment = Moment(u64::MAX);

/// Returns when a debit made at `last` has left: the first nanosecond outside the window.
fn leaves(last: Moment, window: u64, grace: u64) -> Moment {
    last.plus(window).plus(grace).plus(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 1_000;

    #[test]
    fn what_was_debited_too_much_is_taken_from_all_alike() {
        let mut sliding = Sliding::new(1_000, WINDOW);
        sliding.log.push(100, Moment(0), Moment(0));
        sliding.log.push(301, Moment(500), Moment(500));
        sliding.nudge(40, Moment(600));
        assert_eq!(sliding.used(Moment(600), 0), 361);
        assert_eq!(sliding.used(Moment(1_001), 0), 270, "no more than its part leaves first");
        sliding.nudge(1_000, Moment(1_001));
        assert_eq!(sliding.used(Moment(1_001), 0), 0, "no more than there is");
    }

    #[test]
    fn what_was_heard_of_late_may_have_left_before() {
        let mut sliding = Sliding::new(1_000, WINDOW);
        sliding.log.push(100, Moment(50), Moment(50));
        sliding.log.push(200, Moment(60), Moment(40));
        assert_eq!(sliding.perhaps_gone(Moment(1_040)), 200, "it was charged when it ended");
        assert_eq!(sliding.perhaps_gone(Moment(1_050)), 300);
        assert_eq!(sliding.used(Moment(1_060), 0), 200, "and stays until it has left for certain");
    }
}

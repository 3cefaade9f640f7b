//! What others use of a sliding window, as far as answers showed it.
//!
//! # What this module owns
//!
//! [`Others`]: an amount that leaves evenly until all of it is older than the window. When each part of it came
//! nobody told, so this is a guess between two answers; the next one corrects it.

use super::super::moment::Moment;

/// What others used, and until when it leaves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Others {
    amount: i128,
    since: Moment,
    end: Moment,
}

impl Others {
    /// Adds what was seen at `now`.
    pub(super) fn add(&mut self, amount: u64, window: u64, now: Moment) {
        let rest = self.at(now);
        let added = i128::from(amount);
        let all = (rest + added).max(1);
        let ends = now.plus(window).plus(window / LATE);
        // Each part leaves on its own; together they leave at the mean of their ends.
        let later = i128::from(ends.since(self.end)) * added / all;
        let end = if rest == 0 { ends } else { self.end.plus(u64::try_from(later).unwrap_or(0)) };
        *self = Self { amount: rest + added, since: now, end };
    }

    /// Takes away up to `amount` and returns what is left of that.
    pub(super) fn take(&mut self, amount: u64, now: Moment) -> u64 {
        let rest = self.at(now);
        let taken = rest.min(i128::from(amount));
        *self = Self { amount: rest - taken, since: now, end: self.end };
        amount.saturating_sub(u64::try_from(taken).unwrap_or(0))
    }

    /// Returns what is left at `now`, rounded up.
    pub(super) fn at(&self, now: Moment) -> i128 {
        let all = i128::from(self.end.since(self.since));
        let rest = i128::from(self.end.since(now.max(self.since)));
        if all == 0 { 0 } else { (self.amount * rest + all - 1) / all }
    }

    /// Returns when at most `target` is left; `now` if that is so.
    pub(super) fn when(&self, target: i128, now: Moment) -> Moment {
        if self.at(now) <= target.max(0) {
            return now;
        }
        let all = i128::from(self.end.since(self.since));
        let rest = target.max(0) * all / self.amount.max(1);
        self.end.minus(u64::try_from(rest).unwrap_or(0)).max(now)
    }

    /// Returns when all of it has left.
    pub(super) fn gone_at(&self, now: Moment) -> Moment {
        if self.at(now) > 0 { self.end } else { now }
    }
}

/// It is taken to leave this part of the window later than it may.
const LATE: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_used_leaves_evenly_and_late() {
        let mut others = Others::default();
        others.add(310, 30, Moment(0));
        assert_eq!(others.at(Moment(0)), 310);
        assert_eq!(others.at(Moment(1)), 300);
        assert_eq!(others.when(100, Moment(1)), Moment(21));
        assert_eq!(others.at(Moment(31)), 0);
        assert_eq!(others.gone_at(Moment(1)), Moment(31));
    }

    #[test]
    fn an_answer_that_shows_less_takes_it_away() {
        let mut others = Others::default();
        others.add(310, 30, Moment(0));
        assert_eq!(others.take(200, Moment(1)), 0);
        assert_eq!(others.at(Moment(1)), 100);
        assert_eq!(others.take(150, Moment(1)), 50, "more than there was");
        assert_eq!(others.when(0, Moment(1)), Moment(1));
    }
}

//! How a first burst grows where nothing is known but that answers come.
//!
//! A provider that only takes so many at a time says so by a refusal, at once, while what it takes is silent until
//! it is answered. So where no quota is known, more is tried as long as nobody is refused: one by one, an eighth more in
//! the time that a refusal takes, and one more for each answer. What the first refusal finds too much is an eighth then
//! at most, whatever waits; from there on [`super::crowd`] knows how many there are.

use super::QuotaKind;
use super::lane::{FIRST_REQUESTS, Lane, Wait};
use super::moment::{Moment, nanos};

/// How many may be under way where no limit is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    allowed: u64,
    /// When so many were under way.
    since: Moment,
    /// Until when nothing goes.
    shut: Moment,
}

impl Default for Opening {
    fn default() -> Self {
        let begin = Moment::default();
        Self { allowed: FIRST_REQUESTS, since: begin, shut: begin }
    }
}

impl Opening {
    /// Notes that so many are under way, one of them from now on.
    pub(super) fn begins(&mut self, under_way: u64, now: Moment) {
        if under_way >= self.allowed {
            (self.allowed, self.since) = (under_way, now);
        }
    }

    /// Notes that one was answered.
    pub(super) fn answered(&mut self) {
        self.allowed = self.allowed.saturating_add(1);
    }

    /// Lets nothing go until the others were refused as well that found no slot.
    pub(super) fn shut(&mut self, patience: u64, now: Moment) {
        self.shut = now.plus(patience);
    }

    /// Returns when one more may go beside so many, where a refusal takes `patience`; `None` if it may now.
    fn opens(&mut self, under_way: u64, patience: u64, now: Moment) -> Option<Moment> {
        if under_way < self.allowed {
            return None;
        }
        let at = self.since.plus(patience / (self.allowed / PART).max(1));
        if at > now {
            return Some(at);
        }
        self.allowed = self.allowed.saturating_add(1);
        None
    }
}

impl Lane {
    /// Returns when more may go, where the first answers have come and told no limit.
    pub(super) fn unopened(&mut self, now: Moment) -> Option<Wait> {
        let quota = QuotaKind::Concurrency;
        if self.opening.shut > now {
            return Some(Wait { at: self.opening.shut, quota });
        }
        if !self.banks.is_empty() || self.slots.most.is_some() || !self.contact.is_made() {
            return None;
        }
        let patience = self.refusal_takes();
        let at = self.opening.opens(self.slots.taken(), patience, now);
        at.map(|at| Wait { at, quota })
    }

    /// Returns in which time a refusal for want of a slot comes, in nanoseconds.
    pub(super) fn refusal_takes(&self) -> u64 {
        (nanos(self.settings.minute) / PATIENCE).saturating_add(self.grace.nanos())
    }
}

/// This part of what is under way is added in the time that a refusal takes.
const PART: u64 = 8;
/// A refusal takes this part of a minute, 100 ms, and what one request may be late.
const PATIENCE: u64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: u64 = 100;

    /// Lets go what may at each moment, of which nobody is ever answered; returns how many are under way then.
    fn under_way(moments: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let (mut opening, mut taken) = (Opening::default(), 0);
        let mut at = |now| {
            while opening.opens(taken, PATIENT, Moment(now)).is_none() {
                taken += 1;
                opening.begins(taken, Moment(now));
            }
            taken
        };
        moments.into_iter().map(&mut at).collect()
    }

    #[test]
    fn a_burst_grows_by_an_eighth_for_each_time_that_a_refusal_takes() {
        let seen = under_way((0..=20 * PATIENT).collect::<Vec<_>>());
        let at_step = |step: u64| seen[usize::try_from(step * PATIENT).expect("few")];
        assert_eq!([0, 1, 2, 3].map(at_step), [4, 5, 6, 7]);
        assert_eq!([12, 13, 20].map(at_step), [16, 18, 37]);
        assert_eq!(under_way([0, 1, 99, 100]), [4, 4, 4, 5], "no sooner");
        assert_eq!(seen[1_300..1_351].iter().max(), Some(&19), "one by one");
    }

    #[test]
    fn each_answer_lets_one_more_go() {
        let mut opening = Opening::default();
        opening.begins(4, Moment(0));
        assert_eq!(opening.opens(4, PATIENT, Moment(1)), Some(Moment(PATIENT)));
        opening.answered();
        assert_eq!(opening.opens(4, PATIENT, Moment(1)), None, "beside the four");
        assert_eq!(opening.opens(5, PATIENT, Moment(1)), Some(Moment(PATIENT)));
    }

    #[test]
    fn what_was_under_way_without_a_refusal_may_be_again() {
        let mut opening = Opening::default();
        opening.begins(40, Moment(0));
        assert_eq!(opening.opens(39, PATIENT, Moment(1)), None);
    }
}

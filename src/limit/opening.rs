//! How a first burst grows where nothing is known but that answers come.
//!
//! A provider that only takes so many at a time says so by a refusal, at once, while what it takes is silent until
//! it is answered. So where no quota is known, more is tried as long as nobody is refused: one, and when that one is
//! answered, or was not refused in the time that a refusal takes, the next. From 34 under way on, of which three in a
//! hundred are one, an eighth goes in that time, and one more for each answer. Of two on their way one may get the slot
//! of a third whose answer has not come back yet, while the other is refused: then it could not be told how many there
//! are. What the first refusal finds too much is one then, or an eighth, whatever waits; from there on [`super::crowd`]
//! knows how many there are.

use std::num::NonZeroU64;

use super::QuotaKind;
use super::lane::{FIRST_REQUESTS, Lane, Wait};
use super::moment::{Moment, nanos};

/// How many may be under way where no limit is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    allowed: u64,
    /// How many were under way at most, and since when.
    reached: u64,
    since: Moment,
    /// Counts those who tried one more, and those who ended.
    turn: u64,
    /// Until when nothing goes.
    shut: Moment,
}

impl Default for Opening {
    fn default() -> Self {
        let begin = Moment::default();
        Self { allowed: FIRST_REQUESTS, reached: 0, since: begin, turn: 0, shut: begin }
    }
}

impl Opening {
    /// Notes that so many are under way, one of them from now on. Returns its turn, if it is one more than are known
    /// to be taken.
    pub(super) fn begins(&mut self, under_way: u64, now: Moment) -> Option<NonZeroU64> {
        if under_way < self.allowed {
            return None;
        }
        if under_way > self.reached {
            (self.allowed, self.reached, self.since) = (under_way, under_way, now);
        }
        self.turn += 1;
        NonZeroU64::new(self.turn)
    }

    /// Notes that one was answered, the one of this turn, if it has one: where nobody ended meanwhile, so many are taken,
    /// and one more may try. Of many each lets one more go.
    pub(super) fn answered(&mut self, turn: Option<NonZeroU64>) {
        if self.allowed >= MANY || turn.is_some_and(|turn| turn.get() == self.turn) {
            self.allowed = self.allowed.saturating_add(1);
            self.turn += 1;
        }
    }

    /// Notes that one is over, whose slot another may have got.
    pub(super) fn ended(&mut self) {
        self.turn += 1;
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
        let at_once = if self.allowed < MANY { 1 } else { self.allowed / PART };
        let at = self.since.plus(patience / at_once);
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

/// From so many on several try in the time that a refusal takes: one too many is three in a hundred of them.
const MANY: u64 = 34;
/// They are this part of what is under way.
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
                let _tried = opening.begins(taken, Moment(now));
            }
            taken
        };
        moments.into_iter().map(&mut at).collect()
    }

    #[test]
    fn a_burst_grows_one_by_one_and_then_by_an_eighth_for_each_time_that_a_refusal_takes() {
        let seen = under_way((0..=40 * PATIENT).collect::<Vec<_>>());
        let at_step = |step: u64| seen[usize::try_from(step * PATIENT).expect("few")];
        assert_eq!([0, 1, 2, 3, 29].map(at_step), [4, 5, 6, 7, 33]);
        assert_eq!([30, 31, 32].map(at_step), [34, 38, 42], "from there on by an eighth");
        assert_eq!(under_way([0, 1, 99, 100]), [4, 4, 4, 5], "no sooner");
    }

    #[test]
    fn whoever_tries_one_more_lets_the_next_go_when_it_is_answered_and_nobody_else_does() {
        let mut opening = Opening::default();
        let fourth = opening.begins(4, Moment(0));
        assert_eq!(opening.opens(4, PATIENT, Moment(1)), Some(Moment(PATIENT)));
        opening.answered(None);
        assert_eq!(opening.opens(4, PATIENT, Moment(1)), Some(Moment(PATIENT)), "of the three");
        opening.answered(fourth);
        assert_eq!(opening.opens(4, PATIENT, Moment(1)), None, "beside the four");
        let fifth = opening.begins(5, Moment(1));
        assert_eq!(opening.opens(5, PATIENT, Moment(1)), Some(Moment(1 + PATIENT)));
        opening.answered(fourth);
        assert_eq!(opening.opens(5, PATIENT, Moment(1)), Some(Moment(1 + PATIENT)), "told before");
        opening.answered(fifth);
        assert_eq!(opening.opens(5, PATIENT, Moment(1)), None);
    }

    #[test]
    fn whoever_may_have_got_the_slot_of_one_that_ended_tells_of_none_beside_the_others() {
        let mut opening = Opening::default();
        let fourth = opening.begins(4, Moment(0));
        opening.ended();
        opening.answered(fourth);
        assert_eq!(opening.opens(4, PATIENT, Moment(1)), Some(Moment(PATIENT)));
        let again = opening.begins(4, Moment(60));
        assert_eq!(opening.opens(4, PATIENT, Moment(99)), Some(Moment(PATIENT)), "as before");
        opening.answered(again);
        assert_eq!(opening.opens(4, PATIENT, Moment(99)), None);
    }

    #[test]
    fn what_was_under_way_without_a_refusal_may_be_again() {
        let mut opening = Opening::default();
        let _tried = opening.begins(40, Moment(0));
        assert_eq!(opening.opens(39, PATIENT, Moment(1)), None);
    }
}

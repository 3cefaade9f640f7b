//! Learns how many requests may be under way at one time, where only refusals tell it.
//!
//! # What this module owns
//!
//! [`Crowd`]. A refusal that no quota explains, because it says so or because there is none and it tells neither
//! numbers nor a time, means that there was no slot: those under way that were not refused have them all.
//! So many may be under way from then on. Who had been sent before that was known may be refused, too, and
//! had no slot either. Whose answer comes so soon after the refusal that it may have been on its way had none any
//! more, or gave it to another one of those: each makes it one slot less, up to three in a hundred, as what is left
//! free is so for long. After some quiet minutes an eighth more is tried, one by one, later with each time that fails.
//! One that is refused later makes it one slot less, and where another follows soon, the limit falls: each request that ends
//! would be followed by one more refusal. Then half go, and from there on one more with each answer, until that is refused.
//!
//! # What this module does not do
//!
//! What is configured is not learned. A refusal while fewer are under way than were before had another reason, if
//! it does not say that it is this one: then nothing was learned, and for a while nothing is. Nor do refusals tell
//! anything of slots where all are refused: that is for [`super::reach`].

use super::QuotaKind;
use super::debit::{Debit, Refused};
use super::lane::Lane;
use super::moment::{Moment, nanos};

/// What refusals told of slots.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crowd {
    learned: Option<Learned>,
    /// How many minutes must be quiet before more is tried.
    quiet: u64,
    /// Until when refusals without a reason are not put down to slots.
    doubted: Moment,
    /// How many had been under way where that was mistaken for slots.
    mistaken: u64,
}

#[derive(Debug, Clone, Copy)]
struct Learned {
    most: u64,
    /// Who was let go before could not know.
    since: Moment,
    /// How many were under way before anything was known.
    before: u64,
    /// Up to how many are tried, one by one; zero where none are.
    tried: u64,
    /// Whether one that knew it was refused.
    is_refuted: bool,
    doubt: Doubtful,
}

/// Slots that may turn out to have been none.
#[derive(Debug, Clone, Copy, Default)]
struct Doubtful {
    /// So many at most.
    slots: u64,
    /// Whose answer comes until then may have had none when the refusal was made.
    until: Moment,
}

/// What was under way when a refusal came.
#[derive(Debug, Clone, Copy)]
struct Others {
    count: u64,
    /// Whose answer comes until then may have been on its way when the refusal was made.
    gone: Moment,
}

impl Crowd {
    /// Returns how many may be under way, as far as that was learned.
    pub(super) fn most(&self) -> Option<u64> {
        self.learned.map(|learned| learned.most)
    }

    /// Tells whether it was learned just now how many there are, by the first refusal of several.
    fn is_learned_at(&self, now: Moment) -> bool {
        self.learned.is_some_and(|known| known.since == now)
    }

    /// Takes in that a request let go at `granted` was refused while `others` were under way that were not; `said` is
    /// whether the refusal says that this was the reason. Returns whether it was.
    fn refused(&mut self, granted: Moment, others: Others, said: bool, now: Moment) -> bool {
        let Others { count, gone } = others;
        let Some(known) = &mut self.learned else {
            if !said && (now < self.doubted || count == 0) {
                return false;
            }
            let doubt = Doubtful { slots: count * PER_HUNDRED / 100, until: gone };
            self.learned = Some(Learned { doubt, ..Learned::new(count.max(1), count + 1, now) });
            self.quiet = (self.quiet * 2).clamp(FIRST_QUIET, MOST_QUIET);
            return true;
        };
        if granted <= known.since {
            // It was counted among those that had a slot.
            if known.most > 1 || said {
                known.most = known.most.saturating_sub(1).max(1);
                return true;
            }
            return self.forget(); // Nobody had one.
        }
        if !said && (count == 0 || count + 1 < known.most) {
            return self.forget();
        }
        // Before the last of those who were tried all went well.
        let tries = known.tried > 0;
        let most = count.min(known.most.saturating_sub(u64::from(tries))).max(1);
        let falls = !tries && known.is_refuted && now.since(known.since) < IN_A_ROW;
        let found = Learned { is_refuted: !tries, ..Learned::new(most, known.before, now) };
        *known =
            if falls { Learned { most: (most / 2).max(1), tried: most, ..found } } else { found };
        self.quiet = (self.quiet * 2).clamp(FIRST_QUIET, MOST_QUIET);
        true
    }

    /// Takes in that one was answered, or broke off.
    fn ended(&mut self, now: Moment) {
        let Some(known) = &mut self.learned else { return };
        if now <= known.doubt.until && known.doubt.slots > 0 {
            known.doubt.slots -= 1;
            known.most = known.most.saturating_sub(1).max(1);
        }
    }

    /// Forgets what was learned: it was none of slots.
    fn forget(&mut self) -> bool {
        self.mistaken = self.learned.take().map_or(0, |known| known.before);
        false
    }

    /// Returns how many had been under way where that was mistaken for slots, once.
    pub(super) fn take_mistaken(&mut self) -> u64 {
        std::mem::take(&mut self.mistaken)
    }

    /// Takes in that the provider says how many slots there are.
    fn told(&mut self, most: u64, now: Moment) -> bool {
        self.learned = Some(Learned::new(most, most, now));
        self.quiet = self.quiet.clamp(FIRST_QUIET, MOST_QUIET);
        true
    }

    /// Lets more be under way after quiet minutes of `minute` nanoseconds each: one, and as long as nobody is refused
    /// another one after each time of `patience` that a refusal takes, where all slots are taken.
    fn release(&mut self, taken: u64, (minute, patience): (u64, u64), now: Moment) {
        let Some(known) = &mut self.learned else { return };
        let quiet = now.since(known.since);
        if known.tried == 0 && quiet >= self.quiet.saturating_mul(minute) {
            known.tried = known.most.saturating_add((known.most / PART).max(1));
        }
        if known.tried > known.most && quiet >= patience && taken == known.most {
            // Who is let go now knows it.
            let since = now.minus(1);
            *known = Learned { most: known.most.saturating_add(1), since, ..*known };
        } else if quiet >= self.quiet.min(FIRST_QUIET).saturating_mul(minute) {
            known.tried = 0; // All of it went well.
        }
    }
}

impl Learned {
    fn new(most: u64, before: u64, since: Moment) -> Self {
        Self { most, since, before, tried: 0, is_refuted: false, doubt: Doubtful::default() }
    }
}

impl Lane {
    /// Tells whether a request was refused for want of a slot, and learns from it how many there are. The
    /// request is closed already.
    pub(super) fn is_crowded(
        &mut self,
        debit: &Debit,
        said: Option<&Refused>,
        now: Moment,
    ) -> bool {
        let says_so = said.is_some_and(|said| said.by == Some(QuotaKind::Concurrency));
        let is_mute = said.is_none_or(|said| {
            said.by.is_none() && said.arithmetic.is_none() && said.retry_after.is_none()
        });
        let unexplained = is_mute && self.banks.is_empty() && !debit.told;
        if self.settings.concurrency.is_some() || !says_so && !unexplained {
            return false;
        }
        let count = self.slots.taken();
        // Who was sent last may have got the slot of one whose answer was on its way.
        let gone = self.slots.latest().plus(self.grace.nanos().saturating_mul(2));
        let others = Others { count, gone };
        let had_slots = self.crowd.learned.is_some();
        let limit = said.and_then(|said| said.arithmetic).map(|told| told.limit);
        let is_crowded = match limit.filter(|limit| *limit > 0) {
            Some(limit) => self.crowd.told(limit, now),
            None => self.crowd.refused(debit.granted, others, says_so, now),
        };
        if had_slots && !is_crowded {
            self.crowd.doubted = now.plus(DOUBTED * nanos(self.settings.minute));
        }
        self.slots.most = self.crowd.most();
        if is_crowded && self.crowd.is_learned_at(now) {
            // Those that were sent with it are counted as having a slot until they are refused.
            self.opening.shut(self.refusal_takes(), now);
        }
        // Where nobody else is under way there is no answer to wait for.
        is_crowded && count > 0
    }

    /// Tries whether there are more slots by now.
    pub(super) fn try_more_slots(&mut self, now: Moment) {
        if self.settings.concurrency.is_none() {
            let patience = self.refusal_takes();
            let times = (nanos(self.settings.minute), patience);
            self.crowd.release(self.slots.taken(), times, now);
            self.slots.most = self.crowd.most();
        }
    }

    /// Takes in that a request that was not refused is over.
    pub(super) fn slot_ended(&mut self, now: Moment) {
        if self.settings.concurrency.is_none() {
            self.crowd.ended(now);
            self.slots.most = self.crowd.most();
        }
    }
}

/// So many minutes must be quiet before more is tried; doubled with each failure.
const FIRST_QUIET: u64 = 10;
const MOST_QUIET: u64 = 640;
/// So many of a hundred slots may be left free for what is not known.
const PER_HUNDRED: u64 = 3;
/// More is this part of what there is.
const PART: u64 = 8;
/// A refusal that is no further from the last one follows it, in nanoseconds: a minute.
const IN_A_ROW: u64 = 60_000_000_000;
/// For so many minutes nothing is put down to slots after that turned out to be wrong.
const DOUBTED: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: u64 = 60 * SECOND;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * SECOND)
    }

    /// So many, none of whose answers was on its way.
    fn others(count: u64) -> Others {
        Others { count, gone: Moment(0) }
    }

    #[test]
    fn those_who_were_not_refused_have_all_the_slots() {
        let mut crowd = Crowd::default();
        // Of 24 that were sent together, four come back one after the other.
        for count in [23, 22, 21, 20] {
            assert!(crowd.refused(at(1), others(count), false, at(2)));
        }
        assert_eq!(crowd.most(), Some(20));
    }

    #[test]
    fn who_ends_meanwhile_takes_no_slot_along() {
        let mut crowd = Crowd::default();
        for count in [22, 20, 18] {
            assert!(crowd.refused(at(1), others(count), false, at(2)));
        }
        assert_eq!(crowd.most(), Some(20));
    }

    #[test]
    fn a_refusal_with_free_slots_had_another_reason_unless_it_says_so() {
        let mut crowd = Crowd::default();
        assert!(crowd.refused(at(1), others(20), false, at(2)));
        assert!(crowd.refused(at(103), others(12), true, at(104)));
        assert_eq!(crowd.most(), Some(12));
        assert!(!crowd.refused(at(105), others(5), false, at(106)));
        assert_eq!(crowd.most(), None);
    }

    #[test]
    fn more_is_tried_one_by_one_after_quiet_minutes_and_later_each_time() {
        let mut crowd = Crowd::default();
        let most_at = |crowd: &mut Crowd, seconds| {
            let taken = crowd.most().expect("known");
            crowd.release(taken, (MINUTE, SECOND), at(seconds));
            crowd.most()
        };
        assert!(crowd.refused(at(1), others(16), false, at(2)));
        assert_eq!(most_at(&mut crowd, 2 + 599), Some(16));
        assert_eq!(most_at(&mut crowd, 2 + 600), Some(17));
        assert_eq!(most_at(&mut crowd, 2 + 601), Some(18), "an eighth");
        assert_eq!(most_at(&mut crowd, 2 + 602), Some(18));
        assert!(crowd.refused(at(605), others(17), false, at(606)));
        assert_eq!(most_at(&mut crowd, 606 + 1_199), Some(17), "twice as long");
        assert_eq!(most_at(&mut crowd, 606 + 1_200), Some(18));
    }

    #[test]
    fn who_may_have_been_on_the_way_when_a_refusal_was_made_had_no_slot() {
        let mut crowd = Crowd::default();
        let seen = Others { count: 40, gone: at(3) };
        assert!(crowd.refused(at(1), seen, false, at(2)));
        crowd.ended(at(3));
        assert_eq!(crowd.most(), Some(39));
        crowd.ended(at(3));
        assert_eq!(crowd.most(), Some(39), "one of 40 is all that may be left free");
        let mut crowd = Crowd::default();
        assert!(crowd.refused(at(1), seen, false, at(2)));
        crowd.ended(at(4));
        assert_eq!(crowd.most(), Some(40), "it had its slot");
    }

    #[test]
    fn a_limit_that_falls_is_found_from_below() {
        let mut crowd = Crowd::default();
        assert!(crowd.refused(at(1), others(40), false, at(2)));
        let (mut under_way, mut refusals) = (40, 0);
        // Half of them are one too many; one ends each second, and others go where they may.
        for second in 100..200 {
            crowd.release(under_way, (MINUTE, SECOND), at(second));
            under_way -= 1;
            while crowd.most().is_some_and(|most| under_way < most) {
                if under_way >= 20 {
                    refusals += 1;
                    assert!(crowd.refused(
                        at(second + 1),
                        others(under_way),
                        false,
                        at(second + 1)
                    ));
                    break;
                }
                under_way += 1;
            }
        }
        assert_eq!((refusals, crowd.most()), (3, Some(20)));
    }

    #[test]
    fn where_all_are_refused_there_is_nothing_to_learn_of_slots() {
        let mut crowd = Crowd::default();
        let told: Vec<bool> =
            (0..24).rev().map(|count| crowd.refused(at(1), others(count), false, at(2))).collect();
        assert_eq!(told.last(), Some(&false), "nobody had a slot");
        assert_eq!(crowd.take_mistaken(), 24);
        assert_eq!(crowd.most(), None);
        assert!(!crowd.refused(at(3), others(0), false, at(4)), "nor had who was alone");
        assert_eq!(crowd.most(), None);
    }
}

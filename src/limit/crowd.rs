//! Learns how many requests may be under way at one time, where only refusals tell it.
//!
//! # What this module owns
//!
//! [`Crowd`]. A refusal that no quota explains, because it says so or because there is none and it tells neither
//! numbers nor a time, means that there was no slot: those under way that were not refused have them all.
//! So many may be under way from then on. Who had been sent before that was known may be refused, too, and
//! had no slot either. After some quiet minutes an eighth more is tried, later with each time that fails.
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
    /// Who was sent before could not know.
    since: Moment,
    /// How many were under way before anything was known.
    before: u64,
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

    /// Takes in that a request sent at `sent` was refused while `others` were under way that were not; `said` is
    /// whether the refusal says that this was the reason. Returns whether it was.
    fn refused(&mut self, sent: Moment, others: u64, said: bool, now: Moment) -> bool {
        let Some(known) = &mut self.learned else {
            if !said && (now < self.doubted || others == 0) {
                return false;
            }
            let most = (others - others / ON_THEIR_WAY).max(1);
            self.learned = Some(Learned { most, since: now, before: others + 1 });
            self.quiet = (self.quiet * 2).clamp(FIRST_QUIET, MOST_QUIET);
            return true;
        };
        if sent <= known.since {
            // It was counted among those that had a slot.
            if known.most > 1 || said {
                known.most = known.most.saturating_sub(1).max(1);
                return true;
            }
            return self.forget(); // Nobody had one.
        }
        if !said && (others == 0 || others + 1 < known.most) {
            return self.forget();
        }
        *known = Learned { most: others.clamp(1, known.most), since: now, ..*known };
        self.quiet = (self.quiet * 2).clamp(FIRST_QUIET, MOST_QUIET);
        true
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
        self.learned = Some(Learned { most, since: now, before: most });
        self.quiet = self.quiet.clamp(FIRST_QUIET, MOST_QUIET);
        true
    }

    /// Lets more be under way after quiet minutes of `minute` nanoseconds each.
    fn release(&mut self, minute: u64, now: Moment) {
        let Some(known) = &mut self.learned else { return };
        if now.since(known.since) >= self.quiet.saturating_mul(minute) {
            let more = (known.most / PART).max(1);
            *known = Learned { most: known.most.saturating_add(more), since: now, ..*known };
        }
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
        let others = self.slots.taken();
        let had_slots = self.crowd.learned.is_some();
        let limit = said.and_then(|said| said.arithmetic).map(|told| told.limit);
        let is_crowded = match limit.filter(|limit| *limit > 0) {
            Some(limit) => self.crowd.told(limit, now),
            None => self.crowd.refused(debit.at, others, says_so, now),
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
        is_crowded && others > 0
    }

    /// Tries whether there are more slots by now.
    pub(super) fn try_more_slots(&mut self, now: Moment) {
        if self.settings.concurrency.is_none() {
            self.crowd.release(nanos(self.settings.minute), now);
            self.slots.most = self.crowd.most();
        }
    }
}

/// So many minutes must be quiet before more is tried; doubled with each failure.
const FIRST_QUIET: u64 = 10;
const MOST_QUIET: u64 = 640;
/// Of so many that seem to have a slot one was answered already, and that is on its way.
const ON_THEIR_WAY: u64 = 64;
/// More is this part of what there is.
const PART: u64 = 8;
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

    #[test]
    fn those_who_were_not_refused_have_all_the_slots() {
        let mut crowd = Crowd::default();
        // Of 24 that were sent together, four come back one after the other.
        for others in [23, 22, 21, 20] {
            assert!(crowd.refused(at(1), others, false, at(2)));
        }
        assert_eq!(crowd.most(), Some(20));
    }

    #[test]
    fn who_ends_meanwhile_takes_no_slot_along() {
        let mut crowd = Crowd::default();
        for others in [22, 20, 18] {
            assert!(crowd.refused(at(1), others, false, at(2)));
        }
        assert_eq!(crowd.most(), Some(20));
    }

    #[test]
    fn a_refusal_with_free_slots_had_another_reason_unless_it_says_so() {
        let mut crowd = Crowd::default();
        assert!(crowd.refused(at(1), 20, false, at(2)));
        assert!(crowd.refused(at(3), 12, true, at(4)));
        assert_eq!(crowd.most(), Some(12));
        assert!(!crowd.refused(at(5), 5, false, at(6)));
        assert_eq!(crowd.most(), None);
    }

    #[test]
    fn more_is_tried_after_quiet_minutes_and_later_each_time() {
        let mut crowd = Crowd::default();
        assert!(crowd.refused(at(1), 16, false, at(2)));
        crowd.release(MINUTE, at(2 + 599));
        assert_eq!(crowd.most(), Some(16));
        crowd.release(MINUTE, at(2 + 600));
        assert_eq!(crowd.most(), Some(18));
        for others in (16..18).rev() {
            assert!(crowd.refused(at(603), others, false, at(604)));
        }
        assert_eq!(crowd.most(), Some(16));
        crowd.release(MINUTE, at(604 + 1_199));
        assert_eq!(crowd.most(), Some(16));
        crowd.release(MINUTE, at(604 + 1_200));
        assert_eq!(crowd.most(), Some(18));
    }

    #[test]
    fn where_all_are_refused_there_is_nothing_to_learn_of_slots() {
        let mut crowd = Crowd::default();
        let told: Vec<bool> =
            (0..24).rev().map(|others| crowd.refused(at(1), others, false, at(2))).collect();
        assert_eq!(told.last(), Some(&false), "nobody had a slot");
        assert_eq!(crowd.take_mistaken(), 24);
        assert_eq!(crowd.most(), None);
        assert!(!crowd.refused(at(3), 0, false, at(4)), "nor had who was alone");
        assert_eq!(crowd.most(), None);
    }
}

//! How much goes after a refusal that tells nothing.
//!
//! # What this module owns
//!
//! [`Reach`]. Some refusals tell neither what is left nor what the limit is, as those of a provider that shows no
//! limits. Where no quota is known either, nothing bounds what goes: once their pause is over, all who wait would go at one moment, most of
//! them to be refused. So half of those who were under way may be from then on, and twice as many with
//! every twelfth of the minute that goes by after it without another one; after some in a row that spared
//! nobody, what went well before is soon there again. While nothing is served pauses double, up to that twelfth.
//!
//! # What this module does not do
//!
//! It infers no limit: after a minute without such a refusal it has forgotten all.

use super::QuotaKind;
use super::debit::{Debit, Refused};
use super::lane::{Lane, Wait};
use super::moment::{Moment, nanos};

/// What refusals without numbers leave of a lane.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach {
    cut: Option<Cut>,
    /// How many refusals have followed each other since one was served.
    in_a_row: u32,
}

#[derive(Debug, Clone, Copy)]
struct Cut {
    /// How many may be under way at first.
    most: u64,
    /// So many went well before: up to there it grows by one with each that is served.
    known: u64,
    since: Moment,
    /// When the pause ends, from which on it grows.
    over: Moment,
}

impl Reach {
    /// Takes in that a request let go at `granted` was refused while `others` were under way, in a minute of
    /// `minute` nanoseconds. Returns how long nothing is to go.
    fn refused(&mut self, (granted, others): (Moment, u64), minute: u64, now: Moment) -> u64 {
        if self.cut.is_some_and(|cut| granted <= cut.since) {
            return 0; // It could not know.
        }
        let allowed = self.allowance(minute, now).map_or(u64::MAX, |(allowed, _)| allowed);
        let most = (others.saturating_add(1).min(allowed) / 2).max(1);
        let before = self.cut.filter(|_| self.in_a_row > 0);
        let known = before.map_or(most, |cut| cut.known);
        let pause = (minute / FIRST_PAUSE).saturating_mul(1 << self.in_a_row).min(minute / STEP);
        self.in_a_row = (self.in_a_row + 1).min(MOST_DOUBLED);
        self.cut = Some(Cut { most, known, since: now, over: now.plus(pause) });
        pause
    }

    /// Notes that a request sent at `sent` was served.
    pub(super) fn served(&mut self, sent: Moment) {
        if let Some(cut) = self.cut.as_mut().filter(|cut| sent > cut.since) {
            self.in_a_row = 0;
            cut.most = cut.most.max((cut.most + 1).min(cut.known));
        }
    }

    /// Returns how many may be under way, and when that doubles; `None` where nothing speaks against any
    /// number.
    fn allowance(&self, minute: u64, now: Moment) -> Option<(u64, Moment)> {
        let step = (minute / STEP).max(1);
        let cut = self.cut?;
        let steps = now.since(cut.over) / step;
        let allowed = cut.most.saturating_mul(1 << steps.min(STEP));
        (steps < STEP).then_some((allowed, cut.over.plus((steps + 1).saturating_mul(step))))
    }
}

impl Lane {
    /// Returns until when nobody else may go, because of refusals that told nothing.
    pub(super) fn out_of_reach(&self, now: Moment) -> Option<Wait> {
        let (allowed, at) = self.reach.allowance(nanos(self.settings.minute), now)?;
        let quota = QuotaKind::Concurrency;
        (self.open.count >= allowed).then_some(Wait { at, quota })
    }

    /// Returns how long nothing is to go after the refusal of `debit`, which is closed already, if that
    /// told nothing.
    pub(super) fn pause(&mut self, debit: &Debit, said: Option<&Refused>, now: Moment) -> u64 {
        let of_slots = said.is_some_and(|said| said.by == Some(QuotaKind::Concurrency));
        let is_bounded = !self.banks.is_empty() && !of_slots;
        if is_bounded || debit.told {
            return 0;
        }
        let minute = nanos(self.settings.minute);
        let others = self.open.count.max(self.crowd.take_mistaken());
        self.reach.refused((debit.granted, others), minute, now)
    }
}

/// The first pause is so small a part of the minute: half a second.
const FIRST_PAUSE: u64 = 120;
/// The longest pause, and the time in which twice as many may go, is this part: five seconds.
const STEP: u64 = 12;
/// So many doublings are more than any pause takes.
const MOST_DOUBLED: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn allowed(reach: &Reach, now: u64) -> Option<u64> {
        reach.allowance(MINUTE, Moment(now)).map(|(allowed, _)| allowed)
    }

    #[test]
    fn half_may_be_under_way_and_twice_as_many_with_every_step() {
        let mut reach = Reach::default();
        assert_eq!(allowed(&reach, 0), None, "nothing was refused");
        reach.refused((Moment(1), 299), MINUTE, Moment(10));
        assert_eq!(allowed(&reach, 10), Some(150));
        assert_eq!(allowed(&reach, 5_509), Some(150), "after a pause of half a second");
        assert_eq!(allowed(&reach, 5_510), Some(300));
        assert_eq!(allowed(&reach, 60_509), Some(150 << 11));
        assert_eq!(allowed(&reach, 60_510), None, "it is forgotten");
    }

    #[test]
    fn those_who_were_sent_before_say_nothing_new() {
        let mut reach = Reach::default();
        reach.refused((Moment(1), 299), MINUTE, Moment(10));
        for others in (0..299).rev() {
            assert_eq!(reach.refused((Moment(10), others), MINUTE, Moment(11)), 0);
        }
        assert_eq!(allowed(&reach, 11), Some(150));
    }

    #[test]
    fn pauses_double_until_something_is_served() {
        let mut reach = Reach::default();
        let refused =
            |reach: &mut Reach, now| reach.refused((Moment(now - 1), 7), MINUTE, Moment(now));
        let pauses: Vec<u64> = (1..8).map(|n| refused(&mut reach, n * 10)).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
        assert_eq!(allowed(&reach, 70), Some(1), "at last one at a time");
        reach.served(Moment(75));
        assert_eq!(refused(&mut reach, 80), 500);
    }

    #[test]
    fn what_went_well_before_is_there_again_as_soon_as_as_many_are_served() {
        let mut reach = Reach::default();
        for now in (10..100).step_by(10) {
            let others = reach.cut.map_or(99, |cut| cut.most - 1);
            reach.refused((Moment(now - 1), others), MINUTE, Moment(now));
        }
        assert_eq!(allowed(&reach, 91), Some(1));
        reach.served(Moment(89));
        assert_eq!(allowed(&reach, 91), Some(1), "it was sent before");
        (0..20).for_each(|_| reach.served(Moment(91)));
        assert_eq!(allowed(&reach, 92), Some(21));
        (0..200).for_each(|_| reach.served(Moment(91)));
        assert_eq!(allowed(&reach, 92), Some(50), "half of the hundred that were too many");
        // A cut after some were served takes back what is known.
        reach.refused((Moment(92), 39), MINUTE, Moment(93));
        (0..200).for_each(|_| reach.served(Moment(94)));
        assert_eq!(allowed(&reach, 95), Some(20));
    }
}

//! What goes although it is not certain that there is room.
//!
//! # What this module owns
//!
//! When all quotas of a lane have [`Room`]: by every belief that may be true, and by the likeliest alone.
//! Where a quota is worth a few requests, beliefs that wait for each other's windows would never be told
//! apart: by the time at which the strictest has room, all of them are full again. So where nothing is under
//! way whose answer could tell, one request goes when the likeliest has room: its answer decides. [`Doubt`]
//! bounds how often that goes wrong.

use std::cell::OnceCell;

use super::bank::Need;
use super::debit::Debit;
use super::lane::{Lane, Wait};
use super::meter::NEVER;
use super::moment::{Moment, nanos};
use super::offer::Offer;
use super::under_way::Back;
use super::{Needed, Spare};

/// When quotas have room, and which is the last of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// By all that may be true.
    pub(super) surely: Option<Wait>,
    /// By the likeliest.
    pub(super) likely: Option<Wait>,
}

/// How often it went wrong to rely on the likeliest belief.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doubt {
    /// From when on another one may try.
    until: Moment,
    /// How long that took.
    pause: u64,
}

impl Doubt {
    /// Notes that one was refused who relied on it: the next tries later, each time twice as much.
    pub(super) fn refuted(&mut self, minute: u64, now: Moment) {
        self.pause = self.pause.saturating_mul(2).clamp(minute / FIRST_PAUSE, minute);
        self.until = now.plus(self.pause);
    }

    /// Returns when one may rely on it who would have room then. Who never would, but may have by another
    /// belief, need not wait for that one.
    pub(super) fn puts_off(&self, likely: Option<Wait>) -> Option<Wait> {
        likely.map(|wait| {
            let at = if wait.at == NEVER { self.until } else { wait.at.max(self.until) };
            Wait { at, ..wait }
        })
    }

    /// Notes that one went who relied on it.
    pub(super) fn confirmed(&mut self) {
        *self = Self::default();
    }
}

impl Lane {
    /// Returns until when quotas hold a request back, and whether it dares to go although it is not certain
    /// that they do not.
    pub(super) fn held_by_quotas(
        &mut self,
        offer: &Offer,
        spare: Spare,
        now: Moment,
    ) -> (Option<Wait>, bool) {
        let Room { surely, likely } = self.fits_quotas(offer, (spare, None), now);
        match (surely, self.doubt.puts_off(likely)) {
            (Some(sure), Some(dares)) if sure.at > dares.at && self.open.count == 0 => {
                (Some(dares), dares.at <= now)
            }
            _ => (surely, false),
        }
    }

    /// Takes in whether a request was refused that relied on the likeliest belief.
    pub(super) fn dared(&mut self, debit: &Debit, refused: bool, now: Moment) {
        match (debit.dares, refused) {
            (true, true) => self.doubt.refuted(nanos(self.settings.minute), now),
            (true, false) => self.doubt.confirmed(),
            (false, _) => {}
        }
    }

    /// Returns when all quotas have room, if so much comes `back` of what is under way.
    pub(super) fn fits_quotas(
        &mut self,
        offer: &Offer,
        (spare, back): (Spare, Option<&Back>),
        now: Moment,
    ) -> Room {
        let output = self.outputs.most(offer.bound);
        let mut need = Need {
            charge: offer.charge,
            leading: self.leading,
            output: (output, self.outputs.sum(1, output)),
            under_way: &self.under_way,
            outputs: &self.outputs,
            dues: [OnceCell::new(), OnceCell::new()],
            spare: Needed::default(),
            short: self.absent.short(&self.open.charge.assumed),
            back,
            minute: nanos(self.settings.minute),
            grace: self.grace.nanos(),
        };
        let grace = need.grace;
        let mut room = Room { surely: None, likely: None };
        for bank in &mut self.banks {
            need.spare = spare.of(bank.kind);
            need.grace = if bank.kind.is_slice() { self.grace.jitter() } else { grace };
            let (surely, likely) = bank.when(&need, now);
            let wait = |at| Some(Wait { at, quota: bank.kind });
            room.surely = room.surely.max(wait(surely));
            room.likely = room.likely.max(wait(likely));
        }
        room
    }
}

/// The first pause is this part of a minute.
const FIRST_PAUSE: u64 = 60;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::count::{Demand, Method};
    use crate::limit::{Hint, LaneSettings, QuotaHint, RefusalHint, Shortfall};
    use crate::units::{Requests, Tokens, Usage};

    const LIMIT: u64 = 1_000;

    fn reserve(lane: &mut Lane, bound: u64, now: Instant) -> Result<Debit, Shortfall> {
        let demand = Demand {
            requests: Requests::ONE,
            input: Tokens::ZERO,
            output_bound: Some(Tokens::new(bound)),
            characters: 0,
            images: 0,
            method: Method::Exact,
        };
        lane.try_reserve(&demand, Spare::default(), now)
    }

    /// A lane whose first request may have been given back nearly all of the 600 that it was charged.
    fn unsure(now: Instant) -> Lane {
        let limit = Some(LIMIT);
        let settings = LaneSettings { tokens_per_minute: limit, ..LaneSettings::default() };
        let mut lane = Lane::new(settings, now);
        let mut debit = reserve(&mut lane, 600, now).expect("the first may go");
        lane.sent(&mut debit, now);
        let left = QuotaHint { limit: LIMIT, remaining: Some(400), ..QuotaHint::default() };
        lane.observe(&mut debit, &Hint { tokens: Some(left), ..Hint::default() }, now);
        let usage = Usage { output: Tokens::new(10), ..Usage::default() };
        let _cost = lane.settle(debit, &usage, now);
        lane
    }

    #[test]
    fn one_goes_when_the_likeliest_has_room_and_nothing_is_under_way() {
        let now = Instant::now() + Duration::from_secs(5);
        let mut lane = unsure(now);
        let first = reserve(&mut lane, 600, now).expect("it may have been given back");
        assert!(first.dares, "it may not");
        assert!(reserve(&mut lane, 300, now).is_err(), "its answer tells");
        let sure = reserve(&mut unsure(now), 300, now).expect("all have room");
        assert!(!sure.dares);
    }

    #[test]
    fn who_dared_and_was_refused_is_followed_later() {
        let now = Instant::now();
        let mut lane = unsure(now);
        let mut debit = reserve(&mut lane, 600, now).expect("it may have been given back");
        lane.sent(&mut debit, now);
        let refusal =
            Some(RefusalHint { quota: None, limit: LIMIT, used: Some(600), requested: 600 });
        lane.observe(&mut debit, &Hint { refusal, ..Hint::default() }, now);
        lane.refused(debit, now);
        let again = reserve(&mut lane, 600, now + Duration::from_millis(900));
        assert!(again.is_err(), "it was not given back: {again:?}");
    }

    #[test]
    fn who_is_too_large_by_the_likeliest_belief_finds_out() {
        let now = Instant::now();
        let mut lane = unsure(now);
        let mut debit = reserve(&mut lane, LIMIT + 200, now).expect("outputs may be charged later");
        assert!(debit.dares, "they may not");
        lane.sent(&mut debit, now);
        let refusal = RefusalHint { quota: None, limit: LIMIT, used: None, requested: LIMIT + 200 };
        lane.observe(&mut debit, &Hint { refusal: Some(refusal), ..Hint::default() }, now);
        lane.refused(debit, now);
        let again = reserve(&mut lane, LIMIT + 200, now + Duration::from_secs(9));
        assert!(matches!(again, Err(Shortfall::TooLarge { limit: LIMIT, .. })), "{again:?}");
    }

    #[test]
    fn pauses_double_until_one_goes() {
        let mut doubt = Doubt::default();
        let mut pause = || {
            doubt.refuted(6_000, Moment(0));
            doubt.until.0
        };
        assert_eq!([pause(), pause(), pause()], [100, 200, 400]);
        doubt.confirmed();
        doubt.refuted(6_000, Moment(0));
        assert_eq!(doubt.until.0, 100);
    }
}

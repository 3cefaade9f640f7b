//! What a demand comes to, and whether and when it can fit.

use tokio::time::Instant;

use super::bank::Bank;
use super::charge::{Assumed, Charge};
use super::debit::Bounded;
use super::doubt::Room;
use super::estimate::Prompt;
use super::lane::{FIRST_PART, Lane};
use super::meter::NEVER;
use super::moment::{Moment, nanos};
use super::outputs::MODEST;
use super::under_way::Back;
use super::{QuotaKind, Spare};
use crate::count::Demand;
use crate::units::Tokens;

/// What a demand comes to.
pub(super) struct Offer {
    pub(super) charge: Charge,
    /// What is charged even if an absent output bound costs nothing.
    pub(super) certain: Charge,
    /// What its output cannot exceed.
    pub(super) bound: Option<u64>,
    pub(super) bounded: Bounded,
    pub(super) prompt: Prompt,
}

impl Lane {
    /// Works out what `demand` is charged. An output bound that the client did not state is assumed,
    /// but never so large that the request could not fit an untouched quota.
    pub(super) fn offer(&self, demand: &Demand) -> Offer {
        let stated = demand.output_bound.map(Tokens::count);
        let known = stated.or(self.settings.absent_max);
        let least = self.least_token_limit();
        let usual = self.outputs.usual().unwrap_or(MODEST);
        let guess = least.map_or(usual, |least| least / FIRST_PART);
        let (assumed, bounded) = match known {
            Some(known) => (known, Bounded::Known),
            None => self.assumed(usual, guess),
        };
        let prompt = Prompt::of(demand);
        let mut certain = Charge {
            requests: demand.requests.count(),
            estimate: self.estimates.estimate(prompt),
            bound: stated.unwrap_or(0),
            images: demand.images,
            assumed: Assumed::default(),
        };
        // What fits the smallest limit with all of its bound fits, however it is charged.
        if least.is_some_and(|least| certain.estimate.saturating_add(certain.bound) > least) {
            certain = self.fitting(certain, self.estimates.true_one(prompt));
        }
        let mut charge = Charge { bound: assumed, ..certain };
        if stated.is_none()
            && let Some(least) = least
        {
            charge.bound = assumed.min(least.saturating_sub(certain.estimate));
        }
        if bounded != Bounded::Known {
            charge.assumed = Assumed { count: 1, bound: charge.bound };
        }
        Offer { charge, certain, bound: known, bounded, prompt }
    }

    /// Lowers the estimate of a prompt to what fits an untouched quota, but not below its `least`, its tokens: what is too
    /// large only by another measure may be served, and as long as nothing is sent nothing is learned of measures.
    fn fitting(&self, mut certain: Charge, least: u64) -> Charge {
        // Once for each quota that it may exceed.
        for _ in &self.banks {
            if certain.estimate <= least {
                break;
            }
            let Some((_, limit, wanted)) = self.exceeded(&certain) else { break };
            let lower = certain.estimate.saturating_sub(wanted.saturating_sub(limit));
            certain.estimate = lower.max(least);
        }
        certain
    }

    /// Returns the quota that is too small for `demand` ever to fit, with its limit and what the
    /// demand would be charged; `None` if it can fit.
    ///
    /// A limit that only an answer told may have been raised since: when a minute went by without
    /// an answer and nothing is under way, one request may try it.
    pub fn oversize(&self, demand: &Demand, now: Instant) -> Option<(QuotaKind, u64, u64)> {
        let exceeded = self.exceeded(&self.offer(demand).certain);
        exceeded.filter(|over| !self.may_be_tried(over, self.time.peek(now)))
    }

    /// Returns what is expected to come back of the bounds of all that is under way.
    pub fn back(&self) -> Back {
        self.under_way.back(&self.outputs)
    }

    /// Returns when all quotas have room for `demand` at the earliest: if so much came `back` now.
    pub fn hoped(
        &mut self,
        demand: &Demand,
        (spare, back): (Spare, &Back),
        now: Instant,
    ) -> Instant {
        let now = self.time.advance(now);
        let offer = self.offer(demand);
        let room = self.fits_quotas(&offer, (spare, Some(back)), now);
        self.time.instant(room.surely.map_or(now, |wait| wait.at))
    }

    /// Returns when `demand` may go at the earliest, if nobody else does and all that is expected came back
    /// now of what is under way.
    pub fn soonest(&mut self, demand: &Demand, spare: Spare, now: Instant) -> Instant {
        let now = self.time.advance(now);
        let (offer, back) = (self.offer(demand), self.back());
        let Room { surely, likely } = self.fits_quotas(&offer, (spare, Some(&back)), now);
        let held = self.hold.and_then(|hold| hold.wait(now));
        let latest = surely
            .min(self.doubt.puts_off(likely))
            .max(held)
            .max(self.restrained(&offer.charge, now));
        // What takes an answer may come at any time.
        let latest = latest.filter(|wait| wait.at != NEVER);
        self.time.instant(latest.map_or(now, |wait| wait.at.max(now)))
    }

    /// Tells whether one request may try a limit that it exceeds.
    pub(super) fn may_be_tried(
        &self,
        (kind, limit, _): &(QuotaKind, u64, u64),
        now: Moment,
    ) -> bool {
        let silent = now.since(self.heard) >= nanos(self.settings.minute);
        silent && self.open.count == 0 && self.settings.limit(*kind) != Some(*limit)
    }

    /// Returns the quota that no plausible belief lets `certain` ever fit, its limit, and what the
    /// least of them would debit.
    pub(super) fn exceeded(&self, certain: &Charge) -> Option<(QuotaKind, u64, u64)> {
        let banks = self.banks.iter().filter(|bank| !bank.kind.is_slice());
        let mut debits =
            banks.map(|bank| (bank.kind, bank.limit(), bank.least_debit(certain, self.leading)));
        debits.find(|(_, limit, debit)| debit > limit)
    }

    pub(super) fn least_token_limit(&self) -> Option<u64> {
        let token_banks = self.banks.iter().filter(|bank| bank.kind.is_of_tokens());
        token_banks.filter(|bank| !bank.kind.is_slice()).map(Bank::limit).min()
    }
}

//! What requests come to in the end: the measure of shares and of the time that a queue takes.

use tokio::time::Instant;

use super::QuotaKind;
use super::bank::Bank;
use super::charge::Charge;
use super::lane::Lane;
use super::meter::float;
use super::moment::nanos;
use super::settings::Charging;
use crate::count::Demand;
use crate::units::{Tokens, Usage};

/// What one request or several are charged when they are over: as expected, or as it became known.
///
/// Where the provider refunds nothing, that is what it reserves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many requests.
    pub requests: u64,
    /// How many tokens.
    pub tokens: u64,
}

impl Cost {
    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    /// Returns what is left without `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }

    /// Returns the part that a quota of `kind` is charged; `None` where it is charged nothing.
    pub(super) fn of(self, kind: QuotaKind) -> Option<u64> {
        match kind {
            kind if kind.is_of_requests() => Some(self.requests),
            kind if kind.is_of_tokens() => Some(self.tokens),
            QuotaKind::InputTokensPerMinute => Some(self.tokens),
            _ => None,
        }
    }
}

impl Lane {
    /// Returns what `demand` is expected to be charged when it is over.
    pub fn expected(&self, demand: &Demand) -> Cost {
        let offer = self.offer(demand);
        let output = self.outputs.mean(self.outputs.most(offer.bound));
        Cost { requests: offer.charge.requests, tokens: self.leading.last(&offer.charge, output) }
    }

    /// Returns how many tokens `demand` is expected to be answered with.
    pub fn usual_output(&self, demand: &Demand) -> u64 {
        self.outputs.mean(self.outputs.most(self.offer(demand).bound))
    }

    /// Returns what has to be free for `demand` to go: all that is debited until its use is known.
    pub fn reserved(&self, demand: &Demand) -> Cost {
        let offer = self.offer(demand);
        let mut tokens = offer.charge.tokens(self.leading);
        if !self.leading.reserves_bound() {
            let output = self.outputs.mean(self.outputs.most(offer.bound));
            tokens = tokens.saturating_add(output);
        }
        Cost { requests: offer.charge.requests, tokens }
    }

    /// Returns the largest part that `cost` takes of any of the lane's limits, its slots included: 1
    /// is a whole window of one quota. Zero while no limit is known.
    pub fn share(&self, cost: &Cost) -> f64 {
        let parts = self.banks.iter().filter_map(|bank| {
            let amount = cost.of(bank.kind)?;
            Some(float(amount) / float(bank.limit()))
        });
        parts.fold(self.slots.share(cost.requests, nanos(self.settings.minute)), f64::max)
    }

    /// Returns when `cost` will have gone through this lane, if all of it waited now and nothing else
    /// came: what waits before a caller, and the caller itself, give its place in time.
    ///
    /// What requests under way are expected to give back is counted in.
    pub fn eta(&self, cost: &Cost, now: Instant) -> Instant {
        let moment = self.time.peek(now);
        let grace = self.grace.nanos();
        let held = self.hold.and_then(|hold| hold.wait(moment));
        let mut latest = held.map_or(moment, |wait| wait.at);
        for bank in &self.banks {
            let Some(amount) = cost.of(bank.kind) else { continue };
            let back = if bank.kind.is_of_tokens() { self.coming_back(bank) } else { 0 };
            let rest = amount.saturating_sub(back);
            latest = latest.max(bank.gone_through(rest, moment, grace));
        }
        latest = latest.max(self.slots.gone_through(cost.requests, moment));
        self.time.instant(latest)
    }

    /// Returns what a request of this size was charged that used `usage`.
    pub(super) fn charged(&self, charge: &Charge, usage: &Usage) -> Cost {
        let corrected = self.leading.corrected(QuotaKind::TokensPerMinute, usage);
        let last = || self.leading.last(charge, usage.output.count());
        Cost { requests: charge.requests, tokens: corrected.unwrap_or_else(last) }
    }

    /// Returns the tokens that requests under way are expected to give back, less the output that
    /// they will still be charged.
    fn coming_back(&self, bank: &Bank) -> u64 {
        match bank.charging(self.leading) {
            Charging::Refund => {
                self.open.charge.bound.saturating_sub(self.under_way.mean(&self.outputs))
            }
            Charging::Max | Charging::Later | Charging::Split => 0,
        }
    }
}

impl From<Cost> for Tokens {
    /// Returns the tokens alone.
    fn from(cost: Cost) -> Self {
        Self::new(cost.tokens)
    }
}

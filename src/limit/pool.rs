//! What outputs were so far, and how much of those under way is still to be expected.
//!
//! # What this module owns
//!
//! [`Outputs`], the running mean and spread of what answers used, and [`Pool`], the sum of what the
//! requests under way are expected to use. Where output is charged when it is known, the pool is
//! kept free: its mean plus two standard deviations of the sum, never above the sum of the bounds.
//!
//! # Invariants
//!
//! 1. What a share adds when it enters the pool, it takes out when it leaves: integers, no drift.

use serde::{Deserialize, Serialize};

use super::cohort::{Cohort, Member};
use super::meter::float;

/// What outputs were so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Outputs {
    /// How many answers are in mean and variance.
    seen: u32,
    mean: f64,
    variance: f64,
    /// What those were that ended first, while nothing better is known.
    #[serde(skip)]
    early: Early,
    #[serde(skip)]
    cohort: Cohort,
}

/// What the first answers used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Early {
    seen: u32,
    mean: f64,
    most: u64,
}

/// The part of one request in the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    mean: u64,
    /// The mean, as far as it is known.
    upper: u64,
    /// The standard deviation.
    spread: u64,
    /// `None`: it has no bound.
    bound: Option<u64>,
}

/// What is expected of all requests under way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pool {
    mean: u64,
    upper: u64,
    variance: u128,
    bounds: u64,
    unbounded: u32,
}

impl Outputs {
    /// Takes a request that is being sent into the sample, if it has a place there.
    pub(super) fn join(&mut self) -> Member {
        self.cohort.join()
    }

    /// Takes in that the answer to a request used `output` tokens; `None` where that was never known.
    pub(super) fn learn(&mut self, member: Member, output: Option<u64>) {
        if let Some(output) = output {
            self.early.seen = self.early.seen.saturating_add(1);
            self.early.mean += (float(output) - self.early.mean) / f64::from(self.early.seen);
            self.early.most = self.early.most.max(output);
        }
        if let Some(sample) = self.cohort.end(member, output) {
            let weight = (f64::from(sample.size) / f64::from(self.seen + sample.size)).max(0.2);
            let off = sample.mean - self.mean;
            self.mean += weight * off;
            let spread = self.variance + weight * off * off;
            self.variance = (1.0 - weight) * spread + weight * sample.variance;
            self.seen = self.seen.saturating_add(sample.size).min(MOST_SEEN);
        }
    }

    /// Returns whether any answer was seen.
    pub(super) fn is_known(&self) -> bool {
        self.seen > 0 || self.early.seen > 0
    }

    /// Returns it without what no answers can have led to: it comes from a file.
    pub(super) fn sane(self) -> Self {
        let is_sane = |number: f64| number.is_finite() && number >= 0.0;
        if is_sane(self.mean) && is_sane(self.variance) { self } else { Self::default() }
    }

    /// Returns how much one answer may be expected to use: the mean and one deviation; `None` while
    /// nothing is known.
    pub(super) fn usual(&self) -> Option<u64> {
        if self.seen > 0 {
            return Some(whole(self.mean + self.variance.sqrt()));
        }
        (self.early.seen > 0).then_some(self.early.most)
    }

    /// Returns what to expect of a request with this bound: all of it while nothing is known.
    pub(super) fn share(&self, bound: Option<u64>) -> Share {
        let most = bound.unwrap_or(u64::MAX);
        if self.seen == 0 {
            let early = (self.early.seen > 0).then(|| whole(self.early.mean).min(most));
            let upper = bound.unwrap_or(MODEST.max(self.early.most));
            return Share { mean: early.unwrap_or(upper), upper, spread: 0, bound };
        }
        // The mean itself is known from so many answers only.
        let unsure = 2.0 * (self.variance / f64::from(self.seen)).sqrt();
        let spread = whole(self.variance.sqrt()).min(most).min(u64::from(u32::MAX));
        Share {
            mean: whole(self.mean).min(most),
            upper: whole(self.mean + unsure).min(most),
            spread,
            bound,
        }
    }
}

impl Share {
    /// Returns what is expected of it.
    pub(super) fn mean(&self) -> u64 {
        self.mean
    }

    /// Returns the share of a request that has had `tokens` of output so far.
    ///
    /// Output is charged when it is known, which is at the end: what is there already is charged
    /// for certain, and only the rest is still open.
    pub(super) fn seen(self, tokens: u64) -> Self {
        let most = self.bound.unwrap_or(u64::MAX);
        let mean = self.mean.max(tokens).min(most);
        let upper = self.upper.max(tokens).min(most);
        Self { mean, upper, spread: self.spread.min(most.saturating_sub(tokens)), ..self }
    }

    /// Returns what it may take.
    pub(super) fn upper(&self) -> u64 {
        self.upper
    }

    fn variance(&self) -> u128 {
        u128::from(self.spread) * u128::from(self.spread)
    }

    /// Returns whether it may have any output at all.
    pub(super) fn may_have_output(&self) -> bool {
        self.bound != Some(0)
    }
}

impl Pool {
    /// Returns the pool with one more request.
    pub(super) fn with(mut self, share: Share) -> Self {
        self.mean = self.mean.saturating_add(share.mean);
        self.upper = self.upper.saturating_add(share.upper);
        self.variance = self.variance.saturating_add(share.variance());
        self.bounds = self.bounds.saturating_add(share.bound.unwrap_or(0));
        self.unbounded += u32::from(share.bound.is_none());
        self
    }

    /// Returns the pool with one request less.
    pub(super) fn without(mut self, share: Share) -> Self {
        self.mean = self.mean.saturating_sub(share.mean);
        self.upper = self.upper.saturating_sub(share.upper);
        self.variance = self.variance.saturating_sub(share.variance());
        self.bounds = self.bounds.saturating_sub(share.bound.unwrap_or(0));
        self.unbounded = self.unbounded.saturating_sub(u32::from(share.bound.is_none()));
        self
    }

    /// Returns what is expected of all of them together.
    pub(super) fn mean(&self) -> u64 {
        self.mean
    }

    /// Returns what has to be kept free for it.
    pub(super) fn reserve(&self) -> u64 {
        let deviation = u64::try_from(self.variance.isqrt()).unwrap_or(u64::MAX);
        let likely = self.upper.saturating_add(deviation.saturating_mul(2));
        if self.unbounded == 0 { likely.min(self.bounds) } else { likely }
    }
}

/// Reserved for an output without a bound before anything is known: what a short answer has.
pub(super) const MODEST: u64 = 256;

/// So many answers are remembered: what outputs are like may change.
const MOST_SEEN: u32 = 1_024;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
fn whole(amount: f64) -> u64 {
    amount.ceil() as u64
}

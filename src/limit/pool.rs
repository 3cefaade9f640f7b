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

use super::meter::float;

/// What outputs were so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outputs {
    seen: u32,
    mean: f64,
    variance: f64,
}

/// The part of one request in the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    mean: u64,
    variance: u128,
    /// `None`: it has no bound.
    bound: Option<u64>,
}

/// What is expected of all requests under way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pool {
    mean: u64,
    variance: u128,
    bounds: u64,
    unbounded: u32,
}

impl Outputs {
    /// Takes in that an answer used `output` tokens.
    pub(super) fn learn(&mut self, output: u64) {
        self.seen = self.seen.saturating_add(1);
        let weight = (1.0 / f64::from(self.seen)).max(0.05);
        let off = float(output) - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
    }

    /// Returns whether any answer was seen.
    pub(super) fn is_known(&self) -> bool {
        self.seen > 0
    }

    /// Returns it without what no answers can have led to: it comes from a file.
    pub(super) fn sane(self) -> Self {
        let is_sane = |number: f64| number.is_finite() && number >= 0.0;
        if is_sane(self.mean) && is_sane(self.variance) { self } else { Self::default() }
    }

    /// Returns how much one answer may be expected to use: the mean and one deviation; `None` while
    /// nothing is known.
    pub(super) fn usual(&self) -> Option<u64> {
        (self.seen > 0).then(|| whole(self.mean + self.variance.sqrt()))
    }

    /// Returns what to expect of a request with this bound: all of it while nothing is known.
    pub(super) fn share(&self, bound: Option<u64>) -> Share {
        if self.seen == 0 {
            return Share { mean: bound.unwrap_or(MODEST), variance: 0, bound };
        }
        let most = bound.unwrap_or(u64::MAX);
        let spread = u128::from(whole(self.variance.sqrt()).min(most).min(u64::from(u32::MAX)));
        Share { mean: whole(self.mean).min(most), variance: spread * spread, bound }
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
        let rest = u128::from(most.saturating_sub(tokens).min(u64::from(u32::MAX)));
        Self { mean, variance: self.variance.min(rest * rest), ..self }
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
        self.variance = self.variance.saturating_add(share.variance);
        self.bounds = self.bounds.saturating_add(share.bound.unwrap_or(0));
        self.unbounded += u32::from(share.bound.is_none());
        self
    }

    /// Returns the pool with one request less.
    pub(super) fn without(mut self, share: Share) -> Self {
        self.mean = self.mean.saturating_sub(share.mean);
        self.variance = self.variance.saturating_sub(share.variance);
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
        let likely = self.mean.saturating_add(deviation.saturating_mul(2));
        if self.unbounded == 0 { likely.min(self.bounds) } else { likely }
    }
}

/// Reserved for an output without a bound before anything is known: what a short answer has.
pub(super) const MODEST: u64 = 256;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
fn whole(amount: f64) -> u64 {
    amount.ceil() as u64
}

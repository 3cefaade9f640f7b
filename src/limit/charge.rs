//! What a provider charges for a request, and when.
//!
//! # What this module owns
//!
//! [`Charge`], the amounts that are debited at admission, and [`Tariff`], which turns a demand into
//! one. Output that is charged later is not in it: [`super::pool`] reserves that.

use super::QuotaKind;
use super::settings::{Charging, Estimator};
use crate::count::Demand;

/// How a lane charges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tariff {
    pub(super) charging: Charging,
    pub(super) estimator: Estimator,
}

/// What is debited at admission.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) requests: u64,
    /// From the quotas of input and output together.
    pub(super) tokens: u64,
    /// From the quota of input alone.
    pub(super) input: u64,
    pub(super) images: u64,
}

impl Tariff {
    /// Returns what `demand` is charged at admission if its output has at most `bound` tokens.
    pub(super) fn charge(&self, demand: &Demand, bound: u64) -> Charge {
        let estimate = self.estimate(demand);
        let tokens = match self.charging {
            Charging::Max => estimate.max(bound),
            Charging::Refund => estimate.saturating_add(bound),
            Charging::Later | Charging::Split => estimate,
        };
        let requests = demand.requests.count();
        Charge { requests, tokens, input: estimate, images: demand.images }
    }

    /// Returns the tokens that a request debited `charge` is charged in the end, if it has `output`.
    pub(super) fn last(&self, charge: &Charge, output: u64) -> u64 {
        match self.charging {
            Charging::Max => charge.tokens,
            Charging::Refund | Charging::Later | Charging::Split => {
                charge.input.saturating_add(output)
            }
        }
    }

    /// Returns whether what is reported as used replaces the estimates.
    pub(super) fn is_corrected_by_usage(&self) -> bool {
        matches!(self.charging, Charging::Refund | Charging::Split)
    }

    /// Returns whether the output bound is debited at admission.
    pub(super) fn reserves_bound(&self) -> bool {
        matches!(self.charging, Charging::Max | Charging::Refund)
    }

    /// Returns whether `kind` is charged for output when it is known.
    pub(super) fn charges_later(&self, kind: QuotaKind) -> bool {
        match kind {
            QuotaKind::TokensPerMinute | QuotaKind::TokensPerDay => !self.reserves_bound(),
            QuotaKind::OutputTokensPerMinute => true,
            _ => false,
        }
    }

    /// Returns whether the estimate debited from `kind` is replaced by the actual use.
    pub(super) fn corrects(&self, kind: QuotaKind) -> bool {
        match kind {
            QuotaKind::TokensPerMinute | QuotaKind::TokensPerDay => {
                self.charging == Charging::Refund
            }
            QuotaKind::InputTokensPerMinute => true,
            _ => false,
        }
    }

    /// Returns the provider's estimate of the prompt.
    fn estimate(&self, demand: &Demand) -> u64 {
        let quarter = demand.characters.div_ceil(4);
        match self.estimator {
            Estimator::Tokens => demand.input.count(),
            Estimator::Chars4 => quarter,
            Estimator::Max => demand.input.count().max(quarter),
        }
    }
}

impl Charge {
    /// Returns the sum of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
            input: self.input.saturating_add(other.input),
            images: self.images.saturating_add(other.images),
        }
    }

    /// Returns what is left without `other`.
    pub(super) fn minus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.saturating_sub(other.tokens),
            input: self.input.saturating_sub(other.input),
            images: self.images.saturating_sub(other.images),
        }
    }

    /// Returns what `kind` is debited.
    pub(super) fn of(&self, kind: QuotaKind) -> u64 {
        match kind {
            QuotaKind::RequestsPerMinute | QuotaKind::RequestsPerDay => self.requests,
            QuotaKind::TokensPerMinute | QuotaKind::TokensPerDay => self.tokens,
            QuotaKind::InputTokensPerMinute => self.input,
            QuotaKind::ImagesPerMinute => self.images,
            QuotaKind::OutputTokensPerMinute | QuotaKind::Concurrency | QuotaKind::FirstContact => {
                0
            }
        }
    }
}

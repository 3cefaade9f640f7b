//! What a provider charges for a request, and when.
//!
//! # What this module owns
//!
//! [`Charge`], what is known of a request's size when it is sent, and [`Way`], one belief about how
//! its provider counts and charges, which turns the former into the amounts that are debited. Output
//! that is charged later is not among them: [`super::under_way`] reserves that.

use serde::{Deserialize, Serialize};

use super::QuotaKind;
use super::settings::{Charging, Counting, LaneSettings};
use crate::units::Usage;

/// What is known of a request's size when it is sent. All amounts that any way of charging debits
/// follow from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) requests: u64,
    /// The provider's estimate of the prompt.
    pub(super) estimate: u64,
    /// The output bound, as the provider will see it or as we assume it.
    pub(super) bound: u64,
    pub(super) images: u64,
    /// If nobody stated the bound, what was assumed.
    pub(super) assumed: Assumed,
}

/// Requests whose output bound nobody stated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Assumed {
    pub(super) count: u64,
    /// What was debited in place of their bounds.
    pub(super) bound: u64,
}

/// One belief about a provider's counter: how it counts, what it charges, and when refunds count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) counting: Counting,
    /// `None`: as the tokens of the minute are charged, whatever that turns out to be.
    pub(super) charging: Option<Charging>,
    pub(super) refunds: Refunds,
}

/// When a refund takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refunds {
    /// At the time of the debit: what would have overflowed since is lost.
    AtDebit,
    /// When it is known: what overflows then is lost.
    AtPresent,
}

impl Charge {
    /// Returns the tokens that `charging` debits at admission.
    pub(super) fn tokens(&self, charging: Charging) -> u64 {
        match charging {
            Charging::Max => self.estimate.max(self.bound),
            Charging::Refund => self.estimate.saturating_add(self.bound),
            Charging::Later | Charging::Split => self.estimate,
        }
    }

    /// Returns what a quota of `kind` is debited at admission.
    pub(super) fn of(&self, kind: QuotaKind, charging: Charging) -> u64 {
        match kind {
            kind if kind.is_of_requests() => self.requests,
            kind if kind.is_of_tokens() => self.tokens(charging),
            QuotaKind::InputTokensPerMinute => self.estimate,
            QuotaKind::ImagesPerMinute => self.images,
            _ => 0,
        }
    }

    /// Returns the sum of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            estimate: self.estimate.saturating_add(other.estimate),
            bound: self.bound.saturating_add(other.bound),
            images: self.images.saturating_add(other.images),
            assumed: self.assumed.plus(&other.assumed),
        }
    }

    /// Returns what is left without `other`.
    pub(super) fn minus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            estimate: self.estimate.saturating_sub(other.estimate),
            bound: self.bound.saturating_sub(other.bound),
            images: self.images.saturating_sub(other.images),
            assumed: self.assumed.minus(&other.assumed),
        }
    }
}

/// What a provider may charge that counts input and output together, the likeliest first.
const CHARGINGS: [Charging; 3] = [Charging::Refund, Charging::Max, Charging::Later];

impl Way {
    /// Returns what may be believed of a quota of `kind`, the likeliest first.
    pub(super) fn all(kind: QuotaKind, settings: &LaneSettings) -> Vec<Self> {
        let countings = match (kind.is_slice(), settings.counting) {
            // What fits any window fits a bucket as well. Where levels are told, those tell which it is.
            (true, _) => vec![Counting::Sliding, Counting::Bucket],
            (false, Some(counting)) => vec![counting],
            (false, None) => vec![Counting::Bucket, Counting::Sliding, Counting::Fixed],
        };
        let chargings = match settings.charging {
            Some(charging) if kind == QuotaKind::TokensPerMinute => vec![Some(charging)],
            None if kind == QuotaKind::TokensPerMinute => CHARGINGS.map(Some).to_vec(),
            // Where the level of a part of the minute is told, none of the minute may be.
            None if kind == QuotaKind::TokensPerSecond => {
                [None].into_iter().chain(CHARGINGS.map(Some)).collect()
            }
            _ => vec![None],
        };
        let mut ways = Vec::with_capacity(countings.len() * chargings.len() + 1);
        for &counting in &countings {
            for &charging in &chargings {
                ways.push(Self { counting, charging, refunds: Refunds::AtDebit });
            }
        }
        if kind == QuotaKind::TokensPerMinute
            && settings.counting.is_none()
            && settings.charging.is_none()
        {
            ways.push(Self {
                counting: Counting::Bucket,
                charging: Some(Charging::Refund),
                refunds: Refunds::AtPresent,
            });
        }
        ways
    }
}

impl Assumed {
    /// Returns the sum of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            bound: self.bound.saturating_add(other.bound),
        }
    }

    /// Returns what is left without `other`.
    pub(super) fn minus(&self, other: &Self) -> Self {
        Self {
            count: self.count.saturating_sub(other.count),
            bound: self.bound.saturating_sub(other.bound),
        }
    }
}

impl Charging {
    /// Returns whether the output bound is debited at admission.
    pub(super) const fn reserves_bound(self) -> bool {
        matches!(self, Self::Max | Self::Refund)
    }

    /// Returns whether `kind` is charged for output when it is known.
    pub(super) const fn is_later(self, kind: QuotaKind) -> bool {
        match kind {
            kind if kind.is_of_tokens() => !self.reserves_bound(),
            QuotaKind::OutputTokensPerMinute => true,
            _ => false,
        }
    }

    /// Returns what stands in place of the debit of `kind` once `usage` is known; `None` where it
    /// stays.
    pub(super) fn corrected(self, kind: QuotaKind, usage: &Usage) -> Option<u64> {
        match kind {
            kind if kind.is_of_tokens() => (self == Self::Refund).then(|| usage.total().count()),
            QuotaKind::InputTokensPerMinute => Some(usage.input.count()),
            _ => None,
        }
    }

    /// Returns the tokens that a request of this size is charged in the end if it has `output`.
    pub(super) fn last(self, charge: &Charge, output: u64) -> u64 {
        match self {
            Self::Max => charge.tokens(self),
            Self::Refund | Self::Later | Self::Split => charge.estimate.saturating_add(output),
        }
    }
}

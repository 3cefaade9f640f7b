//! A debit of every quota of a lane, carried by its request.

use std::time::Duration;

use super::QuotaKind;
use super::charge::Charge;
use super::hint::RefusalHint;
use super::moment::Moment;
use super::pool::Share;
use super::quota::Prediction;

/// A debit of every quota of a lane. It must be handed back to the lane that gave it, once.
///
/// It carries all that a correction needs, so that the lane keeps nothing per request.
#[derive(Debug)]
#[must_use = "a debit that is never closed keeps its slot and its tokens"]
pub struct Debit {
    /// When the quotas were debited.
    pub(super) at: Moment,
    pub(super) charge: Charge,
    pub(super) share: Share,
    pub(super) bounded: Bounded,
    /// Whether it was made before the provider's first answer.
    pub(super) probing: bool,
    pub(super) stage: Stage,
    /// For requests and tokens, per minute and per day.
    pub(super) predictions: [Option<Prediction>; 4],
    /// A bit per quota that has forgotten the debit, because its window ended before.
    pub(super) left_behind: u16,
    /// What a refusal said.
    pub(super) refusal: Option<RefusalHint>,
    /// Which limit refused, where the error says so.
    pub(super) refused_by: Option<QuotaKind>,
    pub(super) retry_after: Option<Duration>,
    /// Whether the answer told the provider's counters.
    pub(super) told: bool,
}

/// Where the output bound came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounded {
    /// The client stated it, or the configuration says what is charged without.
    Known,
    /// It was taken from what outputs were so far.
    Learned,
    /// It was guessed.
    Guessed,
}

/// How far the request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not sent.
    Reserved,
    /// Sent, no answer yet.
    Sent,
    /// Its headers came.
    Answered,
}

impl Debit {
    /// Creates a debit made at `at`. `probing`: before the provider's first answer.
    pub(super) fn new(
        at: Moment,
        charge: Charge,
        share: Share,
        bounded: Bounded,
        probing: bool,
    ) -> Self {
        Self {
            at,
            charge,
            share,
            bounded,
            probing,
            stage: Stage::Reserved,
            predictions: [None; 4],
            left_behind: 0,
            refusal: None,
            refused_by: None,
            retry_after: None,
            told: false,
        }
    }

    /// Returns whether the quota in this place has forgotten the debit.
    pub(super) fn is_left_behind(&self, place: usize) -> bool {
        u32::try_from(place)
            .is_ok_and(|place| self.left_behind.checked_shr(place).unwrap_or(0) & 1 == 1)
    }

    /// Notes that the quota in this place has forgotten the debit.
    pub(super) fn leave_behind(&mut self, place: usize) {
        let bit = u32::try_from(place).ok().and_then(|place| 1_u16.checked_shl(place));
        self.left_behind |= bit.unwrap_or(0);
    }

    /// Returns the place of the prediction for `kind`, if answers tell of it.
    pub(super) fn prediction_mut(&mut self, kind: QuotaKind) -> Option<&mut Option<Prediction>> {
        self.predictions.get_mut(told_place(kind)?)
    }

    /// Returns what was predicted for `kind`.
    pub(super) fn prediction(&self, kind: QuotaKind) -> Option<Prediction> {
        self.predictions.get(told_place(kind)?).copied().flatten()
    }
}

fn told_place(kind: QuotaKind) -> Option<usize> {
    match kind {
        QuotaKind::RequestsPerMinute => Some(0),
        QuotaKind::TokensPerMinute => Some(1),
        QuotaKind::RequestsPerDay => Some(2),
        QuotaKind::TokensPerDay => Some(3),
        _ => None,
    }
}

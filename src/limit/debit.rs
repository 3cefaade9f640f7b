//! A debit of every quota of a lane, carried by its request.

use std::num::NonZeroU64;
use std::time::Duration;

use super::QuotaKind;
use super::charge::Charge;
use super::estimate::Prompt;
use super::hint::RefusalHint;
use super::hold::Try;
use super::hypothesis::Prediction;
use super::moment::Moment;
use super::settings::Charging;
use super::traffic::Totals;

/// A debit of every quota of a lane. It must be handed back to the lane that gave it, once.
///
/// It carries all that a correction needs, so that the lane keeps nothing per request.
#[derive(Debug)]
#[must_use = "a debit that is never closed keeps its slot and its tokens"]
pub struct Debit {
    /// When it was let go: what became known later it could not heed.
    pub(super) granted: Moment,
    /// When the quotas were debited: then, or when it was sent, where that was much later.
    pub(super) at: Moment,
    pub(super) charge: Charge,
    pub(super) prompt: Prompt,
    /// By how much the estimate of the prompt may be too large.
    pub(super) slack: u32,
    /// What its output may come to.
    pub(super) output: u64,
    /// How tokens of the minute were taken to be charged, for quotas that follow them.
    pub(super) leading: Charging,
    pub(super) bounded: Bounded,
    /// Its number among the requests whose output bound nobody stated, while nothing told what it was
    /// charged.
    pub(super) absent: Option<u64>,
    /// Whether it was made before the provider's first answer.
    pub(super) probing: bool,
    /// The try of a hold that it is.
    pub(super) tries: Option<Try>,
    /// Its turn among those who try whether there is one slot more.
    pub(super) opens: Option<NonZeroU64>,
    /// Whether it relies on the likeliest belief alone.
    pub(super) dares: bool,
    /// Whether it is broken off from here.
    pub(super) broken_off: bool,
    pub(super) stage: Stage,
    /// Whether the answer told the provider's counters.
    pub(super) told: bool,
    /// A bit per belief that has forgotten the debit, because its window ended before.
    pub(super) left_behind: u64,
    /// What was noted when it was sent.
    pub(super) sent: Option<Box<Sent>>,
    /// What a refusal said.
    pub(super) refusal: Option<Box<Refused>>,
}

impl Debit {
    /// Notes that its request is broken off from here: the provider hears of that later than of its end, so its slot
    /// is taken for a moment more.
    pub const fn break_off(&mut self) {
        self.broken_off = true;
    }
}

/// What is noted when a request is sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// What had happened in the lane before.
    pub(super) mark: Totals,
    /// By how much the estimates of the prompts under way then may be too large.
    pub(super) slack: u64,
    /// The same of all prompts since a level of tokens was told last.
    pub(super) untold: u64,
    /// What every belief of the lane predicts.
    pub(super) guesses: [Prediction; MOST_TOLD],
    /// How many beliefs the lane had.
    pub(super) beliefs: usize,
}

impl Sent {
    /// Returns what the beliefs predict that the lane had.
    pub(super) fn guesses(&self) -> &[Prediction] {
        self.guesses.get(..self.beliefs).unwrap_or(&self.guesses)
    }
}

/// What a refusal said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    pub(super) arithmetic: Option<RefusalHint>,
    /// Which limit refused, where the error says so without numbers.
    pub(super) by: Option<QuotaKind>,
    pub(super) retry_after: Option<Duration>,
    /// Whether its headers showed room for the request.
    pub(super) had_room: bool,
}

/// Where the output bound came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounded {
    /// The client stated it, or the configuration says what is charged without.
    Known,
    /// Nobody stated it; answers told what is charged then.
    Told,
    /// Nobody stated it, and what is charged then is not known.
    Assumed,
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

/// The most beliefs of a lane that answers can tell of.
pub(super) const MOST_TOLD: usize = 32;

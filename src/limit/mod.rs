//! Decides whether a request may go now, and if not, when.

mod settings;
mod words;

use std::time::Duration;

use tokio::time::Instant;

pub use self::settings::{Charging, Counting, Estimator, LaneSettings};
use crate::count::Demand;
use crate::units::{Tokens, Usage};

/// The quotas that one account grants one limit group.
#[derive(Debug)]
pub struct Lane {
    _todo: (),
}

/// A debit of every quota of a lane. It must be handed back to the lane that gave it, once.
#[derive(Debug)]
#[must_use = "a debit that is never closed keeps its slot and its tokens"]
pub struct Debit {
    _todo: (),
}

/// Why a request may not go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortfall {
    /// Room comes with time, at the earliest at `at` if nothing else changes.
    Later {
        /// The quota that is short.
        quota: QuotaKind,
        /// When to look again.
        at: Instant,
    },
    /// Room comes only with an answer: all slots are taken, or the first answers are awaited.
    AfterAnswer {
        /// The quota that is short.
        quota: QuotaKind,
    },
    /// It can never fit.
    TooLarge {
        /// The quota that is too small.
        quota: QuotaKind,
        /// Its limit.
        limit: u64,
        /// What the request would be charged.
        wanted: u64,
    },
}

/// One of the quotas that a lane may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaKind {
    /// Requests per minute.
    RequestsPerMinute,
    /// Tokens per minute.
    TokensPerMinute,
    /// Requests per day.
    RequestsPerDay,
    /// Tokens per day.
    TokensPerDay,
    /// Input tokens per minute, apart from output.
    InputTokensPerMinute,
    /// Output tokens per minute, apart from input.
    OutputTokensPerMinute,
    /// Images per minute.
    ImagesPerMinute,
    /// Requests under way at one time.
    Concurrency,
    /// Requests under way before the provider's first answer tells the limits.
    FirstContact,
}

/// What an answer's headers or error body say of the provider's own counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hint {
    /// Of requests.
    pub requests: Option<QuotaHint>,
    /// Of tokens.
    pub tokens: Option<QuotaHint>,
    /// When the provider says to come back.
    pub retry_after: Option<Duration>,
    /// How long the provider says it worked on the request; what is left of the round trip is the
    /// network's.
    pub processing: Option<Duration>,
    /// "Limit L, Used U, Requested R" of a refusal.
    pub refusal: Option<RefusalHint>,
}

/// What the headers say of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaHint {
    /// The limit per window.
    pub limit: u64,
    /// What is left of it; floored by the provider.
    pub remaining: Option<u64>,
    /// Time until the counter is full again (bucket), or until the window ends (fixed).
    pub reset: Option<Duration>,
}

/// The provider's own arithmetic, from the message of a 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalHint {
    /// Which counter refused, where the message says so.
    pub quota: Option<QuotaKind>,
    /// The limit.
    pub limit: u64,
    /// What was used of it; `None` in a "Request too large" message.
    pub used: Option<u64>,
    /// What the provider charges for the request.
    pub requested: u64,
}

/// The state of one quota, for people and metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuotaLevel {
    /// Which quota.
    pub quota: QuotaKind,
    /// The limit per window; `None` while nobody knows it.
    pub limit: Option<u64>,
    /// What could be granted now; negative in debt.
    pub headroom: i64,
    /// Time until the quota is full again (or its window ends) if nothing else is debited.
    pub reset: Duration,
}

impl Lane {
    /// Creates a lane whose quotas are full.
    pub fn new(_settings: LaneSettings, _now: Instant) -> Self {
        Self { _todo: () }
    }

    /// Debits every quota, or none.
    ///
    /// # Errors
    ///
    /// Returns the [`Shortfall`] that lasts longest; every level is unchanged then.
    pub fn try_reserve(&mut self, _demand: &Demand, _now: Instant) -> Result<Debit, Shortfall> {
        Ok(Debit { _todo: () })
    }

    /// Takes back a debit whose request was never sent, as if it had not been.
    pub fn cancel(&mut self, _debit: Debit) {}

    /// Notes that the request of `debit` is being sent at `now`, and predicts what the provider will
    /// report for it.
    pub fn sent(&mut self, _debit: &mut Debit, _now: Instant) {}

    /// Compares what the answer says with what was predicted when its request was sent, and corrects
    /// levels and limits. `now` is when the answer's headers came.
    pub fn observe(&mut self, _debit: &mut Debit, _hint: &Hint, _now: Instant) {}

    /// Closes the debit of a request that the provider refused: its tokens are credited, its request
    /// stays debited.
    pub fn refused(&mut self, _debit: Debit, _now: Instant) {}

    /// Replaces the estimate by what was truly used, at the debit's own time.
    pub fn settle(&mut self, _debit: Debit, _usage: &Usage, _now: Instant) {}

    /// Closes a debit whose use will never be known: the estimate stays debited.
    pub fn keep(&mut self, _debit: Debit, _now: Instant) {}

    /// Returns the quota that is too small for `demand` ever to fit, with its limit and what the
    /// demand would be charged; `None` if it can fit.
    pub fn oversize(&self, _demand: &Demand) -> Option<(QuotaKind, u64, u64)> {
        None
    }

    /// Returns what the provider would charge for `demand`, in tokens.
    pub fn charge(&self, _demand: &Demand) -> Tokens {
        Tokens::ZERO
    }

    /// Returns the least headroom of all quotas as a share of their limits; 1 is full, negative is
    /// debt.
    pub fn headroom(&self, _now: Instant) -> f64 {
        1.0
    }

    /// Returns when `tokens` tokens in `requests` requests will have gone through this lane, if they
    /// all waited now and nothing else came: the sum of what waits ahead of a caller gives its place
    /// in time.
    pub fn eta(&self, _requests: u64, _tokens: Tokens, now: Instant) -> Instant {
        now
    }

    /// Returns the state of every quota.
    pub fn levels(&self, _now: Instant) -> Vec<QuotaLevel> {
        Vec::new()
    }
}

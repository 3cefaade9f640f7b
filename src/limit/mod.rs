//! Decides whether a request may go now, and if not, when.
//!
//! # What this module owns
//!
//! A [`Lane`]: the quotas that one account grants one limit group; and an [`Allotment`]: those of one app. Each is a bank (`bank`) of beliefs
//! (`hypothesis`) about how the provider counts (`meter/`) and charges (`charge`, `under_way`), held
//! against what its answers say (`answer`, `hearing`, `offset`, `score`). A successful try hands out
//! a [`Debit`], which carries all that a later correction needs.
//!
//! # What this module does not do
//!
//! It never waits, spawns, logs or reads a clock: every method takes `now`, so a test can play a day
//! in a microsecond. It knows no headers (a [`Hint`] is free of any dialect), no keys and no line.
//!
//! # Invariants
//!
//! 1. All or nothing: a debit touches every quota or none.
//! 2. A sliding or fixed window never grants more than its limit in any window at the provider, and
//!    a bucket never more than its capacity and the refill, as long as no request takes longer to
//!    get there than the lane's grace, and the provider counts and charges as some plausible belief says.
//! 3. A correction counts at the time of the debit, however late it comes: the level is never higher
//!    than if the actual use had been known from the start.
//! 4. A cancelled debit leaves nothing behind; a refused one its request.
//! 5. No operation costs more with more requests under way.
//! 6. Times that run backwards count as the latest time seen.

mod absent;
mod allotment;
mod answer;
mod arithmetic;
mod bank;
mod charge;
mod contact;
mod cost;
mod crowd;
mod debit;
mod doubt;
mod estimate;
mod hearing;
mod hint;
mod hold;
mod hypothesis;
mod lane;
mod learned;
mod margin;
mod meter;
mod moment;
mod offer;
mod offset;
mod opening;
mod outputs;
mod pacing;
mod past_use;
mod ramp;
mod reach;
mod refused;
mod relimit;
mod route;
mod score;
mod settings;
mod slots;
mod traffic;
mod trial;
mod under_way;
mod view;
mod words;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::allotment::{Allotment, AppLimits, OutputReserve, Portion};
pub use self::cost::Cost;
pub use self::debit::Debit;
pub use self::hint::{Hint, HintWindow, QuotaHint, RefusalHint, SliceHint};
pub use self::lane::Lane;
pub use self::learned::{Absence, LastEnd, Learned};
pub use self::past_use::PastUse;
pub use self::settings::{Charging, Counting, Estimator, LaneSettings};
pub use self::under_way::Back;

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

/// What a request must leave free for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spare {
    /// Requests per minute.
    pub requests: Needed,
    /// Tokens per minute.
    pub tokens: Needed,
}

/// What must be left free of one quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needed {
    /// What others take in a busy twelfth of a minute.
    pub busy: u64,
    /// What they take in a whole one: as nothing comes back before the end of a window that has one.
    pub minute: u64,
    /// At least so many hundredths of the limit of such a window, for those whom nobody has seen yet.
    pub hundredths: u64,
}

impl Spare {
    fn of(self, kind: QuotaKind) -> Needed {
        match kind {
            QuotaKind::RequestsPerMinute => self.requests,
            QuotaKind::TokensPerMinute => self.tokens,
            _ => Needed::default(),
        }
    }
}

/// One of the quotas that a lane may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Requests per second, where the provider also holds slices of the minute to their part.
    RequestsPerSecond,
    /// Tokens per second, likewise.
    TokensPerSecond,
    /// Requests under way at one time.
    Concurrency,
    /// Requests under way before the provider's first answer tells the limits.
    FirstContact,
    /// Requests of one app per minute, whichever lane they go through.
    AppRequestsPerMinute,
    /// Tokens of one app per minute.
    AppTokensPerMinute,
    /// Requests of one app per day.
    AppRequestsPerDay,
    /// Tokens of one app per day.
    AppTokensPerDay,
    /// Requests of one app under way at one time.
    AppConcurrency,
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

/// How a provider may count, and charge where tokens are counted.
pub type BelievedWay = (Counting, Option<Charging>);

/// What is believed of one quota, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belief {
    /// Which quota.
    pub quota: QuotaKind,
    /// The ways that may be the provider's, the likeliest first. Room is what all of them leave.
    pub ways: Vec<BelievedWay>,
    /// How sure the first of them is.
    pub sureness: Sureness,
    /// How many answers it was held against.
    pub answers: u32,
    /// The limit that is configured, if one is.
    pub configured: Option<u64>,
    /// The limit that the provider told last, if it did.
    pub told: Option<u64>,
}

/// How sure a belief is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sureness {
    /// Somebody configured it, or the provider documents it.
    Configured,
    /// It is what is usual: too few answers spoke of it yet.
    Assumed,
    /// Answers fit others as well.
    Open,
    /// The others were refuted by answers; a later one may refute this.
    Likely,
}

impl QuotaKind {
    /// All that is counted over time.
    const COUNTED: [Self; 9] = [
        Self::RequestsPerMinute,
        Self::TokensPerMinute,
        Self::RequestsPerDay,
        Self::TokensPerDay,
        Self::InputTokensPerMinute,
        Self::OutputTokensPerMinute,
        Self::ImagesPerMinute,
        Self::RequestsPerSecond,
        Self::TokensPerSecond,
    ];

    /// Returns whether it is a sum over time.
    pub(crate) fn is_counted(self) -> bool {
        Self::COUNTED.contains(&self)
    }

    /// Returns whether it counts input and output tokens together.
    const fn is_of_tokens(self) -> bool {
        matches!(self, Self::TokensPerMinute | Self::TokensPerDay | Self::TokensPerSecond)
    }

    /// Returns whether it counts requests over time.
    const fn is_of_requests(self) -> bool {
        matches!(self, Self::RequestsPerMinute | Self::RequestsPerDay | Self::RequestsPerSecond)
    }

    /// Returns whether it is a slice of the minute.
    const fn is_slice(self) -> bool {
        matches!(self, Self::RequestsPerSecond | Self::TokensPerSecond)
    }

    /// Returns whether its window is a day.
    fn is_daily(self) -> bool {
        matches!(self, Self::RequestsPerDay | Self::TokensPerDay)
    }
}

#[cfg(test)]
mod tests;

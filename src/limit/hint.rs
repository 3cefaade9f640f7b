//! What a provider's answers say of its counters, free of any dialect.

use std::time::Duration;

use super::QuotaKind;

/// What an answer's headers or error body say of the provider's own counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hint {
    /// Of requests.
    pub requests: Option<QuotaHint>,
    /// Of tokens, input and output together.
    pub tokens: Option<QuotaHint>,
    /// Of input tokens, where the provider counts them apart.
    pub input: Option<QuotaHint>,
    /// Of output tokens, where the provider counts them apart.
    pub output: Option<QuotaHint>,
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

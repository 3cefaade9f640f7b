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
    /// Of requests per day, where the provider names the day itself.
    pub requests_daily: Option<QuotaHint>,
    /// Of tokens per day, where the provider names the day itself.
    pub tokens_daily: Option<QuotaHint>,
    /// Of requests in a part of the minute.
    pub requests_sliced: Option<SliceHint>,
    /// Of tokens in a part of the minute.
    pub tokens_sliced: Option<SliceHint>,
    /// Of input tokens, where they are counted apart.
    pub input: Option<QuotaHint>,
    /// Of output tokens, where they are counted apart.
    pub output: Option<QuotaHint>,
    /// When the provider says to come back.
    pub retry_after: Option<Duration>,
    /// How long the provider says it worked on the request; what is left of the round trip is the
    /// network's.
    pub processing: Option<Duration>,
    /// "Limit L, Used U, Requested R" of a refusal.
    pub refusal: Option<RefusalHint>,
    /// Which limit refused, where the error says so without numbers.
    pub refused_by: Option<QuotaKind>,
    /// Whether the answer is an error: then the request was not served, also where nothing says why.
    pub is_error: bool,
}

impl Hint {
    /// Tells whether any counter is told.
    pub(super) fn has_counters(&self) -> bool {
        let counters = [self.requests, self.tokens, self.requests_daily, self.tokens_daily];
        counters.into_iter().chain([self.input, self.output]).any(|told| told.is_some())
    }
}

/// What the headers say of one counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaHint {
    /// The limit per window.
    pub limit: u64,
    /// What is left of it, rounded as `rounded_to` says.
    pub remaining: Option<u64>,
    /// Time from when the request was there until the counter is full again (bucket), or until the
    /// window ends (fixed).
    pub reset: Option<Duration>,
    /// Which window this is about, as far as the provider says.
    pub window: HintWindow,
    /// Above 1: `remaining` is rounded to the nearest multiple of it. Else it is cut to a whole
    /// number.
    pub rounded_to: u64,
    /// How far `reset` may be off, either way. Zero: it is cut to a millisecond, no more.
    pub reset_within: Duration,
}

/// What the headers say of a part of the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceHint {
    /// The limit.
    pub limit: u64,
    /// What is left of it, cut to a whole number, where it refills continuously. Of one that begins anew that is
    /// gone when it is heard.
    pub remaining: Option<u64>,
    /// How many such parts a minute has.
    pub per_minute: u64,
}

/// Which window a provider's counter is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum HintWindow {
    /// It does not say: the minute or the day, whichever is tighter.
    #[default]
    Unsaid,
    /// The minute.
    Minute,
    /// The day.
    Day,
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

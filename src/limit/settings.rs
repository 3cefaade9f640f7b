//! What is known, or believed, of a lane before the first answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::QuotaKind;

/// How a provider counts a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// A level that refills continuously.
    #[default]
    Bucket,
    /// The sum over the last window.
    Sliding,
    /// Windows with a fixed end.
    Fixed,
}

/// What a provider charges for a request, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charging {
    /// The larger of the output bound and its estimate of the prompt; never refunded.
    Max,
    /// Estimate and output bound at admission; corrected to the actual use at the end.
    #[default]
    Refund,
    /// The estimate at admission, the output when it is known.
    Later,
    /// Input and output in quotas of their own; the output when it is known.
    Split,
}

/// How a provider estimates the tokens of a prompt at admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// By its tokenizer.
    #[default]
    Tokens,
    /// Characters divided by four.
    Chars4,
    /// The larger of both.
    Max,
}

/// The quotas of a lane, as configured; `None` is learned from the provider's answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSettings {
    /// Requests per minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens per minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests per day.
    pub requests_per_day: Option<u64>,
    /// Tokens per day.
    pub tokens_per_day: Option<u64>,
    /// Input tokens per minute, where the provider counts them apart.
    pub input_tokens_per_minute: Option<u64>,
    /// Output tokens per minute, where the provider counts them apart.
    pub output_tokens_per_minute: Option<u64>,
    /// Images per minute.
    pub images_per_minute: Option<u64>,
    /// Requests per second, where the provider holds slices of the minute to a limit, too.
    pub requests_per_second: Option<u64>,
    /// Tokens per second, likewise; an untouched slice takes one request of any size.
    pub tokens_per_second: Option<u64>,
    /// Requests under way at one time.
    pub concurrency: Option<u64>,
    /// The length of a "minute": 60 s but in tests.
    pub minute: Duration,
    /// The length of a "day": 86,400 s but in tests.
    pub day: Duration,
    /// How the provider counts; `None` is inferred from its answers.
    pub counting: Option<Counting>,
    /// What it charges; `None` is inferred.
    pub charging: Option<Charging>,
    /// How it estimates prompts; `None` is inferred.
    pub estimator: Option<Estimator>,
    /// What it charges for an absent output bound; `None`: that is learned.
    pub absent_max: Option<u64>,
}

impl LaneSettings {
    /// Tells whether they say that the provider counts as `other` say, whatever its limits are.
    pub(super) fn counts_like(&self, other: &Self) -> bool {
        let way = |of: &Self| (of.minute, of.day, of.counting, of.charging, of.estimator);
        way(self) == way(other)
    }

    /// Returns the limit that is configured for `kind`.
    pub(super) const fn limit(&self, kind: QuotaKind) -> Option<u64> {
        match kind {
            QuotaKind::RequestsPerMinute => self.requests_per_minute,
            QuotaKind::TokensPerMinute => self.tokens_per_minute,
            QuotaKind::RequestsPerDay => self.requests_per_day,
            QuotaKind::TokensPerDay => self.tokens_per_day,
            QuotaKind::InputTokensPerMinute => self.input_tokens_per_minute,
            QuotaKind::OutputTokensPerMinute => self.output_tokens_per_minute,
            QuotaKind::ImagesPerMinute => self.images_per_minute,
            QuotaKind::RequestsPerSecond => self.requests_per_second,
            QuotaKind::TokensPerSecond => self.tokens_per_second,
            QuotaKind::Concurrency => self.concurrency,
            _ => None,
        }
    }
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            requests_per_day: None,
            tokens_per_day: None,
            input_tokens_per_minute: None,
            output_tokens_per_minute: None,
            images_per_minute: None,
            requests_per_second: None,
            tokens_per_second: None,
            concurrency: None,
            minute: Duration::from_secs(60),
            day: Duration::from_secs(86_400),
            counting: None,
            charging: None,
            estimator: None,
            absent_max: None,
        }
    }
}

//! The words for quotas, in messages, metrics and logs.

use super::QuotaKind;

impl QuotaKind {
    /// Returns the short label for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "rpm",
            Self::TokensPerMinute => "tpm",
            Self::RequestsPerDay => "rpd",
            Self::TokensPerDay => "tpd",
            Self::InputTokensPerMinute => "input_tpm",
            Self::OutputTokensPerMinute => "output_tpm",
            Self::ImagesPerMinute => "ipm",
            Self::RequestsPerSecond => "rps",
            Self::TokensPerSecond => "tps",
            Self::Concurrency => "concurrency",
            Self::FirstContact => "first_contact",
            Self::AppRequestsPerMinute => "app_rpm",
            Self::AppTokensPerMinute => "app_tpm",
            Self::AppRequestsPerDay => "app_rpd",
            Self::AppTokensPerDay => "app_tpd",
            Self::AppConcurrency => "app_concurrency",
        }
    }

    /// Returns what is counted.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::TokensPerMinute
            | Self::TokensPerDay
            | Self::TokensPerSecond
            | Self::AppTokensPerMinute
            | Self::AppTokensPerDay => "tokens",
            Self::InputTokensPerMinute => "input tokens",
            Self::OutputTokensPerMinute => "output tokens",
            Self::ImagesPerMinute => "images",
            Self::RequestsPerMinute
            | Self::RequestsPerDay
            | Self::RequestsPerSecond
            | Self::Concurrency
            | Self::FirstContact
            | Self::AppRequestsPerMinute
            | Self::AppRequestsPerDay
            | Self::AppConcurrency => "requests",
        }
    }

    /// Returns the quota in full, fit to stand after a number or in brackets.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests per minute",
            Self::TokensPerMinute => "tokens per minute",
            Self::RequestsPerDay => "requests per day",
            Self::TokensPerDay => "tokens per day",
            Self::InputTokensPerMinute => "input tokens per minute",
            Self::OutputTokensPerMinute => "output tokens per minute",
            Self::ImagesPerMinute => "images per minute",
            Self::RequestsPerSecond => "requests per second",
            Self::TokensPerSecond => "tokens per second",
            Self::Concurrency => "requests at one time",
            Self::FirstContact => "requests before the provider's first answer",
            Self::AppRequestsPerMinute => "requests per minute of its app",
            Self::AppTokensPerMinute => "tokens per minute of its app",
            Self::AppRequestsPerDay => "requests per day of its app",
            Self::AppTokensPerDay => "tokens per day of its app",
            Self::AppConcurrency => "requests of its app at one time",
        }
    }
}

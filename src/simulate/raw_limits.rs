//! Limits as a file or flags write them.

use clap::ValueEnum;
use serde::Deserialize;

use super::engine::{
    AbsentMax, Charging, Counting, Estimator, ForeignFlow, Limits, RefundAt, Refusals, Slices,
};
use super::raw::{BadSetting, Time, bad};

/// Limits; what is absent is taken from the level above.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub models: Option<String>,
    pub shared: Option<bool>,
    pub rpm: Option<u64>,
    pub tpm: Option<u64>,
    pub rpd: Option<u64>,
    pub tpd: Option<u64>,
    pub itpm: Option<u64>,
    pub otpm: Option<u64>,
    pub concurrency: Option<u64>,
    pub window: Option<Time>,
    pub day: Option<Time>,
    pub counting: Option<RawCounting>,
    pub charging: Option<RawCharging>,
    pub estimator: Option<RawEstimator>,
    pub absent_max: Option<String>,
    pub refund_at: Option<RawRefundAt>,
    pub per_second: Option<RawSlices>,
    pub refusals: Option<RawRefusals>,
    pub used_at_start: Option<f64>,
    pub foreign_rpm: Option<f64>,
    pub foreign_tpm: Option<f64>,
}

/// How a window is counted.
#[derive(Debug, Clone, Copy, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawCounting {
    /// A level that refills continuously.
    Bucket,
    /// The sum over the window that ends now.
    Sliding,
    /// Windows on the calendar.
    Fixed,
    /// Windows that begin with a first request.
    FixedFirst,
}

/// What a request is charged.
#[derive(Debug, Clone, Copy, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawCharging {
    /// The larger of max_tokens and the estimate; never refunded.
    Max,
    /// Estimate and max_tokens, corrected at the end.
    Refund,
    /// The estimate; the output when it is known.
    Later,
    /// Input and output apart.
    Split,
}

/// How prompts are estimated.
#[derive(Debug, Clone, Copy, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawEstimator {
    /// By the tokenizer.
    Tokens,
    /// A quarter of the characters.
    Chars4,
    /// The larger of both.
    Max,
}

/// When a refund of a bucket takes effect.
#[derive(Debug, Clone, Copy, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawRefundAt {
    /// When the answer ends.
    Now,
    /// As if it had been known when the request came.
    Debit,
}

/// Limits for slices of the minute.
#[derive(Debug, Clone, Copy, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawSlices {
    /// No such limits.
    Off,
    /// Of requests.
    Requests,
    /// Of requests and tokens.
    Both,
}

/// Whether a request refused for its tokens counts as a request.
#[derive(Debug, Clone, Copy, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawRefusals {
    /// Yes.
    Counted,
    /// No.
    Free,
}

impl RawLimits {
    /// Fills what is absent from `above` and checks the rest.
    ///
    /// # Errors
    ///
    /// The first value that makes no sense.
    pub(super) fn check(&self, at: &str, above: &Limits) -> Result<Limits, BadSetting> {
        self.check_sizes(at)?;
        let used_at_start = self.used_at_start.unwrap_or(above.used_at_start);
        if !(0.0..=1.0).contains(&used_at_start) {
            return Err(bad(&format!("{at}.used_at_start"), used_at_start, "it must be 0 to 1"));
        }
        let foreign = self.foreign(at, above.foreign)?;
        let charging = self.charging.map_or(above.charging, RawCharging::check);
        let tokens_per_minute = self.tpm.or(above.tokens_per_minute);
        let split = charging == Charging::Split;
        // Where input and output are limited apart and only one figure is given, outputs get a
        // fifth of it, as at Anthropic (rate limits of Claude Sonnet 4, tier 1, read 2026-11).
        let fifth = |tokens: Option<u64>| tokens.map(|tokens| (tokens / 5).max(1));
        let here = self.tpm.filter(|_| split);
        let input = self.itpm.or(here).or(above.input_per_minute);
        let output = self.otpm.or(fifth(here)).or(above.output_per_minute);
        Ok(Limits {
            requests_per_minute: self.rpm.or(above.requests_per_minute),
            tokens_per_minute,
            requests_per_day: self.rpd.or(above.requests_per_day),
            tokens_per_day: self.tpd.or(above.tokens_per_day),
            input_per_minute: input.or(tokens_per_minute.filter(|_| split)),
            output_per_minute: output.or(fifth(tokens_per_minute).filter(|_| split)),
            concurrency: self.concurrency.or(above.concurrency),
            minute: self.window.map_or(above.minute, |time| time.0),
            day: self.day.map_or(above.day, |time| time.0),
            counting: self.counting.map_or(above.counting, RawCounting::check),
            charging,
            estimator: self.estimator.map_or(above.estimator, RawEstimator::check),
            absent_max: self.absent_max(at, above.absent_max)?,
            refund_at: match self.refund_at {
                Some(RawRefundAt::Now) => RefundAt::Now,
                Some(RawRefundAt::Debit) => RefundAt::Debit,
                None => above.refund_at,
            },
            slices_per_minute: above.slices_per_minute,
            slice_counting: above.slice_counting,
            slices: match self.per_second {
                Some(RawSlices::Off) => Slices::Off,
                Some(RawSlices::Requests) => Slices::Requests,
                Some(RawSlices::Both) => Slices::RequestsAndTokens,
                None => above.slices,
            },
            refusals: match self.refusals {
                Some(RawRefusals::Counted) => Refusals::Counted,
                Some(RawRefusals::Free) => Refusals::Free,
                None => above.refusals,
            },
            used_at_start,
            foreign,
            changes: above.changes.clone(),
        })
    }

    fn check_sizes(&self, at: &str) -> Result<(), BadSetting> {
        for (name, limit) in [
            ("rpm", self.rpm),
            ("tpm", self.tpm),
            ("rpd", self.rpd),
            ("tpd", self.tpd),
            ("itpm", self.itpm),
            ("otpm", self.otpm),
            ("concurrency", self.concurrency),
        ] {
            if limit == Some(0) {
                return Err(bad(&format!("{at}.{name}"), 0, "a limit must be at least 1"));
            }
        }
        for (name, time) in [("window", self.window), ("day", self.day)] {
            if time.is_some_and(|time| time.0 < SHORTEST_WINDOW) {
                let rule = "a window must be at least 1ms long";
                return Err(bad(&format!("{at}.{name}"), "shorter", rule));
            }
        }
        Ok(())
    }

    fn foreign(&self, at: &str, above: ForeignFlow) -> Result<ForeignFlow, BadSetting> {
        let flow = ForeignFlow {
            requests_per_minute: self.foreign_rpm.unwrap_or(above.requests_per_minute),
            tokens_per_minute: self.foreign_tpm.unwrap_or(above.tokens_per_minute),
        };
        for (name, rate) in
            [("foreign_rpm", flow.requests_per_minute), ("foreign_tpm", flow.tokens_per_minute)]
        {
            if !rate.is_finite() || rate < 0.0 {
                return Err(bad(&format!("{at}.{name}"), rate, "a rate must not be negative"));
            }
        }
        Ok(flow)
    }

    fn absent_max(&self, at: &str, above: AbsentMax) -> Result<AbsentMax, BadSetting> {
        match self.absent_max.as_deref() {
            None => Ok(above),
            Some("model") => Ok(AbsentMax::Model),
            Some(text) => text.parse().map(AbsentMax::Tokens).map_err(|_| {
                bad(&format!("{at}.absent_max"), text, "it must be `model` or a number of tokens")
            }),
        }
    }
}

const SHORTEST_WINDOW: std::time::Duration = std::time::Duration::from_millis(1);

impl RawCounting {
    fn check(self) -> Counting {
        match self {
            Self::Bucket => Counting::Bucket,
            Self::Sliding => Counting::Sliding,
            Self::Fixed => Counting::Calendar,
            Self::FixedFirst => Counting::FirstRequest,
        }
    }
}

impl RawCharging {
    fn check(self) -> Charging {
        match self {
            Self::Max => Charging::Max,
            Self::Refund => Charging::Refund,
            Self::Later => Charging::Later,
            Self::Split => Charging::Split,
        }
    }
}

impl RawEstimator {
    fn check(self) -> Estimator {
        match self {
            Self::Tokens => Estimator::Tokens,
            Self::Chars4 => Estimator::Chars4,
            Self::Max => Estimator::Max,
        }
    }
}

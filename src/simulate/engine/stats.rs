//! What happened, in numbers that add up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::charge::{Cost, Metric, Outcome};
use super::lane::Shortage;
use super::meter::Reading;

/// Everything that happened since the start.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// The time since the start.
    pub elapsed: Duration,
    /// Requests denied before any lane was looked at.
    pub denied: Denied,
    /// Requests that wait inside the simulator for the oracle.
    pub oracle_waiting: usize,
    /// One entry per organisation and model, or group of models.
    pub lanes: Vec<LaneStats>,
}

/// Requests denied before any lane was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Denied {
    /// 401: the key is unknown, invalid or dead.
    pub invalid_key: u64,
    /// 429 `insufficient_quota`.
    pub out_of_quota: u64,
    /// 404: the model does not exist.
    pub no_model: u64,
}

/// What happened in one lane.
#[derive(Debug, Clone)]
pub struct LaneStats {
    /// Who owns it.
    pub organisation: Arc<str>,
    /// The model, or the pattern of the models that share it.
    pub lane: Arc<str>,
    /// Requests admitted and not yet over.
    pub in_flight: u64,
    /// Tokens debited for requests that are not yet over; a part of `charged`.
    pub held: u64,
    /// Where the meters stand.
    pub meters: Vec<MeterStats>,
    /// What was counted.
    pub tally: Tally,
}

/// Where one meter stands.
#[derive(Debug, Clone, Copy)]
pub struct MeterStats {
    /// What it counts.
    pub metric: Metric,
    /// What it shows.
    pub reading: Reading,
}

/// Counts of one lane since the start.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests admitted.
    pub admitted: u64,
    /// Requests refused.
    pub refused: Refused,
    /// Requests answered to their end, usage told.
    pub answered: u64,
    /// Prompt tokens told in answers.
    pub prompt: u64,
    /// Output tokens told in answers.
    pub output: u64,
    /// Requests cut short.
    pub cut: u64,
    /// Prompt tokens of requests cut short: used, but told to nobody.
    pub cut_prompt: u64,
    /// Output tokens written before requests were cut short.
    pub cut_output: u64,
    /// Requests that failed by an injected fault before anything was used.
    pub failed: u64,
    /// Requests of others that were admitted.
    pub foreign_admitted: u64,
    /// Requests of others that were refused.
    pub foreign_refused: u64,
    /// Tokens of others.
    pub foreign_tokens: u64,
    /// The last hour, second by second; seconds without an event are left out.
    pub seconds: VecDeque<Second>,
}

/// Refusals by their reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// The requests of the minute were used up.
    pub requests_per_minute: u64,
    /// The requests of the day were used up.
    pub requests_per_day: u64,
    /// The tokens of the minute were used up.
    pub tokens_per_minute: u64,
    /// The tokens of the day were used up.
    pub tokens_per_day: u64,
    /// The input tokens of the minute were used up.
    pub input_per_minute: u64,
    /// The output tokens of the minute were used up.
    pub output_per_minute: u64,
    /// A slice of the minute was used up.
    pub slice: u64,
    /// Too many requests were under way.
    pub concurrency: u64,
    /// The request was larger than a limit.
    pub too_large: u64,
}

impl Refused {
    /// Returns all refusals.
    pub const fn total(&self) -> u64 {
        self.requests_per_minute
            + self.requests_per_day
            + self.tokens_per_minute
            + self.tokens_per_day
            + self.input_per_minute
            + self.output_per_minute
            + self.slice
            + self.concurrency
            + self.too_large
    }
}

/// What happened within one second, counted from the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Second {
    /// Which second.
    pub second: u64,
    /// Requests admitted in it.
    pub admitted: u64,
    /// Requests refused in it.
    pub refused: u64,
    /// Requests that ended in it.
    pub ended: u64,
    /// Tokens debited in it less tokens given back in it (input tokens where input and output are
    /// limited apart); the traffic of others not included.
    pub charged: i64,
    /// Output written by the requests that ended in it.
    pub output: u64,
}

impl Tally {
    pub(super) fn admit(&mut self, now: u64) {
        self.admitted += 1;
        self.second(now).admitted += 1;
    }

    pub(super) fn charge(&mut self, change: i128, now: u64) {
        let change = i64::try_from(change).unwrap_or_default();
        let second = self.second(now);
        second.charged = second.charged.saturating_add(change);
    }

    pub(super) fn finish(&mut self, cost: &Cost, outcome: Outcome, now: u64) {
        match outcome {
            Outcome::Answered { output } => {
                self.answered += 1;
                self.prompt += cost.prompt;
                self.output += output;
            }
            Outcome::Cut { output } => {
                self.cut += 1;
                self.cut_prompt += cost.prompt;
                self.cut_output += output;
            }
            Outcome::Failed => self.failed += 1,
        }
        let second = self.second(now);
        second.ended += 1;
        second.output += outcome.output();
    }

    pub(super) fn refuse(&mut self, shortage: &Shortage, now: u64) {
        let refused = &mut self.refused;
        let count = match shortage {
            Shortage::Later { metric, .. } => match metric {
                Metric::RequestsPerMinute => &mut refused.requests_per_minute,
                Metric::RequestsPerDay => &mut refused.requests_per_day,
                Metric::TokensPerMinute => &mut refused.tokens_per_minute,
                Metric::TokensPerDay => &mut refused.tokens_per_day,
                Metric::InputPerMinute => &mut refused.input_per_minute,
                Metric::OutputPerMinute => &mut refused.output_per_minute,
                Metric::RequestsPerSlice | Metric::TokensPerSlice => &mut refused.slice,
            },
            Shortage::Concurrency { .. } => &mut refused.concurrency,
            Shortage::TooLarge { .. } => &mut refused.too_large,
        };
        *count += 1;
        self.second(now).refused += 1;
    }

    fn second(&mut self, now: u64) -> &mut Second {
        let second = now / 1_000_000_000;
        if self.seconds.back().is_none_or(|last| last.second < second) {
            if self.seconds.len() == SECONDS_KEPT {
                self.seconds.pop_front();
            }
            self.seconds.push_back(Second { second, ..Second::default() });
        }
        // A clock that stepped back (two callers read it before they took the lock) counts for the
        // last second.
        let last = self.seconds.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "an entry was pushed where there was none")]
        &mut self.seconds[last]
    }
}

const SECONDS_KEPT: usize = 3600;

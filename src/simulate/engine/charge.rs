//! What a request costs by each of the rules.

use super::rules::{AbsentMax, Charging, Estimator, Limits};

/// What one request asks for, and what it will truly use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Characters of the prompt.
    pub characters: u64,
    /// The output bound of one generation, where the request states one.
    pub bound: Option<u64>,
    /// How many generations it asks for; 0 for embeddings.
    pub generations: u64,
    /// The most that the model can write in one generation.
    pub model_max: u64,
    /// The output it will have if nothing goes wrong; only an oracle looks at it.
    pub output: u64,
}

/// What a request has used in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered to its end, and the answer has told so many tokens of output.
    Answered {
        /// Output of all generations.
        output: u64,
    },
    /// It was cut short, by either side, and no usage was told.
    Cut {
        /// Output written until then.
        output: u64,
    },
    /// It failed before anything was done: nothing is used.
    Failed,
}

impl Outcome {
    /// Returns the output written.
    pub(super) fn output(self) -> u64 {
        match self {
            Self::Answered { output } | Self::Cut { output } => output,
            Self::Failed => 0,
        }
    }
}

/// What a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Requests per minute.
    RequestsPerMinute,
    /// Requests per day.
    RequestsPerDay,
    /// Tokens per minute.
    TokensPerMinute,
    /// Tokens per day.
    TokensPerDay,
    /// Input tokens per minute.
    InputPerMinute,
    /// Output tokens per minute.
    OutputPerMinute,
    /// Requests per slice of the minute.
    RequestsPerSlice,
    /// Tokens per slice of the minute.
    TokensPerSlice,
}

impl Metric {
    /// Returns its name in the statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::RequestsPerDay => "requests_per_day",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::TokensPerDay => "tokens_per_day",
            Self::InputPerMinute => "input_tokens_per_minute",
            Self::OutputPerMinute => "output_tokens_per_minute",
            Self::RequestsPerSlice => "requests_per_slice",
            Self::TokensPerSlice => "tokens_per_slice",
        }
    }

    /// Tells whether it counts requests, not tokens.
    pub const fn counts_requests(self) -> bool {
        matches!(self, Self::RequestsPerMinute | Self::RequestsPerDay | Self::RequestsPerSlice)
    }

    /// Tells whether it is a slice of the minute.
    pub(super) const fn is_slice(self) -> bool {
        matches!(self, Self::RequestsPerSlice | Self::TokensPerSlice)
    }
}

/// Who asks, as far as charging is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// The provider knows what the request states.
    Stated,
    /// The oracle also knows the output that it will have.
    Foreseen,
}

/// What a meter must have for a request to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Room for so many units.
    Room(u64),
    /// Anything left; then so many are debited.
    Any(u64),
}

/// What becomes of a debit when the request is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Final {
    /// It stays.
    Keep,
    /// It is replaced.
    Correct(u64),
    /// It stays, and so much is debited on top, now.
    Add(u64),
}

impl Limits {
    /// Returns what `metric` must have for `cost` to be admitted.
    pub(super) fn need(&self, metric: Metric, cost: &Cost, knows: Knowledge) -> Need {
        let foreseen = if knows == Knowledge::Foreseen { cost.output } else { 0 };
        match metric {
            metric if metric.counts_requests() => Need::Room(1),
            Metric::OutputPerMinute => match knows {
                Knowledge::Stated => Need::Any(0),
                Knowledge::Foreseen => Need::Room(foreseen),
            },
            Metric::InputPerMinute => Need::Room(self.estimate(cost)),
            _ => Need::Room(match self.charging {
                Charging::Max => self.estimate(cost).max(self.bound(cost)),
                Charging::Refund => self.estimate(cost).saturating_add(self.bound(cost)),
                Charging::Later | Charging::Split => self.estimate(cost).saturating_add(foreseen),
            }),
        }
    }

    /// Returns what becomes of the debit of `metric`.
    pub(super) fn settle(
        &self,
        metric: Metric,
        cost: &Cost,
        knows: Knowledge,
        outcome: Outcome,
    ) -> Final {
        let prompt = if outcome == Outcome::Failed { 0 } else { cost.prompt };
        let output = outcome.output();
        match metric {
            metric if metric.counts_requests() => Final::Keep,
            Metric::InputPerMinute => Final::Correct(prompt),
            Metric::OutputPerMinute => match knows {
                Knowledge::Stated => Final::Add(output),
                Knowledge::Foreseen => Final::Correct(output),
            },
            _ => match self.charging {
                Charging::Max => Final::Keep,
                Charging::Refund => Final::Correct(prompt.saturating_add(output)),
                Charging::Later | Charging::Split => match knows {
                    Knowledge::Stated => Final::Add(output),
                    Knowledge::Foreseen => {
                        Final::Correct(self.estimate(cost).saturating_add(output))
                    }
                },
            },
        }
    }

    fn estimate(&self, cost: &Cost) -> u64 {
        let quarter = cost.characters.div_ceil(4);
        match self.estimator {
            Estimator::Tokens => cost.prompt,
            Estimator::Chars4 => quarter,
            Estimator::Max => cost.prompt.max(quarter),
        }
    }

    fn bound(&self, cost: &Cost) -> u64 {
        let absent = match self.absent_max {
            AbsentMax::Tokens(tokens) => tokens,
            AbsentMax::Model => cost.model_max,
        };
        cost.bound.unwrap_or(absent).saturating_mul(cost.generations)
    }
}

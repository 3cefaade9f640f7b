//! What is played: traffic, limits, and what sluicegate is told of them.

use std::time::Duration;

use sluicegate::config;
use sluicegate::limit::LaneSettings;
use sluicegate::simulate::engine::{
    Enforcement, Estimator, Key, LimitRule, Limits, Organisation, RefundAt, Rules,
};
use sluicegate::simulate::{Dialect, RateHeaders};
use sluicegate::units::Class;

use super::dice::Dice;

/// One cell of the table.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The scenario's name: `S1`.
    pub(crate) name: &'static str,
    /// Which variant of it: `refund`.
    pub(crate) cell: String,
    /// Who owns quotas.
    pub(crate) accounts: Vec<Account>,
    /// Who sends what.
    pub(crate) flows: Vec<Flow>,
    /// In whose words the provider speaks.
    pub(crate) speaks: Dialect,
    /// Whether answers show quotas.
    pub(crate) headers: RateHeaders,
    /// Whether limits are enforced.
    pub(crate) enforcement: Enforcement,
    /// What goes wrong.
    pub(crate) faults: Faults,
    /// What is expected.
    pub(crate) judged: Judged,
    /// With how many seeds it is played at most.
    pub(crate) seeds: Option<usize>,
}

/// An owner of quotas.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// What the provider grants.
    pub(crate) limits: Limits,
    /// Its keys: their secrets and their fate.
    pub(crate) keys: Vec<Key>,
    /// What sluicegate is told.
    pub(crate) told: LaneSettings,
}

/// The requests of one app, or of several that are alike.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// The app's name; of several, the beginning of their names.
    pub(crate) app: &'static str,
    /// How many apps send such requests.
    pub(crate) apps: usize,
    /// How urgent they are.
    pub(crate) class: Class,
    /// The weight of each app.
    pub(crate) weight: u32,
    /// How many requests they send together.
    pub(crate) requests: u64,
    /// When they come.
    pub(crate) arrivals: Arrivals,
    /// Mean prompt tokens (lognormal).
    pub(crate) prompt: f64,
    /// The deviation of the logarithm of the prompt's tokens.
    pub(crate) prompt_sigma: f64,
    /// The output bound that is stated.
    pub(crate) bound: Option<u64>,
    /// Mean output tokens (lognormal, cut at the bound).
    pub(crate) output: f64,
    /// How long one token of output takes.
    pub(crate) per_token: Duration,
    /// Among how many requests one has a prompt of how many tokens.
    pub(crate) large: Option<(u64, u64)>,
}

/// When requests come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrivals {
    /// All within this time after the start.
    Within(Duration),
    /// Independent of each other, so many a minute on average.
    PerMinute(f64),
}

/// Probabilities of what goes wrong with one try of an admitted request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// A 500.
    pub(crate) error: f64,
    /// A 503.
    pub(crate) overloaded: f64,
    /// The connection is closed without an answer.
    pub(crate) reset: f64,
    /// The answer breaks off in the middle.
    pub(crate) cut: f64,
}

/// What is expected of a cell; `None` is not judged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Judged {
    /// The most that makespan / oracle may be.
    pub(crate) ratio: Option<f64>,
    /// The most refusals by the provider per 1,000 requests.
    pub(crate) refused: f64,
    /// The least share of the quota that own and foreign traffic use.
    pub(crate) used: Option<f64>,
    /// The least of Jain's index between apps of equal weight.
    pub(crate) jain: Option<f64>,
    /// By how many points an app's share may differ from its weight's.
    pub(crate) weights: Option<f64>,
    /// The app whose 99th percentile is compared with a run in which it is alone.
    pub(crate) latency_of: Option<&'static str>,
    /// By which part of its limit a window may be over it where limits are not enforced.
    pub(crate) excess: Option<f64>,
    /// Whether nothing that is sent after the first refusal's answer may be refused, with no seed.
    pub(crate) again: bool,
    /// The least share of all slots' time that is used from that answer on, with every seed.
    pub(crate) slots: Option<f64>,
    /// Whether nothing may be sent after the first refusal's answer but at the slices' pace.
    pub(crate) paces: bool,
}

impl Flow {
    /// Creates the usual traffic: chats of about 67 prompt and 143 output tokens whose bound is far above
    /// what they use.
    pub(crate) fn chats(app: &'static str, requests: u64) -> Self {
        Self {
            app,
            apps: 1,
            class: Class::Standard,
            weight: 100,
            requests,
            arrivals: Arrivals::Within(Duration::from_secs(1)),
            prompt: 67.0,
            prompt_sigma: 0.5,
            bound: Some(1_000),
            output: 143.0,
            per_token: Duration::from_millis(5),
            large: None,
        }
    }
}

impl Account {
    /// Creates an account of one key, of which sluicegate is told the limits and nothing else.
    pub(crate) fn told(secret: &str, limits: Limits) -> Self {
        Self { told: told(&limits, 1), keys: vec![Key::valid(secret)], limits }
    }
}

/// Returns `factor` times the limits, as one who configures them would write them.
pub(crate) fn told(limits: &Limits, factor: u64) -> LaneSettings {
    let times = |limit: Option<u64>| limit.map(|limit| limit * factor);
    LaneSettings {
        requests_per_minute: times(limits.requests_per_minute),
        tokens_per_minute: times(limits.tokens_per_minute),
        requests_per_day: times(limits.requests_per_day),
        tokens_per_day: times(limits.tokens_per_day),
        input_tokens_per_minute: times(limits.input_per_minute),
        output_tokens_per_minute: times(limits.output_per_minute),
        concurrency: limits.concurrency,
        minute: limits.minute,
        day: limits.day,
        ..LaneSettings::default()
    }
}

impl Scenario {
    /// Returns the provider's rules. What a provider does not tell varies by the seed: how it estimates
    /// prompts, when refunds take effect, where the calendar stands.
    pub(crate) fn rules(&self, seed: u64) -> Rules {
        let estimators = [Estimator::Tokens, Estimator::Chars4, Estimator::Max];
        let mut dice = Dice::new(seed, 1);
        let estimator = estimators[usize::try_from(seed % 3).unwrap_or(0)];
        let refund_at = if dice.part() < 0.5 { RefundAt::Now } else { RefundAt::Debit };
        let day = Duration::from_secs(86_400);
        let epoch = Duration::from_secs(1_790_000_000) + dice.time(Duration::ZERO, day);
        let organisations = self.accounts.iter().enumerate().map(|(number, account)| {
            let limits = Limits { estimator, refund_at, ..account.limits.clone() };
            Organisation {
                name: format!("org-{number}").into(),
                keys: account.keys.clone(),
                rules: vec![LimitRule { models: "*".into(), shared: false, limits }],
            }
        });
        Rules {
            organisations: organisations.collect(),
            enforcement: self.enforcement,
            seed,
            epoch,
            ..Rules::default()
        }
    }

    /// Returns how sluicegate reads what the provider says of limits.
    pub(crate) fn dialect(&self) -> config::Dialect {
        match self.speaks {
            Dialect::OpenAi => config::Dialect::OpenAi,
            Dialect::Azure => config::Dialect::Azure,
            Dialect::Anthropic => config::Dialect::Anthropic,
            Dialect::Groq => config::Dialect::Groq,
            Dialect::Mistral => config::Dialect::Mistral,
            Dialect::Together => config::Dialect::Together,
            Dialect::Cerebras => config::Dialect::Cerebras,
            Dialect::SambaNova => config::Dialect::SambaNova,
            Dialect::Fireworks
            | Dialect::OpenRouter
            | Dialect::DeepSeek
            | Dialect::Gemini
            | Dialect::Vllm
            | Dialect::Ollama => config::Dialect::Plain,
        }
    }

    /// Returns the same with other traffic.
    pub(crate) fn with_flows(&self, flows: Vec<Flow>) -> Self {
        Self { flows, ..self.clone() }
    }

    /// Returns the same where no limit is configured.
    pub(crate) fn untold(&self) -> Self {
        let accounts = self
            .accounts
            .iter()
            .map(|account| Account { told: LaneSettings::default(), ..account.clone() });
        Self { accounts: accounts.collect(), ..self.clone() }
    }

    /// Returns the same with windows and all else that takes time `part` times as long, but for the requests, which
    /// [`Job::scaled`](super::work::Job::scaled) scales.
    pub(crate) fn scaled(&self, part: f64) -> Self {
        let mut scaled = self.clone();
        for account in &mut scaled.accounts {
            let (limits, told) = (&mut account.limits, &mut account.told);
            for time in [&mut limits.minute, &mut limits.day, &mut told.minute, &mut told.day] {
                *time = time.mul_f64(part);
            }
            for key in &mut account.keys {
                key.dies_at = key.dies_at.map(|at| at.mul_f64(part));
            }
        }
        scaled
    }

    /// Returns the window of its minute limits.
    pub(crate) fn window(&self) -> Duration {
        self.accounts.first().map_or(Duration::from_secs(60), |account| account.limits.minute)
    }
}

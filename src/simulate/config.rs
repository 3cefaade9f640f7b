//! The settings of the simulated provider.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

use super::dialect::Dialect;
use super::engine::{Key, LimitRule, Limits, Organisation, Rules};

/// Everything that can be set of a simulated provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where it listens; port 0: any free port.
    pub listen: SocketAddr,
    /// Whose words it speaks.
    pub dialect: Dialect,
    /// Who may ask, and for how much. `rules.epoch` is set when the provider starts.
    pub rules: Rules,
    /// How long answers are.
    pub outputs: Outputs,
    /// What they are written in.
    pub language: Language,
    /// How fast they come.
    pub latency: Latency,
    /// How streams are cut into pieces on their way.
    pub frames: Frames,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether answers tell what is left of quotas.
    pub headers: RateHeaders,
    /// Seeds lengths, texts, faults and the traffic of others.
    pub seed: u64,
}

/// How long answers are: a lognormal distribution, cut at the request's bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outputs {
    /// Its mean, in tokens.
    pub mean: f64,
    /// The standard deviation of its logarithm; 0: all answers have the mean's length.
    pub sigma: f64,
}

/// What answers are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Language {
    /// English words of one token each.
    #[default]
    Words,
    /// Chinese.
    Chinese,
    /// Emoji, of several tokens each, among words.
    Emoji,
    /// Programs in several languages.
    Code,
}

/// How streams are cut into pieces on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Frames {
    /// Where events end.
    #[default]
    Whole,
    /// Wherever so many bytes end, in the middle of characters, too; what breaks off ends within an event.
    Torn(NonZeroUsize),
}

/// How fast answers come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// From admission to the first token.
    pub first_token: Duration,
    /// From one token to the next.
    pub per_token: Duration,
    /// By how much both vary, up and down: 0.1 is a tenth.
    pub jitter: f64,
}

/// Probabilities of what goes wrong with an admitted request, each 0 to 1, at most 1 in sum.
///
/// All strike after admission: the request counts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// A 500 or 503 after the time of the first token. No token is used.
    pub server_error: f64,
    /// The connection is closed without an answer. No token is used.
    pub reset: f64,
    /// No answer comes. When the client gives up, the prompt is used.
    pub stall: f64,
    /// The answer breaks off. What was written until then is used.
    pub cut: f64,
    /// The answer goes on no more, and the connection stays. What was written until then is used.
    pub hang: f64,
    /// After which share of an answer it breaks off or hangs; drawn where it is not given. From 1 on a stream tells
    /// what was used and lacks its end.
    pub share: Option<f64>,
}

/// Whether answers tell what is left of quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateHeaders {
    /// They do.
    #[default]
    Shown,
    /// They do not; refusals still say when to come again.
    Hidden,
}

impl Config {
    /// Creates a provider on a free port of 127.0.0.1, with one organisation and one key, and
    /// `limits` for each model.
    pub fn single(key: &str, limits: Limits) -> Self {
        let everything = LimitRule { models: "*".into(), shared: false, limits };
        let organisation = Organisation {
            name: "org-sim".into(),
            keys: vec![Key::valid(key)],
            rules: vec![everything],
        };
        Self {
            rules: Rules { organisations: vec![organisation], ..Rules::default() },
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            dialect: Dialect::default(),
            rules: Rules::default(),
            outputs: Outputs { mean: 150.0, sigma: 0.6 },
            language: Language::default(),
            frames: Frames::default(),
            latency: Latency {
                first_token: Duration::from_millis(200),
                per_token: Duration::from_millis(5),
                jitter: 0.0,
            },
            faults: Faults::default(),
            headers: RateHeaders::Shown,
            seed: 1,
        }
    }
}

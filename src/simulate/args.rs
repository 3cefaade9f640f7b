//! The command line of `sluicegate simulate`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::config::{Config, Language};
use super::dialect::Dialect;
use super::raw::{BadSetting, Raw, RawKey, RawOrganisation, Switch, Time, USUAL_KEY};
use super::raw_limits::{
    RawCharging, RawCounting, RawEstimator, RawLimits, RawRefundAt, RawRefusals, RawSlices,
};

/// Simulates a provider: OpenAI's wire or another's, with real limits, headers and errors.
///
/// Flags win over the file; limits given as flags hold for every organisation that has none of its
/// own in the file.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where to listen [default: 127.0.0.1:8490].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Whose paths, headers, errors and habits [default: openai].
    #[arg(long, value_enum)]
    dialect: Option<Dialect>,
    /// A TOML file with organisations, limits, latency, output and faults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An organisation and its keys; may be repeated. Without any: `org-sim=sk-sim-1`.
    #[arg(long = "org", value_name = "NAME=KEY[,KEY]", value_parser = organisation)]
    organisations: Vec<RawOrganisation>,
    /// A key whose requests wait inside the simulator and are never refused.
    #[arg(long, value_name = "KEY")]
    oracle_key: Option<String>,
    /// The only models there are; may be repeated, `*` stands for any text [default: the vendor's].
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// Whether limits are enforced, or only counted and shown [default: on].
    #[arg(long, value_enum)]
    enforce: Option<Switch>,
    /// Tells nothing of quotas by headers.
    #[arg(long)]
    no_headers: bool,
    /// Seeds lengths, texts, faults and the traffic of others.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    answers: AnswerArgs,
}

/// Limits.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Requests per minute [default: 500].
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,
    /// Tokens per minute [default: 200000].
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// Requests per day.
    #[arg(long, value_name = "N")]
    rpd: Option<u64>,
    /// Tokens per day.
    #[arg(long, value_name = "N")]
    tpd: Option<u64>,
    /// Input tokens per minute, with `--charging split` [default: that of --tpm].
    #[arg(long, value_name = "N")]
    itpm: Option<u64>,
    /// Output tokens per minute, with `--charging split` [default: a fifth of --tpm].
    #[arg(long, value_name = "N")]
    otpm: Option<u64>,
    /// Requests under way at one time.
    #[arg(long, value_name = "N")]
    concurrency: Option<u64>,
    /// How windows are counted [default: bucket].
    #[arg(long, value_enum)]
    counting: Option<RawCounting>,
    /// What a request is charged [default: refund].
    #[arg(long, value_enum)]
    charging: Option<RawCharging>,
    /// How prompts are estimated at admission [default: tokens].
    #[arg(long, value_enum)]
    estimator: Option<RawEstimator>,
    /// What an absent max_tokens counts as: `model` or a number of tokens [default: model].
    #[arg(long, value_name = "TOKENS")]
    absent_max: Option<String>,
    /// When a refund takes effect in a bucket [default: now].
    #[arg(long, value_enum)]
    refund_at: Option<RawRefundAt>,
    /// Whether a request refused for its tokens counts as a request [default: counted].
    #[arg(long, value_enum)]
    refusals: Option<RawRefusals>,
    /// The length of a "minute", such as 2s [default: 60s].
    #[arg(long, value_name = "TIME")]
    window: Option<Time>,
    /// The length of a "day" [default: 24h].
    #[arg(long, value_name = "TIME")]
    day: Option<Time>,
    /// Limits every sixtieth of the window, too [default: off].
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "requests")]
    per_second: Option<RawSlices>,
    /// The share of every window that is used at the start, 0 to 1 [default: 0].
    #[arg(long, value_name = "SHARE")]
    used_at_start: Option<f64>,
    /// Requests per minute of others on the same quota.
    #[arg(long, value_name = "N")]
    foreign_rpm: Option<f64>,
    /// Tokens per minute of others on the same quota.
    #[arg(long, value_name = "N")]
    foreign_tpm: Option<f64>,
}

/// Answers and faults.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Answers")]
struct AnswerArgs {
    /// From admission to the first token [default: 200ms].
    #[arg(long, value_name = "TIME")]
    first_token: Option<Time>,
    /// From one token to the next [default: 5ms].
    #[arg(long, value_name = "TIME")]
    per_token: Option<Time>,
    /// By how much both vary: 0.1 is a tenth up and down [default: 0].
    #[arg(long, value_name = "SHARE")]
    jitter: Option<f64>,
    /// The mean length of an answer, in tokens [default: 150].
    #[arg(long, value_name = "TOKENS")]
    output_mean: Option<f64>,
    /// The standard deviation of its logarithm [default: 0.6].
    #[arg(long, value_name = "SIGMA")]
    output_sigma: Option<f64>,
    /// What answers are written in [default: words].
    #[arg(long, value_enum)]
    language: Option<Language>,
    /// Cuts streams into pieces of so many bytes, also within characters.
    #[arg(long, value_name = "BYTES")]
    frame_bytes: Option<NonZeroUsize>,
    /// The probability of a 500 or 503.
    #[arg(long = "fault-5xx", value_name = "P")]
    fault_5xx: Option<f64>,
    /// The probability that the connection is closed without an answer.
    #[arg(long, value_name = "P")]
    fault_reset: Option<f64>,
    /// The probability that no answer ever comes.
    #[arg(long, value_name = "P")]
    fault_stall: Option<f64>,
    /// The probability that an answer breaks off.
    #[arg(long, value_name = "P")]
    fault_cut: Option<f64>,
    /// The probability that an answer goes on no more, on a connection that stays.
    #[arg(long, value_name = "P")]
    fault_hang: Option<f64>,
    /// After which share of an answer it breaks off or hangs; 1: behind its usage [default: drawn].
    #[arg(long, value_name = "SHARE")]
    fault_share: Option<f64>,
}

/// Why the settings of the simulated provider were rejected.
#[derive(Debug, Error)]
pub enum SimulateError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML, or a key is unknown or of the wrong type.
    #[error("{} is not a valid configuration", path.display())]
    Parse {
        /// The file that was read.
        path: PathBuf,
        /// Line, column and reason.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value makes no sense.
    #[error(transparent)]
    Setting(#[from] BadSetting),
}

/// Where it listens where nobody says.
const USUAL_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8490);

impl Args {
    /// Returns the settings of file and flags.
    ///
    /// # Errors
    ///
    /// Every [`SimulateError`].
    pub fn config(&self) -> Result<Config, SimulateError> {
        let mut raw = match &self.config {
            Some(path) => read(path)?,
            None => Raw::default(),
        };
        // What is wrong behind this is a flag's fault.
        raw.clone().check()?;
        set(&mut raw.listen, self.listen.as_ref());
        raw.listen.get_or_insert(USUAL_ADDR);
        set(&mut raw.dialect, self.dialect.as_ref());
        raw.organisations.extend(self.organisations.iter().cloned());
        set(&mut raw.oracle_key, self.oracle_key.as_ref());
        set(&mut raw.enforce, self.enforce.as_ref());
        set(&mut raw.seed, self.seed.as_ref());
        if !self.models.is_empty() {
            raw.models = Some(self.models.clone());
        }
        if self.no_headers {
            raw.headers = Some(Switch::Off);
        }
        self.limits.lay_over(&mut raw.limits);
        self.answers.lay_over(&mut raw);
        Ok(raw.check().map_err(BadSetting::of_flag)?)
    }
}

impl LimitArgs {
    fn lay_over(&self, raw: &mut RawLimits) {
        set(&mut raw.rpm, self.rpm.as_ref());
        set(&mut raw.tpm, self.tpm.as_ref());
        set(&mut raw.rpd, self.rpd.as_ref());
        set(&mut raw.tpd, self.tpd.as_ref());
        set(&mut raw.itpm, self.itpm.as_ref());
        set(&mut raw.otpm, self.otpm.as_ref());
        set(&mut raw.concurrency, self.concurrency.as_ref());
        set(&mut raw.counting, self.counting.as_ref());
        set(&mut raw.charging, self.charging.as_ref());
        set(&mut raw.estimator, self.estimator.as_ref());
        set(&mut raw.absent_max, self.absent_max.as_ref());
        set(&mut raw.refund_at, self.refund_at.as_ref());
        set(&mut raw.refusals, self.refusals.as_ref());
        set(&mut raw.window, self.window.as_ref());
        set(&mut raw.day, self.day.as_ref());
        set(&mut raw.per_second, self.per_second.as_ref());
        set(&mut raw.used_at_start, self.used_at_start.as_ref());
        set(&mut raw.foreign_rpm, self.foreign_rpm.as_ref());
        set(&mut raw.foreign_tpm, self.foreign_tpm.as_ref());
    }
}

impl AnswerArgs {
    fn lay_over(&self, raw: &mut Raw) {
        set(&mut raw.latency.first_token, self.first_token.as_ref());
        set(&mut raw.latency.per_token, self.per_token.as_ref());
        set(&mut raw.latency.jitter, self.jitter.as_ref());
        set(&mut raw.output.mean, self.output_mean.as_ref());
        set(&mut raw.output.sigma, self.output_sigma.as_ref());
        set(&mut raw.output.language, self.language.as_ref());
        set(&mut raw.output.frame_bytes, self.frame_bytes.as_ref());
        set(&mut raw.faults.server_error, self.fault_5xx.as_ref());
        set(&mut raw.faults.reset, self.fault_reset.as_ref());
        set(&mut raw.faults.stall, self.fault_stall.as_ref());
        set(&mut raw.faults.cut, self.fault_cut.as_ref());
        set(&mut raw.faults.hang, self.fault_hang.as_ref());
        set(&mut raw.faults.share, self.fault_share.as_ref());
    }
}

fn set<T: Clone>(slot: &mut Option<T>, flag: Option<&T>) {
    if let Some(value) = flag {
        *slot = Some(value.clone());
    }
}

fn read(path: &Path) -> Result<Raw, SimulateError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SimulateError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| SimulateError::Parse { path: path.to_owned(), source: Box::new(source) })
}

fn organisation(text: &str) -> Result<RawOrganisation, String> {
    let (name, keys) = text.split_once('=').unwrap_or((text, USUAL_KEY));
    if name.is_empty() || keys.is_empty() {
        return Err("expected NAME=KEY[,KEY]".to_owned());
    }
    let keys = keys.split(',').map(|key| RawKey {
        key: key.to_owned(),
        state: None,
        dies_at: None,
        dies_after: None,
        dies_as: None,
    });
    Ok(RawOrganisation { name: name.to_owned(), keys: keys.collect(), limits: Vec::new() })
}

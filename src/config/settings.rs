//! Holds the checked settings: what the rest of the program may rely on.
//!
//! # Invariants
//!
//! 1. There is at least one upstream; no limit, duration or size is zero; names are unique and can
//!    stand in a header.
//! 2. Where apps have keys, every upstream has a key of its own.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::clients::{AppSettings, RuleSettings};
use super::dialect::Dialect;
use super::pattern::ModelPattern;
use super::routes::{ModelSettings, RouteSettings};
use crate::budget::BudgetSettings;
use crate::catalog::PriceList;
use crate::limit::{AppLimits, LaneSettings};
use crate::units::{AccountName, AppName, KeyLabel, ModelName, Secret, UpstreamName};

/// Everything that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sockets and what a client may ask of them.
    pub server: ServerSettings,
    /// Where what is learned and booked is kept.
    pub data_dir: DataDir,
    /// What is booked, and how.
    pub ledger: LedgerSettings,
    /// How log lines are written.
    pub log: LogFormat,
    /// Where requests go; what no route leads elsewhere goes to the first.
    pub upstreams: Vec<UpstreamSettings>,
    /// Which requests go to which upstream; the first match counts.
    pub routes: Vec<RouteSettings>,
    /// Other names of models, and where requests for them go; the first match counts.
    pub models: Vec<ModelSettings>,
    /// Who may ask, by key.
    pub apps: Vec<AppSettings>,
    /// Apps and classes by what a request looks like; the first match counts.
    pub rules: Vec<RuleSettings>,
    /// What things cost.
    pub prices: Arc<PriceList>,
    /// How much money may be spent.
    pub budgets: Vec<BudgetSettings>,
    /// The waiting line.
    pub line: LineSettings,
    /// Times after which something is given up.
    pub timeouts: TimeoutSettings,
}

impl Settings {
    /// Tells whose keys are used.
    pub fn mode(&self) -> Mode<'_> {
        Mode { upstreams: &self.upstreams }
    }

    /// Returns what each app may use.
    pub fn app_limits(&self) -> impl Iterator<Item = (AppName, AppLimits)> + '_ {
        self.apps.iter().map(|app| (app.name.clone(), app.limits))
    }

    /// Returns every app that is named here, by its key or by a rule.
    pub fn named_apps(&self) -> HashSet<AppName> {
        let by_key = self.apps.iter().map(|app| &app.name);
        by_key.chain(self.rules.iter().filter_map(|rule| rule.app.as_ref())).cloned().collect()
    }
}

/// Where what is learned and booked is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDir {
    /// In this folder, which somebody named: it must work.
    Named(PathBuf),
    /// In this user's folder. Where it does not work, nothing is kept.
    Usual(PathBuf),
    /// Nowhere: so somebody wants it, or this user has no folder.
    Nowhere,
}

/// Whose keys are used, in words for the start of the log.
#[derive(Debug, Clone, Copy)]
pub struct Mode<'a> {
    upstreams: &'a [UpstreamSettings],
}

impl fmt::Display for Mode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, upstream) in self.upstreams.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}")?;
            if self.upstreams.len() > 1 {
                write!(f, "{}: ", upstream.name)?;
            }
            write!(f, "{}", upstream.mode())?;
        }
        Ok(())
    }
}

/// Sockets and what a client may ask of them.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where people and monitors connect.
    pub admin: SocketAddr,
    /// The largest body that is read for counting, in bytes.
    pub max_body: usize,
    /// The most connections at one time.
    pub max_connections: usize,
    /// The origins whose web pages may ask and read answers, such as `https://chat.example`.
    pub cors_origins: Vec<String>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// One provider, or one compatible server.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// Its name, unlike all others'.
    pub name: UpstreamName,
    /// What stands before `/chat/completions`, such as `https://api.openai.com/v1`.
    pub base_url: Uri,
    /// How it speaks of limits.
    pub dialect: Dialect,
    /// What only Azure's paths need.
    pub azure: AzureSettings,
    /// Who owns quotas there. Empty: each client's own key is passed on and is an account of its
    /// own.
    pub accounts: Vec<AccountSettings>,
    /// Limits of every account, first match counts.
    pub limits: Vec<LimitRule>,
}

impl UpstreamSettings {
    /// Returns the limit group of `model` in `account` and the settings of its lane.
    ///
    /// The account's rules come before the upstream's, and the first match counts. The group is the
    /// pattern where its models share a lane, else the model itself. Without a match everything is
    /// learned, but for what the dialect says.
    pub fn lane_settings(&self, account: &AccountName, model: &str) -> (String, LaneSettings) {
        let account = self.accounts.iter().find(|known| known.name == *account);
        let own = account.map_or(&[][..], |account| &account.limits);
        let rule = own.iter().chain(&self.limits).find(|rule| rule.models.matches(model));
        let (group, lane) = match rule {
            Some(rule) if rule.shared => (rule.models.as_str(), rule.lane.clone()),
            Some(rule) => (model, rule.lane.clone()),
            None => (model, LaneSettings::default()),
        };
        (group.to_owned(), self.dialect.fill_in(lane))
    }

    /// Returns the settings of the lane of a limit group in `account`; `None` if no model's lane is that
    /// group's.
    pub fn group_settings(&self, account: &AccountName, group: &str) -> Option<LaneSettings> {
        let known = self.accounts.iter().find(|known| known.name == *account);
        let own = known.map_or(&[][..], |account| &account.limits);
        let mut rules = own.iter().chain(&self.limits);
        if let Some(rule) = rules.find(|rule| rule.shared && rule.models.as_str() == group) {
            return Some(self.dialect.fill_in(rule.lane.clone()));
        }
        // No model's name has a star: this was the group of those that shared a lane.
        let (of_model, lane) = self.lane_settings(account, group);
        (of_model == group && !group.contains('*')).then_some(lane)
    }

    /// Tells in words whose keys are used.
    fn mode(&self) -> String {
        let keys: Vec<&str> = self
            .accounts
            .iter()
            .flat_map(|account| &account.keys)
            .map(|key| key.label.as_str())
            .collect();
        if keys.is_empty() {
            return format!(
                "client's keys: each client's own key is passed on to {}",
                self.base_url
            );
        }
        let plural =
            |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let source = match keys[..] {
            [only] => format!(" from {}", only.strip_prefix("env:").unwrap_or(only)),
            _ => format!(" ({})", keys.join(", ")),
        };
        let (accounts, keys) = (plural(self.accounts.len(), "account"), plural(keys.len(), "key"));
        format!("{accounts}, {keys}{source}")
    }
}

/// What Azure's paths need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AzureSettings {
    /// The deployments of models that are not named like their model.
    pub deployments: Vec<Deployment>,
    /// The version that the older shape of its paths asks for; `None`: the newer shape is used.
    pub api_version: Option<String>,
}

/// A model as Azure serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The model.
    pub model: ModelName,
    /// The name of its deployment.
    pub name: String,
}

/// An organisation or project: the owner of quotas.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// Its name, unique in its upstream.
    pub name: AccountName,
    /// Its credentials; at least one.
    pub keys: Vec<KeySettings>,
    /// Sent as `OpenAI-Organization` where given.
    pub organization: Option<String>,
    /// Sent as `OpenAI-Project` where given.
    pub project: Option<String>,
    /// Limits of this account; looked up before the upstream's.
    pub limits: Vec<LimitRule>,
}

/// One credential.
#[derive(Debug, Clone)]
pub struct KeySettings {
    /// A label fit to be shown.
    pub label: KeyLabel,
    /// The key.
    pub secret: Secret,
}

/// The limits of the models that a pattern names.
#[derive(Debug, Clone)]
pub struct LimitRule {
    /// Which models.
    pub models: ModelPattern,
    /// Whether all these models draw from one lane; else each has a lane of its own.
    pub shared: bool,
    /// The limits.
    pub lane: LaneSettings,
}

/// The waiting line.
#[derive(Debug, Clone)]
pub struct LineSettings {
    /// The longest a request may wait.
    pub max_wait: Duration,
    /// The most requests that may wait.
    pub max_waiting: usize,
    /// The most of them that one app may have.
    pub max_waiting_per_app: usize,
    /// The most bytes that waiting requests may hold.
    pub max_waiting_bytes: usize,
    /// Whether requests are held at all.
    pub mode: LineMode,
    /// How long a stream waits before it is kept alive with comments, and how far those are apart;
    /// `None`: streams wait in silence, as all else.
    pub keep_alive: Option<Duration>,
    /// What becomes of the upstream call when its client hangs up.
    pub on_disconnect: Disconnect,
}

/// Whether requests are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineMode {
    /// Who has no room waits.
    #[default]
    Enforce,
    /// Nobody waits; it is told how long each would have waited.
    Observe,
}

/// What becomes of an upstream call when its client hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Disconnect {
    /// It is cancelled, and settled with the tokens counted so far.
    #[default]
    Cancel,
    /// It is read to its end, and settled with what it reports.
    Drain,
}

/// The ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSettings {
    /// The PostgreSQL that what is learned and booked is kept in; `None`: a file in the data folder. A password
    /// may stand in it.
    pub url: Option<Secret>,
    /// What the end of an answer waits for.
    pub durability: Durability,
    /// What becomes of requests when nothing more can be booked.
    pub when_full: WhenFull,
    /// The folder of the file beside the store; `None`: the data folder.
    pub spill_dir: Option<PathBuf>,
    /// How long a single entry is kept, at least two days; `None`: for ever. Its sums always are.
    pub keep_entries: Option<Duration>,
}

/// What the end of an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// That its entry survives this process.
    #[default]
    Strict,
    /// That its entry survives the machine.
    Fsync,
    /// Nothing: the entries of the last 100 ms may be lost.
    Relaxed,
}

/// What becomes of requests when nothing more can be booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// They are refused, and nothing is lost.
    #[default]
    Refuse,
    /// They go on, and how many are not booked is told.
    GoOn,
}

/// Times after which something is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// To reach the provider.
    pub connect: Duration,
    /// From sending the request to the answer's headers.
    pub response: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// For requests under way when the program is told to stop.
    pub drain: Duration,
    /// For a client to send its headers, and then each piece of its body.
    pub client: Duration,
}

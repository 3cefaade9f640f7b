//! The checked settings: what the rest of the program may rely on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use crate::limit::LaneSettings;
use crate::units::{AccountName, AppName, KeyLabel, Secret};

/// Everything that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sockets and what a client may ask of them.
    pub server: ServerSettings,
    /// Where what is learned and booked is kept.
    pub data_dir: PathBuf,
    /// How log lines are written.
    pub log: LogFormat,
    /// Where requests go; in this version exactly one.
    pub upstreams: Vec<UpstreamSettings>,
    /// Who may ask, by key.
    pub apps: Vec<AppSettings>,
    /// The waiting line.
    pub line: LineSettings,
    /// Times after which something is given up.
    pub timeouts: TimeoutSettings,
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
    /// Its name.
    pub name: String,
    /// What stands before `/chat/completions`, such as `https://api.openai.com/v1`.
    pub base_url: Uri,
    /// How it speaks of limits.
    pub dialect: Dialect,
    /// Who owns quotas there. Empty: each client's own key is passed on and is an account of its
    /// own.
    pub accounts: Vec<AccountSettings>,
    /// Limits of every account, first match counts.
    pub limits: Vec<LimitRule>,
}

/// How a provider speaks of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// `x-ratelimit-*` with Go durations.
    #[default]
    OpenAi,
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

/// A model name in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPattern(pub(super) String);

impl ModelPattern {
    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether `model` is meant.
    pub fn matches(&self, _model: &str) -> bool {
        true
    }
}

/// A program that may send requests.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// Its name.
    pub name: AppName,
    /// What it sends as its API key.
    pub key: Secret,
}

/// The waiting line.
#[derive(Debug, Clone)]
pub struct LineSettings {
    /// The longest a request may wait.
    pub max_wait: Duration,
    /// The most requests that may wait.
    pub max_waiting: usize,
    /// The most bytes that waiting requests may hold.
    pub max_waiting_bytes: usize,
    /// What becomes of the upstream call when its client hangs up.
    pub on_disconnect: Disconnect,
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

/// Times after which something is given up.
#[derive(Debug, Clone)]
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

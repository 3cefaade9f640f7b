//! The provider and the proxy as processes of the binary under test.
//!
//! Invariant: a process ends with the value that started it, also when a test fails.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

/// Whose words a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    Azure,
}

impl Dialect {
    /// Returns what a base URL has behind the host, as the SDKs want it.
    fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1",
            Self::Anthropic | Self::Azure => "",
        }
    }

    /// Returns what a base URL has behind the host, as the proxy wants it of an upstream.
    fn upstream_path(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Anthropic => "/v1",
            Self::Azure => "/openai/v1",
        }
    }

    /// Returns the models that the cases ask for.
    fn models(self) -> &'static [&'static str] {
        match self {
            Self::OpenAi => &[
                "gpt-4o",
                "gpt-4o-mini",
                "gpt-3.5-turbo-instruct",
                "text-embedding-3-small",
                "omni-moderation-latest",
                "gpt-4o-mini-tts",
                "gpt-4o-mini-transcribe",
                "whisper-1",
                "gpt-image-1",
            ],
            Self::Anthropic => &["claude-haiku-4-5"],
            Self::Azure => &["gpt-4o-mini", "text-embedding-3-small"],
        }
    }

    /// Returns its name for the simulated provider and in a configuration.
    fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Azure => "azure",
        }
    }
}

/// A simulated provider with one key, the same answers for the same requests at every start.
pub(crate) struct Provider {
    process: Process,
    dialect: Dialect,
}

impl Provider {
    /// Starts a provider that answers at once.
    pub(crate) fn start(dialect: Dialect) -> Self {
        Self::taking(dialect, "0ms", "0ms")
    }

    /// Starts a provider that takes so long until the first token of an answer, and for each more.
    pub(crate) fn taking(dialect: Dialect, first_token: &str, per_token: &str) -> Self {
        let mut command = sluicegate();
        command.args(["simulate", "--listen", "127.0.0.1:0", "--seed", "7"]);
        command.args(["--dialect", dialect.name(), "--rpm", "100000", "--tpm", "100000000"]);
        command.args(["--first-token", first_token, "--per-token", per_token]);
        // Another name is an unknown model; without a list every name is a model.
        command.args(dialect.models().iter().flat_map(|model| ["--model", model]));
        Self { process: Process::start(command, "listening on "), dialect }
    }

    pub(crate) fn base_url(&self) -> String {
        self.process.url().to_owned() + self.dialect.path()
    }

    pub(crate) fn key(&self) -> &'static str {
        "sk-sim-1"
    }

    /// Returns a count of what it did, by its name among the totals.
    pub(crate) fn total(&self, name: &str) -> u64 {
        let page = get(self.process.url(), "/sim/stats");
        let body = page.split_once("\r\n\r\n").expect("a head and a body").1;
        let stats: Value = serde_json::from_str(body).expect("the statistics are JSON");
        stats["totals"][name].as_u64().expect("a count of this name")
    }
}

/// A proxy in front of a provider, with a data folder that nobody else knows.
pub(crate) struct Proxy {
    process: Process,
    dialect: Dialect,
    _data: TempDir,
}

impl Proxy {
    /// Starts a proxy that uses `key`, or passes on each client's own key if there is none.
    pub(crate) fn start(provider: &Provider, key: Option<&str>) -> Self {
        Self::configured(provider, key, "")
    }

    /// Starts a proxy with these settings, which begin inside those of its upstream.
    pub(crate) fn configured(provider: &Provider, key: Option<&str>, settings: &str) -> Self {
        let data = tempfile::tempdir().expect("a folder for the proxy's data");
        let mut command = sluicegate();
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let upstream = provider.process.url().to_owned() + provider.dialect.upstream_path();
        command.arg("--upstream").arg(upstream);
        command.arg("--data-dir").arg(data.path());
        let config = data.path().join("config.toml");
        let dialect = provider.dialect;
        let settings = format!("{UPSTREAM}dialect = \"{}\"\n{settings}", dialect.name());
        fs::write(&config, settings).expect("a configuration that can be written");
        command.arg("--config").arg(config);
        // A configuration of the user's must not reach the test.
        command.env("XDG_CONFIG_HOME", data.path()).env("HOME", data.path());
        match key {
            Some(key) => command.env("OPENAI_API_KEY", key),
            None => command.env_remove("OPENAI_API_KEY"),
        };
        Self { process: Process::start(command, "admin on "), dialect, _data: data }
    }

    pub(crate) fn base_url(&self) -> String {
        self.process.url().to_owned() + self.dialect.path()
    }

    /// Returns the sum of the metrics whose lines begin so.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = get(self.process.said("admin on ").expect("an address"), "/metrics");
        let values = page.lines().filter(|line| line.starts_with(name));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

const UPSTREAM: &str = "[[upstreams]]\n";

/// Returns the head and the body of a page.
fn get(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let ask = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
    stream.write_all(ask.as_bytes()).expect("a connection that can be written to");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    page
}

fn sluicegate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sluicegate"))
}

/// A running child and what it said when it started.
struct Process {
    child: Child,
    said: Vec<String>,
}

impl Process {
    /// Starts a child and waits until it says a line that has `last` in it.
    fn start(mut command: Command, last: &str) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary under test starts");
        let stderr = child.stderr.take().expect("a piped stderr");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let has_started = lines.by_ref().any(|line| {
            let is_last = line.contains(last);
            said.push(line);
            is_last
        });
        // A full pipe would stop the child.
        thread::spawn(move || lines.for_each(drop));
        let process = Self { child, said };
        let said = process.said.join("\n");
        assert!(has_started, "{command:?} ended before it listened, and said:\n{said}");
        process
    }

    /// Returns what follows `words` in what it said.
    fn said(&self, words: &str) -> Option<&str> {
        self.said.iter().find_map(|line| line.split_once(words)).map(|(_, rest)| rest.trim())
    }

    fn url(&self) -> &str {
        self.said("listening on ").expect("it said where it listens")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is what is wanted here.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

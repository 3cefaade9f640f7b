//! The provider and the proxy as processes of the binary under test.
//!
//! Invariant: a process ends with the value that started it, also when a test fails.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

/// A simulated provider with one key, the same answers for the same requests at every start.
pub(crate) struct Provider {
    process: Process,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let mut command = sluicegate();
        command.args(["simulate", "--listen", "127.0.0.1:0", "--seed", "7"]);
        command.args(["--rpm", "100000", "--tpm", "100000000"]);
        command.args(["--first-token", "0ms", "--per-token", "0ms"]);
        // Another name is an unknown model; without a list every name is a model.
        command.args(MODELS.iter().flat_map(|model| ["--model", model]));
        Self { process: Process::start(command) }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("{}/v1", self.process.url)
    }

    pub(crate) fn key(&self) -> &'static str {
        "sk-sim-1"
    }
}

/// The models that the cases ask for.
const MODELS: [&str; 4] =
    ["gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo-instruct", "text-embedding-3-small"];

/// A proxy in front of a provider, with a data folder that nobody else knows.
pub(crate) struct Proxy {
    process: Process,
    _data: TempDir,
}

impl Proxy {
    /// Starts a proxy that uses `key`, or passes on each client's own key if there is none.
    pub(crate) fn start(provider: &Provider, key: Option<&str>) -> Self {
        let data = tempfile::tempdir().expect("a folder for the proxy's data");
        let mut command = sluicegate();
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.arg("--upstream").arg(provider.base_url());
        command.arg("--data-dir").arg(data.path());
        // A configuration of the user's must not reach the test.
        command.env("XDG_CONFIG_HOME", data.path()).env("HOME", data.path());
        match key {
            Some(key) => command.env("OPENAI_API_KEY", key),
            None => command.env_remove("OPENAI_API_KEY"),
        };
        Self { process: Process::start(command), _data: data }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("{}/v1", self.process.url)
    }
}

fn sluicegate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sluicegate"))
}

/// A running child and the address at which it said that it listens.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary under test starts");
        let stderr = child.stderr.take().expect("a piped stderr");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let url = lines.by_ref().find_map(|line| {
            let url = line.split_once("listening on ").map(|(_, url)| url.trim().to_owned());
            said.push(line);
            url
        });
        // A full pipe would stop the child.
        thread::spawn(move || lines.for_each(drop));
        let mut process = Self { child, url: String::new() };
        process.url = url.unwrap_or_else(|| {
            panic!("{command:?} ended before it listened, and said:\n{}", said.join("\n"))
        });
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is what is wanted here.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

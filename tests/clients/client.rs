//! Clients in environments of their own, and the scripts that play cases with them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::Dialect;
use crate::transcript::settled;

/// A client in an environment of its own, and the script that plays cases with it.
pub(crate) struct Client {
    program: PathBuf,
    arguments: Vec<PathBuf>,
    dialect: Dialect,
}

impl Client {
    /// Returns the client that `python/{environment}.txt` pins, played by `python/{script}`.
    pub(crate) fn python(environment: &str, script: &str) -> Self {
        let program = environments().join(environment).join("bin/python");
        let arguments = vec![here().join("python").join(script)];
        Self { program, arguments, dialect: Dialect::OpenAi }
    }

    /// Returns the client that `node/{environment}` pins, played by `node/{script}`.
    pub(crate) fn node(runtime: Runtime, environment: &str, script: &str) -> Self {
        let program = environments().join(match runtime {
            Runtime::Installed => "node",
            Runtime::Pinned => "node-pinned",
        });
        let script = here().join("node").join(script);
        let arguments = vec![script, environments().join(environment)];
        Self { program, arguments, dialect: Dialect::OpenAi }
    }

    /// Adds a file of cases that the script plays.
    pub(crate) fn with_cases(mut self, file: &str) -> Self {
        self.arguments.push(here().join(file));
        self
    }

    /// Tells whose words the client speaks, if it is not OpenAI's.
    pub(crate) fn speaking(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Returns whose words the client speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Plays all cases against `base_url` and returns what the client heard.
    pub(crate) fn play(&self, base_url: &str, key: &str) -> Vec<Value> {
        let (base_url_variable, key_variable) = match self.dialect {
            Dialect::OpenAi => ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
            Dialect::Anthropic => ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
            Dialect::Azure => ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"),
        };
        let home = tempfile::tempdir().expect("a folder for what the client keeps");
        let mut command = Command::new(&self.program);
        // What the machine has for these SDKs must not reach them.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if ["OPENAI_", "ANTHROPIC_", "AZURE_"].iter().any(|sdk| name.starts_with(sdk)) {
                command.env_remove(name.as_ref());
            }
        }
        let output = command
            .args(&self.arguments)
            .env(base_url_variable, base_url)
            .env(key_variable, key)
            .env("HOME", home.path())
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .expect("the interpreter starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self} against {base_url}:\n{words}");
        let heard: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a JSON transcript");
        heard.into_iter().map(settled).collect()
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.program.display())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", argument.display()))
    }
}

/// Which Node runs a client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Runtime {
    /// The one on the path, 20 or newer.
    Installed,
    /// The one that `tests/tools/node.txt` pins, for what needs a newer one.
    Pinned,
}

/// Returns the cases of a file beside this one.
pub(crate) fn cases(file: &str) -> Vec<Value> {
    let text = std::fs::read(here().join(file)).expect("the cases can be read");
    serde_json::from_slice(&text).expect("the cases are JSON")
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Returns the folder in which `tests/run` names every environment.
fn environments() -> PathBuf {
    let folder = env::var_os("CLIENTS");
    assert!(folder.is_some(), "CLIENTS is not set: run `tests/run clients`, which installs them");
    folder.map(PathBuf::from).expect("asserted above")
}

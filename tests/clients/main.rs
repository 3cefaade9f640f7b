//! Real SDKs hear the same through the proxy as from the provider itself.
//!
//! Each SDK plays the cases of `cases.json` three times, each time against a fresh simulated
//! provider of the same seed: directly, through a proxy that holds the provider's key, and
//! through one that passes the client's own key on. The three whole transcripts are compared.
//!
//! `tests/run clients` installs the SDKs and names them to this binary; `cargo test` alone leaves
//! it out.

#![expect(clippy::expect_used, reason = "a test binary: helpers outside test functions fail so")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

mod process;
mod transcript;

use process::{Provider, Proxy};
use transcript::{differences, missing, settled};

#[test]
fn openai_python_1_hears_the_same_through_the_proxy() {
    hears_the_same(&Sdk::python("CLIENT_PYTHON_1"));
}

#[test]
fn openai_python_2_hears_the_same_through_the_proxy() {
    hears_the_same(&Sdk::python("CLIENT_PYTHON_2"));
}

#[test]
fn openai_python_3_hears_the_same_through_the_proxy() {
    hears_the_same(&Sdk::python("CLIENT_PYTHON_3"));
}

#[test]
fn openai_node_6_hears_the_same_through_the_proxy() {
    hears_the_same(&Sdk::node("CLIENT_NODE_6", "CLIENT_NODE_6_SDK"));
}

#[test]
fn openai_node_7_hears_the_same_through_the_proxy() {
    hears_the_same(&Sdk::node("CLIENT_NODE_7", "CLIENT_NODE_7_SDK"));
}

#[test]
fn openai_python_1_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(&Sdk::python("CLIENT_PYTHON_1"));
}

#[test]
fn openai_python_2_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(&Sdk::python("CLIENT_PYTHON_2"));
}

#[test]
fn openai_python_3_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(&Sdk::python("CLIENT_PYTHON_3"));
}

#[test]
fn openai_node_6_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(&Sdk::node("CLIENT_NODE_6", "CLIENT_NODE_6_SDK"));
}

#[test]
fn openai_node_7_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(&Sdk::node("CLIENT_NODE_7", "CLIENT_NODE_7_SDK"));
}

/// An SDK in an environment of its own, and the script that plays the cases with it.
struct Sdk {
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

impl Sdk {
    fn python(interpreter: &str) -> Self {
        let script = here().join("python/play.py");
        Self { program: named(interpreter), arguments: vec![script, cases_path()] }
    }

    fn node(interpreter: &str, sdk: &str) -> Self {
        let script = here().join("node/play.cjs");
        Self { program: named(interpreter), arguments: vec![script, cases_path(), named(sdk)] }
    }

    /// Plays all cases against `base_url` and returns what the SDK heard.
    fn play(&self, base_url: &str, key: &str) -> Vec<Value> {
        let output = Command::new(&self.program)
            .args(&self.arguments)
            .env_remove("OPENAI_ORG_ID")
            .env_remove("OPENAI_PROJECT_ID")
            .env("OPENAI_BASE_URL", base_url)
            .env("OPENAI_API_KEY", key)
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .expect("the interpreter starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} against {base_url}:\n{words}", self.program.display());
        let heard: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a JSON transcript");
        heard.into_iter().map(settled).collect()
    }
}

fn hears_the_same(sdk: &Sdk) {
    let direct = {
        let provider = Provider::start();
        sdk.play(&provider.base_url(), provider.key())
    };
    let missing = missing(&direct, &cases());
    assert!(missing.is_empty(), "of the provider itself:\n{}", missing.join("\n"));

    let with_key_of_proxy = {
        let provider = Provider::start();
        let proxy = Proxy::start(&provider, Some(provider.key()));
        sdk.play(&proxy.base_url(), "what-the-client-says-does-not-matter")
    };
    // A proxy that holds a key uses that one, whatever key the client says.
    let any_key = |heard: &[Value]| -> Vec<Value> {
        heard.iter().filter(|one| !one["case"].to_string().contains("wrong key")).cloned().collect()
    };
    let found = differences(&any_key(&direct), &any_key(&with_key_of_proxy));
    assert!(found.is_empty(), "through a proxy with a key:\n{}", found.join("\n"));

    let with_key_of_client = {
        let provider = Provider::start();
        let proxy = Proxy::start(&provider, None);
        sdk.play(&proxy.base_url(), provider.key())
    };
    let found = differences(&direct, &with_key_of_client);
    assert!(found.is_empty(), "through a proxy without a key:\n{}", found.join("\n"));
}

/// Plays through a proxy with a single slot, so that all that is asked at once waits, and streams
/// wait among comments.
fn skips_what_keeps_streams_alive(sdk: &Sdk) {
    let direct = {
        let provider = Provider::start();
        sdk.play(&provider.base_url(), provider.key())
    };
    let provider = Provider::answering_after("20ms");
    let proxy = Proxy::configured(&provider, None, ONE_AT_A_TIME);
    let waited = sdk.play(&proxy.base_url(), provider.key());

    // A stream whose head has left hears of its failure in the stream.
    let is_late = |one: &Value| {
        let case = one["case"].as_str().unwrap_or_default();
        case.starts_with(['a', 'p']) && case.ends_with("model, streamed")
    };
    let split = |heard: Vec<Value>| heard.into_iter().partition::<Vec<Value>, _>(is_late);
    let ((failed, direct), (failed_late, waited)) = (split(direct), split(waited));
    let found = differences(&direct, &waited);
    assert!(found.is_empty(), "among comments:\n{}", found.join("\n"));
    assert_eq!(failed.len(), 2, "{failed:?}");
    for (early, late) in failed.iter().zip(&failed_late) {
        let (early, late) = (&early["said"], &late["said"]);
        // Which of those that are asked at once finds the slot free is chance: that one hears it at once.
        if !late["status"].is_null() {
            assert_eq!(late, early);
            continue;
        }
        assert_eq!((&late["code"], &late["type"]), (&early["code"], &early["type"]), "{late}");
        assert!(late["error"].is_string(), "{late}");
    }
    let kept = proxy.metric("sluicegate_kept_alive_total");
    assert!(kept >= 6.0, "only {kept} streams were kept alive");
}

const ONE_AT_A_TIME: &str = r#"
[line]
keep_alive = "10ms"
[[upstreams]]
[[upstreams.limits]]
models = "*"
shared = true
concurrency = 1
"#;

fn cases() -> Vec<Value> {
    let text = std::fs::read(cases_path()).expect("the cases can be read");
    serde_json::from_slice(&text).expect("the cases are JSON")
}

fn cases_path() -> PathBuf {
    here().join("cases.json")
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Returns the path that `tests/run` names under `variable`.
fn named(variable: &str) -> PathBuf {
    let path = env::var_os(variable);
    assert!(
        path.is_some(),
        "{variable} is not set: run `tests/run clients`, which installs the SDKs"
    );
    path.map(PathBuf::from).expect("asserted above")
}

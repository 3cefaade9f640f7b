//! The demo keeps what it promises: the real program, its sockets and its figures.

use std::process::Command;

use serde_json::Value;

/// A busy machine can only make a run worse, so that one of three has to use the quota up.
#[test]
fn the_demo_uses_the_quota_up_without_a_refusal_and_counts_to_the_token() {
    let mut misses = Vec::new();
    for _ in 0..3 {
        let report = run();
        counts_to_the_token(&report);
        match misses_of(&report) {
            None => return,
            Some(miss) => misses.push(format!("{miss}: {report}")),
        }
    }
    panic!("{misses:#?}");
}

fn run() -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_sluicegate"))
        .args(["demo", "--json", "--seconds", "20"])
        .env_clear()
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).expect("the last line is JSON")
}

/// What holds on the slowest machine.
fn counts_to_the_token(report: &Value) {
    assert_eq!(report["refusals_seen_by_apps"], 0, "{report}");
    assert_eq!(report["failures_seen_by_apps"], 0, "{report}");
    assert!(number(report, "quota_used") <= 1.0, "{report}");
    assert_eq!(report["tokens_proxy"], report["tokens_provider"], "{report}");
    assert_eq!(report["tokens_apps"], report["tokens_provider"], "{report}");
    assert_eq!(report["input_counted_before_sending"], report["input_provider"], "{report}");
    assert_eq!(report["apps"].as_array().map(Vec::len), Some(3), "{report}");
}

/// Returns what was not as it can be, if anything.
fn misses_of(report: &Value) -> Option<&'static str> {
    let lanes = report["lanes"].as_array().expect("the lanes");
    let sum = |key| lanes.iter().map(|lane| number(lane, key)).sum::<f64>();
    let unused = sum("tokens_there") - sum("tokens_charged");
    // Batch leaves free, once, what people at a prompt took in a busy 5 s.
    let left_to_people = 1.5 * 5.0 * tokens_of(report, "assistant") / number(report, "seconds");
    // Nothing is left to people there.
    let embeddings = lanes.iter().filter(|lane| lane["model"] == "text-embedding-3-small");
    let least = embeddings.map(|lane| number(lane, "quota_used")).fold(1.0, f64::min);
    let apps = report["apps"].as_array().expect("the apps");
    let held = [
        ("refusals", number(report, "refusals_at_provider_per_1000") <= 1.0),
        ("unused quota", unused <= 0.05 * sum("tokens_there") + left_to_people),
        ("unused quota of embeddings", least >= 0.95),
        ("nothing was scarce", number(report, "wanted") > 1.1),
        ("hardly anything was used", number(report, "tokens_provider") > 50_000.0),
        ("an app had few turns", apps.iter().all(|app| number(app, "requests") > 20.0)),
    ];
    held.into_iter().find(|(_, holds)| !holds).map(|(miss, _)| miss)
}

fn tokens_of(report: &Value, name: &str) -> f64 {
    let apps = report["apps"].as_array().expect("the apps");
    let app = apps.iter().find(|app| app["name"] == name).expect("the app");
    number(app, "tokens")
}

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or_else(|| panic!("`{name}` is no number in {report}"))
}

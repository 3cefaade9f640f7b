//! The demo keeps what it promises: the real program, its sockets and its figures.

use std::process::Command;

use serde_json::Value;

#[test]
fn the_demo_uses_the_quota_up_without_a_refusal_and_counts_to_the_token() {
    let output = Command::new(env!("CARGO_BIN_EXE_sluicegate"))
        .args(["demo", "--json", "--seconds", "20"])
        .env_clear()
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let last = text.lines().last().unwrap_or_default();
    let report: Value = serde_json::from_str(last).expect("the last line is JSON");

    assert_eq!(report["refusals_seen_by_apps"], 0, "{text}");
    assert_eq!(report["failures_seen_by_apps"], 0, "{text}");
    assert!(number(&report, "refusals_at_provider_per_1000") <= 1.0, "{text}");
    let used = number(&report, "quota_used");
    assert!(used <= 1.0, "{text}");
    let lanes = report["lanes"].as_array().expect("the lanes");
    let sum = |key| lanes.iter().map(|lane| number(lane, key)).sum::<f64>();
    let unused = sum("tokens_there") - sum("tokens_charged");
    // Batch leaves free, once, what people at a prompt took in a busy 5 s.
    let left_to_people = 1.5 * 5.0 * tokens_of(&report, "assistant") / number(&report, "seconds");
    assert!(unused <= 0.05 * sum("tokens_there") + left_to_people, "{text}");
    for lane in lanes.iter().filter(|lane| lane["model"] == "text-embedding-3-small") {
        assert!(number(lane, "quota_used") >= 0.95, "nothing is left to people there: {text}");
    }
    // It is no promise where nothing was scarce.
    assert!(number(&report, "wanted") > 1.1, "{text}");

    assert_eq!(report["tokens_proxy"], report["tokens_provider"], "{text}");
    assert_eq!(report["tokens_apps"], report["tokens_provider"], "{text}");
    assert_eq!(report["input_counted_before_sending"], report["input_provider"], "{text}");
    assert!(number(&report, "tokens_provider") > 50_000.0, "{text}");
    let apps = report["apps"].as_array().expect("the apps");
    assert_eq!(apps.len(), 3);
    for app in apps {
        assert!(number(app, "requests") > 20.0, "{app}");
    }
}

fn tokens_of(report: &Value, name: &str) -> f64 {
    let apps = report["apps"].as_array().expect("the apps");
    let app = apps.iter().find(|app| app["name"] == name).expect("the app");
    number(app, "tokens")
}

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or_else(|| panic!("`{name}` is no number in {report}"))
}

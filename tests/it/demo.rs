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
    assert!((0.95..=1.0).contains(&used), "{text}");
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

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or_else(|| panic!("`{name}` is no number in {report}"))
}

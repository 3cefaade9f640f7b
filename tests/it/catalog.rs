//! `sluicegate catalog`: what models cost, and newer price lists.

use sluicegate::cli::Exit;
use tempfile::TempDir;

use crate::cli::{code, expect, home, home_with, sluicegate, text};

const LIST: &str = r#"{
  "sample_spec": {"input_cost_per_token": 0.0},
  "gpt-4o": {"mode": "chat", "input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06},
  "groq/new": {"mode": "chat", "input_cost_per_token": 1e-07, "output_cost_per_token": 2e-07,
               "off_peak_pricing": {}}
}"#;

/// Tells whether one line of `text` is made of these words.
fn has(text: &str, words: &[&str]) -> bool {
    text.lines().any(|line| line.split_whitespace().eq(words.iter().copied()))
}

/// Returns what a command printed; it must have done what was asked for.
fn done(args: &[&str], home: &TempDir) -> String {
    let output = sluicegate(args, &[], home);
    assert_eq!(code(&output), expect(Exit::Done), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

#[test]
fn a_newer_list_counts_from_the_next_start_on() {
    let home = home_with("list.json", LIST);
    let show = ["catalog", "show", "gpt-4o-2031-01-01"];
    let before = done(&show, &home);
    assert!(before.contains("as of 2026-") && has(&before, &["input", "2.5"]), "{before}");

    let update = ["catalog", "update", "--from", "list.json"];
    let tried = done(&[&update[..], &["--dry-run"]].concat(), &home);
    assert!(tried.contains("2 models with prices: 1 new, 1 with other prices\n"), "{tried}");
    assert!(
        tried.contains("gpt-4o: input 2.5 -> 2,") && tried.contains("output 10 -> 8"),
        "{tried}"
    );
    assert!(
        tried.contains("off_peak_pricing (1)") && tried.contains("nothing was written"),
        "{tried}"
    );
    assert_eq!(done(&show, &home), before);

    let taken = done(&update, &home);
    assert!(taken.contains("prices.json"), "{taken}");
    let after = done(&show, &home);
    assert!(after.contains("from list.json, read 2") && has(&after, &["input", "2"]), "{after}");
    let again = done(&update, &home);
    assert!(again.contains("2 models with prices: 0 new, 0 with other prices\n"), "{again}");
    let listed = done(&["catalog", "list", "groq/"], &home);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(has(&listed, &["groq/new", "0.1", "0.2"]), "{listed}");
}

#[test]
fn a_list_with_a_bad_line_is_not_taken_and_the_line_is_named() {
    let bad = LIST.replace("2e-07", "-1");
    let home = home_with("list.json", LIST);
    done(&["catalog", "update", "--from", "list.json"], &home);
    let kept = done(&["catalog", "show", "groq/new"], &home);
    std::fs::write(home.path().join("list.json"), bad).expect("a file");
    let output = sluicegate(&["catalog", "update", "--from", "list.json"], &[], &home);
    assert_eq!(code(&output), expect(Exit::Failed));
    let told = text(&output.stderr);
    assert!(told.contains("nothing has changed") && told.contains("`groq/new`"), "{told}");
    assert!(told.contains("`output_cost_per_token` is -1"), "{told}");
    assert_eq!(done(&["catalog", "show", "groq/new"], &home), kept);
}

#[test]
fn what_is_not_known_is_told_with_what_to_do() {
    let output = sluicegate(&["catalog", "show", "llama"], &[], &home());
    assert_eq!(code(&output), expect(Exit::Failed));
    assert!(text(&output.stderr).contains("[[prices]]"), "{}", text(&output.stderr));

    let own = "[[prices]]\nmodel = \"llama\"\ninput = 0.59\nbatch = { input = 0.3 }\n";
    let home = home_with("c.toml", own);
    let shown = done(&["catalog", "show", "llama", "--config", "c.toml"], &home);
    assert!(shown.contains("your configuration") && has(&shown, &["input", "0.59"]), "{shown}");
    assert!(has(&shown, &["batch"]) && has(&shown, &["input", "0.3"]), "{shown}");
}

#[test]
fn without_a_data_folder_no_list_is_taken() {
    let home = home_with("list.json", LIST);
    let update = ["catalog", "update", "--from", "list.json", "--data-dir", ""];
    let output = sluicegate(&update, &[], &home);
    assert_eq!(code(&output), expect(Exit::Failed));
    assert!(text(&output.stderr).contains("`data_dir` is empty"), "{}", text(&output.stderr));
}

#[test]
fn a_model_with_a_slip_of_the_pen_is_told_the_right_name() {
    let told = |model: &str| {
        let output = sluicegate(&["catalog", "show", model], &[], &home());
        assert_eq!(code(&output), expect(Exit::Failed));
        text(&output.stderr)
    };
    let slip = told("gtp-4o-mini");
    assert!(slip.contains("(did you mean `gpt-4o-mini`?)"), "{slip}");
    let other = told("something-else-entirely-that-nobody-has");
    assert!(other.contains("no prices of") && !other.contains("did you mean"), "{other}");
}

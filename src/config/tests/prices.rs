//! Tests of prices in a configuration.

use serde_json::{Value, json};

use super::*;

#[test]
fn own_prices_have_kinds_tiers_and_thresholds() {
    let text = r#"
        [[prices]]
        model = "llama"
        input = 0.59
        output = 1
        images = { "low/1x1" = 7 }
        batch = { input = 0.3 }
        above_1000 = { input = 2, flex = { input = 1.5 } }
        regional_percent = 10
    "#;
    let settings = Machine::with_file(text).loaded().settings;
    let (name, prices) = settings.prices.find("llama-2026-01-01").expect("prices");
    assert_eq!(name, "llama");
    let written = json!({
        "input": 0.59, "output": 1, "images": {"low/1x1": 7}, "batch": {"input": 0.3},
        "above_1000": {"input": 2, "flex": {"input": 1.5}}, "regional_percent": 10,
    });
    assert_eq!(Value::Object(prices.to_json()), written);
    assert!(settings.prices.find("gpt-4o").is_some(), "the list in the program is gone");
}

#[test]
fn what_is_no_price_is_told_with_its_key() {
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("model = \"m\"\ninput = -1",                             "`prices.input` is -1, but must be a number of dollars"),
        ("model = \"m\"\ninput = 0.0000000001",                   "`prices.input` is 0.0000000001, but must"),
        ("model = \"m\"\ninput = \"1\"",                          "`prices.input` is \"1\", but must"),
        ("model = \"m\"\ninputs = 1\noutput = 1",                 "`prices.inputs` is unknown; did you mean `prices.input`?"),
        ("model = \"m\"\nbatch = { flex = { input = 1 } }\ninput = 1", "`prices.batch.flex` is unknown"),
        ("model = \"m\"\nabove_0 = { input = 1 }\ninput = 1",     "`prices.above_0` is unknown"),
        ("model = \"m\"\nbatch = 1\ninput = 1",                   "`prices.batch` is 1, but must be a table"),
        ("input = 1",                                             "`prices.model` is missing"),
        ("model = \"m\"",                                         "`prices.input` is missing, but a model has at least one price"),
        ("model = \"m\"\ninput = 1\n[[prices]]\nmodel = \"m\"\ninput = 2", "`prices.model` is \"m\", but an entry above"),
    ];
    for (text, told) in cases {
        let error = Machine::with_file(&format!("[[prices]]\n{text}\n")).error();
        assert!(error.contains(told), "{text}\n{error}");
    }
}

#[test]
fn a_newer_list_in_the_data_folder_counts_and_a_damaged_one_is_told() {
    let path = "/var/lib/sluicegate/prices.json";
    let list = r#"{"format": 1, "origin": "x", "models": {"gpt-4o": {"input": 7}}}"#;
    let loaded = Machine::default().file(path, list).loaded();
    assert!(loaded.warnings.is_empty());
    let input = |loaded: &Loaded| {
        let (_, prices) = loaded.settings.prices.find("gpt-4o").expect("prices");
        prices.to_json().get("input").map(ToString::to_string)
    };
    assert_eq!(input(&loaded).as_deref(), Some("7"));

    let damaged = Machine::default().file(path, &list.replace('7', "-7")).loaded();
    assert_eq!(input(&damaged).as_deref(), Some("2.5"));
    let told: Vec<_> = damaged.warnings.iter().map(ToString::to_string).collect();
    let [told] = &told[..] else { panic!("{told:?}") };
    assert!(told.contains(path) && told.contains("`gpt-4o`: `input` is no price"), "{told}");
}

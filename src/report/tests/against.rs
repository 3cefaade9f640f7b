//! A provider's own figures, and where they differ from what is booked.

use std::sync::Arc;

use crate::report::{Comparison, Export, ExportError, Facet, Line, Sums, compare};
use crate::units::{PicoUsd, Tokens, Usage};

/// A page of usage by model and a page of costs, one after the other, of the same day.
const BOTH: &str = r#"
{"object": "page", "data": [
  {"object": "bucket", "start_time": 1763769600, "end_time": 1763856000, "results": [
    {"object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
     "input_cached_tokens": 800, "num_model_requests": 5, "project_id": "proj_1", "user_id": null,
     "api_key_id": null, "model": "gpt-4o-2024-08-06", "batch": null, "service_tier": null},
    {"object": "organization.usage.completions.result", "input_tokens": 10, "output_tokens": 5,
     "num_model_requests": 1, "project_id": "proj_2", "model": "gpt-4o-2024-08-06"}
  ]}], "has_more": false, "next_page": null}
{"object": "page", "data": [
  {"object": "bucket", "start_time": 1763769600, "end_time": 1763856000, "results": [
    {"object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"},
     "line_item": "gpt-4o-2024-08-06, input", "project_id": null},
    {"object": "organization.costs.result", "amount": {"value": "1.5e-3", "currency": "USD"}},
    {"object": "organization.costs.result", "amount": {"value": -0.01, "currency": "usd"}}
  ]}], "has_more": true, "next_page": "page_2"}"#;

fn line(served: &str, ending: &str, figures: [u64; 4], cost: u64) -> Line {
    let [attempts, input, cached, output] = figures;
    let usage = Usage {
        input: Tokens::new(input),
        cached: Tokens::new(cached),
        output: Tokens::new(output),
        ..Usage::NONE
    };
    let facet = Facet {
        endpoint: "/chat/completions".into(),
        sent_model: "gpt-4o".into(),
        served_model: served.into(),
        ..Facet::default()
    };
    let sums =
        Sums { attempts, requests: attempts, usage, cost: PicoUsd::new(cost), ..Sums::default() };
    Line { facet: Arc::new(facet), ending: ending.into(), sums }
}

/// Model, figure, and what the provider and what the books say.
type Apart<'a> = (Option<&'a str>, &'a str, i128, i128);

fn told(comparison: &Comparison) -> Vec<Apart<'_>> {
    let told = comparison.differences.iter();
    told.map(|it| (it.model.as_deref(), it.figure, it.provider, it.booked)).collect()
}

#[test]
fn what_is_booked_as_the_provider_has_it_differs_in_nothing() {
    let export = Export::read(BOTH).expect("it is well-formed");
    assert!(export.is_cut, "the last page has a next one");
    assert_eq!(export.buckets.len(), 1);
    let booked = [
        line("gpt-4o-2024-08-06", "complete", [4, 900, 800, 400], 51_000_000_000),
        // An answer that was cut does not tell which edition it is of.
        line("", "client_gone", [2, 110, 0, 105], 500_000_000),
        // The provider counts neither.
        line("", "refused", [3, 0, 0, 0], 0),
        line("", "unsent", [1, 0, 0, 0], 0),
    ];
    let comparison = compare(&export, &[booked.to_vec()], 0);
    assert_eq!(told(&comparison), []);
    assert_eq!(comparison.compared, 5, "requests, input, cached, output, costs");
}

#[test]
fn what_is_apart_is_told_by_time_model_and_figure() {
    let export = Export::read(BOTH).expect("it is well-formed");
    let booked = [
        line("gpt-4o-2024-08-06", "complete", [6, 1_010, 800, 400], 51_500_000_000),
        line("o3", "complete", [1, 7, 0, 9], 0),
    ];
    let comparison = compare(&export, &[booked.to_vec()], 0);
    let gpt = Some("gpt-4o-2024-08-06");
    let o3 = Some("o3");
    let wanted = [
        (gpt, "output_tokens", 505, 400),
        (o3, "requests", 0, 1),
        (o3, "input_tokens", 0, 7),
        (o3, "output_tokens", 0, 9),
    ];
    assert_eq!(told(&comparison), wanted);
    let words = comparison.words();
    assert!(words.contains("2025-11-22T00:00:00Z"), "{words}");
    assert!(words.contains("gpt-4o-2024-08-06  output_tokens       505     400"), "{words}");
    assert_eq!(told(&compare(&export, &[booked.to_vec()], 300)).len(), 3, "a fifth is allowed");
}

#[test]
fn an_export_that_is_not_by_model_is_compared_with_all_of_them() {
    let text = r#"[{"object":"bucket","start_time":0,"end_time":60,"results":[
        {"object":"organization.usage.completions.result","input_tokens":12,"output_tokens":3,
         "num_model_requests":2,"model":null}]}]"#;
    let export = Export::read(text).expect("a list of buckets");
    let booked =
        [line("gpt-4o", "complete", [1, 5, 0, 3], 0), line("o3", "complete", [1, 7, 0, 1], 0)];
    assert_eq!(told(&compare(&export, &[booked.to_vec()], 0)), [(None, "output_tokens", 3, 4)]);
}

#[test]
fn a_file_that_is_no_export_is_refused_with_what_and_where() {
    let bucket = |begin: i64, end: i64, results: &str| {
        format!(
            r#"{{"object":"bucket","start_time":{begin},"end_time":{end},"results":[{results}]}}"#
        )
    };
    let cost =
        |amount: &str| format!(r#"{{"object":"organization.costs.result","amount":{amount}}}"#);
    #[rustfmt::skip] // One case a line.
    let cases = [
        (String::new(),                                   "there are no buckets in it"),
        ("{\"object\":\"page\"}".to_owned(),              "missing field `data`"),
        ("{\"object\":\"page\",\n\"data\": oops}".to_owned(), "line 2 column 9"),
        (bucket(5, 5, ""),                                "the bucket that begins at 5 ends at 5"),
        (bucket(-5, 5, ""),                               "the bucket that begins at -5 ends at 5"),
        (bucket(0, 9, "") + &bucket(5, 12, ""),           "the bucket that begins at 5 begins before the one before it ends"),
        (bucket(0, 9, "") + &bucket(0, 8, ""),            "stands there twice"),
        (bucket(0, 9, &cost("{\"value\":1,\"currency\":\"eur\"}")), "in `eur`, not in US dollars"),
        (bucket(0, 9, &cost("{\"value\":\"many\"}")),     "has `many` for an amount"),
        (bucket(0, 9, "{\"object\":\"organization.usage.completions.result\",\"input_tokens\":-1}"), "invalid value: integer `-1`"),
        (bucket(0, 9, "{\"object\":\"organization.usage.dreams.result\"}"), "the kind `organization.usage.dreams.result`"),
    ];
    for (text, told) in cases {
        let error = Export::read(&text).expect_err(&text);
        let words = match &error {
            ExportError::Form(source) => format!("{error}: {source}"),
            other => other.to_string(),
        };
        assert!(words.contains(told), "{text}: {words}");
    }
}

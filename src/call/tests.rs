use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn parse(endpoint: Endpoint, body: &str) -> Call {
    Call::parse(endpoint, Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn chat(body: &str) -> Call {
    parse(Endpoint::ChatCompletions, body)
}

fn error(body: &str) -> CallError {
    Call::parse(Endpoint::ChatCompletions, Bytes::copy_from_slice(body.as_bytes())).unwrap_err()
}

fn asking(body: &str) -> String {
    let pieces = spliced(&chat(body), None).concat();
    String::from_utf8(pieces).unwrap()
}

#[test]
fn a_body_tells_what_admission_needs() {
    let call = chat(
        r#" { "model" : "gpt\u002d4o", "stream":true, "max_tokens":7, "max_completion_tokens": 9,
             "n":3, "messages":[], "some":{"thing":["new"]} } "#,
    );
    assert_eq!(call.model.as_str(), "gpt-4o");
    assert_eq!(call.delivery, Delivery::Stream { usage: StreamUsage::Spliced });
    assert_eq!(call.max_output, Some(Tokens::new(9)));
    assert_eq!(call.choices, 3);
}

#[test]
fn the_last_of_equal_keys_is_the_one_that_counts() {
    let call = chat(r#"{"model":"a","stream":true,"n":5,"model":"b","stream":false,"n":2}"#);
    assert_eq!((call.model.as_str(), call.choices), ("b", 2));
    assert_eq!(call.delivery, Delivery::Whole);
}

#[test]
fn a_field_of_the_wrong_type_is_left_to_the_provider() {
    let call = chat(
        r#"{"model":"m","stream":"yes","n":"3","max_tokens":-1,"messages":7,"stream_options":[]}"#,
    );
    assert_eq!(call.delivery, Delivery::Whole);
    assert_eq!((call.choices, call.max_output), (1, None));
}

#[test]
fn prompts_and_the_larger_of_n_and_best_of_are_multiplied() {
    let cases = [
        (r#""prompt":"one""#, 1),
        (r#""prompt":["one","two"],"n":2,"best_of":3"#, 6),
        (r#""prompt":[1,2,3],"n":2"#, 2),
        (r#""prompt":[[1,2],[3]],"best_of":4"#, 8),
        (r#""prompt":[]"#, 1),
        (r#""prompt":null,"n":0"#, 1),
    ];
    for (fields, choices) in cases {
        let call = parse(Endpoint::Completions, &format!("{{\"model\":\"m\",{fields}}}"));
        assert_eq!(call.choices, choices, "{fields}");
    }
}

#[test]
fn what_is_no_call_says_why() {
    assert_eq!(error("{\"model\":\n \"m\",}"), CallError::NotJson { line: 2, column: 6 });
    assert!(matches!(error(""), CallError::NotJson { .. }));
    assert!(matches!(error("{\"model\":\"m\"} x"), CallError::NotJson { .. }));
    assert_eq!(error("[1]"), CallError::NotAnObject);
    assert_eq!(error("\"text\""), CallError::NotAnObject);
    assert_eq!(error("{}"), CallError::ModelMissing);
    assert_eq!(error("{\"model\":null}"), CallError::ModelMissing);
    assert_eq!(error("{\"model\":4}"), CallError::ModelNotAString);
    assert_eq!(error("{\"model\":4}").param(), Some("model"));
}

#[test]
fn a_stream_asks_for_usage_with_the_fewest_bytes() {
    let cases = [
        (
            r#"{"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":null}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options": { } }"#,
            r#"{"model":"m","stream":true,"stream_options": {"include_usage":true } }"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage": null ,"x":1}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage": true ,"x":1}}"#,
        ),
        (
            r#"{"stream_options":{},"stream_options":{"include_usage":true,"include_usage":false},"model":"m","stream":true}"#,
            r#"{"stream_options":{},"stream_options":{"include_usage":true,"include_usage":true},"model":"m","stream":true}"#,
        ),
    ];
    for (sent, expected) in cases {
        assert_eq!(asking(sent), expected);
        assert_eq!(chat(sent).delivery, Delivery::Stream { usage: StreamUsage::Spliced }, "{sent}");
        let asks_itself = chat(expected);
        let told = Delivery::Stream { usage: StreamUsage::Told };
        assert_eq!(asks_itself.delivery, told, "{expected}");
    }
}

#[test]
fn a_body_that_needs_no_splice_goes_as_it_came() {
    let cases = [
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        r#"{"model":"m","stream":true,"stream_options":"wrong"}"#,
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":"wrong"}}"#,
        r#"{"model":"m","stream":false,"stream_options":{}}"#,
        r#"{"model":"m"}"#,
    ];
    for body in cases {
        assert_eq!(asking(body), body);
        let spliced = Delivery::Stream { usage: StreamUsage::Spliced };
        assert_ne!(chat(body).delivery, spliced, "{body}");
    }
    let body = r#"{"model":"m","stream":true}"#;
    let call = parse(Endpoint::Responses, body);
    assert_eq!(call.delivery, Delivery::Stream { usage: StreamUsage::Told });
    assert_eq!(spliced(&call, None).concat(), body.as_bytes());
    assert_eq!(parse(Endpoint::Embeddings, body).delivery, Delivery::Whole);
}

#[test]
fn the_bytes_of_a_spliced_body_are_shared() {
    let call = chat(r#"{"model":"m","stream":true,"stream_options":{}}"#);
    let [first, _, last, ..] = spliced(&call, None);
    assert_eq!(first.as_ptr(), call.body.as_ptr());
    assert_eq!(last.as_ptr_range().end, call.body.as_ptr_range().end);
}

#[test]
fn depth_and_size_are_no_matter() {
    let deep = format!(
        "{{\"model\":\"m\",\"messages\":{}{}}}",
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    let call = chat(&deep);
    assert!(Prompt::of(&call).is_err(), "it is no list of messages");
    let cut = "{\"a\":".repeat(1_000_000);
    assert!(matches!(error(&cut), CallError::NotJson { .. }));
}

proptest! {
    /// Whatever the client wrote, the spliced body means the same and asks for usage; and undoing
    /// the splice gives the client's bytes.
    #[test]
    fn a_spliced_body_means_what_the_client_meant_and_asks_for_usage(
        before in options(), last in options(), space in "[ \n\t]{0,3}", first in any::<bool>(),
    ) {
        let model = format!("\"model\"{space}:{space}\"m\"");
        let stream = format!("\"stream\":{space}true");
        let rest = [before, last].into_iter().flatten()
            .map(|options| format!("\"stream_options\"{space}:{space}{options}"));
        let mut fields: Vec<String> = rest.collect();
        fields.insert(if first { 0 } else { fields.len() }, model);
        fields.push(stream);
        let body = format!("{space}{{{space}{}{space}}}", fields.join(&format!("{space},")));

        let call = chat(&body);
        let [head, insert, tail, ..] = spliced(&call, None);
        let whole = [&*head, &*insert, &*tail].concat();
        let mut meant: serde_json::Value = serde_json::from_str(&body).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        let options = &mut meant["stream_options"];
        prop_assert!(said["stream_options"]["include_usage"] == true);
        if options.is_null() {
            *options = serde_json::json!({});
        }
        options["include_usage"] = true.into();
        prop_assert_eq!(&said, &meant);
        let delivery = chat(&String::from_utf8(whole).unwrap()).delivery;
        prop_assert_eq!(delivery, Delivery::Stream { usage: StreamUsage::Told });
    }
}

/// Returns a `stream_options`, or none.
fn options() -> impl Strategy<Value = Option<String>> {
    let usage = prop_oneof![
        Just(String::new()),
        Just("\"include_usage\":true".to_owned()),
        Just("\"include_usage\" : false".to_owned()),
        Just("\"include_\\u0075sage\":null".to_owned()),
        Just("\"include_usage\":true, \"include_usage\":false".to_owned()),
    ];
    let other = prop_oneof![Just(String::new()), Just("\"x\":{\"include_usage\":1}".to_owned())];
    let object = (usage, other, any::<bool>()).prop_map(|(usage, other, turned)| {
        let mut fields = vec![usage, other];
        fields.retain(|field| !field.is_empty());
        if turned {
            fields.reverse();
        }
        format!("{{ {} }}", fields.join(" , "))
    });
    prop_oneof![Just(None), Just(Some("null".to_owned())), object.prop_map(Some)]
}

#[test]
fn a_model_is_named_anew_and_nothing_else_changes() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        (r#"{"model":"a"}"#,                        r#"{"model":"b\"c"}"#),
        (r#"{ "x": [1e400] , "model" :  "a\u0062" ,"stream":false}"#, r#"{ "x": [1e400] , "model" :  "b\"c" ,"stream":false}"#),
        (r#"{"model":"a","model":"last"}"#,         r#"{"model":"a","model":"b\"c"}"#),
        (r#"{"model":"a","stream":true}"#,          r#"{"stream_options":{"include_usage":true},"model":"b\"c","stream":true}"#),
        (r#"{"stream_options":{},"stream":true,"model":"a"}"#, r#"{"stream_options":{"include_usage":true},"stream":true,"model":"b\"c"}"#),
        (r#"{"model":"a","stream":true,"stream_options":null}"#, r#"{"model":"b\"c","stream":true,"stream_options":{"include_usage":true}}"#),
    ];
    let model = ModelName::new("b\"c");
    for (body, expected) in cases {
        let pieces = spliced(&chat(body), Some(&model)).concat();
        assert_eq!(String::from_utf8_lossy(&pieces), expected);
    }
}

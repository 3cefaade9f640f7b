//! Tests of the JSON looks.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert_eq, prop_oneof};
use proptest::proptest;
use serde_json::Value;

use super::{is_empty_array, members, usage_member};

fn value_found(json: &str) -> Option<&str> {
    usage_member(json.as_bytes()).map(|member| &json[member.value])
}

fn without(json: &str) -> String {
    let cut = usage_member(json.as_bytes()).expect("a member").with_comma(json.as_bytes());
    format!("{}{}", &json[..cut.start], &json[cut.end..])
}

#[test]
fn finds_only_the_member_of_the_outermost_object() {
    struct Case {
        name: &'static str,
        json: &'static str,
        value: Option<&'static str>,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { name: "last",             json: r#"{"a":[],"usage":null}"#,                value: Some("null") },
        Case { name: "in the middle",    json: r#"{"a":1, "usage" : {"b":[{}]} ,"c":2}"#, value: Some(r#"{"b":[{}]}"#) },
        Case { name: "first",            json: r#"{"usage":7,"c":"}"}"#,                  value: Some("7") },
        Case { name: "twice",            json: r#"{"usage":1,"usage":2}"#,                value: Some("2") },
        Case { name: "nested only",      json: r#"{"choices":[{"usage":{"a":1}}]}"#,      value: None },
        Case { name: "nested behind",    json: r#"{"usage":1,"choices":[{"usage":2}]}"#,  value: Some("1") },
        Case { name: "within itself",    json: r#"{"usage":{"usage":{"usage":1}}}"#,      value: Some(r#"{"usage":{"usage":1}}"#) },
        Case { name: "a string",         json: r#"{"a":"usage","b":["usage"]}"#,          value: None },
        Case { name: "end of a string",  json: r#"{"a":"\"usage","b":1}"#,                value: None },
        Case { name: "quoted in a text", json: r#"{"a":"{\"usage\":null}","usage":1}"#,   value: Some("1") },
        Case { name: "cut off",          json: r#"{"a":1,"usage":{"b":"#,                 value: None },
        Case { name: "nothing",          json: "",                                        value: None },
    ];
    for case in cases {
        assert_eq!(value_found(case.json), case.value, "{}", case.name);
    }
}

#[test]
fn cuts_a_member_with_one_comma() {
    struct Case {
        json: &'static str,
        without: &'static str,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { json: r#"{"usage":null}"#,                    without: "{}" },
        Case { json: r#"{"a":1,"usage":null}"#,              without: r#"{"a":1}"# },
        Case { json: r#"{"a":1, "usage": null}"#,            without: r#"{"a":1}"# },
        Case { json: r#"{"usage": null, "a": 1}"#,           without: r#"{"a": 1}"# },
        Case { json: r#"{"a": 1, "usage": null, "b": 2}"#,   without: r#"{"a": 1, "b": 2}"# },
        Case { json: r#"{"a":1,"usage":null,"b":{"c":[]}}"#, without: r#"{"a":1,"b":{"c":[]}}"# },
    ];
    for case in cases {
        assert_eq!(without(case.json), case.without);
    }
}

#[test]
fn many_nested_keys_are_no_work() {
    let depth = 100_000;
    let json = r#"{"usage":"#.repeat(depth) + "1" + &"}".repeat(depth);
    let member = usage_member(json.as_bytes()).expect("the outermost one");
    assert_eq!(member.key, 1);
}

#[test]
fn members_come_in_order_and_twice_if_they_are_there_twice() {
    let mut seen = Vec::new();
    let json = br#"{"a":1, "b\n":[2, {}], "a":"x"}"#;
    members(json, |key, value| seen.push((key.to_owned(), value.get()))).expect("valid");
    let expected = [("a", "1"), ("b\n", "[2, {}]"), ("a", r#""x""#)];
    assert_eq!(seen, expected.map(|(key, value)| (key.to_owned(), value)));
    assert!(members(b"[1]", |_, _| {}).is_none(), "an array has no members");
    assert!(members(b"{\"a\":", |_, _| {}).is_none(), "a text cut off is no object");
}

#[test]
fn tells_empty_arrays() {
    let tell = |json: &str| is_empty_array(serde_json::from_str(json).expect("valid"));
    assert!(tell("[]") && tell("[ ]"));
    assert!(!tell("[1]") && !tell("null") && !tell("{}"));
}

fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("usage".to_owned()),
        Just("\"usage".to_owned()),
        Just("{\"usage\":null}".to_owned()),
        Just("\\\"usage\\".to_owned()),
        "[a-z\"\\\\{}\\[\\],: é\u{1}]{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(Value::from),
        text.clone().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let key = text.clone();
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Looking by bytes finds what parsing finds, and cutting it is what removing it is.
    #[test]
    fn finds_what_a_parser_finds(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }
            .expect("it can be written");
        let found = value_found(&text).map(|json| serde_json::from_str(json).expect("valid"));
        let object = value.as_object();
        prop_assert_eq!(found.as_ref(), object.and_then(|object| object.get("usage")));
        if found.is_some() {
            let mut rest = object.cloned().unwrap_or_default();
            rest.remove("usage");
            let left: Value = serde_json::from_str(&without(&text)).expect("still valid");
            prop_assert_eq!(left, Value::Object(rest));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![
        Just(b"\"usage\"".to_vec()), Just(b":".to_vec()), Just(b"{".to_vec()), Just(b"}".to_vec()),
        Just(b"\\".to_vec()), Just(b"\"".to_vec()), Just(b",".to_vec()), Just(b" ".to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ], 0..40)) {
        let bytes = bytes.concat();
        if let Some(member) = usage_member(&bytes) {
            prop_assert_eq!(bytes.get(member.with_comma(&bytes)).is_some(), true);
        }
    }
}

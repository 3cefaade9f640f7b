//! Large and hostile inputs: no panic, no recursion, nothing out of proportion. How long they take
//! is printed and held by `benches/count.rs`.

use bytes::Bytes;
use serde_json::json;
use sluicegate::call::{Call, Endpoint};
use sluicegate::catalog::{Catalog, Encoding};
use sluicegate::count::{Counter, MOST_TEXT, Method};

const MEGABYTE: usize = 1024 * 1024;

/// A megabyte of each kind that has overrun a tokenizer somewhere.
fn megabytes() -> Vec<(&'static str, String)> {
    let mut state = 7_u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut pick = |from: &[u8]| -> String {
        let length = u64::try_from(from.len()).expect("a length");
        let index = |number: u64| usize::try_from(number % length).expect("an index");
        (0..MEGABYTE).map(|_| char::from(from[index(random())])).collect()
    };
    let letters = pick(b"abcdefghijklmnopqrstuvwxyz");
    let base64 = pick(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    let cjk = (0..MEGABYTE / 3)
        .map(|number| char::from_u32(0x4E00 + u32::try_from(number * 7919 % 20_000).expect("one")))
        .collect::<Option<String>>()
        .expect("characters");
    vec![
        ("spaces", " ".repeat(MEGABYTE)),
        ("one letter", "a".repeat(MEGABYTE)),
        ("random letters", letters),
        ("cjk", cjk),
        ("newlines", "\n".repeat(MEGABYTE)),
        ("base64", base64),
        ("one emoji", "😀".repeat(MEGABYTE / 4)),
        ("apostrophes", "'s".repeat(MEGABYTE / 2)),
        ("mixed white space", " \t\r\n\u{a0}\u{3000}".repeat(MEGABYTE / 9)),
    ]
}

#[test]
fn a_megabyte_of_anything_is_counted() {
    let counter = Counter::new();
    for (name, text) in megabytes() {
        for encoding in [Encoding::Cl100k, Encoding::O200k] {
            let tokens = counter.count_text(&text, encoding).count();
            // The longest token of either vocabulary has 128 bytes, and none has less than one.
            let [least, most] = [text.len() / 128, text.len()].map(|bytes| bytes as u64);
            assert!((least..=most).contains(&tokens), "{name}: {tokens} {encoding:?}");
        }
    }
}

#[test]
fn beyond_four_megabytes_half_the_bytes_are_taken() {
    let text = "word ".repeat(MOST_TEXT / 5 + 1);
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]});
    let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).expect("one");
    let facts = Catalog::embedded().facts("gpt-4o");
    let demand = Counter::new().count(&call, &facts);
    let half = (text.len() as u64).div_ceil(2) + 2;
    assert_eq!(demand.input.count(), half + 3 + 3);
    assert_eq!(demand.method, Method::Approximate);
    assert_eq!(Counter::new().try_count(&call, &facts), None, "it is too large for a glance");
}

#[test]
fn no_body_panics() {
    let counter = Counter::new();
    let facts = Catalog::embedded().facts("gpt-4o");
    let whole = br#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":false},
        "messages":[{"role":"user","name":"n","content":[{"type":"text","text":"a\u00e9\ud83d"},
        {"type":"image_url","image_url":{"url":"data:image/jpeg;base64,/9j/4AAQ","detail":"low"}}],
        "tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
        "tool_choice":{"function":{"name":"f"}},"input":[[1,2],"x"],"prompt":["p"],
        "response_format":{"type":"json_schema","json_schema":{}},"text":{"format":null}}"#;
    let mut tried = 0;
    for place in 0..whole.len() {
        for byte in *b"\"{}[],:0n\\\xff " {
            let mut body = whole.to_vec();
            body[place] = byte;
            for endpoint in [Endpoint::ChatCompletions, Endpoint::Responses, Endpoint::Embeddings] {
                let Ok(call) = Call::parse(endpoint, Bytes::from(body.clone())) else { continue };
                let _demand = counter.count(&call, &facts);
                tried += 1;
            }
        }
    }
    assert!(tried > 5000, "only {tried} bodies were readable");
}

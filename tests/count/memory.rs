//! What is remembered changes the effort, never the count.

use bytes::Bytes;
use serde_json::json;
use sluicegate::call::{Call, Endpoint};
use sluicegate::catalog::{Catalog, Encoding};
use sluicegate::count::Counter;

fn conversation(turns: usize, words: &str) -> Call {
    let messages: Vec<_> = (0..turns)
        .map(|turn| json!({"role": "user", "content": format!("{turn}: {}", words.repeat(40))}))
        .collect();
    let body = json!({"model": "gpt-4o", "messages": messages}).to_string();
    Call::parse(Endpoint::ChatCompletions, Bytes::from(body)).expect("a call")
}

#[test]
fn nothing_is_counted_cheaply_before_the_vocabulary_is_there() {
    let counter = Counter::new();
    let facts = Catalog::embedded().facts("gpt-4o");
    let short = conversation(1, "word ");
    assert!(!counter.is_loaded(Encoding::O200k));
    assert_eq!(counter.try_count(&short, &facts), None);
    counter.load(Encoding::O200k);
    assert!(counter.is_loaded(Encoding::O200k));
    assert!(!counter.is_loaded(Encoding::Cl100k));
    assert_eq!(counter.try_count(&short, &facts), Some(counter.count(&short, &facts)));
}

#[test]
fn a_conversation_that_grew_by_a_message_is_cheap() {
    let counter = Counter::new();
    let facts = Catalog::embedded().facts("gpt-4o");
    counter.load(Encoding::O200k);
    let words = "some words to fill a message with; ";
    let old = conversation(30, words);
    assert_eq!(counter.try_count(&old, &facts), None, "42 KB are new");
    let demand = counter.count(&old, &facts);
    assert_eq!(counter.try_count(&old, &facts), Some(demand));
    let grown = conversation(31, words);
    let cheap = counter.try_count(&grown, &facts);
    assert_eq!(cheap, Some(Counter::new().count(&grown, &facts)));
}

#[test]
fn the_same_bytes_in_another_vocabulary_are_another_text() {
    let counter = Counter::new();
    let call = conversation(3, "naïve 東京 words ");
    let catalog = Catalog::embedded();
    for model in ["gpt-4o", "gpt-4", "gpt-4o", "gpt-4"] {
        let facts = catalog.facts(model);
        assert_eq!(counter.count(&call, &facts), Counter::new().count(&call, &facts), "{model}");
    }
}

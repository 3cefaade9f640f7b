//! What the three apps ask for.
//!
//! # Invariants
//!
//! 1. A request depends on the seed, the app and its number alone.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// A program that sends requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct App {
    /// Its name, which it sends as its key.
    pub(super) name: &'static str,
    /// What it does, in words for people.
    pub(super) does: &'static str,
    /// How urgent its requests are, which it says itself.
    pub(super) class: &'static str,
    /// The model that it asks.
    pub(super) model: &'static str,
    /// How many requests it has under way or waiting at one time.
    pub(super) workers: usize,
    /// What kind of requests it sends.
    pub(super) kind: Kind,
}

/// What kind of requests an app sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Chats with one short message and a very short answer.
    Classify,
    /// Streamed chats with a history and a longer answer.
    Converse,
    /// Embeddings of several passages.
    Index,
}

/// The apps. Unhindered they would use about three times what the quotas of `config/demo.toml` grant
/// in 40 s.
#[rustfmt::skip] // One app a line: the table is read by columns.
pub(super) const APPS: [App; 3] = [
    App { name: "classifier", does: "classification jobs of the night", class: "batch",       model: "gpt-4o-mini",            workers: 150, kind: Kind::Classify },
    App { name: "assistant",  does: "people at a prompt, streamed",     class: "interactive", model: "gpt-4o-mini",            workers: 6,   kind: Kind::Converse },
    App { name: "indexer",    does: "embeddings of passages",           class: "standard",    model: "text-embedding-3-small", workers: 13,  kind: Kind::Index },
];

/// The most tokens of a class's name.
const CLASS_TOKENS: u64 = 16;
/// The most tokens of an answer to a person.
const ANSWER_TOKENS: u64 = 400;
/// How many passages are embedded at once.
const PASSAGES: usize = 8;

impl App {
    /// Returns the path of its requests behind the base URL.
    pub(super) const fn path(&self) -> &'static str {
        match self.kind {
            Kind::Classify | Kind::Converse => "/chat/completions",
            Kind::Index => "/embeddings",
        }
    }

    /// Writes its request `number`.
    pub(super) fn request(&self, seed: u64, number: u64) -> Bytes {
        let tag = (self.kind as u64 + 1) << 56;
        let mut random = StdRng::seed_from_u64(seed.rotate_left(32) ^ tag ^ number);
        let random = &mut random;
        let body = match self.kind {
            Kind::Classify => self.classification(random),
            Kind::Converse => self.conversation(random),
            Kind::Index => json!({
                "model": self.model,
                "input": (0..PASSAGES).map(|_| text(random, 50, 90)).collect::<Vec<_>>(),
                "dimensions": 256,
                "encoding_format": "base64",
            }),
        };
        Bytes::from(body.to_string())
    }

    fn classification(&self, random: &mut StdRng) -> Value {
        json!({
            "model": self.model,
            "messages": [
                {"role": "system", "content": "Name the topic of the message: delivery, payment, \
                    product, praise or other. Answer with the topic alone."},
                {"role": "user", "content": text(random, 25, 70)},
            ],
            "max_tokens": CLASS_TOKENS,
        })
    }

    fn conversation(&self, random: &mut StdRng) -> Value {
        let mut messages =
            vec![json!({"role": "system", "content": "You are a helpful assistant."})];
        for _ in 0..random.random_range(0..5) {
            messages.push(json!({"role": "user", "content": text(random, 10, 40)}));
            messages.push(json!({"role": "assistant", "content": text(random, 60, 150)}));
        }
        messages.push(json!({"role": "user", "content": text(random, 10, 60)}));
        json!({
            "model": self.model,
            "messages": messages,
            "max_tokens": ANSWER_TOKENS,
            "stream": true,
            "stream_options": {"include_usage": true},
        })
    }
}

/// Writes `from` to `to` words.
fn text(random: &mut StdRng, from: usize, to: usize) -> String {
    let words = random.random_range(from..=to);
    let mut text = String::with_capacity(words * 7);
    for _ in 0..words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(WORDS.get(random.random_range(0..WORDS.len())).copied().unwrap_or_default());
    }
    text
}

const WORDS: [&str; 64] = [
    "about",
    "account",
    "after",
    "again",
    "amount",
    "answer",
    "arrived",
    "asked",
    "because",
    "before",
    "bought",
    "broken",
    "bridge",
    "button",
    "charge",
    "colour",
    "corner",
    "customer",
    "damaged",
    "delivery",
    "does",
    "driver",
    "evening",
    "excellent",
    "find",
    "garden",
    "harbour",
    "invoice",
    "label",
    "late",
    "letter",
    "light",
    "manual",
    "message",
    "missing",
    "money",
    "month",
    "morning",
    "never",
    "number",
    "order",
    "package",
    "paid",
    "paper",
    "please",
    "price",
    "quality",
    "question",
    "quickly",
    "received",
    "refund",
    "return",
    "river",
    "service",
    "size",
    "still",
    "street",
    "thanks",
    "twice",
    "water",
    "weather",
    "window",
    "without",
    "wrong",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_asks_for_the_same_and_every_request_differs() {
        for app in APPS {
            assert_eq!(app.request(7, 3), app.request(7, 3));
            assert_ne!(app.request(7, 3), app.request(7, 4));
            assert_ne!(app.request(7, 3), app.request(8, 3));
        }
    }
}

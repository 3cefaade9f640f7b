//! The bodies that the load sends: a short question, and 100 KB of English chat.

use bytes::Bytes;
use serde_json::{Value, json};

/// English prose, for its words.
const PROSE: &str = include_str!("../../tests/count/corpora/prose.txt");

/// Parts of words that no text has had before: names, terms, typing errors.
const SYLLABLES: &str = "an ber cor dal en fi gra hol in ja kel lo mar nor ost pra qui ran sol \
    ter um vel wys yor zen tion ment ing er ly ous";

/// Returns a request whose whole body has about 300 bytes.
pub(crate) fn small() -> Bytes {
    request(&[sentence_of(140, &mut Dice(1))], false)
}

/// Returns the same, asking for a stream.
pub(crate) fn streamed() -> Bytes {
    request(&[sentence_of(140, &mut Dice(2))], true)
}

/// Returns a request for a stream that has one event and stays open.
pub(crate) fn held() -> Bytes {
    json!({
        "model": "gpt-4o-mini", "stream": true, "max_tokens": 64, "user": HELD,
        "messages": [{ "role": "user", "content": sentence_of(140, &mut Dice(3)) }],
    })
    .to_string()
    .into()
}

/// Returns a request for a stream that is sent at once.
pub(crate) fn at_once() -> Bytes {
    json!({
        "model": "gpt-4o-mini", "stream": true, "max_tokens": 64, "user": AT_ONCE,
        "messages": [{ "role": "user", "content": sentence_of(140, &mut Dice(4)) }],
    })
    .to_string()
    .into()
}

/// Tells the provider that a stream is to be sent at once.
pub(crate) const AT_ONCE: &str = "all-at-once";

/// Tells the provider that a stream is to stay open.
pub(crate) const HELD: &str = "held-open";

/// Returns a conversation of about 100 KB in 25 messages, another one for each `seed`.
pub(crate) fn large(seed: u64) -> Bytes {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let messages: Vec<String> = (0..25).map(|_| sentence_of(4_000, &mut dice)).collect();
    request(&messages, false)
}

fn request(messages: &[String], stream: bool) -> Bytes {
    let messages: Vec<Value> =
        messages.iter().map(|text| json!({ "role": "user", "content": text })).collect();
    json!({ "model": "gpt-4o-mini", "messages": messages, "max_tokens": 64, "stream": stream })
        .to_string()
        .into()
}

/// Returns prose in which one word of eight is new or a number, so that a tokenizer which
/// remembers words has to work, too.
fn sentence_of(bytes: usize, dice: &mut Dice) -> String {
    let words: Vec<&str> = PROSE.split_ascii_whitespace().collect();
    let syllables: Vec<&str> = SYLLABLES.split_ascii_whitespace().collect();
    let mut text = String::with_capacity(bytes + 32);
    while text.len() < bytes {
        match dice.below(16) {
            0 => text.push_str(&dice.below(10_000).to_string()),
            1 => (0..2 + dice.below(3)).for_each(|_| text.push_str(dice.one_of(&syllables))),
            _ => text.push_str(dice.one_of(&words)),
        }
        text.push(' ');
    }
    text
}

/// A small generator (xorshift): the same text for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn one_of<'a>(&mut self, parts: &[&'a str]) -> &'a str {
        let at = self.below(parts.len());
        parts.get(at).copied().unwrap_or_default()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % bound
    }
}

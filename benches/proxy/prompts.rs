//! The bodies that the load sends: a short question, and 100 KB of English chat.

use bytes::Bytes;
use serde_json::{Value, json};

/// Words of everyday English, so that a tokenizer meets what it meets in a chat.
const WORDS: &str = "the of and to in is that it was for on are with as his they be at one have \
    this from or had by not but what some we can out other were all there when up use your how \
    said an each she which do their time if will way about many then them write would like so \
    these her long make thing see him two has look more day could go come did number sound no \
    most people my over know water than call first who may down side been now find any new work \
    part take get place made live where after back little only round man year came show every \
    good me give our under name very through just form sentence great think say help low line \
    differ turn cause much mean before move right boy old too same tell does set three want air \
    well also play small end put home read hand port large spell add even land here must big \
    high such follow act why ask men change went light kind off need house picture try us again \
    animal point mother world near build self earth father customer shipment warranty invoice";

/// Returns a request whose whole body has about 300 bytes.
pub(crate) fn small() -> Bytes {
    request(&[sentence_of(140, &mut Dice(1))], false)
}

/// Returns the same, asking for a stream.
pub(crate) fn streamed() -> Bytes {
    request(&[sentence_of(140, &mut Dice(2))], true)
}

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

fn sentence_of(bytes: usize, dice: &mut Dice) -> String {
    let words: Vec<&str> = WORDS.split_ascii_whitespace().collect();
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        let at = dice.below(words.len());
        text.push_str(words.get(at).copied().unwrap_or_default());
        text.push_str(if dice.below(12) == 0 { ". " } else { " " });
    }
    text
}

/// A small generator (xorshift): the same text for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % bound
    }
}

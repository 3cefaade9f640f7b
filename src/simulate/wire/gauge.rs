//! Measures prompts: tokens, characters, and a digest by which the same prompt is known again.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use serde_json::Value;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::catalog::Encoding;
use crate::count::Counter;
use crate::simulate::cache::Front;

use super::tools;

/// Counts texts and remembers the counts of long ones.
#[derive(Debug)]
pub(in crate::simulate) struct TextCounts {
    counter: Counter,
    seen: Mutex<LruCache<u128, u64>>,
}

impl TextCounts {
    /// Creates an empty memory.
    pub(in crate::simulate) fn new() -> Self {
        let seen = Mutex::new(LruCache::new(TEXTS_KEPT));
        Self { counter: Counter::new(), seen }
    }

    /// Returns the tokens of `text`.
    pub(in crate::simulate) fn count(&self, text: &str, encoding: Encoding) -> u64 {
        if text.len() < WORTH_KEEPING {
            return self.counter.count_text(text, encoding).count();
        }
        let key = xxh3_128_with_seed(text.as_bytes(), u64::from(encoding == Encoding::O200k));
        let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        known.unwrap_or_else(|| {
            let count = self.counter.count_text(text, encoding).count();
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).put(key, count);
            count
        })
    }
}

/// Texts whose counts are remembered.
const TEXTS_KEPT: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");
/// The shortest text, in bytes, for which remembering is cheaper than counting.
const WORTH_KEEPING: usize = 128;

/// What is known of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::simulate) struct Measure {
    /// Tokens, framing included.
    pub tokens: u64,
    /// Characters of its texts.
    pub characters: u64,
    /// The same for the same prompt.
    pub digest: u64,
}

/// Adds up one prompt.
pub(in crate::simulate) struct Gauge<'a> {
    counts: &'a TextCounts,
    encoding: Encoding,
    measure: Measure,
    fronts: Vec<Front>,
    /// Whether only what is marked is cached.
    by_marks: bool,
}

impl<'a> Gauge<'a> {
    /// Creates a gauge for one prompt.
    pub(in crate::simulate) fn new(counts: &'a TextCounts, encoding: Encoding) -> Self {
        Self { counts, encoding, measure: Measure::default(), fronts: Vec::new(), by_marks: false }
    }

    /// Returns what was measured.
    pub(in crate::simulate) fn measure(&self) -> Measure {
        self.measure
    }

    /// Returns what was measured at the end of each text.
    pub(in crate::simulate) fn fronts(self) -> Vec<Front> {
        self.fronts
    }

    /// Adds a text.
    pub(in crate::simulate) fn text(&mut self, text: &str) {
        self.measure.tokens += self.counts.count(text, self.encoding);
        self.measure.characters += text.chars().count() as u64;
        self.digest(text.as_bytes());
        if !self.by_marks {
            self.mark();
        }
    }

    /// From now on a front ends only where [`mark`](Self::mark) says so.
    pub(super) fn goes_by_marks(&mut self) {
        self.by_marks = true;
    }

    /// Ends a front here.
    pub(super) fn mark(&mut self) {
        let Measure { tokens, digest, .. } = self.measure;
        self.fronts.push(Front { digest, tokens });
    }

    /// Adds tokens that stand for no text.
    pub(in crate::simulate) fn tokens(&mut self, tokens: u64) {
        self.measure.tokens += tokens;
        self.digest(&tokens.to_le_bytes());
    }

    /// Takes back framing that another part makes unnecessary.
    fn less(&mut self, tokens: u64) {
        self.measure.tokens = self.measure.tokens.saturating_sub(tokens);
    }

    /// Adds what changes the answer but costs nothing.
    pub(in crate::simulate) fn digest(&mut self, bytes: &[u8]) {
        self.measure.digest = xxh3_64_with_seed(bytes, self.measure.digest);
    }

    /// Adds chat messages: 3 tokens each, every text in them, 1 for a name, 3 for the answer
    /// (OpenAI cookbook, "How to count tokens with tiktoken", read 2026-11).
    pub(in crate::simulate) fn messages(&mut self, messages: &[Value]) {
        for message in messages {
            self.tokens(3);
            self.texts(message, &["role", "refusal"]);
            if let Some(name) = message.get("name").and_then(Value::as_str) {
                self.text(name);
                self.tokens(1);
            }
            self.content(message.get("content"));
            for call in items(message.get("tool_calls")) {
                if let Some(function) = call.get("function") {
                    self.texts(function, &["name", "arguments"]);
                }
            }
        }
        self.tokens(3);
    }

    /// Adds the input of a response, framed as chat messages are; OpenAI publishes no formula.
    pub(in crate::simulate) fn input_items(&mut self, input: &Value, instructions: Option<&str>) {
        if let Some(text) = instructions {
            self.tokens(3);
            self.text("system");
            self.text(text);
        }
        if let Value::String(text) = input {
            self.tokens(3);
            self.text("user");
            self.text(text);
        }
        for item in items(Some(input)) {
            self.tokens(3);
            self.texts(item, &["role", "name", "arguments", "output"]);
            self.content(item.get("content"));
        }
        self.tokens(3);
    }

    /// Adds function definitions, rendered as a TypeScript namespace: text and 9 tokens, 4 less
    /// beside a system message, and what `tool_choice` adds (LiteLLM 1.109.1, read 2026-11).
    pub(in crate::simulate) fn functions(
        &mut self,
        functions: &[&Value],
        choice: Option<&Value>,
        system: bool,
    ) {
        if functions.is_empty() {
            return;
        }
        self.text(&tools::render(functions));
        self.tokens(9);
        if system {
            self.less(4);
        }
        match choice {
            Some(Value::String(choice)) if choice == "none" => self.tokens(1),
            Some(choice) if choice.is_object() => {
                let name = choice.get("function").unwrap_or(choice).get("name");
                self.tokens(7);
                self.text(name.and_then(Value::as_str).unwrap_or_default());
            }
            _ => {}
        }
    }

    /// Adds a JSON schema the answer must fit: its text and 10 tokens, for want of a formula.
    pub(in crate::simulate) fn schema(&mut self, schema: &Value) {
        self.text(&schema.to_string());
        self.tokens(10);
    }

    fn texts(&mut self, object: &Value, keys: &[&str]) {
        for key in keys {
            if let Some(text) = object.get(key).and_then(Value::as_str) {
                self.text(text);
            }
        }
    }

    /// Adds a text, or the parts of a message.
    pub(in crate::simulate) fn content(&mut self, content: Option<&Value>) {
        if let Some(text) = content.and_then(Value::as_str) {
            self.text(text);
        }
        for part in items(content) {
            self.texts(part, &["text", "refusal"]);
            let image = part.get("image_url");
            if image.is_some() || part.get("type").and_then(Value::as_str) == Some("input_image") {
                let detail = image.and_then(|image| image.get("detail")).or(part.get("detail"));
                let low = detail.and_then(Value::as_str) == Some("low");
                self.tokens(if low { LOW_IMAGE } else { IMAGE });
                self.digest(image.map(Value::to_string).unwrap_or_default().as_bytes());
            }
        }
    }
}

/// An image of low detail, by GPT-4o's tile rule (OpenAI's vision guide, read 2026-11).
const LOW_IMAGE: u64 = 85;
/// Any other image: taken for 1024 x 1024 pixels, four tiles by the same rule.
const IMAGE: u64 = 85 + 4 * 170;

/// Returns the items of an array; none of anything else.
pub(in crate::simulate) fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns the tokens of one item of a conversation, framed as a chat message is.
pub(in crate::simulate) fn tokens_of_item(counts: &TextCounts, item: &Value) -> u64 {
    let mut gauge = Gauge::new(counts, Encoding::O200k);
    gauge.input_items(&Value::Array(vec![item.clone()]), None);
    gauge.measure().tokens.saturating_sub(3)
}

//! Marks the places up to which two prompts may be equal, for the sake of prompt caches.

use std::sync::Arc;

use super::Demand;
use super::memory::{Form, Memory};
use crate::call::{Call, Endpoint, Piece, Prompt};
use crate::catalog::ModelFacts;
use crate::units::Tokens;

/// The front of a prompt, by hashes: equal marks of two prompts mean that they begin alike. Cloning
/// it copies a pointer.
///
/// It is empty where a prompt is too short for a cache, or not all in the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix {
    marks: Option<Arc<[Mark]>>,
}

/// A place in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Stands for the model and everything before this place, under a secret of this process.
    pub hash: u64,
    /// How many tokens stand before it, about.
    pub tokens: Tokens,
}

impl Prefix {
    /// Creates a prefix with `marks`, in the order of the prompt.
    pub fn new(marks: &[Mark]) -> Self {
        Self { marks: (!marks.is_empty()).then(|| marks.into()) }
    }

    /// Returns whether a prompt of `demand` is long enough for a cache.
    pub fn may_have(demand: &Demand) -> bool {
        demand.input.count() >= SHORTEST
    }

    /// Returns the marks in the order of the prompt.
    pub fn marks(&self) -> &[Mark] {
        self.marks.as_deref().unwrap_or_default()
    }

    /// Returns whether there is nothing to cache.
    pub fn is_empty(&self) -> bool {
        self.marks.is_none()
    }

    /// Marks the prompt of `call`; counts nothing, but recalls what was counted.
    pub(super) fn of(call: &Call, facts: &ModelFacts, memory: &Memory) -> Self {
        if !call.endpoint.is_conversation() && call.endpoint != Endpoint::Completions {
            return Self::default();
        }
        let Ok(prompt) = Prompt::of(call) else { return Self::default() };
        if prompt.elsewhere {
            return Self::default();
        }
        let mut front = Front { memory, facts, hash: 0, tokens: 0, marks: Vec::new() };
        front.add(call.model.as_str().as_bytes(), Form::Plain);
        front.tokens = 0;
        // What can be called is shown to the model before anything else.
        for (json, form) in [(prompt.tools, Form::Tools), (prompt.functions, Form::Functions)] {
            front.add(json.unwrap_or_default(), form);
        }
        front.add(prompt.schema.unwrap_or_default(), Form::Schema);
        for piece in &prompt.pieces {
            match piece {
                Piece::Text(text) => front.add(text.escaped().as_bytes(), Form::Quoted),
                Piece::Json(text) => front.add(text.as_bytes(), Form::Plain),
                Piece::Image(image) => {
                    let url = image.url.map(|url| url.escaped().as_bytes());
                    front.add_image(url.unwrap_or_default());
                }
                // Its bytes are not at hand: what comes behind it is not known to be equal.
                Piece::Opaque { .. } => break,
            }
        }
        front.end()
    }
}

/// The front of a prompt while it is read.
struct Front<'m> {
    memory: &'m Memory,
    facts: &'m ModelFacts,
    hash: u64,
    tokens: u64,
    marks: Vec<Mark>,
}

impl Front<'_> {
    fn add(&mut self, bytes: &[u8], form: Form) {
        let key = self.memory.key(bytes, form, self.facts.encoding);
        let counted = self.memory.recall(key).map(|count| u64::from(count.tokens));
        let tokens = counted.unwrap_or((bytes.len() / BYTES_A_TOKEN) as u64);
        self.step(key.digest(), tokens);
    }

    fn add_image(&mut self, url: &[u8]) {
        let key = self.memory.key(url, Form::Plain, self.facts.encoding);
        self.step(key.digest(), IMAGE);
    }

    fn step(&mut self, digest: u64, tokens: u64) {
        // The order of the pieces counts; an empty one changes the hash, too.
        self.hash = (self.hash.rotate_left(23) ^ digest).wrapping_mul(ODD);
        self.tokens = self.tokens.saturating_add(tokens);
        let last = self.marks.last().map_or(0, |mark| mark.tokens.count());
        if self.tokens >= (last + STEP).max(SHORTEST) {
            self.marks.push(Mark { hash: self.hash, tokens: Tokens::new(self.tokens) });
        }
    }

    /// Keeps the first marks, which conversations share, and the last, by which one goes on.
    fn end(mut self) -> Prefix {
        let spare = self.marks.len().saturating_sub(FIRST + LAST);
        if spare > 0 {
            self.marks.drain(FIRST..FIRST + spare);
        }
        Prefix::new(&self.marks)
    }
}

/// The shortest prefix that is cached, and the step by which longer ones are: OpenAI's guide to
/// prompt caching, <https://platform.openai.com/docs/guides/prompt-caching>, read 2026-11-21.
const SHORTEST: u64 = 1024;
const STEP: u64 = 128;
/// For texts that were not counted.
const BYTES_A_TOKEN: usize = 4;
/// What an image is taken for: only how far the front is depends on it.
const IMAGE: u64 = 765;
/// How many marks are kept from the front and from the end.
const FIRST: usize = 4;
const LAST: usize = 28;
/// Spreads a hash; from the golden ratio.
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::Catalog;
    use crate::count::Counter;

    fn counter() -> Counter {
        Counter::new()
    }

    fn prefix(counter: &Counter, body: &Value) -> Prefix {
        let body = Bytes::from(body.to_string());
        let call = Call::parse(Endpoint::ChatCompletions, body).expect("a call");
        counter.prefix(&call, &Catalog::embedded().facts(call.model.as_str()))
    }

    fn text(word: &str, tokens: usize) -> String {
        format!("{word} ").repeat(tokens * BYTES_A_TOKEN / (word.len() + 1))
    }

    fn chat(model: &str, messages: &[(&str, &str)]) -> Value {
        let message = |(role, content): &(&str, &str)| json!({"role": role, "content": content});
        json!({"model": model, "messages": messages.iter().map(message).collect::<Vec<_>>()})
    }

    #[test]
    fn the_marks_of_a_conversation_stay_as_it_grows() {
        let counter = counter();
        let (long, more) = (text("alpha", 3_000), text("beta", 500));
        let first = prefix(&counter, &chat("gpt-4o", &[("system", &long), ("user", &more)]));
        let next = [("system", &*long), ("user", &more), ("assistant", "no"), ("user", &more)];
        let next = prefix(&counter, &chat("gpt-4o", &next));
        assert!(first.marks().len() >= 2, "{first:?}");
        assert_eq!(next.marks().get(..first.marks().len()), Some(first.marks()));
        assert!(next.marks().len() > first.marks().len(), "{next:?}");
    }

    #[test]
    fn whatever_differs_in_front_changes_every_mark_behind_it() {
        let counter = counter();
        let long = text("alpha", 3_000);
        let of = |body: &Value| prefix(&counter, body).marks().to_vec();
        let base = of(&chat("gpt-4o", &[("system", &long), ("user", "hi")]));
        let mut tools = chat("gpt-4o", &[("system", &long), ("user", "hi")]);
        tools["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
        let others = [
            of(&chat("gpt-4o-mini", &[("system", &long), ("user", "hi")])),
            of(&chat("gpt-4o", &[("user", &long), ("user", "hi")])),
            of(&chat("gpt-4o", &[("system", &format!("x{long}")), ("user", "hi")])),
            of(&tools),
        ];
        for other in others {
            let shared = other.iter().any(|mark| base.iter().any(|known| known.hash == mark.hash));
            assert!(!shared, "{other:?}");
        }
    }

    #[test]
    fn what_is_short_or_elsewhere_has_no_marks() {
        let counter = counter();
        let short = text("alpha", 500);
        assert!(prefix(&counter, &chat("gpt-4o", &[("user", &short)])).is_empty());
        let long = text("alpha", 3_000);
        let body = json!({"model": "gpt-4o", "input": long, "previous_response_id": "resp_1"});
        let call = Call::parse(Endpoint::Responses, body.to_string().into()).expect("a call");
        assert!(counter.prefix(&call, &Catalog::embedded().facts("gpt-4o")).is_empty());
        let body = json!({"model": "text-embedding-3-small", "input": long});
        let call = Call::parse(Endpoint::Embeddings, body.to_string().into()).expect("a call");
        assert!(counter.prefix(&call, &Catalog::embedded().facts("gpt-4o")).is_empty());
    }

    #[test]
    fn the_marks_of_an_endless_conversation_are_bounded() {
        let counter = counter();
        let piece = text("alpha", 200);
        let messages: Vec<(&str, &str)> = (0..500).map(|_| ("user", &*piece)).collect();
        let prefix = prefix(&counter, &chat("gpt-4o", &messages));
        assert_eq!(prefix.marks().len(), FIRST + LAST);
        assert!(prefix.marks().is_sorted_by_key(|mark| mark.tokens));
    }
}

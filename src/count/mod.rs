//! Counts what a request may cost before it is sent.
//!
//! # What this module owns
//!
//! [`Counter`], which makes a [`Demand`] of a [`Call`]: the vocabularies, the published formulas
//! around them (messages, tools, schemas, images), and the memory of what was counted before, by
//! which a growing conversation costs only its new message.
//!
//! # What this module does not do
//!
//! It reads no body (that is [`crate::call`]), knows no prices and waits for nothing: whoever calls
//! [`Counter::count`] or [`Counter::load`] chooses a thread that may take its time.
//!
//! # Invariants
//!
//! 1. A text counts as many tokens as `tiktoken` gives it, special tokens read as text. Up to
//!    [`MOST_TEXT`], beyond which the size is estimated.
//! 2. No input panics, recurses, or takes more than time in proportion to its size.
//! 3. The memory is bounded, and holds counts and hashes only: no word of a prompt.

mod image;
mod memory;
mod prefix;
mod schema;
mod split;
mod tally;
mod tools;
mod vocabulary;

use std::sync::Arc;

use crate::call::{Call, Endpoint, Product, Prompt};
use crate::catalog::{Encoding, ModelFacts};
use crate::units::{Requests, Tokens};

use self::memory::{Count, Form, Memory};
pub use self::prefix::{Mark, Prefix};
use self::tally::{Effort, Tally};
use self::vocabulary::{Vocabularies, Words};

/// The most bytes of text that are counted by a vocabulary; larger prompts count as half their
/// bytes, [`Method::Approximate`].
pub const MOST_TEXT: usize = 4 * 1024 * 1024;

/// How a count was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// By the model's tokenizer and the published formula.
    Exact,
    /// By the tokenizer, but a part has no published formula; or by size.
    Approximate,
    /// By a default, because the size cannot be known before the answer.
    Assumed,
}

impl Method {
    /// Returns the word for headers and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Approximate => "approximate",
            Self::Assumed => "assumed",
        }
    }
}

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Requests: one, whatever is in it.
    pub requests: Requests,
    /// Tokens of the prompt: texts, framing, tools and images together.
    pub input: Tokens,
    /// The most tokens that all its generations together may have; `None` where the client gave no
    /// bound.
    pub output_bound: Option<Tokens>,
    /// Unicode characters of every text that was counted, roles, names and tools included, escapes
    /// undone; by which some providers estimate.
    pub characters: u64,
    /// Images that it makes, which is what providers bound by the minute.
    pub images: u64,
    /// How `input` was counted.
    pub method: Method,
}

/// Counts prompts and remembers the counts of texts it has seen. Cloning it shares the memory.
#[derive(Debug, Clone)]
pub struct Counter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    vocabularies: Vocabularies,
    memory: Memory,
}

impl Counter {
    /// Creates a counter; no vocabulary is loaded yet.
    pub fn new() -> Self {
        let shared = Shared { vocabularies: Vocabularies::default(), memory: Memory::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Returns whether a vocabulary is loaded, so that [`try_count`](Self::try_count) can use it.
    pub fn is_loaded(&self, encoding: Encoding) -> bool {
        self.shared.vocabularies.loaded(encoding).is_some()
    }

    /// Loads a vocabulary, which takes about 100 ms of CPU; at once where it is there already. Not
    /// fit for an async thread.
    pub fn load(&self, encoding: Encoding) {
        self.shared.vocabularies.load(encoding);
        self.shared.memory.prepare();
    }

    /// Returns the demand if telling it is cheap: the vocabulary is loaded and what was not seen
    /// before is short. Takes about 150 µs at most. Fit for an async thread.
    pub fn try_count(&self, call: &Call, facts: &ModelFacts) -> Option<Demand> {
        if call.body.len() > CHEAP_BODY {
            return None;
        }
        let vocabulary = self.shared.vocabularies.loaded(facts.encoding)?;
        let tally = Tally::new(&self.shared.memory, vocabulary, facts, Effort::Cheap);
        demand(tally, call, facts)
    }

    /// Returns the demand, whatever that takes: may load a vocabulary (about 100 ms, once) and
    /// count megabytes. Not fit for an async thread.
    pub fn count(&self, call: &Call, facts: &ModelFacts) -> Demand {
        let vocabulary = self.shared.vocabularies.load(facts.encoding);
        let tally = Tally::new(&self.shared.memory, vocabulary, facts, Effort::Any);
        demand(tally, call, facts).unwrap_or_else(|| by_size(call))
    }

    /// Returns the front of a prompt, by which prompts that begin alike are known. Reads and hashes
    /// the body, and counts nothing: fit for an async thread where [`try_count`](Self::try_count)
    /// is, and best after the call was counted.
    pub fn prefix(&self, call: &Call, facts: &ModelFacts) -> Prefix {
        Prefix::of(call, facts, &self.shared.memory)
    }

    /// Remembers that an answer and all before it had `total` tokens, under each of `ids`: its own and that
    /// of its conversation. Who goes on with one of them sends these tokens without having them.
    pub fn remember_answer(&self, ids: &[Box<str>], total: Tokens) {
        let tokens = u32::try_from(total.count()).unwrap_or(u32::MAX);
        for id in ids {
            let key = self.shared.memory.key(id.as_bytes(), Form::History, HISTORY);
            // What has no characters is not taken for a free place.
            self.shared.memory.remember(key, Count { tokens, characters: 1 });
        }
    }

    /// Returns the demand of `call` by its size alone.
    pub fn count_by_size(&self, call: &Call) -> Demand {
        by_size(call)
    }

    /// Returns the tokens of a plain text, special tokens read as text; half its bytes beyond
    /// [`MOST_TEXT`]. Loads the vocabulary where needed; nothing is remembered.
    pub fn count_text(&self, text: &str, encoding: Encoding) -> Tokens {
        if text.len() > MOST_TEXT {
            return Tokens::new(tally::half(text.len()));
        }
        let vocabulary = self.shared.vocabularies.load(encoding);
        let tokens = vocabulary.count(text, &mut Words::default());
        Tokens::new(u64::try_from(tokens).unwrap_or(u64::MAX))
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the demand of `call`, or `None` where that is more effort than `tally` may take.
fn demand(mut tally: Tally<'_>, call: &Call, facts: &ModelFacts) -> Option<Demand> {
    match Prompt::of(call) {
        // What costs no tokens need not be counted.
        _ if call.endpoint.product() == Product::NoTokens => {}
        Ok(prompt) => tally.prompt(&prompt, call, facts)?,
        Err(_) => tally.unreadable(&call.body)?,
    }
    let input = Tokens::new(tally.tokens);
    Some(Demand {
        requests: Requests::ONE,
        input: call.max_input.map_or(input, |most| input.min(most)),
        output_bound: output_bound(call),
        characters: tally.characters,
        images: images(call),
        method: tally.method,
    })
}

/// Returns the demand where nothing but the size is known.
fn by_size(call: &Call) -> Demand {
    Demand {
        requests: Requests::ONE,
        input: Tokens::new(tally::half(call.body.len())),
        output_bound: output_bound(call),
        characters: u64::try_from(call.body.len()).unwrap_or(u64::MAX),
        images: images(call),
        method: Method::Approximate,
    }
}

/// Returns the most output that `call` may have, by what the client said and by the defaults of
/// OpenAI's API reference (<https://platform.openai.com/docs/api-reference>, read 2026-11-21).
fn output_bound(call: &Call) -> Option<Tokens> {
    let one = match (call.endpoint, call.endpoint.product()) {
        (Endpoint::Completions, _) => Some(call.max_output.unwrap_or(COMPLETION_DEFAULT)),
        (_, Product::Figures | Product::NoTokens) => Some(Tokens::ZERO),
        // How many tokens an image or a sound has is not published for all models: it is learned, like
        // the length of an answer without a bound.
        (_, Product::Text | Product::Images | Product::Sound) => call.max_output,
    };
    one.map(|bound| bound.saturating_mul(call.choices))
}

/// Returns how many images `call` makes.
fn images(call: &Call) -> u64 {
    match call.endpoint {
        Endpoint::ImageGenerations | Endpoint::ImageEdits | Endpoint::ImageVariations => {
            call.choices
        }
        _ => 0,
    }
}

/// Ids are the same whatever the model.
const HISTORY: Encoding = Encoding::O200k;

/// What `max_tokens` is on `/completions` where the client does not say.
const COMPLETION_DEFAULT: Tokens = Tokens::new(16);

/// The largest body that is looked at on an async thread: reading and hashing it takes about as
/// long as counting the text that may be new in it.
const CHEAP_BODY: usize = 192 * 1024;

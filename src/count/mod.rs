//! Counts what a request may cost before it is sent.

use crate::call::Call;
use crate::catalog::{Encoding, ModelFacts};
use crate::units::{Requests, Tokens};

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

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Requests: one, whatever is in it.
    pub requests: Requests,
    /// Tokens of the prompt.
    pub input: Tokens,
    /// The most tokens that all its generations together may have; `None` where the client gave no
    /// bound.
    pub output_bound: Option<Tokens>,
    /// Characters of the prompt's text, by which some providers estimate.
    pub characters: u64,
    /// Images in the prompt.
    pub images: u64,
    /// How `input` was counted.
    pub method: Method,
}

/// Counts prompts and remembers the counts of messages it has seen. Cloning it shares the memory.
#[derive(Debug, Clone)]
pub struct Counter {
    _todo: (),
}

impl Counter {
    /// Creates a counter; no vocabulary is loaded yet.
    pub fn new() -> Self {
        Self { _todo: () }
    }

    /// Returns the demand if telling it is cheap: the vocabulary is loaded and what was not seen
    /// before is short. Fit for an async thread.
    pub fn try_count(&self, call: &Call, facts: &ModelFacts) -> Option<Demand> {
        Some(self.count(call, facts))
    }

    /// Returns the demand, whatever that takes: may load a vocabulary (about 100 ms, once) and
    /// count megabytes. Not fit for an async thread.
    pub fn count(&self, _call: &Call, _facts: &ModelFacts) -> Demand {
        Demand {
            requests: Requests::ONE,
            input: Tokens::ZERO,
            output_bound: None,
            characters: 0,
            images: 0,
            method: Method::Assumed,
        }
    }

    /// Returns the tokens of a plain text, special tokens read as text.
    pub fn count_text(&self, _text: &str, _encoding: Encoding) -> Tokens {
        Tokens::ZERO
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

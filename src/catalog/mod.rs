//! Knows the models: encoding, windows, output maximum, prices.

use crate::units::{PicoUsd, Tokens};

/// A vocabulary of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `cl100k_base`: GPT-4, GPT-3.5, text-embedding-3.
    Cl100k,
    /// `o200k_base`: GPT-4o and later; also the default for models nobody knows.
    O200k,
}

/// What is known of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFacts {
    /// The vocabulary that counts its prompts.
    pub encoding: Encoding,
    /// Whether the encoding is the model's own, not a guess.
    pub known: bool,
    /// Input and output together, where known.
    pub context_window: Option<Tokens>,
    /// The most output of one generation, where known.
    pub max_output: Option<Tokens>,
    /// Price of one input token, where known.
    pub input_price: Option<PicoUsd>,
    /// Price of one cached input token; the input price where absent.
    pub cached_price: Option<PicoUsd>,
    /// Price of one output token, where known.
    pub output_price: Option<PicoUsd>,
}

/// The embedded table of models.
#[derive(Debug)]
pub struct Catalog {
    _todo: (),
}

impl Catalog {
    /// Reads the embedded table.
    pub fn embedded() -> Self {
        Self { _todo: () }
    }

    /// Returns what is known of `model`; the defaults where it is not in the table.
    pub fn facts(&self, _model: &str) -> ModelFacts {
        ModelFacts {
            encoding: Encoding::O200k,
            known: false,
            context_window: None,
            max_output: None,
            input_price: None,
            cached_price: None,
            output_price: None,
        }
    }
}

/// Returns what `usage` costs; `None` where a price is unknown.
pub fn price(_facts: &ModelFacts, _usage: &crate::units::Usage) -> Option<PicoUsd> {
    None
}

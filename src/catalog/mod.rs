//! Knows the models: encoding, windows, output maximum, how images count, prices.
//!
//! # What this module owns
//!
//! The table of models in `config/catalog.json`, embedded in the program, and the rules by which a
//! name that is not in it finds its nearest relative. The table states its date and its sources.
//!
//! # What this module does not do
//!
//! It fetches nothing and counts nothing. A model that it does not know is served all the same.
//!
//! # Invariants
//!
//! 1. Prices are whole pico-dollars a token: no sum ever drifts.
//! 2. Only a dated or renamed edition of a model inherits its prices and windows; any other relative
//!    inherits no more than the encoding.

mod image;
mod table;

use std::collections::HashMap;

use crate::units::{PicoUsd, Tokens, Usage};

pub use self::image::{Detail, ImageRule, Limit, PatchLimits};

use self::table::Table;

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
    /// Whether it thinks before it answers: such models frame prompts in a way that is not
    /// published, and their output holds hidden tokens.
    pub reasoning: bool,
    /// How it counts images, where known.
    pub image: Option<ImageRule>,
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

impl ModelFacts {
    /// What holds for a model nobody knows.
    pub const UNKNOWN: Self = Self {
        encoding: Encoding::O200k,
        known: false,
        reasoning: false,
        image: None,
        context_window: None,
        max_output: None,
        input_price: None,
        cached_price: None,
        output_price: None,
    };
}

/// Returns what `usage` of a model costs, or `None` where a price it needs is not known.
///
/// Cached tokens are a part of the input and have their own price; output includes reasoning.
/// (Long-context, priority, flex and batch prices are not applied.) What sound and made images cost is not
/// in the table: their prices are others than that of text.
pub fn price(facts: &ModelFacts, usage: &Usage) -> Option<PicoUsd> {
    let dear = [usage.input_audio, usage.output_audio, usage.output_image];
    if !usage.heard.is_zero() || dear.into_iter().any(|tokens| tokens != Tokens::ZERO) {
        return None;
    }
    let part = |price: Option<PicoUsd>, tokens: Tokens| {
        if tokens == Tokens::ZERO { Some(PicoUsd::ZERO) } else { Some(price?.times(tokens)) }
    };
    let cached = Tokens::new(usage.cached.count().min(usage.input.count()));
    let fresh = part(facts.input_price, usage.input.saturating_sub(cached))?;
    let cached = part(facts.cached_price.or(facts.input_price), cached)?;
    Some(fresh + cached + part(facts.output_price, usage.output)?)
}

/// The table of models.
#[derive(Debug)]
pub struct Catalog {
    /// The day of the table's figures, as `YYYY-MM-DD`.
    as_of: String,
    models: HashMap<String, ModelFacts>,
    /// Beginnings of names, longest first.
    families: Vec<(String, Encoding)>,
}

impl Catalog {
    /// Reads the embedded table.
    pub fn embedded() -> Self {
        let table = Table::embedded();
        let mut families = table.families();
        families.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { as_of: table.as_of.clone(), models: table.models(), families }
    }

    /// Returns the day on which the table's figures were read, as `YYYY-MM-DD`.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// Returns what is known of `model`; [`ModelFacts::UNKNOWN`] where neither it nor a relative is
    /// in the table.
    ///
    /// A fine-tuned model (`ft:BASE:org:name:id`) has the prices of its own row, and else no prices:
    /// they differ from its base's.
    pub fn facts(&self, model: &str) -> ModelFacts {
        let model = model.strip_prefix("openai/").unwrap_or(model);
        let Some(tuned) = model.strip_prefix("ft:") else { return self.base(model) };
        let base = tuned.split(':').next().unwrap_or(tuned);
        let row = model.get(..base.len() + "ft:".len()).and_then(|name| self.edition(name));
        let prices = row.unwrap_or(ModelFacts::UNKNOWN);
        ModelFacts {
            input_price: prices.input_price,
            cached_price: prices.cached_price,
            output_price: prices.output_price,
            ..self.base(base)
        }
    }

    fn base(&self, model: &str) -> ModelFacts {
        if let Some(facts) = self.edition(model) {
            return facts;
        }
        let family = self.families.iter().find(|(prefix, _)| model.starts_with(prefix.as_str()));
        let relative = self.relative(model).map(|facts| ModelFacts {
            context_window: None,
            max_output: None,
            input_price: None,
            cached_price: None,
            output_price: None,
            ..facts
        });
        let facts = relative.unwrap_or(ModelFacts::UNKNOWN);
        family.map_or(facts, |(_, encoding)| ModelFacts {
            encoding: *encoding,
            known: true,
            ..facts
        })
    }

    /// Returns the row of `model`, or of the model of which it is a dated edition.
    fn edition(&self, model: &str) -> Option<ModelFacts> {
        if let Some(facts) = self.models.get(model) {
            return Some(*facts);
        }
        beginnings(model)
            .find_map(|(name, rest)| self.models.get(name).filter(|_| is_edition(rest)).copied())
    }

    /// Returns the row with the longest name of which `model` is an extension.
    fn relative(&self, model: &str) -> Option<ModelFacts> {
        beginnings(model).find_map(|(name, _)| self.models.get(name).copied())
    }
}

/// Returns the beginnings of a name that end before a dash, longest first, each with what follows
/// the dash.
fn beginnings(model: &str) -> impl Iterator<Item = (&str, &str)> {
    model.rmatch_indices('-').filter_map(|(at, _)| Some((model.get(..at)?, model.get(at + 1..)?)))
}

/// Returns whether a name's end tells an edition: a date, or `latest`.
fn is_edition(end: &str) -> bool {
    let dated = end.len() >= 4 && end.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    dated || end == "latest"
}

#[cfg(test)]
mod tests;

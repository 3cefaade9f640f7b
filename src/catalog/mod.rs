//! Knows the models: encoding, windows, output maximum, how images count, prices.
//!
//! # What this module owns
//!
//! The table of models in `config/catalog.json`, embedded in the program, and the rules by which a
//! name that is not in it finds its nearest relative. The table states its date and its sources, those of
//! prices for each of them. [`PriceList`] tells what a request costs, as a [`Bill`] of lines.
//!
//! # What this module does not do
//!
//! It fetches nothing and counts nothing. A model that it does not know is served all the same.
//!
//! # Invariants
//!
//! 1. Money is counted in integers: no sum ever drifts. What has no price makes a cost unknown, never zero.
//! 2. Only a dated or renamed edition of a model inherits its prices and windows; any other relative
//!    inherits no more than the encoding.

mod bill;
mod common;
mod image;
mod list;
mod names;
mod newer;
mod prices;
mod rate;
mod table;

use std::collections::HashMap;

use crate::units::Tokens;

pub use self::bill::{Bill, Cost, Line, Missing};
pub use self::common::{CommonList, CommonListError};
pub use self::image::{Detail, ImageRule, Limit, PatchLimits};
pub use self::list::{Bought, PriceList, PriceOrigin};
pub use self::newer::{Change, NEWER_PRICES, NewerList, NewerListError, What};
pub use self::prices::{Place, PriceError, Prices};
pub use self::rate::{Count, Kind, Rate, Tier};

pub use self::table::PriceSource;

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
    };
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
    /// A fine-tuned model (`ft:BASE:org:name:id`) is as its base.
    pub fn facts(&self, model: &str) -> ModelFacts {
        let model = model.strip_prefix("openai/").unwrap_or(model);
        let tuned = names::tuned_base(model).and_then(|name| name.strip_prefix("ft:"));
        self.base(tuned.unwrap_or(model))
    }

    fn base(&self, model: &str) -> ModelFacts {
        if let Some(facts) = self.edition(model) {
            return facts;
        }
        let family = self.families.iter().find(|(prefix, _)| model.starts_with(prefix.as_str()));
        let relative = self.relative(model).map(|facts| ModelFacts {
            context_window: None,
            max_output: None,
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
        names::editions_of(model).find_map(|name| self.models.get(name).copied())
    }

    /// Returns the row with the longest name of which `model` is an extension.
    fn relative(&self, model: &str) -> Option<ModelFacts> {
        names::beginnings(model).find_map(|(name, _)| self.models.get(name).copied())
    }
}

#[cfg(test)]
mod tests;

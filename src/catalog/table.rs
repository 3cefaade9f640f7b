//! Reads `config/catalog.json`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Encoding, ImageRule, ModelFacts, PatchLimits, PriceError, Prices};
use crate::units::Tokens;

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) as_of: String,
    #[serde(rename = "sources")]
    _sources: Vec<String>,
    pub(super) price_lists: HashMap<String, PriceSource>,
    #[serde(rename = "units")]
    _units: String,
    families: Vec<(String, RawEncoding)>,
    patch_limits: HashMap<String, PatchLimits>,
    models: Vec<Row>,
}

/// Where prices were read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceSource {
    /// The day, as `YYYY-MM-DD`.
    pub as_of: String,
    /// The list, and whose prices it repeats.
    pub source: String,
}

/// The prices of a model, and from which list they are.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) prices: Prices,
    pub(super) list: String,
}

/// A model as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    encoding: Option<RawEncoding>,
    /// Set where no source names the encoding.
    #[serde(default)]
    guessed: bool,
    #[serde(default)]
    reasoning: bool,
    window: Option<u64>,
    output: Option<u64>,
    /// Tokens of an image, and of each of its tiles of 512 pixels.
    tiles: Option<(u32, u32)>,
    /// Hundredths of a token for each patch of 32 pixels, and the name of the limits.
    patches: Option<(u32, String)>,
    /// From which list its prices are.
    list: Option<String>,
    prices: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawEncoding {
    Cl100k,
    O200k,
}

impl Table {
    /// Reads the table that the program was built with.
    #[expect(clippy::expect_used, reason = "the table is a constant, and a test reads it")]
    pub(super) fn embedded() -> Self {
        serde_json::from_str(include_str!("../../config/catalog.json"))
            .expect("config/catalog.json is a valid table")
    }

    pub(super) fn families(&self) -> Vec<(String, Encoding)> {
        self.families.iter().map(|(prefix, raw)| (prefix.clone(), Encoding::from(*raw))).collect()
    }

    pub(super) fn models(&self) -> HashMap<String, ModelFacts> {
        self.models.iter().map(|row| (row.name.clone(), self.facts(row))).collect()
    }

    /// Returns the prices of each model that has any.
    ///
    /// # Errors
    ///
    /// Returns what is no price.
    pub(super) fn prices(&self) -> Result<HashMap<String, Listed>, PriceError> {
        let listed = |row: &Row| {
            let prices = Prices::from_json(row.prices.as_ref()?);
            let list = row.list.clone().unwrap_or_default();
            Some(prices.map(|prices| (row.name.clone(), Listed { prices, list })))
        };
        self.models.iter().filter_map(listed).collect()
    }

    fn facts(&self, row: &Row) -> ModelFacts {
        ModelFacts {
            encoding: row.encoding.map_or(Encoding::O200k, Encoding::from),
            known: row.encoding.is_some() && !row.guessed,
            reasoning: row.reasoning,
            image: self.image(row),
            context_window: row.window.map(Tokens::new),
            max_output: row.output.map(Tokens::new),
        }
    }

    fn image(&self, row: &Row) -> Option<ImageRule> {
        if let Some((base, tile)) = row.tiles {
            return Some(ImageRule::Tiles { base, tile });
        }
        let (hundredths, limits) = row.patches.as_ref()?;
        let limits = *self.patch_limits.get(limits)?;
        Some(ImageRule::Patches { hundredths: *hundredths, limits })
    }
}

impl From<RawEncoding> for Encoding {
    fn from(raw: RawEncoding) -> Self {
        match raw {
            RawEncoding::Cl100k => Self::Cl100k,
            RawEncoding::O200k => Self::O200k,
        }
    }
}

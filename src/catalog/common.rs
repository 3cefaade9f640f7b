//! Reads price lists in the common public format.
//!
//! One flat JSON object: under the name of a model, with the provider in front where it is not OpenAI or
//! Anthropic (`groq/llama-3.3-70b`), fields such as `input_cost_per_token_above_272k_tokens_flex` in dollars for
//! one unit: a base, then `_above_{N}k_tokens`, then `_batches`, `_flex`, `_priority`, `_balanced`, `_ultrafast`
//! or `_decisions`. Images have rows of their own, `high/1024-x-1024/gpt-image-1`. The format is that of
//! <https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json>, read 2026-11-21.
//!
//! # Invariants
//!
//! 1. All or nothing: one field that cannot be read rejects the whole list, and all such fields are named.
//! 2. What is a price, but of nothing that is counted here, is told by its name.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use thiserror::Error;

use super::prices::Prices;
use super::rate::{Kind, Rate, Tier};

/// A price list that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommonList {
    /// The prices of each model that has any.
    pub models: HashMap<String, Prices>,
    /// Prices that are not applied, by the name of their field, and how many rows have them.
    pub ignored: BTreeMap<String, u64>,
}

/// Why a price list cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CommonListError {
    /// It is not JSON, or no object.
    #[error("it is no JSON object of models: {0}")]
    Json(String),
    /// Fields that cannot be read; at least one.
    #[error("{}", listed(.0))]
    Fields(Vec<String>),
    /// There is no price in it.
    #[error("there is no price in it")]
    Empty,
}

impl CommonList {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// Returns a [`CommonListError`] that names whatever cannot be read.
    pub fn read(text: &str) -> Result<Self, CommonListError> {
        let rows: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| CommonListError::Json(error.to_string()))?;
        let (mut list, mut wrong) = (Self::default(), Vec::new());
        // It only shows which fields there are.
        for (name, row) in rows.iter().filter(|(name, _)| *name != "sample_spec") {
            match row {
                Value::Object(row) => list.row(name, row, &mut wrong),
                _ => wrong.push(format!("`{name}` is no row of a model")),
            }
        }
        list.models.retain(|_, prices| !prices.is_empty());
        if !wrong.is_empty() {
            return Err(CommonListError::Fields(wrong));
        }
        if list.models.is_empty() {
            return Err(CommonListError::Empty);
        }
        Ok(list)
    }

    fn row(&mut self, name: &str, row: &Map<String, Value>, wrong: &mut Vec<String>) {
        let mode = row.get("mode").and_then(Value::as_str).unwrap_or_default();
        for (field, value) in row {
            if let Some(factor) = regional(field, value) {
                match Rate::percent_on_top(&factor.to_string()) {
                    Some(percent) => {
                        let prices = self.models.entry(name.to_owned()).or_default();
                        prices.set_regional_percent(percent);
                    }
                    None => wrong.push(format!("`{name}`: `{field}` is {}", shown(value))),
                }
                continue;
            }
            let place = match Field::of(field, mode) {
                Field::Other => continue,
                Field::Ignored => {
                    *self.ignored.entry(field.clone()).or_default() += 1;
                    continue;
                }
                Field::Malformed => {
                    wrong.push(format!("`{name}`: `{field}` is a price of nothing known"));
                    continue;
                }
                Field::Price(kind, tier, above) => (kind, tier, above),
            };
            // Null and nothing are the same.
            let value = if place.0 == Kind::Search { medium(value) } else { Some(value) };
            let Some(value) = value.filter(|value| !value.is_null()) else { continue };
            let Some(rate) = rate(value) else {
                wrong.push(format!("`{name}`: `{field}` is {}, which is no price", shown(value)));
                continue;
            };
            if place.0 == Kind::Image
                && let Some((form, model)) = image(name)
            {
                self.models.entry(model).or_default().set_image(&form, rate);
                continue;
            }
            let is_second = place.0 == Kind::Second && field.starts_with("output");
            if is_second && row.get("input_cost_per_second").is_some_and(|it| !it.is_null()) {
                // Whoever hears is paid once.
                continue;
            }
            let prices = self.models.entry(name.to_owned()).or_default();
            prices.set(place, rate);
        }
    }
}

/// What a field of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// A price.
    Price(Kind, Tier, u64),
    /// A price of something that is not counted here.
    Ignored,
    /// A price, but of what?
    Malformed,
    /// No price.
    Other,
}

impl Field {
    fn of(field: &str, mode: &str) -> Self {
        let (rest, tier) = TIERS
            .iter()
            .find_map(|(suffix, tier)| Some((field.strip_suffix(suffix)?, *tier)))
            .unwrap_or((field, Tier::Standard));
        let (base, above) =
            match rest.strip_suffix("_tokens").and_then(|it| it.rsplit_once("_above_")) {
                Some((base, tokens)) => (base, Self::tokens(tokens)),
                None => (rest, Some(0)),
            };
        let kind = BASES.iter().find(|(name, _)| *name == base).map(|(_, kind)| *kind);
        let kind = kind.or_else(|| Self::by_mode(base, mode));
        match (kind, above) {
            (Some(kind), Some(above)) => Self::Price(kind, tier, above),
            (Some(_), None) => Self::Malformed,
            (None, _) if PRICED.iter().any(|word| field.contains(word)) => Self::Ignored,
            (None, _) => Self::Other,
        }
    }

    /// Returns what is meant by a field that means something else elsewhere.
    fn by_mode(base: &str, mode: &str) -> Option<Kind> {
        match (mode, base) {
            ("audio_transcription", "output_cost_per_second") => Some(Kind::Second),
            ("image_generation", "input_cost_per_image") => Some(Kind::Image),
            _ => None,
        }
    }

    /// Returns the tokens of a threshold such as `272k`.
    fn tokens(threshold: &str) -> Option<u64> {
        let (digits, times) = match threshold.strip_suffix('k') {
            Some(digits) => (digits, 1_000),
            None => (threshold, 1),
        };
        digits.parse::<u64>().ok()?.checked_mul(times).filter(|tokens| *tokens > 0)
    }
}

/// Reads a price; some write numbers as texts.
fn rate(value: &Value) -> Option<Rate> {
    match value {
        Value::Number(number) => Rate::per_unit(&number.to_string()),
        Value::String(number) => Rate::per_unit(number),
        _ => None,
    }
}

/// Returns the beginning of what is written there.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 40;
    let mut text = value.to_string();
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str("...");
    }
    text
}

/// Returns what all prices are multiplied by where a request is bound to one region, if the field tells that;
/// the regions are all alike.
fn regional<'a>(field: &str, value: &'a Value) -> Option<&'a Value> {
    match field {
        "regional_processing_uplift_multiplier_us" | "regional_processing_uplift_multiplier_eu" => {
            Some(value)
        }
        "provider_specific_entry" => value.get("us"),
        _ => None,
    }
}

/// Returns what a search of medium size costs.
fn medium(sizes: &Value) -> Option<&Value> {
    sizes.get("search_context_size_medium")
}

/// Takes the name of a row about images of one form apart: `high/1024-x-1024/gpt-image-1` is about
/// `high/1024x1024` of `gpt-image-1`, with a provider in front of that provider's. `None` for the row of a
/// whole model.
fn image(name: &str) -> Option<(String, String)> {
    let (front, model) = name.rsplit_once('/')?;
    let (front, size) = front.rsplit_once('/').unwrap_or(("", front));
    let (width, height) = size.split_once("-x-")?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(width) || !is_number(height) {
        return None;
    }
    let (provider, quality) = front.rsplit_once('/').unwrap_or(("", front));
    let in_front = |word: &str| if word.is_empty() { String::new() } else { format!("{word}/") };
    let form = format!("{}{width}x{height}", in_front(quality));
    Some((form, format!("{}{model}", in_front(provider))))
}

/// Lists what is wrong, as far as anybody reads on.
fn listed(wrong: &[String]) -> String {
    const MOST: usize = 20;
    let mut text = wrong.iter().take(MOST).cloned().collect::<Vec<_>>().join("; ");
    if let Some(more) = wrong.len().checked_sub(MOST).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

const TIERS: [(&str, Tier); 6] = [
    ("_batches", Tier::Batch),
    ("_flex", Tier::Flex),
    ("_priority", Tier::Priority),
    ("_balanced", Tier::Balanced),
    ("_ultrafast", Tier::Ultrafast),
    ("_decisions", Tier::Decisions),
];

const BASES: [(&str, Kind); 18] = [
    ("input_cost_per_token", Kind::Input),
    ("cache_read_input_token_cost", Kind::Cached),
    ("cache_creation_input_token_cost", Kind::CacheWrite),
    ("cache_creation_input_token_cost_above_1hr", Kind::CacheWriteLong),
    ("cache_creation_input_token_cost_above_12hr", Kind::CacheWriteLong),
    ("input_cost_per_audio_token", Kind::InputAudio),
    ("cache_read_input_audio_token_cost", Kind::CachedAudio),
    ("input_cost_per_image_token", Kind::InputImage),
    ("cache_read_input_image_token_cost", Kind::CachedImage),
    ("output_cost_per_token", Kind::Output),
    ("output_cost_per_reasoning_token", Kind::Reasoning),
    ("output_cost_per_audio_token", Kind::OutputAudio),
    ("output_cost_per_image_token", Kind::OutputImage),
    ("input_cost_per_second", Kind::Second),
    ("input_cost_per_audio_per_second", Kind::Second),
    ("input_cost_per_character", Kind::Character),
    ("output_cost_per_image", Kind::Image),
    ("search_context_cost_per_query", Kind::Search),
];

/// What stands in the name of every price.
const PRICED: [&str; 3] = ["cost", "pricing", "multiplier"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(list: &Value) -> Result<CommonList, CommonListError> {
        CommonList::read(&list.to_string())
    }

    fn prices(written: Value) -> Prices {
        let Value::Object(written) = written else { panic!("no table") };
        Prices::from_json(&written).expect("prices")
    }

    #[test]
    fn every_suffix_finds_its_place() {
        let list = read(&json!({
            "sample_spec": {"input_cost_per_token": "what a token costs", "mode": "one of"},
            "long": {
                "mode": "chat", "max_input_tokens": 1_000, "supports_vision": true,
                "input_cost_per_token": 2.5e-6, "output_cost_per_token": "1e-05",
                "cache_read_input_token_cost": 2.5e-7, "output_cost_per_reasoning_token": null,
                "input_cost_per_token_batches": 1.25e-6,
                "input_cost_per_token_above_272k_tokens": 5e-6,
                "output_cost_per_token_above_272k_tokens_priority": 4e-5,
                "cache_creation_input_token_cost": 3e-6,
                "cache_creation_input_token_cost_above_1hr": 4e-6,
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens_flex": 7e-6,
                "search_context_cost_per_query": {"search_context_size_low": 0.02, "search_context_size_medium": 0.025},
                "input_cost_per_token_decisions": 0.0,
                "off_peak_pricing": {"input_cost_per_token": 1e-6},
                "regional_processing_uplift_multiplier_eu": 1.1,
            },
            "heard": {"mode": "audio_transcription", "output_cost_per_second": 0.0001},
            "whisper": {"mode": "audio_transcription", "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0002},
            "film": {"mode": "video_generation", "output_cost_per_second": 0.1},
            "high/1024-x-1536/picture": {"mode": "image_generation", "input_cost_per_image": 0.25},
            "1024-x-1024/picture": {"mode": "image_generation", "output_cost_per_image": 0.04},
            "azure/hd/1024-x-1024/picture": {"mode": "image_generation", "output_cost_per_image": 0.08},
            "some/picture": {"mode": "image_generation", "output_cost_per_image": 0.03},
            "no prices": {"mode": "chat"},
        }));
        let list = list.expect("a list");
        let expected = [
            (
                "long",
                json!({
                    "input": 2.5, "cached": 0.25, "cache_write": 3, "cache_write_long": 4, "output": 10, "search": 25000,
                    "batch": {"input": 1.25}, "decisions": {"input": 0},
                    "above_200000": {"flex": {"cache_write_long": 7}},
                    "above_272000": {"input": 5, "priority": {"output": 40}},
                "regional_percent": 10,
                }),
            ),
            ("heard", json!({"second": 100})),
            ("whisper", json!({"second": 100})),
            ("picture", json!({"images": {"high/1024x1536": 250000, "1024x1024": 40000}})),
            ("azure/picture", json!({"images": {"hd/1024x1024": 80000}})),
            ("some/picture", json!({"image": 30000})),
        ];
        let expected = expected.map(|(name, written)| (name.to_owned(), prices(written)));
        assert_eq!(list.models, HashMap::from(expected));
        let ignored: Vec<_> = list.ignored.keys().map(String::as_str).collect();
        let told = ["off_peak_pricing", "output_cost_per_second"];
        assert_eq!(ignored, told);
    }

    #[test]
    fn one_bad_line_rejects_the_list_and_all_of_them_are_named() {
        let list = json!({
            "good": {"input_cost_per_token": 1e-6},
            "a": {"input_cost_per_token": -1, "output_cost_per_token": "free"},
            "b": {"input_cost_per_token_above_many_tokens": 1e-6},
            "c": 7,
        });
        let Err(CommonListError::Fields(wrong)) = read(&list) else { panic!("it was taken") };
        assert_eq!(
            wrong,
            [
                "`a`: `input_cost_per_token` is -1, which is no price",
                "`a`: `output_cost_per_token` is \"free\", which is no price",
                "`b`: `input_cost_per_token_above_many_tokens` is a price of nothing known",
                "`c` is no row of a model",
            ]
        );
        assert!(matches!(CommonList::read("[]"), Err(CommonListError::Json(_))));
        assert_eq!(read(&json!({"a": {"mode": "chat"}})), Err(CommonListError::Empty));
    }

    proptest! {
        /// Whatever the file is, reading it ends, in prices or in words.
        #[test]
        fn no_list_makes_it_panic(field in "[a-z_0-9]{0,60}", base in 0..18_usize, value in "\\PC{0,12}") {
            for field in [field.clone(), format!("{}{field}", BASES[base].0)] {
                let _read = read(&json!({"m": {field: value.clone()}}));
            }
            let _read = CommonList::read(&value);
        }
    }
}

//! The prices of one model: of each kind, by service tier and by the length of the prompt.
//!
//! # What this module owns
//!
//! [`Prices`], and the form in which they are written (JSON here, TOML in the configuration): dollars for a
//! million units under the name of a kind, those of a tier in a table under its name, those of prompts of
//! more than N tokens in a table `above_N`; prices of images by quality and size in a table `images`; under
//! `regional_percent` what is on top where a request is bound to one region.
//!
//! # Invariants
//!
//! 1. A prompt's length counts for the whole request: every kind is looked up at the same threshold.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::rate::{Kind, MOST_PERCENT, Rate, Tier};
use crate::units::Tokens;

/// The prices of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    /// Sorted, so that equal prices are equal.
    rates: Vec<Priced>,
    /// What an image costs, by words such as `high/1024x1024`.
    images: Vec<(String, Rate)>,
    /// Whether every chat has the web searched once, and answers do not tell.
    searches_always: bool,
    /// Percent on top of all prices where a request is bound to one region.
    regional_percent: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Priced {
    kind: Kind,
    tier: Tier,
    /// Tokens of input that must be exceeded.
    above: u64,
    rate: Rate,
}

impl Prices {
    /// Sets the price of `kind` in `tier`, for prompts of more than `above` tokens.
    pub fn set(&mut self, (kind, tier, above): (Kind, Tier, u64), rate: Rate) {
        let place = |priced: &Priced| (priced.kind, priced.tier, priced.above);
        match self.rates.binary_search_by_key(&(kind, tier, above), place) {
            Ok(at) => {
                if let Some(old) = self.rates.get_mut(at) {
                    old.rate = rate;
                }
            }
            Err(at) => self.rates.insert(at, Priced { kind, tier, above, rate }),
        }
    }

    /// Sets the price of an image of that quality and size, such as `high/1024x1024`.
    pub fn set_image(&mut self, form: &str, rate: Rate) {
        match self.images.iter_mut().find(|(known, _)| known == form) {
            Some((_, old)) => *old = rate,
            None => self.images.push((form.to_owned(), rate)),
        }
        self.images.sort();
    }

    /// Says that every chat has the web searched once.
    pub(super) const fn set_searches_always(&mut self) {
        self.searches_always = true;
    }

    /// Sets how many percent are on top where a request is bound to one region, at most 1000.
    pub fn set_regional_percent(&mut self, percent: u32) {
        self.regional_percent = percent.min(MOST_PERCENT);
    }

    /// Returns how many percent are on top where a request is bound to one region.
    pub const fn regional_percent(&self) -> u32 {
        self.regional_percent
    }

    /// Tells whether nothing is known.
    pub const fn is_empty(&self) -> bool {
        self.rates.is_empty() && self.images.is_empty()
    }

    /// Tells whether there is a price of that tier.
    pub fn has(&self, tier: Tier) -> bool {
        tier == Tier::Standard || self.rates.iter().any(|priced| priced.tier == tier)
    }

    /// Tells whether every chat has the web searched once.
    pub const fn searches_always(&self) -> bool {
        self.searches_always
    }

    /// Returns the highest threshold that a prompt of `input` tokens exceeds; zero if none.
    pub fn threshold(&self, input: Tokens) -> u64 {
        let crossed = self.rates.iter().map(|priced| priced.above);
        crossed.filter(|above| *above < input.count()).max().unwrap_or_default()
    }

    /// Returns the price of `kind` in `tier` for prompts beyond the threshold `above`.
    ///
    /// What a tier or a long prompt has no price of its own for costs as it does without: first the tier is
    /// left out, then the threshold. What has no price then costs as the kind that stands for it.
    pub fn rate(&self, kind: Kind, tier: Tier, above: u64) -> Option<Rate> {
        let places =
            [(tier, above), (Tier::Standard, above), (tier, 0), (Tier::Standard, 0)].into_iter();
        let own = places.into_iter().find_map(|(tier, above)| self.own_rate(kind, tier, above));
        own.or_else(|| self.rate(kind.instead()?, tier, above))
    }

    /// Returns what an image of that quality and size costs.
    pub fn image(&self, form: Option<&str>) -> Option<Rate> {
        let named = form.and_then(|form| self.images.iter().find(|(known, _)| known == form));
        named.map(|(_, rate)| *rate).or_else(|| self.own_rate(Kind::Image, Tier::Standard, 0))
    }

    fn own_rate(&self, kind: Kind, tier: Tier, above: u64) -> Option<Rate> {
        let place = |priced: &Priced| (priced.kind, priced.tier, priced.above);
        let at = self.rates.binary_search_by_key(&(kind, tier, above), place).ok()?;
        self.rates.get(at).map(|priced| priced.rate)
    }

    /// Returns what `next` has otherwise, in words such as `batch input 2.5 -> 2`.
    pub(super) fn differences(&self, next: &Self) -> Vec<String> {
        let price =
            |rate: Option<Rate>| rate.map_or_else(|| "(none)".to_owned(), |it| it.to_string());
        let rates = self.rates.iter().chain(&next.rates);
        let places: BTreeSet<_> = rates.map(|it| (it.kind, it.tier, it.above)).collect();
        let rate = |(kind, tier, above): (Kind, Tier, u64)| {
            let (before, after) =
                (self.own_rate(kind, tier, above), next.own_rate(kind, tier, above));
            let long = if above > 0 { format!("above_{above} ") } else { String::new() };
            let tier = if tier == Tier::Standard { "" } else { tier.label() };
            let name = format!("{long}{tier} {}", kind.label());
            let words = format!("{} {} -> {}", name.trim_start(), price(before), price(after));
            (before != after).then_some(words)
        };
        let image = |form: &String| {
            let of = |prices: &Self| {
                prices.images.iter().find(|(known, _)| known == form).map(|(_, rate)| *rate)
            };
            let (before, after) = (of(self), of(next));
            let words = format!("image {form} {} -> {}", price(before), price(after));
            (before != after).then_some(words)
        };
        let images = self.images.iter().chain(&next.images);
        let forms: BTreeSet<_> = images.map(|(form, _)| form).collect();
        let (before, after) = (self.regional_percent, next.regional_percent);
        let regional = || format!("regional_percent {before} -> {after}");
        let rates = places.into_iter().filter_map(rate);
        let others = forms.into_iter().filter_map(image);
        rates.chain(others).chain((before != after).then(regional)).collect()
    }

    /// Reads prices as they are written in JSON.
    ///
    /// # Errors
    ///
    /// Returns the key that is unknown or has no price, and what would be right.
    pub fn from_json(written: &Map<String, Value>) -> Result<Self, PriceError> {
        let mut prices = Self::default();
        prices.read(written, Tier::Standard, 0)?;
        Ok(prices)
    }

    fn read(
        &mut self,
        written: &Map<String, Value>,
        tier: Tier,
        above: u64,
    ) -> Result<(), PriceError> {
        for (key, value) in written {
            let wrong = || PriceError { key: key.clone() };
            let place = Place::of(key, tier, above).ok_or_else(wrong)?;
            let rate = |value: &Value| match value {
                Value::Number(number) => Rate::per_million(&number.to_string()),
                _ => None,
            };
            match (place, value) {
                (Place::Rate(kind), value) => {
                    self.set((kind, tier, above), rate(value).ok_or_else(wrong)?);
                }
                (Place::Below(tier, above), Value::Object(below)) => {
                    self.read(below, tier, above)?;
                }
                (Place::Images, Value::Object(images)) => {
                    for (form, value) in images {
                        self.set_image(form, rate(value).ok_or_else(wrong)?);
                    }
                }
                (Place::RegionalPercent, value) => {
                    let percent = value.as_u64().and_then(|percent| u32::try_from(percent).ok());
                    let percent = percent.filter(|percent| *percent <= MOST_PERCENT);
                    self.set_regional_percent(percent.ok_or_else(wrong)?);
                }
                (Place::SearchesAlways, Value::Bool(always)) => self.searches_always = *always,
                _ => return Err(wrong()),
            }
        }
        Ok(())
    }

    /// Writes prices as they are read.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut written = self.at_threshold(0);
        let thresholds: BTreeSet<u64> = self.rates.iter().map(|priced| priced.above).collect();
        for above in thresholds.into_iter().filter(|above| *above > 0) {
            written.insert(format!("above_{above}"), Value::Object(self.at_threshold(above)));
        }
        if !self.images.is_empty() {
            let images = self.images.iter().map(|(form, rate)| (form.clone(), number(*rate)));
            written.insert("images".to_owned(), Value::Object(images.collect()));
        }
        if self.regional_percent > 0 {
            written.insert("regional_percent".to_owned(), self.regional_percent.into());
        }
        if self.searches_always {
            written.insert("searches_always".to_owned(), Value::Bool(true));
        }
        written
    }

    /// Writes the prices for a threshold, those of tiers below.
    fn at_threshold(&self, above: u64) -> Map<String, Value> {
        let of_tier = |tier| {
            let here = move |priced: &&Priced| priced.above == above && priced.tier == tier;
            let rates = self.rates.iter().filter(here);
            rates.map(|it| (it.kind.label().to_owned(), number(it.rate))).collect::<Map<_, _>>()
        };
        let mut written = of_tier(Tier::Standard);
        for tier in Tier::ALL.into_iter().filter(|tier| *tier != Tier::Standard) {
            let below = of_tier(tier);
            if !below.is_empty() {
                written.insert(tier.label().to_owned(), Value::Object(below));
            }
        }
        written
    }
}

/// Why prices cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is no price: {RULE}")]
pub struct PriceError {
    /// The key at which something else stands, or that is unknown.
    pub key: String,
}

/// What stands under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A price.
    Rate(Kind),
    /// A table of prices for this tier and threshold.
    Below(Tier, u64),
    /// A table of prices of images.
    Images,
    /// Whether every chat has the web searched once.
    SearchesAlways,
    /// Percent on top where a request is bound to one region.
    RegionalPercent,
}

impl Place {
    /// Returns what stands under `key` in a table for this tier and threshold; `None` for an unknown key.
    pub fn of(key: &str, tier: Tier, above: u64) -> Option<Self> {
        if let Some(kind) = Kind::of(key) {
            return Some(Self::Rate(kind));
        }
        if let Some(tokens) = key.strip_prefix("above_") {
            let tokens = tokens.parse().ok().filter(|tokens| *tokens > 0)?;
            return (above == 0).then_some(Self::Below(tier, tokens));
        }
        let is_top = tier == Tier::Standard && above == 0;
        match key {
            "images" => is_top.then_some(Self::Images),
            "regional_percent" => is_top.then_some(Self::RegionalPercent),
            "searches_always" => is_top.then_some(Self::SearchesAlways),
            label => {
                let below = Tier::ALL.into_iter().find(|tier| tier.label() == label)?;
                (tier == Tier::Standard).then_some(Self::Below(below, above))
            }
        }
    }
}

fn number(rate: Rate) -> Value {
    serde_json::from_str(&rate.to_string()).unwrap_or_default()
}

/// What would be right.
const RULE: &str = "a price is a number of dollars for a million units, with at most nine digits \
                        behind the point, under the name of a kind such as `input` or `cached`, or in a \
                        table such as `batch` or `above_272000`";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn prices(written: Value) -> Prices {
        let Value::Object(written) = written else { panic!("no table") };
        Prices::from_json(&written).expect("prices")
    }

    fn shown(prices: &Prices, kind: Kind, tier: Tier, input: u64) -> String {
        let rate = prices.rate(kind, tier, prices.threshold(Tokens::new(input)));
        rate.map_or_else(String::new, |rate| rate.to_string())
    }

    #[test]
    fn what_has_no_price_of_its_own_costs_as_what_stands_for_it() {
        let written = json!({
            "input": 2, "output": 8, "cached": 0.5,
            "batch": {"input": 1, "output": 4},
            "above_1000": {"input": 4, "flex": {"input": 3}},
            "input_audio": 40,
        });
        let prices = prices(written);
        use Kind::{
            CacheWrite, CacheWriteLong, Cached, CachedAudio, CachedImage, Input, InputAudio,
            InputImage, Output, OutputAudio, Reasoning,
        };
        use Tier::{Batch, Flex, Priority, Standard};
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (Input,          Standard, 1_000, "2"),   (Input,       Standard, 1_001, "4"),
            (Input,          Batch,    1_000, "1"),   (Input,       Batch,    1_001, "4"),
            (Input,          Flex,     1_000, "2"),   (Input,       Flex,     1_001, "3"),
            (Cached,         Batch,    1,     "0.5"), (Cached,      Standard, 1_001, "0.5"),
            (CacheWrite,     Standard, 1,     "2"),   (CacheWrite,  Standard, 1_001, "4"),
            (CacheWriteLong, Batch,    1,     "1"),   (Reasoning,   Batch,    1,     "4"),
            (InputImage,     Standard, 1,     "2"),   (CachedImage, Standard, 1,     "2"),
            (InputAudio,     Priority, 1,     "40"),  (CachedAudio, Standard, 1,     "40"),
            (OutputAudio,    Standard, 1,     ""),    (Output,      Standard, 1_001, "8"),
        ];
        for (kind, tier, input, rate) in cases {
            assert_eq!(shown(&prices, kind, tier, input), rate, "{kind:?} {tier:?} {input}");
        }
        assert!(prices.has(Batch) && prices.has(Flex) && !prices.has(Priority));
    }

    #[test]
    fn what_is_no_price_is_named() {
        for (written, key) in [
            (json!({"inptu": 1}), "inptu"),
            (json!({"input": "1"}), "input"),
            (json!({"input": -1}), "input"),
            (json!({"input": 0.000_000_000_1}), "input"),
            (json!({"batch": 1}), "batch"),
            (json!({"batch": {"flex": {"input": 1}}}), "flex"),
            (json!({"above_0": {"input": 1}}), "above_0"),
            (json!({"above_10": {"above_20": {"input": 1}}}), "above_20"),
            (json!({"images": {"low/1024x1024": null}}), "images"),
            (json!({"regional_percent": 1.1}), "regional_percent"),
        ] {
            let Value::Object(written) = written else { panic!("no table") };
            assert_eq!(Prices::from_json(&written).map_err(|error| error.key), Err(key.to_owned()));
        }
    }

    proptest! {
        /// Prices are read as they were written.
        #[test]
        fn what_is_written_is_read_again(
            rates in prop::collection::vec((0..16_usize, 0..7_usize, 0..3_u64, any::<u64>()), 0..30),
            percent in 0..=1_000_u32,
            images in prop::collection::vec(("[a-z]{1,5}/[0-9]{1,4}x[0-9]{1,4}", any::<u32>()), 0..4),
        ) {
            let mut prices = Prices::default();
            for (kind, tier, above, rate) in rates {
                // What JSON can tell exactly: fifteen digits.
                let rate = format!("{}e-9", rate % 1_000_000_000_000_000);
                let rate = Rate::per_million(&rate).expect("a rate");
                prices.set((Kind::ALL[kind], Tier::ALL[tier], above * 128_000), rate);
            }
            for (form, dollars) in images {
                prices.set_image(&form, Rate::per_million(&dollars.to_string()).expect("a rate"));
            }
            prices.set_regional_percent(percent);
            prop_assert_eq!(Prices::from_json(&prices.to_json()), Ok(prices));
        }
    }
}

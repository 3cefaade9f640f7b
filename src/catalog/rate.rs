//! What a price is for, and exact prices of one unit.
//!
//! # Invariants
//!
//! 1. No floating point: a [`Rate`] is a whole number of thousandths of a pico-dollar.
//! 2. An amount is rounded once, half up to a pico-dollar; where a unit costs whole pico-dollars, as any
//!    published price of a token does, nothing is rounded.

use std::fmt;
use std::time::Duration;

use crate::units::{PicoUsd, Rounding, scaled};

/// What a price is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Tokens of input that are none of the others.
    Input,
    /// Tokens of input that came from the provider's prompt cache.
    Cached,
    /// Tokens that were written into that cache, to be kept for minutes.
    CacheWrite,
    /// Tokens that were written into that cache, to be kept for an hour or longer.
    CacheWriteLong,
    /// Tokens of sound in the input.
    InputAudio,
    /// Tokens of sound from the cache.
    CachedAudio,
    /// Tokens of images in the input.
    InputImage,
    /// Tokens of images from the cache.
    CachedImage,
    /// Tokens of output that are none of the others.
    Output,
    /// Tokens of hidden reasoning, where they cost something else than other output.
    Reasoning,
    /// Tokens of sound in the output.
    OutputAudio,
    /// Tokens of images in the output.
    OutputImage,
    /// Seconds of sound that was heard.
    Second,
    /// Characters that were read aloud.
    Character,
    /// Images that were made.
    Image,
    /// Searches of the web.
    Search,
}

impl Kind {
    /// All kinds, in the order in which they are shown.
    pub const ALL: [Self; 16] = [
        Self::Input,
        Self::Cached,
        Self::CacheWrite,
        Self::CacheWriteLong,
        Self::InputAudio,
        Self::CachedAudio,
        Self::InputImage,
        Self::CachedImage,
        Self::Output,
        Self::Reasoning,
        Self::OutputAudio,
        Self::OutputImage,
        Self::Second,
        Self::Character,
        Self::Image,
        Self::Search,
    ];

    /// Returns its name, as price lists and configuration have it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Cached => "cached",
            Self::CacheWrite => "cache_write",
            Self::CacheWriteLong => "cache_write_long",
            Self::InputAudio => "input_audio",
            Self::CachedAudio => "cached_audio",
            Self::InputImage => "input_image",
            Self::CachedImage => "cached_image",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::OutputAudio => "output_audio",
            Self::OutputImage => "output_image",
            Self::Second => "second",
            Self::Character => "character",
            Self::Image => "image",
            Self::Search => "search",
        }
    }

    /// Returns the kind of that name.
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// Returns the kind whose price counts where this one has none: what is in a cache costs as much as if
    /// it were not, images in a prompt as much as its texts, reasoning as much as other output. Sound has
    /// no such price, nor have images that are made.
    pub(super) const fn instead(self) -> Option<Self> {
        match self {
            Self::Cached | Self::CacheWrite | Self::InputImage => Some(Self::Input),
            Self::CacheWriteLong => Some(Self::CacheWrite),
            Self::CachedAudio => Some(Self::InputAudio),
            Self::CachedImage => Some(Self::InputImage),
            Self::Reasoning => Some(Self::Output),
            Self::Input
            | Self::InputAudio
            | Self::Output
            | Self::OutputAudio
            | Self::OutputImage
            | Self::Second
            | Self::Character
            | Self::Image
            | Self::Search => None,
        }
    }
}

/// A service tier, as far as prices know them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// What is usual.
    #[default]
    Standard,
    /// Within a day.
    Batch,
    /// When there is room.
    Flex,
    /// Before others.
    Priority,
    /// Between flex and standard.
    Balanced,
    /// Faster than priority.
    Ultrafast,
    /// Questions with a choice of answers.
    Decisions,
}

impl Tier {
    /// All tiers.
    pub const ALL: [Self; 7] = [
        Self::Standard,
        Self::Batch,
        Self::Flex,
        Self::Priority,
        Self::Balanced,
        Self::Ultrafast,
        Self::Decisions,
    ];

    /// Returns its name, as price lists and configuration have it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Balanced => "balanced",
            Self::Ultrafast => "ultrafast",
            Self::Decisions => "decisions",
        }
    }

    /// Returns the tier that a provider's word names; `None` where its prices are not known by it.
    ///
    /// OpenAI says `default`, Anthropic `standard`, Groq `on_demand`; what was sent as `fast` is answered as
    /// `priority` (<https://developers.openai.com/api/docs/guides/priority-processing>, read 2026-11-21).
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "default" | "on_demand" => Some(Self::Standard),
            "fast" => Some(Self::Priority),
            word => Self::ALL.into_iter().find(|tier| tier.label() == word),
        }
    }
}

/// What one unit costs, in thousandths of a pico-dollar (1e-15 USD).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// Reads dollars for a million units, such as `2.5`; `None` if it is no such number, has more than nine
    /// digits behind the point, or is above 18 billion.
    pub fn per_million(dollars: &str) -> Option<Self> {
        let (rate, rounding) = scaled(dollars, 9)?;
        (rounding == Rounding::Exact).then_some(Self(rate))
    }

    /// Reads dollars for one unit, such as `2.5e-06`, rounded half up to 1e-15 dollars; `None` if it is no
    /// such number.
    pub fn per_unit(dollars: &str) -> Option<Self> {
        scaled(dollars, 15).map(|(rate, _)| Self(rate))
    }

    /// Returns the price with so many percent on top, rounded half up to 1e-15 dollars.
    #[must_use]
    pub(super) fn raised(self, percent: u32) -> Self {
        let raised = u128::from(self.0) * u128::from(100 + percent.min(MOST_PERCENT));
        Self(u64::try_from((raised + 50) / 100).unwrap_or(u64::MAX))
    }

    /// Reads what a price is multiplied by, such as `1.1`, as percent on top; `None` if that is no whole number
    /// of percent from 0 to 1000.
    pub(super) fn percent_on_top(factor: &str) -> Option<u32> {
        let (hundredths, rounding) = scaled(factor, 2)?;
        let percent = u32::try_from(hundredths.checked_sub(100)?).ok()?;
        (rounding == Rounding::Exact && percent <= MOST_PERCENT).then_some(percent)
    }

    /// Returns what `count` costs, or the largest amount where that is too large.
    pub fn times(self, count: Count) -> PicoUsd {
        let (count, parts) = match count {
            Count::Units(count) => (u128::from(count), 1),
            Count::Time(time) => (time.as_nanos(), NANOS),
        };
        let per_pico = 1_000 * parts;
        let product = u128::from(self.0).saturating_mul(count);
        let pico = product.saturating_add(per_pico / 2) / per_pico;
        PicoUsd::new(u64::try_from(pico).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rate {
    /// Writes dollars for a million units.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / PER_MILLION, self.0 % PER_MILLION);
        let digits = format!("{part:09}");
        match digits.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            digits => write!(f, "{whole}.{digits}"),
        }
    }
}

/// How much there was of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Whole units.
    Units(u64),
    /// Seconds and parts of them.
    Time(Duration),
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Units(count) => count.fmt(f),
            Self::Time(time) => time.as_secs_f64().fmt(f),
        }
    }
}

/// The most percent that may be on top of a price.
pub(super) const MOST_PERCENT: u32 = 1_000;
/// A dollar for a million units, as a rate.
const PER_MILLION: u64 = 1_000_000_000;
const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_to_its_last_digit() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("2.5",           Some("2.5")),     ("0",          Some("0")),    ("15",        Some("15")),
            ("0.000000001",   Some("0.000000001")), ("0.0000000001", None),   ("1e-3",      Some("0.001")),
            ("283.333333333", Some("283.333333333")), ("-1",   None),         ("",          None),
            (".5",            None),            ("1.2.3",      None),         ("NaN",       None),
            ("1e400",         None),            ("99999999999", None),        ("1e-400",    None),
            ("0e-400",        Some("0")),
        ];
        for (text, read) in cases {
            let shown = Rate::per_million(text).map(|rate| rate.to_string());
            assert_eq!(shown.as_deref(), read, "{text}");
        }
    }

    #[test]
    fn what_a_list_tells_of_one_unit_is_the_same_as_of_a_million() {
        for (one, million) in [("2.5e-06", "2.5"), ("1.5E-5", "15"), ("0.000000075", "0.075")] {
            assert_eq!(Rate::per_unit(one), Rate::per_million(million), "{one}");
        }
        // 0.0814285714285714 pico-dollars have no last digit: the sixteenth behind the point is a 1.
        let rounded = Rate::per_unit("8.142857142857142E-8").map(|rate| rate.to_string());
        assert_eq!(rounded.as_deref(), Some("0.081428571"));
    }

    #[test]
    fn percent_come_on_top() {
        let raised = |rate, percent| {
            Rate::per_million(rate).map(|rate| rate.raised(percent).to_string()).unwrap_or_default()
        };
        assert_eq!(raised("2.5", 10), "2.75");
        assert_eq!(raised("0.005", 10), "0.0055");
        assert_eq!(raised("0.000000005", 10), "0.000000006", "a half is rounded up");
        assert_eq!(raised("2.5", 0), "2.5");
        let read = ["1.1", "1", "1.25", "2", "0.9", "1.105", "12", "x"].map(Rate::percent_on_top);
        assert_eq!(read, [Some(10), Some(0), Some(25), Some(100), None, None, None, None]);
    }

    #[test]
    fn parts_of_a_pico_dollar_are_rounded_half_up_once() {
        let cost = |rate, count| Rate::per_unit(rate).map(|rate| rate.times(count).pico());
        assert_eq!(cost("5e-13", Count::Units(1)), Some(1), "a half is rounded up");
        assert_eq!(cost("4.99e-13", Count::Units(1)), Some(0));
        assert_eq!(cost("5e-13", Count::Units(3)), Some(2));
        let time = |millis| Count::Time(Duration::from_millis(millis));
        // $0.0001 a second are 100,000,000 pico-dollars.
        assert_eq!(cost("0.0001", time(3_500)), Some(350_000_000));
        assert_eq!(cost("0.000283333333333", time(1_000)), Some(283_333_333));
        assert_eq!(cost("1000", Count::Units(u64::MAX)), Some(u64::MAX), "it stays at the largest");
    }
}

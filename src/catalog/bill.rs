//! What a request costs, line by line.
//!
//! # What this module owns
//!
//! The arithmetic: usage is cut into kinds that are apart from each other, each kind is a line of so many
//! units at its price, and the sum of the lines is the cost.
//!
//! # What this module does not do
//!
//! It does not choose the prices: [`PriceList`](super::PriceList) does.
//!
//! # Invariants
//!
//! 1. Every token of the usage stands on one line, unless something else than tokens is paid.
//! 2. The lines add up to the cost, to the pico-dollar.
//! 3. What has no price makes the cost unknown, never zero.

use std::fmt;

use super::list::Bought;
use super::prices::Prices;
use super::rate::{Count, Kind, Rate, Tier};
use crate::units::{PicoUsd, Tokens, Usage};

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// So much.
    Known(PicoUsd),
    /// Nobody knows, because this is missing.
    Unknown(Missing),
}

impl Cost {
    /// Returns the amount; `None` where it is unknown.
    pub const fn known(self) -> Option<PicoUsd> {
        match self {
            Self::Known(amount) => Some(amount),
            Self::Unknown(_) => None,
        }
    }
}

/// What is missing to tell a cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The model has no prices.
    Model,
    /// The model has no prices of the service tier that it was served in.
    Tier,
    /// The model has no price of this.
    Rate(Kind),
    /// The provider does not tell how much of this there was.
    Count(Kind),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => f.write_str("no prices of this model"),
            Self::Tier => f.write_str("no prices of this service tier"),
            Self::Rate(kind) => write!(f, "no price of `{}`", kind.label()),
            Self::Count(kind) => write!(f, "no count of `{}`", kind.label()),
        }
    }
}

/// So many units at their price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What they are.
    pub kind: Kind,
    /// How many.
    pub count: Count,
    /// What one costs, where known.
    pub rate: Option<Rate>,
}

impl Line {
    /// Returns what they cost together.
    pub fn cost(&self) -> Cost {
        match self.rate {
            Some(rate) => Cost::Known(rate.times(self.count)),
            None => Cost::Unknown(Missing::Rate(self.kind)),
        }
    }
}

impl fmt::Display for Line {
    /// Writes the product: units, and dollars for a million of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            Some(rate) => write!(f, "{} x {rate}", self.count),
            None => write!(f, "{} x ?", self.count),
        }
    }
}

/// The arithmetic of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// The service tier that was paid.
    pub tier: Tier,
    /// The tokens of input that were exceeded, so that all of it costs more; zero if none.
    pub above: u64,
    /// Percent that are on top of each price, as it was served in one region only; zero if none.
    pub regional_percent: u32,
    /// What was used, kind by kind; none is empty.
    pub lines: Vec<Line>,
    /// What is missing although no line tells.
    missing: Option<Missing>,
}

impl Bill {
    /// Makes the bill of what was bought, in that tier.
    pub(super) fn new(prices: &Prices, bought: &Bought<'_>, tier: Tier) -> Self {
        let usage = bought.usage;
        let above = prices.threshold(usage.input);
        let is_regional = bought.is_regional || bought.served.is_regional;
        let regional_percent = if is_regional { prices.regional_percent() } else { 0 };
        let raised = |rate: Option<Rate>| rate.map(|rate| rate.raised(regional_percent));
        let rate = |kind| raised(prices.rate(kind, tier, above));
        let lines = Vec::with_capacity(4);
        let mut bill = Self { tier, above, regional_percent, lines, missing: None };
        if usage.spoken > 0 && rate(Kind::Character).is_some() {
            bill.units(Kind::Character, usage.spoken, rate);
        } else if usage.images > 0 && usage.output == Tokens::ZERO {
            // Nobody told of tokens, so that images are paid, with all that describes them.
            bill.units(Kind::Image, usage.images, |_| raised(prices.image(bought.form)));
        } else if usage.heard.is_zero() {
            bill.tokens(usage, rate);
            if usage.spoken > 0 && usage.output == Tokens::ZERO {
                bill.missing = Some(Missing::Count(Kind::OutputAudio));
            }
        } else {
            let line = Line {
                kind: Kind::Second,
                count: Count::Time(usage.heard),
                rate: rate(Kind::Second),
            };
            bill.lines.push(line);
        }
        let searches = usage.searches + u64::from(prices.searches_always() && !bill.is_empty());
        bill.units(Kind::Search, searches, rate);
        bill
    }

    /// Returns the sum of the lines.
    pub fn cost(&self) -> Cost {
        let mut sum = PicoUsd::ZERO;
        for line in &self.lines {
            match line.cost() {
                Cost::Known(amount) => sum = sum + amount,
                unknown @ Cost::Unknown(_) => return unknown,
            }
        }
        self.missing.map_or(Cost::Known(sum), Cost::Unknown)
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line for every kind of token that there is: looking for a price is dearer than adding it up.
    fn tokens(&mut self, usage: &Usage, rate: impl Fn(Kind) -> Option<Rate>) {
        for (kind, count) in input_parts(usage) {
            self.units(kind, count.count(), &rate);
        }
        let reasons = usage.reasoning > Tokens::ZERO;
        let has_own = reasons && rate(Kind::Reasoning) != rate(Kind::Output);
        // Models that make images only have no price of other output.
        let makes_images = rate(Kind::Output).is_none() && rate(Kind::OutputImage).is_some();
        let usual = if makes_images { Kind::OutputImage } else { Kind::Output };
        for (kind, count) in output_parts(usage, has_own) {
            let kind = if kind == Kind::Output { usual } else { kind };
            self.units(kind, count.count(), &rate);
        }
    }

    /// Adds a line, or its units to the line of their kind.
    fn units(&mut self, kind: Kind, more: u64, rate: impl Fn(Kind) -> Option<Rate>) {
        if more == 0 {
            return;
        }
        let line = self.lines.iter_mut().find(|line| line.kind == kind);
        match line.map(|line| &mut line.count) {
            Some(Count::Units(count)) => *count = count.saturating_add(more),
            _ => self.lines.push(Line { kind, count: Count::Units(more), rate: rate(kind) }),
        }
    }
}

/// Cuts the input into parts that add up to it.
///
/// What came from the cache counts before what was written there, and that before what is told of sound and
/// images: where these overlap, and nobody tells how much, the rest of the input is less.
fn input_parts(usage: &Usage) -> [(Kind, Tokens); 8] {
    let mut rest = usage.input;
    let mut cut = |part: Tokens| {
        let part = part.min(rest);
        rest = rest.saturating_sub(part);
        part
    };
    let cached = cut(usage.cached);
    let written = cut(usage.cache_write);
    let audio = cut(usage.input_audio.saturating_sub(usage.cached_audio));
    let image = cut(usage.input_image.saturating_sub(usage.cached_image));
    let cached_audio = usage.cached_audio.min(cached);
    let cached_image = usage.cached_image.min(cached.saturating_sub(cached_audio));
    let long = usage.cache_write_long.min(written);
    [
        (Kind::Input, rest),
        (Kind::Cached, cached.saturating_sub(cached_audio + cached_image)),
        (Kind::CacheWrite, written.saturating_sub(long)),
        (Kind::CacheWriteLong, long),
        (Kind::InputAudio, audio),
        (Kind::CachedAudio, cached_audio),
        (Kind::InputImage, image),
        (Kind::CachedImage, cached_image),
    ]
}

/// Cuts the output into parts that add up to it; reasoning is one where it has a price of its own.
fn output_parts(usage: &Usage, reasoning_is_apart: bool) -> [(Kind, Tokens); 4] {
    let mut rest = usage.output;
    let mut cut = |part: Tokens| {
        let part = part.min(rest);
        rest = rest.saturating_sub(part);
        part
    };
    let audio = cut(usage.output_audio);
    let image = cut(usage.output_image);
    let reasoning = cut(if reasoning_is_apart { usage.reasoning } else { Tokens::ZERO });
    [
        (Kind::Output, rest),
        (Kind::Reasoning, reasoning),
        (Kind::OutputAudio, audio),
        (Kind::OutputImage, image),
    ]
}

#[cfg(test)]
mod tests;

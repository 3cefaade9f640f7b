//! What an answer tells of its cost: how much of which kind, and as what it was served.

use std::time::Duration;

use super::{ModelName, TierName, Tokens};

/// What was used of each kind. A part is never more than its whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: Tokens,
    /// The part of `input` that came from the provider's prompt cache.
    pub cached: Tokens,
    /// The part of `cached` that was sound.
    pub cached_audio: Tokens,
    /// The part of `cached` that was images.
    pub cached_image: Tokens,
    /// The part of `input` that was written into the provider's prompt cache.
    pub cache_write: Tokens,
    /// The part of `cache_write` that is to be kept longer than is usual: at Anthropic an hour, not five
    /// minutes, at OpenAI twelve hours, not half an hour.
    pub cache_write_long: Tokens,
    /// The part of `input` that was sound.
    pub input_audio: Tokens,
    /// The part of `input` that was images.
    pub input_image: Tokens,
    /// All output tokens, hidden reasoning included.
    pub output: Tokens,
    /// The part of `output` that was reasoning.
    pub reasoning: Tokens,
    /// The part of `output` that was sound.
    pub output_audio: Tokens,
    /// The part of `output` that was images.
    pub output_image: Tokens,
    /// How much sound was heard, where the answer tells that and no tokens.
    pub heard: Duration,
    /// Characters that were read aloud.
    pub spoken: u64,
    /// Images that were made.
    pub images: u64,
    /// How often the web was searched.
    pub searches: u64,
}

impl Usage {
    /// Nothing was used.
    pub const NONE: Self = Self {
        input: Tokens::ZERO,
        cached: Tokens::ZERO,
        cached_audio: Tokens::ZERO,
        cached_image: Tokens::ZERO,
        cache_write: Tokens::ZERO,
        cache_write_long: Tokens::ZERO,
        input_audio: Tokens::ZERO,
        input_image: Tokens::ZERO,
        output: Tokens::ZERO,
        reasoning: Tokens::ZERO,
        output_audio: Tokens::ZERO,
        output_image: Tokens::ZERO,
        heard: Duration::ZERO,
        spoken: 0,
        images: 0,
        searches: 0,
    };

    /// Tells whether nothing was used.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Returns input and output together.
    pub fn total(&self) -> Tokens {
        self.input + self.output
    }
}

/// As what a request was served, which is what its price goes by. It may be another than was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// The model, as the provider names it; `None` where the answer does not tell.
    pub model: Option<ModelName>,
    /// The service tier, in the provider's word; `None` where the answer does not tell.
    pub tier: Option<TierName>,
    /// Whether the answer says that it was made in one region, which costs more.
    pub is_regional: bool,
}

impl Served {
    /// The longest name that is kept, in bytes.
    const LONGEST: usize = 256;

    /// Notes a member of an answer, or of an event of one: `key` and its text, if that is one. What says nothing
    /// of how the request was served changes nothing, nor does a name of more than 256 bytes.
    pub fn note(&mut self, key: &str, text: Option<&str>) {
        let Some(text) = text.filter(|text| (1..=Self::LONGEST).contains(&text.len())) else {
            return;
        };
        match key {
            "model" if self.model.as_ref().is_none_or(|model| model.as_str() != text) => {
                self.model = Some(text.into());
            }
            // Anthropic's; others than a region's name say that it did not matter
            // (<https://platform.claude.com/docs/en/manage-claude/data-residency>, read 2026-11-22).
            "inference_geo" => self.is_regional = !matches!(text, "global" | "not_available"),
            // What is fast costs more, whatever the tier.
            "speed" if text == "fast" => self.tier = Some(text.into()),
            "service_tier" if self.tier.as_ref().is_some_and(|tier| tier.as_str() == "fast") => {}
            // `auto` tells what was asked for.
            "service_tier" if text != "auto" => self.tier = Some(text.into()),
            _ => {}
        }
    }

    /// Returns what this one tells, and where it does not, what `other` does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let is_regional = self.is_regional || other.is_regional;
        Self { model: self.model.or(other.model), tier: self.tier.or(other.tier), is_regional }
    }
}

/// What a request is settled with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What it used.
    pub usage: Usage,
    /// As what it was served.
    pub served: Served,
}

impl From<Usage> for Receipt {
    /// Makes the receipt of an answer that does not tell as what it was served.
    fn from(usage: Usage) -> Self {
        Self { usage, served: Served::default() }
    }
}

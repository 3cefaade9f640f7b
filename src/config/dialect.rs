//! Names the dialects in which providers speak of limits.

use http::Uri;

use super::raw::RawValue;
use super::section::FromRaw;
use crate::limit::{Charging, Counting, LaneSettings};
use crate::units::{Tokens, Usage};

/// How a provider speaks of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Dialect {
    /// `x-ratelimit-*`: durations as Go writes them.
    #[default]
    OpenAi,
    /// The same names, whole seconds.
    Azure,
    /// `anthropic-ratelimit-*`: input and output apart, resets as dates.
    Anthropic,
    /// OpenAI's names, requests per day and tokens per minute.
    Groq,
    /// Names that end with the window, without resets.
    Mistral,
    /// Limits per second.
    Together,
    /// Names that end with the window, decimal seconds.
    Cerebras,
    /// Requests per minute and per day.
    SambaNova,
    /// Nothing but when to come back, and an error's own words: DeepSeek, Fireworks, Gemini,
    /// Ollama, OpenRouter, vLLM.
    Plain,
}

impl Dialect {
    /// Returns its name, as it may be configured.
    pub(super) fn name(self) -> &'static str {
        // Of several names the last is the general one.
        let known = NAMES.iter().rev().find(|(_, dialect)| *dialect == self);
        known.map_or("plain", |(name, _)| name)
    }

    /// Returns what of `usage` counts against the provider's limits: without the tokens that it read
    /// from its prompt cache where these are free of limits.
    ///
    /// They are at Anthropic (<https://docs.claude.com/en/api/rate-limits>) and at Groq
    /// (<https://console.groq.com/docs/rate-limits>), read 2026-11-22.
    pub fn counted(self, usage: &Usage) -> Usage {
        match self {
            Self::Anthropic | Self::Groq => {
                let input = usage.input.saturating_sub(usage.cached);
                Usage { input, cached: Tokens::ZERO, ..*usage }
            }
            _ => *usage,
        }
    }

    /// Tells whether a provider that speaks so may fail within an answer whose status is 200.
    ///
    /// OpenRouter does (<https://openrouter.ai/docs/api-reference/errors>, read 2026-11-21), of those that tell nothing of
    /// limits by headers.
    pub const fn may_fail_inside(self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Fills in how the provider counts and charges, where nothing is configured and its
    /// documentation says so.
    pub(super) fn fill_in(self, lane: LaneSettings) -> LaneSettings {
        match self {
            // A bucket; output is counted when it is produced, and max_tokens is not
            // (<https://docs.claude.com/en/api/rate-limits>, read 2026-11-21).
            Self::Anthropic => LaneSettings {
                counting: lane.counting.or(Some(Counting::Bucket)),
                charging: lane.charging.or(Some(Charging::Split)),
                ..lane
            },
            _ => lane,
        }
    }
}

/// What a configuration says of the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialectChoice {
    /// As the host suggests.
    Auto,
    /// This one.
    Given(Dialect),
}

impl DialectChoice {
    /// Returns the dialect of the provider at `base_url`.
    pub(super) fn at(self, base_url: &Uri) -> Dialect {
        match self {
            Self::Auto => of_host(base_url.host().unwrap_or_default()),
            Self::Given(dialect) => dialect,
        }
    }
}

/// Returns the dialect that is usual at `host`, OpenAI's where nothing is known.
fn of_host(host: &str) -> Dialect {
    let host = host.to_ascii_lowercase();
    let is_at = |domain: &str| {
        host.strip_suffix(domain).is_some_and(|front| front.is_empty() || front.ends_with('.'))
    };
    let known = HOSTS.iter().find(|(domain, _)| is_at(domain));
    known.map_or(Dialect::OpenAi, |(_, dialect)| *dialect)
}

/// Domains, with everything below them, from the providers' own documentation, read 2026-11-22.
const HOSTS: [(&str, Dialect); 15] = [
    ("openai.azure.com", Dialect::Azure),
    ("cognitiveservices.azure.com", Dialect::Azure),
    ("services.ai.azure.com", Dialect::Azure),
    ("anthropic.com", Dialect::Anthropic),
    ("groq.com", Dialect::Groq),
    ("mistral.ai", Dialect::Mistral),
    ("together.xyz", Dialect::Together),
    ("together.ai", Dialect::Together),
    ("cerebras.ai", Dialect::Cerebras),
    ("sambanova.ai", Dialect::SambaNova),
    ("deepseek.com", Dialect::Plain),
    ("fireworks.ai", Dialect::Plain),
    ("generativelanguage.googleapis.com", Dialect::Plain),
    ("ollama.com", Dialect::Plain),
    ("openrouter.ai", Dialect::Plain),
];

/// What is written for each dialect; those that say nothing by headers have names of their own.
const NAMES: [(&str, Dialect); 15] = [
    ("openai", Dialect::OpenAi),
    ("azure", Dialect::Azure),
    ("anthropic", Dialect::Anthropic),
    ("groq", Dialect::Groq),
    ("mistral", Dialect::Mistral),
    ("together", Dialect::Together),
    ("cerebras", Dialect::Cerebras),
    ("sambanova", Dialect::SambaNova),
    ("deepseek", Dialect::Plain),
    ("fireworks", Dialect::Plain),
    ("gemini", Dialect::Plain),
    ("ollama", Dialect::Plain),
    ("openrouter", Dialect::Plain),
    ("vllm", Dialect::Plain),
    ("plain", Dialect::Plain),
];

impl FromRaw for DialectChoice {
    const RULE: &'static str = "must be \"auto\" or one of \"openai\", \"azure\", \"anthropic\", \
        \"groq\", \"mistral\", \"together\", \"cerebras\", \"sambanova\", \"deepseek\", \
        \"fireworks\", \"gemini\", \"ollama\", \"openrouter\", \"vllm\", \"plain\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let text = value.as_text()?;
        if text == "auto" {
            return Some(Self::Auto);
        }
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, dialect)| Self::Given(*dialect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_tells_the_dialect_where_nothing_is_said() {
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("https://api.openai.com/v1",                         Dialect::OpenAi),
            ("https://eu.api.openai.com/v1",                      Dialect::OpenAi),
            ("https://mine.openai.azure.com/openai/v1",           Dialect::Azure),
            ("https://MINE.OpenAI.Azure.com/openai/v1",           Dialect::Azure),
            ("https://mine.cognitiveservices.azure.com/openai/v1", Dialect::Azure),
            ("https://api.anthropic.com/v1",                      Dialect::Anthropic),
            ("https://api.groq.com/openai/v1",                    Dialect::Groq),
            ("https://api.mistral.ai/v1",                         Dialect::Mistral),
            ("https://api.together.xyz/v1",                       Dialect::Together),
            ("https://api.cerebras.ai/v1",                        Dialect::Cerebras),
            ("https://openrouter.ai/api/v1",                      Dialect::Plain),
            ("https://generativelanguage.googleapis.com/v1beta/openai", Dialect::Plain),
            ("http://127.0.0.1:11434/v1",                         Dialect::OpenAi),
            ("http://localhost:8000/v1",                          Dialect::OpenAi),
            ("https://notgroq.com/v1",                            Dialect::OpenAi),
            ("https://groq.com.example.net/v1",                   Dialect::OpenAi),
        ];
        for (url, dialect) in cases {
            let url: Uri = url.parse().expect("a URL");
            assert_eq!(DialectChoice::Auto.at(&url), dialect, "{url}");
            assert_eq!(DialectChoice::Given(Dialect::Groq).at(&url), Dialect::Groq, "{url}");
        }
    }

    #[test]
    fn tokens_from_the_cache_are_left_out_where_they_are_free() {
        let [input, cached, output] = [100, 60, 7].map(Tokens::new);
        let usage = Usage { input, cached, output, ..Usage::default() };
        assert_eq!(Dialect::OpenAi.counted(&usage), usage);
        let counted = Dialect::Anthropic.counted(&usage);
        assert_eq!((counted.input.count(), counted.output.count()), (40, 7));
    }

    #[test]
    fn what_is_configured_goes_before_what_is_documented() {
        let configured = LaneSettings { charging: Some(Charging::Max), ..LaneSettings::default() };
        let lane = Dialect::Anthropic.fill_in(configured);
        assert_eq!((lane.counting, lane.charging), (Some(Counting::Bucket), Some(Charging::Max)));
        assert_eq!(Dialect::OpenAi.fill_in(LaneSettings::default()), LaneSettings::default());
    }

    #[test]
    fn a_dialect_is_told_by_a_name_that_can_be_configured() {
        for (name, dialect) in NAMES {
            let told = dialect.name();
            assert!(told == name || (told, dialect) == ("plain", Dialect::Plain), "{name} {told}");
        }
    }

    #[test]
    fn every_name_is_in_the_rule_and_none_besides() {
        let told: Vec<&str> = DialectChoice::RULE.split('"').skip(1).step_by(2).collect();
        let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(told.first(), Some(&"auto"));
        assert_eq!(told.get(1..), Some(&known[..]));
    }
}

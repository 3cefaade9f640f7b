//! Whose words the provider speaks.

use clap::ValueEnum;
use serde::Deserialize;

use super::wire::Endpoint;

/// Whose paths, headers, errors and habits are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Dialect {
    /// OpenAI's.
    #[default]
    OpenAi,
    /// Anthropic's: messages of its own, input and output limited apart.
    Anthropic,
}

impl Dialect {
    /// Tells whether there is such an endpoint.
    pub(super) const fn has(self, endpoint: Endpoint) -> bool {
        let is_anthropics = matches!(endpoint, Endpoint::Messages | Endpoint::MessageTokens);
        match self {
            Self::OpenAi => !is_anthropics,
            // What OpenAI's SDK may ask of it
            // (<https://docs.claude.com/en/api/openai-sdk>, read 2026-11-21).
            Self::Anthropic => is_anthropics || matches!(endpoint, Endpoint::Chat),
        }
    }

    /// Returns the models that exist where nobody lists any, so that a mistyped name is answered with 404:
    /// families of the vendors' models pages, read 2026-11.
    pub(super) const fn usual_models(self) -> &'static [&'static str] {
        match self {
            Self::OpenAi => &[
                "gpt-*",
                "chatgpt-*",
                "codex-*",
                "o1*",
                "o3*",
                "o4*",
                "text-embedding-*",
                "davinci-002",
                "babbage-002",
                "ft:*",
            ],
            Self::Anthropic => &["claude-*"],
        }
    }

    /// Returns those of them that are listed, where they exist.
    pub(super) const fn listed_models(self) -> &'static [&'static str] {
        match self {
            Self::OpenAi => &["gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "text-embedding-3-small"],
            Self::Anthropic => &["claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5"],
        }
    }
}

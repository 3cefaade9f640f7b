//! Tells which requests are metered.

use http::Method;

use super::runs::RunPath;
use crate::units::below_base;

/// A metered endpoint; every other path passes through uncounted but for one request.
///
/// Paths and bodies: OpenAI's OpenAPI specification 2.3.0, <https://github.com/openai/openai-openapi>, read
/// 2026-08-21; `decisions` as openai-python 3.54.0 sends it, read 2026-11-22.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/responses/compact`.
    Compaction,
    /// `POST /v1/responses/input_tokens`, which counts a prompt.
    InputTokens,
    /// `POST /v1/decisions`.
    Decisions,
    /// `POST /v1/threads/runs` and `POST /v1/threads/{thread_id}/runs`.
    Runs,
    /// `POST /v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs`, with which a run goes on.
    RunOutputs,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/moderations`.
    Moderations,
    /// `POST /v1/images/generations`.
    ImageGenerations,
    /// `POST /v1/images/edits`.
    ImageEdits,
    /// `POST /v1/images/variations`.
    ImageVariations,
    /// `POST /v1/audio/speech`.
    Speech,
    /// `POST /v1/audio/transcriptions`.
    Transcriptions,
    /// `POST /v1/audio/translations`.
    Translations,
    /// `POST /v1/videos`.
    Videos,
    /// `POST /v1/messages`, Anthropic's (<https://docs.claude.com/en/api/messages>, read 2026-11-21).
    Messages,
    /// `POST /v1/messages/count_tokens`, which counts a prompt and has limits of its own
    /// (<https://docs.claude.com/en/api/rate-limits>, read 2026-11-21).
    MessageTokens,
}

/// What an endpoint makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Tokens of text.
    Text,
    /// Images, whose tokens no formula tells.
    Images,
    /// Sound, whose tokens no formula tells.
    Sound,
    /// Figures about its input, which are no tokens.
    Figures,
    /// Something that is not paid in tokens at all, input included.
    NoTokens,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Self; 19] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Responses,
        Self::Compaction,
        Self::InputTokens,
        Self::Decisions,
        Self::Runs,
        Self::RunOutputs,
        Self::Embeddings,
        Self::Moderations,
        Self::ImageGenerations,
        Self::ImageEdits,
        Self::ImageVariations,
        Self::Speech,
        Self::Transcriptions,
        Self::Translations,
        Self::Videos,
        Self::Messages,
        Self::MessageTokens,
    ];

    /// Returns the endpoint that `method` and `path` (without its query) ask for, in whatever way that is
    /// written (see [`below_base`]).
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        if method != Method::POST {
            return None;
        }
        let path = below_base(path);
        let known = Self::ALL.into_iter().find(|endpoint| endpoint.path() == path);
        known.or_else(|| match RunPath::of(path)? {
            RunPath { run: None, .. } => Some(Self::Runs),
            RunPath { part: Some("submit_tool_outputs"), .. } => Some(Self::RunOutputs),
            RunPath { .. } => None,
        })
    }

    /// Returns its path below the provider's base URL, fit to name it in logs and metrics; a run's without the
    /// thread.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Responses => "/responses",
            Self::Compaction => "/responses/compact",
            Self::InputTokens => "/responses/input_tokens",
            Self::Decisions => "/decisions",
            Self::Runs => "/threads/runs",
            Self::RunOutputs => "/threads/{thread_id}/runs/{run_id}/submit_tool_outputs",
            Self::Embeddings => "/embeddings",
            Self::Moderations => "/moderations",
            Self::ImageGenerations => "/images/generations",
            Self::ImageEdits => "/images/edits",
            Self::ImageVariations => "/images/variations",
            Self::Speech => "/audio/speech",
            Self::Transcriptions => "/audio/transcriptions",
            Self::Translations => "/audio/translations",
            Self::Videos => "/videos",
            Self::Messages => "/messages",
            Self::MessageTokens => "/messages/count_tokens",
        }
    }

    /// Returns what it makes.
    pub const fn product(self) -> Product {
        match self {
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::Compaction
            | Self::Decisions
            | Self::Runs
            | Self::RunOutputs
            | Self::Messages
            | Self::Transcriptions
            | Self::Translations => Product::Text,
            Self::ImageGenerations | Self::ImageEdits => Product::Images,
            Self::Speech => Product::Sound,
            Self::Embeddings | Self::Moderations => Product::Figures,
            // Counting a prompt costs a request and no tokens; DALL-E, which alone makes variations, and
            // Sora know none.
            Self::InputTokens | Self::ImageVariations | Self::Videos | Self::MessageTokens => {
                Product::NoTokens
            }
        }
    }

    /// Returns the model of a request that names none; `None` where it must.
    ///
    /// An empty name stands for one that the provider chooses and does not document.
    pub(super) const fn usual_model(self) -> Option<&'static str> {
        match self {
            Self::Moderations => Some("omni-moderation-latest"),
            Self::Videos => Some("sora-2"),
            // A run's may be its assistant's.
            Self::InputTokens
            | Self::Runs
            | Self::RunOutputs
            | Self::ImageGenerations
            | Self::ImageEdits => Some(""),
            Self::ImageVariations => Some("dall-e-2"),
            _ => None,
        }
    }

    /// Tells whether its prompt is made of items, instructions and tools, as that of a response.
    pub(super) const fn takes_items(self) -> bool {
        matches!(self, Self::Responses | Self::Compaction | Self::InputTokens | Self::Decisions)
    }

    /// Tells whether it speaks Anthropic's words: its errors have a shape of their own.
    pub const fn is_anthropics(self) -> bool {
        matches!(self, Self::Messages | Self::MessageTokens)
    }

    /// Tells whether a request leaves nothing at the provider that a second one would double.
    pub const fn leaves_nothing(self) -> bool {
        !matches!(self, Self::Responses | Self::Videos) && !self.is_of_thread()
    }

    /// Tells whether it is for a run of a thread, which lies at the provider.
    pub const fn is_of_thread(self) -> bool {
        matches!(self, Self::Runs | Self::RunOutputs)
    }

    /// Tells whether its answers are kept by the provider for others to go on with.
    pub const fn is_gone_on_with(self) -> bool {
        matches!(self, Self::Responses) || self.is_of_thread()
    }

    /// Tells whether its prompt is framed as messages, and may be in a cache.
    pub const fn is_conversation(self) -> bool {
        let has_messages = matches!(self, Self::ChatCompletions | Self::Messages);
        self.takes_items() || self.is_of_thread() || has_messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_with_and_without_its_version() {
        for endpoint in Endpoint::ALL {
            assert_eq!(Endpoint::of(&Method::POST, endpoint.path()), Some(endpoint));
            let versioned = format!("/v1{}", endpoint.path());
            assert_eq!(Endpoint::of(&Method::POST, &versioned), Some(endpoint));
        }
    }

    #[test]
    fn a_run_is_known_by_its_thread() {
        let of = |path| Endpoint::of(&Method::POST, path);
        assert_eq!(of("/v1/threads/thread_1/runs"), Some(Endpoint::Runs));
        assert_eq!(of("/threads/runs"), Some(Endpoint::Runs));
        let outputs = "/v1/threads/thread_1/runs/run_1/submit_tool_outputs";
        assert_eq!(of(outputs), Some(Endpoint::RunOutputs));
    }

    #[test]
    fn what_generates_nothing_is_not_metered() {
        assert_eq!(Endpoint::of(&Method::GET, "/v1/responses"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1/responses/resp_1/cancel"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1/threads"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1/threads/thread_1/messages"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1/threads/thread_1/runs/run_1"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1/threads/thread_1/runs/run_1/cancel"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1/v1/completions"), None);
        assert_eq!(Endpoint::of(&Method::POST, "/v1x/completions"), None);
    }
}

//! What each vendor does that OpenAI does not.

use serde_json::Value;

use super::dialect::Dialect;
use super::wire::{Ask, UsageAt, WireError};

/// What is sent while one waits for the first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noise {
    /// In streams.
    pub in_streams: &'static str,
    /// Before whole answers, whose status is then 200 whatever comes.
    pub before_wholes: Option<&'static str>,
}

impl Dialect {
    /// Returns what is sent while one waits
    /// (<https://api-docs.deepseek.com/quick_start/rate_limit>, <https://openrouter.ai/docs/api-reference/streaming>; read
    /// 2026-11-21).
    pub(super) const fn noise(self) -> Option<Noise> {
        match self {
            Self::DeepSeek => {
                Some(Noise { in_streams: ": keep-alive\n\n", before_wholes: Some("\n") })
            }
            Self::OpenRouter => {
                Some(Noise { in_streams: ": OPENROUTER PROCESSING\n\n", before_wholes: None })
            }
            _ => None,
        }
    }

    /// Tells whether a failure while an answer is made comes in the body of an answer with status 200
    /// (<https://openrouter.ai/docs/api-reference/errors>, read 2026-11-21).
    pub(super) const fn fails_inside(self) -> bool {
        matches!(self, Self::OpenRouter)
    }

    /// Checks that `ask` has nothing that is not known there.
    ///
    /// # Errors
    ///
    /// A 422 where it has `stream_options`, which Mistral does not know
    /// (<https://github.com/dnakov/anon-kode/issues/53>, read 2026-11-22).
    pub(super) fn accepts(self, ask: &Ask) -> Result<(), WireError> {
        match (self, ask.body.get("stream_options")) {
            (Self::Mistral, Some(_)) => {
                let message = "Extra inputs are not permitted";
                Err(WireError::bad_request(message, Some("stream_options")))
            }
            _ => Ok(()),
        }
    }

    /// Returns as what of a message it tells what was thought for `ask`, where it does
    /// (<https://api-docs.deepseek.com/guides/reasoning_model>,
    /// <https://openrouter.ai/docs/use-cases/reasoning-tokens>; read 2026-11-22).
    pub(super) fn thinks_as(self, ask: &Ask) -> Option<&'static str> {
        match self {
            Self::DeepSeek if ask.model.contains("reasoner") => Some("reasoning_content"),
            Self::OpenRouter if ask.body.get("reasoning").is_some_and(Value::is_object) => {
                Some("reasoning")
            }
            _ => None,
        }
    }

    /// Returns where a stream that asks for its usage as `ask` does tells it.
    ///
    /// Mistral and Together tell it with the last piece, asked or not (the issue above, and
    /// <https://docs.together.ai/docs/chat-overview>); OpenRouter behind it, asked or not
    /// (<https://openrouter.ai/docs/use-cases/usage-accounting>); Google with every piece
    /// (<https://github.com/ogx-ai/ogx/issues/5122>), vLLM so where `continuous_usage_stats` asks for it
    /// (<https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>); read 2026-11-22.
    pub(super) fn usage_at(self, ask: &Ask) -> UsageAt {
        let option = |name| ask.body.get("stream_options").and_then(|options| options.get(name));
        let is_continuous = option("continuous_usage_stats") == Some(&Value::Bool(true));
        match (self, ask.usage_at) {
            (Self::Mistral | Self::Together, _) => UsageAt::Last,
            (Self::OpenRouter, _) => UsageAt::Apart,
            (Self::Gemini, UsageAt::Apart) => UsageAt::Each,
            (Self::Vllm, UsageAt::Apart) if is_continuous => UsageAt::Each,
            (_, asked) => asked,
        }
    }
}

//! Errors in the words of each dialect: status, body, and when to come back.
//!
//! Where no words of a vendor were found in public, OpenAI's stand.

mod compatible;
mod google;
mod others;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::simulate::dialect::Dialect;
use crate::simulate::engine::Metric;

use super::anthropic;
use super::error::WireError;
use super::headers::{add, whole_millis_up};

/// An error as it goes to the client.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::simulate) struct Told {
    pub status: StatusCode,
    pub body: Value,
}

impl WireError {
    /// Puts it into the words of `dialect`; `id` is that of the request.
    pub(in crate::simulate) fn told(&self, dialect: Dialect, id: &str) -> Told {
        let own = match dialect {
            Dialect::Anthropic => Some(anthropic::told(self, id)),
            Dialect::Azure => compatible::azure(self),
            Dialect::Groq => compatible::groq(self),
            Dialect::Together => compatible::together(self),
            Dialect::DeepSeek => compatible::deepseek(self),
            Dialect::Gemini => Some(google::told(self)),
            Dialect::Mistral => others::mistral(self),
            Dialect::Cerebras => others::cerebras(self),
            Dialect::Fireworks => others::fireworks(self),
            Dialect::OpenRouter => Some(others::openrouter(self)),
            Dialect::Vllm => Some(others::vllm(self)),
            Dialect::Ollama => Some(others::ollama(self)),
            Dialect::OpenAi | Dialect::SambaNova => None,
        };
        own.unwrap_or_else(|| Told { status: self.status, body: self.envelope() })
    }

    /// Adds when to come back, if that is known and told: `retry-after` in whole seconds, rounded up, and
    /// OpenAI's finer one.
    pub(in crate::simulate) fn add_retry_after(&self, dialect: Dialect, headers: &mut HeaderMap) {
        let Some(millis) = self.wait.map(whole_millis_up) else { return };
        let (in_seconds, in_millis) = match dialect {
            Dialect::OpenAi | Dialect::Azure => (true, true),
            Dialect::Anthropic | Dialect::Groq | Dialect::OpenRouter => (true, false),
            _ => (false, false),
        };
        if in_seconds {
            add(headers, "retry-after", &millis.div_ceil(1000).max(1).to_string());
        }
        if in_millis {
            add(headers, "retry-after-ms", &millis.to_string());
        }
    }

    /// Returns OpenAI's body.
    pub(in crate::simulate) fn envelope(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }

    /// Returns for how many whole seconds one has to wait, rounded up.
    fn seconds(&self) -> u128 {
        self.wait.map_or(1, |wait| whole_millis_up(wait).div_ceil(1000).max(1))
    }
}

/// Writes 30000 as `30,000`.
pub(super) fn in_thousands(number: u64) -> String {
    let digits = number.to_string();
    let places = digits.len();
    let mut text = String::with_capacity(places + places / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (places - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the words for what a limit counts.
pub(super) fn plain_words(metric: Metric) -> &'static str {
    match metric {
        Metric::RequestsPerMinute | Metric::RequestsPerSlice => "requests per minute",
        Metric::RequestsPerDay => "requests per day",
        Metric::TokensPerMinute | Metric::TokensPerSlice => "tokens per minute",
        Metric::TokensPerDay => "tokens per day",
        Metric::InputPerMinute => "input tokens per minute",
        Metric::OutputPerMinute => "output tokens per minute",
    }
}

#[cfg(test)]
mod tests;

//! Errors in the words of each dialect: status, body, and when to come back.

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
        match dialect {
            Dialect::OpenAi => Told { status: self.status, body: self.envelope() },
            Dialect::Anthropic => anthropic::told(self, id),
        }
    }

    /// Adds when to come back, if that is known: `retry-after` in whole seconds, rounded up, and
    /// OpenAI's finer one.
    pub(in crate::simulate) fn add_retry_after(&self, dialect: Dialect, headers: &mut HeaderMap) {
        let Some(millis) = self.wait.map(whole_millis_up) else { return };
        add(headers, "retry-after", &millis.div_ceil(1000).max(1).to_string());
        if dialect == Dialect::OpenAi {
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
mod tests {
    use std::time::Duration;

    use crate::simulate::engine::{Refusal, Refused429};

    use super::*;

    fn refused(metric: Metric) -> Refused429 {
        let shown = Vec::new();
        Refused429 { organisation: "org-sim".into(), metric, limit: 30_000, requested: 500, shown }
    }

    #[test]
    fn anthropic_says_the_same_of_what_is_over_the_limit_now_and_of_what_always_will_be() {
        let wait = Duration::from_millis(1_200);
        let error = |refusal| WireError::refusal(refusal, "sk-sim-1", "claude-sonnet-4-6");
        let lane = || refused(Metric::InputPerMinute);
        for refusal in [
            Refusal::RateLimited { lane: lane(), used: 29_900, wait },
            Refusal::TooLarge { lane: lane() },
        ] {
            let Told { status, body } = error(refusal).told(Dialect::Anthropic, "req_1");
            assert_eq!((status, &body["type"]), (StatusCode::TOO_MANY_REQUESTS, &json!("error")));
            assert_eq!(body["error"]["type"], "rate_limit_error");
            assert_eq!((body["error"].get("code"), &body["request_id"]), (None, &json!("req_1")));
            let words = body["error"]["message"].as_str().expect("words");
            assert!(words.contains("rate limit of 30,000 input tokens per minute"), "{words}");
        }
        let lane = refused(Metric::RequestsPerMinute);
        let mut headers = HeaderMap::new();
        let error = error(Refusal::RateLimited { lane, used: 1, wait });
        error.add_retry_after(Dialect::Anthropic, &mut headers);
        assert_eq!(headers.len(), 1, "{headers:?}");
        assert_eq!(headers["retry-after"], "2");
    }
}

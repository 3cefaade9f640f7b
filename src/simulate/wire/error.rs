//! Errors in OpenAI's shape.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::simulate::config::RateHeaders;
use crate::simulate::engine::{Metric, Refusal, Refused429, Shown, header_of};

use super::headers::{add, are_apart, go_duration, whole_millis_up};

/// An error as it is told to the client.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct WireError {
    pub status: StatusCode,
    pub message: String,
    pub kind: &'static str,
    pub param: Option<&'static str>,
    pub code: Option<&'static str>,
    /// Whose words it is in.
    pub voice: Voice,
    /// The quotas to show in the headers.
    pub shown: Vec<Shown>,
    /// When to try again.
    pub wait: Option<Duration>,
}

/// The shape of an error body, and of the time to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) enum Voice {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's: no code and no arithmetic, whole seconds.
    Anthropic,
}

impl WireError {
    /// Creates a 400 `invalid_request_error`.
    pub(in crate::simulate) fn bad_request(
        message: impl Into<String>,
        param: Option<&'static str>,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", None, message.into(), param)
    }

    /// Creates the 400 of a prompt that does not fit the model.
    pub(in crate::simulate) fn too_long(message: String) -> Self {
        let code = Some("context_length_exceeded");
        let status = StatusCode::BAD_REQUEST;
        Self::new(status, "invalid_request_error", code, message, Some("messages"))
    }

    /// Creates the 404 of a path or object that does not exist.
    pub(in crate::simulate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", None, message.into(), None)
    }

    /// Creates the 400 of a response that goes on with one that does not exist.
    pub(in crate::simulate) fn no_response(id: &str) -> Self {
        let message = format!("Previous response with id '{id}' not found.");
        Self {
            code: Some("previous_response_not_found"),
            ..Self::bad_request(message, Some("previous_response_id"))
        }
    }

    /// Creates an injected server error; `overloaded` makes it a 503.
    pub(in crate::simulate) fn server_error(overloaded: bool) -> Self {
        if overloaded {
            let message = "The server is overloaded or not ready yet.".to_owned();
            let code = Some("server_is_overloaded");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Self::new(status, "service_unavailable_error", code, message, None);
        }
        let message =
            "The server had an error while processing your request. Sorry about that!".to_owned();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", None, message, None)
    }

    /// Puts a refusal of the engine into OpenAI's words, or into those of whose `headers` are shown
    /// with it.
    pub(in crate::simulate) fn refusal(
        refusal: Refusal,
        key: &str,
        model: &str,
        headers: RateHeaders,
    ) -> Self {
        let is_anthropics =
            |lane: &Refused429| headers == RateHeaders::Shown && are_apart(&lane.shown);
        let status = StatusCode::TOO_MANY_REQUESTS;
        match refusal {
            Refusal::InvalidKey => Self::invalid_key(key),
            Refusal::OutOfQuota { .. } => {
                let message = "You exceeded your current quota, please check your plan and billing \
                     details. For more information on this error, read the docs: \
                     https://platform.openai.com/docs/guides/error-codes/api-errors.";
                let kind = "insufficient_quota";
                Self::new(status, kind, Some(kind), message.to_owned(), None)
            }
            Refusal::NoModel => Self::no_model(model),
            Refusal::RateLimited { lane, wait, .. } if is_anthropics(&lane) => {
                beyond_a_limit(lane, Some(wait), model)
            }
            Refusal::TooLarge { lane } if is_anthropics(&lane) => beyond_a_limit(lane, None, model),
            Refusal::RateLimited { lane, used, wait } => rate_limited(lane, used, wait, model),
            Refusal::TooLarge { lane } => {
                let message = format!(
                    "Request too large for {model} in organization {} on {}: Limit {}, Requested \
                     {}. The input or output tokens must be reduced in order to run successfully. \
                     Visit https://platform.openai.com/account/rate-limits to learn more.",
                    lane.organisation,
                    words(lane.metric),
                    lane.limit,
                    lane.requested
                );
                limit_error(lane.metric, message, lane.shown, None)
            }
            Refusal::Concurrency { organisation, limit, shown } => {
                let message = format!(
                    "Rate limit reached for {model} in organization {organisation} on concurrent \
                     requests: Limit {limit}, Used {limit}, Requested 1."
                );
                limit_error(Metric::RequestsPerMinute, message, shown, None)
            }
        }
    }

    /// Creates the 404 of a model that does not exist.
    pub(in crate::simulate) fn no_model(model: &str) -> Self {
        let message =
            format!("The model `{model}` does not exist or you do not have access to it.");
        let code = Some("model_not_found");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", code, message, None)
    }

    /// Returns the body.
    pub(in crate::simulate) fn body(&self) -> Value {
        if self.voice == Voice::Anthropic {
            let error = json!({"type": self.kind, "message": self.message});
            return json!({"type": "error", "error": error});
        }
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }

    /// Adds when to come back, if that is known: `retry-after` in whole seconds, rounded up, and
    /// OpenAI's finer one.
    pub(in crate::simulate) fn add_retry_after(&self, headers: &mut HeaderMap) {
        let Some(millis) = self.wait.map(whole_millis_up) else { return };
        add(headers, "retry-after", &millis.div_ceil(1000).max(1).to_string());
        if self.voice == Voice::OpenAi {
            add(headers, "retry-after-ms", &millis.to_string());
        }
    }

    fn invalid_key(key: &str) -> Self {
        let start: String = key.chars().take(3).collect();
        let end: Vec<char> = key.chars().rev().take(4).collect();
        let end: String = end.into_iter().rev().collect();
        let shown =
            if key.chars().count() > 10 { format!("{start}****{end}") } else { "***".into() };
        let message = if key.is_empty() {
            "You didn't provide an API key. You need to provide your API key in an Authorization \
             header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
                .to_owned()
        } else {
            format!(
                "Incorrect API key provided: {shown}. You can find your API key at \
                 https://platform.openai.com/account/api-keys."
            )
        };
        let code = if key.is_empty() { None } else { Some("invalid_api_key") };
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", code, message, None)
    }

    fn new(
        status: StatusCode,
        kind: &'static str,
        code: Option<&'static str>,
        message: String,
        param: Option<&'static str>,
    ) -> Self {
        let voice = Voice::OpenAi;
        Self { status, message, kind, param, code, voice, shown: Vec::new(), wait: None }
    }
}

fn rate_limited(lane: Refused429, used: u64, wait: Duration, model: &str) -> WireError {
    let rounded = Duration::from_millis(u64::try_from(whole_millis_up(wait)).unwrap_or(u64::MAX));
    let message = format!(
        "Rate limit reached for {model} in organization {} on {}: Limit {}, Used {used}, Requested \
         {}. Please try again in {}. Visit https://platform.openai.com/account/rate-limits to \
         learn more.",
        lane.organisation,
        words(lane.metric),
        lane.limit,
        lane.requested,
        go_duration(rounded)
    );
    limit_error(lane.metric, message, lane.shown, Some(wait))
}

/// Anthropic says the same of what is over the limit now and of what always will be
/// (<https://github.com/anthropics/claude-code/issues/55132>, 2026-04-30, and
/// <https://docs.claude.com/en/api/errors>; read 2026-11-22).
fn beyond_a_limit(lane: Refused429, wait: Option<Duration>, model: &str) -> WireError {
    let message = format!(
        "This request would exceed your organization's rate limit of {} {} (org: {}, model: \
         {model}). For details, refer to: https://docs.claude.com/en/api/rate-limits. You can see \
         the response headers for current usage. Please reduce the prompt length or the maximum \
         tokens requested, or try again later.",
        in_thousands(lane.limit),
        plain_words(lane.metric),
        lane.organisation,
    );
    let status = StatusCode::TOO_MANY_REQUESTS;
    let error = WireError::new(status, "rate_limit_error", None, message, None);
    WireError { voice: Voice::Anthropic, shown: lane.shown, wait, ..error }
}

/// Writes 30000 as `30,000`.
fn in_thousands(number: u64) -> String {
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

fn plain_words(metric: Metric) -> &'static str {
    match metric {
        Metric::RequestsPerMinute | Metric::RequestsPerSlice => "requests per minute",
        Metric::RequestsPerDay => "requests per day",
        Metric::TokensPerMinute | Metric::TokensPerSlice => "tokens per minute",
        Metric::TokensPerDay => "tokens per day",
        Metric::InputPerMinute => "input tokens per minute",
        Metric::OutputPerMinute => "output tokens per minute",
    }
}

fn limit_error(
    metric: Metric,
    message: String,
    shown: Vec<Shown>,
    wait: Option<Duration>,
) -> WireError {
    let kind = if header_of(metric) == "requests" { "requests" } else { "tokens" };
    let status = StatusCode::TOO_MANY_REQUESTS;
    let error = WireError::new(status, kind, Some("rate_limit_exceeded"), message, None);
    WireError { shown, wait, ..error }
}

fn words(metric: Metric) -> &'static str {
    match metric {
        Metric::RequestsPerMinute | Metric::RequestsPerSlice => "requests per min (RPM)",
        Metric::RequestsPerDay => "requests per day (RPD)",
        Metric::TokensPerMinute | Metric::TokensPerSlice => "tokens per min (TPM)",
        Metric::TokensPerDay => "tokens per day (TPD)",
        Metric::InputPerMinute => "input tokens per min (ITPM)",
        Metric::OutputPerMinute => "output tokens per min (OTPM)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_input_and_output_are_limited_apart_a_refusal_is_in_anthropics_words() {
        let lane = |metric| Refused429 {
            organisation: "org-sim".into(),
            metric,
            limit: 30_000,
            requested: 500,
            shown: vec![Shown {
                metric: Metric::OutputPerMinute,
                limit: 8_000,
                remaining: 8_000,
                reset: Duration::ZERO,
                full_at: Duration::ZERO,
            }],
        };
        let wait = Duration::from_millis(1_200);
        let told = |refusal| {
            WireError::refusal(refusal, "sk-sim-1", "claude-sonnet-4-6", RateHeaders::Shown)
        };
        let refusals = [
            Refusal::RateLimited { lane: lane(Metric::InputPerMinute), used: 29_900, wait },
            Refusal::TooLarge { lane: lane(Metric::InputPerMinute) },
        ];
        for refusal in refusals {
            let body = told(refusal).body();
            assert_eq!(body["type"], "error");
            assert_eq!(body["error"]["type"], "rate_limit_error");
            assert_eq!(body["error"].get("code"), None);
            let words = body["error"]["message"].as_str().expect("words");
            assert!(words.contains("rate limit of 30,000 input tokens per minute"), "{words}");
        }
        let lane = lane(Metric::RequestsPerMinute);
        let mut headers = HeaderMap::new();
        told(Refusal::RateLimited { lane, used: 1, wait }).add_retry_after(&mut headers);
        assert_eq!(headers.len(), 1, "{headers:?}");
        assert_eq!(headers["retry-after"], "2");
    }
}

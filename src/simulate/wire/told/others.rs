//! Errors of those who have an envelope of their own, or none.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Told, plain_words};
use crate::simulate::wire::error::{Cause, WireError};

/// Captures: of limits and capacity <https://github.com/continuedev/continue/issues/6185>, of fields that are not known
/// <https://github.com/dnakov/anon-kode/issues/53>; read 2026-11-22.
pub(super) fn mistral(error: &WireError) -> Option<Told> {
    let (status, kind, code, message) = match &*error.cause {
        Cause::Limit(_) | Cause::Large(_) | Cause::Slots => {
            let message: Value = "Rate limit exceeded".into();
            (error.status, "rate_limited", json!("1300"), message)
        }
        Cause::Overload => {
            let message = "Service tier capacity exceeded for this model.".into();
            (StatusCode::TOO_MANY_REQUESTS, "invalid_request_error", Value::Null, message)
        }
        Cause::Request if error.param == Some("stream_options") => {
            let place = json!(["body", "stream_options", "include_usage"]);
            let detail = json!({
                "type": "extra_forbidden",
                "loc": place,
                "msg": "Extra inputs are not permitted",
                "input": true,
            });
            let message = json!({"detail": [detail]});
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            (status, "invalid_request_error", Value::Null, message)
        }
        _ => return None,
    };
    let body = json!({
        "object": "error",
        "message": message,
        "type": kind,
        "param": null,
        "code": code,
    });
    Some(Told { status, body })
}

/// Captures: <https://github.com/anomalyco/opencode/issues/7463>,
/// <https://github.com/continuedev/continue/issues/9800>; codes are those of
/// <https://inference-docs.cerebras.ai/support/error>; read 2026-11-22.
pub(super) fn cerebras(error: &WireError) -> Option<Told> {
    let (kind, code, message) = match &*error.cause {
        Cause::Limit(limit) | Cause::Large(limit) => {
            let mut words = plain_words(limit.metric).to_owned();
            if let Some(first) = words.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            let (code, much) = match limit.metric.counts_requests() {
                true => ("request_quota_exceeded", "requests sent"),
                false => ("token_quota_exceeded", "tokens processed"),
            };
            let message = format!("{words} limit exceeded - too many {much}.");
            ("too_many_requests_error", code, message)
        }
        Cause::Overload => {
            let message = "We're experiencing high traffic right now! Please try again soon.";
            ("too_many_requests_error", "queue_exceeded", message.to_owned())
        }
        _ => return None,
    };
    let body = json!({"message": message, "type": kind, "param": "quota", "code": code});
    Some(Told { status: StatusCode::TOO_MANY_REQUESTS, body })
}

/// A capture: <https://github.com/GordeyZuev/LEAP/issues/6>, read 2026-11-22.
pub(super) fn fireworks(error: &WireError) -> Option<Told> {
    let (Cause::Limit(_) | Cause::Large(_) | Cause::Slots) = &*error.cause else { return None };
    let message = "You have exceeded your usage limits. Please try again later or contact Fireworks to \
                   explore dedicated capacity.";
    let body = json!({"error": "Too Many Requests", "message": message});
    Some(Told { status: error.status, body })
}

/// The code is the status (<https://openrouter.ai/docs/api-reference/errors>, read 2026-11-21).
pub(super) fn openrouter(error: &WireError) -> Told {
    let (status, message) = match &*error.cause {
        Cause::Limit(limit) | Cause::Large(limit) => {
            let span = if plain_words(limit.metric).ends_with("day") { "day" } else { "min" };
            (error.status, format!("Rate limit exceeded: free-models-per-{span}. "))
        }
        Cause::Key => (error.status, "User not found.".to_owned()),
        Cause::Money => {
            let message = "Insufficient credits. Add more using https://openrouter.ai/credits";
            (StatusCode::PAYMENT_REQUIRED, message.to_owned())
        }
        Cause::Model(model) => {
            (StatusCode::BAD_REQUEST, format!("{model} is not a valid model ID"))
        }
        Cause::Failure => (StatusCode::BAD_GATEWAY, "Provider returned error".to_owned()),
        Cause::Overload => {
            let message =
                "There is no available model provider that meets your routing requirements";
            (error.status, message.to_owned())
        }
        Cause::Request | Cause::Slots => (error.status, error.message.clone()),
    };
    let body = json!({"error": {"message": message, "code": status.as_u16()}});
    Told { status, body }
}

/// The shape of its errors: <https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/protocol.py>, read
/// 2026-11-22; what is too much is refused by what stands before it.
pub(super) fn vllm(error: &WireError) -> Told {
    let (kind, message) = match &*error.cause {
        Cause::Key => {
            return Told { status: error.status, body: json!({"error": "Unauthorized"}) };
        }
        Cause::Model(model) => ("NotFoundError", format!("The model `{model}` does not exist.")),
        Cause::Request => ("BadRequestError", error.message.clone()),
        Cause::Failure => ("InternalServerError", error.message.clone()),
        Cause::Slots => ("Too Many Requests", "Too many requests are under way.".to_owned()),
        _ => (error.status.canonical_reason().unwrap_or_default(), error.message.clone()),
    };
    let body = json!({
        "object": "error",
        "message": message,
        "type": kind,
        "param": null,
        "code": error.status.as_u16(),
    });
    Told { status: error.status, body }
}

/// Captures of a full line: <https://github.com/ollama/ollama/issues/4159>; of a model: its own source,
/// <https://github.com/ollama/ollama/blob/main/server/routes.go>; read 2026-11-22.
pub(super) fn ollama(error: &WireError) -> Told {
    let (status, message) = match &*error.cause {
        Cause::Slots => {
            let message = "server busy, please try again.  maximum pending requests exceeded";
            (StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
        }
        Cause::Model(model) => {
            (error.status, format!("model \"{model}\" not found, try pulling it first"))
        }
        _ => (error.status, error.message.clone()),
    };
    let error = json!({"message": message, "type": "api_error", "param": null, "code": null});
    Told { status, body: json!({"error": error}) }
}

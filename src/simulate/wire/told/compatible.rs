//! Errors of those who keep OpenAI's envelope and have words of their own.

use http::StatusCode;
use serde_json::{Value, json};

use super::Told;
use crate::simulate::wire::error::{Cause, Limited, WireError, words};

/// Captures: of limits <https://github.com/vanderschaarlab/climb/issues/1>, of keys
/// <https://github.com/SciSharp/BotSharp/issues/386>, of deployments
/// <https://github.com/gethouston/houston/pull/1438>; read 2026-11-22. What is larger than the whole limit is told to
/// come back after a day.
pub(super) fn azure(error: &WireError) -> Option<Told> {
    let (status, code, message) = match &*error.cause {
        Cause::Limit(limit) => (error.status, "429", azures_limit(limit, error.seconds())),
        Cause::Large(limit) => (error.status, "429", azures_limit(limit, 86_400)),
        Cause::Key => (error.status, "401", AZURES_KEY.to_owned()),
        Cause::Model(_) => (error.status, "DeploymentNotFound", AZURES_MODEL.to_owned()),
        Cause::Overload => (StatusCode::TOO_MANY_REQUESTS, "429", AZURES_LOAD.to_owned()),
        Cause::Request | Cause::Money | Cause::Slots | Cause::Failure => return None,
    };
    Some(Told { status, body: json!({"error": {"code": code, "message": message}}) })
}

fn azures_limit(limit: &Limited, seconds: u128) -> String {
    let what = if limit.metric.counts_requests() { "call" } else { "token" };
    format!(
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have \
         exceeded {what} rate limit of your current OpenAI S0 pricing tier. Please retry after {seconds} \
         seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase \
         the default rate limit."
    )
}

const AZURES_KEY: &str = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to \
                          provide a valid key for an active subscription and use a correct regional API \
                          endpoint for your resource.";
const AZURES_MODEL: &str = "The API deployment for this resource does not exist. If you created the \
                            deployment within the last 5 minutes, please wait a moment and try again.";
const AZURES_LOAD: &str =
    "The service is temporarily unable to process your request. Please try again later.";

/// Captures: of limits <https://github.com/ago19800/HomeMind/issues/29>, of keys
/// <https://github.com/ag5826000/resume-commentor/issues/4>; read 2026-11-22. What is larger than the whole limit has a
/// status of its own.
pub(super) fn groq(error: &WireError) -> Option<Told> {
    let (status, kind, code, message) = match &*error.cause {
        Cause::Limit(limit) => {
            let (used, requested) = (limit.used.unwrap_or(0), limit.requested);
            let wait = error.wait.unwrap_or_default().as_secs_f64();
            let message = format!(
                "Rate limit reached for {}: Limit {}, Used {used}, Requested {requested}. Please try \
                 again in {wait}s. Need more tokens? Upgrade to Dev Tier today at \
                 https://console.groq.com/settings/billing",
                groqs_place(limit),
                limit.limit,
            );
            (error.status, error.kind, "rate_limit_exceeded", message)
        }
        Cause::Large(limit) => {
            let message = format!(
                "Request too large for {}: Limit {}, Requested {}, please reduce your message size and \
                 try again.",
                groqs_place(limit),
                limit.limit,
                limit.requested,
            );
            (StatusCode::PAYLOAD_TOO_LARGE, error.kind, "rate_limit_exceeded", message)
        }
        Cause::Key => {
            let message = "Invalid API Key".to_owned();
            (error.status, "invalid_request_error", "invalid_api_key", message)
        }
        _ => return None,
    };
    let error = json!({"message": message, "type": kind, "code": code});
    Some(Told { status, body: json!({"error": error}) })
}

fn groqs_place(limit: &Limited) -> String {
    format!(
        "model `{}` in organization `{}` service tier `on_demand` on {}",
        limit.model,
        limit.organisation,
        words(limit.metric).replace(" per min ", " per minute "),
    )
}

/// Captures of limits: <https://github.com/xtekky/gpt4free/issues/3032>,
/// <https://github.com/togethercomputer/MoA/issues/27>; read 2026-11-22.
pub(super) fn together(error: &WireError) -> Option<Told> {
    let (Cause::Limit(limit) | Cause::Large(limit)) = &*error.cause else { return None };
    let what = if limit.metric.counts_requests() { "queries" } else { "tokens" };
    let message = format!(
        "You have reached the rate limit specific to this model {}. The maximum rate limit for this model \
         is {} {what} per second. This limit differs from the general rate limits published at Together \
         AI rate limits documentation (https://docs.together.ai/docs/rate-limits).",
        limit.model, limit.limit,
    );
    Some(Told { status: error.status, body: plain("credit_limit", Value::Null, &message) })
}

/// Captures: of keys <https://github.com/deepseek-ai/DeepSeek-R1/issues/82>, of money
/// <https://github.com/1Panel-dev/MaxKB/issues/3797>, of models <https://github.com/deepwn/addi/issues/13>; read
/// 2026-11-22. Nobody has shown its words for too many at a time.
pub(super) fn deepseek(error: &WireError) -> Option<Told> {
    let (status, kind, message) = match &*error.cause {
        Cause::Key => (error.status, "authentication_error", "Authentication Fails (no such user)"),
        Cause::Money => (StatusCode::PAYMENT_REQUIRED, "unknown_error", "Insufficient Balance"),
        Cause::Model(_) => (StatusCode::BAD_REQUEST, "invalid_request_error", "Model Not Exist"),
        Cause::Slots => (error.status, "rate_limit_error", "Rate limit reached"),
        _ => return None,
    };
    Some(Told { status, body: plain(kind, "invalid_request_error".into(), message) })
}

fn plain(kind: &str, code: Value, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

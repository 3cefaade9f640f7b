//! Errors in Google's words: an array with one error, whose details say which quota and when to come back.

use http::StatusCode;
use serde_json::{Value, json};

use super::Told;
use crate::simulate::engine::Metric;
use crate::simulate::wire::error::{Cause, Limited, WireError};

/// Captures: <https://github.com/n4ze3m/page-assist/issues/406>; the details are those of
/// <https://cloud.google.com/apis/design/errors>, quotas those of <https://ai.google.dev/gemini-api/docs/rate-limits>;
/// read 2026-11-22.
pub(super) fn told(error: &WireError) -> Told {
    let (status, name, message, details) = match &*error.cause {
        Cause::Limit(limit) | Cause::Large(limit) => {
            (error.status, "RESOURCE_EXHAUSTED", exceeded(limit, error), details(limit, error))
        }
        Cause::Slots | Cause::Money => {
            let message = "Resource has been exhausted (e.g. check quota).".to_owned();
            (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", message, Value::Null)
        }
        Cause::Key => {
            let message = "API key not valid. Please pass a valid API key.".to_owned();
            (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message, Value::Null)
        }
        Cause::Model(model) => {
            let message = format!(
                "models/{model} is not found for API version v1main, or is not supported for \
                 generateContent."
            );
            (error.status, "NOT_FOUND", message, Value::Null)
        }
        Cause::Overload => {
            let message = "The model is overloaded. Please try again later.".to_owned();
            (error.status, "UNAVAILABLE", message, Value::Null)
        }
        Cause::Failure => (error.status, "INTERNAL", error.message.clone(), Value::Null),
        Cause::Request => (error.status, "INVALID_ARGUMENT", error.message.clone(), Value::Null),
    };
    let mut fields = json!({"code": status.as_u16(), "message": message, "status": name});
    if !details.is_null() {
        crate::simulate::wire::put(&mut fields, "details", details);
    }
    Told { status, body: json!([{"error": fields}]) }
}

fn exceeded(limit: &Limited, error: &WireError) -> String {
    let again = error
        .wait
        .map_or_else(String::new, |wait| format!("\nPlease retry in {}s.", wait.as_secs_f64()));
    format!(
        "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded \
         for metric: generativelanguage.googleapis.com/{}, limit: {}, model: {}{again}",
        names(limit.metric).0,
        limit.limit,
        limit.model,
    )
}

fn details(limit: &Limited, error: &WireError) -> Value {
    let (metric, quota) = names(limit.metric);
    let failure = json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{
            "quotaMetric": format!("generativelanguage.googleapis.com/{metric}"),
            "quotaId": quota,
            "quotaDimensions": {"location": "global", "model": limit.model},
            "quotaValue": limit.limit.to_string(),
        }],
    });
    let again = error.wait.map(|_| {
        let delay = format!("{}s", error.seconds());
        json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    });
    [Some(failure), again].into_iter().flatten().collect()
}

/// Returns the names of a quota: what is counted, and the quota itself.
fn names(metric: Metric) -> (&'static str, &'static str) {
    match metric {
        Metric::RequestsPerMinute | Metric::RequestsPerSlice => (
            "generate_content_paid_tier_requests",
            "GenerateRequestsPerMinutePerProjectPerModel-PaidTier",
        ),
        Metric::RequestsPerDay => (
            "generate_content_paid_tier_requests",
            "GenerateRequestsPerDayPerProjectPerModel-PaidTier",
        ),
        Metric::TokensPerDay => (
            "generate_content_paid_tier_input_token_count",
            "GenerateContentPaidTierInputTokensPerModelPerDay",
        ),
        _ => (
            "generate_content_paid_tier_input_token_count",
            "GenerateContentPaidTierInputTokensPerModelPerMinute",
        ),
    }
}

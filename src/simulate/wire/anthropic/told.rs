//! Errors in Anthropic's words.

use http::StatusCode;
use serde_json::json;

use crate::simulate::wire::error::{Cause, Limited, WireError};
use crate::simulate::wire::told::{Told, in_thousands, plain_words};

/// Tells an error: <https://docs.claude.com/en/api/errors>, read 2026-11-21, and captures: of a limit
/// <https://github.com/anthropics/claude-code/issues/55132>, of a model
/// <https://github.com/mattermost/mattermost-plugin-agents/issues/257>, of money
/// <https://github.com/anthropics/claude-code/issues/66314>; read 2026-11-22.
pub(in crate::simulate::wire) fn told(error: &WireError, id: &str) -> Told {
    let overloaded = StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let (status, kind, message) = match &*error.cause {
        Cause::Request => (error.status, kind_of(error.status), error.message.clone()),
        Cause::Key => (error.status, "authentication_error", "invalid x-api-key".to_owned()),
        Cause::Money => (StatusCode::BAD_REQUEST, "invalid_request_error", MONEY.to_owned()),
        Cause::Model(model) => (error.status, "not_found_error", format!("model: {model}")),
        Cause::Limit(limit) | Cause::Large(limit) => (error.status, RATE, beyond(limit)),
        Cause::Slots => (error.status, RATE, SLOTS.to_owned()),
        Cause::Failure => (error.status, "api_error", "Internal server error".to_owned()),
        Cause::Overload => (overloaded, "overloaded_error", "Overloaded".to_owned()),
    };
    let body = json!({
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": id,
    });
    Told { status, body }
}

const RATE: &str = "rate_limit_error";
const MONEY: &str = "Your credit balance is too low to access the Anthropic API. Please go to Plans & \
                     Billing to upgrade or purchase credits.";
const SLOTS: &str = "Number of concurrent connections has exceeded your rate limit. Please try again \
                     later or contact sales at https://www.anthropic.com/contact-sales to discuss your \
                     options for a rate limit increase.";

/// The words are the same for what is over the limit now and for what always will be.
fn beyond(limit: &Limited) -> String {
    format!(
        "This request would exceed your organization's rate limit of {} {} (org: {}, model: {}). For \
         details, refer to: https://docs.claude.com/en/api/rate-limits. You can see the response \
         headers for current usage. Please reduce the prompt length or the maximum tokens requested, \
         or try again later.",
        in_thousands(limit.limit),
        plain_words(limit.metric),
        limit.organisation,
        limit.model,
    )
}

fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        404 => "not_found_error",
        413 => "request_too_large",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

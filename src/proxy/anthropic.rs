//! Errors in Anthropic's shape, for who asks for Anthropic's paths.

use http::StatusCode;
use serde::Serialize;

use crate::units::RequestId;

/// Returns the body of an error (<https://docs.claude.com/en/api/errors>, read 2026-11-21).
pub(super) fn body(status: StatusCode, message: &str, id: &RequestId) -> Vec<u8> {
    let error = Fields { kind: kind_of(status), message };
    let body = ErrorBody { kind: "error", error, request_id: id.as_str() };
    // Plain texts cannot fail to be written.
    serde_json::to_vec(&body).unwrap_or_default()
}

/// Anthropic names its errors by their status.
fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Fields<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Fields<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

//! Which status, type and code of an error tell a client why its request was not served.

use http::StatusCode;

use super::failure::Failure;
use crate::admit::Refusal;
use crate::budget::Why;
use crate::limit::QuotaKind;
use crate::packing::UnpackError;
use crate::settle::Unaffordable;
use crate::upstream::SendError;

/// What an error says beside its message, in OpenAI's words.
pub(super) struct Shape {
    /// The status of the answer.
    pub(super) status: StatusCode,
    /// `error.type`.
    pub(super) kind: &'static str,
    /// `error.code`.
    pub(super) code: Option<&'static str>,
    /// `error.param`: the field of the body that is meant.
    pub(super) param: Option<&'static str>,
}

impl Failure {
    /// Returns how the client is told.
    pub(super) fn shape(&self) -> Shape {
        let shape = |status, kind, code| Shape { status, kind, code, param: None };
        let bad = |status| shape(status, "invalid_request_error", None);
        match self {
            Self::Auth(error) => {
                shape(StatusCode::UNAUTHORIZED, "invalid_request_error", Some(error.code()))
            }
            Self::Forbidden(error) => {
                shape(StatusCode::FORBIDDEN, "invalid_request_error", Some(error.code()))
            }
            Self::Foreign(_) => {
                shape(StatusCode::FORBIDDEN, "invalid_request_error", Some("foreign_origin"))
            }
            Self::Method => bad(StatusCode::METHOD_NOT_ALLOWED),
            // Not a conflict: SDKs would send it again.
            Self::Scattered { .. } => {
                shape(StatusCode::BAD_REQUEST, "invalid_request_error", Some("different_accounts"))
            }
            Self::Wish(error) => {
                Shape { param: Some(error.param()), ..bad(StatusCode::BAD_REQUEST) }
            }
            Self::OtherName(_) => Shape { param: Some("model"), ..bad(StatusCode::BAD_REQUEST) },
            Self::Call(error) => Shape { param: error.param(), ..bad(StatusCode::BAD_REQUEST) },
            Self::Request(_) | Self::Body(_) | Self::Unpack(UnpackError::Broken) => {
                bad(StatusCode::BAD_REQUEST)
            }
            Self::BodyTooLarge { .. } | Self::Unpack(UnpackError::TooLarge { .. }) => {
                bad(StatusCode::PAYLOAD_TOO_LARGE)
            }
            Self::ModelTooFar { .. } => {
                Shape { param: Some("model"), ..bad(StatusCode::PAYLOAD_TOO_LARGE) }
            }
            Self::BodyTooSlow => bad(StatusCode::REQUEST_TIMEOUT),
            Self::Refused(refusal) => of_refusal(refusal),
            Self::Unaffordable(unaffordable) => of_money(unaffordable),
            // The log has the same word.
            Self::Send { error: SendError::TimedOut, .. } => {
                shape(StatusCode::GATEWAY_TIMEOUT, "server_error", Some(self.label()))
            }
            Self::Send { .. } | Self::KeyRefused { .. } | Self::Relay(_) => {
                shape(StatusCode::BAD_GATEWAY, "server_error", Some(self.label()))
            }
            Self::Unbooked => shape(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable_error",
                Some("ledger_unavailable"),
            ),
            Self::Dropped | Self::Disk(_) => {
                shape(StatusCode::INTERNAL_SERVER_ERROR, "server_error", None)
            }
        }
    }
}

/// As OpenAI answers an account that has no money left: SDKs and people know it.
fn of_money(unaffordable: &Unaffordable) -> Shape {
    let Unaffordable::Refused(objection) = unaffordable else {
        let (kind, code) = ("requests", Some("rate_limit_exceeded"));
        return Shape { status: StatusCode::TOO_MANY_REQUESTS, kind, code, param: None };
    };
    let (status, kind, code) = match objection.why {
        Why::Spent { .. } | Why::TooDear { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", "insufficient_quota")
        }
        Why::Paused { .. } | Why::Crowded => {
            (StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded")
        }
        Why::Unpriced(_) => (StatusCode::BAD_REQUEST, "invalid_request_error", "unknown_price"),
    };
    Shape { status, kind, code: Some(code), param: None }
}

fn of_refusal(refusal: &Refusal) -> Shape {
    let shape = |status, kind, code| Shape { status, kind, code: Some(code), param: None };
    let limited = StatusCode::TOO_MANY_REQUESTS;
    match refusal {
        Refusal::TooLarge { quota, .. } => shape(limited, kind_of(*quota), "rate_limit_exceeded"),
        Refusal::TimeIsUp { short_of, .. } => {
            shape(limited, short_of.map_or("tokens", kind_of), "rate_limit_exceeded")
        }
        Refusal::LineFull { .. } | Refusal::OwnKey(_) => {
            shape(limited, "requests", "rate_limit_exceeded")
        }
        Refusal::AccountDown { .. } | Refusal::AccountGone { .. } => shape(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable_error",
            "account_unavailable",
        ),
        Refusal::Revoked => {
            shape(StatusCode::UNAUTHORIZED, "invalid_request_error", "invalid_api_key")
        }
        Refusal::Stopping => {
            shape(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable_error", "stopping")
        }
    }
}

/// OpenAI names the counter in the error's type.
const fn kind_of(quota: QuotaKind) -> &'static str {
    match quota {
        QuotaKind::RequestsPerMinute
        | QuotaKind::RequestsPerDay
        | QuotaKind::RequestsPerSecond
        | QuotaKind::ImagesPerMinute
        | QuotaKind::Concurrency
        | QuotaKind::FirstContact
        | QuotaKind::AppRequestsPerMinute
        | QuotaKind::AppRequestsPerDay
        | QuotaKind::AppConcurrency => "requests",
        QuotaKind::TokensPerMinute
        | QuotaKind::TokensPerDay
        | QuotaKind::TokensPerSecond
        | QuotaKind::InputTokensPerMinute
        | QuotaKind::OutputTokensPerMinute
        | QuotaKind::AppTokensPerMinute
        | QuotaKind::AppTokensPerDay => "tokens",
    }
}

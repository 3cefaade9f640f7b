//! What a client is told when its request was not served, in OpenAI's error shape or in Anthropic's.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use thiserror::Error;

use super::answer::{OWN, identify, millis, number};
use super::anthropic;
use super::wishes::WishError;
use crate::admit::Refusal;
use crate::auth::{AuthError, Forbidden};
use crate::budget::{Color, Why};
use crate::call::{CallError, Endpoint, Product};
use crate::config::OtherName;
use crate::packing::UnpackError;
use crate::relay::{Body, RelayError};
use crate::settle::{Record, Unaffordable};
use crate::units::{AccountName, KeyLabel, UpstreamName};
use crate::upstream::{RequestError, SendError, Trouble};

/// Why a request got no answer from the provider.
#[derive(Debug, Error)]
pub enum Failure {
    /// The client is not let in.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Its app may not ask for that.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// A web page of another site asks, or the name it asked for is not ours.
    #[error("{0}; sluicegate serves programs on this machine")]
    Foreign(&'static str),
    /// The method would make the provider open a tunnel, or repeat our key to the client.
    #[error("the methods CONNECT and TRACE are not passed on")]
    Method,
    /// A header of ours cannot be understood.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// The body cannot be read as a call.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its model goes under another name, which cannot be put into it.
    #[error(transparent)]
    OtherName(#[from] OtherName),
    /// The body is larger than allowed.
    #[error("the body has more than {limit} bytes; `server.max_body` sets the limit")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body cannot be unpacked.
    #[error("the body cannot be read: {0}")]
    Unpack(#[from] UnpackError),
    /// A form hides its model behind more than can be kept.
    #[error(
        "the form has no `model` in its first {limit} bytes: put the field before the file; \
         `server.max_body` sets the limit"
    )]
    ModelTooFar {
        /// The limit in bytes.
        limit: usize,
    },
    /// What was read of a body cannot be kept.
    #[error("the body cannot be kept on this machine's disk until its turn comes")]
    Disk(#[source] std::io::Error),
    /// The client stopped sending its body.
    #[error("the body did not come in time; `timeouts.client` sets the limit")]
    BodyTooSlow,
    /// The client's body broke off.
    #[error("the body broke off")]
    Body(#[source] hyper::Error),
    /// Not admitted.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What it names lies in more than one account.
    #[error("{}", scattered(id, account, other.as_ref(), wished.as_ref()))]
    Scattered {
        /// One thing that it names.
        id: String,
        /// The account that has that.
        account: AccountName,
        /// Another, and its account.
        other: Option<(String, AccountName)>,
        /// The account that the client asks for.
        wished: Option<AccountName>,
    },
    /// What it costs could not be booked.
    #[error(
        "the ledger cannot be written, and nothing is sent that could not be booked: see /ledger on the \
         admin port, or set `ledger.when_full` to \"go_on\""
    )]
    Unbooked,
    /// The budgets do not have what it costs.
    #[error(transparent)]
    Unaffordable(#[from] Unaffordable),
    /// The provider does not accept the key of ours that it was sent with.
    #[error(
        "sluicegate's own key `{key}` for the account `{account}` of the upstream `{upstream}`, and not the client's, \
         was refused by the provider{}",
        said_phrase(said)
    )]
    KeyRefused {
        /// Where it was sent.
        upstream: UpstreamName,
        /// Whose key it is.
        account: AccountName,
        /// The label of the key.
        key: KeyLabel,
        /// What the provider said.
        said: Trouble,
    },
    /// The path cannot be sent on.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The provider gave no answer.
    #[error("the upstream `{upstream}`: {error}")]
    Send {
        /// Where it was sent.
        upstream: UpstreamName,
        /// What happened.
        #[source]
        error: SendError,
    },
    /// The provider's answer broke off before anything of it went to the client.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The task that served the request ended early; a bug, or the end of the program.
    #[error("the request was dropped")]
    Dropped,
}

impl Failure {
    /// Returns the word for logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Auth(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::Foreign(_) => "foreign",
            Self::Method => "method",
            Self::Wish(_)
            | Self::Call(_)
            | Self::Request(_)
            | Self::Scattered { .. }
            | Self::OtherName(_)
            | Self::Unpack(UnpackError::Broken) => "bad_request",
            Self::BodyTooLarge { .. }
            | Self::ModelTooFar { .. }
            | Self::Unpack(UnpackError::TooLarge { .. }) => "body_too_large",
            Self::Disk(_) => "disk",
            Self::Unbooked => "unbooked",
            Self::Unaffordable(_) => "unaffordable",
            Self::BodyTooSlow | Self::Body(_) => "body_broken",
            Self::Refused(Refusal::TooLarge { .. }) => "too_large",
            Self::Refused(_) => "refused_in_line",
            Self::KeyRefused { .. } => "upstream_key_refused",
            Self::Send { error: SendError::TimedOut, .. } => "upstream_timeout",
            Self::Send { .. } => "upstream_unreachable",
            Self::Relay(_) => "upstream_cut",
            Self::Dropped => "dropped",
        }
    }

    /// Returns the status that the client gets.
    pub(super) fn status(&self) -> StatusCode {
        self.shape().status
    }

    /// Tells whether the log line was written already, when the request that was sent was closed.
    pub(super) const fn is_logged(&self) -> bool {
        matches!(self, Self::Send { .. } | Self::KeyRefused { .. } | Self::Relay(_) | Self::Dropped)
    }

    /// Returns the answer to the client of `record`, who asked for `endpoint`; `is_late` tells whether an answer would
    /// be of no use to it any more.
    pub(super) fn answer(
        &self,
        record: &Record,
        endpoint: Option<Endpoint>,
        is_late: bool,
    ) -> Response<Body> {
        let shape = self.shape();
        let message = self.message(endpoint, is_late);
        let json = match endpoint {
            Some(endpoint) if endpoint.is_anthropics() => {
                anthropic::body(shape.status, &message, &record.id)
            }
            _ => {
                let (kind, param, code) = (shape.kind, shape.param, shape.code);
                let error = ErrorBody { error: ErrorFields { message, kind, param, code } };
                // Plain texts cannot fail to be written.
                serde_json::to_vec(&error).unwrap_or_default()
            }
        };
        let mut answer = Response::new(Body::full(Bytes::from(json)));
        *answer.status_mut() = shape.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        identify(headers, &record.id);
        headers.insert(&OWN.queued, millis(record.queued));
        match self {
            Self::Refused(refusal) => say_when(refusal, headers),
            Self::Unaffordable(Unaffordable::Refused(objection)) if objection.is_for_long() => {
                let tint = format!("{} {}", objection.budget, Color::Red.label());
                if let (Why::Spent { .. }, Ok(tint)) =
                    (&objection.why, HeaderValue::from_str(&tint))
                {
                    headers.insert(&OWN.budget, tint);
                }
                discourage(headers);
            }
            Self::KeyRefused { .. } => discourage(headers),
            Self::Unaffordable(_) => {
                headers.insert(header::RETRY_AFTER, number(SOON));
            }
            _ => {}
        }
        if is_late {
            discourage(headers);
        }
        answer
    }

    fn message(&self, endpoint: Option<Endpoint>, is_late: bool) -> String {
        match self {
            // As OpenAI's own: clients look for these words.
            Self::Refused(Refusal::TooLarge { model, quota, limit, wanted }) => format!(
                "Request too large for {model} on {} ({}): Limit {limit}, Requested {wanted}. It \
                 can never be served: {}, or raise the limit.",
                quota.phrase(),
                quota.label().to_ascii_uppercase(),
                smaller(endpoint),
            ),
            Self::Refused(refusal @ (Refusal::TimeIsUp { .. } | Refusal::LineFull { .. })) => {
                let again = if is_late { LATE.to_owned() } else { again(refusal.retry_after()) };
                format!("Rate limit reached: {refusal}. {again}")
            }
            Self::Send { upstream, error } => {
                let cause = error.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
                format!("The request got no answer from the upstream `{upstream}`: {error}{cause}.")
            }
            Self::Relay(error) => format!("The provider's answer broke off: {error}."),
            other => other.to_string(),
        }
    }
}

/// Tells SDKs whether and when to come back.
pub(super) fn say_when(refusal: &Refusal, headers: &mut HeaderMap) {
    if let Some(expected) = refusal.expected_wait() {
        headers.insert(&OWN.expected, millis(expected));
    }
    if !refusal.is_worth_retrying() {
        return discourage(headers);
    }
    let wait = refusal.retry_after();
    // Whole seconds are rounded up, so that nobody comes back too early.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    headers.insert(header::RETRY_AFTER, number(seconds.min(LONGEST)));
    headers.insert(RETRY_AFTER_MS, millis(wait));
}

/// Keeps a provider's words from being taken for none: SDKs come back at once where they are told to
/// stay away for more than a minute (see [`Refusal::retry_after`]).
pub(super) fn say_soon(headers: &mut HeaderMap) {
    let told = |name: HeaderName, unit: f64| {
        let text = headers.get(name)?.to_str().ok()?;
        text.trim().parse::<f64>().ok().map(|number| number * unit)
    };
    let seconds = told(RETRY_AFTER_MS, 0.001).or_else(|| told(header::RETRY_AFTER, 1.0));
    if seconds.is_some_and(|seconds| seconds > 59.0) {
        headers.insert(header::RETRY_AFTER, number(LONGEST));
        headers.insert(RETRY_AFTER_MS, number(1000 * LONGEST));
    }
}

/// What is said where the time that the client stated is over.
const LATE: &str = "The time that it stated is over.";
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// When who waited in vain for money may come back, in seconds: nobody knows when others have spent theirs.
const SOON: u64 = 5;
/// The longest that all SDKs obey, in seconds.
const LONGEST: u64 = 59;

/// Tells SDKs not to come back: waiting cannot help.
pub(super) fn discourage(headers: &mut HeaderMap) {
    headers.insert("x-should-retry", HeaderValue::from_static("false"));
    headers.remove(header::RETRY_AFTER);
    headers.remove(RETRY_AFTER_MS);
}

/// Tells which account has what, where no one account can serve a request.
fn scattered(
    id: &str,
    account: &AccountName,
    other: Option<&(String, AccountName)>,
    wished: Option<&AccountName>,
) -> String {
    let first = format!("the request names `{id}`, which lies in the account `{account}`");
    match (other, wished) {
        (Some((other, its)), _) => {
            format!("{first}, and `{other}`, which lies in `{its}`: no one account has both")
        }
        (None, Some(wished)) => format!("{first}, and asks for the account `{wished}`"),
        (None, None) => first,
    }
}

fn said_phrase(trouble: &Trouble) -> String {
    if trouble.said.is_empty() { String::new() } else { format!(": {}", trouble.said) }
}

/// Tells how a request can be made smaller.
fn smaller(endpoint: Option<Endpoint>) -> &'static str {
    match endpoint.map(Endpoint::product) {
        Some(Product::Text) => "shorten the prompt or lower the output bound (max_tokens)",
        _ => "make the request smaller",
    }
}

fn again(wait: Duration) -> String {
    // The same milliseconds as `retry-after-ms`.
    format!("Please try again in {}.{:03}s.", wait.as_secs(), wait.subsec_millis())
}

#[derive(Serialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Serialize)]
struct ErrorFields {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_a_time_that_its_sdk_takes_for_none() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (&[("retry-after", "120")][..],                              Some("59"), Some("59000")),
            (&[("retry-after", "7"), ("retry-after-ms", "70000")][..],   Some("59"), Some("59000")),
            (&[("retry-after", "7"), ("retry-after-ms", "6500")][..],    Some("7"),  Some("6500")),
            (&[("retry-after", "59")][..],                               Some("59"), None),
            (&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")][..],    Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
            (&[][..],                                                    None,       None),
        ];
        for (given, seconds, millis) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            say_soon(&mut headers);
            let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(
                (told("retry-after"), told("retry-after-ms")),
                (seconds, millis),
                "{given:?}"
            );
        }
    }
}

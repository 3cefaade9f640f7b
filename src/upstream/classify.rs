//! What an answer's status, headers and error body mean.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::limit::RefusalHint;

/// What became of a request, as far as its key and account are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was answered.
    Fine,
    /// The request itself was at fault; says nothing of key and account.
    BadRequest,
    /// The provider does not accept the key.
    KeyRejected,
    /// The account has no money or quota left: waiting does not help.
    OutOfQuota,
    /// A rate limit refused it: waiting helps.
    RateLimited,
    /// The account raised its traffic too fast: the provider wants it slower.
    SlowDown,
    /// It is larger than the limit: waiting does not help.
    TooLarge,
    /// The provider has too much to do.
    Overloaded,
    /// The provider failed.
    ServerError,
    /// No answer came.
    Unreachable,
}

/// What an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What became of the request.
    pub verdict: Verdict,
    /// The provider's own arithmetic, where the error's message has it.
    pub refusal: Option<RefusalHint>,
    /// When the provider says to come back: by header, else by the error's message.
    pub retry_after: Option<Duration>,
}

impl Finding {
    /// Creates a finding that is a verdict and nothing else.
    pub const fn of(verdict: Verdict) -> Self {
        Self { verdict, refusal: None, retry_after: None }
    }
}

/// Reads an answer; `body` may be empty, cut off, or no JSON at all, and is only looked at for a
/// status of 400 and above.
pub fn classify(status: StatusCode, _headers: &HeaderMap, _body: &[u8]) -> Finding {
    Finding::of(match status.as_u16() {
        401 => Verdict::KeyRejected,
        402 => Verdict::OutOfQuota,
        429 => Verdict::RateLimited,
        503 | 529 => Verdict::Overloaded,
        500..=599 => Verdict::ServerError,
        400..=499 => Verdict::BadRequest,
        _ => Verdict::Fine,
    })
}

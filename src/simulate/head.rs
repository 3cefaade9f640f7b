//! Heads of answers for those who play with the engine without sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::config::RateHeaders;
use super::engine::{Refusal, Shown};
use super::wire::{WireError, add, add_rate_limits};

/// What comes first of an answer, in the words that the listening provider uses.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body of an error; empty otherwise.
    pub error: Bytes,
}

/// How heads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadStyle {
    /// Whether they show quotas.
    pub quotas: RateHeaders,
}

impl HeadStyle {
    /// Writes the head of an answer of `organisation` that took `processing` until then.
    pub fn answered(self, organisation: &Arc<str>, shown: &[Shown], processing: Duration) -> Head {
        let mut head = Head::plain(StatusCode::OK, processing);
        self.dress(&mut head, shown);
        add(&mut head.headers, "openai-organization", organisation);
        head
    }

    /// Writes the error that the engine's refusal of a request of `key` for `model` is.
    pub fn refused(self, refusal: Refusal, key: &str, model: &str) -> Head {
        let error = WireError::refusal(refusal, key, model, self.quotas);
        let mut head = Head::of(&error, Duration::ZERO);
        self.dress(&mut head, &error.shown);
        error.add_retry_after(&mut head.headers);
        head
    }

    /// Writes an injected server error; `overloaded` makes it a 503.
    pub fn failed(self, overloaded: bool, shown: &[Shown], processing: Duration) -> Head {
        let mut head = Head::of(&WireError::server_error(overloaded), processing);
        self.dress(&mut head, shown);
        head
    }

    fn dress(self, head: &mut Head, shown: &[Shown]) {
        if self.quotas == RateHeaders::Shown {
            add_rate_limits(&mut head.headers, shown);
        }
    }
}

impl Head {
    fn of(error: &WireError, processing: Duration) -> Self {
        Self { error: error.body().to_string().into(), ..Self::plain(error.status, processing) }
    }

    fn plain(status: StatusCode, processing: Duration) -> Self {
        let mut headers = HeaderMap::with_capacity(16);
        add(&mut headers, "openai-processing-ms", &processing.as_millis().to_string());
        Self { status, headers, error: Bytes::new() }
    }
}

//! Heads of answers for those who play with the engine without sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::config::RateHeaders;
use super::dialect::Dialect;
use super::engine::{Refusal, Shown};
use super::wire::{Identity, Told, WireError, add_rate_limits};

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
    /// In whose words.
    pub dialect: Dialect,
    /// Whether they show quotas.
    pub quotas: RateHeaders,
}

impl HeadStyle {
    /// Writes the head of an answer of `organisation` that took `processing` until then.
    pub fn answered(self, organisation: &Arc<str>, shown: &[Shown], processing: Duration) -> Head {
        let mut headers = self.headers(shown);
        let identity = Identity { id: ID, organisation: Some(organisation), processing };
        identity.add_to(&mut headers, self.dialect);
        Head { status: StatusCode::OK, headers, error: Bytes::new() }
    }

    /// Writes the error that the engine's refusal of a request of `key` for `model` is.
    pub fn refused(self, refusal: Refusal, key: &str, model: &str) -> Head {
        let error = WireError::refusal(refusal, key, model);
        self.error(&error, &error.shown, Duration::ZERO)
    }

    /// Writes an injected server error; `overloaded` makes it a 503, or what stands for that.
    pub fn failed(self, overloaded: bool, shown: &[Shown], processing: Duration) -> Head {
        self.error(&WireError::server_error(overloaded), shown, processing)
    }

    fn error(self, error: &WireError, shown: &[Shown], processing: Duration) -> Head {
        let mut headers = self.headers(shown);
        Identity { id: ID, organisation: None, processing }.add_to(&mut headers, self.dialect);
        error.add_retry_after(self.dialect, &mut headers);
        let Told { status, body } = error.told(self.dialect, ID);
        Head { status, headers, error: body.to_string().into() }
    }

    fn headers(self, shown: &[Shown]) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(16);
        if self.quotas == RateHeaders::Shown {
            add_rate_limits(&mut headers, self.dialect, shown);
        }
        headers
    }
}

/// Nobody tells these requests apart by their ids.
const ID: &str = "req_0";

//! Tells whether a request may have reached its provider.

use http::Request;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};

use super::body::Body;

/// Knows whether a request has got a connection. Cloning it shares that.
#[derive(Debug, Clone)]
pub struct Departure(CaptureConnection);

impl Departure {
    /// Watches `request`, which is to be sent.
    pub fn of(request: &mut Request<Body>) -> Self {
        Self(capture_connection(request))
    }

    /// Tells whether a connection, with its encryption, is there for the request: what comes after that, the provider may
    /// have seen.
    pub fn has_begun(&self) -> bool {
        self.0.connection_metadata().is_some()
    }
}

//! Lets web pages of configured origins in, and no others.
//!
//! # What this module owns
//!
//! The headers of the CORS protocol (<https://fetch.spec.whatwg.org/#http-cors-protocol>, read
//! 2026-11-22): the provider's are never passed on, for it would let everybody in. A browser's question
//! before its request is answered here and goes nowhere.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::relay::Body;

/// The origins whose pages may read answers. Cloning it copies a pointer.
#[derive(Debug, Clone)]
pub(super) struct Cors {
    origins: Arc<[String]>,
}

/// What a browser wants, as far as CORS goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To know what a page may ask for.
    Permission,
    /// An answer.
    Answer,
}

impl Wish {
    /// Tells what `request` is for.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        match asks && request.method() == Method::OPTIONS && headers.contains_key(header::ORIGIN) {
            true => Self::Permission,
            false => Self::Answer,
        }
    }
}

impl Cors {
    /// Lets pages of `origins` in, each as `scheme://host:port`.
    pub(super) fn new(origins: &[String]) -> Self {
        Self { origins: origins.into() }
    }

    /// Tells whether pages of `origin` may read answers.
    pub(super) fn lets_in(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|known| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes()))
    }

    /// Returns the origin that a request with these headers comes from, if its pages may read answers.
    pub(super) fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let only = origins.next().filter(|_| origins.next().is_none())?;
        self.lets_in(only).then(|| only.clone())
    }
}

/// Says that pages of `origin` may ask for what they asked about with `asked`.
pub(super) fn permit(asked: &HeaderMap, origin: HeaderValue) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    for (question, reply) in [
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
        (REQUEST_PRIVATE_NETWORK, ALLOW_PRIVATE_NETWORK),
    ] {
        if let Some(wanted) = asked.get(question) {
            headers.insert(reply, wanted.clone());
        }
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    show(headers, Some(origin));
    answer
}

/// Lets pages of `origin`, and of no other, read an answer.
pub(super) fn show(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    let Some(origin) = origin else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// Where a page of the internet asks for this machine
/// (<https://wicg.github.io/private-network-access/>, read 2026-11-22).
const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
/// How long a browser may remember what it was told, in seconds.
const MAX_AGE: &str = "600";

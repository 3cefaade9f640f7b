//! Tries one key without spending anything.

use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use super::address::Address;
use super::body::Body;
use super::classify::{Finding, Verdict, classify};
use super::client::{Client, SendError};
use super::credential::Credential;
use super::request::{Reading, outgoing};
use crate::config::Dialect;

/// Lists the models at `address` with `credential`, and says what that shows of the key.
///
/// It costs nothing at any known provider; it does not show whether the account has quota left.
/// Dropping the future cancels the probe.
pub async fn probe(client: &Client, address: &Address, credential: &Credential) -> Finding {
    try_key(client, address, credential).await.unwrap_or(Finding::of(Verdict::Unreachable))
}

/// Does the same and tells why no answer came.
///
/// # Errors
///
/// Returns a [`SendError`] where the provider did not answer.
pub async fn try_key(
    client: &Client,
    address: &Address,
    credential: &Credential,
) -> Result<Finding, SendError> {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::GET;
    head.uri = Uri::from_static("/models");
    head.headers = HeaderMap::new();
    if address.dialect() == Dialect::Anthropic {
        head.headers.insert("anthropic-version", ANTHROPIC_VERSION);
    }
    let key = (credential, address.key_header(head.uri.path()));
    let Ok(target) = address.of(&head.uri, None) else { return Err(SendError::NotSent(None)) };
    let request = outgoing(&head, target, key, Reading::Plain, Body::empty());
    let answer = client.send(request).await?;
    let (head, body) = answer.into_parts();
    if head.status.is_success() {
        return Ok(Finding::of(Verdict::Fine));
    }
    let body = timeout(client.patience(), Limited::new(body, MOST_READ).collect()).await;
    let bytes = body.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
    Ok(classify(head.status, &head.headers, &bytes))
}

/// The most of an error's body that is read.
const MOST_READ: usize = 64 * 1024;
/// Without a version Anthropic lists nothing (<https://docs.claude.com/en/api/versioning>, read 2026-11-21).
pub const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

//! Tries one key without spending anything.

use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use super::body::Body;
use super::classify::{Finding, Verdict, classify};
use super::client::{Client, SendError};
use super::credential::Credential;
use super::request::{Reading, outgoing};

/// Lists the models at `base` with `credential`, and says what that shows of the key.
///
/// It costs nothing at any known provider; it does not show whether the account has quota left.
/// Dropping the future cancels the probe.
pub async fn probe(client: &Client, base: &Uri, credential: &Credential) -> Finding {
    try_key(client, base, credential).await.unwrap_or(Finding::of(Verdict::Unreachable))
}

/// Does the same and tells why no answer came.
///
/// # Errors
///
/// Returns a [`SendError`] where the provider did not answer.
pub async fn try_key(
    client: &Client,
    base: &Uri,
    credential: &Credential,
) -> Result<Finding, SendError> {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::GET;
    head.uri = Uri::from_static("/models");
    head.headers = HeaderMap::new();
    let Ok(request) = outgoing(&head, base, credential, Reading::Plain, Body::empty()) else {
        return Err(SendError::NotSent(None));
    };
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

//! Tries one key without spending anything.

use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Limited};

use super::body::Body;
use super::classify::{Finding, Verdict, classify};
use super::client::Client;
use super::credential::Credential;
use super::request::{Reading, outgoing};

/// Lists the models at `base` with `credential`, and says what that shows of the key.
///
/// It costs nothing at any known provider; it does not show whether the account has quota left.
/// Dropping the future cancels the probe.
pub async fn probe(client: &Client, base: &Uri, credential: &Credential) -> Finding {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::GET;
    head.uri = Uri::from_static("/models");
    head.headers = HeaderMap::new();
    let Ok(request) = outgoing(&head, base, credential, Reading::Metered, Body::empty()) else {
        return Finding::of(Verdict::Unreachable);
    };
    let Ok(answer) = client.send(request).await else {
        return Finding::of(Verdict::Unreachable);
    };
    let (head, body) = answer.into_parts();
    if head.status.is_success() {
        return Finding::of(Verdict::Fine);
    }
    let body = Limited::new(body, MOST_READ).collect().await;
    let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
    classify(head.status, &head.headers, &bytes)
}

/// The most of an error's body that is read.
const MOST_READ: usize = 64 * 1024;

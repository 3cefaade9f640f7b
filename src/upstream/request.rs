//! The head of a request as the provider gets it, and of an answer as the client gets it.
//!
//! What is not named here is passed on byte for byte: other headers, in their order, path and query.
//!
//! - Headers that belong to one connection are dropped both ways, with those that `Connection`
//!   names; `content-length` follows from the body.
//! - Our own `x-sluicegate-*` headers of a request are for us and go no further.
//! - Where we pay, every credential of the client's is dropped: `Authorization`, `x-api-key`,
//!   `api-key`, `cookie`, `OpenAI-Organization`, `OpenAI-Project`. Where the client pays, they are
//!   passed on as they came.
//! - Where an answer is read for its usage, `accept-encoding` becomes `identity`: an answer cannot
//!   be read compressed, and what the client then gets is the same answer in plain.

use http::header::{self, HeaderName};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Uri, request, response};
use thiserror::Error;

use super::body::Body;
use super::credential::{Authorization, Credential};

/// Whether the answer of a request is read on its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// For its usage: it has to come uncompressed.
    Metered,
    /// Not at all: it comes as the client wants it.
    Opaque,
}

/// Why a request cannot be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Its path and the base URL do not make a URL together.
    #[error("the path does not make a URL with the configured base")]
    Path,
}

/// Makes the request that goes to the provider at `base` from the head of a client's.
///
/// The client's `/v1/x` and `/x` both become `x` below the base, with the client's query.
///
/// # Errors
///
/// Returns [`RequestError::Path`] where the path does not begin with `/`, as in `OPTIONS *`.
pub fn outgoing(
    head: &request::Parts,
    base: &Uri,
    credential: &Credential,
    reading: Reading,
    body: Body,
) -> Result<Request<Body>, RequestError> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = join(base, &head.uri)?;
    *request.headers_mut() = sent_on(&head.headers, credential, reading);
    Ok(request)
}

/// Takes out of an answer's head what belongs to the connection it came over.
pub fn returning(head: &mut response::Parts) {
    strip_connection(&mut head.headers);
    head.version = http::Version::HTTP_11;
    head.extensions.clear();
}

fn sent_on(client: &HeaderMap, credential: &Credential, reading: Reading) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(client.len() + 3);
    let pays = matches!(credential.authorization, Authorization::Ours { .. });
    for (name, value) in client {
        let is_kept = !is_of_connection(name)
            && *name != header::HOST
            && *name != header::CONTENT_LENGTH
            && *name != header::EXPECT
            && !name.as_str().starts_with("x-sluicegate-")
            && !(pays && is_credential(name))
            && !is_named_by_connection(client, name);
        if is_kept {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Authorization::Ours { bearer, organization, project } = &credential.authorization {
        headers.insert(header::AUTHORIZATION, bearer.clone());
        if let Some(organization) = organization {
            headers.insert(ORGANIZATION, organization.clone());
        }
        if let Some(project) = project {
            headers.insert(PROJECT, project.clone());
        }
    }
    if reading == Reading::Metered {
        headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    }
    headers
}

fn join(base: &Uri, client: &Uri) -> Result<Uri, RequestError> {
    let path = client.path();
    let path = match path.strip_prefix("/v1") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    };
    if !path.is_empty() && !path.starts_with('/') {
        return Err(RequestError::Path);
    }
    let below = base.path().trim_end_matches('/');
    let query = client.query().map_or_else(String::new, |query| format!("?{query}"));
    let joined = PathAndQuery::try_from(format!("{below}{path}{query}"));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(joined.map_err(|_| RequestError::Path)?);
    parts.scheme.get_or_insert(Scheme::HTTPS);
    Uri::from_parts(parts).map_err(|_| RequestError::Path)
}

/// Drops what belongs to one connection, and what `Connection` names.
fn strip_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_CONNECTION {
        headers.remove(name);
    }
}

fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .any(|named| named.trim().eq_ignore_ascii_case(name.as_str()))
}

fn is_of_connection(name: &HeaderName) -> bool {
    OF_CONNECTION.contains(&name.as_str())
}

fn is_credential(name: &HeaderName) -> bool {
    CREDENTIALS.contains(&name.as_str())
}

/// RFC 9110 section 7.6.1, read 2026-11-21, with the older `keep-alive` and `proxy-connection`.
/// `trailer` is kept: it announces what a streamed body still brings.
const OF_CONNECTION: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];
const CREDENTIALS: [&str; 6] =
    ["authorization", "x-api-key", "api-key", "cookie", "openai-organization", "openai-project"];
const ORGANIZATION: HeaderName = HeaderName::from_static("openai-organization");
const PROJECT: HeaderName = HeaderName::from_static("openai-project");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

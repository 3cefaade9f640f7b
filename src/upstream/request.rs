//! The head of a request as the provider gets it, and of an answer as the client gets it.
//!
//! What is not named here is passed on byte for byte: other headers, in their order, path and query.
//!
//! - Headers that belong to one connection are dropped both ways, with those that `Connection`
//!   names; `content-length` follows from the body. `TE: trailers` is said anew.
//! - Our own `x-sluicegate-*` headers of a request are for us and go no further.
//! - Where we pay, every credential of the client's is dropped: `Authorization`, `x-api-key`,
//!   `api-key`, `cookie`, `OpenAI-Organization`, `OpenAI-Project`. Where the client pays, they are
//!   passed on as they came.
//! - Where an answer is changed on its way back, `accept-encoding` becomes `identity`. Else the
//!   client's is passed on, and what comes is read beside its packed bytes.

use http::header::{self, HeaderName};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, Uri, Version, request, response};
use thiserror::Error;

use super::address::KeyHeader;
use super::body::Body;
use super::credential::{Authorization, Credential};

/// How the answer of a request is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Uncompressed: it is changed on its way back.
    Plain,
    /// As the client takes it.
    AsAsked,
}

/// Why a request cannot be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Its path and the base URL do not make a URL together.
    #[error("the path does not make a URL with the configured base")]
    Path,
    /// Servers may read its path in two ways.
    #[error("a path with `.` or `..`, or with letters or digits written as %XX, is not passed on")]
    Winding,
}

/// Makes the request that goes to `target` from the head of a client's, with a key in the header that is
/// for it there.
pub fn outgoing(
    head: &request::Parts,
    target: Uri,
    (credential, key): (&Credential, KeyHeader),
    reading: Reading,
    body: Body,
) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = target;
    let mut headers = sent_on(&head.headers, (credential, key), reading);
    if takes_trailers(&head.headers) {
        headers.insert(header::TE, TRAILERS);
        if request.uri().scheme() == Some(&Scheme::HTTP) {
            // RFC 9110 section 10.1.4 asks for it; HTTP/2, which TLS may bring, has no such header.
            headers.insert(header::CONNECTION, TE);
        }
    }
    *request.headers_mut() = headers;
    request
}

/// Takes out of an answer's head what belongs to the connection it came over, and what it says to
/// browsers: which pages may read answers here is not the provider's to say. Its
/// `content-length` is kept: drop it where the body is changed.
pub fn returning(head: &mut response::Parts) {
    strip_connection(&mut head.headers);
    for name in &OF_BROWSERS {
        head.headers.remove(name);
    }
    head.version = Version::HTTP_11;
}

fn sent_on(
    client: &HeaderMap,
    (credential, key): (&Credential, KeyHeader),
    reading: Reading,
) -> HeaderMap {
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
    if let Authorization::Ours { key: ours, organization, project } = &credential.authorization {
        match key {
            KeyHeader::Bearer => headers.insert(header::AUTHORIZATION, ours.bearer.clone()),
            KeyHeader::ApiKey => headers.insert(API_KEY, ours.bare.clone()),
            KeyHeader::XApiKey => headers.insert(X_API_KEY, ours.bare.clone()),
        };
        if let Some(organization) = organization {
            headers.insert(ORGANIZATION, organization.clone());
        }
        if let Some(project) = project {
            headers.insert(PROJECT, project.clone());
        }
    }
    if reading == Reading::Plain {
        headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    }
    headers
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
    for name in &OF_CONNECTION {
        headers.remove(name);
    }
}

/// Tells whether the client takes trailers: then we do, too.
fn takes_trailers(client: &HeaderMap) -> bool {
    let mut codings = client.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    codings.any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case("trailers")))
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
    OF_CONNECTION.contains(name)
}

fn is_credential(name: &HeaderName) -> bool {
    CREDENTIALS.contains(name)
}

/// RFC 9110 section 7.6.1, read 2026-11-21, with the older `keep-alive` and `proxy-connection`.
/// `trailer` is kept: it announces what a streamed body still brings.
static OF_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// What an answer may tell a browser (<https://fetch.spec.whatwg.org/#http-responses>, read
/// 2026-11-22).
static OF_BROWSERS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];
static CREDENTIALS: [HeaderName; 6] =
    [header::AUTHORIZATION, X_API_KEY, API_KEY, header::COOKIE, ORGANIZATION, PROJECT];
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const API_KEY: HeaderName = HeaderName::from_static("api-key");
pub(super) const ORGANIZATION: HeaderName = HeaderName::from_static("openai-organization");
pub(super) const PROJECT: HeaderName = HeaderName::from_static("openai-project");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const TE: HeaderValue = HeaderValue::from_static("te");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{KeyLabel, Secret};

    fn ours(organization: Option<&str>) -> Credential {
        let secret = Secret::new("sk-ours");
        let authorization = Authorization::ours(&secret, organization, None);
        Credential {
            label: KeyLabel::new("main"),
            authorization: authorization.expect("fits into a header"),
        }
    }

    fn clients() -> Credential {
        Credential { label: KeyLabel::new("client"), authorization: Authorization::Client }
    }

    fn head(uri: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method("POST").uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn sent(head: &request::Parts, credential: &Credential, reading: Reading) -> Request<Body> {
        let target = Uri::from_static("https://api.example/v1/embeddings");
        outgoing(head, target, (credential, KeyHeader::Bearer), reading, Body::empty())
    }

    fn lines(request: &Request<Body>) -> Vec<(&str, &str)> {
        let headers = request.headers().iter();
        headers.map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect()
    }

    #[test]
    fn where_we_pay_no_credential_of_the_clients_goes_along() {
        let head = head(
            "/v1/embeddings",
            &[
                ("authorization", "Bearer sk-app"),
                ("x-api-key", "sk-app"),
                ("cookie", "session=app"),
                ("openai-organization", "org-app"),
                ("openai-project", "proj-app"),
                ("x-custom", "kept"),
            ],
        );
        let request = sent(&head, &ours(Some("org-ours")), Reading::AsAsked);
        let expected = [
            ("x-custom", "kept"),
            ("authorization", "Bearer sk-ours"),
            ("openai-organization", "org-ours"),
        ];
        assert_eq!(lines(&request), expected);
    }

    #[test]
    fn where_the_client_pays_its_credentials_are_passed_on() {
        let headers = [("authorization", "Bearer sk-app"), ("openai-organization", "org-app")];
        let head = head("/v1/embeddings", &headers);
        assert_eq!(lines(&sent(&head, &clients(), Reading::AsAsked)), headers);
    }

    #[test]
    fn what_belongs_to_a_connection_or_to_us_stays_here() {
        let head = head(
            "/v1/embeddings",
            &[
                ("host", "127.0.0.1:8484"),
                ("connection", "keep-alive, X-Hop"),
                ("x-hop", "1"),
                ("keep-alive", "timeout=5"),
                ("te", "gzip"),
                ("transfer-encoding", "chunked"),
                ("content-length", "7"),
                ("expect", "100-continue"),
                ("proxy-authorization", "Basic x"),
                ("upgrade", "websocket"),
                ("x-sluicegate-app", "indexer"),
                ("user-agent", "OpenAI/Python 3.54.0"),
                ("x-stainless-retry-count", "0"),
                ("accept-encoding", "gzip, deflate"),
            ],
        );
        let expected = [
            ("user-agent", "OpenAI/Python 3.54.0"),
            ("x-stainless-retry-count", "0"),
            ("accept-encoding", "gzip, deflate"),
        ];
        assert_eq!(lines(&sent(&head, &clients(), Reading::AsAsked)), expected);
    }

    #[test]
    fn who_takes_trailers_makes_us_take_them() {
        let head = head("/v1/files", &[("te", "gzip, Trailers;q=1"), ("te", "trailers")]);
        for (base, expected) in [
            ("https://a.b/v1", &[("te", "trailers")][..]),
            ("http://a.b/v1", &[("te", "trailers"), ("connection", "te")]),
        ] {
            let base: Uri = base.parse().expect("a URL");
            let request = outgoing(
                &head,
                base.clone(),
                (&clients(), KeyHeader::Bearer),
                Reading::AsAsked,
                Body::empty(),
            );
            assert_eq!(lines(&request), expected, "{base}");
        }
    }

    #[test]
    fn an_answer_that_is_changed_comes_uncompressed() {
        let head = head("/v1/embeddings", &[("accept-encoding", "gzip, deflate")]);
        let request = sent(&head, &clients(), Reading::Plain);
        assert_eq!(lines(&request), [("accept-encoding", "identity")]);
    }

    #[test]
    fn an_answer_keeps_all_but_what_belongs_to_its_connection() {
        let answer = http::Response::builder()
            .version(Version::HTTP_2)
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
            .header("transfer-encoding", "chunked")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("access-control-allow-origin", "*")
            .header("x-request-id", "req_1");
        let mut head = answer.body(()).expect("an answer").into_parts().0;
        returning(&mut head);
        let names: Vec<&str> =
            head.headers.iter().map(|(_, value)| value.to_str().expect("text")).collect();
        assert_eq!(names, ["a=1", "b=2", "req_1"]);
        assert_eq!(head.version, Version::HTTP_11);
    }
}

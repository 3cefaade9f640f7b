//! Routes: which path is answered by what.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::dialect::Dialect;
use super::engine::Caller;
use super::files;
use super::flow::{Sent, add_identity, answer, json as json_answer, refused};
use super::objects;
use super::report;
use super::shared::Shared;
use super::sockets;
use super::talk::Body;
use super::threads;
use super::wire::{Endpoint, WireError};

/// Answers one request.
///
/// # Errors
///
/// The connection is to be closed without an answer: an injected fault, or the client has gone.
pub(super) async fn serve(
    shared: Arc<Shared>,
    mut request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    if let Some(key) = sockets::wanted(&request).then(|| key_of(request.headers()))
        && let Ok(caller) = shared.caller(&key)
        && let Some(response) = sockets::open(&shared, &mut request, (&key, &caller))
    {
        return Ok(response);
    }
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let (deployment, path) = shared.dialect.place(&path);
    if let Some(answer) = of_its_own(&shared, &head.method, path) {
        return Ok(answer);
    }
    let key = match shared.dialect.asks_for_keys() {
        true => key_of(&head.headers),
        false => shared.any_key(),
    };
    let caller = match shared.caller(&key) {
        Ok(caller) => caller,
        Err(refusal) => {
            let error = WireError::refusal(refusal, &key, "");
            return Ok(refused(&shared, &error, shared.arrival()));
        }
    };
    let endpoint = Endpoint::at(path).filter(|endpoint| shared.dialect.has(*endpoint));
    let takes_files = endpoint.is_none_or(Endpoint::takes_forms);
    let most = if takes_files { LARGEST_FILE } else { LARGEST_JSON };
    let bytes = match Limited::new(body, most).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let error = WireError { status: StatusCode::PAYLOAD_TOO_LARGE, ..too_large(most) };
            return Ok(refused(&shared, &error, shared.arrival()));
        }
        Err(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    if let Some(wanted) = threads::wanted(&head.method, path) {
        let mut response =
            threads::answer(&shared, wanted, (&key, &caller), (&head.method, bytes)).await?;
        add_identity(&shared, response.headers_mut(), shared.arrival());
        return Ok(response);
    }
    if let Some(endpoint) = endpoint {
        if let Some(error) = unfit(endpoint, &head) {
            return Ok(refused(&shared, &error, shared.arrival()));
        }
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        let sent = Sent { kind, bytes, deployment: deployment.map(ToOwned::to_owned) };
        return answer(&shared, endpoint, (&key, &caller), sent).await;
    }
    let asked = Asked { method: &head.method, path, query: head.uri.query(), bytes };
    let mut response = other(&shared, &asked, &caller, &head.headers);
    add_identity(&shared, response.headers_mut(), shared.arrival());
    Ok(response)
}

/// Answers what is asked of the simulation, and of no provider.
fn of_its_own(shared: &Shared, method: &Method, path: &str) -> Option<Response<Body>> {
    match (method, path) {
        (&Method::GET, "/sim/stats") => {
            Some(json_answer(StatusCode::OK, &report::json(&shared.stats())))
        }
        (&Method::POST, "/sim/reset") => {
            shared.reset();
            Some(json_answer(StatusCode::OK, &json!({"reset": true})))
        }
        _ => None,
    }
}

/// Returns what is wrong with the head of a request for `endpoint`, if anything is.
fn unfit(endpoint: Endpoint, head: &Parts) -> Option<WireError> {
    if head.method != Method::POST {
        let message = "Not allowed to use this method on this path. Use POST.";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Some(WireError { status, ..WireError::bad_request(message, None) });
    }
    let is_undated = endpoint.is_anthropics() && !head.headers.contains_key("anthropic-version");
    is_undated.then(|| WireError::bad_request("anthropic-version: header is required", None))
}

/// The largest body of a request that generates something, in bytes.
const LARGEST_JSON: usize = 64 * 1024 * 1024;
/// The largest other body: files of 200 MB are allowed for batches (OpenAI's batch guide, 2026-11).
const LARGEST_FILE: usize = 201 * 1024 * 1024;

/// A request for something that is not generated.
pub(super) struct Asked<'a> {
    pub method: &'a Method,
    /// Without `/v1`.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub bytes: Bytes,
}

fn other(
    shared: &Arc<Shared>,
    asked: &Asked<'_>,
    caller: &Caller,
    headers: &HeaderMap,
) -> Response<Body> {
    let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    let found = match (asked.method, parts.as_slice()) {
        (&Method::GET, ["models"]) => Ok(json_answer(StatusCode::OK, &models(shared))),
        (&Method::GET, ["models", name @ ..]) => model(shared, &name.join("/")),
        (_, path) if matches!(path, ["files" | "batches", ..]) || objects::are_under(path) => {
            files::serve(shared, asked, caller, (&parts, headers))
        }
        (method, _) => {
            let message = format!("Invalid URL ({method} /v1{})", asked.path);
            Err(WireError::not_found(message))
        }
    };
    found.unwrap_or_else(|error| refused(shared, &error, shared.arrival()))
}

fn models(shared: &Shared) -> Value {
    let mut names = shared.named_models();
    let usual = shared.dialect.listed_models().iter().filter(|name| shared.has_model(name));
    names.extend(usual.map(|name| (*name).to_owned()));
    names.sort_unstable();
    names.dedup();
    let list = names.iter().map(|name| model_object(shared.dialect, name));
    let list: Vec<Value> = list.collect();
    match shared.dialect {
        Dialect::Anthropic => json!({
            "data": list,
            "has_more": false,
            "first_id": names.first(),
            "last_id": names.last(),
        }),
        _ => json!({"object": "list", "data": list}),
    }
}

fn model(shared: &Shared, name: &str) -> Result<Response<Body>, WireError> {
    if shared.has_model(name) {
        return Ok(json_answer(StatusCode::OK, &model_object(shared.dialect, name)));
    }
    Err(WireError::no_model(name))
}

fn model_object(dialect: Dialect, name: &str) -> Value {
    match dialect {
        // <https://docs.claude.com/en/api/models-list>, read 2026-11-21.
        Dialect::Anthropic => json!({
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": "2025-05-14T00:00:00Z",
        }),
        _ => json!({"id": name, "object": "model", "created": 1_715_367_049, "owned_by": "system"}),
    }
}

fn too_large(most: usize) -> WireError {
    WireError::bad_request(format!("The request body is larger than {most} bytes."), None)
}

fn key_of(headers: &HeaderMap) -> String {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let named = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let keys = [bearer, named("api-key"), named("x-api-key")];
    keys.into_iter().flatten().next().unwrap_or_default().to_owned()
}

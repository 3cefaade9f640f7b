//! Routes: which path is answered by what.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::engine::Caller;
use super::files;
use super::flow::{add_identity, answer, json as json_answer, refused};
use super::objects;
use super::report;
use super::shared::Shared;
use super::sockets;
use super::talk::Body;
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
    let path = path.strip_prefix("/v1").unwrap_or(&path);
    match (&head.method, path) {
        (&Method::GET, "/sim/stats") => {
            return Ok(json_answer(StatusCode::OK, &report::json(&shared.stats())));
        }
        (&Method::POST, "/sim/reset") => {
            shared.reset();
            return Ok(json_answer(StatusCode::OK, &json!({"reset": true})));
        }
        _ => {}
    }
    let key = key_of(&head.headers);
    let caller = match shared.caller(&key) {
        Ok(caller) => caller,
        Err(refusal) => {
            let error = WireError::refusal(refusal, &key, "", shared.headers);
            return Ok(refused(&shared, &error, shared.arrival()));
        }
    };
    let endpoint = Endpoint::at(path);
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
    if let Some(endpoint) = endpoint {
        if head.method != Method::POST {
            let message = "Not allowed to use this method on this path. Use POST.";
            let error = WireError {
                status: StatusCode::METHOD_NOT_ALLOWED,
                ..WireError::bad_request(message, None)
            };
            return Ok(refused(&shared, &error, shared.arrival()));
        }
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let body = (kind.unwrap_or_default().to_owned(), bytes);
        return answer(&shared, endpoint, (&key, &caller), body).await;
    }
    let asked = Asked { method: &head.method, path, query: head.uri.query(), bytes };
    let mut response = other(&shared, &asked, &caller, &head.headers);
    add_identity(response.headers_mut(), shared.arrival(), std::time::Duration::ZERO);
    Ok(response)
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
    let usual = USUAL_MODELS.iter().filter(|name| shared.has_model(name));
    names.extend(usual.map(|name| (*name).to_owned()));
    names.sort_unstable();
    names.dedup();
    let list: Vec<Value> = names.iter().map(|name| model_object(name)).collect();
    json!({"object": "list", "data": list})
}

fn model(shared: &Shared, name: &str) -> Result<Response<Body>, WireError> {
    if shared.has_model(name) {
        return Ok(json_answer(StatusCode::OK, &model_object(name)));
    }
    Err(WireError::no_model(name))
}

fn model_object(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 1_715_367_049, "owned_by": "system"})
}

/// Listed where they exist.
const USUAL_MODELS: [&str; 4] = ["gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "text-embedding-3-small"];

fn too_large(most: usize) -> WireError {
    WireError::bad_request(format!("The request body is larger than {most} bytes."), None)
}

fn key_of(headers: &HeaderMap) -> String {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let api_key = || headers.get("api-key").and_then(|value| value.to_str().ok());
    bearer.or_else(api_key).unwrap_or_default().to_owned()
}

//! The path of one request that generates something: read, plan, admit, write.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::Value;

use super::config::RateHeaders;
use super::engine::{Caller, Cost};
use super::files;
use super::form;
use super::objects;
use super::shared::Shared;
use super::talk::{Body, whole};
use super::wire::{self, Ask, Draft, Endpoint, Identity, Told, WireError, add_rate_limits};
use super::writing;

/// What was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// The content type.
    pub kind: String,
    /// The body.
    pub bytes: Bytes,
    /// The model that the path names.
    pub deployment: Option<String>,
}

/// Answers a request of `key` for `endpoint`.
///
/// # Errors
///
/// An injected reset: the connection is to be closed without an answer.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    endpoint: Endpoint,
    (key, caller): (&str, &Caller),
    sent: Sent,
) -> io::Result<Response<Body>> {
    let arrival = shared.arrival();
    let ask = read(shared, endpoint, sent).await.map(|ask| shared.recall(ask));
    let ask = ask.and_then(|ask| shared.dialect.accepts(&ask).map(|()| ask));
    let ask = match ask {
        Ok(ask) => {
            let (usage_at, thinks_as) =
                (shared.dialect.usage_at(&ask), shared.dialect.thinks_as(&ask));
            Ask { usage_at, thinks_as, ..ask }
        }
        Err(error) => return Ok(refused(shared, &error, arrival)),
    };
    let owner = files::owner(caller);
    if let Err(error) = objects::check(&files::lock(shared), &ask.body, &owner) {
        return Ok(refused(shared, &error, arrival));
    }
    if endpoint == Endpoint::MessageTokens {
        return Ok(counted(shared, &ask, arrival));
    }
    let plan = shared.planner.plan(&ask, arrival);
    let created = shared.date();
    let draft = Draft::new(&ask, &plan.lengths, (arrival, created));
    let cost = Cost {
        prompt: shared.charged(&ask, caller),
        characters: ask.prompt.characters,
        bound: ask.bound,
        generations: ask.generations,
        model_max: ask.model_max,
        output: draft.tokens(),
    };
    match shared.admit((key, caller), &ask.model, &cost).await {
        Ok(admitted) => {
            if ask.leaves_object()
                && let Ok(object) = wire::object(&ask, &draft)
            {
                files::lock(shared).objects.keep(owner, &object);
            }
            shared.remember(&ask, &draft);
            let ask = shared.cached(ask, &admitted.organisation);
            writing::write(shared, (ask, draft), &plan, (admitted, arrival)).await
        }
        Err(refusal) => {
            let error = WireError::refusal(refusal, key, &ask.model);
            Ok(refused(shared, &error, arrival))
        }
    }
}

/// Counts a prompt, which takes nothing of what limits messages.
fn counted(shared: &Shared, ask: &Ask, arrival: u64) -> Response<Body> {
    if !shared.has_model(&ask.model) {
        return refused(shared, &WireError::no_model(&ask.model), arrival);
    }
    let mut response = json(StatusCode::OK, &wire::counted(ask));
    add_identity(shared, response.headers_mut(), arrival);
    response
}

/// Turns an error into an answer.
pub(super) fn refused(shared: &Shared, error: &WireError, arrival: u64) -> Response<Body> {
    let Told { status, body } = error.told(shared.dialect, &id_of(arrival));
    let mut response = json(status, &body);
    let headers = response.headers_mut();
    if shared.headers == RateHeaders::Shown {
        add_rate_limits(headers, shared.dialect, &error.shown);
    }
    error.add_retry_after(shared.dialect, headers);
    add_identity(shared, headers, arrival);
    response
}

/// Returns a JSON answer.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = of_kind("application/json", value.to_string().into());
    *response.status_mut() = status;
    response
}

/// Returns an answer of another kind.
pub(super) fn of_kind(kind: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(whole(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Adds the headers of an answer that took no time and no quota.
pub(super) fn add_identity(shared: &Shared, headers: &mut HeaderMap, arrival: u64) {
    let (id, processing) = (id_of(arrival), Duration::ZERO);
    Identity { id: &id, organisation: None, processing }.add_to(headers, shared.dialect);
}

/// Returns the id of the request that arrived as number `arrival`.
pub(super) fn id_of(arrival: u64) -> String {
    format!("req_{:016x}{arrival:08x}", wire::mix(arrival))
}

/// Reads a body, away from the async threads where it is large.
async fn read(shared: &Arc<Shared>, endpoint: Endpoint, sent: Sent) -> Result<Ask, WireError> {
    let (reader, size) = (Arc::clone(shared), sent.bytes.len());
    let read = move || {
        let (mut body, attached) = form::body(endpoint, &sent.kind, &sent.bytes)?;
        if let Some(model) = sent.deployment {
            wire::put(&mut body, "model", model);
        }
        reader.reader.understand(endpoint, (body, attached))
    };
    if size <= LARGE_BODY {
        return read();
    }
    let reading = tokio::task::spawn_blocking(read);
    reading.await.unwrap_or_else(|_| Err(WireError::server_error(false)))
}

/// The largest body, in bytes, that is read on an async thread.
const LARGE_BODY: usize = 64 * 1024;

//! The path of one request that generates something: read, plan, admit, write.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::config::RateHeaders;
use super::engine::{Caller, Cost, Outcome};
use super::files;
use super::form;
use super::objects;
use super::plan::{Fault, Plan};
use super::shared::{Admitted, Shared};
use super::talk::{Body, Talk, broken, share_of, whole};
use super::wire::{self, Ask, Draft, Endpoint, Identity, Told, WireError, add_rate_limits};

/// Answers a request of `key` for `endpoint`.
///
/// # Errors
///
/// An injected reset: the connection is to be closed without an answer.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    endpoint: Endpoint,
    (key, caller): (&str, &Caller),
    (kind, body): (String, Bytes),
) -> io::Result<Response<Body>> {
    let arrival = shared.arrival();
    let ask = read(shared, endpoint, (kind, body)).await.map(|ask| shared.recall(ask));
    let ask = match ask {
        Ok(ask) => ask,
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
    let draft = Draft::new(&ask, &plan.lengths, &shared.reader.counts, (arrival, created));
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
            write(shared, ask, draft, &plan, (admitted, arrival)).await
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

fn of_kind(kind: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(whole(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Adds the headers of an answer that took no time and no quota.
pub(super) fn add_identity(shared: &Shared, headers: &mut HeaderMap, arrival: u64) {
    let (id, processing) = (id_of(arrival), Duration::ZERO);
    Identity { id: &id, organisation: None, processing }.add_to(headers, shared.dialect);
}

fn id_of(arrival: u64) -> String {
    format!("req_{:016x}{arrival:08x}", wire::mix(arrival))
}

/// Reads a body, away from the async threads where it is large.
async fn read(
    shared: &Arc<Shared>,
    endpoint: Endpoint,
    (kind, body): (String, Bytes),
) -> Result<Ask, WireError> {
    let (reader, size) = (Arc::clone(shared), body.len());
    let read = move || reader.reader.understand(endpoint, form::body(endpoint, &kind, &body)?);
    if size <= LARGE_BODY {
        return read();
    }
    let reading = tokio::task::spawn_blocking(read);
    reading.await.unwrap_or_else(|_| Err(WireError::server_error(false)))
}

/// The largest body, in bytes, that is read on an async thread.
const LARGE_BODY: usize = 64 * 1024;

async fn write(
    shared: &Arc<Shared>,
    ask: Ask,
    draft: Draft,
    plan: &Plan,
    (admitted, arrival): (Admitted, u64),
) -> io::Result<Response<Body>> {
    let begin = Instant::now();
    let Admitted { mut work, shown, organisation } = admitted;
    let dress = |mut response: Response<Body>| {
        let headers = response.headers_mut();
        if shared.headers == RateHeaders::Shown {
            add_rate_limits(headers, shared.dialect, &shown);
        }
        let (id, processing) = (id_of(arrival), begin.elapsed());
        let identity = Identity { id: &id, organisation: Some(&organisation), processing };
        identity.add_to(headers, shared.dialect);
        response
    };
    let fail = |error: &WireError| {
        let Told { status, body } = error.told(shared.dialect, &id_of(arrival));
        dress(json(status, &body))
    };
    let cut = match plan.fault {
        Some(Fault::ServerError { overloaded }) => {
            sleep_until(begin + plan.pace.first).await;
            work.done(Outcome::Failed);
            return Ok(fail(&WireError::server_error(overloaded)));
        }
        Some(Fault::Reset) => {
            work.done(Outcome::Failed);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Some(Fault::Stall) => return std::future::pending().await,
        Some(Fault::Cut { share }) => Some(share),
        None => None,
    };
    if ask.stream {
        let talk = Talk::new(wire::script(&ask, draft), plan.pace, begin, work, cut);
        let mut response = dress(Response::new(talk.boxed_unsync()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        return Ok(response);
    }
    let value = match wire::object(&ask, &draft) {
        Ok(value) => value,
        Err(error) => {
            work.done(Outcome::Failed);
            return Ok(fail(&error));
        }
    };
    let (pieces, draft) = (draft.len(), Arc::new(draft));
    work.follow_clock(begin, plan.pace, Arc::clone(&draft));
    if let Some(share) = cut {
        let written = share_of(pieces, share);
        sleep_until(begin + plan.pace.until(written)).await;
        work.done(Outcome::Cut { output: draft.tokens_of(written) });
        return Ok(dress(cut_off(&value, share)));
    }
    sleep_until(begin + plan.pace.until(pieces)).await;
    work.done(Outcome::Answered { output: draft.tokens() });
    let raw = wire::raw(&ask, &draft).map(|(kind, bytes)| of_kind(kind, bytes));
    Ok(dress(raw.unwrap_or_else(|| json(StatusCode::OK, &value))))
}

/// Returns an answer whose body ends before its stated length.
fn cut_off(value: &Value, share: f64) -> Response<Body> {
    let bytes = Bytes::from(value.to_string());
    let keep = usize::try_from(share_of(bytes.len() as u64, share)).unwrap_or(0);
    let mut response = Response::new(broken(bytes.slice(..keep.min(bytes.len()))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    response
}

//! The clients: each worker of an app sends one request after the other over a real socket.
//!
//! # Invariants
//!
//! 1. No request begins after the end; every one that has begun is waited for.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::tally::{Tally, Times};
use super::workload::{APPS, App};

/// All workers of all apps. Cloning it shares everything.
#[derive(Debug, Clone)]
pub(super) struct Crew {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client<HttpConnector, Full<Bytes>>,
    base_url: String,
    seed: u64,
    desks: Vec<Desk>,
}

/// What the workers of one app share.
#[derive(Debug)]
struct Desk {
    app: App,
    next: AtomicU64,
    tally: Mutex<Tally>,
}

/// Why an answer cannot be had or read.
#[derive(Debug, Error)]
pub enum CallError {
    /// The request cannot be written.
    #[error("the address cannot be asked")]
    Request(#[from] http::Error),
    /// No answer came.
    #[error("no answer came")]
    Send(#[from] hyper_util::client::legacy::Error),
    /// The answer broke off.
    #[error("the answer broke off")]
    Body(#[from] hyper::Error),
    /// The answer says nothing of its usage, or nothing at all.
    #[error("the answer cannot be read")]
    Read(#[from] serde_json::Error),
    /// The stream ended without its usage.
    #[error("the stream ended without its usage")]
    NoUsage,
}

/// What the provider has counted, as its statistics page tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Final {
    /// Requests admitted.
    pub(super) admitted: u64,
    /// Requests refused.
    pub(super) refused: u64,
    /// Input tokens of answers.
    pub(super) prompt_tokens: u64,
    /// Input and output tokens of answers.
    pub(super) total_tokens: u64,
    /// Input tokens of answers that broke off.
    cut_prompt_tokens: u64,
    /// Output tokens of answers that broke off.
    cut_completion_tokens: u64,
}

impl Final {
    /// Returns the input tokens used, told or not.
    pub(super) const fn input(&self) -> u64 {
        self.prompt_tokens + self.cut_prompt_tokens
    }

    /// Returns all tokens used, told or not.
    pub(super) const fn tokens(&self) -> u64 {
        self.total_tokens + self.cut_prompt_tokens + self.cut_completion_tokens
    }
}

impl Crew {
    /// Creates the workers' desks; nobody works yet.
    pub(super) fn new(base_url: String, seed: u64) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let desk = |app| Desk { app, next: AtomicU64::new(0), tally: Mutex::new(Tally::default()) };
        let desks = APPS.into_iter().map(desk).collect();
        Self { inner: Arc::new(Inner { client, base_url, seed, desks }) }
    }

    /// Sets everybody to work until `end`. The set is empty when all have their last answer; dropping
    /// it hangs up on what is open.
    pub(super) fn start(&self, end: Instant) -> JoinSet<()> {
        let mut workers = JoinSet::new();
        for (at, desk) in self.inner.desks.iter().enumerate() {
            for _ in 0..desk.app.workers {
                let inner = Arc::clone(&self.inner);
                workers.spawn(async move { inner.work(at, end).await });
            }
        }
        workers
    }

    /// Returns each app with what it has seen so far.
    pub(super) fn tallies(&self) -> Vec<(App, Tally)> {
        self.inner.desks.iter().map(|desk| (desk.app, desk.tally().clone())).collect()
    }

    /// Asks the provider's statistics page.
    pub(super) async fn final_stats(&self, provider: SocketAddr) -> Result<Final, CallError> {
        let request = Request::get(format!("http://{provider}/sim/stats")).body(Full::default())?;
        let answer = self.inner.client.request(request).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        let page: Page = serde_json::from_slice(&body)?;
        Ok(page.totals)
    }
}

impl Inner {
    async fn work(&self, at: usize, end: Instant) {
        let Some(desk) = self.desks.get(at) else { return };
        while Instant::now() < end {
            let number = desk.next.fetch_add(1, Ordering::Relaxed);
            desk.tally().open += 1;
            let begun = Instant::now();
            let answer = self.ask(desk.app, number).await;
            if desk.note(answer, begun.elapsed()) == Next::Pause {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Sends one request and reads its answer to the end.
    async fn ask(&self, app: App, number: u64) -> Result<Answer, CallError> {
        let request = Request::post(format!("{}{}", self.base_url, app.path()))
            .header(AUTHORIZATION, format!("Bearer {}", app.name))
            .header(CONTENT_TYPE, "application/json")
            .header("x-sluicegate-class", app.class)
            .body(Full::new(app.request(self.seed, number)))?;
        let answer = self.client.request(request).await?;
        let (status, waited) = (answer.status(), waited(answer.headers()));
        let streamed = answer.headers().get(CONTENT_TYPE).is_some_and(is_event_stream);
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            return Ok(Answer::Refused(status));
        }
        let tokens = if streamed { tokens_of_stream(&body)? } else { tokens_of(&body)? };
        Ok(Answer::Done { tokens, waited })
    }
}

/// How long a worker waits after an answer that was not what it asked for.
const PAUSE: Duration = Duration::from_secs(1);

impl Desk {
    /// Counts what became of a request.
    fn note(&self, answer: Result<Answer, CallError>, total: Duration) -> Next {
        let mut tally = self.tally();
        tally.open -= 1;
        match answer {
            Ok(Answer::Done { tokens, waited }) => {
                tally.answered(tokens, Times { waited, total });
                return Next::Request;
            }
            Ok(Answer::Refused(StatusCode::TOO_MANY_REQUESTS)) => tally.refused += 1,
            Ok(Answer::Refused(_)) | Err(_) => tally.failed += 1,
        }
        Next::Pause
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    Pause,
}

/// What became of a request.
enum Answer {
    Done { tokens: u64, waited: Duration },
    Refused(StatusCode),
}

#[derive(Deserialize)]
struct Page {
    totals: Final,
}

/// An answer, or one event of a stream.
#[derive(Deserialize)]
struct Told {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: u64,
}

fn waited(headers: &HeaderMap) -> Duration {
    let millis = headers.get("x-sluicegate-queued-ms").and_then(|value| value.to_str().ok());
    Duration::from_millis(millis.and_then(|millis| millis.parse().ok()).unwrap_or_default())
}

fn is_event_stream(value: &http::HeaderValue) -> bool {
    value.as_bytes().starts_with(b"text/event-stream")
}

fn tokens_of(body: &[u8]) -> Result<u64, CallError> {
    let told: Told = serde_json::from_slice(body)?;
    told.usage.map(|usage| usage.total_tokens).ok_or(CallError::NoUsage)
}

/// Returns the usage of the last event before `[DONE]`.
fn tokens_of_stream(body: &[u8]) -> Result<u64, CallError> {
    let mut events = body.split(|byte| *byte == b'\n').rev();
    let events = events.by_ref().filter_map(|line| line.strip_prefix(b"data: "));
    let last = events.map(<[u8]>::trim_ascii).find(|event| *event != b"[DONE]");
    tokens_of(last.ok_or(CallError::NoUsage)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_of_a_stream_stands_in_its_last_event() {
        let stream =
            b"data: {\"choices\":[]}\n\ndata: {\"usage\":{\"total_tokens\":9}}\n\ndata: [DONE]\n\n";
        assert_eq!(tokens_of_stream(stream).unwrap(), 9);
        let broken = b"data: {\"choices\":[],\"usage\":null}\n\n";
        assert!(matches!(tokens_of_stream(broken), Err(CallError::NoUsage)));
    }
}

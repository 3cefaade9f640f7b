//! Shows people and monitors what goes on, on a listener of its own.
//!
//! # What this module owns
//!
//! The routes of the admin listener: `/healthz` (the process lives), `/readyz` (requests are taken, and some account
//! can serve), `/metrics` (OpenMetrics text), `/line` (lanes, and who waits for what), `/ledger` (whether all is
//! booked) and `/budgets` (how much of each is spent).
//!
//! # What this module does not do
//!
//! It changes nothing, and holds no socket: [`crate::server`] does, which also hears there that apps have changed.

mod accounts;
mod budgets;
mod ledger;
mod line;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::time::Instant;

use crate::admit::{Admission, Allotments, Snapshot};
use crate::ledger::Ledger;
use crate::settle::Purse;
use crate::telemetry::Metrics;
use crate::units::UpstreamName;

/// Answers requests of people and monitors. Cloning it shares everything.
#[derive(Debug, Clone)]
pub struct Admin {
    upstreams: Vec<(UpstreamName, Admission)>,
    allotments: Allotments,
    metrics: Metrics,
    ledger: Ledger,
    purse: Purse,
}

impl Admin {
    /// Creates the answers out of what the proxy counts.
    pub fn new(
        upstreams: Vec<(UpstreamName, Admission)>,
        allotments: Allotments,
        (metrics, ledger, purse): (Metrics, Ledger, Purse),
    ) -> Self {
        Self { upstreams, allotments, metrics, ledger, purse }
    }

    /// Returns the answer to a request; its body is not read. `stopping` tells whether the proxy
    /// takes new requests.
    pub fn answer<B>(&self, request: &Request<B>, stopping: bool) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(stopping),
            "/metrics" => {
                let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                typed(StatusCode::OK, content_type, self.metrics_text())
            }
            "/line" => {
                let apps = self.allotments.levels(Instant::now());
                typed(StatusCode::OK, "application/json", line::json(&self.views(), &apps))
            }
            "/ledger" => {
                let state = ledger::json(self.ledger.state().as_ref());
                typed(StatusCode::OK, "application/json", state)
            }
            "/budgets" => {
                typed(StatusCode::OK, "application/json", budgets::json(&self.purse.levels()))
            }
            "/" => text(
                StatusCode::OK,
                "sluicegate: /line /ledger /budgets /metrics /healthz /readyz\n",
            ),
            _ => text(
                StatusCode::NOT_FOUND,
                "no such page; there are /line /ledger /budgets /metrics /healthz /readyz\n",
            ),
        }
    }

    /// Returns the answer to a request that is not let in, for the reason given.
    pub fn turn_away(&self, objection: &'static str) -> Response<Full<Bytes>> {
        text(StatusCode::FORBIDDEN, objection)
    }

    fn ready(&self, stopping: bool) -> Response<Full<Bytes>> {
        if stopping {
            return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
        }
        if !self.upstreams.iter().any(|(_, admission)| admission.can_serve()) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "no account can serve: see /line\n");
        }
        text(StatusCode::OK, "ready\n")
    }

    /// Returns what goes on at each upstream.
    fn views(&self) -> Vec<(UpstreamName, Snapshot)> {
        let view =
            |(name, admission): &(UpstreamName, Admission)| (name.clone(), admission.snapshot());
        self.upstreams.iter().map(view).collect()
    }

    /// Returns the counters, with the gauges of this moment before the end mark.
    fn metrics_text(&self) -> String {
        let mut text = self.metrics.render();
        let end = text.rfind("# EOF").unwrap_or(text.len());
        let views = self.views();
        text.insert_str(end, &line::gauges(&views));
        let end = text.rfind("# EOF").unwrap_or(text.len());
        text.insert_str(end, &accounts::gauges(&views));
        let end = text.rfind("# EOF").unwrap_or(text.len());
        text.insert_str(end, &ledger::metrics(self.ledger.state().as_ref()));
        let end = text.rfind("# EOF").unwrap_or(text.len());
        text.insert_str(end, &budgets::metrics(&self.purse.levels()));
        text
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

//! Sees to it that a client which hangs up before anything was sent leaves a log line, too.

use http::Response;
use tokio::time::Instant;

use super::visit::Visit;
use super::{Failure, Proxy};
use crate::admit::Reservation;
use crate::relay::Body;
use crate::settle::{CLIENT_GONE, NOTHING};

/// A request while nothing of it is with the provider.
///
/// Dropping it while it is on writes the log line: only a client that hangs up makes its request be
/// dropped.
#[derive(Debug)]
pub(super) struct Vigil {
    pub(super) proxy: Proxy,
    pub(super) visit: Box<Visit>,
    waits_since: Option<Instant>,
    is_on: bool,
}

impl Vigil {
    pub(super) const fn new(proxy: Proxy, visit: Box<Visit>) -> Self {
        Self { proxy, visit, waits_since: None, is_on: true }
    }

    /// Notes that the request begins to wait.
    pub(super) fn wait(&mut self) {
        self.is_on = true;
        self.waits_since = Some(Instant::now());
    }

    /// Notes that the request waits no more.
    pub(super) fn go(&mut self) {
        let waited = self.waits_since.take().map(|since| since.elapsed());
        self.visit.record.queued += waited.unwrap_or_default();
    }

    /// Notes what the request waited for, or would have.
    pub(super) fn note(&mut self, reservation: &Reservation) {
        let record = &mut self.visit.record;
        record.waited_for = reservation.waited_for().or(record.waited_for);
        if let Some(wait) = reservation.would_wait() {
            record.would_wait = Some(wait);
            let books = self.proxy.books(&self.visit.record);
            books.metrics.would_have_held(&books.series, wait);
        }
    }

    /// Returns the answer to a request that failed.
    pub(super) fn fail(mut self, failure: &Failure) -> Response<Body> {
        self.end();
        if let Failure::Refused(refusal) = failure {
            let record = &mut self.visit.record;
            record.waited_for = refusal.short_of().or(record.waited_for);
        }
        self.proxy.fail(&self.visit, failure)
    }

    /// Leaves the log line to whoever answers.
    pub(super) const fn end(&mut self) {
        self.is_on = false;
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        if self.is_on {
            self.go();
            let now = Instant::now();
            self.visit.record.log(CLIENT_GONE, NOTHING, "client_gone", now);
            self.proxy.count(&self.visit, CLIENT_GONE, now);
        }
    }
}

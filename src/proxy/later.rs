//! Passes on what is not metered, and hears in it what was used for an answer that was still being made.

use http::{Method, Response, response};

use super::Proxy;
use super::attempt::Sent;
use super::visit::Visit;
use crate::call::{Endpoint, RunPath};
use crate::packing::Packing;
use crate::relay::{self, Body, Metering, Unpacking, Watched, is_event_stream};
use crate::settle::Unsettled;
use crate::units::below_base;

impl Proxy {
    /// Passes an answer on; one that shows a response that is awaited is read as it passes.
    pub(super) fn passed(
        &self,
        visit: &Visit,
        mut sent: Sent,
        (head, body): (response::Parts, Watched),
    ) -> Response<Body> {
        sent.unsettled.head_leaves();
        let shown = shown(&visit.head.method, visit.head.uri.path());
        let awaited = shown.filter(|(_, id)| sent.unsettled.awaits(id));
        let unpacking = match Packing::of(&head.headers) {
            Packing::Plain => Some(Unpacking::Needless),
            Packing::Packed(coding) => Some(Unpacking::Beside(coding)),
            Packing::Unknown => None,
        };
        let (Some((endpoint, id)), Some(unpacking)) = (awaited, unpacking) else {
            return self.unread(sent, (head, body));
        };
        let metering = self.metering(endpoint, &sent.unsettled, unpacking);
        let due = (sent.unsettled, id);
        let body = match is_event_stream(&head.headers) {
            true => relay::overhear_stream(body, due, metering),
            false => relay::overhear(body, due, metering),
        };
        Response::from_parts(head, body)
    }

    /// Says how an answer is metered that is one of `endpoint`.
    pub(super) fn metering(
        &self,
        endpoint: Endpoint,
        unsettled: &Unsettled,
        unpacking: Unpacking,
    ) -> Metering {
        let settings = &self.terms().settings;
        Metering {
            endpoint,
            encoding: unsettled.record().facts.encoding,
            counter: self.inner.counter.clone(),
            idle: settings.timeouts.idle,
            on_disconnect: settings.line.on_disconnect,
            unpacking,
            run: None,
            models: self.inner.models.clone(),
        }
    }
}

/// Returns the id of the response or run that a request shows: one that asks for it, or changes or cancels it.
fn shown<'p>(method: &Method, path: &'p str) -> Option<(Endpoint, &'p str)> {
    if let Some(RunPath { run, part, .. }) = RunPath::of(path) {
        let is_shown = match *method {
            Method::GET => part.is_none(),
            Method::POST => matches!(part, None | Some("cancel")),
            _ => false,
        };
        return run.filter(|_| is_shown).map(|run| (Endpoint::Runs, run));
    }
    let rest = below_base(path).strip_prefix("/responses/")?;
    let id = match *method {
        Method::GET => Some(rest),
        Method::POST => rest.strip_suffix("/cancel"),
        _ => None,
    };
    id.map(|id| (Endpoint::Responses, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_shown_to_who_asks_for_it_or_cancels_it() {
        let id = |shown: Option<(Endpoint, &'static str)>| shown.map(|(_, id)| id);
        let shown = |path| (id(shown(&Method::GET, path)), id(shown(&Method::POST, path)));
        assert_eq!(shown("/v1/threads/t/runs/run_1"), (Some("run_1"), Some("run_1")));
        assert_eq!(shown("/v1/threads/t/runs/run_1/cancel"), (None, Some("run_1")));
        assert_eq!(shown("/v1/threads/t/runs/run_1/steps"), (None, None));
        assert_eq!(shown("/v1/threads/t/runs"), (None, None));
        assert_eq!(shown("/v1/responses/resp_1"), (Some("resp_1"), None));
        assert_eq!(shown("/responses/resp_1/cancel").1, Some("resp_1"));
        assert_eq!(shown("/v1/responses"), (None, None));
        assert_eq!(shown("/v1/chat/completions/chatcmpl-1"), (None, None));
    }
}

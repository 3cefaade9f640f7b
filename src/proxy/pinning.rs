//! Lets the ids in an answer be noted for the account that gave it.

use http::{HeaderMap, HeaderValue, Method, header, response};
use tokio::time::Instant;

use super::Proxy;
use super::attempt::Sent;
use super::errand::Errand;
use super::visit::Visit;
use crate::call::is_kept_under;
use crate::ledger::Term;
use crate::packing::Packing;
use crate::relay::{Owner, Pinner, Watched, is_event_stream};
use crate::units::below_base;
use crate::upstream::Answer;

impl Proxy {
    /// Lets an answer be looked at, if it may show objects that its account keeps.
    pub(super) fn watched(
        &self,
        visit: &Visit,
        sent: &Sent,
        errand: &Errand,
        (head, body): (&response::Parts, Answer),
    ) -> Watched {
        let pinner = leaves(visit, errand)
            .filter(|_| is_told_in_json(&head.headers) && self.own_key(visit).is_none())
            .and_then(|term| {
                let account = sent.unsettled.record().account.clone()?;
                let at = self.inner.clock.since_epoch(Instant::now());
                let owner = Owner { upstream: visit.site.name.clone(), account, term, at };
                let coding = match Packing::of(&head.headers) {
                    Packing::Plain => None,
                    Packing::Packed(coding) => Some(coding),
                    Packing::Unknown => return None,
                };
                Some(Pinner::new(self.inner.pins.clone(), &owner, coding))
            });
        Watched::new(body, pinner)
    }
}

/// Returns how long the objects are to be remembered that a request leaves or asks for; `None` where it
/// does neither.
fn leaves(visit: &Visit, errand: &Errand) -> Option<Term> {
    match errand.call() {
        Some(call) if call.endpoint.is_of_thread() => Some(Term::Year),
        Some(call) => call.leaves_object().then_some(Term::Month),
        None => {
            let path = visit.head.uri.path();
            let shows_objects = is_kept_under(path)
                && !path.ends_with("/content")
                && visit.head.method != Method::HEAD;
            let is_answer = below_base(path).starts_with("/responses/");
            shows_objects.then_some(if is_answer { Term::Month } else { Term::Year })
        }
    }
}

fn is_told_in_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_json = kind.and_then(|kind| kind.get(..JSON.len()));
    is_event_stream(headers) || is_json.is_some_and(|it| it.eq_ignore_ascii_case(JSON))
}

const JSON: &[u8] = b"application/json";

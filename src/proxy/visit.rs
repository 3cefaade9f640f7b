//! A request on its way, and what it asks admission for.

use std::sync::Arc;
use std::time::Duration;

use http::{header, request};
use tokio::time::Instant;

use super::errand::{Errand, ONE_REQUEST};
use super::listing::Listing;
use super::patience;
use super::times::Until;
use super::wishes::Wishes;
use super::{Proxy, Site};
use crate::admit::Ask;
use crate::auth::{Client, Looks};
use crate::call::Endpoint;
use crate::config::Plan;
use crate::count::Prefix;
use crate::limit::QuotaLevel;
use crate::settle::Record;
use crate::units::{AccountName, AppName, Choice, ModelName, Party, RequestId, Served};
use crate::upstream::ClientKey;

/// A request on its way, from its arrival to its end.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) head: Arc<request::Parts>,
    /// Where it goes.
    pub(super) site: Arc<Site>,
    /// Whether its path led it there, so that nothing else is asked.
    pub(super) is_led: bool,
    /// Where it may go, and at which of these places it is.
    pub(super) plan: Plan,
    pub(super) at: usize,
    /// The name of its model there, if it has one.
    pub(super) asked_as: Option<Arc<str>>,
    /// The same, if it is to be put into the body.
    pub(super) rename: Option<ModelName>,
    /// The account that it is bound to there: what it names lies in that one.
    pub(super) account: Option<AccountName>,
    /// The app by whose key it was let in.
    pub(super) key_of: Option<AppName>,
    /// Whether it is for a list of all accounts.
    pub(super) listing: Option<Listing>,
    pub(super) arrived: Instant,
    /// What the client says of it.
    pub(super) wishes: Wishes,
    /// How far apart the notes are that it gets while it waits, if any, and whose shape its stream has.
    pub(super) keep_alive: Option<(Duration, Endpoint)>,
    /// The latest moment at which going upstream is of use to the client.
    pub(super) deadline: Instant,
    /// What of its prompt may be in an account's cache.
    pub(super) prefix: Prefix,
    /// What is known of it so far, for log and books.
    pub(super) record: Record,
}

impl Proxy {
    /// Makes a visit of a request of which nothing is known yet but its head.
    ///
    /// It is boxed, for it is large and moves from stage to stage.
    pub(super) fn visit(&self, mut head: request::Parts) -> Box<Visit> {
        let uri = head.uri.clone();
        let (site, is_led) = match self.lead_by_path(&mut head) {
            Some(site) => (site, true),
            None => (Arc::clone(self.inner.sites.first()), false),
        };
        let arrived = Instant::now();
        let deadline = arrived + self.terms().settings.line.max_wait;
        let record = Record {
            id: RequestId::made(self.inner.clock.since_epoch(arrived), rand::random()),
            attempt: 0,
            party: Party::usual(AppName::new("anonymous")),
            led: uri.path().len().saturating_sub(head.uri.path().len()),
            uri,
            model: "".into(),
            sent_model: "".into(),
            is_diverted: false,
            facts: self.inner.catalog.facts(""),
            served: Served::default(),
            is_regional: false,
            image_form: None,
            endpoint: None,
            demand: ONE_REQUEST,
            allowance: None,
            arrived,
            queued: Duration::ZERO,
            waited_for: None,
            chosen: Choice::default(),
            would_wait: None,
            upstream: None,
            account: None,
            key: None,
            status: 0,
            cause: None,
        };
        let (head, wishes) = (Arc::new(head), Wishes::default());
        let prefix = Prefix::default();
        Box::new(Visit {
            plan: Plan::only(site.name.clone(), "".into()),
            head,
            site,
            is_led,
            at: 0,
            asked_as: None,
            rename: None,
            account: None,
            key_of: None,
            listing: None,
            arrived,
            wishes,
            keep_alive: None,
            deadline,
            prefix,
            record,
        })
    }

    /// Notes on whose behalf `client` sends `errand`, and until when its turn is of use.
    pub(super) fn classify(&self, visit: &mut Visit, client: &Client, errand: &Errand) {
        let agent = visit.head.headers.get(header::USER_AGENT);
        let looks = Looks {
            path: visit.head.uri.path(),
            model: errand.call().map(|call| call.model.as_str()),
            user_agent: agent.and_then(|agent| agent.to_str().ok()),
            asked: visit.wishes.class,
        };
        visit.record.party = self.terms().gate.party(client, &looks);
        visit.keep_alive = self.keep_alive(visit, errand);
        visit.deadline = visit.arrived + self.hold(visit, errand);
        if let Some(wanted_by) = visit.wishes.deadline {
            visit.deadline = visit.deadline.min(wanted_by);
        }
    }

    /// Returns how long the request may wait in line from its arrival.
    fn hold(&self, visit: &Visit, errand: &Errand) -> Duration {
        let longest = self.terms().settings.line.max_wait;
        if visit.keep_alive.is_some() {
            // What it hears while it waits keeps its client and all between from giving up.
            return longest;
        }
        let needed = errand
            .call()
            .map(|call| visit.site.times.expected(&visit.record.sent_model, Until::of(call)));
        patience::patience(&visit.head.headers, longest, needed.unwrap_or_default())
    }

    /// Returns the client's key, where each client uses its own.
    pub(super) fn own_key(&self, visit: &Visit) -> Option<ClientKey> {
        let own = self.terms().upstream(&visit.site).is_some_and(|it| it.accounts.is_empty());
        own.then(|| ClientKey::from_headers(&visit.head.headers))
    }

    /// Returns what the client may have of its model's quotas after those who wait.
    pub(super) fn levels(&self, visit: &Visit) -> Vec<QuotaLevel> {
        visit.site.admission.levels(self.own_key(visit).as_ref(), &visit.record.sent_model)
    }

    /// Says what a request is to be admitted for.
    pub(super) fn ask(&self, visit: &Visit, errand: &Errand) -> Ask {
        Ask {
            own_key: self.own_key(visit),
            account: visit.account.clone(),
            key_of: visit.key_of.clone(),
            party: visit.record.party.clone(),
            wanted_by: visit.wishes.deadline,
            likeness: errand.likeness(&visit.head, self.inner.seed),
            model: lane_model(visit, errand),
            demand: visit.record.demand,
            bytes: errand.bytes_held(),
            deadline: visit.deadline,
            place: None,
            avoid: None,
            prefix: visit.prefix.clone(),
        }
    }
}

/// Returns the model whose limits a request draws on; counting a prompt has limits of its own.
fn lane_model(visit: &Visit, errand: &Errand) -> ModelName {
    match errand.call().map(|call| call.endpoint) {
        Some(Endpoint::MessageTokens) => ModelName::new(""),
        _ => visit.record.sent_model.clone(),
    }
}

//! Finds the account that a request is bound to: the one that has what it names, or that it asks for.
//!
//! A pin counts more than any route: what a request names lies where it lies. What nobody remembers is
//! asked of the first account that can be used, so that what belongs together comes to lie together.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::time::Instant;

use super::errand::Errand;
use super::listing::Listing;
use super::visit::Visit;
use super::wishes::{WishError, account};
use super::{Failure, Proxy, Site};
use crate::auth::Client;
use crate::call::{IdScan, ids_of_target, is_kept_under};
use crate::config::Plan;
use crate::units::AccountName;

/// Where something lies.
#[derive(Debug, Clone)]
struct Home {
    site: Arc<Site>,
    account: AccountName,
    /// What lies there.
    id: String,
}

impl Proxy {
    /// Binds a request to the account that has what it names, or that its client asks for.
    ///
    /// # Errors
    ///
    /// Returns a [`Failure`] where no one account can serve it, or its client may not choose.
    pub(super) async fn bind(
        &self,
        visit: &mut Visit,
        client: &Client,
        errand: &mut Errand,
    ) -> Result<(), Failure> {
        let wished = account(&visit.head.headers)?;
        if wished.is_some() && !client.may_choose_account {
            return Err(WishError::AccountNotYours.into());
        }
        if !self.has_choice() {
            return match wished {
                Some(wished) => self.grant_wish(visit, errand, wished).await,
                None => Ok(()),
            };
        }
        self.lead_by_words(visit);
        visit.listing = Listing::of(visit, wished.as_ref(), self.sites().count());
        if visit.listing.is_some() {
            return Ok(());
        }
        let home = self.home_of_named(visit, errand).await?;
        match (home, wished) {
            (Some(home), Some(wished)) if !home.is_of(&wished) => {
                let Home { id, account, .. } = home;
                Err(Failure::Scattered { id, account, other: None, wished: Some(wished) })
            }
            (Some(Home { site, account, .. }), _) => {
                self.bind_to(visit, errand, (site, account)).await;
                Ok(())
            }
            (None, Some(wished)) => self.grant_wish(visit, errand, wished).await,
            (None, None) => {
                let is_run = errand.call().is_some_and(|call| call.endpoint.is_of_thread());
                if is_run && let Some(home) = visit.site.admission.home() {
                    let site = Arc::clone(&visit.site);
                    self.bind_to(visit, errand, (site, home)).await;
                } else if matches!(errand, Errand::Opaque(_))
                    && is_kept_under(visit.head.uri.path())
                {
                    visit.account = visit.site.admission.home();
                }
                Ok(())
            }
        }
    }

    /// Tells whether there is more than one account that a request could go to.
    pub(super) fn has_choice(&self) -> bool {
        let terms = self.terms();
        let accounts = terms.settings.upstreams.iter().map(|it| it.accounts.len().max(1));
        accounts.sum::<usize>() > 1
    }

    /// Returns the account that has what the request names; `None` where nothing of it is remembered.
    async fn home_of_named(&self, visit: &Visit, errand: &Errand) -> Result<Option<Home>, Failure> {
        let now = self.inner.clock.since_epoch(Instant::now());
        let mut home: Option<Home> = None;
        for id in self.named(&visit.head.uri, errand).await? {
            let Some(found) = self.home_of(visit, &id, now).await else { continue };
            match &home {
                None => home = Some(found),
                Some(home) if home.is_at(&found.site) && home.is_of(&found.account) => {}
                Some(Home { id, account, .. }) => {
                    let (id, account) = (id.clone(), account.clone());
                    let other = Some((found.id, found.account));
                    return Err(Failure::Scattered { id, account, other, wished: None });
                }
            }
        }
        Ok(home)
    }

    /// Returns what may be ids in a request; a large body is read where that holds up nobody.
    ///
    /// # Errors
    ///
    /// Returns a [`Failure`] where it was not read to its end: without what it names it could go to a wrong account.
    async fn named(&self, uri: &Uri, errand: &Errand) -> Result<Vec<String>, Failure> {
        let mut all = in_target(uri, errand);
        let body = errand.looked_at();
        if body.len() <= SCANNED_AT_ONCE {
            in_body(&body, &mut all);
            return Ok(all);
        }
        let found = self.aside(move || {
            in_body(&body, &mut all);
            all
        });
        found.await
    }

    /// Returns where `id` lies. A path that leads to an upstream means what is there.
    async fn home_of(&self, visit: &Visit, id: &str, now: Duration) -> Option<Home> {
        for site in self.places(visit) {
            match self.inner.pins.find(site.name.as_str(), id, now).await {
                Ok(Some(account)) => {
                    let (site, account) = (Arc::clone(site), AccountName::new(account));
                    return Some(Home { site, account, id: id.to_owned() });
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "cannot look up whose an object is"),
            }
        }
        None
    }

    /// Returns where a request may go, the place that it is led to first.
    fn places(&self, visit: &Visit) -> impl Iterator<Item = &Arc<Site>> {
        let (present, is_led) = (visit.site.name.clone(), visit.is_led);
        let (at, besides) = (present.clone(), present);
        let first = self.sites().filter(move |site| site.name == at);
        first.chain(self.sites().filter(move |site| !is_led && site.name != besides))
    }

    /// Binds a request to the account that its client asks for.
    async fn grant_wish(
        &self,
        visit: &mut Visit,
        errand: &mut Errand,
        wished: AccountName,
    ) -> Result<(), Failure> {
        let site = self.places(visit).find(|site| site.admission.has_account(&wished)).cloned();
        let site = site.ok_or(WishError::Account)?;
        self.bind_to(visit, errand, (site, wished)).await;
        Ok(())
    }

    async fn bind_to(&self, visit: &mut Visit, errand: &mut Errand, to: (Arc<Site>, AccountName)) {
        let (site, account) = to;
        visit.account = Some(account);
        let Some(call) = errand.call() else {
            visit.site = site;
            return;
        };
        let present = visit.plan.legs.get(visit.at).cloned();
        // Elsewhere it cannot be served.
        visit.plan.legs.retain(|leg| leg.upstream == site.name);
        if visit.plan.legs.is_empty() {
            visit.plan = Plan::only(site.name.clone(), call.model.clone());
        }
        if visit.at > 0 || visit.plan.legs.first() != present.as_ref() {
            self.turn_to(visit, errand, 0).await;
        }
    }
}

impl Home {
    fn is_of(&self, account: &AccountName) -> bool {
        self.site.admission.is_one(&self.account, account)
    }

    fn is_at(&self, site: &Site) -> bool {
        self.site.name == site.name
    }
}

/// Returns what may be ids in the target of a request.
///
/// What is not remembered has to be looked up in the file: the path of a call is that of its endpoint and names
/// nothing, so that calls cost no look-up for it.
fn in_target(uri: &Uri, errand: &Errand) -> Vec<String> {
    match errand.call() {
        Some(call) if !call.endpoint.is_of_thread() => Vec::new(),
        _ => ids_of_target(uri.path(), uri.query()).map(str::to_owned).collect(),
    }
}

/// Adds what may be ids in a body, each once.
fn in_body(body: &[u8], all: &mut Vec<String>) {
    IdScan::of_request().feed(body, |id| {
        if all.len() < MOST_NAMED && !all.iter().any(|known| known == id) {
            all.push(id.to_owned());
        }
    });
}

/// Bodies of so many bytes are read in at most about 100 µs: a long text takes a hundredth of that, many short ones or
/// numbers a microsecond for each KB.
const SCANNED_AT_ONCE: usize = 96 * 1024;

/// So many ids of a request are looked up: a vector store is made of at most 2,000 files at a time
/// (OpenAI's OpenAPI specification 2.3.0, read 2026-08-21).
const MOST_NAMED: usize = 2_048;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::call::{Call, Endpoint};
    use crate::proxy::errand::Opaque;

    #[test]
    fn a_call_names_what_its_body_names_and_a_path_what_it_has() {
        let call = |body: &'static str| {
            let call = Call::parse(Endpoint::Responses, Bytes::from_static(body.as_bytes()));
            Errand::Metered(Box::new(call.expect("a call")))
        };
        let ids = |uri: &str, errand: &Errand| {
            let mut all = in_target(&uri.parse().expect("a path"), errand);
            in_body(&errand.looked_at(), &mut all);
            all
        };
        let plain = call(r#"{"model":"gpt-4o","input":"Hi"}"#);
        for path in ["/v1/responses", "/v1/responses/compact", "/openai/v1/responses?api-version=1"]
        {
            assert!(ids(path, &plain).is_empty(), "{path} would be looked up");
        }
        let next = call(r#"{"model":"gpt-4o","input":"Hi","previous_response_id":"resp_1"}"#);
        assert_eq!(ids("/v1/responses", &next), ["resp_1"]);
        let file = Errand::Opaque(Opaque::bare());
        assert_eq!(ids("/v1/files/file-1", &file), ["file-1"]);
    }
}

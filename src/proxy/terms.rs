//! What requests are served by, as it was configured last.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use arc_swap::Guard;
use thiserror::Error;
use tokio::time::Instant;

use super::{Proxy, Site};
use crate::auth::Gate;
use crate::config::{Additions, RenewError, Renewed, Settings, UpstreamSettings};
use crate::units::AppName;
use crate::upstream::{Fleet, FleetError};

/// What requests are served by.
#[derive(Debug)]
pub(super) struct Terms {
    /// With what the store adds.
    pub(super) settings: Settings,
    pub(super) gate: Gate,
    /// Without that.
    configured: Settings,
}

/// Why other settings are not taken over.
#[derive(Debug, Error)]
pub enum RenewalError {
    /// They need a restart.
    #[error(transparent)]
    Settings(#[from] RenewError),
    /// A key cannot be used.
    #[error(transparent)]
    Fleet(#[from] FleetError),
}

impl Terms {
    /// Creates the terms that `configured` describe, with what the store adds.
    pub(super) fn new(configured: Settings, added: &Additions) -> Self {
        let settings = configured.clone().with(added);
        let gate = Gate::new(&settings);
        Self { settings, gate, configured }
    }

    /// Returns the accounts and limits of `site`.
    pub(super) fn upstream(&self, site: &Site) -> Option<&UpstreamSettings> {
        self.settings.upstreams.iter().find(|upstream| upstream.name == site.name)
    }
}

impl Proxy {
    /// Serves by other settings from now on. Whoever waits keeps its place, and what is under way ends as
    /// it began. Returns the names of what differs and stays as it was until a restart.
    ///
    /// # Errors
    ///
    /// Returns a [`RenewalError`] where a part of them cannot be taken over; nothing changes then.
    pub fn renew(&self, next: Settings) -> Result<Vec<&'static str>, RenewalError> {
        let added = self.inner.added.lock().unwrap_or_else(PoisonError::into_inner);
        let Renewed { settings, left } = self.terms().configured.renewed(next)?;
        let terms = Terms::new(settings, &added);
        let listen = terms.settings.server.listen;
        if terms.settings.apps.is_empty() && !listen.ip().is_loopback() {
            return Err(RenewError::Open { listen }.into());
        }
        // All of them, before anything changes.
        for upstream in &terms.settings.upstreams {
            Fleet::new(upstream)?;
        }
        for site in self.sites() {
            if let Some(upstream) = terms.upstream(site) {
                site.admission.renew(upstream, &terms.settings.line)?;
            }
        }
        self.go_by(terms);
        Ok(left)
    }

    /// Serves with other apps of the store from now on; a key that is not among theirs opens nothing any more.
    /// Requests under way end as they began; those of an app that has no key any more, and still wait, are refused.
    pub fn renew_apps(&self, next: Additions) {
        let mut added = self.inner.added.lock().unwrap_or_else(PoisonError::into_inner);
        let configured = self.terms().configured.clone();
        for app in next.shadowed_by(&configured) {
            tracing::warn!(%app, "the configuration has an app of this name, which counts; that of the store does not");
        }
        if !next.apps.is_empty() && !configured.may_have_apps() {
            tracing::warn!(
                "the store has apps, but clients bring their own keys here: the apps do not count"
            );
        }
        self.go_by(Terms::new(configured, &next));
        *added = next;
    }

    /// Tells whether apps count: not where clients bring their own keys.
    pub fn may_have_apps(&self) -> bool {
        self.terms().settings.may_have_apps()
    }

    /// Tells whether there are apps, of which somebody may have to have the key.
    pub fn has_apps(&self) -> bool {
        !self.terms().settings.apps.is_empty()
    }

    fn go_by(&self, terms: Terms) {
        self.inner.metrics.renew(terms.settings.named_apps());
        self.inner.allotments.renew(terms.settings.app_limits(), Instant::now());
        self.inner.purse.renew(terms.settings.budgets.clone());
        let before = self.inner.terms.swap(Arc::new(terms));
        let now = self.terms();
        let gone = before.gate.open_to().difference(now.gate.open_to()).cloned();
        let gone: HashSet<AppName> = gone.collect();
        if !gone.is_empty() {
            // Those who wait for money are looked at when they go.
            self.sites().for_each(|site| site.admission.turn_away(&gone));
        }
    }

    /// Returns what requests are served by now. Not to be held over an await.
    pub(super) fn terms(&self) -> Guard<Arc<Terms>> {
        self.inner.terms.load()
    }
}

//! What requests are served by, as it was configured last.

use std::sync::Arc;

use arc_swap::Guard;
use thiserror::Error;
use tokio::time::Instant;

use super::{Proxy, Site};
use crate::auth::Gate;
use crate::config::{RenewError, Renewed, Settings, UpstreamSettings};
use crate::upstream::{Fleet, FleetError};

/// What requests are served by.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) settings: Settings,
    pub(super) gate: Gate,
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
    /// Creates the terms that `settings` describe.
    pub(super) fn new(settings: Settings) -> Self {
        let gate = Gate::new(&settings);
        Self { settings, gate }
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
        let Renewed { settings, left } = self.terms().settings.renewed(next)?;
        let named = settings.named_apps();
        let terms = Terms::new(settings);
        // All of them, before anything changes.
        for upstream in &terms.settings.upstreams {
            Fleet::new(upstream)?;
        }
        for site in self.sites() {
            if let Some(upstream) = terms.upstream(site) {
                site.admission.renew(upstream, &terms.settings.line)?;
            }
        }
        self.inner.allotments.renew(terms.settings.app_limits(), Instant::now());
        self.inner.metrics.renew(named);
        self.inner.purse.renew(terms.settings.budgets.clone());
        self.inner.terms.store(Arc::new(terms));
        Ok(left)
    }

    /// Returns what requests are served by now. Not to be held over an await.
    pub(super) fn terms(&self) -> Guard<Arc<Terms>> {
        self.inner.terms.load()
    }
}

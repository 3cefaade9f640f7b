//! Finds the upstream of a request.

use std::sync::Arc;

use http::request;
use http::uri::PathAndQuery;

use super::visit::Visit;
use super::{Proxy, ProxyError, Site};
use crate::admit::Allotments;
use crate::config::{Dialect, Plan, Settings};
use crate::units::{ModelName, UpstreamName, below_base};
use crate::upstream::{Client, NetworkEnvironment};

/// All upstreams; at least one.
#[derive(Debug)]
pub(super) struct Sites {
    first: Arc<Site>,
    others: Vec<Arc<Site>>,
}

impl Sites {
    /// Opens the upstreams of `settings`.
    pub(super) fn open(
        settings: &Settings,
        allotments: &Allotments,
        environment: NetworkEnvironment,
    ) -> Result<Self, ProxyError> {
        let (first, others) = settings.upstreams.split_first().ok_or(ProxyError::NoUpstream)?;
        let client = Client::new(&settings.timeouts, environment)?;
        let line = (&settings.line, allotments);
        let open = |upstream, client| Site::open(upstream, line, client).map(Arc::new);
        let others: Result<_, _> =
            others.iter().map(|upstream| open(upstream, client.another())).collect();
        Ok(Self { first: open(first, client)?, others: others? })
    }

    /// Returns where all goes that nothing leads elsewhere.
    pub(super) const fn first(&self) -> &Arc<Site> {
        &self.first
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Site>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Returns the upstream of that name. Settings name only those that are there.
    pub(super) fn named(&self, name: &UpstreamName) -> &Arc<Site> {
        self.iter().find(|site| site.name == *name).unwrap_or(&self.first)
    }
}

impl Proxy {
    /// Returns the upstream that the path leads to, and takes the front of the path away that does.
    pub(super) fn lead_by_path(&self, head: &mut request::Parts) -> Option<Arc<Site>> {
        let terms = self.terms();
        let (upstream, rest) = terms.settings.route_of_path(head.uri.path())?;
        let site = Arc::clone(self.inner.sites.named(upstream));
        let rest = if rest.is_empty() { "/" } else { rest };
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        // What is left of a path is one.
        let path = PathAndQuery::try_from(format!("{rest}{query}")).ok()?;
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.path_and_query = Some(path);
        head.uri = http::Uri::from_parts(parts).unwrap_or_default();
        Some(site)
    }

    /// Leads who asks for models in Anthropic's words to the first upstream that speaks them: others have none that it
    /// would know.
    pub(super) fn lead_by_words(&self, visit: &mut Visit) {
        let path = below_base(visit.head.uri.path());
        let asks = path == "/models" || path.starts_with("/models/");
        let speaks = |site: &&Arc<Site>| site.address.dialect() == Dialect::Anthropic;
        if !asks
            || visit.is_led
            || !visit.head.headers.contains_key("anthropic-version")
            || speaks(&&visit.site)
        {
            return;
        }
        let terms = self.terms();
        let has_keys =
            |site: &&Arc<Site>| terms.upstream(site).is_some_and(|it| !it.accounts.is_empty());
        if let Some(site) = self.inner.sites.iter().filter(speaks).find(has_keys) {
            visit.site = Arc::clone(site);
            visit.plan = Plan::only(site.name.clone(), ModelName::new(""));
        }
    }

    /// Returns where a request for `model` goes.
    pub(super) fn plan(&self, visit: &Visit, model: &ModelName) -> Plan {
        if visit.is_led {
            return Plan::only(visit.site.name.clone(), model.clone());
        }
        self.terms().settings.plan(model, &self.inner.sites.first.name)
    }
}

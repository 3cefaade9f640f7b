//! Serves a websocket: it is admitted as one request and holds its slot; what is asked on it is debited when
//! it passes, and settled by the answer that tells what was used.

mod session;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header, request, response};
use hyper::upgrade::OnUpgrade;

use self::session::{Said, Session};
use super::errand::fit_to_keep;
use super::visit::Visit;
use super::{Failure, Proxy};
use crate::call::{Call, Endpoint, spliced};
use crate::config::OtherName;
use crate::relay::{Body, Ended};
use crate::settle::{Ending, Unsettled};
use crate::units::{ModelName, UpstreamName};

/// A websocket that a client wants.
#[derive(Debug)]
pub(super) struct Socket {
    client: OnUpgrade,
    talk: Talk,
    /// The model of all that is asked on it; empty where each request names its own.
    model: ModelName,
}

/// What is spoken on a websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Talk {
    /// Requests that are as those for responses.
    Responses,
    /// A conversation that grows on the provider's side.
    Realtime,
    /// Something that is not known: it counts as one request.
    Unknown,
}

impl Socket {
    /// Returns the websocket that `head` asks for, if it does.
    pub(super) fn of(head: &request::Parts) -> Option<Self> {
        let wanted = head.headers.get(header::UPGRADE)?.to_str().ok()?;
        if head.method != Method::GET || !wanted.eq_ignore_ascii_case("websocket") {
            return None;
        }
        let client = head.extensions.get::<OnUpgrade>()?.clone();
        let path = head.uri.path();
        let talk = match path.strip_prefix("/v1").unwrap_or(path) {
            "/responses" => Talk::Responses,
            "/realtime" => Talk::Realtime,
            _ => Talk::Unknown,
        };
        let query = head.uri.query().unwrap_or_default();
        let model = query.split('&').find_map(|pair| pair.strip_prefix("model="));
        Some(Self { client, talk, model: ModelName::new(model.unwrap_or_default()) })
    }

    /// Makes `request`, which goes to the provider, ask for a websocket. Compression is left out, for
    /// what is said has to be read; so is a key of the client's that stands among the protocols.
    pub(super) fn ask<B>(request: &mut Request<B>) {
        let headers = request.headers_mut();
        switch(headers);
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|it| it.to_str().ok());
        let Some(protocols) = protocols else { return };
        let kept = protocols.split(',').map(str::trim).filter(|it| !it.starts_with(KEY_PROTOCOL));
        if let Ok(kept) = HeaderValue::try_from(kept.collect::<Vec<_>>().join(", ")) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, kept);
        }
    }
}

/// Returns `uri` with another model in its query; `None` where the name cannot stand there.
fn with_model(uri: &Uri, model: &str) -> Option<Uri> {
    let pair = |pair: &str| match pair.starts_with("model=") {
        true => format!("model={model}"),
        false => pair.to_owned(),
    };
    let query: Vec<String> = uri.query()?.split('&').map(pair).collect();
    let is_plain =
        model.bytes().all(|byte| byte.is_ascii_graphic() && !b"&#%+?\"<>".contains(&byte));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = format!("{}?{}", uri.path(), query.join("&")).parse().ok();
    Uri::from_parts(parts).ok().filter(|_| is_plain)
}

/// What browsers, which cannot set headers, put before a key.
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

fn switch(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

impl Proxy {
    /// Returns the websocket that a request asks for, if it does, and notes its model.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::OtherName`] for a model that the provider knows by another name, which cannot stand in a
    /// query.
    pub(super) fn socket(&self, visit: &mut Visit) -> Result<Option<Socket>, Failure> {
        let Some(socket) = Socket::of(&visit.head) else { return Ok(None) };
        visit.record.model = fit_to_keep(&socket.model);
        visit.record.sent_model = visit.record.model.clone();
        if !socket.model.as_str().is_empty() {
            self.lead_socket(visit, &socket.model)?;
        }
        visit.record.facts = self.inner.catalog.facts(visit.record.sent_model.as_str());
        Ok(Some(socket))
    }

    /// Leads a websocket where its model is served first, under the name that it has there.
    fn lead_socket(&self, visit: &mut Visit, model: &ModelName) -> Result<(), Failure> {
        let Some(leg) = self.plan(visit, model).legs.into_iter().next() else { return Ok(()) };
        visit.site = Arc::clone(self.inner.sites.named(&leg.upstream));
        let name = visit.site.address.name_of(leg.model.as_str());
        if name != model.as_str() {
            let named = with_model(&visit.head.uri, name);
            let named =
                named.ok_or_else(|| OtherName { model: model.clone(), real: leg.model.clone() })?;
            Arc::make_mut(&mut visit.head).uri = named;
        }
        visit.record.is_diverted = leg.model != *model;
        visit.record.sent_model = fit_to_keep(&leg.model);
        Ok(())
    }

    /// Tells whether a model may have another name than its client says.
    fn renames(&self) -> bool {
        let has_other_names = self.sites().any(|site| site.address.has_other_names());
        has_other_names || !self.terms().settings.models.is_empty()
    }

    /// Returns a request for a response with the name that its model has at `site`; `None` where it says that, or
    /// is none.
    fn renamed(&self, text: &[u8], site: &UpstreamName) -> Option<Vec<u8>> {
        let said = serde_json::from_slice::<Said<'_>>(text).ok()?;
        if said.kind.as_deref() != Some("response.create") {
            return None;
        }
        let call = Call::parse(Endpoint::Responses, Bytes::copy_from_slice(text)).ok()?;
        let terms = self.terms();
        let plan = terms.settings.plan(&call.model, site);
        let leg = plan.legs.into_iter().find(|leg| leg.upstream == *site)?;
        let name = self.inner.sites.named(site).address.name_of(leg.model.as_str());
        let name = (name != call.model.as_str()).then(|| ModelName::new(name))?;
        Some(spliced(&call, Some(&name)).concat())
    }

    /// Joins a client with the provider, which agreed to speak.
    pub(super) fn joined(
        &self,
        socket: &Socket,
        mut unsettled: Unsettled,
        mut head: response::Parts,
    ) -> Response<Body> {
        switch(&mut head.headers);
        unsettled.head_leaves();
        if let Some(provider) = head.extensions.remove::<OnUpgrade>() {
            let (client, talk) = (socket.client.clone(), socket.talk);
            let pass = unsettled.pass().clone();
            let session = Session::new(self.clone(), talk, unsettled);
            tokio::spawn(async move {
                let gone = Ended { socket: Ending::ClientGone, unanswered: Ending::ClientGone };
                let ended = match tokio::try_join!(client, provider) {
                    Ok(ends) => session.serve(ends, pass).await,
                    Err(_) => gone,
                };
                session.end(ended);
            });
        }
        Response::from_parts(head, Body::empty())
    }
}

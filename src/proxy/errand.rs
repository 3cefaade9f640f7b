//! What a client wants done: a call that is read and counted, or a request that passes through.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method as Verb, StatusCode, header, request};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64_with_seed as xxh3;

use super::form::Form;
use super::socket::Socket;
use super::visit::Visit;
use super::{Failure, Proxy};
use crate::call::{Call, Delivery, Endpoint, FormReader, StreamUsage, spliced};
use crate::config::Plan;
use crate::count::{Demand, Method};
use crate::packing::Packing;
use crate::units::{ModelName, Requests, Tokens, deployment};
use crate::upstream::{Body, Reading, Spool};

/// What is sent upstream.
#[derive(Debug)]
pub(super) enum Errand {
    /// A call of a metered endpoint. It can be sent again.
    Metered(Box<Call>),
    /// A call of a metered endpoint whose body is a form with files.
    Form(Box<Form>),
    /// A websocket.
    Socket(Box<Socket>),
    /// Anything else.
    Opaque(Opaque),
}

/// A request that passes through unread.
#[derive(Debug)]
pub(super) struct Opaque {
    /// The front of its body, read to see what it names; empty where nobody looked.
    front: Bytes,
    /// The rest, which streams through, once.
    body: Option<Incoming>,
    /// Whether a part of the body may be gone.
    is_spent: bool,
    /// Whether its method changes nothing at the provider.
    is_safe: bool,
}

/// What a request that passes through costs.
pub(super) const ONE_REQUEST: Demand = Demand {
    requests: Requests::ONE,
    input: Tokens::ZERO,
    output_bound: Some(Tokens::ZERO),
    characters: 0,
    images: 0,
    method: Method::Exact,
};

impl Errand {
    /// Returns how many bytes it holds while it waits.
    pub(super) fn bytes_held(&self) -> usize {
        match self {
            Self::Metered(call) => call.bytes_held(),
            Self::Form(form) => form.bytes_held(),
            Self::Socket(_) => 0,
            Self::Opaque(opaque) => opaque.front.len(),
        }
    }

    /// Returns what was read of its body, plain; of a form, its texts.
    pub(super) fn looked_at(&self) -> Bytes {
        match self {
            Self::Metered(call) => call.body.clone(),
            Self::Form(form) => form.call.body.clone(),
            Self::Socket(_) => Bytes::new(),
            Self::Opaque(opaque) => opaque.front.clone(),
        }
    }

    /// Returns the call, if it is one.
    pub(super) fn call(&self) -> Option<&Call> {
        match self {
            Self::Metered(call) => Some(call),
            Self::Form(form) => Some(&form.call),
            Self::Socket(_) | Self::Opaque(_) => None,
        }
    }

    /// Returns what an equal request has in common with it; `None` where its body is not known. Forms have
    /// the same texts and as large files: each has a boundary of its own.
    pub(super) fn likeness(&self, head: &request::Parts, seed: u64) -> Option<u64> {
        let body = match self {
            Self::Metered(call) => &*call.body,
            Self::Form(form) => &*form.call.body,
            Self::Opaque(opaque) if opaque.is_bare() => &[],
            Self::Socket(_) | Self::Opaque(_) => return None,
        };
        let path = head.uri.path();
        let path = path.strip_prefix("/v1").unwrap_or(path);
        let texts = [head.method.as_str(), path, head.uri.query().unwrap_or_default()];
        let sound = self.call().map_or(0, |call| call.attached.sound);
        let seed = seed ^ sound.rotate_left(32);
        let looks = texts.into_iter().fold(seed, |seed, text| xxh3(text.as_bytes(), seed));
        Some(xxh3(body, looks))
    }

    /// Tells whether it can be sent once more.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::Metered(_) | Self::Socket(_) => true,
            Self::Form(form) => form.is_at_hand(),
            Self::Opaque(opaque) => !opaque.is_spent,
        }
    }

    /// Tells whether it may be sent again after the provider said that it failed.
    pub(super) fn may_fail_twice(&self) -> bool {
        match self {
            Self::Metered(_) | Self::Form(_) | Self::Socket(_) => true,
            Self::Opaque(opaque) => opaque.is_safe,
        }
    }

    /// Tells whether sending it twice does no harm, should the provider have seen it already.
    ///
    /// A response may be stored, and a background one goes on; a video stays; other generations and
    /// embeddings leave nothing behind.
    pub(super) fn is_harmless_twice(&self) -> bool {
        match self {
            Self::Metered(call) => call.endpoint.leaves_nothing(),
            Self::Form(form) => form.call.endpoint.leaves_nothing(),
            Self::Socket(_) => true,
            Self::Opaque(opaque) => opaque.is_safe,
        }
    }

    /// Returns the body to send, for `model` if it is not the one that the client named. A body that
    /// passes through is there once.
    pub(super) fn body(&mut self, model: Option<&ModelName>) -> Body {
        match self {
            Self::Metered(call) => Body::pieces(spliced(call, model)),
            Self::Form(form) => form.body(),
            Self::Socket(_) => Body::empty(),
            Self::Opaque(opaque) => match opaque.body.take_if(|body| !body.is_end_stream()) {
                Some(body) => {
                    opaque.is_spent = true;
                    match std::mem::take(&mut opaque.front) {
                        front if front.is_empty() => Body::streamed(body),
                        front => Body::spooled(Box::new(Spool::of(front)), Some(body)),
                    }
                }
                None => Body::full(opaque.front.clone()),
            },
        }
    }

    /// Tells whether its body came packed and is sent unpacked, as another model is put into it.
    pub(super) fn is_unpacked(&self, model: Option<&ModelName>) -> bool {
        model.is_some() && self.call().is_some_and(Call::is_packed)
    }

    /// Asks for no usage any more, if that was refused; tells whether there was something to give up.
    pub(super) fn give_up_usage(&mut self, (status, body): (StatusCode, &[u8])) -> bool {
        let is_refused = || memchr::memmem::find(body, b"stream_options").is_some();
        match self {
            Self::Metered(call)
                if call.delivery == SPLICED
                    && matches!(status.as_u16(), 400 | 422)
                    && is_refused() =>
            {
                call.ask_usage(false);
                true
            }
            _ => false,
        }
    }

    /// Tells how its answer has to come; one that is `kept` alive becomes a part of another stream.
    pub(super) fn reading(&self, kept: bool) -> Reading {
        match self {
            Self::Metered(call) if kept || call.delivery == SPLICED => Reading::Plain,
            Self::Form(_) if kept => Reading::Plain,
            _ => Reading::AsAsked,
        }
    }
}

impl Opaque {
    fn new(method: &Verb, body: Incoming) -> Self {
        let is_safe = matches!(*method, Verb::GET | Verb::HEAD | Verb::OPTIONS);
        Self { front: Bytes::new(), body: Some(body), is_spent: false, is_safe }
    }

    /// Creates a request that only asks, without a body.
    pub(super) const fn bare() -> Self {
        Self { front: Bytes::new(), body: None, is_spent: false, is_safe: true }
    }

    /// Tells whether it has no body.
    fn is_bare(&self) -> bool {
        !self.is_spent
            && self.front.is_empty()
            && self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }
}

/// Returns `model`, cut where it is longer than any model's name: names are remembered and logged.
pub(super) fn fit_to_keep(model: &ModelName) -> ModelName {
    let text = model.as_str();
    if text.len() <= LONGEST_NAME {
        return model.clone();
    }
    let end = text.floor_char_boundary(LONGEST_NAME);
    ModelName::new(format!("{}...", text.get(..end).unwrap_or_default()))
}

/// Tells whether a `Content-Type` is that of JSON.
fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes().get(..JSON.len());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(JSON.as_bytes()))
}

const JSON: &str = "application/json";

/// How much of a body is read before it is known where it goes: objects and their parts have a few
/// thousand bytes.
const MOST_LOOKED_AT: usize = 1 << 20;

/// The longest name of a model that is remembered, in bytes.
const LONGEST_NAME: usize = 200;

const SPLICED: Delivery = Delivery::Stream { usage: StreamUsage::Spliced };

impl Proxy {
    /// Reads what the client wants, and what it may cost.
    pub(super) async fn read(&self, visit: &mut Visit, body: Incoming) -> Result<Errand, Failure> {
        if let Some(socket) = self.socket(visit)? {
            return Ok(Errand::Socket(Box::new(socket)));
        }
        let head = Arc::clone(&visit.head);
        let named = deployment(head.uri.path());
        let path = named.map_or(head.uri.path(), |(_, rest)| rest);
        let named = named.map(|(name, _)| name);
        let Some(endpoint) = Endpoint::of(&head.method, path) else {
            let opaque = Opaque::new(&head.method, body);
            return Ok(Errand::Opaque(self.look_at(&head, opaque).await?));
        };
        let headers = &visit.head.headers;
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let mut errand = match (Packing::of(headers), kind.and_then(FormReader::of)) {
            (Packing::Plain, Some(reader)) if named.is_none() => {
                Errand::Form(Box::new(self.read_form(endpoint, reader, body).await?))
            }
            (Packing::Plain, None) => {
                let bytes = self.collect(body).await?;
                Errand::Metered(Box::new(self.parse(endpoint, bytes, named).await?.at(path)))
            }
            (Packing::Packed(coding), None) => {
                let bytes = self.collect(body).await?;
                let plain = self.unpack(coding, bytes.clone()).await?;
                let call = self.parse(endpoint, plain, named).await?;
                Errand::Metered(Box::new(call.at(path).sent_as(bytes)))
            }
            // The provider says whether it takes it. A form whose path names the model need not name it.
            (Packing::Unknown | Packing::Packed(_), _) | (Packing::Plain, Some(_)) => {
                return Ok(Errand::Opaque(Opaque::new(&visit.head.method, body)));
            }
        };
        if let Errand::Metered(call) = &mut errand
            && let Some(model) = self.inner.models.find(&call.model_known_by())
        {
            call.learn_model(model);
        }
        if let Some((model, plan)) = errand.call().map(|call| self.plan_of(visit, call)) {
            visit.record.model = fit_to_keep(&model);
            visit.plan = plan;
            if matches!(errand, Errand::Form(_)) {
                visit.plan.keep_name(&model)?;
            }
            self.turn_to(visit, &mut errand, 0).await;
        }
        Ok(errand)
    }

    /// Returns the model of a call, and where it goes; a run goes where its thread lies, and nowhere else.
    fn plan_of(&self, visit: &Visit, call: &Call) -> (ModelName, Plan) {
        let model = call.model.clone();
        if call.endpoint.is_of_thread() && (call.is_model_learned() || model.as_str().is_empty()) {
            let plan = Plan::only(visit.site.name.clone(), model.clone());
            return (model, plan);
        }
        let mut plan = self.plan(visit, &model);
        if call.endpoint.is_of_thread() {
            plan.legs.truncate(1);
        }
        (model, plan)
    }

    /// Reads the front of a body that may name what lies at the provider, if that decides anything.
    async fn look_at(&self, head: &request::Parts, mut opaque: Opaque) -> Result<Opaque, Failure> {
        let kind = head.headers.get(header::CONTENT_TYPE);
        let is_looked_at = kind.is_some_and(is_json)
            && Packing::of(&head.headers) == Packing::Plain
            && self.has_choice();
        if !is_looked_at {
            return Ok(opaque);
        }
        let patience = self.terms().settings.timeouts.client;
        let Some(body) = &mut opaque.body else { return Ok(opaque) };
        let mut front = BytesMut::new();
        while front.len() < MOST_LOOKED_AT {
            let next = timeout(patience, body.frame()).await;
            let Some(frame) = next.map_err(|_| Failure::BodyTooSlow)? else { break };
            let Ok(piece) = frame.map_err(Failure::Body)?.into_data() else { continue };
            front.extend_from_slice(&piece);
        }
        opaque.body.take_if(|body| body.is_end_stream());
        opaque.front = front.freeze();
        Ok(opaque)
    }
}

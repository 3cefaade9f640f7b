//! What a client wants done: a call that is read and counted, or a request that passes through.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::{Failure, Proxy, Visit};
use crate::call::{Call, Delivery, Endpoint, StreamUsage, splice_include_usage};
use crate::catalog::ModelFacts;
use crate::count::{Demand, Method};
use crate::units::{Requests, Tokens};
use crate::upstream::{Body, Reading};

/// What is sent upstream.
#[derive(Debug)]
pub(super) enum Errand {
    /// A call of a metered endpoint. It can be sent again.
    Metered(Box<Call>),
    /// Anything else: its body streams through, once.
    Opaque(Option<Incoming>),
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
            Self::Metered(call) => call.body.len(),
            Self::Opaque(_) => 0,
        }
    }

    /// Tells whether it can be sent once more.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::Metered(_) => true,
            Self::Opaque(body) => body.as_ref().is_none_or(Incoming::is_end_stream),
        }
    }

    /// Tells whether sending it twice does no harm, should the provider have seen it already.
    ///
    /// A response may be stored, and a background one goes on; generations and embeddings leave
    /// nothing behind.
    pub(super) fn is_harmless_twice(&self) -> bool {
        matches!(self, Self::Metered(call) if call.endpoint != Endpoint::Responses)
    }

    /// Returns the body to send. A body that passes through is there once.
    pub(super) fn body(&mut self) -> Body {
        match self {
            Self::Metered(call) if call.delivery == SPLICED => {
                Body::pieces(splice_include_usage(call))
            }
            Self::Metered(call) => Body::full(call.body.clone()),
            Self::Opaque(body) => match body.take_if(|body| !body.is_end_stream()) {
                Some(body) => Body::streamed(body),
                None => Body::empty(),
            },
        }
    }

    /// Tells whether its answer is read on the way back.
    pub(super) const fn reading(&self) -> Reading {
        match self {
            Self::Metered(_) => Reading::Metered,
            Self::Opaque(_) => Reading::Opaque,
        }
    }
}

const SPLICED: Delivery = Delivery::Stream { usage: StreamUsage::Spliced };

impl Proxy {
    /// Reads what the client wants, and what it may cost.
    pub(super) async fn read(&self, visit: &mut Visit, body: Incoming) -> Result<Errand, Failure> {
        let Some(endpoint) = Endpoint::of(&visit.head.method, visit.head.uri.path()) else {
            return Ok(Errand::Opaque(Some(body)));
        };
        if visit.head.headers.contains_key(http::header::CONTENT_ENCODING) {
            // A compressed body is not read; the provider says whether it takes it.
            return Ok(Errand::Opaque(Some(body)));
        }
        let bytes = self.collect(body).await?;
        let call = Call::parse(endpoint, bytes)?;
        visit.record.model = call.model.clone();
        visit.record.facts = self.inner.catalog.facts(call.model.as_str());
        visit.record.demand = self.count(&call, visit.record.facts).await;
        Ok(Errand::Metered(Box::new(call)))
    }

    /// Counts at once what costs little, and the rest where it holds up nobody.
    async fn count(&self, call: &Call, facts: ModelFacts) -> Demand {
        if let Some(demand) = self.inner.counter.try_count(call, &facts) {
            return demand;
        }
        let (counter, call) = (self.inner.counter.clone(), call.clone());
        let size = call.body.len() as u64;
        let counted = tokio::task::spawn_blocking(move || counter.count(&call, &facts)).await;
        // Only a runtime that shuts down drops the task; what is left then is the size.
        counted.unwrap_or(Demand {
            input: Tokens::new(size / 2),
            output_bound: None,
            characters: size,
            method: Method::Approximate,
            ..ONE_REQUEST
        })
    }

    async fn collect(&self, mut body: Incoming) -> Result<Bytes, Failure> {
        let limit = self.inner.settings.server.max_body;
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            return Err(Failure::BodyTooLarge { limit });
        }
        let mut whole = BytesMut::new();
        let mut first = Bytes::new();
        loop {
            let next = timeout(self.inner.settings.timeouts.client, body.frame()).await;
            let Some(frame) = next.map_err(|_| Failure::BodyTooSlow)? else { break };
            let Ok(data) = frame.map_err(Failure::Body)?.into_data() else { continue };
            if whole.len() + first.len() + data.len() > limit {
                return Err(Failure::BodyTooLarge { limit });
            }
            if first.is_empty() && whole.is_empty() {
                first = data;
                continue;
            }
            if whole.is_empty() {
                whole.reserve(usize::try_from(announced).unwrap_or(0).max(2 * first.len()));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
        // Most bodies come in one piece, which is then used as it is.
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }
}

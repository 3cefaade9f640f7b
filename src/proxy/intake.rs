//! Takes bodies in, and does with them what takes long where it holds up nobody.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::errand::ONE_REQUEST;
use super::{Failure, Proxy, Site};
use crate::call::{Call, Endpoint};
use crate::catalog::ModelFacts;
use crate::count::{Counter, Demand, Method, Prefix};
use crate::packing::Coding;
use crate::units::Tokens;

impl Proxy {
    /// Counts at once what costs little, and the rest where it holds up nobody.
    pub(super) async fn weigh(
        &self,
        site: &Site,
        call: &Call,
        facts: ModelFacts,
    ) -> (Demand, Prefix) {
        // Where there is one account, its cache is all there is.
        let several = self.terms().upstream(site).is_some_and(|it| it.accounts.len() > 1);
        let prefix = move |counter: &Counter, call: &Call, demand: &Demand| match several {
            true if Prefix::may_have(demand) => counter.prefix(call, &facts),
            _ => Prefix::default(),
        };
        if let Some(demand) = self.inner.counter.try_count(call, &facts) {
            return (demand, prefix(&self.inner.counter, call, &demand));
        }
        let (counter, call) = (self.inner.counter.clone(), call.clone());
        let size = call.body.len() as u64;
        let counted = self.aside(move || {
            let demand = counter.count(&call, &facts);
            (demand, prefix(&counter, &call, &demand))
        });
        // Where that is dropped, what is left is the size.
        counted.await.unwrap_or_else(|_| {
            let demand = Demand {
                input: Tokens::new(size / 2),
                output_bound: None,
                characters: size,
                method: Method::Approximate,
                ..ONE_REQUEST
            };
            (demand, Prefix::default())
        })
    }

    /// Reads a body as a call; a large one where that holds up nobody.
    pub(super) async fn parse(
        &self,
        endpoint: Endpoint,
        body: Bytes,
        named: Option<&str>,
    ) -> Result<Call, Failure> {
        if body.len() <= PARSED_AT_ONCE {
            return Ok(Call::parse_named(endpoint, body, named)?);
        }
        let named = named.map(str::to_owned);
        let parse = move || Call::parse_named(endpoint, body, named.as_deref());
        Ok(self.aside(parse).await??)
    }

    /// Unpacks a body where that holds up nobody.
    pub(super) async fn unpack(&self, coding: Coding, packed: Bytes) -> Result<Bytes, Failure> {
        let limit = self.terms().settings.server.max_body;
        let room = limit.min(packed.len().saturating_mul(MOST_GROWTH).max(ALWAYS_ROOM));
        Ok(self.aside(move || coding.unpack(&packed, room)).await??)
    }

    /// Does what takes long where it holds up nobody, as many at a time as there are cores: more would take the time
    /// of those who serve.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = Arc::clone(&self.inner.counting).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            job()
        });
        // Only a runtime that shuts down drops the task.
        done.await.map_err(|_| Failure::Dropped)
    }

    /// Reads a body whole, within the bounds that are configured.
    pub(super) async fn collect(&self, mut body: Incoming) -> Result<Bytes, Failure> {
        let (limit, patience) = {
            let settings = &self.terms().settings;
            (settings.server.max_body, settings.timeouts.client)
        };
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            return Err(Failure::BodyTooLarge { limit });
        }
        let mut whole = BytesMut::new();
        let mut first = Bytes::new();
        loop {
            let next = timeout(patience, body.frame()).await;
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
                let announced = usize::try_from(announced).unwrap_or(0).min(MOST_ON_TRUST);
                whole.reserve(announced.max(2 * first.len()));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
        // Most bodies come in one piece, which is then used as it is.
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }
}

/// Bodies of up to so many bytes are read in less time than it takes to hand them to another thread and back, some
/// 0.1 ms.
const PARSED_AT_ONCE: usize = 256 << 10;
/// How much memory is set aside for a body because its head says so.
const MOST_ON_TRUST: usize = 1 << 20;

/// How many times its size a body may unpack to: texts rarely get to a tenth, and a few bytes of
/// nothing but repetition must not take all memory.
const MOST_GROWTH: usize = 100;
/// To so much any may.
const ALWAYS_ROOM: usize = 1 << 20;

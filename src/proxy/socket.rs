//! Serves a websocket: it is admitted as one request and holds its slot; what is asked on it is debited when
//! it passes, and settled by the answer that tells what was used.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header, request, response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::errand::{ONE_REQUEST, fit_to_keep};
use super::visit::Visit;
use super::{Failure, Proxy};
use crate::call::{Call, Endpoint};
use crate::count::{Demand, Method as Counted};
use crate::relay::{Answered, Body, Ended, Heard, answered, join};
use crate::settle::{Ending, Pass, Unsettled};
use crate::units::{ModelName, Receipt, Tokens, Usage};

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
    /// Returns [`Failure::OtherName`] for a model that the provider knows by another name.
    pub(super) fn socket(&self, visit: &mut Visit) -> Result<Option<Socket>, Failure> {
        let Some(socket) = Socket::of(&visit.head) else { return Ok(None) };
        self.plan(visit, &socket.model).keep_name(&socket.model)?;
        visit.record.model = fit_to_keep(&socket.model);
        visit.record.sent_model = visit.record.model.clone();
        visit.record.facts = self.inner.catalog.facts(socket.model.as_str());
        Ok(Some(socket))
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

/// What goes on on a websocket. Cloning shares it.
#[derive(Clone)]
struct Session {
    proxy: Proxy,
    talk: Talk,
    state: Arc<Mutex<State>>,
    /// Rung when something is answered.
    answered: Arc<Notify>,
}

struct State {
    /// The websocket itself; `None` when it is over.
    socket: Option<Unsettled>,
    /// What was asked and is not answered, the oldest first.
    asked: VecDeque<Unsettled>,
    /// How many of them the provider has begun to answer.
    begun: usize,
    /// What it has said of the oldest.
    heard: Heard,
    /// Tokens of the conversation, as the last answer told them.
    history: u64,
    /// Tokens that came to it since, by size.
    fresh: u64,
}

/// What a message is about; the rest of it is not read.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

impl Session {
    fn new(proxy: Proxy, talk: Talk, socket: Unsettled) -> Self {
        let state = State {
            socket: Some(socket),
            asked: VecDeque::new(),
            begun: 0,
            heard: Heard::default(),
            history: 0,
            fresh: 0,
        };
        let answered = Arc::new(Notify::new());
        Self { proxy, talk, state: Arc::new(Mutex::new(state)), answered }
    }

    /// Serves a websocket to its end, or until the program stops and nothing is left to be answered.
    async fn serve(&self, ends: (Upgraded, Upgraded), mut pass: Pass) -> Ended {
        let (told, heard) = (self.clone(), self.clone());
        let asks = move |text: &[u8]| told.asks(text);
        let answers = move |text: &[u8]| heard.answers(text);
        let stop = async {
            pass.draining().await;
            tokio::select! {
                () = self.quiet() => {}
                () = pass.cut() => {}
            }
        };
        join(ends, (asks, answers), stop).await
    }

    /// Waits until all that was asked is answered.
    async fn quiet(&self) {
        loop {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            if self.state().asked.is_empty() {
                return;
            }
            answered.await;
        }
    }

    /// Closes all: what was being answered is counted, what was not begun keeps its estimate.
    fn end(&self, ended: Ended) {
        let mut state = self.state();
        let heard = std::mem::take(&mut state.heard);
        if state.begun > 0
            && let Some(asked) = state.asked.pop_front()
        {
            self.count(asked, heard, ended.unanswered);
        }
        for asked in state.asked.drain(..) {
            asked.keep(ended.unanswered);
        }
        if let Some(socket) = state.socket.take() {
            socket.settle(&Receipt::default(), Counted::Exact, ended.socket);
        }
    }

    /// Settles what was broken off by what was heard of it, where that may take its time.
    fn count(&self, asked: Unsettled, heard: Heard, ending: Ending) {
        let counter = self.proxy.inner.counter.clone();
        // Nobody waits for it but the end of the program.
        drop(tokio::task::spawn_blocking(move || {
            let (output, served) = heard.count(&counter, asked.record().facts.encoding);
            let usage = Usage { input: asked.demand().input, output, ..Usage::default() };
            asked.settle(&Receipt { usage, served }, Counted::Approximate, ending);
        }));
    }

    /// Takes in what the client said.
    fn asks(&self, text: &[u8]) {
        let Ok(said) = serde_json::from_slice::<Said<'_>>(text) else { return };
        let size = text.len() as u64;
        match (said.kind.as_deref().unwrap_or_default(), self.talk) {
            ("response.create", Talk::Responses) => self.ask_response(text),
            ("response.create", Talk::Realtime) => {
                let bound =
                    said.response.and_then(|it| serde_json::from_str::<Bound>(it.get()).ok());
                let bound = bound.and_then(|bound| bound.max_output_tokens.as_u64());
                let mut state = self.state();
                state.fresh += size / BYTES_A_TOKEN;
                let demand = state.demand(bound.map(Tokens::new));
                self.debit(&mut state, None, &demand);
            }
            ("input_audio_buffer.append", _) => self.state().fresh += size / BYTES_OF_SOUND_A_TOKEN,
            _ => self.state().fresh += size / BYTES_A_TOKEN,
        }
    }

    /// Debits a request that is as one for a response.
    fn ask_response(&self, text: &[u8]) {
        // The provider says what is wrong with any other.
        let Ok(call) = Call::parse(Endpoint::Responses, Bytes::copy_from_slice(text)) else {
            return;
        };
        let facts = self.proxy.inner.catalog.facts(call.model.as_str());
        // What would take long is counted by its size: it has gone on, and its usage will come.
        let counter = &self.proxy.inner.counter;
        let demand =
            counter.try_count(&call, &facts).unwrap_or_else(|| counter.count_by_size(&call));
        self.debit(&mut self.state(), Some(&call.model), &demand);
    }

    fn debit(&self, state: &mut State, model: Option<&ModelName>, demand: &Demand) {
        let Some(socket) = &state.socket else { return };
        let record = socket.record();
        let model = model.unwrap_or(&record.model).clone();
        let facts = self.proxy.inner.catalog.facts(model.as_str());
        let asked = socket.also((model, facts), *demand, Instant::now());
        if state.asked.len() < MOST_ASKED {
            state.asked.extend(asked);
        }
    }

    /// Takes in what the provider said.
    fn answers(&self, text: &[u8]) {
        let Ok(said) = serde_json::from_slice::<Said<'_>>(text) else { return };
        match (said.kind.as_deref().unwrap_or_default(), said.response) {
            ("response.created", _) => {
                let mut state = self.state();
                state.begun += 1;
                if state.begun > state.asked.len() {
                    // It answers unasked, as it does when it hears that a speaker has ended.
                    let demand = state.demand(None);
                    self.debit(&mut state, None, &demand);
                }
            }
            ("response.done" | "response.completed" | "response.incomplete", Some(response)) => {
                self.settle(response, Ending::Counted);
            }
            ("response.failed", Some(response)) => self.settle(response, Ending::Refused),
            ("error", _) if self.talk == Talk::Responses => {
                if let Some(refused) = self.next_answered() {
                    refused.refused();
                }
            }
            (kind, _) if kind.ends_with(".delta") => {
                let mut state = self.state();
                if !state.asked.is_empty() {
                    state.heard.hear_event(text);
                }
            }
            _ => {}
        }
    }

    /// Settles the oldest that is open by what its answer tells; by `ending` where that tells nothing.
    fn settle(&self, response: &RawValue, ending: Ending) {
        let Answered { usage, served, ids } = answered(response.get().as_bytes());
        let Some(asked) = self.next_answered() else { return };
        // What passes on a websocket is not held back.
        let _booked = match (usage, ending) {
            (Some(usage), _) => {
                self.proxy.inner.counter.remember_answer(&ids, usage.total());
                self.state().has_told(usage.total());
                asked.settle(&Receipt { usage, served }, Counted::Exact, Ending::Reported).1
            }
            (None, Ending::Refused) => asked.refused(),
            (None, ending) => asked.keep(ending),
        };
    }

    /// Takes out the oldest that is open: it is answered.
    fn next_answered(&self) -> Option<Unsettled> {
        let mut state = self.state();
        state.begun = state.begun.saturating_sub(1);
        state.heard = Heard::default();
        let answered = state.asked.pop_front();
        self.answered.notify_waiters();
        answered
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns what an answer to the conversation so far may cost.
    fn demand(&self, output_bound: Option<Tokens>) -> Demand {
        Demand {
            input: Tokens::new(self.history.saturating_add(self.fresh)),
            output_bound,
            method: Counted::Assumed,
            ..ONE_REQUEST
        }
    }

    /// Notes how many tokens an answer had with all before it.
    const fn has_told(&mut self, total: Tokens) {
        self.history = total.count();
        self.fresh = 0;
    }
}

/// The output bound of a response; without one it is a word.
#[derive(Deserialize)]
struct Bound {
    #[serde(default)]
    max_output_tokens: serde_json::Value,
}

/// Bytes of JSON that make a token of text, roughly.
const BYTES_A_TOKEN: u64 = 4;
/// Bytes of base64 that make a token of sound: 24,000 samples of two bytes a second, taken for ten tokens.
const BYTES_OF_SOUND_A_TOKEN: u64 = 6_400;
/// The most that is asked on one websocket and not answered; what is beyond is not settled apart.
const MOST_ASKED: usize = 256;

//! What goes on on a websocket: what is asked is debited, and settled by what is answered.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Talk;
use crate::call::{Call, Endpoint};
use crate::count::{Demand, Method as Counted};
use crate::proxy::Proxy;
use crate::proxy::errand::ONE_REQUEST;
use crate::relay::{Answered, Ended, Heard, Rename, answered, join};
use crate::settle::{Ending, Pass, Unsettled};
use crate::units::{ModelName, Receipt, Tokens, Usage};

/// What goes on on a websocket. Cloning shares it.
#[derive(Clone)]
pub(super) struct Session {
    proxy: Proxy,
    talk: Talk,
    state: Arc<Mutex<State>>,
    /// Rung when something is answered.
    answered: Arc<Notify>,
    /// Rung when a budget is against what may be asked next.
    spent: Arc<Notify>,
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
pub(super) struct Said<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

impl Session {
    pub(super) fn new(proxy: Proxy, talk: Talk, socket: Unsettled) -> Self {
        let state = State {
            socket: Some(socket),
            asked: VecDeque::new(),
            begun: 0,
            heard: Heard::default(),
            history: 0,
            fresh: 0,
        };
        let (answered, spent) = (Arc::default(), Arc::default());
        Self { proxy, talk, state: Arc::new(Mutex::new(state)), answered, spent }
    }

    /// Serves a websocket to its end, or until the program stops, or a budget of it is against more, and nothing is left
    /// to be answered.
    pub(super) async fn serve(&self, ends: (Upgraded, Upgraded), mut pass: Pass) -> Ended {
        let (told, heard) = (self.clone(), self.clone());
        let asks = move |text: &[u8]| told.asks(text);
        let answers = move |text: &[u8]| heard.answers(text);
        let site = self.state().socket.as_ref().and_then(|it| it.record().upstream.clone());
        let rename = |text: &[u8]| self.proxy.renamed(text, site.as_ref()?);
        let may_rename = self.talk == Talk::Responses && self.proxy.renames();
        let rename = may_rename.then_some(&rename as Rename<'_>);
        let stop = async {
            tokio::select! {
                () = pass.draining() => {}
                () = self.spent.notified() => {}
            }
            tokio::select! {
                () = self.quiet() => {}
                () = pass.cut() => {}
            }
        };
        join(ends, (asks, answers), rename, stop).await
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
    pub(super) fn end(&self, ended: Ended) {
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
        let state = self.state();
        if state.socket.as_ref().is_some_and(|socket| !self.proxy.pays_on(socket.record())) {
            self.spent.notify_one();
        }
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

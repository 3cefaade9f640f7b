//! What all connections of a provider share.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::catalog::Catalog;
use crate::clock::WallClock;

use super::cache::{PromptCache, in_steps};
use super::config::{Config, Frames, RateHeaders};
use super::dialect::Dialect;
use super::engine::{Admission, Caller, Cost, Engine, Outcome, Refusal, Shown, Stats, Ticket};
use super::files::Files;
use super::plan::Planner;
use super::wire::{Ask, Draft, Endpoint, Measure, Pace, Reader, TextCounts, WireError};

/// The state behind the sockets.
#[derive(Debug)]
pub(super) struct Shared {
    pub planner: Planner,
    pub reader: Reader,
    pub dialect: Dialect,
    pub headers: RateHeaders,
    pub frames: Frames,
    pub files: Mutex<Files>,
    pub cache: PromptCache,
    /// Tokens of every response with all that came before it, by its id.
    pub histories: Mutex<LruCache<String, u64>>,
    clock: WallClock,
    desk: Mutex<Desk>,
    /// Rung when the oracle may have something to grant.
    bell: Notify,
    arrivals: AtomicU64,
}

/// The engine and who waits at it.
#[derive(Debug)]
struct Desk {
    engine: Engine,
    begin: Instant,
    waiting: HashMap<u64, oneshot::Sender<Verdict>>,
}

/// What a waiting request is told.
type Verdict = Result<Admitted, Refusal>;

/// An admitted request that is being worked on.
///
/// Dropped before [`done`](Self::done), it is settled as cut short, with what was written.
#[derive(Debug)]
#[must_use = "dropping it settles the request as cut short"]
pub(super) struct Work {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
    progress: Progress,
}

/// How much of an answer is written.
#[derive(Debug)]
enum Progress {
    /// So many tokens.
    Tokens(u64),
    /// As many as the time since the start allows.
    Clock { begin: Instant, pace: Pace, draft: Arc<Draft> },
}

/// An admitted request, and what its answer's headers say.
#[derive(Debug)]
pub(super) struct Admitted {
    pub work: Work,
    pub shown: Vec<Shown>,
    pub organisation: Arc<str>,
}

impl Shared {
    /// Creates the state; the engine's time begins now.
    pub(super) fn new(config: Config) -> Self {
        let (clock, begin) = (WallClock::from_system(), Instant::now());
        let mut rules = config.rules;
        rules.seed = config.seed;
        rules.epoch = clock.since_epoch(begin);
        let (outputs, latency, faults) = (config.outputs, config.latency, config.faults);
        Self {
            planner: Planner { seed: config.seed, outputs, latency, faults },
            reader: Reader {
                catalog: Catalog::embedded(),
                counts: TextCounts::new(),
                language: config.language,
            },
            frames: config.frames,
            dialect: config.dialect,
            headers: config.headers,
            files: Mutex::new(Files::default()),
            cache: PromptCache::new(),
            histories: Mutex::new(LruCache::new(MOST_HISTORIES)),
            clock,
            desk: Mutex::new(Desk { engine: Engine::new(rules), begin, waiting: HashMap::new() }),
            bell: Notify::new(),
            arrivals: AtomicU64::new(0),
        }
    }

    /// Returns the number of the next arrival.
    pub(super) fn arrival(&self) -> u64 {
        self.arrivals.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the date in seconds since 1970-01-01 UTC.
    pub(super) fn date(&self) -> u64 {
        self.clock.since_epoch(Instant::now()).as_secs()
    }

    /// Tells whether there is a model of this name.
    pub(super) fn has_model(&self, name: &str) -> bool {
        self.desk().engine.rules().has_model(name)
    }

    /// Returns the models that are known by name, not by a pattern.
    pub(super) fn named_models(&self) -> Vec<String> {
        let desk = self.desk();
        let models = desk.engine.rules().models.iter();
        models.filter(|model| !model.contains('*')).cloned().collect()
    }

    /// Returns a key that works as well as any, where nobody looks at them.
    pub(super) fn any_key(&self) -> String {
        let desk = self.desk();
        let keys = desk.engine.rules().organisations.iter().flat_map(|owner| &owner.keys);
        keys.map(|key| key.secret.to_string()).next().unwrap_or_default()
    }

    /// Tells who `key` belongs to.
    pub(super) fn caller(&self, key: &str) -> Result<Caller, Refusal> {
        let mut desk = self.desk();
        let now = desk.now();
        desk.engine.caller(key, now)
    }

    /// Admits a request or refuses it; the oracle's wait for their turn.
    pub(super) async fn admit(
        self: &Arc<Self>,
        (key, caller): (&str, &Caller),
        model: &str,
        cost: &Cost,
    ) -> Result<Admitted, Refusal> {
        match caller {
            Caller::Oracle => self.turn(model, cost).await,
            Caller::Organisation(_) => {
                let mut desk = self.desk();
                let now = desk.now();
                let admission = desk.engine.admit(key, model, cost, now)?;
                drop(desk);
                Ok(self.work(admission))
            }
        }
    }

    /// Returns what limits count of a prompt: at Anthropic not what is cached
    /// (<https://docs.claude.com/en/api/rate-limits>, read 2026-11-21).
    pub(super) fn charged(&self, ask: &Ask, caller: &Caller) -> u64 {
        match caller {
            _ if !ask.endpoint.charges_prompt() => 0,
            Caller::Organisation(name) if ask.endpoint.is_anthropics() => {
                let cached = self.cache.known(name, &ask.fronts, Instant::now());
                ask.prompt.tokens.saturating_sub(cached)
            }
            _ => ask.prompt.tokens,
        }
    }

    /// Puts the prompt into the cache of `organisation`, and notes in `ask` what was there.
    pub(super) fn cached(&self, ask: Ask, organisation: &str) -> Ask {
        let cached = self.cache.read(organisation, &ask.fronts, Instant::now());
        if !ask.endpoint.is_anthropics() {
            return Ask { cached: in_steps(cached), ..ask };
        }
        let kept = PromptCache::kept_of(&ask.fronts);
        Ask { cached, cache_written: kept.saturating_sub(cached), ..ask }
    }

    /// Returns what has happened.
    pub(super) fn stats(&self) -> Stats {
        let mut desk = self.desk();
        let now = desk.now();
        desk.engine.stats(now)
    }

    /// Adds to `ask` what the response had that it goes on with, if that was remembered.
    pub(super) fn recall(&self, ask: Ask) -> Ask {
        let before = previous(&ask).and_then(|id| self.histories().get(id).copied());
        let tokens = ask.prompt.tokens.saturating_add(before.unwrap_or(0));
        Ask { prompt: Measure { tokens, ..ask.prompt }, ..ask }
    }

    /// Checks that `ask` goes on with nothing or with a response that is remembered.
    ///
    /// # Errors
    ///
    /// A 400 where there is no such response.
    pub(super) fn goes_on(&self, ask: &Ask) -> Result<(), WireError> {
        match previous(ask) {
            Some(id) if !self.histories().contains(id) => Err(WireError::no_response(id)),
            _ => Ok(()),
        }
    }

    /// Remembers a response for others to go on with.
    pub(super) fn remember(&self, ask: &Ask, draft: &Draft) {
        if ask.endpoint == Endpoint::Responses {
            let tokens = ask.prompt.tokens.saturating_add(draft.tokens());
            self.histories().put(format!("resp_{}", draft.id), tokens);
        }
    }

    fn histories(&self) -> MutexGuard<'_, LruCache<String, u64>> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts again with full meters; requests that wait for the oracle are refused.
    pub(super) fn reset(&self) {
        let mut desk = self.desk();
        desk.engine.reset();
        desk.begin = Instant::now();
        desk.waiting.clear();
        self.cache.clear();
    }

    /// Grants waiting requests their turn, for ever.
    pub(super) async fn conduct(self: Arc<Self>) {
        loop {
            let rung = self.bell.notified();
            match self.grant() {
                Some(wait) => {
                    tokio::select! {
                        () = rung => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                None => rung.await,
            }
        }
    }

    /// Waits for a turn. Cancelled, it leaves the line.
    async fn turn(self: &Arc<Self>, model: &str, cost: &Cost) -> Verdict {
        let (sender, receiver) = oneshot::channel();
        let place = {
            let mut desk = self.desk();
            let now = desk.now();
            let number = desk.engine.queue(model, cost, now)?;
            desk.waiting.insert(number, sender);
            Place { shared: Arc::clone(self), number }
        };
        self.bell.notify_one();
        let verdict = receiver.await.unwrap_or(Err(Refusal::InvalidKey));
        drop(place);
        verdict
    }

    fn grant(self: &Arc<Self>) -> Option<Duration> {
        let mut desk = self.desk();
        let now = desk.now();
        let grants = desk.engine.grant(now);
        let mut verdicts = Vec::with_capacity(grants.decided.len());
        for decided in grants.decided {
            verdicts.push((desk.waiting.remove(&decided.number), decided.outcome));
        }
        drop(desk);
        for (sender, outcome) in verdicts {
            let verdict = outcome.map(|admission| self.work(admission));
            // A caller who has gone drops the work, which settles it.
            if let Some(sender) = sender {
                drop(sender.send(verdict));
            }
        }
        grants.look_again
    }

    fn work(self: &Arc<Self>, admission: Admission) -> Admitted {
        let work = Work {
            shared: Arc::clone(self),
            ticket: Some(admission.ticket),
            progress: Progress::Tokens(0),
        };
        Admitted { work, shown: admission.shown, organisation: admission.organisation }
    }

    fn finish(&self, ticket: Ticket, outcome: Outcome) {
        let mut desk = self.desk();
        let now = desk.now();
        desk.engine.finish(ticket, outcome, now);
        let waiting = !desk.waiting.is_empty();
        drop(desk);
        if waiting {
            self.bell.notify_one();
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the id of the response that `ask` goes on with.
fn previous(ask: &Ask) -> Option<&str> {
    ask.body.get("previous_response_id").and_then(Value::as_str)
}

/// Responses that are remembered.
const MOST_HISTORIES: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

impl Desk {
    fn now(&self) -> Duration {
        self.begin.elapsed()
    }
}

impl Work {
    /// Notes how many tokens are written.
    pub(super) fn note(&mut self, tokens: u64) {
        self.progress = Progress::Tokens(tokens);
    }

    /// From now on the clock tells how much of `draft` is written.
    pub(super) fn follow_clock(&mut self, begin: Instant, pace: Pace, draft: Arc<Draft>) {
        self.progress = Progress::Clock { begin, pace, draft };
    }

    /// Settles the request.
    pub(super) fn done(mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.finish(ticket, outcome);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let output = match &self.progress {
            Progress::Tokens(tokens) => *tokens,
            Progress::Clock { begin, pace, draft } => {
                draft.tokens_of(pace.written(begin.elapsed(), draft.len()))
            }
        };
        self.shared.finish(ticket, Outcome::Cut { output });
    }
}

/// A place in the oracle's line.
struct Place {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut desk = self.shared.desk();
        if desk.waiting.remove(&self.number).is_some() {
            desk.engine.leave(self.number);
        }
    }
}

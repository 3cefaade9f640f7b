//! Lets requests spend what the budgets have, or wait until others have spent less than they reserved.
//!
//! # What this module owns
//!
//! [`Purse`]: the [`Budgets`] behind a short lock, and those who wait for them. An [`Allowance`] is what one
//! request has reserved; dropping the last copy of it gives back what was not spent.
//!
//! # Invariants
//!
//! 1. The lock is never held across an await; nobody polls: settling and the end of a period wake those who wait.
//! 2. Whatever becomes of who waits, what was reserved for it is given back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::budget::{
    Alarm, Answer, Ask, BudgetSettings, Budgets, Hold, Objection, Ticket, Tint, Usual,
};
use crate::clock::WallClock;
use crate::ledger::Spent;
use crate::units::{ModelName, PicoUsd, Tokens};

/// All budgets, and who waits for them. Cloning it shares everything.
#[derive(Debug, Clone)]
pub struct Purse {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    clock: WallClock,
    /// Without budgets nobody has to ask.
    is_empty: bool,
}

#[derive(Debug, Default)]
struct State {
    budgets: Budgets,
    calls: HashMap<Ticket, oneshot::Sender<Answer>>,
    usual: Usual,
}

/// What became of somebody who wanted to spend.
#[derive(Debug)]
pub enum Afforded {
    /// It may.
    Go(Allowance),
    /// It is to ask for this model instead.
    Instead {
        /// By which budget.
        budget: Arc<str>,
        /// The cheaper one.
        model: ModelName,
    },
}

/// Why somebody may not spend.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unaffordable {
    /// A budget is against it.
    #[error("{0}")]
    Refused(Objection),
    /// Its time was up before it had its turn.
    #[error(
        "what is left of a budget is reserved by requests under way, and none of them was over in time"
    )]
    TimeIsUp,
}

impl Purse {
    /// Creates a purse in which nothing is booked.
    pub fn new(settings: Vec<BudgetSettings>, clock: WallClock) -> Self {
        let is_empty = settings.is_empty();
        let budgets = Budgets::new(settings, clock.since_epoch(Instant::now()));
        let state = Mutex::new(State { budgets, ..State::default() });
        Self { inner: Arc::new(Inner { state, clock, is_empty }) }
    }

    /// Tells whether there are no budgets.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty
    }

    /// Waits until `ask` may be spent, at most until `deadline`.
    ///
    /// # Errors
    ///
    /// Returns [`Unaffordable`] where a budget is against it, or time is up; nothing is reserved then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place up, and back what was reserved meanwhile.
    pub async fn afford(&self, ask: Ask, deadline: Instant) -> Result<Afforded, Unaffordable> {
        loop {
            let (waiting, until) = match self.ask(&ask) {
                Asked::Answered(answer) => return self.answered(answer),
                Asked::Waits(waiting, until) => (waiting, until),
            };
            let until = until.map(|until| self.instant(until));
            let wakes = until.map_or(deadline, |until| until.min(deadline));
            if let Some(answer) = waiting.called(wakes).await {
                return self.answered(answer);
            }
            if Instant::now() >= deadline {
                return Err(Unaffordable::TimeIsUp);
            }
        }
    }

    /// Asks, and takes a place where it has to wait.
    fn ask(&self, ask: &Ask) -> Asked<'_> {
        let mut state = self.lock();
        let (ticket, until) = match state.budgets.ask(ask.clone(), self.now()) {
            Answer::Wait { ticket, until } => (Some(ticket), until),
            Answer::Paused { until, .. } => (None, until),
            answer => return Asked::Answered(answer),
        };
        let (sender, receiver) = oneshot::channel();
        if let Some(ticket) = ticket {
            state.calls.insert(ticket, sender);
        }
        Asked::Waits(Waiting { purse: self, ticket, receiver }, until)
    }

    /// Returns the output that is expected of a request for `model` of this bound.
    pub fn usual(&self, model: &ModelName, bound: Tokens) -> Tokens {
        self.lock().usual.of(model, bound)
    }

    /// Returns since when each budget counts what is booked, as time since 1970-01-01 UTC.
    pub fn begins(&self) -> Vec<Duration> {
        self.lock().budgets.begins(self.now())
    }

    /// Takes in what was booked in the present period of the budget at this place when the program started.
    pub fn recall(&self, place: usize, spent: &[Spent]) {
        let mut state = self.lock();
        for Spent { app, labels, cost } in spent {
            state.budgets.recall(place, app, labels, *cost);
        }
    }

    fn answered(&self, answer: Answer) -> Result<Afforded, Unaffordable> {
        match answer {
            Answer::Go(hold) => Ok(Afforded::Go(Allowance::new(self.clone(), hold))),
            Answer::Instead { budget, model } => Ok(Afforded::Instead { budget, model }),
            Answer::Refused(objection) => Err(Unaffordable::Refused(objection)),
            // Only who asks is told so.
            Answer::Wait { .. } | Answer::Paused { .. } => Err(Unaffordable::TimeIsUp),
        }
    }

    fn now(&self) -> Duration {
        self.inner.clock.since_epoch(Instant::now())
    }

    fn instant(&self, since_epoch: Duration) -> Instant {
        let now = Instant::now();
        now + since_epoch.saturating_sub(self.inner.clock.since_epoch(now))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of asking.
enum Asked<'p> {
    Answered(Answer),
    /// Until when the period lasts for which it waits.
    Waits(Waiting<'p>, Option<Duration>),
}

/// A place that is given up when its owner goes.
struct Waiting<'p> {
    purse: &'p Purse,
    /// `None`: nobody calls it.
    ticket: Option<Ticket>,
    receiver: oneshot::Receiver<Answer>,
}

impl Waiting<'_> {
    /// Waits to be called, until `wakes`.
    async fn called(mut self, wakes: Instant) -> Option<Answer> {
        let Some(_place) = self.ticket else {
            sleep_until(wakes).await;
            return None;
        };
        tokio::select! {
            biased;
            answer = &mut self.receiver => answer.ok(),
            () = sleep_until(wakes) => {
                // Another period may have begun.
                self.purse.lock().look(self.purse.now());
                self.receiver.try_recv().ok()
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let now = self.purse.now();
        let mut state = self.purse.lock();
        if state.calls.remove(&ticket).is_some() {
            let called = state.budgets.leave(ticket, now);
            state.tell(called, now);
        }
        if let Ok(Answer::Go(hold)) = self.receiver.try_recv() {
            state.release(hold, now);
        }
    }
}

impl State {
    fn look(&mut self, now: Duration) {
        let called = self.budgets.look(now);
        self.tell(called, now);
    }

    fn release(&mut self, hold: Hold, now: Duration) {
        let called = self.budgets.release(hold, now);
        self.tell(called, now);
    }

    /// Tells those who were called; what is reserved for one who has gone is given back.
    fn tell(&mut self, mut called: Vec<(Ticket, Answer)>, now: Duration) {
        while let Some((ticket, answer)) = called.pop() {
            let untold = match self.calls.remove(&ticket) {
                Some(call) => call.send(answer).err(),
                None => Some(answer),
            };
            if let Some(Answer::Go(hold)) = untold {
                called.extend(self.budgets.release(hold, now));
            }
        }
    }
}

/// What one request has reserved. Cloning it shares it; the last that is dropped gives back what was not spent.
#[derive(Debug, Clone)]
pub struct Allowance {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    purse: Purse,
    /// Empty once it is given back.
    hold: Option<Hold>,
}

impl Allowance {
    fn new(purse: Purse, hold: Hold) -> Self {
        Self { held: Arc::new(Held { purse, hold: Some(hold) }) }
    }

    /// Returns the first of its budgets that was worst off when it was granted, if one was not green.
    pub fn tint(&self) -> Option<&Tint> {
        self.held.hold.as_ref().and_then(Hold::tint)
    }

    /// Takes in how much was written of a bound.
    pub fn learn(&self, model: &ModelName, bound: Tokens, output: Tokens) {
        self.held.purse.lock().usual.learn(model, bound, output);
    }

    /// Books what was spent of it, or what was reserved where that is not known, and tells of budgets that come to
    /// another color by that.
    pub fn spend(&self, cost: Option<PicoUsd>) {
        let Some(hold) = &self.held.hold else { return };
        let purse = &self.held.purse;
        let alarms = purse.lock().budgets.spend(hold, cost, purse.now());
        alarms.iter().for_each(tell);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.purse.lock().release(hold, self.purse.now());
        }
    }
}

/// Writes that a budget has come to another color.
fn tell(alarm: &Alarm) {
    tracing::warn!(
        budget = %alarm.budget,
        color = alarm.color.label(),
        booked_usd = %alarm.booked,
        amount_usd = %alarm.amount,
        "a budget is used up to its mark"
    );
}

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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::budget::{
    Alarm, Answer, Ask, BudgetSettings, Budgets, Gap, Hold, Level, Objection, Payer, Ticket, Tint,
    Usual,
};
use crate::clock::WallClock;
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
    is_empty: AtomicBool,
    /// Who is told of budgets that come to another color, beside the log.
    alarms: Option<mpsc::Sender<Alarm>>,
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
    /// Creates a purse in which nothing is booked. Budgets that come to another color are told to the log, and to
    /// `alarms` as far as there is room.
    pub fn new(
        settings: Vec<BudgetSettings>,
        clock: WallClock,
        alarms: Option<mpsc::Sender<Alarm>>,
    ) -> Self {
        let is_empty = AtomicBool::new(settings.is_empty());
        let budgets = Budgets::new(settings, clock.since_epoch(Instant::now()));
        let state = Mutex::new(State { budgets, ..State::default() });
        Self { inner: Arc::new(Inner { state, clock, is_empty, alarms }) }
    }

    /// Tells whether there are no budgets.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty.load(Ordering::Relaxed)
    }

    /// Goes by other budgets from now on. Those of the same name, owner and period go on; of others, what was
    /// booked before is a [gap](Self::gaps).
    pub fn renew(&self, settings: Vec<BudgetSettings>) {
        let mut state = self.lock();
        self.inner.is_empty.store(settings.is_empty(), Ordering::Relaxed);
        let now = self.now();
        let called = state.budgets.renew(settings, now);
        state.tell(called, now);
    }

    /// Returns how each budget stands, in the order of the settings.
    pub fn levels(&self) -> Vec<Level> {
        self.lock().budgets.levels(self.now())
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
            let late = match self.ask(&ask) {
                Asked::Answered(Answer::Paused(objection)) => {
                    sleep_until(self.wakes(objection.until(), deadline)).await;
                    Unaffordable::Refused(objection)
                }
                Asked::Answered(answer) => return self.answered(answer),
                Asked::Waits(waiting, until) => {
                    match waiting.called(self.wakes(until, deadline)).await {
                        // Its class has been paused meanwhile: it asks again, and waits for that.
                        None | Some(Answer::Paused(_)) => Unaffordable::TimeIsUp,
                        Some(answer) => return self.answered(answer),
                    }
                }
            };
            if Instant::now() >= deadline {
                return Err(late);
            }
        }
    }

    /// Tells whether a request with this allowance may still go as `ask` says; else it is to give that back and to ask
    /// again.
    pub fn still_allows(&self, allowance: Option<&Allowance>, ask: &Ask) -> bool {
        let hold = allowance.and_then(|allowance| allowance.held.hold.as_ref());
        self.lock().budgets.still(hold, ask, self.now())
    }

    /// Asks, and takes a place where it has to wait for others.
    fn ask(&self, ask: &Ask) -> Asked<'_> {
        let mut state = self.lock();
        match state.budgets.ask(ask.clone(), self.now()) {
            Answer::Wait { ticket, until } => {
                let (sender, receiver) = oneshot::channel();
                state.calls.insert(ticket, sender);
                Asked::Waits(Waiting { purse: self, ticket, receiver }, until)
            }
            answer => Asked::Answered(answer),
        }
    }

    /// Returns the output that is expected of a request for `model` of this bound.
    pub fn usual(&self, model: &ModelName, bound: Tokens) -> Tokens {
        self.lock().usual.of(model, bound)
    }

    /// Returns what budgets do not know of their present periods.
    pub fn gaps(&self) -> Vec<Gap> {
        self.lock().budgets.gaps(self.now())
    }

    /// Takes in what was booked in a gap, by who paid; writes to the log which budgets are not green by that.
    pub fn recall(&self, gap: Gap, spent: &[(Payer, PicoUsd)]) {
        if let Some(state) = self.lock().budgets.recall(gap, spent) {
            tell(&state);
        }
    }

    fn answered(&self, answer: Answer) -> Result<Afforded, Unaffordable> {
        match answer {
            Answer::Go(hold) => Ok(Afforded::Go(Allowance::new(self.clone(), hold))),
            Answer::Instead { budget, model } => Ok(Afforded::Instead { budget, model }),
            Answer::Refused(objection) | Answer::Paused(objection) => {
                Err(Unaffordable::Refused(objection))
            }
            // Only who asks is told so.
            Answer::Wait { .. } => Err(Unaffordable::TimeIsUp),
        }
    }

    fn now(&self) -> Duration {
        self.inner.clock.since_epoch(Instant::now())
    }

    /// Returns when who waits looks up: at `until`, the time since 1970-01-01 UTC, and at `deadline` at the latest.
    fn wakes(&self, until: Option<Duration>, deadline: Instant) -> Instant {
        let Some(until) = until else { return deadline };
        let now = Instant::now();
        (now + until.saturating_sub(self.inner.clock.since_epoch(now))).min(deadline)
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
    ticket: Ticket,
    receiver: oneshot::Receiver<Answer>,
}

impl Waiting<'_> {
    /// Waits to be called, until `wakes`.
    async fn called(mut self, wakes: Instant) -> Option<Answer> {
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
        let now = self.purse.now();
        let mut state = self.purse.lock();
        if state.calls.remove(&self.ticket).is_some() {
            let called = state.budgets.leave(self.ticket, now);
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
        for alarm in alarms {
            tell(&alarm);
            if !alarm.listeners.is_empty()
                && let Some(others) = &purse.inner.alarms
                && others.try_send(alarm).is_err()
            {
                tracing::warn!(
                    "nobody but this log is told: too many budgets have come to their marks at once"
                );
            }
        }
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

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::budget::{Actions, Period, Planned, Reserves, Scope, Why};
    use crate::units::{AppName, Class};

    /// A purse with 1,000 pico-dollars for ever, yellow at 500, where the class batch is paused, and red at 1,000.
    fn purse() -> Purse {
        let budget = BudgetSettings {
            name: "all".into(),
            scope: Scope::default(),
            amount: PicoUsd::new(1_000),
            period: Period::Total,
            zone: TimeZone::UTC,
            yellow: 500,
            red: 1_000,
            on_yellow: Actions { pauses_batch: true, ..Actions::default() },
            on_red: Actions { refuses: true, ..Actions::default() },
            step_down: Vec::new(),
            unknown_price: None,
            reserves: Reserves::Expected,
            listeners: crate::budget::Listeners::default(),
        };
        let clock = WallClock::anchored(Instant::now(), Duration::from_secs(86_400));
        Purse::new(vec![budget], clock, None)
    }

    fn ask(class: Class, cost: u64) -> Ask {
        let cost = PicoUsd::new(cost);
        Ask {
            payer: Payer { app: AppName::new("a"), labels: Arc::from([]) },
            class,
            model: ModelName::new("m"),
            is_movable: false,
            planned: Planned::Priced { expected: cost, most: cost },
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(9)
    }

    async fn allowed(purse: &Purse, cost: u64) -> Allowance {
        match purse.afford(ask(Class::Standard, cost), soon()).await {
            Ok(Afforded::Go(allowance)) => allowance,
            other => panic!("it may go: {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_when_another_gives_back_and_whoever_leaves_keeps_nothing() {
        let purse = purse();
        let first = allowed(&purse, 900).await;
        let leaves = purse.afford(ask(Class::Standard, 300), soon());
        drop(tokio::time::timeout(Duration::from_secs(1), leaves).await);
        let waits = tokio::spawn({
            let purse = purse.clone();
            async move { allowed(&purse, 1_000).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let _all = waits.await.expect("it is called");
        let late = purse.afford(ask(Class::Standard, 1), soon()).await;
        assert!(matches!(late, Err(Unaffordable::TimeIsUp)), "all is reserved: {late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_class_that_is_paused_while_it_waits_goes_on_waiting_and_is_told_why() {
        let purse = purse();
        let first = allowed(&purse, 900).await;
        let began = Instant::now();
        let batch = tokio::spawn({
            let purse = purse.clone();
            async move { purse.afford(ask(Class::Batch, 200), soon()).await }
        });
        tokio::task::yield_now().await;
        first.spend(Some(PicoUsd::new(600)));
        drop(first);
        let told = batch.await.expect("an answer");
        assert_eq!(began.elapsed(), Duration::from_secs(9), "it may still be let go until then");
        let Err(Unaffordable::Refused(Objection { why, .. })) = told else {
            panic!("it is paused: {told:?}")
        };
        assert_eq!(why, Why::Paused { until: None });
    }
}

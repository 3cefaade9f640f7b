//! Lets requests go when every quota has room, and makes them wait when not.
//!
//! # What this module owns
//!
//! [`Admission`]: the lanes, the lines before them and the keys, behind one short lock, so that
//! waiting in line, debiting and picking a key are one atomic step. It hands out a [`Reservation`],
//! which becomes an [`InFlight`] when the request is sent. [`Admission::renew`] takes over other accounts,
//! keys and limits meanwhile.
//!
//! # What this module does not do
//!
//! It sends nothing and reads no answers. What fits is decided in [`crate::limit`], who goes first in
//! [`crate::line`], which key is fit in [`crate::upstream`]; here they are driven with a clock.
//!
//! # Invariants
//!
//! 1. Every reservation ends once: cancelled, settled, refused or kept, whatever its owner does.
//! 2. Nobody polls: a line is looked at when something changed, or when its lane said it would.
//! 3. The lock is never held across an await, and nothing is called that takes it again.

mod allotments;
mod binding;
mod closing;
mod entering;
mod memory;
mod observing;
mod own;
mod pace;
mod patience;
mod refusal;
mod renewal;
mod reservation;
mod routes;
mod serve;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

pub use self::allotments::{Allotments, AppLevels};
use self::entering::enter;
pub use self::memory::{Keeping, Memory, SentBefore};
pub use self::refusal::Refusal;
pub use self::reservation::{InFlight, Reservation};
pub use self::snapshot::{
    AppSnapshot, LaneSnapshot, LineSnapshot, MOST_SHOWN, Snapshot, WaiterSnapshot,
};
use self::state::State;
pub use self::waiting::{Entered, Waiting, Whereabouts};
use crate::config::{LineSettings, UpstreamSettings};
use crate::count::{Demand, Prefix};
use crate::line::Place;
use crate::units::{AccountName, AppName, ModelName, Party};
use crate::upstream::{AccountId, ClientKey, Fleet, FleetError};

/// Admits requests to one upstream. Cloning it shares the state.
#[derive(Debug, Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

/// What a request asks to be admitted for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The client's own key, where each client uses its own.
    pub own_key: Option<ClientKey>,
    /// The account that it is bound to: what it names lies there.
    pub account: Option<AccountName>,
    /// The app by whose key it was let in.
    pub key_of: Option<AppName>,
    /// On whose behalf: its share of the line.
    pub party: Party,
    /// When its caller said that it needs its turn; orders the requests of one app.
    pub wanted_by: Option<Instant>,
    /// What an equal request has in common with it: a hash of path and body. One that comes back
    /// after a refusal of ours takes its old place by that.
    pub likeness: Option<u64>,
    /// The model; an empty name for paths that have none.
    pub model: ModelName,
    /// What it may cost.
    pub demand: Demand,
    /// How many bytes it holds while it waits.
    pub bytes: usize,
    /// The latest moment at which its turn is of use.
    pub deadline: Instant,
    /// Its old place, on a retry.
    pub place: Option<Place>,
    /// The account that just failed it: others are tried first.
    pub avoid: Option<AccountId>,
    /// The front of its prompt, by which the account is found that has it in its cache.
    pub prefix: Prefix,
}

impl Admission {
    /// Creates the admission to `upstream`, where apps use their `allotments`, and starts the task that looks again when
    /// a lane said so.
    ///
    /// The task ends with the last handle. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns [`FleetError`] where a configured key cannot stand in a header.
    pub fn start(
        upstream: &UpstreamSettings,
        line: &LineSettings,
        allotments: &Allotments,
    ) -> Result<Self, FleetError> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(upstream, line, allotments.clone())?),
            allotments: allotments.clone(),
            sooner: Arc::new(Notify::new()),
            keep_sooner: Notify::new(),
        });
        let (number, apps) = allotments.register(Arc::downgrade(&shared));
        shared.with(|state| {
            state.number = number;
            state.line.limit_apps(apps);
        });
        tokio::spawn(look_again(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    /// Waits until every quota has room, debits them and picks a key.
    ///
    /// Without a line and with room this takes one short lock and never yields.
    ///
    /// # Errors
    ///
    /// Returns the [`Refusal`]: at once if the request can never fit or the line is full, at the
    /// deadline otherwise. Nothing is debited then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line at once; what was debited is credited.
    pub async fn acquire(&self, ask: Ask) -> Result<Reservation, Refusal> {
        match self.enter(ask)? {
            Entered::Granted(reservation) => Ok(reservation),
            Entered::Waiting(mut waiting) => waiting.outcome().await,
        }
    }

    /// Does at once what can be done at once: the request goes, or it joins the line.
    ///
    /// # Errors
    ///
    /// Returns the [`Refusal`] of a request that can never fit or finds the line full. Nothing is
    /// debited then.
    pub fn enter(&self, ask: Ask) -> Result<Entered, Refusal> {
        let now = Instant::now();
        self.shared.with(|state| enter(&self.shared, state, ask, now))
    }

    /// Runs `act` with the fleet, then looks at all lines again: keys may have come back.
    pub fn with_fleet<T>(&self, act: impl FnOnce(&mut Fleet) -> T) -> T {
        self.shared.with(|state| {
            let result = act(&mut state.fleet);
            state.serve_all(Instant::now());
            result
        })
    }

    /// Admits nothing any more, and tells those who wait: [`Refusal::Stopping`].
    pub fn close(&self) {
        self.shared.with(|state| state.close_all(Instant::now()));
    }
}

/// The state and what wakes the task that looks again.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// What the apps may use.
    allotments: Allotments,
    /// Rung when a look is due earlier than the task knows.
    sooner: Arc<Notify>,
    /// Rung when lanes are worth keeping earlier than their keeper knows.
    keep_sooner: Notify,
}

impl Shared {
    /// Runs `act` under the lock. `act` must not call anything that takes it again.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (look, keep) = (state.line.next_look(), state.memories.due());
        let result = act(&mut state);
        let (next_look, next_keep) = (state.line.next_look(), state.memories.due());
        let (freed, news) = (std::mem::take(&mut state.freed), state.fleet.news());
        drop(state);
        for news in news {
            news.tell();
        }
        for app in freed {
            self.allotments.ring(&app, Instant::now());
        }
        if is_sooner(next_look, look) {
            self.sooner.notify_one();
        }
        if is_sooner(next_keep, keep) {
            self.keep_sooner.notify_one();
        }
        result
    }
}

fn is_sooner(next: Option<Instant>, before: Option<Instant>) -> bool {
    next.is_some_and(|next| before.is_none_or(|before| next < before))
}

/// Looks at the lines whenever one of their lanes said so, until the last handle is gone.
async fn look_again(shared: std::sync::Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let next = strong.with(|state| state.serve_due(Instant::now()));
        let sooner = Arc::clone(&strong.sooner);
        drop(strong);
        // Without anything to wait for, the task still wakes to see whether it is needed, and what is
        // left of another configuration.
        let latest = Instant::now() + Duration::from_secs(60);
        let until = next.map_or(latest, |next| next.min(latest));
        tokio::select! {
            () = sooner.notified() => {}
            () = sleep_until(until) => {}
        }
    }
}

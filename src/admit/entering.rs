//! What becomes of a request when it comes: it goes, it waits, or it is refused at once.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::refusal::Refusal;
use super::reservation::Reservation;
use super::state::{Goer, State, Ticket, size};
use super::waiting::{Entered, Waiting};
use super::{Ask, Shared};
use crate::config::LineMode;
use crate::line::{Entry, Place, PoolId, Request, Waiter};
use crate::upstream::AccountId;

/// Does at once what can be done at once.
pub(super) fn enter(
    shared: &Arc<Shared>,
    state: &mut State,
    ask: Ask,
    now: Instant,
) -> Result<Entered, Refusal> {
    if state.is_closed {
        return Err(Refusal::Stopping);
    }
    let owner = state.owner(&ask, now)?;
    let entered = go_or_wait(shared, state, (owner, ask), now);
    if let (Err(_), Some(owner)) = (&entered, owner) {
        state.fleet.leave(owner);
    }
    entered
}

fn go_or_wait(
    shared: &Arc<Shared>,
    state: &mut State,
    (owner, ask): (Option<AccountId>, Ask),
    now: Instant,
) -> Result<Entered, Refusal> {
    let pool = state.route(owner, &ask.model, now);
    let (place, entry) = state.place(&ask, now);
    let Ask { party, demand, avoid, prefix, .. } = &ask;
    let goer = Goer { party, demand, place, avoid: *avoid, prefix };
    if let Some(grant) = state.try_pool(pool, goer, now) {
        let reservation = Reservation::new(Arc::clone(shared), grant);
        return Ok(Entered::Granted(reservation));
    }
    if state.mode == LineMode::Observe {
        let request = state.request(pool, (place, entry), &ask);
        if let Some(grant) = state.go_anyway(&request, goer, now) {
            let reservation = Reservation::new(Arc::clone(shared), grant);
            return Ok(Entered::Granted(reservation));
        }
    }
    if let Some(refusal) = state.oversize_own(pool, (&party.app, demand), now) {
        return Err(refusal);
    }
    let Some(pool) = state.large_enough(pool, demand, now) else {
        return Err(state.oversize(pool, demand, now));
    };
    let request = state.request(pool, (place, entry), &ask);
    let (sender, outcome) = oneshot::channel();
    let Ask { key_of, model, demand, prefix, .. } = ask;
    let ticket = Ticket { owner, key_of, model, demand, prefix, since: now, outcome: sender };
    state.join(request, ticket, now)?;
    let waiting = Waiting::new(Arc::clone(shared), (place, now), ask.deadline, outcome);
    Ok(waiting.at_once())
}

impl State {
    /// Returns the place of a request: its old one on a retry, or the one that was kept for it.
    fn place(&mut self, ask: &Ask, now: Instant) -> (Place, Entry) {
        if let Some(place) = ask.place {
            return (place, Entry::Retry);
        }
        let likeness = ask.likeness;
        match likeness.and_then(|likeness| self.line.recall(&ask.party.app, likeness, now)) {
            Some((place, entry)) => (place, entry),
            None => (self.arrive(ask.wanted_by, now), Entry::New),
        }
    }

    fn request(&self, pool: PoolId, (place, entry): (Place, Entry), ask: &Ask) -> Request {
        let (cost, share, reserve) = self.cost(pool, &ask.demand);
        // Who needs less fits whenever who needs more does. What an output without a bound needs is
        // only guessed, so it is taken to be large.
        let is_bounded = ask.demand.output_bound.is_some();
        let size = if is_bounded { reserve.tokens } else { size(&ask.demand, ASSUMED) };
        let lanes = self.line.lanes(pool).iter().copied();
        let avoid = lanes.into_iter().find(|lane| {
            let account = self.lanes.get(lane).map(|entry| entry.key.account);
            account.is_some() && account == ask.avoid
        });
        Request {
            party: ask.party.clone(),
            pool,
            place,
            cost,
            reserve,
            share,
            size,
            bytes: ask.bytes,
            avoid,
            likeness: ask.likeness,
            not_before: None,
            entry,
        }
    }

    /// Lets a request wait, if the line has room for it, and looks who can go.
    fn join(&mut self, request: Request, ticket: Ticket, now: Instant) -> Result<(), Refusal> {
        let wanted = request.clone();
        match self.line.join(request, ticket, now) {
            Ok(gone) => {
                self.push_out(gone, now);
                self.serve(now);
                Ok(())
            }
            Err(crowded) => {
                self.push_out(crowded.gone, now);
                self.serve(now);
                Err(self.refuse_full(&wanted, crowded.full, now))
            }
        }
    }

    /// Tells those who gave way to an app that holds less; their places are kept.
    fn push_out(&mut self, gone: Vec<Waiter<Ticket>>, now: Instant) {
        for waiter in gone {
            let request = waiter.request.clone();
            let refusal = self.refuse_full(&request, crate::line::Full::Line, now);
            self.dismiss(waiter, Err(refusal), now);
        }
    }
}

/// What an output without a bound is taken for, where it only matters which request is smaller.
const ASSUMED: u64 = 1 << 22;

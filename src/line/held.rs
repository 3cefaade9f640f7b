//! Holds back the requests of an app that is short of its own quotas, and nobody else's.
//!
//! Such an app is not eligible: it has no head in any order, no lane is saved up for it, and those behind it go on. It
//! comes back where it was. In each order of a lane only its first request can be found, also by size: so what it
//! costs to hold it back depends on for how many pools it waits, not on how many of its requests wait.

use std::collections::{BTreeSet, HashMap, HashSet};

use tokio::time::Instant;

use super::Line;
use super::flow::FlowId;
use super::place::{Backlog, LaneId, Place, PoolId};
use crate::units::{AppName, Class, Party};

/// The apps that are short of their own quotas.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Those that have quotas of their own.
    limited: HashSet<AppName>,
    apps: HashMap<AppName, Stop>,
    ends: BTreeSet<(Instant, AppName)>,
}

/// Who found that its app is short, and until when.
#[derive(Debug, Clone, Copy)]
struct Stop {
    place: Place,
    class: Class,
    until: Option<Instant>,
}

impl Held {
    /// Returns when the first is to be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// Tells whether an app has quotas of its own, and whether it is short of them.
    pub(super) fn stands(&self, app: &AppName) -> (bool, bool) {
        (self.limited.contains(app), self.apps.contains_key(app))
    }
}

impl<T> Line<T> {
    /// Takes in which apps have quotas of their own. All of them are tried again.
    pub fn limit_apps(&mut self, apps: HashSet<AppName>) {
        for app in self.held.apps.keys().cloned().collect::<Vec<_>>() {
            self.release(&app);
        }
        self.held.limited = apps;
        for id in self.flows.keys().copied().collect::<Vec<_>>() {
            let Some(flow) = self.flows.get_mut(&id) else { continue };
            let is_limited = self.held.limited.contains(&flow.app);
            if std::mem::replace(&mut flow.is_limited, is_limited) != is_limited {
                self.list_sizes(id);
            }
        }
    }

    /// Tells whether `app` has quotas of its own: for others nobody need look at them.
    pub fn is_limited(&self, app: &AppName) -> bool {
        self.held.limited.contains(app)
    }

    /// Tells whether the requests of `app` are held back.
    pub fn is_held(&self, app: &AppName) -> bool {
        self.held.apps.contains_key(app)
    }

    /// Lets the requests of `app` be tried again: it may have room.
    pub fn release(&mut self, app: &AppName) {
        let Some(stop) = self.held.apps.remove(app) else { return };
        if let Some(at) = stop.until {
            self.held.ends.remove(&(at, app.clone()));
        }
        let flows = self.flows_of(app);
        for flow in &flows {
            if let Some(flow) = self.flows.get_mut(flow) {
                flow.is_held = false;
            }
        }
        // Who found it short is asked first: what comes back is not taken by others of its app for ever.
        let first = self.waiters.get(&stop.place).map(|waiter| waiter.request.pool);
        let lanes: BTreeSet<LaneId> = flows.iter().flat_map(|flow| self.lanes_of(*flow)).collect();
        for flow in flows {
            for lane in &lanes {
                self.relist(flow, *lane);
            }
        }
        for lane in first.map(|pool| self.lanes(pool).to_vec()).unwrap_or_default() {
            self.ring(lane);
        }
        lanes.into_iter().for_each(|lane| self.ring(lane));
    }

    /// Returns what stands in the whole line before a request at `place`, of its own app: what is more urgent, and
    /// what came before it.
    pub fn before_in_app(&self, party: &Party, place: Place) -> Backlog {
        let classes = Class::ALL.into_iter().filter(|class| *class >= party.class);
        classes.fold(Backlog::NONE, |sum, class| {
            let flow = self.flow_ids.get(&(party.app.clone(), class));
            let Some(flow) = flow.and_then(|flow| self.flows.get(flow)) else { return sum };
            let pools: Vec<PoolId> = flow.queues.keys().copied().collect();
            sum.plus(if class == party.class {
                flow.before(&pools, place)
            } else {
                flow.backlog(&pools)
            })
        })
    }

    /// Holds back all requests of the app of `place`, which is short until then; without a time, until it is released.
    pub(super) fn hold(&mut self, place: Place, until: Option<Instant>) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let (app, class) = (waiter.request.party.app.clone(), waiter.request.party.class);
        if let Some(at) = until {
            self.held.ends.insert((at, app.clone()));
        }
        let before = self.held.apps.insert(app.clone(), Stop { place, class, until });
        if let Some(at) = before.and_then(|stop| stop.until).filter(|at| Some(*at) != until) {
            self.held.ends.remove(&(at, app.clone()));
        }
        for id in self.flows_of(&app) {
            let lanes = self.lanes_of(id);
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.is_held = true;
            }
            for lane in lanes {
                self.unsave_for(id, lane);
                self.relist(id, lane);
            }
        }
    }

    /// Lets those go on whose time has come.
    pub(super) fn release_due(&mut self, now: Instant) {
        while let Some((_, app)) = self.held.ends.first().filter(|(at, _)| *at <= now).cloned() {
            self.release(&app);
        }
    }

    /// Tries an app again that is held back, if `place` came before the one who found it short, or was that one and
    /// leaves.
    pub(super) fn reconsider(&mut self, place: Place) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let (app, class) = (waiter.request.party.app.clone(), waiter.request.party.class);
        let Some(stop) = self.held.apps.get(&app) else { return };
        if class > stop.class || class == stop.class && place <= stop.place {
            self.release(&app);
        }
    }

    /// Returns the flows of apps that are held back, which wait for one of `pools`.
    pub(super) fn held_flows(&self, class: Class, pools: &[PoolId]) -> Vec<FlowId> {
        let flows =
            self.held.apps.keys().filter_map(|app| self.flow_ids.get(&(app.clone(), class)));
        let waits = |flow: &&FlowId| {
            let flow = self.flows.get(flow);
            flow.is_some_and(|flow| pools.iter().any(|pool| flow.queues.contains_key(pool)))
        };
        flows.filter(waits).copied().collect()
    }

    fn flows_of(&self, app: &AppName) -> Vec<FlowId> {
        let flow = |class| self.flow_ids.get(&(app.clone(), class)).copied();
        Class::ALL.into_iter().filter_map(flow).collect()
    }

    fn lanes_of(&self, flow: FlowId) -> BTreeSet<LaneId> {
        let Some(flow) = self.flows.get(&flow) else { return BTreeSet::new() };
        let lanes = flow.queues.keys().flat_map(|pool| self.lanes(*pool).iter().copied());
        lanes.chain(flow.listed.keys().copied()).collect()
    }

    /// Saves up for nobody of `flow` on `lane`.
    fn unsave_for(&mut self, flow: FlowId, lane: LaneId) {
        let class = self.flows.get(&flow).map(|flow| flow.class);
        let saved =
            self.gates.get(&lane).zip(class).and_then(|(gate, class)| gate.rank(class).saved_for);
        let own =
            saved.filter(|place| self.waiters.get(place).is_some_and(|waiter| waiter.flow == flow));
        if let Some(place) = own {
            self.unsave(place);
        }
    }

    /// Lists all who wait in `flow` by their sizes, or its first ones alone, and who comes back as told.
    fn list_sizes(&mut self, id: FlowId) {
        let lanes = self.lanes_of(id);
        let Some(flow) = self.flows.get(&id) else { return };
        let (class, is_limited) = (flow.class, flow.is_limited);
        for (pool, queue) in &flow.queues {
            let places = (0..queue.waiting.len()).filter_map(|index| queue.waiting.nth(index));
            let lanes = self.pools.get(pool).map(|pool| pool.lanes.as_slice()).unwrap_or_default();
            for place in places {
                let Some(waiter) = self.waiters.get(&place) else { continue };
                let (size, due) = (waiter.request.size, waiter.request.entry.due());
                for lane in lanes {
                    let Some(gate) = self.gates.get_mut(lane) else { continue };
                    let rank = gate.rank_mut(class);
                    if is_limited {
                        rank.sizes.remove(&(size, place));
                        if let Some(since) = due {
                            rank.due.remove(&(since, place));
                        }
                    } else {
                        rank.sizes.insert((size, place));
                        rank.due.extend(due.map(|since| (since, place)));
                    }
                }
            }
        }
        if let Some(flow) = self.flows.get_mut(&id).filter(|_| is_limited) {
            // Its heads are to be listed anew.
            for (lane, (tag, place)) in std::mem::take(&mut flow.listed) {
                if let Some(gate) = self.gates.get_mut(&lane) {
                    gate.rank_mut(class).order.remove(&(tag, place, id));
                }
            }
        }
        for lane in lanes {
            self.relist(id, lane);
            self.ring(lane);
        }
    }
}

//! Keeps the lists: who waits in which queue, and where an app stands before each lane.

use tokio::time::Instant;

use super::flow::{Flow, FlowId, Tag};
use super::memory::Kept;
use super::place::{LaneId, Place, PoolId};
use super::{Entry, Line, Request};
use crate::units::{AppName, Class, Party};

impl<T> Line<T> {
    /// Returns the flow of `party`, made if it is new.
    pub(super) fn flow_id(&mut self, party: &Party) -> FlowId {
        let key = (party.app.clone(), party.class);
        if let Some(flow) = self.flow_ids.get(&key) {
            return *flow;
        }
        self.ids_given += 1;
        let flow = FlowId(self.ids_given);
        let (is_limited, is_held) = self.held.stands(&party.app);
        let made = Flow::new(party.app.clone(), party.class);
        self.flows.insert(flow, Flow { is_limited, is_held, ..made });
        self.flow_ids.insert(key, flow);
        flow
    }

    /// Puts one who waits into its queue, and marks the lanes that it could use.
    pub(super) fn enlist(&mut self, place: Place) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let (flow, pool, size) = (waiter.flow, waiter.request.pool, waiter.request.size);
        let (cost, avoid) = (waiter.request.cost, waiter.request.avoid);
        let due = waiter.request.entry.due();
        let Some(entry) = self.flows.get_mut(&flow) else { return };
        let (class, is_limited, is_held) = (entry.class, entry.is_limited, entry.is_held);
        entry.queues.entry(pool).or_default().waiting.insert(place, cost);
        let Some(pool) = self.pools.get_mut(&pool) else { return };
        pool.held += 1;
        let mut lanes = pool.lanes.clone();
        lanes.sort_by_key(|lane| Some(*lane) == avoid);
        for lane in lanes {
            let Some(gate) = self.gates.get_mut(&lane) else { continue };
            let rank = gate.rank_mut(class);
            rank.present.insert(flow);
            if !is_limited {
                rank.sizes.insert((size, place));
            }
            if let Some(since) = due.filter(|_| !is_limited) {
                rank.due.insert((since, place));
            }
            // Before the one who is saved up for it holds up nobody but that one.
            let saved = rank.saved_for.filter(|saved| place < *saved);
            let saved = saved.and_then(|saved| self.waiters.get(&saved));
            let is_first = saved.is_some_and(|saved| saved.flow == flow);
            let is_shut =
                !is_first && due.is_none() && rank.shut_from.is_some_and(|least| size >= least);
            self.relist(flow, lane);
            if !is_shut && !is_held {
                self.ring(lane);
            }
        }
        if is_held {
            self.reconsider(place);
        }
    }

    /// Takes one who waits out of its queue, and out of the set of those who rest.
    pub(super) fn delist(&mut self, place: Place) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let (flow, pool, size) = (waiter.flow, waiter.request.pool, waiter.request.size);
        let due = waiter.request.entry.due();
        if let Some(at) = waiter.request.not_before
            && self.resting.remove(&(at, place))
        {
            return self.unrest(place);
        }
        self.unsave(place);
        let Some(entry) = self.flows.get_mut(&flow) else { return };
        let class = entry.class;
        if let Some(queue) = entry.queues.get_mut(&pool) {
            queue.waiting.remove(place);
        }
        let Some(pool) = self.pools.get_mut(&pool) else { return };
        pool.held = pool.held.saturating_sub(1);
        for lane in pool.lanes.clone() {
            let Some(gate) = self.gates.get_mut(&lane) else { continue };
            let rank = gate.rank_mut(class);
            rank.sizes.remove(&(size, place));
            if let Some(since) = due {
                rank.due.remove(&(since, place));
            }
            self.relist(flow, lane);
        }
    }

    /// Makes the lane that is saved up for `place` free for others.
    pub(super) fn unsave(&mut self, place: Place) {
        let Some(waiter) = self.waiters.get_mut(&place) else { return };
        let Some(saved) = waiter.saved.take() else { return };
        let class = waiter.request.party.class;
        if let Some(gate) = self.gates.get_mut(&saved.lane) {
            gate.rank_mut(class).saved_for.take_if(|saved| *saved == place);
        }
        self.ring(saved.lane);
    }

    /// Brings the entry of `flow` in the order of `lane` up to date.
    pub(super) fn relist(&mut self, flow_id: FlowId, lane: LaneId) {
        let Some(gate) = self.gates.get_mut(&lane) else { return };
        let Some(flow) = self.flows.get_mut(&flow_id) else { return };
        let head = if flow.is_held { None } else { flow.head(&gate.pools, &[]) };
        let rank = gate.rank_mut(flow.class);
        let listed = flow.listed.get(&lane).copied();
        let tag = flow.tags.entry(lane).or_default();
        if listed.is_none() && head.is_some() {
            *tag = (*tag).max(rank.begin());
        }
        let wanted = head.map(|head| (*tag, head));
        if wanted == listed {
            return;
        }
        if let Some((tag, place)) = listed {
            rank.order.remove(&(tag, place, flow_id));
            flow.listed.remove(&lane);
            if let Some(waiter) = self.waiters.get(&place).filter(|_| flow.is_limited) {
                rank.sizes.remove(&(waiter.request.size, place));
            }
        }
        if let Some((tag, place)) = wanted {
            rank.order.insert((tag, place, flow_id));
            flow.listed.insert(lane, (tag, place));
            if let Some(waiter) = self.waiters.get(&place).filter(|_| flow.is_limited) {
                rank.sizes.insert((waiter.request.size, place));
            }
        }
    }

    /// Moves what `flow` had of all lanes of `pool`, and its places in their orders.
    pub(super) fn shift(&mut self, flow: FlowId, pool: PoolId, by: impl Fn(Tag) -> Tag) {
        let lanes = self.pools.get(&pool).map(|pool| pool.lanes.clone()).unwrap_or_default();
        for lane in lanes {
            let Some(entry) = self.flows.get_mut(&flow) else { return };
            let tag = entry.tags.entry(lane).or_default();
            *tag = by(*tag);
            self.relist(flow, lane);
        }
    }

    /// Lets one who joined keep its place without holding anybody up, until `at`.
    pub(super) fn rest(&mut self, place: Place, at: Instant) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let (flow, pool, cost) = (waiter.flow, waiter.request.pool, waiter.request.cost);
        self.resting.insert((at, place));
        self.go_away(place, (flow, pool), cost);
    }

    /// Ends a rest.
    pub(super) fn unrest(&mut self, place: Place) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let (flow, pool) = (waiter.flow, waiter.request.pool);
        self.come_back(place, (flow, pool));
    }

    /// Keeps the place of one who was not served, for an equal request that comes before `until`. From
    /// `due` on it is that one's turn, where that was said.
    ///
    /// Without a likeness nobody takes it, but those behind it are told later times.
    pub fn remember(&mut self, request: &Request, due: Option<Instant>, until: Instant) {
        let flow = self.flow_id(&request.party);
        let likeness = request.likeness.unwrap_or_else(|| request.place.mixed());
        let key = (request.party.app.clone(), likeness);
        let kept = Kept::new(key, (flow, request.pool), (due, until));
        let bounds = self.depth.bounds();
        let most = (bounds.waiting.max(LEAST_KEPT), bounds.waiting_per_app.max(LEAST_KEPT));
        for (place, kept) in self.memory.keep(request.place, kept, most) {
            self.forget(place, &kept);
        }
        self.go_away(request.place, (flow, request.pool), request.cost);
    }

    /// Returns the place that was kept for a request like this, once, and whether it is its turn.
    pub fn recall(&mut self, app: &AppName, likeness: u64, now: Instant) -> Option<(Place, Entry)> {
        if self.memory.len() == 0 {
            return None;
        }
        self.forget_places(now);
        let (place, kept) = self.memory.take(app, likeness)?;
        self.forget(place, &kept);
        let due = kept.due.filter(|due| *due <= now);
        let entry = due.map_or(Entry::Return, |since| Entry::Due { since });
        Some((place, entry))
    }

    /// Returns how many places are kept for those who are away.
    pub fn away(&self) -> usize {
        self.memory.len()
    }

    /// Forgets the places of those who stayed away for too long.
    pub fn forget_places(&mut self, now: Instant) {
        while let Some((place, kept)) = self.memory.forget(now) {
            self.forget(place, &kept);
        }
    }

    /// Returns the last place of an app in its least urgent class.
    pub(super) fn last_of(&self, app: &AppName) -> Option<Place> {
        Class::ALL.iter().rev().find_map(|class| {
            let flow = self.flow_ids.get(&(app.clone(), *class))?;
            self.flows.get(flow)?.last()
        })
    }

    /// Forgets what is empty: a queue, and flows in which nobody has been for long.
    pub(super) fn tidy(&mut self, flow: FlowId, pool: PoolId) {
        let Some(entry) = self.flows.get_mut(&flow) else { return };
        let had = entry.queues.len();
        entry.tidy(pool);
        if entry.queues.len() == had {
            return;
        }
        if entry.is_idle() {
            self.idle.push_back(flow);
        }
        while self.idle.len() > MOST_IDLE {
            let Some(oldest) = self.idle.pop_front() else { return };
            if self.flows.get(&oldest).is_some_and(Flow::is_idle)
                && let Some(gone) = self.flows.remove(&oldest)
            {
                for lane in gone.tags.keys() {
                    if let Some(gate) = self.gates.get_mut(lane) {
                        gate.rank_mut(gone.class).present.remove(&oldest);
                    }
                }
                self.flow_ids.remove(&(gone.app, gone.class));
            }
        }
    }

    fn forget(&mut self, place: Place, kept: &Kept) {
        self.come_back(place, (kept.flow, kept.pool));
    }

    fn go_away(&mut self, place: Place, (flow, pool): (FlowId, PoolId), cost: super::Backlog) {
        let Some(entry) = self.flows.get_mut(&flow) else { return };
        let class = entry.class;
        entry.queues.entry(pool).or_default().away.insert(place, cost);
        let Some(pool) = self.pools.get_mut(&pool) else { return };
        pool.held += 1;
        for lane in pool.lanes.clone() {
            if let Some(gate) = self.gates.get_mut(&lane) {
                gate.rank_mut(class).present.insert(flow);
            }
            self.relist(flow, lane);
        }
    }

    fn come_back(&mut self, place: Place, (flow, pool): (FlowId, PoolId)) {
        let Some(entry) = self.flows.get_mut(&flow) else { return };
        let queue = entry.queues.get_mut(&pool);
        if queue.and_then(|queue| queue.away.remove(place)).is_some()
            && let Some(entry) = self.pools.get_mut(&pool)
        {
            entry.held = entry.held.saturating_sub(1);
        }
        self.tidy(flow, pool);
    }
}

/// So many places are kept at least, however short the line.
const LEAST_KEPT: usize = 1_024;
/// So many flows in which nobody is are remembered with what they had.
const MOST_IDLE: usize = 1_024;

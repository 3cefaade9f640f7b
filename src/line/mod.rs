//! Decides who goes next through which lane, and tells each what stands before it.
//!
//! # What this module owns
//!
//! A [`Line`]: all who wait, for every pool of lanes. Each lane sees those who may use it in one
//! order (`gate`): a lower class whose credit covers its first request, then the classes, the most
//! urgent first; within a class the apps by what they had of the lane (`flow`, start-time fair
//! queueing by dominant share and weight); within an app by stated deadline or arrival
//! ([`Place`]). A round (`round`) asks one after another to be tried: the first that does not fit
//! is saved up for on the lane that is predicted to fit it first, and there nobody of its class or
//! a lower one passes who would make it later.
//!
//! # What this module does not do
//!
//! It never waits and knows neither clocks nor quotas. Whoever drives it ([`crate::admit`]) tries
//! what [`Line::next_try`] names and tells the outcome to [`Line::answer`]; shares, costs, sizes
//! and instants come in as numbers.
//!
//! # Invariants
//!
//! 1. Whoever joined leaves exactly once: by an answer, or withdrawn by its place.
//! 2. When no lane is due, nobody who waits could go, as far as the answers told.
//! 3. On each lane at most one request is saved up for at a time in each class, and a request is
//!    saved up for on one lane.
//! 4. An event costs a logarithm of how many wait, never a walk over them or over their apps.
//! 5. Depth, bytes and the places of those who are away are bounded.
//! 6. Who is short of its app's own quotas stands in nobody's way, and keeps its place (`held`).
//! 7. Nobody else waits for ever: where what stands before a request in its class, with itself, takes so
//!    many windows of its lane, it goes within twenty times that (a class keeps a twentieth of what
//!    passes it) and two windows more, whatever comes in above it. Of its class its app has its part
//!    by weight.

mod bounds;
mod flow;
mod fluid;
mod gate;
mod held;
mod memory;
mod order;
mod place;
mod ranked;
mod recent;
mod request;
mod round;
#[cfg(test)]
mod tests;
mod tries;
mod turn;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use tokio::time::Instant;

pub use self::bounds::{Bounds, Full};
use self::bounds::{Depth, Room};
use self::flow::{Flow, FlowId};
use self::fluid::Curve;
pub use self::fluid::{Expected, Pace, Stand};
use self::gate::Gate;
use self::held::Held;
use self::memory::Memory;
pub use self::place::{Backlog, LaneId, Place, PoolId};
pub use self::recent::Spared;
use self::request::Saved;
pub use self::request::{Entry, Request, Waiter};
use self::round::Round;
pub use self::tries::{Answer, Left, Purpose, SavedFor, Try};
pub use self::turn::Turn;
pub use self::view::{AppView, WaiterView};
use crate::units::{AppName, Class};

/// All who wait. `T` is what wakes one of them.
#[derive(Debug)]
pub struct Line<T> {
    gates: BTreeMap<LaneId, Gate>,
    pools: BTreeMap<PoolId, Pool>,
    flows: BTreeMap<FlowId, Flow>,
    flow_ids: HashMap<(AppName, Class), FlowId>,
    /// Flows in which nobody is, the longest idle first.
    idle: VecDeque<FlowId>,
    waiters: HashMap<Place, Waiter<T>>,
    /// Those who may not go yet.
    resting: BTreeSet<(Instant, Place)>,
    /// Apps that are short of their own quotas.
    held: Held,
    /// Lanes to be looked at now.
    due: VecDeque<LaneId>,
    /// When to look at which lane again.
    agenda: BTreeSet<(Instant, LaneId)>,
    round: Option<Round>,
    /// The lane whose round is under way: what happens in it needs no further one.
    looked_at: Option<LaneId>,
    depth: Depth,
    memory: Memory,
    curves: HashMap<(PoolId, Class), Curve>,
    ids_given: u64,
}

#[derive(Debug)]
struct Pool {
    lanes: Vec<LaneId>,
    /// How many wait for it or are away.
    held: usize,
}

impl<T> Line<T> {
    /// Creates a line in which nobody waits.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            gates: BTreeMap::new(),
            pools: BTreeMap::new(),
            flows: BTreeMap::new(),
            flow_ids: HashMap::new(),
            idle: VecDeque::new(),
            waiters: HashMap::new(),
            resting: BTreeSet::new(),
            held: Held::default(),
            due: VecDeque::new(),
            agenda: BTreeSet::new(),
            round: None,
            looked_at: None,
            depth: Depth::new(bounds),
            memory: Memory::default(),
            curves: HashMap::new(),
            ids_given: 0,
        }
    }

    /// Lets the line become so long from now on; whoever waits stays.
    pub fn rebound(&mut self, bounds: Bounds) {
        self.depth.rebound(bounds);
    }

    /// Adds a lane.
    pub fn open_lane(&mut self) -> LaneId {
        self.ids_given += 1;
        let lane = LaneId(self.ids_given);
        self.gates.insert(lane, Gate::default());
        lane
    }

    /// Adds a pool of lanes.
    pub fn open_pool(&mut self, lanes: Vec<LaneId>) -> PoolId {
        self.ids_given += 1;
        let pool = PoolId(self.ids_given);
        for lane in &lanes {
            if let Some(gate) = self.gates.get_mut(lane) {
                gate.pools.push(pool);
            }
        }
        self.pools.insert(pool, Pool { lanes, held: 0 });
        pool
    }

    /// Forgets lanes, which no pool may use any more.
    pub fn close_lanes(&mut self, lanes: &[LaneId]) {
        for lane in lanes {
            let Some(gate) = self.gates.remove(lane) else { continue };
            debug_assert!(gate.pools.is_empty(), "a lane is closed after its pools");
            if let Some(at) = gate.look_at {
                self.agenda.remove(&(at, *lane));
            }
        }
        let gates = &self.gates;
        self.due.retain(|lane| gates.contains_key(lane));
        for flow in self.flows.values_mut() {
            flow.tags.retain(|lane, _| gates.contains_key(lane));
        }
    }

    /// Forgets a pool, for which nobody may wait any more. Returns whether it could.
    pub fn close_pool(&mut self, pool: PoolId) -> bool {
        if self.pools.get(&pool).is_some_and(|entry| entry.held > 0) {
            return false;
        }
        for lane in self.pools.remove(&pool).map(|entry| entry.lanes).unwrap_or_default() {
            if let Some(gate) = self.gates.get_mut(&lane) {
                gate.pools.retain(|other| *other != pool);
            }
        }
        true
    }

    /// Returns the lanes of a pool.
    pub fn lanes(&self, pool: PoolId) -> &[LaneId] {
        self.pools.get(&pool).map_or(&[], |entry| &entry.lanes)
    }

    /// Tells whether no pool uses `lane`.
    pub fn is_unused(&self, lane: LaneId) -> bool {
        self.gates.get(&lane).is_none_or(|gate| gate.pools.is_empty())
    }

    /// Returns what was taken to wake whoever waits at `place`.
    pub fn ticket(&self, place: Place) -> Option<&T> {
        self.waiters.get(&place).map(|waiter| &waiter.ticket)
    }

    /// Returns what whoever waits at `place` asked for.
    pub fn request(&self, place: Place) -> Option<&Request> {
        self.waiters.get(&place).map(|waiter| &waiter.request)
    }

    /// Tells whether nobody waits who may use `lane`.
    pub fn is_clear(&self, lane: LaneId) -> bool {
        self.gates.get(&lane).is_none_or(Gate::is_clear)
    }

    /// Returns how many wait.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Tells whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Returns how many bytes those who wait hold.
    pub const fn bytes(&self) -> usize {
        self.depth.all().bytes
    }

    /// Takes out all who wait, in the order of their places.
    pub fn drain(&mut self) -> Vec<Waiter<T>> {
        self.places().into_iter().filter_map(|place| self.leave(place)).collect()
    }

    /// Returns the places of all who wait, in their order.
    pub fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = self.waiters.keys().copied().collect();
        places.sort_unstable();
        places
    }

    /// Lets a request wait. Its lanes may be due after that.
    ///
    /// Returns those who had to leave for it: when the line is full, the app that holds the most
    /// gives way.
    ///
    /// # Errors
    ///
    /// Returns what is [`Crowded`]; the ticket is dropped.
    pub fn join(
        &mut self,
        request: Request,
        ticket: T,
        now: Instant,
    ) -> Result<Gone<T>, Crowded<T>> {
        self.forget_places(now);
        let mut gone = self.make_room(&request)?;
        let (place, resting) = (request.place, request.not_before.filter(|at| *at > now));
        // Places are unique; should one be taken, whoever held it waits no more.
        gone.extend(self.leave(place));
        let flow = self.flow_id(&request.party);
        if let Some(entry) = self.flows.get_mut(&flow) {
            entry.weight = request.party.weight;
            if request.entry == Entry::New {
                entry.came.add(request.cost, now);
            }
        }
        self.depth.add(&request.party.app, request.bytes);
        self.waiters.insert(place, Waiter { request, ticket, flow, saved: None });
        match resting {
            Some(at) => self.rest(place, at),
            None => self.enlist(place),
        }
        Ok(gone)
    }

    /// Takes out whoever waits at `place`. Lanes may be due after that.
    pub fn leave(&mut self, place: Place) -> Option<Waiter<T>> {
        self.delist(place);
        self.reconsider(place);
        let waiter = self.waiters.remove(&place)?;
        self.depth.remove(&waiter.request.party.app, waiter.request.bytes);
        self.tidy(waiter.flow, waiter.request.pool);
        Some(waiter)
    }

    /// Marks a lane to be looked at now: something changed there.
    pub fn ring(&mut self, lane: LaneId) {
        if let Some(gate) = self.gates.get_mut(&lane)
            && !gate.is_due
            && self.looked_at != Some(lane)
            && !gate.is_clear()
        {
            gate.is_due = true;
            gate.unshut();
            self.due.push_back(lane);
        }
    }

    /// Marks all lanes.
    pub fn ring_all(&mut self) {
        let lanes: Vec<LaneId> = self.gates.keys().copied().collect();
        for lane in lanes {
            self.ring(lane);
        }
    }

    /// Marks the lanes whose time has come, and lets those go on who have rested.
    pub fn ring_due(&mut self, now: Instant) {
        while let Some((at, lane)) = self.agenda.first().copied().filter(|(at, _)| *at <= now) {
            self.agenda.remove(&(at, lane));
            if let Some(gate) = self.gates.get_mut(&lane) {
                gate.look_at = None;
            }
            self.ring(lane);
        }
        self.release_due(now);
        while let Some((at, place)) = self.resting.first().copied().filter(|(at, _)| *at <= now) {
            self.resting.remove(&(at, place));
            self.enlist(place);
            self.unrest(place);
        }
    }

    /// Returns when [`ring_due`](Self::ring_due) will have something to do.
    pub fn next_look(&self) -> Option<Instant> {
        let lane = self.agenda.first().map(|(at, _)| *at);
        let rested = self.resting.first().map(|(at, _)| *at);
        lane.into_iter().chain(rested).chain(self.held.next()).min()
    }

    fn make_room(&mut self, request: &Request) -> Result<Gone<T>, Crowded<T>> {
        let mut gone = Vec::new();
        if request.entry == Entry::Retry {
            return Ok(gone);
        }
        if request.bytes > self.depth.bounds().bytes {
            return Err(Crowded { full: Full::Line, gone });
        }
        loop {
            match self.depth.room(&request.party.app, request.bytes) {
                Room::Free => return Ok(gone),
                Room::None(full) => return Err(Crowded { full, gone }),
                Room::After(app) => match self.last_of(&app) {
                    Some(last) if gone.len() < MOST_LEAVE => gone.extend(self.leave(last)),
                    _ => return Err(Crowded { full: Full::Line, gone }),
                },
            }
        }
    }
}

/// Why a request could not join.
#[derive(Debug)]
pub struct Crowded<T> {
    /// What is full.
    pub full: Full,
    /// Those who left for it in vain, which takes many small ones and one large.
    pub gone: Gone<T>,
}

/// Those who left for another.
pub type Gone<T> = Vec<Waiter<T>>;

/// So many small requests may leave for a large one at a time.
const MOST_LEAVE: usize = 64;

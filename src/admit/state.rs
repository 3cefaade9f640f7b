//! Everything that is decided under the one lock: lanes, lines, keys, and who goes next.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::memory::{LaneMemory, Memories};
use super::refusal::Refusal;
use super::routes::{LaneKey, PoolId, Routes};
use crate::config::UpstreamSettings;
use crate::count::Demand;
use crate::limit::{Debit, Lane, QuotaKind, Shortfall, Spare};
use crate::line::{Backlog, Line, Place, Waiter};
use crate::units::ModelName;
use crate::upstream::{AccountId, Fleet, FleetError, Lent, Standing};

/// The state behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) fleet: Fleet,
    pub(super) upstream: UpstreamSettings,
    pub(super) lanes: HashMap<LaneKey, LaneEntry>,
    pub(super) pools: HashMap<PoolId, Pool>,
    pub(super) routes: Routes,
    pub(super) memories: Memories,
    /// When to look at a pool again, the earliest first.
    agenda: BTreeSet<(Instant, PoolId)>,
    arrivals: u64,
    pub(super) waiting: usize,
    pub(super) waiting_bytes: usize,
    /// Whether nothing is admitted any more.
    pub(super) is_closed: bool,
}

/// A lane and what keeps it from being forgotten.
#[derive(Debug)]
pub(super) struct LaneEntry {
    pub(super) lane: Lane,
    pub(super) pools: Vec<PoolId>,
    /// Debits not closed yet.
    pub(super) open: usize,
    pub(super) used_at: Instant,
    pub(super) memory: LaneMemory,
}

/// The lanes that a model may use, and who waits for them.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) model: ModelName,
    pub(super) lanes: Vec<LaneKey>,
    pub(super) line: Line<Ticket>,
    pub(super) look_at: Option<Instant>,
    pub(super) short_of: Option<QuotaKind>,
}

/// What wakes a waiter.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The client's own account, which is held for it.
    pub(super) owner: Option<AccountId>,
    pub(super) demand: Demand,
    pub(super) avoid: Option<AccountId>,
    pub(super) place: Place,
    pub(super) since: Instant,
    pub(super) outcome: oneshot::Sender<Result<Grant, Refusal>>,
}

/// A debit with all that is needed to send the request. It must be closed by the state.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) lane: LaneKey,
    pub(super) lent: Lent,
    pub(super) place: Place,
    pub(super) waited_for: Option<QuotaKind>,
    pub(super) debit: Debit,
}

/// A lane that a request may use.
struct Candidate {
    /// Whether it is to be avoided, and how its account stands: the lower, the better.
    rank: (bool, Standing),
    headroom: f64,
    lane: LaneKey,
}

/// Why nothing of a pool has room now.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hold {
    /// Room may come; look again at this time if nothing rings before.
    Until(Option<Instant>, Option<QuotaKind>),
    /// No lane is large enough.
    TooLarge { quota: QuotaKind, limit: u64, wanted: u64 },
}

impl State {
    pub(super) fn new(upstream: &UpstreamSettings) -> Result<Self, FleetError> {
        Ok(Self {
            fleet: Fleet::new(upstream)?,
            upstream: upstream.clone(),
            lanes: HashMap::new(),
            pools: HashMap::new(),
            routes: Routes::default(),
            memories: Memories::default(),
            agenda: BTreeSet::new(),
            arrivals: 0,
            waiting: 0,
            waiting_bytes: 0,
            is_closed: false,
        })
    }

    /// Gives out the next place.
    pub(super) fn arrive(&mut self) -> Place {
        self.arrivals += 1;
        Place::new(self.arrivals)
    }

    /// Tries the lanes of `pool`, the one with most headroom first.
    pub(super) fn try_grant(
        &mut self,
        pool: PoolId,
        demand: &Demand,
        (place, avoid): (Place, Option<AccountId>),
        now: Instant,
    ) -> Result<Grant, Hold> {
        let Some(entry) = self.pools.get(&pool) else { return Err(Hold::Until(None, None)) };
        let mut candidates: Vec<Candidate> = entry
            .lanes
            .iter()
            .filter_map(|key| {
                let headroom = self.lanes.get(key)?.lane.headroom(now);
                let standing = self.fleet.standing(key.account, now);
                let rank = (Some(key.account) == avoid, standing);
                Some(Candidate { rank, headroom, lane: key.clone() })
            })
            .collect();
        candidates.sort_by(|a, b| a.rank.cmp(&b.rank).then(b.headroom.total_cmp(&a.headroom)));
        let mut hold = Hold::Until(None, None);
        let mut largest = None;
        let mut all_too_large = true;
        for candidate in candidates {
            match self.try_lane(candidate.lane, demand, place, now) {
                Ok(grant) => return Ok(grant),
                Err(Hold::TooLarge { quota, limit, wanted }) => {
                    largest = Some(Hold::TooLarge { quota, limit, wanted });
                }
                Err(later) => {
                    all_too_large = false;
                    hold = hold.sooner(later);
                }
            }
        }
        Err(largest.filter(|_| all_too_large).unwrap_or(hold))
    }

    fn try_lane(
        &mut self,
        lane: LaneKey,
        demand: &Demand,
        place: Place,
        now: Instant,
    ) -> Result<Grant, Hold> {
        match self.fleet.standing(lane.account, now) {
            Standing::Ready | Standing::Doubtful | Standing::Trial => {}
            Standing::Resting(until) => return Err(Hold::Until(Some(until), None)),
            Standing::Out => return Err(Hold::Until(None, None)),
        }
        let Some(entry) = self.lanes.get_mut(&lane) else { return Err(Hold::Until(None, None)) };
        let debit = entry.lane.try_reserve(demand, Spare::default(), now).map_err(Hold::from)?;
        let Some(lent) = self.fleet.lend(lane.account, now) else {
            entry.lane.cancel(debit);
            return Err(Hold::Until(None, None));
        };
        entry.open += 1;
        entry.used_at = now;
        self.memories.note(entry, now);
        Ok(Grant { lane, lent, place, waited_for: None, debit })
    }

    /// Tells whether nobody waits for `pool`.
    pub(super) fn is_clear(&self, pool: PoolId) -> bool {
        self.pools.get(&pool).is_none_or(|pool| pool.line.is_empty())
    }

    /// Lets the head of the pool's line go as long as it fits, and notes when to look again.
    pub(super) fn serve(&mut self, pool: PoolId, now: Instant) {
        self.forget_look(pool);
        loop {
            let Some(entry) = self.pools.get_mut(&pool) else { return };
            let Some(head) = entry.line.head() else {
                entry.short_of = None;
                return;
            };
            let ticket = &head.ticket;
            let (demand, who) = (ticket.demand, (ticket.place, ticket.avoid));
            let short_of = entry.short_of;
            let outcome = match self.try_grant(pool, &demand, who, now) {
                Ok(grant) => Ok(Grant { waited_for: short_of, ..grant }),
                Err(Hold::Until(at, quota)) => return self.look_again(pool, at, quota),
                Err(Hold::TooLarge { quota, limit, wanted }) => {
                    let Some(entry) = self.pools.get(&pool) else { return };
                    // A limit was lowered while it waited.
                    Err(Refusal::TooLarge { model: entry.model.clone(), quota, limit, wanted })
                }
            };
            let Some(waiter) = self.pools.get_mut(&pool).and_then(|entry| entry.line.pop()) else {
                return;
            };
            self.dismiss(waiter, outcome, now);
        }
    }

    /// Tells one who was taken out of its line what became of it. Its owner is left unless a grant
    /// goes on holding it.
    fn dismiss(&mut self, waiter: Waiter<Ticket>, outcome: Result<Grant, Refusal>, now: Instant) {
        self.waiting = self.waiting.saturating_sub(1);
        if let (Err(_), Some(owner)) = (&outcome, waiter.ticket.owner) {
            self.fleet.leave(owner);
        }
        // Whoever waited may be gone by now; then nothing was sent.
        if let Err(Ok(grant)) = waiter.ticket.outcome.send(outcome) {
            self.undo(grant, now, |lane, debit| lane.cancel(debit));
        }
    }

    /// Tells all who wait that nothing is admitted any more.
    pub(super) fn close_all(&mut self, now: Instant) {
        self.is_closed = true;
        let pools: Vec<PoolId> = self.pools.keys().copied().collect();
        for pool in pools {
            self.forget_look(pool);
            while let Some(waiter) = self.pools.get_mut(&pool).and_then(|entry| entry.line.pop()) {
                self.dismiss(waiter, Err(Refusal::Stopping), now);
            }
        }
    }

    /// Serves every pool that is due, and returns when the next one is.
    pub(super) fn serve_due(&mut self, now: Instant) -> Option<Instant> {
        while let Some(&(at, pool)) = self.agenda.first() {
            if at > now {
                return Some(at);
            }
            self.agenda.pop_first();
            if let Some(entry) = self.pools.get_mut(&pool) {
                entry.look_at = None;
            }
            self.serve(pool, now);
        }
        None
    }

    /// Returns when the earliest pool is due.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.agenda.first().map(|&(at, _)| at)
    }

    /// Serves all pools: something happened that may concern any of them.
    pub(super) fn serve_all(&mut self, now: Instant) {
        let busy: Vec<PoolId> = self
            .pools
            .iter()
            .filter(|(_, pool)| !pool.line.is_empty())
            .map(|(id, _)| *id)
            .collect();
        for pool in busy {
            self.serve(pool, now);
        }
    }

    /// Lets a ticket wait in the line of `pool`.
    pub(super) fn join(&mut self, pool: PoolId, ticket: Ticket, now: Instant) {
        let cost = self.cost(pool, &ticket.demand);
        let place = ticket.place;
        let Some(entry) = self.pools.get_mut(&pool) else { return };
        self.waiting += 1;
        let displaced = entry.line.join(place, Waiter { cost, ticket });
        debug_assert!(displaced.is_none(), "two requests at {place:?}");
        if let Some(displaced) = displaced {
            self.dismiss(displaced, Err(Refusal::Stopping), now);
        }
        self.serve(pool, now);
    }

    /// Returns what `demand` will be charged in the first lane of `pool`.
    pub(super) fn cost(&self, pool: PoolId, demand: &Demand) -> Backlog {
        let lane = self.pools.get(&pool).and_then(|entry| self.lanes.get(entry.lanes.first()?));
        let tokens = lane.map_or(demand.input, |entry| entry.lane.expected(demand).into());
        Backlog { requests: demand.requests, tokens }
    }

    /// Takes whoever waits at `place` out of the line of `pool`, and lets those behind go on.
    pub(super) fn withdraw(&mut self, pool: PoolId, place: Place, now: Instant) {
        let withdrawn = self.pools.get_mut(&pool).and_then(|entry| entry.line.withdraw(place));
        if let Some(waiter) = withdrawn {
            // Nobody listens any more.
            self.dismiss(waiter, Err(Refusal::Stopping), now);
            self.serve(pool, now);
        }
    }

    fn look_again(&mut self, pool: PoolId, at: Option<Instant>, quota: Option<QuotaKind>) {
        let Some(entry) = self.pools.get_mut(&pool) else { return };
        entry.short_of = quota.or(entry.short_of);
        entry.look_at = at;
        if let Some(at) = at {
            self.agenda.insert((at, pool));
        }
    }

    fn forget_look(&mut self, pool: PoolId) {
        if let Some(at) = self.pools.get_mut(&pool).and_then(|entry| entry.look_at.take()) {
            self.agenda.remove(&(at, pool));
        }
    }
}

impl From<Shortfall> for Hold {
    fn from(shortfall: Shortfall) -> Self {
        match shortfall {
            Shortfall::Later { quota, at } => Self::Until(Some(at), Some(quota)),
            Shortfall::AfterAnswer { quota } => Self::Until(None, Some(quota)),
            Shortfall::TooLarge { quota, limit, wanted } => Self::TooLarge { quota, limit, wanted },
        }
    }
}

impl Hold {
    /// Returns the hold that ends first; one that no time ends is ended by a ring.
    fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Until(Some(a), why), Self::Until(Some(b), _)) if a <= b => {
                Self::Until(Some(a), why)
            }
            (Self::Until(Some(a), why), Self::Until(None, _)) => Self::Until(Some(a), why),
            (_, other) => other,
        }
    }
}

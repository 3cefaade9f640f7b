//! What one app has waiting in one class, and how much it had of each lane.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::place::{Backlog, LaneId, Place, PoolId};
use super::ranked::Ranked;
use crate::units::{AppName, Class};

/// Names the requests of one app and class. Never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FlowId(pub(super) u64);

/// A virtual time: what an app of the usual weight had of a lane, in parts of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Tag(pub(super) u64);

/// The requests of one app and class.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) app: AppName,
    pub(super) class: Class,
    pub(super) weight: u32,
    /// Whether its app has quotas of its own, and whether it is short of them.
    pub(super) is_limited: bool,
    pub(super) is_held: bool,
    pub(super) queues: BTreeMap<PoolId, Queue>,
    /// How far it is on each lane that it asked for.
    pub(super) tags: BTreeMap<LaneId, Tag>,
    /// Under what it stands in the order of each lane.
    pub(super) listed: BTreeMap<LaneId, (Tag, Place)>,
    /// What comes in by and by, and what goes.
    pub(super) came: Rate,
    pub(super) went: Rate,
}

/// The requests of one app and class for one pool.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Those who may go.
    pub(super) waiting: Ranked,
    /// Those whose place is kept, but who may not go: told to come back, or resting.
    pub(super) away: Ranked,
}

impl Flow {
    pub(super) fn new(app: AppName, class: Class) -> Self {
        Self {
            app,
            class,
            weight: 0,
            is_limited: false,
            is_held: false,
            queues: BTreeMap::new(),
            tags: BTreeMap::new(),
            listed: BTreeMap::new(),
            came: Rate::default(),
            went: Rate::default(),
        }
    }

    /// Returns its first request for any of `pools` that is not among `skip`.
    pub(super) fn head(&self, pools: &[PoolId], skip: &[Place]) -> Option<Place> {
        let first = |queue: &Queue| {
            // Of so many, one at least is not to be skipped.
            (0..=skip.len())
                .map_while(|index| queue.waiting.nth(index))
                .find(|place| !skip.contains(place))
        };
        pools.iter().filter_map(|pool| first(self.queues.get(pool)?)).min()
    }

    /// Returns its last request that may go.
    pub(super) fn last(&self) -> Option<Place> {
        self.queues.values().filter_map(|queue| queue.waiting.last()).max()
    }

    /// Returns what stands in its own queues for `pools` before `place`, those away included.
    pub(super) fn before(&self, pools: &[PoolId], place: Place) -> Backlog {
        let queues = pools.iter().filter_map(|pool| self.queues.get(pool));
        queues.fold(Backlog::NONE, |sum, queue| {
            sum.plus(queue.waiting.before(place)).plus(queue.away.before(place))
        })
    }

    /// Returns all that it has in its queues for `pools`, those away included.
    pub(super) fn backlog(&self, pools: &[PoolId]) -> Backlog {
        let queues = pools.iter().filter_map(|pool| self.queues.get(pool));
        queues.fold(Backlog::NONE, |sum, queue| {
            sum.plus(queue.waiting.total()).plus(queue.away.total())
        })
    }

    /// Returns how many may go.
    pub(super) fn waiting(&self) -> usize {
        self.queues.values().map(|queue| queue.waiting.len()).sum()
    }

    /// Returns whether it has neither anybody in line nor anybody away.
    pub(super) fn is_idle(&self) -> bool {
        self.queues.is_empty()
    }

    /// Drops the queue for `pool` if nobody is in it.
    pub(super) fn tidy(&mut self, pool: PoolId) {
        let empty = |queue: &Queue| queue.waiting.is_empty() && queue.away.is_empty();
        if self.queues.get(&pool).is_some_and(empty) {
            self.queues.remove(&pool);
        }
    }

    /// Returns by how much `share` of a window moves it on.
    pub(super) fn advance_of(&self, share: f64) -> Tag {
        Tag::of(share * f64::from(USUAL) / f64::from(self.weight.max(1)))
    }
}

impl Tag {
    /// Converts parts of a window.
    pub(super) fn of(share: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts saturate, and a negative share is none"
        )]
        Self((share * WINDOW) as u64)
    }

    /// Converts into parts of a window.
    pub(super) fn share(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more")]
        let share = self.0 as f64 / WINDOW;
        share
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(super) const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// How much comes or goes by and by, with what is older fading.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    requests: f64,
    tokens: f64,
    since: Option<Instant>,
    at: Option<Instant>,
}

impl Rate {
    /// Notes that `cost` came or went.
    pub(super) fn add(&mut self, cost: Backlog, now: Instant) {
        let fading = self.fading(now);
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more")]
        let (requests, tokens) = (cost.requests as f64, cost.tokens as f64);
        self.requests = self.requests * fading + requests;
        self.tokens = self.tokens * fading + tokens;
        self.since.get_or_insert(now);
        self.at = Some(now);
    }

    /// Returns how many requests and tokens those are in a second.
    pub(super) fn per_second(&self, now: Instant) -> (f64, f64) {
        let Some(since) = self.since else { return (0.0, 0.0) };
        // Of a span that is shorter than the memory only that much has been seen.
        let age = now.saturating_duration_since(since).as_secs_f64().max(10.0);
        let seen = MEMORY * (1.0 - (-age / MEMORY).exp());
        let fading = self.fading(now);
        (self.requests * fading / seen, self.tokens * fading / seen)
    }

    fn fading(&self, now: Instant) -> f64 {
        let gap = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        (-gap / MEMORY).exp()
    }
}

/// Seconds after which something counts for a third.
const MEMORY: f64 = 60.0;
/// The weight of those for whom nobody configured one.
const USUAL: u32 = crate::units::Party::USUAL_WEIGHT;
/// A whole window as a virtual time.
const WINDOW: f64 = 1_099_511_627_776.0;

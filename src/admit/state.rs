//! Everything that is decided under the one lock: lanes, line, keys, and who goes where.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::allotments::{Allotments, How, Own};
use super::memory::{LaneMemory, Memories};
use super::refusal::Refusal;
use super::routes::{LaneKey, Routes};
use crate::config::{LineMode, LineSettings, UpstreamSettings};
use crate::count::{Demand, Prefix};
use crate::limit::{Debit, Lane, Needed, QuotaKind, Shortfall, Spare};
use crate::line::{Backlog, Bounds, LaneId, Line, Place, PoolId, Turn};
use crate::units::{AppName, Class, ModelName, Party, Pick, Tokens};
use crate::upstream::{AccountId, Fleet, FleetError, Lent, Merit, Standing, picked, rank};

/// The state behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) fleet: Fleet,
    pub(super) upstream: UpstreamSettings,
    pub(super) lanes: BTreeMap<LaneId, LaneEntry>,
    pub(super) pools: BTreeMap<PoolId, Pool>,
    pub(super) routes: Routes,
    pub(super) memories: Memories,
    pub(super) line: Line<Ticket>,
    /// Whether anybody is held.
    pub(super) mode: LineMode,
    /// What the apps may use, the number of this line there, and whose requests other lines are to try again.
    pub(super) allotments: Allotments,
    pub(super) number: usize,
    pub(super) freed: Vec<AppName>,
    arrivals: u64,
    /// Whether nothing is admitted any more.
    pub(super) is_closed: bool,
}

/// A lane and what keeps it from being forgotten.
#[derive(Debug)]
pub(super) struct LaneEntry {
    pub(super) key: LaneKey,
    pub(super) lane: Lane,
    /// Debits not closed yet.
    pub(super) open: usize,
    pub(super) used_at: Instant,
    pub(super) memory: LaneMemory,
    /// What the last one lacked who was the first and did not fit.
    pub(super) short_of: Option<QuotaKind>,
    /// Whether no request goes there any more, so that it goes with the last debit.
    pub(super) is_retired: bool,
}

/// The lanes that a model may use: the line knows which.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) model: ModelName,
}

/// What wakes a waiter.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The account that it is bound to; a client's own is held for it.
    pub(super) owner: Option<AccountId>,
    /// The app by whose key it was let in.
    pub(super) key_of: Option<AppName>,
    pub(super) model: ModelName,
    pub(super) demand: Demand,
    pub(super) prefix: Prefix,
    pub(super) since: Instant,
    pub(super) outcome: oneshot::Sender<Result<Grant, Refusal>>,
}

/// A debit with all that is needed to send the request. It must be closed by the state.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) lane: LaneId,
    pub(super) lent: Lent,
    pub(super) place: Place,
    /// Why it is this lane.
    pub(super) chosen: Pick,
    pub(super) waited_for: Option<QuotaKind>,
    /// How long it would have waited, where nobody is held.
    pub(super) would_wait: Option<Duration>,
    pub(super) debit: Debit,
    /// What it took of its app's own quotas; nothing where that has none.
    pub(super) own: Option<Own>,
    /// What it cost its app in the line; nothing where nobody waited.
    pub(super) turn: Option<Turn>,
    /// The front of its prompt, and how much of that should be in the account's cache.
    pub(super) cached: (Prefix, Tokens),
}

/// Who wants to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goer<'a> {
    pub(super) party: &'a Party,
    pub(super) demand: &'a Demand,
    pub(super) place: Place,
    pub(super) avoid: Option<AccountId>,
    pub(super) prefix: &'a Prefix,
}

/// Why a request does not go through a lane now.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hold {
    /// Room may come; look again at this time if nothing rings before.
    Until(Option<Instant>, QuotaKind),
    /// No key of the account can be used before this.
    Shut(Option<Instant>),
    /// The lane is not large enough.
    TooLarge { quota: QuotaKind, limit: u64, wanted: u64 },
}

impl State {
    pub(super) fn new(
        upstream: &UpstreamSettings,
        line: &LineSettings,
        allotments: Allotments,
    ) -> Result<Self, FleetError> {
        Ok(Self {
            fleet: Fleet::new(upstream)?,
            upstream: upstream.clone(),
            lanes: BTreeMap::new(),
            pools: BTreeMap::new(),
            routes: Routes::default(),
            memories: Memories::default(),
            line: Line::new(bounds(line)),
            mode: line.mode,
            allotments,
            number: 0,
            freed: Vec::new(),
            arrivals: 0,
            is_closed: false,
        })
    }

    /// Gives out the next place.
    pub(super) fn arrive(&mut self, wanted_by: Option<Instant>, now: Instant) -> Place {
        self.arrivals += 1;
        Place::new(self.arrivals, now, wanted_by)
    }

    /// Lets a request go through the best lane of `pool` for which nobody waits and that has room.
    /// `None`: it has to wait, or can never fit.
    pub(super) fn try_pool(&mut self, pool: PoolId, goer: Goer<'_>, now: Instant) -> Option<Grant> {
        if let [lane] = self.line.lanes(pool) {
            let lane = *lane;
            return self.try_clear(lane, &goer, now);
        }
        let ranked = self.ranked(pool, &goer, now);
        ranked.iter().enumerate().find_map(|(at, (_, lane))| {
            let grant = self.try_clear(*lane, &goer, now)?;
            Some(Grant { chosen: picked(&ranked, at), ..grant })
        })
    }

    fn try_clear(&mut self, lane: LaneId, goer: &Goer<'_>, now: Instant) -> Option<Grant> {
        let app = &goer.party.app;
        if !self.line.is_clear(lane) || self.line.is_held(app) {
            return None;
        }
        self.fits_own(lane, (app, goer.demand), now).ok()?;
        let debit = self.try_debit(lane, (goer.party.class, goer.demand), now).ok()?;
        let grant = self.lend(lane, debit, goer, now).ok()?;
        self.with_own(grant, (goer, How::IfItFits), now).ok()
    }

    /// Returns the lanes of `pool`, the best first.
    pub(super) fn ranked(
        &self,
        pool: PoolId,
        goer: &Goer<'_>,
        now: Instant,
    ) -> Vec<(Merit, LaneId)> {
        let warm = self.fleet.warm(goer.prefix, now);
        let lanes = self.line.lanes(pool).iter();
        let mut candidates: Vec<(Merit, LaneId)> = lanes
            .filter_map(|lane| {
                let entry = self.lanes.get(lane)?;
                let account = entry.key.account;
                let merit = Merit {
                    avoided: Some(account) == goer.avoid,
                    standing: self.fleet.standing(account, now),
                    warm: warm.tokens(account),
                    headroom: entry.lane.headroom(now),
                    open: entry.open,
                };
                Some((merit, *lane))
            })
            .collect();
        rank(&mut candidates);
        candidates
    }

    /// Debits a lane, if its account can be used.
    pub(super) fn try_debit(
        &mut self,
        lane: LaneId,
        (class, demand): (Class, &Demand),
        now: Instant,
    ) -> Result<Debit, Hold> {
        let Some(entry) = self.lanes.get(&lane) else { return Err(Hold::Shut(None)) };
        match self.fleet.standing(entry.key.account, now) {
            Standing::Ready | Standing::Doubtful | Standing::Trial => {}
            Standing::Resting(until) => return Err(Hold::Shut(Some(until))),
            Standing::Out => return Err(Hold::Shut(None)),
        }
        let spare = self.spare(lane, class, now);
        let Some(entry) = self.lanes.get_mut(&lane) else { return Err(Hold::Shut(None)) };
        entry.lane.try_reserve(demand, spare, now).map_err(Hold::from)
    }

    /// Returns what a request of `class` has to leave free on a lane.
    pub(super) fn spare(&mut self, lane: LaneId, class: Class, now: Instant) -> Spare {
        let spared = self.line.spare(lane, class, now);
        let hundredths = spared.hundredths;
        let left = |of: fn(Backlog) -> u64| {
            let [busy, minute] = [spared.busy, spared.minute].map(of);
            Needed { busy, minute, hundredths }
        };
        Spare { requests: left(|all| all.requests), tokens: left(|all| all.tokens) }
    }

    /// Lends a key to a request whose lane is debited.
    pub(super) fn lend(
        &mut self,
        lane: LaneId,
        debit: Debit,
        goer: &Goer<'_>,
        now: Instant,
    ) -> Result<Grant, Hold> {
        let Some(entry) = self.lanes.get_mut(&lane) else { return Err(Hold::Shut(None)) };
        let Some(lent) = self.fleet.lend(entry.key.account, now) else {
            entry.lane.cancel(debit);
            return Err(Hold::Shut(None));
        };
        entry.open += 1;
        entry.used_at = now;
        self.memories.note(entry, now);
        if goer.party.class == Class::Interactive {
            let cost = entry.lane.expected(goer.demand).into();
            let reserve = Backlog { requests: 1, tokens: size(goer.demand, 0) };
            self.line.took(lane, goer.party.class, (cost, reserve), now);
        }
        let warm = self.fleet.warm(goer.prefix, now).tokens(lent.account());
        let (place, cached) = (goer.place, (goer.prefix.clone(), warm));
        let (waited_for, would_wait) = (None, None);
        let (own, turn, chosen) = (None, None, Pick::ONLY);
        Ok(Grant { lane, lent, place, chosen, waited_for, would_wait, debit, own, turn, cached })
    }

    /// Returns what `demand` will be charged, the part of a window that this is, and what must be
    /// free for it to go, in the first lane of `pool`.
    pub(super) fn cost(&self, pool: PoolId, demand: &Demand) -> (Backlog, f64, Backlog) {
        let first = self.line.lanes(pool).first().and_then(|lane| self.lanes.get(lane));
        let Some(entry) = first else { return (Backlog::NONE, 0.0, Backlog::NONE) };
        let cost = entry.lane.expected(demand);
        (cost.into(), entry.lane.share(&cost), entry.lane.reserved(demand).into())
    }
}

/// Returns how long the line may become.
pub(super) const fn bounds(line: &LineSettings) -> Bounds {
    Bounds {
        waiting: line.max_waiting,
        waiting_per_app: line.max_waiting_per_app,
        bytes: line.max_waiting_bytes,
    }
}

/// Returns what must be free for a request: the least that lets one be taken for smaller than
/// another. `assumed` stands for an output that has no bound.
pub(super) fn size(demand: &Demand, assumed: u64) -> u64 {
    let output = demand.output_bound.map_or(assumed, |bound| bound.count());
    demand.input.count().saturating_add(output)
}

impl From<Shortfall> for Hold {
    fn from(shortfall: Shortfall) -> Self {
        match shortfall {
            Shortfall::Later { quota, at } => Self::Until(Some(at), quota),
            Shortfall::AfterAnswer { quota } => Self::Until(None, quota),
            Shortfall::TooLarge { quota, limit, wanted } => Self::TooLarge { quota, limit, wanted },
        }
    }
}

impl From<crate::limit::Cost> for Backlog {
    fn from(cost: crate::limit::Cost) -> Self {
        Self { requests: cost.requests, tokens: cost.tokens }
    }
}

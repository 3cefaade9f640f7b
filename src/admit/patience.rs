//! What is told to those who cannot go: when their turn would have come.

use std::time::Duration;

use tokio::time::Instant;

use super::Whereabouts;
use super::refusal::{Refusal, stay_away};
use super::routes::PoolId;
use super::state::State;
use crate::count::Demand;
use crate::limit::Cost;
use crate::line::{Backlog, Place};
use crate::units::ModelName;

impl State {
    /// Returns the refusal of a request that no lane of `pool` can ever grant.
    pub(super) fn oversize(&self, pool: PoolId, demand: &Demand, now: Instant) -> Option<Refusal> {
        let entry = self.pools.get(&pool)?;
        let mut largest = None;
        for lane in entry.lanes.iter().filter_map(|key| self.lanes.get(key)) {
            largest = Some(lane.lane.oversize(demand, now)?);
        }
        let (quota, limit, wanted) = largest?;
        Some(Refusal::TooLarge { model: entry.model.clone(), quota, limit, wanted })
    }

    /// Returns the refusal of a request that finds the line full; it would have stood at `place`.
    pub(super) fn refuse_full(
        &mut self,
        pool: PoolId,
        (place, demand): (Place, &Demand),
        now: Instant,
    ) -> Refusal {
        let cost = self.cost(pool, demand);
        let waiting = self.waiting;
        let (model, ahead) = match self.pools.get_mut(&pool) {
            Some(entry) => (entry.model.clone(), entry.line.ahead_of(place, now)),
            None => (ModelName::new(""), Backlog::default()),
        };
        let expected = self.promise(pool, (place, ahead), cost, now);
        Refusal::LineFull { model, waiting, ahead: ahead.requests.count(), expected }
    }

    /// Tells where whoever waits at `place` stands; `None` if nobody does.
    pub(super) fn whereabouts(
        &mut self,
        pool: PoolId,
        place: Place,
        now: Instant,
    ) -> Option<Whereabouts> {
        let line = &mut self.pools.get_mut(&pool)?.line;
        let cost = line.cost_at(place)?;
        let ahead = line.ahead_of(place, now);
        let until = self.expected(pool, ahead.plus(cost), now);
        let expected = until.saturating_duration_since(now);
        Some(Whereabouts { ahead: ahead.requests.count(), expected })
    }

    /// Takes a request whose time is up out of the line and tells when its turn would have come.
    pub(super) fn refuse_late(
        &mut self,
        pool: PoolId,
        (place, cost): (Place, Backlog),
        since: Instant,
        now: Instant,
    ) -> Refusal {
        let waited = now.saturating_duration_since(since);
        let (model, short_of, ahead) = match self.pools.get_mut(&pool) {
            Some(entry) => (entry.model.clone(), entry.short_of, entry.line.ahead_of(place, now)),
            None => (ModelName::new(""), None, Backlog::default()),
        };
        self.withdraw(pool, place, now);
        let expected = self.promise(pool, (place, ahead), cost, now);
        let ahead = ahead.requests.count();
        Refusal::TimeIsUp { model, short_of, waited, ahead, expected }
    }

    /// Tells when `cost` behind `ahead` will have gone, and remembers when it was told to come back.
    fn promise(
        &mut self,
        pool: PoolId,
        (place, ahead): (Place, Backlog),
        cost: Backlog,
        now: Instant,
    ) -> Duration {
        let until = self.expected(pool, ahead.plus(cost), now);
        // A window frees room for many at one moment; they are not all to come back then.
        let before = u32::try_from(ahead.requests.count()).unwrap_or(u32::MAX);
        let expected = until.saturating_duration_since(now) + APART.saturating_mul(before);
        if let Some(entry) = self.pools.get_mut(&pool) {
            entry.line.promise(place, cost, now + stay_away(expected));
        }
        expected
    }

    /// Returns when `backlog` will have gone: all lanes of the pool work off the line together.
    pub(super) fn expected(&self, pool: PoolId, backlog: Backlog, now: Instant) -> Instant {
        let Some(entry) = self.pools.get(&pool) else { return now };
        let cost = Cost { requests: backlog.requests.count(), tokens: backlog.tokens.count() };
        let per_second: f64 = entry
            .lanes
            .iter()
            .filter_map(|key| self.lanes.get(key))
            .map(|entry| {
                let at = entry.lane.eta(&cost, now);
                1.0 / at.saturating_duration_since(now).as_secs_f64().max(0.001)
            })
            .sum();
        let seconds = if per_second > 0.0 { (1.0 / per_second).min(86_400.0) } else { 59.0 };
        now + Duration::from_secs_f64(seconds)
    }
}

/// How far apart two that follow each other in the line are told to come back, at least.
const APART: Duration = Duration::from_millis(25);

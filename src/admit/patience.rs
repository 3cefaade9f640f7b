//! What is told to those who cannot go: when their turn would have come.

use std::time::Duration;

use tokio::time::Instant;

use super::Whereabouts;
use super::pace::Ways;
use super::refusal::Refusal;
use super::state::State;
use crate::count::Demand;
use crate::line::{Expected, Full, LaneId, Pace, Place, PoolId, Request, Stand};
use crate::units::ModelName;

impl State {
    /// Returns the pool of those lanes of `pool` that are large enough for a request: itself, where
    /// all are. `None` if none is.
    pub(super) fn large_enough(
        &mut self,
        pool: PoolId,
        demand: &Demand,
        now: Instant,
    ) -> Option<PoolId> {
        let lanes = self.line.lanes(pool);
        let is_large = |lane: &&LaneId| {
            self.lanes.get(lane).is_some_and(|entry| entry.lane.oversize(demand, now).is_none())
        };
        let fit: Vec<LaneId> = lanes.iter().filter(is_large).copied().collect();
        if fit.len() == lanes.len() {
            return Some(pool);
        }
        let model = self.model(pool);
        (!fit.is_empty()).then(|| self.pool_with(fit, &model))
    }

    /// Returns the refusal of a request that no lane of `pool` can ever grant.
    pub(super) fn oversize(&self, pool: PoolId, demand: &Demand, now: Instant) -> Refusal {
        let lanes = self.line.lanes(pool).iter().filter_map(|lane| self.lanes.get(lane));
        let over = lanes.filter_map(|entry| entry.lane.oversize(demand, now)).last();
        match over {
            Some((quota, limit, wanted)) => {
                Refusal::TooLarge { model: self.model(pool), quota, limit, wanted }
            }
            None => Refusal::Stopping,
        }
    }

    pub(super) fn model(&self, pool: PoolId) -> ModelName {
        self.pools.get(&pool).map_or_else(|| ModelName::new(""), |pool| pool.model.clone())
    }

    /// Returns the refusal of a request that finds the line full; its place is kept.
    pub(super) fn refuse_full(&mut self, request: &Request, full: Full, now: Instant) -> Refusal {
        let Expected { ahead, wait } = self.expected(request, now);
        let model = self.model(request.pool);
        let waiting = self.line.len();
        let arrival = request.place.arrival();
        let refusal = Refusal::LineFull { model, full, waiting, ahead, arrival, expected: wait };
        self.keep_place(request, &refusal, now);
        refusal
    }

    /// Tells where whoever waits at `place` stands; `None` if nobody does.
    pub(super) fn whereabouts(&mut self, place: Place, now: Instant) -> Option<Whereabouts> {
        let request = self.line.request(place)?.clone();
        let Expected { ahead, wait } = self.expected(&request, now);
        Some(Whereabouts { ahead, expected: wait })
    }

    /// Takes a request whose time is up out of the line, keeps its place, and tells when its turn
    /// would have come.
    pub(super) fn refuse_late(&mut self, place: Place, since: Instant, now: Instant) -> Refusal {
        let waited = now.saturating_duration_since(since);
        let Some(request) = self.line.request(place).cloned() else { return Refusal::Stopping };
        let Expected { ahead, wait } = self.expected(&request, now);
        let short_of = self.lacks(&request, now);
        let model = self.model(request.pool);
        let arrival = place.arrival();
        let down = self.line.ticket(place).and_then(|ticket| self.down(ticket.owner?, now));
        let late = Refusal::TimeIsUp { model, short_of, waited, ahead, arrival, expected: wait };
        let refusal = down.unwrap_or(late);
        self.withdraw(place, now);
        self.keep_place(&request, &refusal, now);
        self.serve(now);
        refusal
    }

    /// Takes one who hung up out of the line; its place is kept.
    pub(super) fn hang_up(&mut self, place: Place, now: Instant) {
        let request = self.withdraw(place, now).filter(|request| request.likeness.is_some());
        if let Some(request) = request {
            self.line.remember(&request, None, now + KEPT);
        }
        self.serve(now);
    }

    /// Keeps the place of one who was refused for an equal request: when it comes back as it was told,
    /// it is its turn, unless it was told less than the truth because that is more than a minute.
    /// Without a likeness it is kept until it would come back, so that others are told later times.
    fn keep_place(&mut self, request: &Request, refusal: &Refusal, now: Instant) {
        let told = refusal.retry_after();
        let expected = refusal.expected_wait().unwrap_or_default();
        let due = (expected <= told + NEAR).then_some(now + told);
        let kept = if request.likeness.is_some() { KEPT } else { told };
        self.line.remember(request, due, now + kept);
    }

    /// Returns what a request may expect: how many stand before it, and when its turn comes.
    pub(super) fn expected(&mut self, request: &Request, now: Instant) -> Expected {
        let lanes = self.line.lanes(request.pool).to_vec();
        let entries = lanes.iter().filter_map(|lane| self.lanes.get(lane));
        let ways = Ways::of(entries, &self.fleet, now);
        let held = request.reserve.tokens.saturating_sub(request.cost.tokens);
        let (share, time) = (|backlog| ways.share(backlog), |backlog| ways.time(backlog, held));
        let pace = Pace { share: &share, time: &time };
        let Request { party, pool, place, cost, .. } = request;
        let stand = Stand { party, pool: *pool, place: *place, cost: *cost };
        let expected = self.line.expected(&stand, now, &pace);
        // A window frees room for many at one moment; they are not all to come back then.
        let before = f64::from(u32::try_from(expected.ahead).unwrap_or(u32::MAX));
        let apart = APART.mul_f64(before / (before + HALF));
        let (before, own) = self.own_wait(request, now).unwrap_or_default();
        let wait = expected.wait.max(self.least_wait(request, now)).max(own) + apart;
        Expected { wait, ahead: expected.ahead.max(before) }
    }

    /// Returns how long one who waits has to, even if nobody was before it.
    fn least_wait(&mut self, request: &Request, now: Instant) -> Duration {
        let Some(demand) = self.line.ticket(request.place).map(|ticket| ticket.demand) else {
            return Duration::ZERO;
        };
        let waits = self.line.lanes(request.pool).to_vec().into_iter().filter_map(|lane| {
            let spare = self.spare(lane, request.party.class, now);
            let soonest = self.lanes.get_mut(&lane)?.lane.soonest(&demand, spare, now);
            Some(soonest.saturating_duration_since(now))
        });
        waits.min().unwrap_or_default()
    }

    /// Returns the quota that those who wait for `pool` wait for, where known.
    pub(super) fn short_of(&self, pool: PoolId) -> Option<crate::limit::QuotaKind> {
        let lanes = self.line.lanes(pool).iter();
        lanes.filter_map(|lane| self.lanes.get(lane)?.short_of).next()
    }
}

/// How much later the last is told to come back than the first, where room comes for all at once;
/// who has this many before it, half of that.
const APART: Duration = Duration::from_secs(1);
const HALF: f64 = 40.0;
/// Who is told so much less than is expected comes back when it is its turn.
const NEAR: Duration = Duration::from_secs(9);
/// How long the place of one who was not served is kept.
const KEPT: Duration = Duration::from_secs(90);

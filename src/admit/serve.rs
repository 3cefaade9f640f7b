//! Lets those go who wait: asks the line who is next, tries the lane, and tells what came of it.

use tokio::time::Instant;

use super::allotments::{End, How};
use super::refusal::Refusal;
use super::state::{Goer, Grant, Hold, State, Ticket};
use crate::config::LineMode;
use crate::count::Demand;
use crate::limit::{Back, Debit, QuotaKind, Shortfall};
use crate::line::{Answer, LaneId, Left, Place, PoolId, Purpose, SavedFor, Try, Turn, Waiter};
use crate::units::{Pick, Why};

/// What came of a try: for the line, and for the one who was tried.
struct Outcome {
    answer: Answer,
    told: Option<Result<Grant, Refusal>>,
}

/// When one may fit a lane, and what is taken to come back there until then.
struct Hoped {
    at: Instant,
    back: Back,
}

impl State {
    /// Lets everybody go who can, on the lanes that are due.
    pub(super) fn serve(&mut self, now: Instant) {
        while let Some(asked) = self.line.next_try() {
            let outcome = self.attempt(asked, now);
            let Some(Left { waiter, turn }) = self.line.answer(asked, outcome.answer, now) else {
                continue;
            };
            let told = outcome.told.unwrap_or(Err(Refusal::Stopping));
            self.dismiss(waiter, told.map(|grant| Grant { turn, ..grant }), now);
        }
    }

    /// Serves what is due by its time, and returns when something is due again.
    pub(super) fn serve_due(&mut self, now: Instant) -> Option<Instant> {
        self.line.ring_due(now);
        self.serve(now);
        if self.routes.has_retired && self.routes.is_due(now) {
            self.clear_away(now);
        }
        self.line.next_look()
    }

    /// Serves all: something happened that may concern any of them.
    pub(super) fn serve_all(&mut self, now: Instant) {
        self.line.ring_all();
        self.serve(now);
    }

    /// Serves those who wait for a lane: its level changed.
    pub(super) fn ring(&mut self, lane: LaneId, now: Instant) {
        self.line.ring(lane);
        self.serve(now);
    }

    /// Tells all who wait that nothing is admitted any more.
    pub(super) fn close_all(&mut self, now: Instant) {
        self.is_closed = true;
        for waiter in self.line.drain() {
            self.dismiss(waiter, Err(Refusal::Stopping), now);
        }
        // The lanes of those who left have nobody to look for.
        self.serve(now);
    }

    /// Tells one who left the line what became of it. Its owner is left unless a grant goes on
    /// holding it.
    pub(super) fn dismiss(
        &mut self,
        waiter: Waiter<Ticket>,
        outcome: Result<Grant, Refusal>,
        now: Instant,
    ) {
        if let (Err(_), Some(owner)) = (&outcome, waiter.ticket.owner) {
            self.fleet.leave(owner);
        }
        // Whoever waited may be gone by now; then nothing was sent.
        if let Err(Ok(grant)) = waiter.ticket.outcome.send(outcome) {
            let lane = self.undo(grant, End::Unsent, now, |lane, debit| {
                lane.cancel(debit);
                None
            });
            self.line.ring(lane);
        }
    }

    fn attempt(&mut self, asked: Try, now: Instant) -> Outcome {
        let (Some(request), Some(ticket)) =
            (self.line.request(asked.place), self.line.ticket(asked.place))
        else {
            return Outcome::of(Answer::Never);
        };
        let (app, demand) = (&request.party.app, &ticket.demand);
        match self.fits_own(asked.lane, (app, demand), now) {
            Err(shortfall) if self.mode == LineMode::Enforce => {
                self.short_of_own(request.pool, shortfall)
            }
            _ => self.attempt_lane(asked, now),
        }
    }

    /// Holds a request's app back, or sends the request away if it can never fit that one's quotas.
    fn short_of_own(&self, pool: PoolId, shortfall: Shortfall) -> Outcome {
        if let Some(refusal) = self.too_large_own(pool, shortfall) {
            return Outcome { answer: Answer::Never, told: Some(Err(refusal)) };
        }
        let until = match shortfall {
            Shortfall::Later { at, .. } => Some(at),
            Shortfall::AfterAnswer { .. } | Shortfall::TooLarge { .. } => None,
        };
        Outcome::of(Answer::AppShort(until))
    }

    fn attempt_lane(&mut self, asked: Try, now: Instant) -> Outcome {
        let (Some(request), Some(ticket)) =
            (self.line.request(asked.place), self.line.ticket(asked.place))
        else {
            return Outcome::of(Answer::Never);
        };
        let (party, demand, pool) = (request.party.clone(), ticket.demand, request.pool);
        let prefix = &ticket.prefix.clone();
        let hoped = asked.before.and_then(|saved| self.hopes(asked.lane, saved.place, now));
        if hoped.as_ref().is_some_and(|hoped| hoped.at <= now) {
            // The one saved up for waits for answers only: all that they give back is for it.
            return Outcome::of(Answer::Delays);
        }
        let class = self.line.goes_as(asked.lane, asked.place).unwrap_or(party.class);
        let debit = match self.try_debit(asked.lane, (class, &demand), now) {
            Ok(debit) => debit,
            Err(Hold::Shut(at)) => return Outcome::of(Answer::Shut(at)),
            Err(_) if self.mode == LineMode::Observe => {
                // It was held for want of a key, or when others were.
                let Some(entry) = self.lanes.get_mut(&asked.lane) else {
                    return Outcome::of(Answer::Shut(None));
                };
                entry.lane.reserve_anyway(&demand, now)
            }
            Err(Hold::Until(at, quota)) => {
                if let Some(entry) =
                    self.lanes.get_mut(&asked.lane).filter(|_| asked.before.is_none())
                {
                    entry.short_of = Some(quota);
                }
                return Outcome::of(Answer::Later(at));
            }
            Err(Hold::TooLarge { quota, limit, wanted }) => {
                let from = (pool, asked.lane);
                return self.too_large(from, &demand, (quota, limit, wanted), now);
            }
        };
        if asked.before.is_some_and(|saved| self.delays(asked.lane, (saved, hoped.as_ref()), now)) {
            self.take_back(asked.lane, debit);
            return Outcome::of(Answer::Delays);
        }
        if asked.purpose == Purpose::Probe {
            self.take_back(asked.lane, debit);
            return Outcome::of(Answer::Fits);
        }
        let place = asked.place;
        let goer = Goer { party: &party, demand: &demand, place, avoid: None, prefix };
        let Ok(grant) = self.lend(asked.lane, debit, &goer, now) else {
            return Outcome::of(Answer::Shut(None));
        };
        let grant = Grant { chosen: self.in_turn(pool), ..grant };
        match self.with_own(grant, (&goer, How::of(self.mode)), now) {
            Ok(grant) => self.goes(grant, &demand),
            Err(shortfall) => self.short_of_own(pool, shortfall),
        }
    }

    /// Returns why one who waited goes through the lane that has room now.
    fn in_turn(&self, pool: PoolId) -> Pick {
        match self.line.lanes(pool).len() {
            1 => Pick::ONLY,
            lanes => Pick::new(Why::Turn, 1, lanes),
        }
    }

    fn goes(&self, grant: Grant, demand: &Demand) -> Outcome {
        let entry = self.lanes.get(&grant.lane);
        let share = entry.map_or(0.0, |entry| entry.lane.share(&entry.lane.expected(demand)));
        let ticket = self.line.ticket(grant.place);
        let own = grant.own.as_ref().zip(ticket);
        let own = own.and_then(|(own, it)| self.allotments.short_since(own.app(), it.since));
        let waited_for = own.or(entry.and_then(|entry| entry.short_of));
        Outcome { answer: Answer::Goes { share }, told: Some(Ok(Grant { waited_for, ..grant })) }
    }

    /// Tells whether a debit just made has put off the one who is saved up for: by what is debited, or
    /// by what is expected of those under way.
    fn delays(
        &mut self,
        lane: LaneId,
        (saved, hoped): (SavedFor, Option<&Hoped>),
        now: Instant,
    ) -> bool {
        let later =
            |hoped: &Hoped| self.hoped(lane, (saved.place, &hoped.back), now) > Some(hoped.at);
        if hoped.is_some_and(later) {
            return true;
        }
        let (Some(request), Some(ticket)) =
            (self.line.request(saved.place), self.line.ticket(saved.place))
        else {
            return false;
        };
        let class = self.line.goes_as(lane, saved.place).unwrap_or(request.party.class);
        let demand: Demand = ticket.demand;
        match (self.try_debit(lane, (class, &demand), now), saved.at) {
            (Ok(debit), _) => {
                self.take_back(lane, debit);
                false
            }
            (Err(Hold::Until(Some(at), _)), Some(before)) => at > before,
            (Err(Hold::Until(Some(_), _)), None) => false,
            (Err(_), Some(_)) => true,
            // Output under way is in its way, and whoever goes now has more of that.
            (Err(Hold::Until(None, quota)), None) => quota.is_counted(),
            (Err(_), None) => false,
        }
    }

    /// Returns when the one at `place`, for whom a lane is saved up, may fit it, by what is expected to
    /// come back of those under way; `None` where it waits for something else than the quotas.
    fn hopes(&mut self, lane: LaneId, place: Place, now: Instant) -> Option<Hoped> {
        let back = self.lanes.get(&lane)?.lane.back();
        Some(Hoped { at: self.hoped(lane, (place, &back), now)?, back })
    }

    fn hoped(
        &mut self,
        lane: LaneId,
        (place, back): (Place, &Back),
        now: Instant,
    ) -> Option<Instant> {
        let (request, ticket) = (self.line.request(place)?, self.line.ticket(place)?);
        let class = self.line.goes_as(lane, place).unwrap_or(request.party.class);
        let demand = ticket.demand;
        let spare = self.spare(lane, class, now);
        let entry = self.lanes.get_mut(&lane)?;
        entry.short_of.filter(|quota| quota.is_counted())?;
        Some(entry.lane.hoped(&demand, (spare, back), now))
    }

    pub(super) fn take_back(&mut self, lane: LaneId, debit: Debit) {
        if let Some(entry) = self.lanes.get_mut(&lane) {
            entry.lane.cancel(debit);
        }
    }

    /// Sends one who can never fit on one lane to those that are large enough, or away: a limit
    /// was lowered while it waited.
    fn too_large(
        &mut self,
        (pool, lane): (PoolId, LaneId),
        demand: &Demand,
        (quota, limit, wanted): (QuotaKind, u64, u64),
        now: Instant,
    ) -> Outcome {
        let others = self.line.lanes(pool).iter().copied().filter(|other| *other != lane);
        let fit: Vec<LaneId> = others
            .filter(|lane| {
                let entry = self.lanes.get(lane);
                entry.is_some_and(|entry| entry.lane.oversize(demand, now).is_none())
            })
            .collect();
        if !fit.is_empty() {
            let model = self.model(pool);
            return Outcome::of(Answer::Elsewhere(self.pool_with(fit, &model)));
        }
        let model = self.model(pool);
        let refusal = Refusal::TooLarge { model, quota, limit, wanted };
        Outcome { answer: Answer::Never, told: Some(Err(refusal)) }
    }

    /// Takes one who hung up or whose time is up out of the line, and lets the others go on.
    pub(super) fn withdraw(&mut self, place: Place, now: Instant) -> Option<crate::line::Request> {
        let waiter = self.line.leave(place)?;
        let request = waiter.request.clone();
        // Nobody listens any more.
        self.dismiss(waiter, Err(Refusal::Stopping), now);
        Some(request)
    }

    /// Puts right what a turn cost its app.
    pub(super) fn put_right(&mut self, turn: Option<Turn>, share: Option<f64>) {
        match (turn, share) {
            (Some(turn), Some(share)) => self.line.correct(turn, share),
            (Some(turn), None) => self.line.give_back(turn),
            (None, _) => {}
        }
    }
}

impl Outcome {
    const fn of(answer: Answer) -> Self {
        Self { answer, told: None }
    }
}

//! Lets requests go by their app's own quotas, beside those of the lanes.

use std::time::Duration;

use tokio::time::Instant;

use super::allotments::{End, How, Own, Wanted};
use super::refusal::Refusal;
use super::state::{Goer, Grant, State};
use crate::count::Demand;
use crate::limit::{Cost, QuotaKind, Shortfall};
use crate::line::{LaneId, PoolId, Request};
use crate::units::AppName;

impl State {
    /// Tells whether the app of a request has room for it, where it would go through `lane`.
    pub(super) fn fits_own(
        &self,
        lane: LaneId,
        (app, demand): (&AppName, &Demand),
        now: Instant,
    ) -> Result<(), Shortfall> {
        if !self.line.is_limited(app) {
            return Ok(());
        }
        self.allotments.fits(app, &self.wanted(lane, demand), self.number, now)
    }

    /// Takes what a granted request needs of its app's quotas.
    ///
    /// # Errors
    ///
    /// Returns the [`Shortfall`] where another upstream's request took it just now; nothing is debited then.
    pub(super) fn with_own(
        &mut self,
        grant: Grant,
        (goer, how): (&Goer<'_>, How),
        now: Instant,
    ) -> Result<Grant, Shortfall> {
        let app = &goer.party.app;
        if !self.line.is_limited(app) {
            return Ok(grant);
        }
        let wanted = self.wanted(grant.lane, goer.demand);
        match self.allotments.take(app, (&wanted, how), self.number, now) {
            Ok(own) => Ok(Grant { own, ..grant }),
            Err(shortfall) => {
                self.undo(grant, End::Unsent, now, |lane, debit| {
                    lane.cancel(debit);
                    None
                });
                Err(shortfall)
            }
        }
    }

    /// Returns the refusal of a request that is larger than its app's quotas.
    pub(super) fn oversize_own(
        &self,
        pool: PoolId,
        (app, demand): (&AppName, &Demand),
        now: Instant,
    ) -> Option<Refusal> {
        if !self.line.is_limited(app) {
            return None;
        }
        let wanted = Wanted { demand, output: 0 };
        let shortfall = self.allotments.fits(app, &wanted, self.number, now).err()?;
        self.too_large_own(pool, shortfall)
    }

    /// Returns the refusal of a request that can never fit its app's quotas, if that is why it does not.
    pub(super) fn too_large_own(&self, pool: PoolId, shortfall: Shortfall) -> Option<Refusal> {
        match shortfall {
            Shortfall::TooLarge { quota, limit, wanted } => {
                Some(Refusal::TooLarge { model: self.model(pool), quota, limit, wanted })
            }
            Shortfall::Later { .. } | Shortfall::AfterAnswer { .. } => None,
        }
    }

    /// Closes what a request had taken of its app's quotas: who waits for that is tried again, here at the next
    /// look, elsewhere when the lock is free.
    pub(super) fn close_own(&mut self, own: Option<&Own>, end: End, now: Instant) {
        let Some(own) = own else { return };
        self.line.release(own.app());
        self.freed.extend(self.allotments.close(own, end, self.number, now));
    }

    /// Returns of what one who waits is short: of its app's quotas, else of the lanes'.
    pub(super) fn lacks(&self, request: &Request, now: Instant) -> Option<QuotaKind> {
        self.lacks_own(&request.party.app, now).or_else(|| self.short_of(request.pool))
    }

    /// Returns of which of its own quotas an app is short, if its requests are held back for that.
    pub(super) fn lacks_own(&self, app: &AppName, now: Instant) -> Option<QuotaKind> {
        self.line.is_held(app).then(|| self.allotments.short_since(app, now))?
    }

    /// Returns how many of its app stand before a request, and how long it waits for its app's quotas; nothing where
    /// it has none.
    pub(super) fn own_wait(&self, request: &Request, now: Instant) -> Option<(u64, Duration)> {
        let Request { party, place, cost, .. } = request;
        if !self.line.is_limited(&party.app) {
            return None;
        }
        let before = self.line.before_in_app(party, *place);
        let all = before.plus(*cost);
        let all = Cost { requests: all.requests, tokens: all.tokens };
        let gone = self.allotments.gone_through(&party.app, &all, now)?;
        Some((before.requests, gone.saturating_duration_since(now)))
    }

    fn wanted<'a>(&self, lane: LaneId, demand: &'a Demand) -> Wanted<'a> {
        let output = self.lanes.get(&lane).map_or(0, |entry| entry.lane.usual_output(demand));
        Wanted { demand, output }
    }
}

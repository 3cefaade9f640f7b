//! Lets those go who are not held: everybody where nobody is, with a word on how long each would have waited;
//! and who goes along with one that is under way.
//!
//! The debits of those who go without room are debts: they stand for the line that would have been
//! there, so that the wait which is told to the next one is that of a line.

use std::time::Duration;

use tokio::time::Instant;

use super::allotments::How;
use super::state::{Goer, Grant, Hold, State};
use crate::count::{Demand, Prefix};
use crate::limit::QuotaKind;
use crate::line::{LaneId, Request};
use crate::units::{ModelName, Party};
use crate::upstream::{Merit, picked};

/// How long somebody would have waited, and for what.
#[derive(Debug, Clone, Copy)]
struct Spared {
    wait: Duration,
    quota: Option<QuotaKind>,
}

impl State {
    /// Lets a request go for which there is no room, at once. `None` where no key can be used: then it
    /// has to wait, held or not.
    pub(super) fn go_anyway(
        &mut self,
        request: &Request,
        goer: Goer<'_>,
        now: Instant,
    ) -> Option<Grant> {
        let lanes = self.ranked(request.pool, &goer, now);
        let spared = self.spared(&lanes, request, goer, now);
        let grant = lanes.iter().enumerate().find_map(|(at, (_, lane))| {
            let entry = self.lanes.get_mut(lane)?;
            let debit = entry.lane.reserve_anyway(goer.demand, now);
            let grant = self.lend(*lane, debit, &goer, now).ok()?;
            let grant = self.with_own(grant, (&goer, How::Anyway), now).ok()?;
            Some(Grant { chosen: picked(&lanes, at), ..grant })
        })?;
        Some(Grant { waited_for: spared.quota, would_wait: Some(spared.wait), ..grant })
    }

    /// Debits a request that goes along with `first`, with its account, at once: it cannot wait.
    pub(super) fn go_along(
        &mut self,
        first: &Grant,
        (party, model, demand): (&Party, &ModelName, &Demand),
        now: Instant,
    ) -> Option<Grant> {
        let account = first.lent.account();
        let pool = self.route(Some(account), model, now);
        let lane = *self.line.lanes(pool).first()?;
        let debit = self.lanes.get_mut(&lane)?.lane.reserve_anyway(demand, now);
        let (place, prefix) = (self.arrive(None, now), Prefix::default());
        let goer = Goer { party, demand, place, avoid: None, prefix: &prefix };
        let grant = self.lend(lane, debit, &goer, now).ok()?;
        let mut grant = self.with_own(grant, (&goer, How::Anyway), now).ok()?;
        self.fleet.stay(account);
        self.sent(&mut grant, now);
        Some(grant)
    }

    /// Returns what is spared a request that none of `lanes` has room for.
    fn spared(
        &mut self,
        lanes: &[(Merit, LaneId)],
        request: &Request,
        goer: Goer<'_>,
        now: Instant,
    ) -> Spared {
        let mut least: Option<Spared> = None;
        for (_, lane) in lanes {
            let own = self.fits_own(*lane, (&goer.party.app, goer.demand), now).map_err(Hold::from);
            let hold = match own
                .and_then(|()| self.try_debit(*lane, (goer.party.class, goer.demand), now))
            {
                Ok(debit) => {
                    self.take_back(*lane, debit);
                    return Spared { wait: Duration::ZERO, quota: None };
                }
                Err(hold) => hold,
            };
            let (at, quota) = match hold {
                Hold::Until(at, quota) => (at, Some(quota)),
                Hold::Shut(at) => (at, None),
                // It would have been refused.
                Hold::TooLarge { quota, .. } => (Some(now), Some(quota)),
            };
            let Some(at) = at else { continue };
            let spared = Spared { wait: at.saturating_duration_since(now), quota };
            if least.is_none_or(|least| spared.wait < least.wait) {
                least = Some(spared);
            }
        }
        // Only an answer would have made room: the line knows how long that takes.
        least.unwrap_or_else(|| {
            let wait = self.expected(request, now).wait;
            Spared { wait, quota: self.short_of(request.pool) }
        })
    }
}

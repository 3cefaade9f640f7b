//! Takes over other accounts, keys and limits while requests wait and are under way.
//!
//! What is under way ends in the lane that it was debited from. Whoever waits keeps its place, and waits
//! from now on for the lanes that a new request for its model would have, or is told that it never fits.
//! What the configuration has no use for any more is retired: it goes with the last who needs it.

use std::collections::{BTreeSet, HashSet};

use tokio::time::Instant;

use super::Admission;
use super::refusal::Refusal;
use super::state::{LaneEntry, State, bounds};
use crate::config::{LineMode, LineSettings, UpstreamSettings};
use crate::limit::LaneSettings;
use crate::line::{LaneId, Place, PoolId};
use crate::units::AppName;
use crate::upstream::FleetError;

impl Admission {
    /// Takes over the accounts, keys and limits of `upstream` and the bounds of `line`, at once.
    ///
    /// # Errors
    ///
    /// Returns [`FleetError`] where a configured key cannot stand in a header; nothing changes then.
    pub fn renew(
        &self,
        upstream: &UpstreamSettings,
        line: &LineSettings,
    ) -> Result<(), FleetError> {
        self.shared.with(|state| state.renew(upstream, line, Instant::now()))
    }

    /// Tells those who wait and were let in by a key of one of these apps that it is theirs no more:
    /// [`Refusal::Revoked`].
    pub fn turn_away(&self, apps: &HashSet<AppName>) {
        self.shared.with(|state| state.turn_away(apps, Instant::now()));
    }
}

impl State {
    fn turn_away(&mut self, apps: &HashSet<AppName>, now: Instant) {
        for place in self.line.places() {
            let key_of = self.line.ticket(place).and_then(|ticket| ticket.key_of.as_ref());
            if key_of.is_some_and(|app| apps.contains(app))
                && let Some(waiter) = self.line.leave(place)
            {
                self.dismiss(waiter, Err(Refusal::Revoked), now);
            }
        }
        self.serve_all(now);
    }

    fn renew(
        &mut self,
        upstream: &UpstreamSettings,
        line: &LineSettings,
        now: Instant,
    ) -> Result<(), FleetError> {
        self.fleet.renew(upstream, now)?;
        self.upstream = upstream.clone();
        self.mode = line.mode;
        self.line.rebound(bounds(line));
        self.relimit_lanes(now);
        self.routes.by_model.clear();
        for place in self.line.places() {
            self.route_anew(place, now);
        }
        let outdated = self.pools.keys().copied().filter(|pool| !self.is_current(*pool)).collect();
        self.routes.outdated = outdated;
        self.clear_away(now);
        self.serve_all(now);
        Ok(())
    }

    /// Gives every lane its limits, or retires it.
    fn relimit_lanes(&mut self, now: Instant) {
        let mut others = Vec::new();
        for (lane, entry) in &mut self.lanes {
            let is_in_use = self.routes.lanes.get(&entry.key) == Some(lane);
            let account = self.fleet.name(entry.key.account).filter(|_| is_in_use);
            let group = &entry.key.group;
            let settings = account.and_then(|name| self.upstream.group_settings(&name, group));
            entry.is_retired = settings.is_none();
            if let Some(settings) = settings
                && !entry.lane.relimit(&settings, now)
            {
                others.push((*lane, settings));
            }
        }
        for (lane, settings) in others {
            self.replace(lane, settings, now);
        }
    }

    /// Puts another lane in the place of one that is to count in another way.
    fn replace(&mut self, lane: LaneId, settings: LaneSettings, now: Instant) {
        let Some(entry) = self.lanes.get_mut(&lane) else { return };
        entry.is_retired = true;
        let (key, used_at, memory) = (entry.key.clone(), entry.used_at, entry.memory);
        let lane = entry.lane.anew(settings, now);
        let id = self.line.open_lane();
        self.routes.lanes.insert(key.clone(), id);
        let (open, short_of, is_retired) = (0, None, false);
        let entry = LaneEntry { key, lane, open, used_at, memory, short_of, is_retired };
        self.lanes.insert(id, entry);
    }

    /// Lets whoever waits at `place` wait for the lanes that are its model's now, or tells it that it is
    /// larger than all of them.
    pub(super) fn route_anew(&mut self, place: Place, now: Instant) {
        let (Some(request), Some(ticket)) = (self.line.request(place), self.line.ticket(place))
        else {
            return;
        };
        let owner = ticket.owner.map(|owner| self.fleet.payer(owner));
        let (before, demand) = (request.pool, ticket.demand);
        let model = ticket.model.clone();
        let all = self.route(owner, &model, now);
        let pool = match self.mode {
            LineMode::Enforce => self.large_enough(all, &demand, now),
            LineMode::Observe => Some(all),
        };
        match pool {
            Some(pool) if pool == before => {}
            Some(pool) => self.line.reroute(place, pool),
            None => {
                let refusal = self.oversize(all, &demand, now);
                if let Some(waiter) = self.line.leave(place) {
                    self.dismiss(waiter, Err(refusal), now);
                }
            }
        }
    }

    /// Tells whether a new request for the model of `pool` would go there.
    fn is_current(&self, pool: PoolId) -> bool {
        let lanes = self.line.lanes(pool);
        let first = lanes.first().and_then(|lane| self.lanes.get(lane));
        let owner = first.map(|entry| entry.key.account).filter(|account| !account.is_ours());
        let accounts = owner.map_or_else(|| self.fleet.accounts(), |account| vec![account]);
        let keys = self.lane_keys(&accounts, &self.model(pool));
        keys.iter().map(|key| self.routes.lanes.get(key)).eq(lanes.iter().map(Some))
    }

    /// Forgets what is retired and needed by nobody any more.
    pub(super) fn clear_away(&mut self, now: Instant) {
        self.line.forget_places(now);
        let outdated = std::mem::take(&mut self.routes.outdated);
        self.close_pools(&outdated);
        let is_left = |pool: &PoolId| self.pools.contains_key(pool);
        self.routes.outdated = outdated.into_iter().filter(is_left).collect();
        let retired = self.lanes.iter().filter(|(_, entry)| entry.is_retired && entry.open == 0);
        let retired: BTreeSet<LaneId> = retired.map(|(lane, _)| *lane).collect();
        self.close_lanes(&retired);
        self.routes.has_retired =
            !self.routes.outdated.is_empty() || self.lanes.values().any(|entry| entry.is_retired);
    }
}

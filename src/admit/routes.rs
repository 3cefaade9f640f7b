//! Finds the lanes that a model may use, and forgets those that nobody uses.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::state::{LaneEntry, Pool, State};
use crate::limit::LaneSettings;
use crate::line::{LaneId, PoolId};
use crate::units::{AccountName, ModelName};
use crate::upstream::AccountId;

/// Names a lane: the quotas that `account` grants to `group`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LaneKey {
    pub(super) account: AccountId,
    pub(super) group: Arc<str>,
}

/// Remembers which pool a request goes to.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) by_model: HashMap<RouteKey, PoolId>,
    by_lanes: HashMap<Vec<LaneId>, PoolId>,
    pub(super) lanes: HashMap<LaneKey, LaneId>,
    /// Pools of the configuration before, and whether any lane of it is left.
    pub(super) outdated: BTreeSet<PoolId>,
    pub(super) has_retired: bool,
    /// When idle lanes were looked for last: with ever new models, not at each of them.
    swept_at: Option<Instant>,
}

/// What a request's pool depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RouteKey {
    /// The account it is bound to: a client's own.
    owner: Option<AccountId>,
    model: ModelName,
}

impl Routes {
    /// Tells whether idle lanes may be looked for again, and notes that they are.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.swept_at.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP);
        if due {
            self.swept_at = Some(now);
        }
        due
    }
}

impl State {
    /// Returns the pool for `model`, made if it is new. `owner` binds the request to one account.
    ///
    /// Model names come from clients, so there is a bound: when [`MOST_POOLS`] are known, those
    /// that were idle for [`IDLE`] are forgotten; if that frees none, the model shares one pool with
    /// all that came too late. Which pool a model goes to is only remembered to save looking it up.
    pub(super) fn route(
        &mut self,
        owner: Option<AccountId>,
        model: &ModelName,
        now: Instant,
    ) -> PoolId {
        let key = RouteKey { owner, model: model.clone() };
        if let Some(pool) = self.routes.by_model.get(&key) {
            return *pool;
        }
        let accounts = owner.map_or_else(|| self.fleet.accounts(), |account| vec![account]);
        let keys = self.lane_keys(&accounts, model);
        let known: Option<Vec<LaneId>> =
            keys.iter().map(|key| self.routes.lanes.get(key).copied()).collect();
        let known = known.and_then(|lanes| self.routes.by_lanes.get(&lanes).copied());
        let pool = match known {
            Some(pool) => pool,
            None if self.has_room(now) => self.pool_of(keys, model, now),
            None => {
                let other = ModelName::new("(other)");
                self.pool_of(self.lane_keys(&accounts, &other), &other, now)
            }
        };
        if self.routes.by_model.len() >= 2 * MOST_POOLS {
            self.routes.by_model.clear();
        }
        self.routes.by_model.insert(key, pool);
        pool
    }

    /// Returns the pool that requests for `model` go to, if one was made.
    pub(super) fn known_route(
        &self,
        owner: Option<AccountId>,
        model: &ModelName,
    ) -> Option<PoolId> {
        self.routes.by_model.get(&RouteKey { owner, model: model.clone() }).copied()
    }

    pub(super) fn lane_keys(&self, accounts: &[AccountId], model: &ModelName) -> Vec<LaneKey> {
        let key =
            |&account| LaneKey { account, group: self.lane_settings(account, model).0.into() };
        accounts.iter().map(key).collect()
    }

    fn lane_settings(&self, account: AccountId, model: &ModelName) -> (String, LaneSettings) {
        let name = self.fleet.name(account).unwrap_or_else(|| AccountName::new("(unknown)"));
        self.upstream.lane_settings(&name, model.as_str())
    }

    /// Tells whether one more pool may be made; forgets idle ones for that.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.pools.len() >= MOST_POOLS && self.routes.is_due(now) {
            self.forget_idle(now);
        }
        self.pools.len() < MOST_POOLS
    }

    /// Returns the pool of the lanes that `keys` name, made with them if it is new.
    fn pool_of(&mut self, keys: Vec<LaneKey>, model: &ModelName, now: Instant) -> PoolId {
        let lanes = keys.into_iter().map(|key| self.lane_of(key, model, now)).collect();
        self.pool_with(lanes, model)
    }

    fn lane_of(&mut self, key: LaneKey, model: &ModelName, now: Instant) -> LaneId {
        if let Some(lane) = self.routes.lanes.get(&key) {
            return *lane;
        }
        let settings = self.lane_settings(key.account, model).1;
        let lane = self.line.open_lane();
        self.routes.lanes.insert(key.clone(), lane);
        let entry = self.make_lane(key, settings, now);
        self.lanes.insert(lane, entry);
        lane
    }

    /// Returns the pool of `lanes`, made if it is new.
    pub(super) fn pool_with(&mut self, lanes: Vec<LaneId>, model: &ModelName) -> PoolId {
        if let Some(pool) = self.routes.by_lanes.get(&lanes) {
            return *pool;
        }
        let pool = self.line.open_pool(lanes.clone());
        self.routes.by_lanes.insert(lanes, pool);
        self.pools.insert(pool, Pool { model: model.clone() });
        pool
    }

    /// Forgets the lanes of a client's account that made room for another.
    pub(super) fn forget_account(&mut self, account: AccountId) {
        let lanes = self.lanes.iter().filter(|(_, entry)| entry.key.account == account);
        let lanes: BTreeSet<LaneId> = lanes.map(|(lane, _)| *lane).collect();
        self.forget_lanes(&lanes);
    }

    /// Forgets lanes, and the pools and routes that use them; but no pool for which somebody waits
    /// or is away, nor its lanes.
    fn forget_lanes(&mut self, lanes: &BTreeSet<LaneId>) {
        let with_one = |pool: &PoolId| self.line.lanes(*pool).iter().any(|it| lanes.contains(it));
        let pools = self.pools.keys().copied().filter(with_one).collect();
        self.close_pools(&pools);
        self.close_lanes(lanes);
    }

    /// Forgets those of `pools` for which nobody waits or is away, and the routes to them.
    pub(super) fn close_pools(&mut self, pools: &BTreeSet<PoolId>) {
        let line = &mut self.line;
        self.pools.retain(|pool, _| !pools.contains(pool) || !line.close_pool(*pool));
        let left = &self.pools;
        self.routes.by_model.retain(|_, pool| left.contains_key(pool));
        self.routes.by_lanes.retain(|_, pool| left.contains_key(pool));
    }

    /// Forgets those of `lanes` that no pool uses.
    pub(super) fn close_lanes(&mut self, lanes: &BTreeSet<LaneId>) {
        let gone: Vec<LaneId> =
            lanes.iter().copied().filter(|lane| self.line.is_unused(*lane)).collect();
        self.line.close_lanes(&gone);
        for lane in gone {
            if let Some(entry) = self.lanes.remove(&lane)
                && self.routes.lanes.get(&entry.key) == Some(&lane)
            {
                self.routes.lanes.remove(&entry.key);
            }
        }
    }

    /// Forgets the lanes that have been idle for long and whose quotas, those of the day too, are
    /// full again, and the pools and routes that used them.
    fn forget_idle(&mut self, now: Instant) {
        let is_idle = |entry: &LaneEntry| {
            entry.open == 0
                && now.saturating_duration_since(entry.used_at) >= IDLE
                && entry.lane.headroom(now) >= ALMOST_FULL
        };
        let mut idle: BTreeSet<LaneId> =
            self.lanes.iter().filter(|(_, entry)| is_idle(entry)).map(|(lane, _)| *lane).collect();
        // A pool with a busy lane keeps its other lanes.
        for pool in self.pools.keys() {
            let lanes = self.line.lanes(*pool);
            if lanes.iter().any(|lane| !idle.contains(lane)) {
                for lane in lanes {
                    idle.remove(lane);
                }
            }
        }
        self.forget_lanes(&idle);
    }
}

/// How many models (times accounts, with clients' own keys) are told apart.
const MOST_POOLS: usize = 4096;

/// The headroom from which a lane may be forgotten: a margin after refusals never ends.
const ALMOST_FULL: f64 = 0.99;

/// How often idle lanes are looked for, which takes a look at each of them.
const SWEEP: Duration = Duration::from_secs(1);

/// How long a lane must be idle before it may be forgotten.
const IDLE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ever_new_models_do_not_make_each_request_look_at_every_lane() {
        let (mut routes, now) = (Routes::default(), Instant::now());
        let looks = (0..1000).filter(|_| routes.is_due(now)).count();
        assert_eq!(looks, 1, "a sweep for each new model");
        assert!(routes.is_due(now + SWEEP), "idle lanes are never forgotten");
    }
}

//! Finds the lanes that a model may use, and forgets those that nobody uses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::state::{LaneEntry, Pool, State};
use crate::limit::Lane;
use crate::line::Line;
use crate::units::{AccountName, ModelName};
use crate::upstream::AccountId;

/// Names a lane: the quotas that `account` grants to `group`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LaneKey {
    pub(super) account: AccountId,
    pub(super) group: Arc<str>,
}

/// Names a pool; never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PoolId(u64);

/// Remembers which pool a request goes to.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_model: HashMap<RouteKey, PoolId>,
    by_lanes: HashMap<Vec<LaneKey>, PoolId>,
    given: u64,
}

/// What a request's pool depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RouteKey {
    /// The account it is bound to: a client's own.
    owner: Option<AccountId>,
    model: ModelName,
}

impl State {
    /// Returns the pool for `model`, made if it is new. `owner` binds the request to one account.
    ///
    /// Model names come from clients, so there is a bound: when [`MOST_ROUTES`] are known, those
    /// that were idle for [`IDLE`] are forgotten; if that frees none, the model shares one pool with
    /// all that came too late.
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
        let mut model = model.clone();
        if self.routes.by_model.len() >= MOST_ROUTES {
            self.forget_idle(now);
            if self.routes.by_model.len() >= MOST_ROUTES {
                model = ModelName::new("(other)");
            }
        }
        let accounts = match owner {
            Some(account) => vec![account],
            None => self.fleet.accounts(),
        };
        let lanes: Vec<LaneKey> =
            accounts.into_iter().map(|account| self.lane_for(account, &model, now)).collect();
        let pool = self.pool_of(lanes, &model);
        self.routes.by_model.insert(RouteKey { owner, model }, pool);
        pool
    }

    fn lane_for(&mut self, account: AccountId, model: &ModelName, now: Instant) -> LaneKey {
        let name = self.fleet.name(account).unwrap_or_else(|| AccountName::new("(unknown)"));
        let (group, settings) = self.upstream.lane_settings(&name, model.as_str());
        let key = LaneKey { account, group: group.into() };
        self.lanes.entry(key.clone()).or_insert_with(|| LaneEntry {
            lane: Lane::new(settings, now),
            pools: Vec::new(),
            open: 0,
            used_at: now,
        });
        key
    }

    fn pool_of(&mut self, lanes: Vec<LaneKey>, model: &ModelName) -> PoolId {
        if let Some(pool) = self.routes.by_lanes.get(&lanes) {
            return *pool;
        }
        self.routes.given += 1;
        let id = PoolId(self.routes.given);
        for key in &lanes {
            if let Some(entry) = self.lanes.get_mut(key) {
                entry.pools.push(id);
            }
        }
        self.routes.by_lanes.insert(lanes.clone(), id);
        let line = Line::new();
        let pool = Pool { model: model.clone(), lanes, line, look_at: None, short_of: None };
        self.pools.insert(id, pool);
        id
    }

    /// Forgets the lanes of a client's account that made room for another.
    pub(super) fn forget_account(&mut self, account: AccountId) {
        self.lanes.retain(|key, _| key.account != account);
        self.pools.retain(|_, pool| {
            !pool.line.is_empty() || pool.lanes.iter().all(|key| key.account != account)
        });
        self.forget_dead_routes();
    }

    fn forget_dead_routes(&mut self) {
        let pools = &self.pools;
        self.routes.by_model.retain(|_, pool| pools.contains_key(pool));
        self.routes.by_lanes.retain(|_, pool| pools.contains_key(pool));
    }

    /// Forgets the lanes that have been idle for so long that their minute quotas are full again,
    /// and the pools and routes that used them.
    fn forget_idle(&mut self, now: Instant) {
        let busy =
            |lane: &LaneEntry| lane.open > 0 || now.saturating_duration_since(lane.used_at) < IDLE;
        let lanes = &self.lanes;
        self.pools.retain(|_, pool| {
            !pool.line.is_empty() || pool.lanes.iter().any(|key| lanes.get(key).is_some_and(busy))
        });
        self.forget_dead_routes();
        let pools = &self.pools;
        self.lanes.retain(|_, lane| {
            lane.pools.retain(|pool| pools.contains_key(pool));
            !lane.pools.is_empty()
        });
    }
}

/// How many models (times accounts, with clients' own keys) are told apart.
const MOST_ROUTES: usize = 4096;

/// How long a lane must be idle before it may be forgotten.
const IDLE: Duration = Duration::from_secs(120);

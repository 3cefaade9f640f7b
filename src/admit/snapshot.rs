//! What people and monitors may see of lanes and lines.

use std::time::Duration;

use tokio::time::Instant;

use super::Admission;
use super::state::State;
use crate::limit::{QuotaKind, QuotaLevel};
use crate::units::{AccountName, ModelName};
use crate::upstream::Standing;

/// The state of all lanes and lines at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Every lane in use.
    pub lanes: Vec<LaneSnapshot>,
    /// Every line in which somebody waits.
    pub lines: Vec<LineSnapshot>,
    /// How many wait in all.
    pub waiting: usize,
    /// How many bytes they hold.
    pub waiting_bytes: usize,
}

/// The quotas of one account for one limit group.
#[derive(Debug, Clone)]
pub struct LaneSnapshot {
    /// The account that owns the quotas.
    pub account: AccountName,
    /// The limit group: a model, or the pattern of several that share.
    pub group: String,
    /// Requests that are debited and not settled.
    pub open: usize,
    /// Each quota.
    pub levels: Vec<QuotaLevel>,
    /// How old what it began with was, where it was learned in an earlier run.
    pub recalled: Option<Duration>,
}

/// Those who wait for one pool.
#[derive(Debug, Clone)]
pub struct LineSnapshot {
    /// The model that the pool was made for.
    pub model: ModelName,
    /// How many wait.
    pub waiting: usize,
    /// What they will be charged together, in tokens.
    pub tokens: u64,
    /// The quota that the first one waits for, where known.
    pub short_of: Option<QuotaKind>,
    /// The first of them, at most [`MOST_SHOWN`].
    pub first: Vec<WaiterSnapshot>,
}

/// One who waits.
#[derive(Debug, Clone, Copy)]
pub struct WaiterSnapshot {
    /// How many stand before it.
    pub ahead: u64,
    /// What it will be charged, in tokens.
    pub tokens: u64,
    /// How long it has waited.
    pub waited: Duration,
    /// When its turn is expected, from now.
    pub expected: Duration,
}

/// How many of a line are shown one by one.
pub const MOST_SHOWN: usize = 50;

impl Admission {
    /// Returns the state of all lanes and lines.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.with(|state| {
            let now = Instant::now();
            let mut lanes: Vec<LaneSnapshot> = state
                .lanes
                .iter()
                .map(|(key, entry)| LaneSnapshot {
                    account: state
                        .fleet
                        .name(key.account)
                        .unwrap_or_else(|| AccountName::new("(gone)")),
                    group: named(&key.group).to_owned(),
                    open: entry.open,
                    levels: entry.lane.levels(now),
                    recalled: entry.memory.recalled,
                })
                .collect();
            lanes.sort_by(|a, b| (&a.group, &a.account).cmp(&(&b.group, &b.account)));
            let (waiting, waiting_bytes) = (state.waiting, state.waiting_bytes);
            Snapshot { lanes, lines: lines(state, now), waiting, waiting_bytes }
        })
    }
}

impl Admission {
    /// Tells whether some key can be used now or after a rest; true where clients bring their own.
    pub fn has_usable_key(&self) -> bool {
        self.shared.with(|state| {
            let now = Instant::now();
            let fleet = &state.fleet;
            fleet.is_clients_own()
                || fleet
                    .accounts()
                    .into_iter()
                    .any(|account| fleet.standing(account, now) != Standing::Out)
        })
    }
}

/// Names what has no model: the paths that pass through.
fn named(model: &str) -> &str {
    if model.is_empty() { PASSED_THROUGH } else { model }
}

/// Stands for the model of requests that name none.
const PASSED_THROUGH: &str = "(other paths)";

fn lines(state: &State, now: Instant) -> Vec<LineSnapshot> {
    let busy = state.pools.iter().filter(|(_, pool)| !pool.line.is_empty());
    let mut lines: Vec<LineSnapshot> = busy
        .map(|(id, pool)| LineSnapshot {
            model: named(pool.model.as_str()).into(),
            waiting: pool.line.len(),
            tokens: pool.line.backlog().tokens.count(),
            short_of: pool.short_of,
            first: pool
                .line
                .costs()
                .take(MOST_SHOWN)
                .map(|(waiter, before)| WaiterSnapshot {
                    ahead: before.requests.count(),
                    tokens: waiter.cost.tokens.count(),
                    waited: now.saturating_duration_since(waiter.ticket.since),
                    expected: state
                        .expected(*id, before.plus(waiter.cost), now)
                        .saturating_duration_since(now),
                })
                .collect(),
        })
        .collect();
    lines.sort_by(|a, b| a.model.cmp(&b.model));
    lines
}

//! What people and monitors may see of lanes and lines.

use std::time::Duration;

use tokio::time::Instant;

use super::Admission;
use super::state::{LaneEntry, State};
use crate::limit::{Belief, Cost, QuotaKind, QuotaLevel};
use crate::line::{AppView, Backlog, PoolId};
use crate::units::{AccountName, AppName, Class, ModelName};
use crate::upstream::{ClientKey, Condition, Standing};

/// The state of all lanes and lines at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Every lane in use.
    pub lanes: Vec<LaneSnapshot>,
    /// Every line in which somebody waits.
    pub lines: Vec<LineSnapshot>,
    /// How each account and its keys are doing.
    pub accounts: Vec<Condition>,
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
    /// What is believed of each that is counted over time.
    pub beliefs: Vec<Belief>,
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
    /// The apps that wait, at most [`MOST_SHOWN`]: the most urgent class first, and in it whose
    /// turn is next.
    pub apps: Vec<AppSnapshot>,
    /// The first of those who wait, at most [`MOST_SHOWN`]: the first of each app, then the second.
    pub first: Vec<WaiterSnapshot>,
}

/// What one app has in line.
#[derive(Debug, Clone)]
pub struct AppSnapshot {
    /// The app.
    pub app: AppName,
    /// The class of these requests.
    pub class: Class,
    /// Its part of what the apps of a class share, in proportion to the others'.
    pub weight: u32,
    /// How many of its requests wait.
    pub waiting: usize,
    /// What they will be charged, with those whose place is kept while they are away, in tokens.
    pub tokens: u64,
    /// The quota of its own that it is short of, so that its requests are held back.
    pub lacks: Option<QuotaKind>,
    /// What it had more than the next in turn, in parts of a window of one lane.
    pub lead: f64,
}

/// One who waits.
#[derive(Debug, Clone)]
pub struct WaiterSnapshot {
    /// Its app.
    pub app: AppName,
    /// Its class.
    pub class: Class,
    /// Whether a lane is saved up for it.
    pub is_saved_for: bool,
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
                .values()
                .filter(|entry| !entry.is_retired)
                .map(|entry| LaneSnapshot {
                    account: state
                        .fleet
                        .name(entry.key.account)
                        .unwrap_or_else(|| AccountName::new("(gone)")),
                    group: named(&entry.key.group).to_owned(),
                    open: entry.open,
                    levels: entry.lane.levels(now),
                    beliefs: entry.lane.beliefs(),
                    recalled: entry.memory.recalled,
                })
                .collect();
            lanes.sort_by(|a, b| (&a.group, &a.account).cmp(&(&b.group, &b.account)));
            let (waiting, waiting_bytes) = (state.line.len(), state.line.bytes());
            let accounts = state.fleet.conditions();
            Snapshot { lanes, lines: lines(state, now), accounts, waiting, waiting_bytes }
        })
    }
}

impl Admission {
    /// Returns what a request for `model` may find of each quota once those have gone who wait: of
    /// the lane with the most headroom. Nothing where no such request came before.
    pub fn levels(&self, own_key: Option<&ClientKey>, model: &ModelName) -> Vec<QuotaLevel> {
        self.shared.with(|state| {
            let now = Instant::now();
            let owner = own_key.and_then(|key| state.fleet.guest(key));
            let Some(pool) = state.known_route(owner, model) else { return Vec::new() };
            let lanes = state.line.lanes(pool).iter().filter_map(|lane| state.lanes.get(lane));
            let roomier = |a: &LaneEntry, b: &LaneEntry| {
                a.lane.headroom(now).total_cmp(&b.lane.headroom(now))
            };
            let Some(best) = lanes.max_by(|a, b| roomier(a, b)) else { return Vec::new() };
            let Backlog { requests, tokens } = state.line.waiting_for(pool).1;
            best.lane.levels_behind(&Cost { requests, tokens }, now)
        })
    }

    /// Tells whether a request that came now could be served, as far as is known.
    pub fn can_serve(&self) -> bool {
        self.shared.with(|state| state.fleet.can_serve(Instant::now()))
    }

    /// Tells whether some key can be used now; true where clients bring their own.
    pub fn is_open(&self) -> bool {
        self.stands(|standing| !matches!(standing, Standing::Out | Standing::Resting(_)))
    }

    /// Tells whether some account stands so; true where clients bring their own.
    fn stands(&self, so: fn(Standing) -> bool) -> bool {
        self.shared.with(|state| {
            let (fleet, now) = (&state.fleet, Instant::now());
            let mut accounts = fleet.accounts().into_iter();
            fleet.is_clients_own() || accounts.any(|account| so(fleet.standing(account, now)))
        })
    }
}

/// Names what has no model: the paths that pass through.
fn named(model: &str) -> &str {
    if model.is_empty() { PASSED_THROUGH } else { model }
}

/// Stands for the model of requests that name none.
const PASSED_THROUGH: &str = "(other paths)";

fn lines(state: &mut State, now: Instant) -> Vec<LineSnapshot> {
    let pools: Vec<PoolId> = state.pools.keys().copied().collect();
    let busy = pools.into_iter().filter_map(|pool| {
        let ((waiting, backlog), (held, more)) =
            (state.line.waiting_for(pool), state.line.held_for(pool));
        let all = (pool, waiting + held, backlog.plus(more));
        (all.1 > 0).then_some(all)
    });
    let busy: Vec<(PoolId, usize, Backlog)> = busy.collect();
    let lines = busy.into_iter().map(|(pool, waiting, backlog)| LineSnapshot {
        model: named(state.model(pool).as_str()).into(),
        waiting,
        tokens: backlog.tokens,
        short_of: state.short_of(pool),
        apps: apps(state, pool, now),
        first: first(state, pool, now),
    });
    let mut lines: Vec<LineSnapshot> = lines.collect();
    lines.sort_by(|a, b| a.model.cmp(&b.model));
    lines
}

fn apps(state: &State, pool: PoolId, now: Instant) -> Vec<AppSnapshot> {
    let apps = state.line.apps(pool, MOST_SHOWN).into_iter();
    apps.map(|view| AppSnapshot::of(state.lacks_own(&view.app, now), view)).collect()
}

fn first(state: &mut State, pool: PoolId, now: Instant) -> Vec<WaiterSnapshot> {
    let shown = state.line.waiters(pool, MOST_SHOWN).into_iter();
    let waiters = shown.filter_map(|waiter| {
        let request = state.line.request(waiter.place)?.clone();
        let since = state.line.ticket(waiter.place)?.since;
        let expected = state.expected(&request, now);
        Some(WaiterSnapshot {
            app: request.party.app,
            class: request.party.class,
            is_saved_for: waiter.is_saved_for,
            ahead: expected.ahead,
            tokens: request.cost.tokens,
            waited: now.saturating_duration_since(since),
            expected: expected.wait,
        })
    });
    waiters.collect()
}

impl AppSnapshot {
    fn of(lacks: Option<QuotaKind>, view: AppView) -> Self {
        let AppView { app, class, weight, waiting, backlog, lead, .. } = view;
        Self { app, class, weight, waiting, tokens: backlog.tokens, lacks, lead }
    }
}

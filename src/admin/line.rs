//! `/line`: lanes and lines as JSON, and as gauges.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::admit::{AppSnapshot, LaneSnapshot, LineSnapshot, Snapshot, WaiterSnapshot};
use crate::limit::{Belief, Charging, Counting, QuotaKind, Sureness};

/// Returns `snapshot` as JSON; times are in milliseconds, and say so in their names.
pub(super) fn json(snapshot: &Snapshot) -> String {
    let page = Page {
        waiting: snapshot.waiting,
        waiting_bytes: snapshot.waiting_bytes,
        lines: snapshot.lines.iter().map(LineView::of).collect(),
        lanes: snapshot.lanes.iter().map(LaneView::of).collect(),
    };
    // Plain numbers and texts cannot fail to be written.
    serde_json::to_string_pretty(&page).unwrap_or_default()
}

/// Returns `snapshot` as OpenMetrics gauges.
pub(super) fn gauges(snapshot: &Snapshot) -> String {
    let mut text = String::from("# HELP sluicegate_waiting Requests that wait in line.\n");
    text.push_str("# TYPE sluicegate_waiting gauge\n");
    // Writing to a string cannot fail.
    let _written = writeln!(text, "sluicegate_waiting {}", snapshot.waiting);
    text.push_str("# HELP sluicegate_headroom What a quota could grant now.\n");
    text.push_str("# TYPE sluicegate_headroom gauge\n");
    for lane in &snapshot.lanes {
        for level in &lane.levels {
            let account = escaped(lane.account.as_str());
            let (group, quota) = (escaped(&lane.group), level.quota.label());
            let _written = writeln!(
                text,
                "sluicegate_headroom{{account=\"{account}\",group=\"{group}\",quota=\"{quota}\"}} {}",
                level.headroom
            );
        }
    }
    text.push_str("# HELP sluicegate_limit What a quota grants in a window, where it is known.\n");
    text.push_str("# TYPE sluicegate_limit gauge\n");
    for lane in &snapshot.lanes {
        for (level, limit) in lane.levels.iter().filter_map(|level| Some((level, level.limit?))) {
            let account = escaped(lane.account.as_str());
            let (group, quota) = (escaped(&lane.group), level.quota.label());
            let _written = writeln!(
                text,
                "sluicegate_limit{{account=\"{account}\",group=\"{group}\",quota=\"{quota}\"}} {limit}",
            );
        }
    }
    text
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[derive(Serialize)]
struct Page<'a> {
    waiting: usize,
    waiting_bytes: usize,
    lines: Vec<LineView<'a>>,
    lanes: Vec<LaneView<'a>>,
}

#[derive(Serialize)]
struct LineView<'a> {
    model: &'a str,
    waiting: usize,
    tokens: u64,
    waits_for: Option<&'static str>,
    apps: Vec<AppView<'a>>,
    first: Vec<WaiterView<'a>>,
}

#[derive(Serialize)]
struct AppView<'a> {
    app: &'a str,
    class: &'static str,
    weight: u32,
    waiting: usize,
    tokens: u64,
    /// What it had more than its class, in parts of a lane's window.
    lead: f64,
}

#[derive(Serialize)]
struct WaiterView<'a> {
    app: &'a str,
    class: &'static str,
    saved_for: bool,
    ahead: u64,
    tokens: u64,
    waited_ms: u64,
    eta_ms: u64,
}

#[derive(Serialize)]
struct LaneView<'a> {
    account: &'a str,
    group: &'a str,
    open: usize,
    /// `null` where nothing was learned in an earlier run.
    recalled_age_ms: Option<u64>,
    quotas: Vec<QuotaView>,
}

#[derive(Serialize)]
struct QuotaView {
    quota: &'static str,
    limit: Option<u64>,
    headroom: i64,
    reset_ms: u64,
    /// `null` where nothing is counted over time.
    believed: Option<BeliefView>,
}

#[derive(Serialize)]
struct BeliefView {
    counting: Option<Counting>,
    /// `null` where requests are counted.
    charging: Option<Charging>,
    /// What it may be instead: a request goes when all of them have room.
    or: Vec<WayView>,
    sure: Sureness,
    /// How many answers it was held against.
    answers: u32,
    configured_limit: Option<u64>,
    told_limit: Option<u64>,
}

#[derive(Serialize)]
struct WayView {
    counting: Counting,
    #[serde(skip_serializing_if = "Option::is_none")]
    charging: Option<Charging>,
}

impl<'a> LineView<'a> {
    fn of(line: &'a LineSnapshot) -> Self {
        Self {
            model: line.model.as_str(),
            waiting: line.waiting,
            tokens: line.tokens,
            waits_for: line.short_of.map(QuotaKind::label),
            apps: line.apps.iter().map(AppView::of).collect(),
            first: line.first.iter().map(WaiterView::of).collect(),
        }
    }
}

impl<'a> AppView<'a> {
    fn of(app: &'a AppSnapshot) -> Self {
        Self {
            app: app.app.as_str(),
            class: app.class.label(),
            weight: app.weight,
            waiting: app.waiting,
            tokens: app.tokens,
            lead: (app.lead * 1e6).round() / 1e6,
        }
    }
}

impl<'a> WaiterView<'a> {
    fn of(waiter: &'a WaiterSnapshot) -> Self {
        Self {
            app: waiter.app.as_str(),
            class: waiter.class.label(),
            saved_for: waiter.is_saved_for,
            ahead: waiter.ahead,
            tokens: waiter.tokens,
            waited_ms: millis(waiter.waited),
            eta_ms: millis(waiter.expected),
        }
    }
}

impl<'a> LaneView<'a> {
    fn of(lane: &'a LaneSnapshot) -> Self {
        Self {
            account: lane.account.as_str(),
            group: &lane.group,
            open: lane.open,
            recalled_age_ms: lane.recalled.map(millis),
            quotas: lane
                .levels
                .iter()
                .map(|level| QuotaView {
                    quota: level.quota.label(),
                    limit: level.limit,
                    headroom: level.headroom,
                    reset_ms: millis(level.reset),
                    believed: lane
                        .beliefs
                        .iter()
                        .find(|belief| belief.quota == level.quota)
                        .map(BeliefView::of),
                })
                .collect(),
        }
    }
}

impl BeliefView {
    fn of(belief: &Belief) -> Self {
        let mut ways = belief.ways.iter().copied();
        let likeliest = ways.next();
        Self {
            counting: likeliest.map(|(counting, _)| counting),
            charging: likeliest.and_then(|(_, charging)| charging),
            or: ways.map(|(counting, charging)| WayView { counting, charging }).collect(),
            sure: belief.sureness,
            answers: belief.answers,
            configured_limit: belief.configured,
            told_limit: belief.told,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! `/line`: lanes and lines as JSON, and as gauges.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use serde::Serialize;

use super::accounts::AccountView;
use crate::admit::{AppLevels, AppSnapshot, LaneSnapshot, LineSnapshot, Snapshot, WaiterSnapshot};
use crate::limit::{Belief, Charging, Counting, QuotaKind, QuotaLevel, Sureness};
use crate::units::UpstreamName;

/// What goes on at each upstream at one moment.
pub(super) type Views = [(UpstreamName, Snapshot)];

/// Returns `views` as JSON, with what apps have left of their own quotas; times are in milliseconds, and say so in their names.
pub(super) fn json(views: &Views, apps: &[AppLevels]) -> String {
    let page = Page {
        waiting: views.iter().map(|(_, snapshot)| snapshot.waiting).sum(),
        waiting_bytes: views.iter().map(|(_, snapshot)| snapshot.waiting_bytes).sum(),
        lines: views
            .iter()
            .flat_map(|(name, snapshot)| snapshot.lines.iter().map(|line| LineView::of(name, line)))
            .collect(),
        lanes: views
            .iter()
            .flat_map(|(name, snapshot)| snapshot.lanes.iter().map(|lane| LaneView::of(name, lane)))
            .collect(),
        accounts: views
            .iter()
            .flat_map(|(name, snapshot)| {
                snapshot.accounts.iter().map(|account| AccountView::of(name, account))
            })
            .collect(),
        apps: apps.iter().map(OwnView::of).collect(),
    };
    // Plain numbers and texts cannot fail to be written.
    serde_json::to_string_pretty(&page).unwrap_or_default()
}

/// Returns `views` as OpenMetrics gauges.
pub(super) fn gauges(views: &Views) -> String {
    let mut text = String::from("# HELP sluicegate_waiting Requests that wait in line.\n");
    text.push_str("# TYPE sluicegate_waiting gauge\n");
    for (name, snapshot) in views {
        let name = escaped(name.as_str());
        // Writing to a string cannot fail.
        let _written =
            writeln!(text, "sluicegate_waiting{{upstream=\"{name}\"}} {}", snapshot.waiting);
    }
    text.push_str("# HELP sluicegate_headroom What a quota could grant now.\n");
    text.push_str("# TYPE sluicegate_headroom gauge\n");
    gauge(&mut text, views, "sluicegate_headroom", |level| Some(level.headroom));
    text.push_str("# HELP sluicegate_limit What a quota grants in a window, where it is known.\n");
    text.push_str("# TYPE sluicegate_limit gauge\n");
    gauge(&mut text, views, "sluicegate_limit", |level| level.limit);
    text
}

/// Returns a number of a quota, if there is one.
type NumberOf<T> = fn(&QuotaLevel) -> Option<T>;

/// Writes a number of each quota for which there is one.
fn gauge<T: Display>(text: &mut String, views: &Views, name: &str, number: NumberOf<T>) {
    for (upstream, lane) in views
        .iter()
        .flat_map(|(name, snapshot)| snapshot.lanes.iter().map(move |lane| (name, lane)))
    {
        let (upstream, account) = (escaped(upstream.as_str()), escaped(lane.account.as_str()));
        let group = escaped(&lane.group);
        for (level, number) in lane.levels.iter().filter_map(|it| Some((it, number(it)?))) {
            let quota = level.quota.label();
            let _written = writeln!(
                text,
                "{name}{{upstream=\"{upstream}\",account=\"{account}\",group=\"{group}\",\
                 quota=\"{quota}\"}} {number}",
            );
        }
    }
}

/// Returns a label as it stands in quotes.
pub(super) fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[derive(Serialize)]
struct Page<'a> {
    waiting: usize,
    waiting_bytes: usize,
    lines: Vec<LineView<'a>>,
    lanes: Vec<LaneView<'a>>,
    accounts: Vec<AccountView<'a>>,
    /// Those that have quotas of their own.
    apps: Vec<OwnView<'a>>,
}

#[derive(Serialize)]
struct OwnView<'a> {
    app: &'a str,
    quotas: Vec<QuotaView>,
}

#[derive(Serialize)]
struct LineView<'a> {
    upstream: &'a str,
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
    /// The quota of its own that it is short of; `null` where it waits for those of the provider.
    waits_for: Option<&'static str>,
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
    upstream: &'a str,
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
    fn of(upstream: &'a UpstreamName, line: &'a LineSnapshot) -> Self {
        Self {
            upstream: upstream.as_str(),
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
            waits_for: app.lacks.map(QuotaKind::label),
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
    fn of(upstream: &'a UpstreamName, lane: &'a LaneSnapshot) -> Self {
        Self {
            upstream: upstream.as_str(),
            account: lane.account.as_str(),
            group: &lane.group,
            open: lane.open,
            recalled_age_ms: lane.recalled.map(millis),
            quotas: lane
                .levels
                .iter()
                .map(|level| {
                    let mut beliefs = lane.beliefs.iter();
                    let belief = beliefs.find(|belief| belief.quota == level.quota);
                    QuotaView::of(level, belief)
                })
                .collect(),
        }
    }
}

impl<'a> OwnView<'a> {
    fn of((app, levels): &'a AppLevels) -> Self {
        let quotas = levels.iter().map(|level| QuotaView::of(level, None)).collect();
        Self { app: app.as_str(), quotas }
    }
}

impl QuotaView {
    fn of(level: &QuotaLevel, belief: Option<&Belief>) -> Self {
        Self {
            quota: level.quota.label(),
            limit: level.limit,
            headroom: level.headroom,
            reset_ms: millis(level.reset),
            believed: belief.map(BeliefView::of),
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

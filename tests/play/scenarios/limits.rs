//! Limits that are not what one believes: S6, S11, S15, S16, S17.

use std::time::Duration;

use sluicegate::limit::LaneSettings;
use sluicegate::simulate::engine::{Charging, Counting, ForeignFlow, LimitChange, Limits, Slices};

use super::super::scenario::{Judged, told};
use super::{Account, Scenario, Size, at_most, judged_by_counting, single, usual, words};

pub(super) fn scenarios(size: Size) -> Vec<Scenario> {
    [twice(size), changing(size), used(size), foreign(size), sliced(size)].concat()
}

/// S6: twice the real limits are configured.
fn twice(size: Size) -> Vec<Scenario> {
    let limits = usual(size, Counting::Bucket, Charging::Refund);
    let scenario = single("S6", "bucket/refund", limits.clone(), size);
    let account = Account { told: told(&limits, 2), ..Account::told("sk-main", limits) };
    vec![Scenario { accounts: vec![account], judged: at_most(1.02, 1.0), ..scenario }]
}

/// Whether limits are configured.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Knowledge {
    Told,
    Untold,
}

/// S11: the limits change in the middle of the run.
fn changing(size: Size) -> Vec<Scenario> {
    let change = |seconds, factor| LimitChange { at: Duration::from_secs(seconds), factor };
    let cell = |(name, knowledge, changes): (&str, Knowledge, Vec<LimitChange>)| {
        let limits = Limits { changes, ..usual(size, Counting::Bucket, Charging::Refund) };
        let scenario = single("S11", name, limits, size);
        let scenario = if knowledge == Knowledge::Untold { scenario.untold() } else { scenario };
        Scenario { judged: at_most(1.05, 3.0), ..scenario }
    };
    // A configured limit is a ceiling: whoever moves up a tier has none configured.
    [
        ("doubled", Knowledge::Untold, vec![change(70, 2.0)]),
        ("halved", Knowledge::Told, vec![change(70, 0.5)]),
        ("halved for a while", Knowledge::Told, vec![change(70, 0.5), change(150, 1.0)]),
        ("halved, unconfigured", Knowledge::Untold, vec![change(70, 0.5)]),
    ]
    .into_iter()
    .map(cell)
    .collect()
}

/// S15: nine tenths of the quota are used when the run starts.
fn used(size: Size) -> Vec<Scenario> {
    let cell = |(counting, judged)| {
        let limits = Limits { used_at_start: 0.9, ..usual(size, counting, Charging::Refund) };
        let scenario = single("S15", words(counting, Charging::Refund), limits, size);
        Scenario { judged, ..scenario }
    };
    judged_by_counting().map(cell).into()
}

/// S16: another program uses a third of the organisation's quota.
fn foreign(size: Size) -> Vec<Scenario> {
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let tokens_per_minute = size.tokens as f64 / 3.0;
    let flow = ForeignFlow { requests_per_minute: 0.0, tokens_per_minute };
    let limits = Limits { foreign: flow, ..usual(size, Counting::Bucket, Charging::Refund) };
    let scenario = single("S16", "a third", limits, size);
    let judged = Judged { refused: 5.0, used: Some(0.95), ..Judged::default() };
    vec![Scenario { judged, ..scenario }]
}

/// S17: a sixtieth of the minute's requests in a second.
fn sliced(size: Size) -> Vec<Scenario> {
    let limits = Limits {
        requests_per_minute: Some(size.tokens / 200),
        slices: Slices::Requests,
        ..usual(size, Counting::Bucket, Charging::Refund)
    };
    let unknown = single("S17", "unconfigured", limits.clone(), size);
    let known = single("S17", "configured", limits.clone(), size);
    let accounts = known.accounts.iter().cloned().map(|account| {
        let requests_per_second = limits.requests_per_minute.map(|limit| limit.div_ceil(60));
        Account { told: LaneSettings { requests_per_second, ..account.told.clone() }, ..account }
    });
    let accounts = accounts.collect();
    let judged = Judged { paces: true, ..at_most(1.05, 30.0) };
    vec![Scenario { judged, ..unknown }, Scenario { accounts, judged: at_most(1.04, 0.0), ..known }]
}

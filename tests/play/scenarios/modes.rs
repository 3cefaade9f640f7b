//! How a provider counts and charges: S1, S9, S10, S18.

use sluicegate::simulate::engine::{Charging, Counting, Enforcement};
use sluicegate::simulate::{Dialect, RateHeaders};

use super::super::scenario::Judged;
use super::{
    CHARGINGS, COUNTINGS, Flow, Scenario, Size, at_most, judged_by_counting, single, usual, words,
};

pub(super) fn scenarios(size: Size) -> Vec<Scenario> {
    [
        tokens_bound(size),
        nothing_told(size),
        every_mode(size),
        absent_bounds(size),
        unenforced(every_mode(size)),
        no_headers(size),
    ]
    .concat()
}

/// S1: one key, short of tokens, bounds far above what is used.
fn tokens_bound(size: Size) -> Vec<Scenario> {
    let cell = |charging| {
        let limits = usual(size, Counting::Bucket, charging);
        let scenario = single("S1", words(Counting::Bucket, charging), limits, size);
        Scenario { judged: at_most(1.02, 1.0), ..scenario }
    };
    CHARGINGS.into_iter().map(cell).collect()
}

/// S9: no limit is configured.
fn nothing_told(size: Size) -> Vec<Scenario> {
    let cell = |(counting, judged)| {
        let limits = usual(size, counting, Charging::Refund);
        let scenario = single("S9", words(counting, Charging::Refund), limits, size);
        Scenario { judged, ..scenario.untold() }
    };
    judged_by_counting().map(cell).into()
}

/// S10: each way of counting with each way of charging, none of them told.
pub(crate) fn every_mode(size: Size) -> Vec<Scenario> {
    let cell = |counting, charging| {
        let limits = usual(size, counting, charging);
        let scenario = single("S10", words(counting, charging), limits, size);
        Scenario { judged: at_most(1.03, 2.0), ..scenario }
    };
    let of = |counting| CHARGINGS.into_iter().map(move |charging| cell(counting, charging));
    COUNTINGS.into_iter().flat_map(of).collect()
}

/// S9 and S10 for requests that do not say how much they want at most: a quarter of them, or all.
pub(crate) fn absent_bounds(size: Size) -> Vec<Scenario> {
    let modes = [
        (Counting::Bucket, Charging::Max),
        (Counting::Bucket, Charging::Refund),
        (Counting::Bucket, Charging::Later),
        (Counting::Sliding, Charging::Refund),
    ];
    let cell = |(counting, charging): (Counting, Charging), (quarters, part): (u32, &str)| {
        let limits = usual(size, counting, charging);
        let cell = format!("{}, {part} absent", words(counting, charging));
        let scenario = single("S10", cell, limits, size);
        // Who never corrects anything charges the most that the model can write.
        let [stated, absent] =
            if charging == Charging::Max { [1_000.0, 4_096.0] } else { [210.0, 210.0] };
        let each = stated + (absent - stated) * f64::from(quarters) / 4.0;
        let requests = size.requests(size.tokens, each);
        let without = requests * u64::from(quarters) / 4;
        let flows = vec![
            Flow::chats("app", requests - without),
            Flow { bound: None, ..Flow::chats("absent", without) },
        ];
        let scenario = scenario.with_flows(flows);
        Scenario { judged: at_most(1.03, 2.0), ..scenario }
    };
    let parts = [(1, "a quarter"), (4, "all")];
    modes.into_iter().flat_map(|mode| parts.map(|part| cell(mode, part))).collect()
}

/// Scenarios once more without enforcement: what is sent is counted by the checker.
pub(crate) fn unenforced(scenarios: Vec<Scenario>) -> Vec<Scenario> {
    scenarios
        .into_iter()
        .map(|scenario| {
            let reserves = scenario.cell.contains("max") || scenario.cell.contains("refund");
            let excess = Some(if reserves { 0.0 } else { 0.02 });
            let cell = format!("{}, unenforced", scenario.cell);
            let judged = Judged { excess, ..Judged::default() };
            Scenario { cell, judged, enforcement: Enforcement::Off, ..scenario }
        })
        .collect()
}

/// S18: no answer shows quotas.
fn no_headers(size: Size) -> Vec<Scenario> {
    every_mode(size)
        .into_iter()
        .map(|scenario| {
            let usual = words(Counting::Bucket, Charging::Refund);
            let judged =
                if scenario.cell == usual { at_most(1.02, 1.0) } else { at_most(1.15, 10.0) };
            // Refusals tell their numbers.
            let (headers, speaks) = (RateHeaders::Hidden, Dialect::OpenAi);
            Scenario { name: "S18", headers, speaks, judged, ..scenario }
        })
        .collect()
}

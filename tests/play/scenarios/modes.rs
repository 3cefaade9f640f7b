//! How a provider counts and charges: S1, S9, S10, S18.

use sluicegate::simulate::RateHeaders;
use sluicegate::simulate::engine::{Charging, Counting, Enforcement};

use super::super::scenario::Judged;
use super::{
    CHARGINGS, COUNTINGS, Scenario, Size, at_most, judged_by_counting, single, usual, words,
};

pub(super) fn scenarios(size: Size) -> Vec<Scenario> {
    [tokens_bound(size), nothing_told(size), every_mode(size), unenforced(size), no_headers(size)]
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

/// S10 once more without enforcement: what is sent is counted by the checker.
pub(crate) fn unenforced(size: Size) -> Vec<Scenario> {
    every_mode(size)
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
            Scenario { name: "S18", headers: RateHeaders::Hidden, judged, ..scenario }
        })
        .collect()
}

//! The scenarios of the quota bench in small, so that every test run guards them.

use crate::play::checker::worst_excess;
use crate::play::figures::Figures;
use crate::play::gate::Sluicegate;
use crate::play::oracle::oracle;
use crate::play::peers::Sdk;
use crate::play::run::{System, play};
use crate::play::scenario::Scenario;
use crate::play::scenarios::{Size, all};
use crate::play::work::jobs;

/// A window of about 200 requests, four times.
const SMALL: Size = Size { tokens: 40_000, windows: 4.0 };

pub(crate) fn cell(name: &str, cell: &str) -> Scenario {
    let mut scenarios = all(SMALL).into_iter();
    let found = scenarios.find(|one| one.name == name && one.cell == cell);
    found.unwrap_or_else(|| panic!("no cell {cell} of {name}"))
}

fn figures<S: System>(scenario: &Scenario, seed: u64) -> Figures {
    Figures::of(&play::<S>(scenario, seed), scenario, Some(oracle(scenario, seed)))
}

#[test]
fn a_quota_of_tokens_is_used_up_without_a_refusal() {
    let scenario = cell("S1", "bucket/refund");
    let figures = figures::<Sluicegate>(&scenario, 1);
    assert!(figures.ratio <= 1.02, "{figures:?}");
    assert!(figures.refused <= 2.0, "{figures:?}");
    assert_eq!(figures.failed, 0, "{figures:?}");
}

#[test]
fn clients_that_only_try_again_are_refused_more_often_than_they_are_served() {
    let figures = figures::<Sdk>(&cell("S1", "bucket/refund"), 1);
    assert!(figures.refused > 1_000.0, "{figures:?}");
    assert!(figures.failed > 0, "{figures:?}");
}

/// Else the interactive app of S4 could not be compared with itself.
#[test]
fn an_app_sends_the_same_alone_and_beside_others() {
    let beside = cell("S4", "a tenth");
    let alone = beside.with_flows(vec![beside.flows[0].clone()]);
    let told = |scenario: &Scenario| {
        let people = jobs(scenario, 2).into_iter().filter(|job| job.app.as_str() == "people");
        people.map(|job| (job.arrives, job.cost, job.total, job.ways)).collect::<Vec<_>>()
    };
    assert_eq!(told(&beside), told(&alone));
}

#[test]
fn a_seed_plays_the_same_run_again() {
    let scenario = cell("S1", "bucket/refund");
    let sent = || play::<Sluicegate>(&scenario, 3).diary.sent;
    assert_eq!(sent(), sent());
}

/// Issue 3, done when 3, in small: the bench plays it with every way of counting and charging.
#[test]
fn without_enforcement_no_span_of_a_bucket_is_over_its_limit() {
    let scenario = cell("S10", "bucket/refund, unenforced");
    let run = play::<Sluicegate>(&scenario, 3);
    let excess = worst_excess(&run, &scenario, 3);
    assert!(excess <= 0.0, "{:.2} % over", excess * 100.0);
}

#[test]
fn the_checker_sees_windows_that_clients_overrun() {
    for mode in ["bucket", "sliding", "fixed", "fixed-first"] {
        let scenario = cell("S10", &format!("{mode}/refund, unenforced"));
        let excess = worst_excess(&play::<Sdk>(&scenario, 2), &scenario, 2);
        assert!(excess > 1.0, "{mode}: {:.2} % over", excess * 100.0);
    }
}

/// What the engine enforces is what the checker adds up: two pieces of code that share nothing.
#[test]
fn the_checker_finds_no_window_over_its_limit_where_limits_are_enforced() {
    for mode in
        ["bucket/refund", "sliding/max", "sliding/refund", "fixed/refund", "fixed-first/max"]
    {
        let scenario = cell("S10", mode);
        let excess = worst_excess(&play::<Sdk>(&scenario, 3), &scenario, 3);
        assert!((-0.2..=0.0).contains(&excess), "{mode}: {:.2} % over", excess * 100.0);
    }
}

//! The scenarios of the quota bench in small, so that every test run guards them.

use std::time::Duration;

use sluicegate::simulate::Dialect;

use crate::play::checker::worst_excess;
use crate::play::figures::Figures;
use crate::play::gate::Sluicegate;
use crate::play::oracle::oracle;
use crate::play::peers::Sdk;
use crate::play::run::{System, play};
use crate::play::scenario::Scenario;
use crate::play::scenarios::{Size, all};
use crate::play::work::jobs;

/// Windows of about 200 requests, four and a half of them.
const SMALL: Size = Size { tokens: 40_000, windows: 4.5 };

pub(crate) fn cell(name: &str, cell: &str) -> Scenario {
    sized(SMALL, name, cell)
}

fn sized(size: Size, name: &str, cell: &str) -> Scenario {
    let mut scenarios = all(size).into_iter();
    let found = scenarios.find(|one| one.name == name && one.cell == cell);
    found.unwrap_or_else(|| panic!("no cell {cell} of {name}"))
}

pub(crate) fn figures<S: System>(scenario: &Scenario, seed: u64) -> Figures {
    Figures::of(&play::<S>(scenario, seed), scenario, Some(oracle(scenario, seed)))
}

/// Plays a cell in small. A quota of a few hundred requests shows a single one; so the bounds are wider
/// than the bench's, but for what fails.
fn keeps(name: &str, which: &str, ratio: f64, refused: f64) {
    for seed in [1, 2] {
        let figures = figures::<Sluicegate>(&cell(name, which), seed);
        assert!(figures.ratio <= ratio, "{name} {which}, seed {seed}: {figures:?}");
        assert!(figures.refused <= refused, "{name} {which}, seed {seed}: {figures:?}");
        assert_eq!(figures.failed, 0, "{name} {which}, seed {seed}: {figures:?}");
    }
}

#[test]
fn a_quota_of_tokens_is_used_up_without_a_refusal() {
    keeps("S1", "bucket/refund", 1.02, 2.0);
}

#[test]
fn a_quota_of_requests_is_used_up_without_a_refusal() {
    keeps("S3", "bucket/refund", 1.02, 2.0);
}

#[test]
fn unequal_accounts_are_used_up_together() {
    keeps("S2", "4:2:1", 1.03, 6.0);
}

#[test]
fn limits_that_nobody_configured_are_used_up() {
    keeps("S9", "bucket/refund", 1.04, 3.0);
}

#[test]
fn limits_that_are_believed_twice_too_high_are_found_out() {
    keeps("S6", "bucket/refund", 1.03, 3.0);
}

#[test]
fn dead_keys_and_empty_accounts_fail_nobody() {
    keeps("S5", "a key and an account", 1.06, 12.0);
}

#[test]
fn a_limit_of_the_day_is_used_up_over_days() {
    keeps("S12", "requests, bucket, configured", 1.02, 1.0);
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

#[test]
fn people_at_prompts_are_served_as_if_batch_work_were_not_there() {
    let beside = sized(Size { windows: 2.0, ..SMALL }, "S4", "a tenth");
    let alone = beside.with_flows(vec![beside.flows[0].clone()]);
    let (both, people) = (figures::<Sluicegate>(&beside, 1), figures::<Sluicegate>(&alone, 1));
    // What one of these requests reserves is there again after 0.54 s.
    let most = people.served_most.mul_f64(1.1) + Duration::from_millis(540);
    assert!(both.served_most <= most, "{both:?} against {people:?}");
    assert!(both.ratio <= 1.02, "{both:?}");
}

#[test]
fn apps_share_a_quota_by_their_weights() {
    let figures = figures::<Sluicegate>(&cell("S14", "unequal weights"), 1);
    let off = figures.off_weights.expect("two windows in which all of them wait");
    assert!(off <= 3.0, "{off:.2} points off: {figures:?}");
}

/// Issue 3, done when 3, in small. The seeds are such that each way of estimating prompts comes along.
#[test]
fn without_enforcement_no_window_that_charges_beforehand_is_over_its_limit() {
    let countings = ["bucket", "sliding", "fixed", "fixed-first"];
    let modes = countings.iter().flat_map(|counting| ["max", "refund"].map(|how| (counting, how)));
    for ((counting, charging), seed) in modes.zip(1..) {
        let scenario = cell("S10", &format!("{counting}/{charging}, unenforced"));
        let excess = worst_excess(&play::<Sluicegate>(&scenario, seed), &scenario, seed);
        assert!(excess <= 0.0, "{counting}/{charging}: {:.2} % over", excess * 100.0);
    }
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

/// Every vendor's headers and errors once, and its way of charging: each is used up without refusals that could have
/// been known. A small quota shows a single refusal.
#[test]
fn every_dialect_is_used_up() {
    for dialect in Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::OpenAi) {
        let name = dialect.name();
        // A second of Together's must hold a request.
        let size = match dialect {
            Dialect::Together => Size { tokens: 200_000, windows: 0.5 },
            _ => SMALL,
        };
        let figures = figures::<Sluicegate>(&sized(size, "S1", name), 1);
        assert!(figures.ratio <= 1.06, "{name}: {figures:?}");
        let slots = dialect.usual_limits().concurrency.is_some();
        assert!(slots || figures.refused <= 20.0, "{name}: {figures:?}");
        assert_eq!(
            (figures.again * u64::from(slots), figures.failed),
            (0, 0),
            "{name}: {figures:?}"
        );
    }
}

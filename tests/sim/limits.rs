//! Lanes that are told how their provider counts and charges: every quota is used up, and no window goes
//! over its limit.
//!
//! The provider shares no code with `limit`: it refuses what it has no room for, so a run without a
//! refusal is a run in which no window was over its limit.

use sluicegate::limit::{self, LaneSettings};
use sluicegate::simulate::Dialect;
use sluicegate::simulate::engine::{Charging, Counting, Limits};

use crate::play::gate::Sluicegate;
use crate::play::scenario::{Account, Flow, Scenario, told};
use crate::quota::{cell, figures};

const COUNTINGS: [Counting; 4] =
    [Counting::Bucket, Counting::Sliding, Counting::Calendar, Counting::FirstRequest];
const CHARGINGS: [Charging; 4] =
    [Charging::Max, Charging::Refund, Charging::Later, Charging::Split];
/// With such seeds the provider estimates prompts by its tokenizer, as is configured here.
const SEEDS: [u64; 3] = [3, 6, 9];

/// Returns a small cell with these limits, of which sluicegate is told `factor` times as much, and the ways
/// of counting and charging.
fn configured(limits: Limits, factor: u64) -> Scenario {
    let settings = LaneSettings { counting: None, ..told(&limits, factor) };
    let scenario = cell("S1", "bucket/refund");
    let apart = limits.charging == Charging::Split;
    let speaks = if apart { Dialect::Anthropic } else { Dialect::OpenAi };
    let account = Account { told: with_modes(settings, &limits), ..Account::told("sk", limits) };
    Scenario { speaks, accounts: vec![account], ..scenario }
}

fn with_modes(settings: LaneSettings, limits: &Limits) -> LaneSettings {
    LaneSettings {
        counting: Some(match limits.counting {
            Counting::Bucket => limit::Counting::Bucket,
            Counting::Sliding => limit::Counting::Sliding,
            Counting::Calendar | Counting::FirstRequest => limit::Counting::Fixed,
        }),
        charging: Some(match limits.charging {
            Charging::Max => limit::Charging::Max,
            Charging::Refund => limit::Charging::Refund,
            Charging::Later => limit::Charging::Later,
            Charging::Split => limit::Charging::Split,
        }),
        estimator: Some(limit::Estimator::Tokens),
        ..settings
    }
}

fn check(name: &str, scenario: &Scenario, seed: u64, (most, refused): (f64, f64)) {
    let figures = figures::<Sluicegate>(scenario, seed);
    println!("{name}: {figures:?}");
    assert_eq!(figures.failed, 0, "{name}: all are served");
    assert!(figures.refused <= refused, "{name}: windows go over a limit: {figures:?}");
    assert!(figures.ratio <= most, "{name}: {figures:?}");
}

fn usual(counting: Counting, charging: Charging) -> Limits {
    let split = charging == Charging::Split;
    Limits {
        requests_per_minute: Some(3_000),
        tokens_per_minute: Some(40_000).filter(|_| !split),
        input_per_minute: Some(20_000).filter(|_| split),
        output_per_minute: Some(40_000).filter(|_| split),
        counting,
        charging,
        ..Limits::default()
    }
}

/// Issue 2, done when 4.
#[test]
fn sixty_requests_of_100_tokens_go_through_1000_a_minute_without_a_refusal() {
    for counting in COUNTINGS {
        for seed in SEEDS {
            let limits = Limits { tokens_per_minute: Some(1_000), counting, ..Limits::default() };
            let hundred = Flow {
                prompt: 20.0,
                prompt_sigma: 0.0,
                bound: Some(80),
                output: 100_000.0,
                ..Flow::chats("app", 60)
            };
            let scenario = configured(limits, 1).with_flows(vec![hundred]);
            check(&format!("{counting:?}, seed {seed}"), &scenario, seed, (1.05, 0.0));
        }
    }
}

/// Plays each way of charging. The bounds are far above the true output, as most clients have them.
fn uses_up(counting: Counting) {
    for charging in CHARGINGS {
        let few = Flow::chats("app", if charging == Charging::Max { 180 } else { 800 });
        let scenario = configured(usual(counting, charging), 1).with_flows(vec![few]);
        check(&format!("{counting:?} {charging:?}"), &scenario, 3, (1.05, 0.0));
    }
}

#[test]
fn a_bucket_is_used_up_without_a_refusal_however_it_charges() {
    uses_up(Counting::Bucket);
}

#[test]
fn sliding_windows_are_used_up_without_a_refusal_however_they_charge() {
    uses_up(Counting::Sliding);
}

#[test]
fn calendar_windows_are_used_up_without_a_refusal_however_they_charge() {
    uses_up(Counting::Calendar);
}

#[test]
fn windows_that_a_first_request_begins_are_used_up_without_a_refusal_however_they_charge() {
    uses_up(Counting::FirstRequest);
}

#[test]
fn limits_that_nobody_gave_are_learned_without_a_refusal() {
    for counting in COUNTINGS {
        let limits = usual(counting, Charging::Refund);
        let untold = with_modes(LaneSettings::default(), &limits);
        let mut scenario = configured(limits, 1);
        scenario.accounts[0].told = untold;
        check(&format!("{counting:?} unknown"), &scenario, 3, (1.05, 0.0));
    }
}

#[test]
fn limits_believed_twice_too_high_cost_a_refusal_in_a_thousand() {
    for counting in COUNTINGS {
        let scenario = configured(usual(counting, Charging::Refund), 2);
        check(&format!("{counting:?} twice"), &scenario, 3, (1.05, 1.2));
    }
}

#[test]
fn a_quota_used_up_before_the_start_is_seen_in_time() {
    for counting in [Counting::Bucket, Counting::Sliding, Counting::Calendar] {
        let limits = Limits { used_at_start: 0.9, ..usual(counting, Charging::Refund) };
        // When others' use leaves a sliding window nobody tells: it is guessed, and one of these
        // several hundred requests may come too early.
        let bounds = if counting == Counting::Sliding { (1.04, 1.2) } else { (1.05, 0.0) };
        check(&format!("{counting:?} used"), &configured(limits, 1), 3, bounds);
    }
}

//! Outputs that are charged when they are known: whatever answers are like, the quota is used and no
//! window goes over it.
//!
//! The provider here is a log of charges that is added up anew.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use sluicegate::count::{Demand, Method};
use sluicegate::limit::{Charging, Counting, Debit, Hint, Lane, LaneSettings, Shortfall, Spare};
use sluicegate::units::{Requests, Tokens, Usage};
use tokio::time::Instant;

use crate::play::dice::Dice;

const LIMIT: f64 = 120_000.0;
const MINUTE: Duration = Duration::from_secs(60);
const PROMPT: u64 = 60;
const BOUND: u64 = 4_000;
/// How long requests come; what is charged in the last part of it is judged.
const PLAYED: Duration = Duration::from_secs(12 * 60);
const LEARNED: Duration = Duration::from_secs(5 * 60);

/// What answers are like: their tokens.
type Output = fn(&mut Dice) -> f64;

/// Answers and the least part of the quota that they are to use.
struct Case {
    name: &'static str,
    output: Output,
    per_token: Duration,
    used: f64,
}

#[rustfmt::skip] // One case a line: the table is read by columns.
const CASES: [Case; 5] = [
    Case { name: "short",     output: |dice| dice.lognormal(150.0, 0.6),   per_token: Duration::from_millis(5),  used: 0.97 },
    Case { name: "a minute",  output: |dice| dice.lognormal(1_200.0, 0.6), per_token: Duration::from_millis(50), used: 0.93 },
    Case { name: "all alike", output: |_| 1_200.0,                         per_token: Duration::from_millis(50), used: 0.90 },
    Case { name: "two kinds", output: two_kinds,                           per_token: Duration::from_millis(20), used: 0.93 },
    Case { name: "very long", output: |dice| dice.lognormal(1_500.0, 0.4), per_token: Duration::from_millis(99), used: 0.88 },
];

fn two_kinds(dice: &mut Dice) -> f64 {
    if dice.part() < 0.9 { 20.0 } else { 2_000.0 }
}

/// What is under way and its output, by when it ends.
type Ends = BTreeMap<(Instant, u32), (Debit, f64)>;

/// What a provider was charged, and when, since the start.
#[derive(Default)]
struct Charges(Vec<(Duration, f64)>);

impl Charges {
    /// Returns by which part of its limit the worst window was over it.
    fn worst_window(&self) -> f64 {
        let mut worst = f64::MIN;
        let (mut sum, mut first) = (0.0, 0);
        for (at, amount) in &self.0 {
            sum += amount;
            while self.0[first].0 + MINUTE <= *at {
                sum -= self.0[first].1;
                first += 1;
            }
            worst = worst.max(sum);
        }
        worst / LIMIT - 1.0
    }

    /// Returns by which part of its limit a bucket was in debt at worst.
    fn worst_debt(&self) -> f64 {
        let (mut level, mut time, mut worst) = (LIMIT, Duration::ZERO, f64::MAX);
        for (at, amount) in &self.0 {
            level = (level + LIMIT * (*at - time).as_secs_f64() / 60.0).min(LIMIT) - amount;
            worst = worst.min(level);
            time = *at;
        }
        -worst / LIMIT
    }

    /// Returns which part of the quota was used once it was known what answers are like.
    fn used(&self) -> f64 {
        let late = self.0.iter().filter(|(at, _)| (LEARNED..PLAYED).contains(at));
        let sum: f64 = late.map(|(_, amount)| amount).sum();
        sum / (LIMIT * (PLAYED - LEARNED).as_secs_f64() / 60.0)
    }
}

/// Plays a lane for which somebody always waits.
fn play(counting: Counting, case: &Case) -> Charges {
    let settings = LaneSettings {
        tokens_per_minute: Some(120_000),
        counting: Some(counting),
        charging: Some(Charging::Later),
        ..LaneSettings::default()
    };
    let begin = Instant::now();
    let mut lane = Lane::new(settings, begin);
    let mut dice = Dice::new(1, 1);
    let mut charges = Charges::default();
    let mut ends = Ends::new();
    let (mut now, mut number) = (begin, 0);
    while now < begin + PLAYED {
        let look = loop {
            match lane.try_reserve(&demand(), Spare::default(), now) {
                Ok(mut debit) => {
                    lane.sent(&mut debit, now);
                    lane.observe(&mut debit, &Hint::default(), now);
                    charges.0.push((now - begin, 60.0));
                    let output = (case.output)(&mut dice).round().clamp(1.0, 4_000.0);
                    let takes = Duration::from_millis(200) + case.per_token.mul_f64(output);
                    number += 1;
                    ends.insert((now + takes, number), (debit, output));
                }
                Err(Shortfall::Later { at, .. }) => break Some(at),
                Err(Shortfall::AfterAnswer { .. }) => break None,
                Err(shortfall) => panic!("{}: {shortfall:?}", case.name),
            }
        };
        let end = ends.keys().next().map(|(at, _)| *at);
        now = [look, end].into_iter().flatten().min().expect("something happens");
        while let Some(entry) = ends.first_entry().filter(|entry| entry.key().0 <= now) {
            let (debit, output) = entry.remove();
            charges.0.push((now - begin, output));
            let output = Tokens::new(Duration::from_secs_f64(output).as_secs());
            let input = Tokens::new(PROMPT);
            lane.settle(debit, &Usage { input, output, ..Usage::default() }, now);
        }
    }
    charges
}

fn demand() -> Demand {
    Demand {
        requests: Requests::ONE,
        input: Tokens::new(PROMPT),
        output_bound: Some(Tokens::new(BOUND)),
        characters: PROMPT * 4,
        images: 0,
        method: Method::Exact,
    }
}

#[test]
fn output_that_is_charged_later_overruns_no_bucket_and_leaves_little_idle() {
    for case in &CASES {
        let charges = play(Counting::Bucket, case);
        let (debt, used) = (charges.worst_debt(), charges.used());
        println!("{}: debt {debt:.4}, used {used:.3}", case.name);
        assert!(debt <= 0.02, "{}: {debt} of the limit in debt", case.name);
        assert!(used >= case.used, "{}: {used} used", case.name);
    }
}

/// Answers that all take exactly a window's length are left out: a window that empties in one moment is
/// filled anew in one moment, and such bursts overrun it still.
#[test]
fn output_that_is_charged_later_overruns_no_window() {
    for case in CASES.iter().filter(|case| case.name != "all alike") {
        let charges = play(Counting::Sliding, case);
        let (over, used) = (charges.worst_window(), charges.used());
        println!("{}: over {over:.3}, used {used:.3}", case.name);
        assert!(over <= 0.02, "{}: {over} of the limit over", case.name);
        assert!(used >= case.used * 0.6, "{}: {used} used", case.name);
    }
}

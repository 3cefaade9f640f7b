//! Nobody starves while it is not known how the provider counts and charges.
//!
//! Quotas here are worth a few requests: what beliefs about the provider disagree on is as large as a request,
//! and few answers come that could tell them apart. Nothing is configured.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sluicegate::limit::{self, LaneSettings};
use sluicegate::simulate::RateHeaders;
use sluicegate::simulate::engine::{Charging, Counting, Limits};

use crate::play::gate::Sluicegate;
use crate::play::oracle::oracle;
use crate::play::provider::Provider;
use crate::play::run::{System, play, play_until};
use crate::play::scenario::{Account, Arrivals, Flow, Scenario};
use crate::play::work::jobs;
use crate::quota::cell;

const COUNTINGS: [Counting; 4] =
    [Counting::Bucket, Counting::Sliding, Counting::Calendar, Counting::FirstRequest];
const CHARGINGS: [Charging; 3] = [Charging::Max, Charging::Refund, Charging::Later];
/// Tokens per minute.
const LIMITS: [u64; 2] = [6_000, 60_000];
/// The bound of each request, in hundredths of that.
const PERCENT: [u64; 5] = [10, 20, 35, 50, 60];
/// So many requests come at once.
const REQUESTS: [u64; 2] = [4, 20];
/// What of the bound is written on average.
const WRITTEN: [f64; 2] = [0.05, 0.6];
const WINDOW: f64 = 60.0;
/// So often is looked what is told.
const LOOK: Duration = Duration::from_millis(2_330);

/// What the provider grants, and what is asked of it.
#[derive(Debug, Clone, Copy)]
struct Case {
    counting: Counting,
    charging: Charging,
    tokens: u64,
    percent: u64,
    requests: u64,
    written: f64,
    shown: RateHeaders,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// By how much, in seconds, it took longer than the oracle, or than where limits and ways are configured:
    /// what outputs come to is only known to the oracle.
    late: f64,
    refused: u64,
}

impl Case {
    fn all(shown: RateHeaders) -> Vec<Self> {
        let mut cases = Vec::new();
        for counting in COUNTINGS {
            for charging in CHARGINGS {
                for tokens in LIMITS {
                    for percent in PERCENT {
                        let sizes = REQUESTS
                            .iter()
                            .zip(WRITTEN.iter().rev())
                            .chain(REQUESTS.iter().zip(&WRITTEN));
                        cases.extend(sizes.map(|(&requests, &written)| Self {
                            counting,
                            charging,
                            tokens,
                            percent,
                            requests,
                            written,
                            shown,
                        }));
                    }
                }
            }
        }
        cases
    }

    fn scenario(&self) -> Scenario {
        let limits = Limits {
            requests_per_minute: Some(500),
            tokens_per_minute: Some(self.tokens),
            counting: self.counting,
            charging: self.charging,
            ..Limits::default()
        };
        let bound = self.tokens * self.percent / 100;
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let output = (bound as f64 * self.written).min(1_200.0);
        let flow = Flow {
            prompt: 20.0,
            bound: Some(bound),
            output,
            per_token: Duration::from_millis(2),
            arrivals: Arrivals::Within(Duration::from_millis(50)),
            ..Flow::chats("app", self.requests)
        };
        let accounts = vec![Account::told("sk", limits)];
        let scenario = cell("S9", "bucket/refund").with_flows(vec![flow]);
        Scenario { accounts, headers: self.shown, ..scenario }
    }

    /// Returns the same where everything is configured.
    fn told(&self) -> Scenario {
        let mut scenario = self.scenario();
        for account in &mut scenario.accounts {
            account.told = LaneSettings {
                counting: Some(match self.counting {
                    Counting::Bucket => limit::Counting::Bucket,
                    Counting::Sliding => limit::Counting::Sliding,
                    Counting::Calendar | Counting::FirstRequest => limit::Counting::Fixed,
                }),
                charging: Some(match self.charging {
                    Charging::Max => limit::Charging::Max,
                    Charging::Refund => limit::Charging::Refund,
                    Charging::Later | Charging::Split => limit::Charging::Later,
                }),
                ..account.told.clone()
            };
        }
        scenario
    }

    fn plays(&self, seed: u64) -> Outcome {
        let takes = |scenario: &Scenario| {
            let trips = play::<Sluicegate>(scenario, seed).diary.trips;
            let done = trips.iter().map(|trip| trip.done).max().unwrap_or_default();
            (done.as_secs_f64(), trips.iter().map(|trip| trip.refused).sum())
        };
        let (makespan, refused) = takes(&self.scenario().untold());
        let best = oracle(&self.scenario(), seed).as_secs_f64().max(takes(&self.told()).0);
        Outcome { late: makespan - best, refused }
    }
}

/// Plays all cases. None may be later than a window, nor all together than `mean` on average; none may be
/// refused more often than `refused` allows.
fn check(shown: RateHeaders, mean: f64, refused: impl Fn(&Case) -> u64) {
    let cases = Case::all(shown);
    let played: Vec<Outcome> = cases.iter().map(|case| case.plays(1)).collect();
    for (case, outcome) in cases.iter().zip(&played) {
        assert!(outcome.late <= WINDOW + 1.0, "{case:?}: {outcome:?}");
        assert!(outcome.refused <= refused(case), "{case:?}: {outcome:?}");
    }
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let late = played.iter().map(|outcome| outcome.late.max(0.0)).sum::<f64>() / cases.len() as f64;
    println!("{shown:?}: {late:.2} s late on average of {} cases", cases.len());
    assert!(late <= mean, "{late} s late on average");
}

/// Of the first four, three may find no room, and one guess at the ways may be wrong.
#[test]
fn what_headers_tell_keeps_nobody_waiting_a_window_too_long() {
    check(RateHeaders::Shown, 2.5, |_| 4);
}

/// Where nobody tells of limits, all that waits goes with the first answer, and a few of those that were
/// refused go once more by a belief that the next refusal corrects: 23 refusals of 20 requests in the worst case.
#[test]
fn what_refusals_tell_keeps_nobody_waiting_a_window_too_long() {
    check(RateHeaders::Hidden, 8.0, |case| case.requests + case.requests / 5);
}

/// What the first in line was told of its wait, and how long that was, in seconds.
type Told = (f64, f64);

/// Plays a case and asks all the time what the first in line is told.
fn told(case: &Case, seed: u64) -> Vec<Told> {
    let scenario = case.scenario().untold();
    let notes = Rc::new(RefCell::new(Vec::new()));
    let open = |provider: Provider| {
        let gate = Sluicegate::open(&scenario, provider.clone(), seed);
        let (admission, notes) = (gate.admission.clone(), Rc::clone(&notes));
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let lines = admission.snapshot().lines;
                if let Some(first) = lines.first().and_then(|line| line.first.first()) {
                    notes.borrow_mut().push((provider.now(), first.expected));
                }
            }
        });
        gate
    };
    let day = Duration::from_secs(86_400);
    let run = play_until((&scenario, seed), jobs(&scenario, seed), day, open);
    let looks = notes.borrow();
    let told = looks.iter().filter_map(|(at, expected)| {
        let sent = run.diary.sent.iter().find(|sent| *sent > at)?;
        Some((expected.as_secs_f64(), (*sent - *at).as_secs_f64()))
    });
    told.collect()
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn part(all: &[Told], is: impl Fn(f64, f64) -> bool) -> f64 {
    all.iter().filter(|(expected, waited)| is(*expected, *waited)).count() as f64 / all.len() as f64
}

#[test]
fn who_is_first_in_line_is_told_how_long_it_waits() {
    for shown in [RateHeaders::Shown, RateHeaders::Hidden] {
        let cases = Case::all(shown).into_iter().filter(|case| case.tokens == LIMITS[0]);
        let all: Vec<Told> = cases.flat_map(|case| told(&case, 1)).collect();
        let short = part(&all, |expected, waited| expected + 5.0 < waited * 0.9);
        let long = part(&all, |expected, waited| expected > waited * 1.1 + 5.0);
        println!("{shown:?}: {} looks, {short:.4} too short, {long:.4} too long", all.len());
        assert!(short <= 0.01, "{shown:?}: {short} are told too little");
        assert!(long <= 0.04, "{shown:?}: {long} are told too much");
    }
}

//! The laws of a lane, checked by brute force against a log of what got to the provider.
//!
//! The provider here is a third one, independent of `limit` and of `simulate`: it keeps every
//! arrival and adds up each window anew.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use proptest::prelude::*;
use sluicegate::count::{Demand, Method};
use sluicegate::limit::{
    Charging, Counting, Debit, Hint, Lane, LaneSettings, QuotaHint, QuotaKind, Shortfall, Spare,
};
use sluicegate::units::{Requests, Tokens, Usage};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// What the client asks for, and what becomes of it.
#[derive(Debug, Clone)]
struct Job {
    gap: Duration,
    input: u64,
    bound: u64,
    output: u64,
    /// One way to the provider; within the grace that a lane believes at first.
    delay: Duration,
    takes: Duration,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    Refused,
    Cancelled,
    Lost,
}

fn jobs() -> impl Strategy<Value = Vec<Job>> {
    let gap = prop_oneof![Just(0), 0..30_u64, 0..3_000_u64, 0..90_000_u64];
    let takes = prop_oneof![Just(0), 0..2_000_u64, 0..150_000_u64];
    let fate = prop_oneof![
        8 => Just(Fate::Answered),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Cancelled),
        1 => Just(Fate::Lost),
    ];
    let job = (gap, 0..60_u64, 0..400_u64, 0..=100_u64, 0..50_000_u64, takes, fate);
    let job = job.prop_map(|(gap, input, bound, percent, delay, takes, fate)| Job {
        gap: Duration::from_millis(gap),
        input,
        bound,
        output: bound * percent / 100,
        delay: Duration::from_micros(delay),
        takes: Duration::from_millis(takes),
        fate,
    });
    prop::collection::vec(job, 1..120)
}

/// When, which job, and which step of it.
type Due = (Duration, usize, Step);

/// How the provider of this test counts.
#[derive(Debug, Clone, Copy)]
enum Law {
    Bucket,
    Sliding,
    /// Windows that end at multiples of a minute plus this.
    Fixed(Duration),
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: Duration,
    tokens: u64,
    requests: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Arrives,
    Answers,
    Closes,
}

struct Run {
    law: Law,
    jobs: Vec<Job>,
    charging: Charging,
    lane: Lane,
    epoch: Instant,
    now: Duration,
    due: BinaryHeap<Reverse<Due>>,
    debits: Vec<Option<Debit>>,
    arrivals: Vec<Option<Arrival>>,
    limits: (u64, u64),
}

impl Run {
    fn new(law: Law, charging: Charging, jobs: Vec<Job>, limits: (u64, u64)) -> Self {
        let epoch = Instant::now();
        let counting = match law {
            Law::Bucket => Counting::Bucket,
            Law::Sliding => Counting::Sliding,
            Law::Fixed(_) => Counting::Fixed,
        };
        let settings = LaneSettings {
            requests_per_minute: Some(limits.0),
            tokens_per_minute: Some(limits.1),
            counting: Some(counting),
            charging: Some(charging),
            ..LaneSettings::default()
        };
        Self {
            law,
            charging,
            lane: Lane::new(settings, epoch),
            epoch,
            now: Duration::ZERO,
            due: BinaryHeap::new(),
            debits: jobs.iter().map(|_| None).collect(),
            arrivals: vec![None; jobs.len()],
            jobs,
            limits,
        }
    }

    fn play(mut self) -> Result<(), TestCaseError> {
        for index in 0..self.jobs.len() {
            let wanted = self.now + self.jobs[index].gap;
            self.happen_until(wanted)?;
            self.submit(index)?;
        }
        self.happen_until(Duration::from_secs(86_400))
    }

    fn submit(&mut self, index: usize) -> Result<(), TestCaseError> {
        let mut promised = None;
        for _ in 0..10_000 {
            let now = self.epoch + self.now;
            match self.lane.try_reserve(&demand(&self.jobs[index]), Spare::default(), now) {
                Ok(debit) => {
                    self.send(index, debit);
                    return Ok(());
                }
                Err(Shortfall::TooLarge { .. }) => return Ok(()),
                Err(Shortfall::AfterAnswer { quota }) => {
                    let next = self.due.peek().map(|Reverse((at, ..))| *at);
                    prop_assert!(
                        next.is_some(),
                        "it waits for an answer that never comes: {quota:?}"
                    );
                    self.happen_until(next.unwrap_or_default())?;
                }
                Err(Shortfall::Later { quota, at }) => {
                    prop_assert!(at > now, "it would look again at once");
                    let told = quota != QuotaKind::FirstContact && promised == Some(quota);
                    prop_assert!(!told, "{quota:?} had promised room by now");
                    let at = at - self.epoch;
                    let alone = self.due.peek().is_none_or(|Reverse((next, ..))| *next > at);
                    promised = alone.then_some(quota);
                    self.happen_until(at)?;
                }
            }
        }
        prop_assert!(false, "it waits for ever");
        Ok(())
    }

    fn send(&mut self, index: usize, mut debit: Debit) {
        let job = &self.jobs[index];
        if job.fate == Fate::Cancelled {
            self.due.push(Reverse((self.now + job.takes, index, Step::Closes)));
        } else {
            self.lane.sent(&mut debit, self.epoch + self.now);
            self.due.push(Reverse((self.now + job.delay, index, Step::Arrives)));
        }
        self.debits[index] = Some(debit);
    }

    fn happen_until(&mut self, end: Duration) -> Result<(), TestCaseError> {
        while let Some(Reverse((at, index, step))) =
            self.due.peek().copied().filter(|Reverse((at, ..))| *at <= end)
        {
            self.due.pop();
            self.now = at;
            self.happen(index, step)?;
        }
        self.now = self.now.max(end.min(Duration::from_secs(80_000)));
        Ok(())
    }

    fn happen(&mut self, index: usize, step: Step) -> Result<(), TestCaseError> {
        let job = self.jobs[index].clone();
        match step {
            Step::Arrives => {
                let tokens =
                    if job.fate == Fate::Refused { 0 } else { charge(self.charging, &job) };
                self.arrivals[index] = Some(Arrival { at: self.now, tokens, requests: 1 });
                self.check()?;
                self.due.push(Reverse((self.now + job.takes, index, Step::Answers)));
            }
            Step::Answers => {
                // The provider corrects first; the answer takes its time.
                let corrected = self.lane_refunds() && job.fate == Fate::Answered;
                if let Some(arrival) = self.arrivals[index].as_mut().filter(|_| corrected) {
                    arrival.tokens = job.input + job.output;
                }
                self.due.push(Reverse((self.now + Duration::from_millis(20), index, Step::Closes)));
            }
            Step::Closes => self.close(index, &job),
        }
        Ok(())
    }

    fn lane_refunds(&self) -> bool {
        self.charging == Charging::Refund
    }

    fn close(&mut self, index: usize, job: &Job) {
        let now = self.epoch + self.now;
        let mut debit = self.debits[index].take().expect("it is open");
        if let (Law::Fixed(phase), Some(arrival)) = (self.law, self.arrivals[index]) {
            // The answer tells the end of the window in which the request was counted.
            let left = MINUTE - into_window(arrival.at, phase);
            let ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let reset = Some(Duration::from_millis(ms));
            let tokens = Some(QuotaHint { limit: self.limits.1, reset, ..QuotaHint::default() });
            let requests = Some(QuotaHint { limit: self.limits.0, reset, ..QuotaHint::default() });
            let hint = Hint { requests, tokens, ..Hint::default() };
            self.lane.observe(&mut debit, &hint, now);
        }
        match job.fate {
            Fate::Answered => {
                let (input, output) = (Tokens::new(job.input), Tokens::new(job.output));
                self.lane.settle(debit, &Usage { input, output, ..Usage::default() }, now);
            }
            Fate::Refused => self.lane.refused(debit, now),
            Fate::Cancelled => self.lane.cancel(debit),
            Fate::Lost => self.lane.keep(debit, now),
        }
    }

    /// Adds up every window that ends with the latest arrival.
    fn check(&self) -> Result<(), TestCaseError> {
        let now = self.now;
        let all = || self.arrivals.iter().flatten().filter(move |arrival| arrival.at <= now);
        let sums = |from: Duration| {
            let those = all().filter(|arrival| arrival.at >= from);
            those.fold((0, 0), |(r, t), arrival| (r + arrival.requests, t + arrival.tokens))
        };
        match self.law {
            Law::Sliding => {
                let after = now.saturating_sub(MINUTE - Duration::from_nanos(1));
                self.within(sums(after))?;
            }
            Law::Fixed(phase) => self.within(sums(now.saturating_sub(into_window(now, phase))))?,
            Law::Bucket => {
                for from in all() {
                    let (requests, tokens) = sums(from.at);
                    let span = (now - from.at).as_secs_f64() / MINUTE.as_secs_f64();
                    let most = |limit: u64| {
                        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                        let limit = limit as f64;
                        limit * (1.0 + span) + 1e-3
                    };
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let sums = (requests as f64, tokens as f64);
                    prop_assert!(sums.0 <= most(self.limits.0), "{sums:?} since {:?}", from.at);
                    prop_assert!(sums.1 <= most(self.limits.1), "{sums:?} since {:?}", from.at);
                }
            }
        }
        Ok(())
    }

    fn within(&self, (requests, tokens): (u64, u64)) -> Result<(), TestCaseError> {
        prop_assert!(
            requests <= self.limits.0,
            "{requests} requests in a window at {:?}",
            self.now
        );
        prop_assert!(tokens <= self.limits.1, "{tokens} tokens in a window at {:?}", self.now);
        Ok(())
    }
}

/// Returns how long the window that holds `at` has lasted.
fn into_window(at: Duration, phase: Duration) -> Duration {
    let into = (at + MINUTE - phase).as_nanos() % MINUTE.as_nanos();
    Duration::from_nanos(u64::try_from(into).unwrap_or(0))
}

fn charge(charging: Charging, job: &Job) -> u64 {
    match charging {
        Charging::Max => job.input.max(job.bound),
        _ => job.input + job.bound,
    }
}

fn demand(job: &Job) -> Demand {
    Demand {
        requests: Requests::ONE,
        input: Tokens::new(job.input),
        output_bound: Some(Tokens::new(job.bound)),
        characters: job.input * 4,
        images: 0,
        method: Method::Exact,
    }
}

fn limits() -> impl Strategy<Value = (u64, u64)> {
    (1..40_u64, 1..3_000_u64)
}

fn charging() -> impl Strategy<Value = Charging> {
    prop_oneof![Just(Charging::Max), Just(Charging::Refund)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_sliding_window_is_over_its_limit(jobs in jobs(), limits in limits(), charging in charging()) {
        Run::new(Law::Sliding, charging, jobs, limits).play()?;
    }

    #[test]
    fn no_fixed_window_is_over_its_limit(
        jobs in jobs(),
        limits in limits(),
        charging in charging(),
        phase in 0..60_000_u64,
    ) {
        let law = Law::Fixed(Duration::from_millis(phase));
        Run::new(law, charging, jobs, limits).play()?;
    }

    #[test]
    fn no_span_of_a_bucket_grants_more_than_capacity_and_refill(
        jobs in jobs(),
        limits in limits(),
        charging in charging(),
    ) {
        Run::new(Law::Bucket, charging, jobs, limits).play()?;
    }
}

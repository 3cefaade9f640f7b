//! What the limits of one lane cost a request, with few and with many requests under way.
//!
//! `cargo bench --bench limit` prints nanoseconds of CPU and instructions per operation of `limit` alone, without
//! line, keys and locks (`--bench line` has these): to reserve, to note that it is sent, to take in what its answer's
//! headers say, to settle. It fails where ten thousand requests under way cost more than three times what
//! twenty do, where admission (reserve and sent) takes a microsecond with counting and charging configured, or
//! where reserve, sent and settle together take three with the whole bank. What headers cost comes with answers,
//! which nobody waits for in line.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use sluicegate::count::{Demand, Method};
use sluicegate::limit::{Charging, Counting, Debit, Hint, Lane, LaneSettings, QuotaHint, Spare};
use sluicegate::units::{Requests, Tokens, Usage};
use tokio::time::Instant;

#[path = "cost.rs"]
mod cost;

use cost::{Clock, ROUNDS, STILL, counted, cpu, instructions, lower, median, written};

/// Operations are timed in batches, so that reading the clock costs little.
const BATCH: usize = 50;
const BATCHES: usize = 2_000;

/// A lane whose ways are configured, or inferred.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    ways: Option<(Counting, Charging)>,
}

#[rustfmt::skip] // One case a line.
const CASES: [Case; 7] = [
    Case { name: "bucket, refund",  ways: Some((Counting::Bucket,  Charging::Refund)) },
    Case { name: "bucket, later",   ways: Some((Counting::Bucket,  Charging::Later)) },
    Case { name: "sliding, refund", ways: Some((Counting::Sliding, Charging::Refund)) },
    Case { name: "sliding, later",  ways: Some((Counting::Sliding, Charging::Later)) },
    Case { name: "fixed, refund",   ways: Some((Counting::Fixed,   Charging::Refund)) },
    Case { name: "fixed, later",    ways: Some((Counting::Fixed,   Charging::Later)) },
    Case { name: "whole bank",      ways: None },
];

/// So many requests are under way.
const FEW: u32 = 20;
const MANY: u32 = 10_000;

fn main() {
    if let Some((name, operations)) = counted() {
        let case = CASES.into_iter().find(|case| case.name == name).expect("a case");
        World::new(case, FEW).play(operations / BATCH, STILL);
        return;
    }
    let mut costs = CASES.map(|case| (case, [Costs([f64::INFINITY; 4]); 2]));
    for _ in 0..ROUNDS {
        for (case, [few, many]) in &mut costs {
            lower(&mut few.0, World::new(*case, FEW).play(BATCHES, cpu));
            lower(&mut many.0, World::new(*case, MANY).play(BATCHES, cpu));
        }
    }
    println!("ns of CPU per operation, {FEW} under way | {MANY} | ratio");
    let mut slow = Vec::new();
    for (case, [few, many]) in costs {
        let ratio = many.all() / few.all();
        let counted = written(instructions(case.name));
        println!("{}: {few} | {many} | {ratio:.2} | {counted} in all", case.name);
        if ratio > 3.0 {
            slow.push(format!("{}: {ratio:.2} times", case.name));
        }
        let (cost, most) = match case.ways {
            Some(_) => (few.admission().max(many.admission()), 1_000.0),
            None => (few.all().max(many.all()), 3_000.0),
        };
        if !cfg!(debug_assertions) && cost >= most {
            slow.push(format!("{}: {cost:.0} ns, at most {most}", case.name));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}

/// Nanoseconds of CPU to reserve, to note as sent, to take in headers, to settle.
#[derive(Debug, Clone, Copy)]
struct Costs([f64; 4]);

impl Costs {
    /// What is done before a request goes.
    fn admission(&self) -> f64 {
        let [reserve, sent, ..] = self.0;
        reserve + sent
    }

    fn all(&self) -> f64 {
        let [.., settle] = self.0;
        self.admission() + settle
    }
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [reserve, sent, headers, settle] = self.0;
        write!(f, "reserve {reserve:.0} sent {sent:.0} headers {headers:.0} settle {settle:.0}")
    }
}

/// A lane in which as many requests are always open, the oldest of them sent 30 s ago, and which is never
/// short, so that every try is a debit.
struct World {
    lane: Lane,
    open: VecDeque<Debit>,
    gap: Duration,
    now: Instant,
}

const REQUESTS: u64 = 1_000_000_000;
const TOKENS: u64 = 1_000_000_000_000;

impl World {
    fn new(case: Case, under_way: u32) -> Self {
        let settings = LaneSettings {
            requests_per_minute: Some(REQUESTS),
            tokens_per_minute: Some(TOKENS),
            requests_per_day: Some(1_000 * REQUESTS),
            counting: case.ways.map(|(counting, _)| counting),
            charging: case.ways.map(|(_, charging)| charging),
            ..LaneSettings::default()
        };
        let epoch = Instant::now();
        let mut lane = Lane::new(settings, epoch);
        let gap = Duration::from_secs(30) / under_way;
        let mut now = epoch + Duration::from_secs(60);
        let mut open = VecDeque::new();
        for _ in 0..under_way {
            now += gap;
            open.push_back(send(&mut lane, now));
        }
        Self { lane, open, gap, now }
    }

    fn play(mut self, batches: usize, clock: Clock) -> [f64; 4] {
        let (demand, hint) = (demand(), hint());
        let usage = Usage { input: Tokens::new(60), output: Tokens::new(140), ..Usage::default() };
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..batches {
            let mut fresh = Vec::with_capacity(BATCH);
            // What is admitted is sent at once: time passes between batches.
            self.now += self.gap * u32::try_from(BATCH).unwrap_or(1);
            let begin = clock();
            for _ in 0..BATCH {
                self.now += Duration::from_micros(1);
                let debit = self.lane.try_reserve(black_box(&demand), Spare::default(), self.now);
                fresh.push(debit.expect("there is room"));
            }
            let reserved = clock();
            for debit in &mut fresh {
                self.lane.sent(black_box(debit), self.now);
            }
            let sent = clock();
            self.open.extend(fresh);
            let mut oldest: Vec<Debit> = self.open.drain(..BATCH).collect();
            let answered = clock();
            for debit in &mut oldest {
                self.lane.observe(debit, black_box(&hint), self.now);
            }
            let observed = clock();
            for debit in oldest {
                self.lane.settle(debit, black_box(&usage), self.now);
            }
            let settled = clock();
            let spans =
                [reserved - begin, sent - reserved, observed - answered, settled - observed];
            for (all, span) in times.iter_mut().zip(spans) {
                all.push(span);
            }
        }
        black_box(self.lane.headroom(self.now));
        times.map(|spans| median(spans, BATCH))
    }
}

/// Headers as OpenAI writes them, of a provider at which nothing is used.
fn hint() -> Hint {
    let full = |limit| {
        let (remaining, reset) = (Some(limit), Some(Duration::ZERO));
        Some(QuotaHint { limit, remaining, reset, ..QuotaHint::default() })
    };
    let processing = Some(Duration::from_millis(200));
    Hint { requests: full(REQUESTS), tokens: full(TOKENS), processing, ..Hint::default() }
}

fn send(lane: &mut Lane, now: Instant) -> Debit {
    // The caution before the first answer grows with time, so ask until it lets this many go.
    let mut at = now;
    loop {
        if let Ok(mut debit) = lane.try_reserve(&demand(), Spare::default(), at) {
            lane.sent(&mut debit, at);
            return debit;
        }
        at += Duration::from_secs(5);
    }
}

fn demand() -> Demand {
    Demand {
        requests: Requests::ONE,
        input: Tokens::new(60),
        output_bound: Some(Tokens::new(1_000)),
        characters: 240,
        images: 0,
        method: Method::Exact,
    }
}

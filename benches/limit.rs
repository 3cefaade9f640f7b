//! What it costs to admit, send and settle a request, with few and with many requests under way.
//!
//! `cargo bench --bench limit` prints nanoseconds per operation and fails where ten thousand
//! requests under way cost more than three times what twenty do, or where admission takes a
//! microsecond.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use sluicegate::count::{Demand, Method};
use sluicegate::limit::{Charging, Counting, Debit, Lane, LaneSettings, Spare};
use sluicegate::units::{Requests, Tokens, Usage};
use tokio::time::Instant;

/// Operations are timed in batches, so that reading the clock costs little.
const BATCH: usize = 20;
const BATCHES: usize = 5_000;

fn main() {
    println!("ns per operation: 20 under way | 10,000 under way | ratio");
    let mut slow = Vec::new();
    for counting in [Counting::Bucket, Counting::Sliding, Counting::Fixed] {
        for charging in [Charging::Refund, Charging::Later] {
            let few = measure(Some(counting), Some(charging), 20);
            let many = measure(Some(counting), Some(charging), 10_000);
            let ratio = many.all() / few.all();
            println!("{counting:?} {charging:?}: {few} | {many} | {ratio:.2}");
            if ratio > 3.0 {
                slow.push(format!("{counting:?} {charging:?}: {ratio:.2} times"));
            }
            if !cfg!(debug_assertions) && few.reserve.max(many.reserve) >= 1_000.0 {
                slow.push(format!("{counting:?} {charging:?}: a reservation takes a microsecond"));
            }
        }
    }
    let (few, many) = (measure(None, None, 20), measure(None, None, 10_000));
    let ratio = many.all() / few.all();
    println!("whole bank: {few} | {many} | {ratio:.2}");
    if ratio > 3.0 || (!cfg!(debug_assertions) && few.all().max(many.all()) >= 3_000.0) {
        slow.push(format!("the whole bank: {few}, {many}"));
    }
    assert!(slow.is_empty(), "{slow:?}");
}

/// Nanoseconds per operation.
struct Costs {
    reserve: f64,
    sent: f64,
    settle: f64,
}

impl Costs {
    fn all(&self) -> f64 {
        self.reserve + self.sent + self.settle
    }
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reserve, sent, settle } = self;
        write!(f, "reserve {reserve:.0} sent {sent:.0} settle {settle:.0}")
    }
}

/// Plays a lane in which `under_way` requests are always open, the oldest of them sent 30 s ago,
/// and which is never short, so that every try is a debit.
fn measure(counting: Option<Counting>, charging: Option<Charging>, under_way: u32) -> Costs {
    let settings = LaneSettings {
        requests_per_minute: Some(1_000_000_000),
        tokens_per_minute: Some(1_000_000_000_000),
        requests_per_day: Some(1_000_000_000_000),
        counting,
        charging,
        ..LaneSettings::default()
    };
    let epoch = Instant::now();
    let mut lane = Lane::new(settings, epoch);
    let gap = Duration::from_secs(30) / under_way;
    let mut now = epoch + Duration::from_secs(60);
    let mut open: VecDeque<Debit> = VecDeque::new();
    for _ in 0..under_way {
        now += gap;
        open.push_back(send(&mut lane, now));
    }
    let costs = play(&mut lane, &mut open, gap, &mut now);
    black_box(lane.headroom(now));
    costs
}

fn play(lane: &mut Lane, open: &mut VecDeque<Debit>, gap: Duration, now: &mut Instant) -> Costs {
    let demand = demand();
    let usage = Usage { input: Tokens::new(60), output: Tokens::new(140), ..Usage::default() };
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..BATCHES {
        let begin = Instant::now();
        let mut fresh = Vec::with_capacity(BATCH);
        for _ in 0..BATCH {
            *now += gap;
            fresh.push(
                lane.try_reserve(black_box(&demand), Spare::default(), *now)
                    .expect("there is room"),
            );
        }
        let reserved = Instant::now();
        for debit in &mut fresh {
            lane.sent(black_box(debit), *now);
        }
        let sent = Instant::now();
        open.extend(fresh);
        let oldest = open.drain(..BATCH);
        let settling = Instant::now();
        for debit in oldest {
            lane.settle(debit, black_box(&usage), *now);
        }
        let settled = Instant::now();
        let spans = [reserved - begin, sent - reserved, settled - settling];
        for (all, span) in times.iter_mut().zip(spans) {
            all.push(span);
        }
    }
    let [reserve, sent, settle] = times.map(median);
    Costs { reserve, sent, settle }
}

/// Returns the median of the batches in nanoseconds per operation: who else uses the machine
/// lengthens some of them, not most.
fn median(mut batches: Vec<Duration>) -> f64 {
    batches.sort_unstable();
    let middle = batches.get(batches.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64() * 1e9 / f64::from(u32::try_from(BATCH).unwrap_or(1))
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

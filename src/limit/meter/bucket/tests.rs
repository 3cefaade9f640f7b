use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

/// The law, with a record per debit: the level if every amount had been known from the start.
struct Journal {
    cap: i128,
    rate: i128,
    debits: Vec<(Moment, i128)>,
}

impl Journal {
    fn new(limit: u64) -> Self {
        let (cap, rate) = (i128::from(limit) * i128::from(MINUTE), i128::from(limit));
        Self { cap, rate, debits: Vec::new() }
    }

    fn level(&self, now: Moment) -> i128 {
        let (mut level, mut at) = (self.cap, Moment::default());
        for (time, amount) in &self.debits {
            level = self.cap.min(level + self.rate * i128::from(time.since(at))) - amount;
            at = *time;
        }
        self.cap.min(level + self.rate * i128::from(now.since(at)))
    }
}

fn at(seconds: u64) -> Moment {
    Moment(seconds * SECOND)
}

#[test]
fn tells_exactly_when_there_is_room() {
    struct Case {
        name: &'static str,
        spent: u64,
        wanted: u64,
        at: u64,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { name: "full, all of it",    spent: 0,    wanted: 600, at: 10 },
        Case { name: "what is left",       spent: 500,  wanted: 100, at: 10 },
        Case { name: "ten tokens short",   spent: 500,  wanted: 110, at: 11 },
        Case { name: "empty, want half",   spent: 600,  wanted: 300, at: 40 },
        Case { name: "a minute in debt",   spent: 1200, wanted: 60,  at: 76 },
    ];
    for case in cases {
        let mut bucket = Bucket::full(600, MINUTE, at(0));
        bucket.debit(case.spent, at(10), 0);
        assert_eq!(bucket.when(case.wanted, at(10)), at(case.at), "{}", case.name);
    }
}

#[test]
fn a_request_that_left_a_full_bucket_late_lost_the_refill_until_then() {
    let mut bucket = Bucket::full(600, MINUTE, at(0));
    bucket.debit(300, at(10), SECOND);
    bucket.debit(100, at(13), SECOND);
    assert_eq!(bucket.arrived(at(13), 2 * SECOND, at(15)), 0.0, "it was not full any more");
    assert_eq!(bucket.arrived(at(10), 3 * SECOND, at(15)), 20.0);
    assert_eq!(bucket.arrived(at(10), 2 * SECOND, at(15)), 0.0, "it is counted once");
    // Full until second 13, then 100 of it used and two seconds refilled.
    assert_eq!(bucket.level(at(15)), 600 - 400 + 20);
}

#[test]
fn a_late_credit_of_a_bucket_that_was_full_since_gives_nothing() {
    let mut bucket = Bucket::full(600, MINUTE, at(0));
    bucket.debit(300, at(0), 0);
    bucket.debit(600, at(30), 0);
    bucket.credit(300, at(0), at(30));
    assert_eq!(bucket.level(at(30)), 0, "or 900 tokens would be granted in one instant");
}

#[test]
fn a_late_debit_costs_nothing_that_the_cap_had_cut_off() {
    let mut bucket = Bucket::full(600, MINUTE, at(0));
    bucket.debit(100, at(0), 0);
    bucket.debit(600, at(20), 0);
    bucket.debit_late(100, at(0), at(20));
    assert_eq!(bucket.level(at(20)), 0, "the refill of 100 tokens had been cut off at the cap");
    bucket.debit_late(100, at(0), at(20));
    assert_eq!(bucket.level(at(20)), -100, "it is cut off only once");
}

#[test]
fn credits_of_a_burst_count_in_full() {
    let mut bucket = Bucket::full(1000, MINUTE, at(0));
    for _ in 0..10 {
        bucket.debit(100, at(0), 0);
    }
    for _ in 0..10 {
        bucket.credit(90, at(0), at(3));
    }
    assert_eq!(bucket.level(at(3)), 950, "900 come back on top of 50 refilled");
}

#[test]
fn a_full_bucket_does_not_refill_while_the_request_may_be_on_its_way() {
    let mut bucket = Bucket::full(60, MINUTE, at(0));
    bucket.debit(10, at(5), 2 * SECOND);
    assert_eq!(bucket.level(at(7)), 50, "the provider may have been full until now");
    assert_eq!(bucket.level(at(8)), 51, "from here on it refills");
    let busy = bucket.when(60, at(8));
    bucket.debit(10, at(8), 2 * SECOND);
    assert_eq!(bucket.when(50, at(8)), busy, "a bucket with room refills there as here");
}

#[test]
fn stretches_stay_bounded() {
    let mut bucket = Bucket::full(1000, MINUTE, at(0));
    for i in 0..100_000 {
        bucket.debit(1, Moment(i * 7_777_777), 0);
    }
    assert!(bucket.stretches.len() <= PLACES, "{} stretches", bucket.stretches.len());
}

/// Gap in milliseconds, guess, used, how many steps later it is settled.
type Request = (u64, u64, u64, usize);

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let gap = prop_oneof![Just(0), 0..50_u64, 0..20_000_u64];
    prop::collection::vec((gap, 0..400_u64, 0..600_u64, 0..40_usize), 1..90)
}

/// Plays requests with guesses that are corrected later and checks every level against the journal.
fn play(limit: u64, requests: &[Request], slack: i128) -> Result<(), TestCaseError> {
    let mut now = Moment::default();
    let mut bucket = Bucket::full(limit, MINUTE, now);
    let mut journal = Journal::new(limit);
    let mut open: Vec<(usize, usize, Request)> = Vec::new();
    for (step, request) in requests.iter().enumerate() {
        let (gap, guess, _, later) = *request;
        now = now.plus(gap * 1_000_000);
        bucket.debit(guess, now, 0);
        open.push((step + later, journal.debits.len(), *request));
        journal.debits.push((now, i128::from(guess) * i128::from(MINUTE)));
        let end = step + 1 == requests.len();
        let (due, rest): (Vec<_>, _) =
            open.into_iter().partition(|(when, ..)| end || *when <= step);
        open = rest;
        for (_, index, (_, guess, used, _)) in due.into_iter().rev() {
            let since = journal.debits[index].0;
            if used < guess {
                bucket.credit(guess - used, since, now);
            } else {
                bucket.debit_late(used - guess, since, now);
            }
            journal.debits[index].1 = i128::from(used) * i128::from(MINUTE);
            let (ours, exact) = (bucket.level_at(now), journal.level(now));
            prop_assert!(ours <= exact, "{ours} is above {exact}");
            prop_assert!(ours >= exact - slack, "{ours} is far below {exact}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Guessing and settling, in whatever order, is never better than having known.
    #[test]
    fn no_order_of_settling_raises_the_level(limit in 1..50_000_u64, requests in requests()) {
        play(limit, &requests, i128::MAX / 2)?;
    }

    /// While every debit has a stretch of its own it is exactly as good.
    #[test]
    fn few_debits_settle_exactly(limit in 1..5_000_u64, requests in requests()) {
        let mut few = requests;
        few.truncate(FINE);
        for request in &mut few {
            request.0 = request.0.max(1);
        }
        play(limit, &few, 0)?;
    }

    /// Over any span no more is granted than the capacity and the refill.
    #[test]
    fn grants_never_exceed_capacity_and_refill(
        limit in 1..5_000_u64,
        requests in requests(),
    ) {
        let mut now = Moment::default();
        let mut bucket = Bucket::full(limit, MINUTE, now);
        let mut granted: Vec<(Moment, u64)> = Vec::new();
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (step, (gap, guess, used, later)) in requests.into_iter().enumerate() {
            now = now.plus(gap * 1_000_000);
            if guess > limit || bucket.when(guess, now) > now {
                continue;
            }
            bucket.debit(guess, now, 0);
            granted.push((now, guess));
            if used < guess {
                open.push((step + later, granted.len() - 1));
            }
            // Some are cancelled later.
            let (due, rest): (Vec<_>, _) = open.into_iter().partition(|(when, _)| *when <= step);
            open = rest;
            for (_, index) in due {
                let (since, amount) = granted[index];
                bucket.credit(amount, since, now);
                granted[index].1 = 0;
            }
        }
        for (i, (from, _)) in granted.iter().enumerate() {
            let mut sum = 0;
            for (to, amount) in &granted[i..] {
                sum += u128::from(*amount);
                let refill = u128::from(limit) * u128::from(to.since(*from));
                let most = u128::from(limit) * u128::from(MINUTE) + refill;
                prop_assert!(sum * u128::from(MINUTE) <= most, "{sum} between {from:?} and {to:?}");
            }
        }
    }
}

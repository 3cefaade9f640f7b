//! Sums by hour and day say what the entries say, whatever happens while they are booked.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::booking::{closing, opening};
use super::home::Home;
use crate::clock::WallClock;
use crate::config::Durability;
use crate::ledger::base::Base;
use crate::ledger::link::Statement;
use crate::ledger::pen::Pen;
use crate::ledger::row::{Row, Value};
use crate::ledger::{Closing, Ledger, Reading, Store, StoreError};
use crate::report::Range;
use crate::units::{AppName, Party, PicoUsd};

/// 2026-11-22T00:00:00Z.
const MIDNIGHT: u64 = 1_795_305_600_000;
const HOUR: u64 = 3_600_000;

/// What an attempt of a test is.
#[derive(Debug, Clone)]
struct Attempt {
    app: u8,
    /// When it is booked, in milliseconds from midnight on.
    at: u64,
    output: u64,
    /// Whether its price is known.
    is_priced: bool,
    attempt: u32,
}

impl Attempt {
    fn row(&self, run: i64, seq: i64, is_booked: bool) -> Row {
        let start = Instant::now();
        let clock = WallClock::anchored(start, Duration::from_millis(MIDNIGHT + self.at));
        let mut opening = opening(&format!("sg_{seq}"));
        opening.attempt = self.attempt;
        opening.expected = self.is_priced.then(|| PicoUsd::new(1_000));
        opening.party = Party::usual(AppName::new(format!("app-{}", self.app)));
        (opening.sent, opening.arrived) = (start, start);
        let cost = self.is_priced.then(|| PicoUsd::new(self.output * 7));
        let closing = Closing { at: start, head_at: Some(start), cost, ..closing(self.output) };
        Pen::default().row((run, seq), &opening, is_booked.then_some(&closing), clock)
    }
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (0..3_u8, 0..50 * HOUR, 0..1_000_u64, any::<bool>(), 1..3_u32).prop_map(
        |(app, at, output, is_priced, attempt)| Attempt { app, at, output, is_priced, attempt },
    )
}

/// What happens to the books.
#[derive(Debug, Clone)]
enum Event {
    /// These are sent, by their places.
    Send(Vec<prop::sample::Index>),
    /// These are booked, whether they were before or not.
    Book(Vec<prop::sample::Index>),
    /// The same, and the program dies after so many steps; it may be done or not.
    Die(Vec<prop::sample::Index>, usize),
    /// What is open is lost.
    Lose,
}

fn event() -> impl Strategy<Value = Event> {
    let some = || prop::collection::vec(any::<prop::sample::Index>(), 1..40);
    prop_oneof![
        2 => some().prop_map(Event::Send),
        4 => some().prop_map(Event::Book),
        2 => (some(), 0..40_usize).prop_map(|(some, steps)| Event::Die(some, steps)),
        1 => Just(Event::Lose),
    ]
}

const RUN: i64 = 7;

fn rows(attempts: &[Attempt], some: &[prop::sample::Index], is_booked: bool) -> Vec<Row> {
    let places: std::collections::BTreeSet<usize> =
        some.iter().map(|index| index.index(attempts.len())).collect();
    let row = |at: usize| attempts[at].row(RUN, i64::try_from(at).expect("small"), is_booked);
    places.into_iter().map(row).collect()
}

async fn happens(base: &mut Base, store: &Store, attempts: &[Attempt], event: &Event) {
    match event {
        Event::Send(some) => {
            base.write(&rows(attempts, some, false)).await.expect("written");
        }
        Event::Book(some) => {
            base.write(&rows(attempts, some, true)).await.expect("written");
        }
        Event::Lose => {
            base.book_lost(RUN).await.expect("written");
        }
        Event::Die(some, steps) => {
            let rows = rows(attempts, some, true);
            let mut dying = std::mem::replace(base, Base::new(store.clone(), Durability::Strict));
            let mut writing = pin!(dying.write(&rows));
            for _ in 0..*steps {
                tokio::select! {
                    biased;
                    written = &mut writing => {
                        written.expect("written");
                        break;
                    }
                    () = tokio::task::yield_now() => {}
                }
            }
        }
    }
}

/// By hour, facet and ending: attempts, first ones, input, output, cost, those without one, their tokens.
type Sums = BTreeMap<(i64, i64, String), [i64; 7]>;

async fn sums(home: &Home, sql: &'static str) -> Sums {
    let rows = home.ask(sql).await;
    let number = |value: &Value| value.as_number().expect("a number");
    let row = |row: &Vec<Value>| {
        let key = (number(&row[0]), number(&row[1]), row[2].as_text().expect("a word").to_owned());
        let mut sums = [0; 7];
        sums.iter_mut().zip(&row[3..]).for_each(|(sum, value)| *sum = number(value));
        (key, sums)
    };
    rows.iter().map(row).collect()
}

const ENTERED: &str = "SELECT booked_ms / 3600000, facet, ending, COUNT(*), \
    CAST(SUM(CASE WHEN attempt = 1 THEN 1 ELSE 0 END) AS BIGINT), CAST(SUM(input) AS BIGINT), \
    CAST(SUM(output) AS BIGINT), CAST(COALESCE(SUM(cost_pico), 0) AS BIGINT), \
    CAST(SUM(CASE WHEN cost_pico IS NULL THEN 1 ELSE 0 END) AS BIGINT), \
    CAST(SUM(CASE WHEN cost_pico IS NULL THEN input + output ELSE 0 END) AS BIGINT) \
    FROM entries WHERE booked_ms IS NOT NULL GROUP BY booked_ms / 3600000, facet, ending";
const ROLLED: &str = "SELECT hour, facet, ending, attempts, requests, input, output, cost_pico, unknown, unknown_tokens \
    FROM rollups WHERE span = 1";
const BY_DAY: &str = "SELECT hour, facet, ending, attempts, requests, input, output, cost_pico, unknown, unknown_tokens \
    FROM rollups WHERE span = 24";

/// Returns the sums of days that hours come to.
fn days(hours: &Sums) -> Sums {
    let mut days = Sums::new();
    for ((hour, facet, ending), sums) in hours {
        let day = days.entry((hour / 24 * 24, *facet, ending.clone())).or_default();
        day.iter_mut().zip(sums).for_each(|(day, hour)| *day += hour);
    }
    days
}

fn range(from: u64, to: u64) -> Range {
    let moment = |at: u64| Duration::from_millis(MIDNIGHT + at);
    Range { begin: moment(from), end: moment(to) }
}

/// What is told of a range: attempts, tokens, cost, those without one.
async fn told(reading: &mut Reading, range: Range) -> [u64; 4] {
    let mut sum = [0; 4];
    for line in reading.lines(range).await.expect("readable") {
        let it = line.sums;
        let more = [it.attempts, it.total_tokens().count(), it.cost.pico(), it.unknown];
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    sum
}

/// The same of the entries themselves.
async fn entered(home: &Home, range: Range) -> [u64; 4] {
    let all = home.ask("SELECT booked_ms, input + output, cost_pico FROM entries").await;
    let mut sum = [0; 4];
    for row in all {
        let Some(at) = row[0].as_number() else { continue };
        let at = Duration::from_millis(u64::try_from(at).expect("after 1970"));
        if range.begin <= at && at < range.end {
            let count =
                |at: usize| row[at].as_number().map_or(0, |it| u64::try_from(it).expect("a count"));
            let more = [1, count(1), count(2), u64::from(row[2].as_number().is_none())];
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is sent, booked, booked again, cut off and lost: each booked entry counts once in its hour and
    /// once in its day, and what a report tells of any time is the sum of the entries in it.
    #[test]
    fn entries_hours_days_and_reports_have_the_same_sums(
        attempts in prop::collection::vec(attempt(), 1..60),
        events in prop::collection::vec(event(), 1..12),
        ranges in prop::collection::vec((0..50 * HOUR, 1..50 * HOUR), 1..4),
    ) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        runtime.block_on(async {
            let home = Home::new().await;
            let store = home.open().await;
            let mut base = Base::new(store.clone(), Durability::Strict);
            for event in &events {
                happens(&mut base, &store, &attempts, event).await;
            }
            // Whoever is dropped in the middle may still be at it.
            base.book_lost(RUN).await.expect("written");
            let hours = sums(&home, ENTERED).await;
            prop_assert_eq!(&sums(&home, ROLLED).await, &hours);
            prop_assert_eq!(sums(&home, BY_DAY).await, days(&hours));
            let mut reading = Reading::of(store.clone());
            for (from, long) in ranges {
                let range = range(from, from + long);
                prop_assert_eq!(told(&mut reading, range).await, entered(&home, range).await);
            }
            let all = entered(&home, Range::ALL).await;
            prop_assert_eq!(told(&mut reading, Range::ALL).await, all);
            // Old entries may go: what they came to stays, in whole hours.
            while store.forget_entries(Range::ALL.end, 7, &Ledger::default()).await.expect("writable") > 0 {}
            let kept = home.ask("SELECT COUNT(*) FROM entries").await;
            prop_assert_eq!(kept[0][0].as_number(), Some(0));
            prop_assert_eq!(told(&mut reading, Range::ALL).await, all);
            let [one, other] = [range(0, 90_000), range(90_000, 60 * HOUR)];
            let mut both = told(&mut reading, one).await;
            let rest = told(&mut reading, other).await;
            both.iter_mut().zip(rest).for_each(|(sum, more)| *sum += more);
            prop_assert_eq!(both, all, "an hour without entries is on one side of a cut");
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn only_what_is_old_and_booked_is_forgotten_and_budgets_keep_it() {
    // What is under way counts as what it may cost, 1,000, what is booked as 70.
    let home = Home::new().await;
    let store = home.open().await;
    let mut base = Base::new(store.clone(), Durability::Strict);
    let attempt = |hour: u64| Attempt {
        app: 1,
        at: hour * HOUR + 5,
        output: 10,
        is_priced: true,
        attempt: 1,
    };
    let rows: Vec<Row> =
        (0..40_i64).map(|n| attempt(n.unsigned_abs()).row(RUN, n, n % 2 == 0)).collect();
    base.write(&rows).await.expect("written");
    let since = |hours: u64| Duration::from_millis(MIDNIGHT + hours * HOUR);
    let spent = async |since: Duration| -> u64 {
        store
            .spent(since, Range::ALL.end)
            .await
            .expect("readable")
            .iter()
            .map(|spent| spent.cost.pico())
            .sum()
    };
    let nobody = Ledger::default();
    assert_eq!(spent(Duration::ZERO).await, 20 * 1_070);
    assert_eq!(spent(since(30)).await, 5 * 1_070);
    assert_eq!(
        store.forget_entries(since(30), 10, &nobody).await.expect("writable"),
        10,
        "in steps"
    );
    assert_eq!(store.forget_entries(since(30), 10, &nobody).await.expect("writable"), 5);
    assert_eq!(store.forget_entries(since(30), 10, &nobody).await.expect("writable"), 0);
    let left = home.ask("SELECT COUNT(*), COUNT(booked_ms) FROM entries").await;
    assert_eq!(left[0], [Value::from(25), Value::from(5)], "what is under way stays");
    assert_eq!(spent(Duration::ZERO).await, 20 * 1_070);
    assert_eq!(spent(since(10)).await, 15 * 1_070);
}

fn change(row: &mut Row, how: impl FnOnce(&mut Vec<Value>)) {
    let mut entry = row.entry.to_vec();
    how(&mut entry);
    row.entry = entry.into();
}

#[tokio::test]
async fn money_beyond_measure_stays_at_the_most() {
    let home = Home::new().await;
    let store = home.open().await;
    let mut base = Base::new(store.clone(), Durability::Strict);
    for seq in 0..3 {
        let mut row =
            Attempt { app: 1, at: 0, output: 1, is_priced: true, attempt: 1 }.row(RUN, seq, true);
        change(&mut row, |entry| entry[34] = Value::from(i64::MAX));
        base.write(&[row]).await.expect("written");
    }
    let sums = home.ask("SELECT MAX(cost_pico), MIN(cost_pico) FROM rollups").await;
    assert_eq!(sums[0], [Value::from(i64::MAX), Value::from(i64::MAX)]);
}

#[tokio::test]
async fn a_request_is_found_by_either_id() {
    let home = Home::new().await;
    let store = home.open().await;
    let mut base = Base::new(store.clone(), Durability::Strict);
    let attempt = |n| Attempt { app: 2, at: 5, output: 10, is_priced: true, attempt: n };
    let mut rows = vec![
        attempt(1).row(RUN, 1, true),
        attempt(2).row(RUN, 2, true),
        attempt(1).row(RUN, 3, false),
    ];
    change(&mut rows[1], |entry| {
        entry[2] = Value::from("sg_1");
        entry[11] = Value::from("req_9");
    });
    base.write(&rows).await.expect("written");
    let mut reading = Reading::of(store);
    for id in ["sg_1", "req_9"] {
        let entries = reading.entries(id, Range::ALL).await.expect("readable");
        let found: Vec<_> = entries.iter().map(|it| (&*it.request, it.attempt)).collect();
        assert_eq!(found, [("sg_1", 1), ("sg_1", 2)]);
        assert_eq!(&*entries[1].facet.app, "app-2");
        assert_eq!(entries[1].booking.as_ref().map(|it| it.usage.output.count()), Some(10));
    }
    let open = reading.entries("sg_3", Range::ALL).await.expect("readable");
    assert_eq!(open.iter().map(|it| it.booking.is_none()).collect::<Vec<_>>(), [true]);
    assert_eq!(reading.entries("sg_4", Range::ALL).await.expect("readable"), []);
}

/// Two entries that are booked, one of them at no known cost, as a program wrote them that had no sums.
const BOOKED: &str = "INSERT INTO entries (run, seq, facet, request, attempt, sent_ms, queued_ms, est_input, \
    est_method, booked_ms, ending, cost_pico, input, cached, cache_write, output, reasoning, input_audio, \
    input_image, output_audio, output_image, cached_audio, cached_image, cache_write_long, heard_ms, spoken, images, \
    searches) VALUES \
    (1, 2, 3, 'sg_a', 1, 1795305600000, 0, 11, 'exact', 1795305601000, 'complete', 700, \
     5, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), \
    (1, 3, 3, 'sg_b', 1, 1795305600000, 0, 11, 'exact', 1795309201000, 'complete', NULL, \
     7, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)";

#[tokio::test]
async fn what_was_booked_before_there_were_sums_is_in_them() {
    let home = Home::new().await;
    home.make_by_first(3).await;
    let older = home.store(Duration::from_secs(5)).expect("it is there");
    older.write(vec![Statement::new(BOOKED, [])]).await.expect("it is right");
    older.close().await;
    if home.is_file() {
        let error = Store::look(home.path()).await.expect_err("who only reads changes nothing");
        assert!(matches!(error, StoreError::Older { .. }), "{error}");
    }
    let mut reading = Reading::of(home.open().await);
    assert_eq!(told(&mut reading, Range::ALL).await, [2, 26, 700, 1]);
    assert_eq!(told(&mut reading, range(0, HOUR)).await, [1, 11, 700, 0]);
    assert_eq!(told(&mut reading, range(0, 24 * HOUR)).await, [2, 26, 700, 1]);
    if home.is_file() {
        let looked = Store::look(home.path()).await.expect("it is up to date");
        assert_eq!(told(&mut Reading::of(looked), Range::ALL).await, [2, 26, 700, 1]);
    }
}

//! From what is left to be booked to what stands in the store.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::home::Home;
use crate::clock::WallClock;
use crate::config::{Durability, WhenFull};
use crate::count::{Demand, Method};
use crate::ledger::pen::Pen;
use crate::ledger::reread::Looked;
use crate::ledger::spill::Spill;
use crate::ledger::{Clerk, Closing, Fate, Ledger, Opened, Opening, SPILL_BYTES, Terms, catch_up};
use crate::units::{AppName, Choice, Party, PicoUsd, Requests, Served, Tokens, Usage};

/// Far longer than anything takes that goes right.
pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) fn terms(folder: &Path) -> Terms {
    Terms {
        durability: Durability::Strict,
        when_full: WhenFull::Refuse,
        spill_dir: folder.to_owned(),
        spill_bytes: SPILL_BYTES,
    }
}

pub(super) fn opening(request: &str) -> Opening {
    let now = Instant::now();
    Opening {
        request: request.into(),
        attempt: 1,
        sent: now,
        arrived: now,
        queued: Duration::from_millis(7),
        waited_for: None,
        chosen: Choice::default(),
        party: Party::usual(AppName::new("notebook")),
        uri: http::Uri::from_static("/v1/chat/completions"),
        led: 0,
        endpoint: None,
        model: "gpt-4o".into(),
        sent_model: "gpt-4o".into(),
        upstream: Some("openai".into()),
        account: Some("main".into()),
        key: Some("first".into()),
        demand: Demand {
            requests: Requests::ONE,
            input: Tokens::new(11),
            output_bound: Some(Tokens::new(64)),
            characters: 0,
            images: 0,
            method: Method::Exact,
        },
        expected: None,
    }
}

pub(super) fn closing(output: u64) -> Closing {
    Closing {
        at: Instant::now(),
        head_at: Some(Instant::now()),
        status: 200,
        fate: Fate::Complete,
        usage: Usage { input: Tokens::new(10), output: Tokens::new(output), ..Usage::NONE },
        method: Method::Exact,
        cost: Some(PicoUsd::new(1_000_000 * output)),
        served: Served::default(),
        provider_id: None,
    }
}

/// Of an entry: request, ending, output and cost.
pub(super) type Line = (String, Option<String>, i64, Option<i64>);

/// Returns what is known of each entry.
pub(super) async fn entries(home: &Home) -> Vec<Line> {
    let sql = "SELECT request, ending, output, cost_pico FROM entries ORDER BY request";
    let lines = home.ask(sql).await.into_iter().map(|row| {
        let text = |at: usize| row[at].as_text().map(str::to_owned);
        let output = row[2].as_number().expect("a number");
        (text(0).expect("a name"), text(1), output, row[3].as_number())
    });
    lines.collect()
}

fn complete(request: &str, output: i64) -> Line {
    (request.to_owned(), Some("complete".to_owned()), output, Some(1_000_000 * output))
}

fn lost(request: &str) -> Line {
    (request.to_owned(), Some("lost".to_owned()), 64, None)
}

/// Waits until the store has what `is_so` asks for.
pub(super) async fn until<T>(home: &Home, is_so: impl Fn(&[Line]) -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = is_so(&entries(home).await) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, waiting).await.expect("the store gets it")
}

#[tokio::test]
async fn with_the_receipt_the_entry_is_in_the_store_or_beside_it() {
    let home = Home::new().await;
    let (ledger, store) = (Ledger::default(), home.open().await);
    let clerk = Clerk::keep(&ledger, store, terms(home.path()));
    let attempts: Vec<Opened> =
        (0..40).map(|n| ledger.open(opening(&format!("sg_{n:02}")))).collect();
    for (n, attempt) in (0..).zip(attempts) {
        attempt.close(closing(n)).await;
        let request = format!("sg_{n:02}");
        // In this order: it goes from here to there.
        let beside = Looked::at(home.path()).rows;
        let is_beside =
            beside.iter().any(|row| row.is_booked() && row.entry[2].as_text() == Some(&request));
        let all = entries(&home).await;
        let whole = complete(&request, i64::try_from(n).expect("small"));
        assert!(is_beside || all.contains(&whole), "{n}: {all:?}");
    }
    assert_eq!(ledger.state().expect("kept").open, 0);
    clerk.finish().await;
    let all = entries(&home).await;
    let whole: Vec<_> = (0..40).map(|n| complete(&format!("sg_{n:02}"), n)).collect();
    assert_eq!(all, whole);
    assert_eq!(Looked::at(home.path()).rows, []);
}

#[tokio::test]
async fn what_a_kill_left_beside_the_store_is_booked_before_anybody_asks() {
    let home = Home::new().await;
    let store = home.open().await;
    {
        // Two instances that were killed before the store had anything.
        let row = |run, request: &str, closing: Option<&Closing>| {
            Pen::default().row((run, 1), &opening(request), closing, WallClock::from_system())
        };
        let of_first = vec![row(1, "sg_a", Some(&closing(3)))];
        let of_second = vec![row(2, "sg_b", Some(&closing(4))), row(3, "sg_c", None)];
        let mut held = Vec::new();
        for (run, rows) in [(1, of_first), (2, of_second)] {
            let mut spill = Spill::take(home.path(), run, SPILL_BYTES).expect("a file").0;
            let frames = spill.frames(rows.iter());
            spill.write(&frames).expect("written");
            held.push(spill);
        }
    }
    catch_up(&store, home.path(), Durability::Strict).await;
    let open = ("sg_c".to_owned(), None, 0, None);
    assert_eq!(entries(&home).await, [complete("sg_a", 3), complete("sg_b", 4), open]);
    catch_up(&store, home.path(), Durability::Strict).await;
    assert_eq!(entries(&home).await.len(), 3, "once");
}

#[tokio::test]
async fn what_was_under_way_is_in_the_store_soon_and_lost_after_the_next_start() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let clerk = Clerk::keep(&ledger, store.clone(), terms(home.path()));
    let attempt = ledger.open(opening("sg_a"));
    until(&home, |all| (all.len() == 1).then_some(())).await;
    assert_eq!(entries(&home).await, [("sg_a".to_owned(), None, 0, None)]);
    clerk.finish().await;
    // What comes too late changes nothing any more.
    let _receipt = attempt.close(closing(3));
    let ledger = Ledger::default();
    let clerk = Clerk::keep(&ledger, store, terms(home.path()));
    until(&home, |all| (all == [lost("sg_a")]).then_some(())).await;
    clerk.finish().await;
}

#[tokio::test]
async fn another_instance_keeps_its_own_open_entries() {
    let home = Home::new().await;
    let store = home.open().await;
    let (first, second) = (Ledger::default(), Ledger::default());
    let one = Clerk::keep(&first, store.clone(), terms(home.path()));
    let under_way = first.open(opening("sg_a"));
    until(&home, |all| (all.len() == 1).then_some(())).await;
    let other = Clerk::keep(&second, store, terms(home.path()));
    second.open(opening("sg_b")).close(closing(5)).await;
    under_way.close(closing(4)).await;
    let both = [complete("sg_a", 4), complete("sg_b", 5)];
    until(&home, |all| (all == both).then_some(())).await;
    one.finish().await;
    other.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_locked_entries_lie_beside_it_and_go_there_after() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let clerk = Clerk::keep(&ledger, store, terms(home.path()));
    ledger.open(opening("sg_00")).close(closing(0)).await;
    until(&home, |all| (all.len() == 1).then_some(())).await;
    let thief = home.lock().await;
    let before_lock = ledger.open(opening("sg_01"));
    timeout(SOON, before_lock.close(closing(1))).await.expect("it counts as stored");
    for n in 2..10 {
        let attempt = ledger.open(opening(&format!("sg_{n:02}")));
        timeout(SOON, attempt.close(closing(n))).await.expect("it counts as stored");
    }
    assert!(ledger.may_open(), "there is room beside it");
    assert_eq!(entries(&home).await.len(), 1);
    let telling = async {
        loop {
            let state = ledger.state().expect("kept");
            assert!(state.spilled_bytes > 0);
            match state.trouble {
                Some(words) => return words,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let trouble = timeout(SOON, telling).await.expect("it is told");
    assert!(trouble.contains("locked"), "{trouble}");
    thief.leave().await;
    let whole: Vec<_> = (0..10).map(|n| complete(&format!("sg_{n:02}"), n)).collect();
    until(&home, |all| (all == whole).then_some(())).await;
    clerk.finish().await;
    assert_eq!(entries(&home).await, whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_beside_the_store_at_the_end_is_booked_by_the_next_start() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let clerk = Clerk::keep(&ledger, store.clone(), terms(home.path()));
    let under_way = ledger.open(opening("sg_02"));
    until(&home, |all| (all.len() == 1).then_some(())).await;
    let thief = home.lock().await;
    timeout(SOON, ledger.open(opening("sg_00")).close(closing(7))).await.expect("spilled");
    timeout(SOON, ledger.open(opening("sg_01")).close(closing(8))).await.expect("spilled");
    clerk.finish().await;
    drop(under_way);
    thief.leave().await;
    assert_eq!(entries(&home).await.len(), 1);
    let clerk = Clerk::keep(&Ledger::default(), store, terms(home.path()));
    let whole = [complete("sg_00", 7), complete("sg_01", 8), lost("sg_02")];
    until(&home, |all| (all == whole).then_some(())).await;
    clerk.finish().await;
}

/// Fills what lies beside a locked store, and returns how many answers went out.
async fn fill(ledger: &Ledger) -> u64 {
    for n in 0.. {
        if !ledger.may_open() || ledger.state().is_some_and(|state| state.unbooked > 0) {
            return n;
        }
        let attempt = ledger.open(opening(&format!("sg_{n:05}")));
        timeout(SOON, attempt.close(closing(n))).await.expect("it goes out");
    }
    unreachable!("there is an end to it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_there_is_no_room_nothing_more_may_be_sent_and_nothing_is_lost() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let terms = Terms { spill_bytes: 100_000, ..terms(home.path()) };
    let clerk = Clerk::keep(&ledger, store, terms);
    ledger.open(opening("sg_a")).close(closing(0)).await;
    let thief = home.lock().await;
    let booked = fill(&ledger).await;
    assert!(booked > 20, "{booked}");
    assert!(ledger.state().expect("kept").refuses);
    thief.leave().await;
    let count = usize::try_from(booked).expect("few") + 1;
    until(&home, |all| (all.len() == count).then_some(())).await;
    let waiting = async {
        while !ledger.may_open() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, waiting).await.expect("it is open again");
    assert_eq!(ledger.state().expect("kept").unbooked, 0);
    clerk.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_on_without_room_is_told_how_much_is_not_booked() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let terms = Terms { spill_bytes: 100_000, when_full: WhenFull::GoOn, ..terms(home.path()) };
    let clerk = Clerk::keep(&ledger, store, terms);
    ledger.open(opening("sg_a")).close(closing(0)).await;
    let thief = home.lock().await;
    let went = fill(&ledger).await;
    thief.leave().await;
    let unbooked = ledger.state().expect("kept").unbooked;
    assert!(unbooked > 0);
    let count = usize::try_from(went - unbooked).expect("few") + 1;
    until(&home, |all| (all.len() == count).then_some(())).await;
    clerk.finish().await;
    let noted = home.ask("SELECT CAST(SUM(answers) AS BIGINT) FROM unbooked").await;
    assert_eq!(noted[0][0].as_number(), i64::try_from(unbooked).ok(), "reports tell it, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relaxed_waits_for_nothing_and_an_orderly_end_loses_nothing() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let terms = Terms { durability: Durability::Relaxed, ..terms(home.path()) };
    let clerk = Clerk::keep(&ledger, store.clone(), terms.clone());
    for n in 0..300 {
        assert!(ledger.open(opening(&format!("sg_{n:03}"))).close(closing(n)).is_there());
    }
    clerk.finish().await;
    // What the store does not take in time lies beside it, for the next start.
    let clerk = Clerk::keep(&Ledger::default(), store, terms);
    until(&home, |all| (all.len() == 300).then_some(())).await;
    clerk.finish().await;
}

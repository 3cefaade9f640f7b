//! What lies beside the store when a run is over.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::booking::{Line, SOON, closing, entries, opening, terms, until};
use super::home::Home;
use super::number;
use crate::clock::WallClock;
use crate::config::Durability;
use crate::ledger::{Clerk, Ledger, Reading, Store, catch_up};
use crate::report::Range;

fn now() -> Duration {
    WallClock::from_system().since_epoch(Instant::now())
}

/// Returns how many attempts a report tells that reads all there is.
async fn told(home: &Home, store: &Store) -> u64 {
    let mut reading = Reading::whole(store.clone(), home.path()).await.expect("readable");
    let lines = reading.lines(Range::ALL).await.expect("readable");
    lines.iter().map(|line| line.sums.attempts).sum()
}

async fn book(ledger: &Ledger, seqs: std::ops::Range<u64>) {
    for n in seqs {
        let booked = ledger.open(opening(&format!("sg_{n}"))).close(closing(n));
        timeout(SOON, booked).await.expect("it counts as stored");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_beside_the_store_is_in_every_report() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let clerk = Clerk::keep(&ledger, store.clone(), terms(home.path()));
    let thief = home.lock().await;
    book(&ledger, 0..3).await;
    assert_eq!(told(&home, &store).await, 3, "while the program runs");
    clerk.finish().await;
    thief.leave().await;
    assert_eq!(number(&home, "SELECT COUNT(*) FROM entries WHERE booked_ms > 0").await, 0);
    assert_eq!(told(&home, &store).await, 3, "and when it does not");
    let mut reading = Reading::whole(store.clone(), home.path()).await.expect("readable");
    let extent = reading.extent().await.expect("readable").expect("something");
    assert!(extent.begin <= now() && extent.end >= now());
    let found = reading.entries("sg_1", Range::ALL).await.expect("readable");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(&*found[0].facet.app, "notebook");
    assert_eq!(found[0].booking.as_ref().map(|it| it.usage.output.count()), Some(1));
    drop(reading);
    catch_up(&store, home.path(), Durability::Strict).await;
    assert_eq!(entries(&home).await.len(), 3);
    assert_eq!(told(&home, &store).await, 3, "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_from_beside_the_store_into_it_counts_once_at_any_moment() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let clerk = Clerk::keep(&ledger, store.clone(), terms(home.path()));
    let booked = Arc::new(AtomicU64::new(0));
    let is_enough = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (ledger, booked) = (ledger.clone(), Arc::clone(&booked));
        let is_enough = Arc::clone(&is_enough);
        async move {
            while !is_enough.load(Ordering::SeqCst) {
                let n = booked.load(Ordering::SeqCst);
                book(&ledger, n..n + 1).await;
                booked.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        }
    });
    // Some of them while the store gets what lies beside it.
    for _ in 0..40 {
        let least = booked.load(Ordering::SeqCst);
        let told = told(&home, &store).await;
        let most = booked.load(Ordering::SeqCst) + 1;
        assert!((least..=most).contains(&told), "{told}, but {least} to {most} were booked");
    }
    is_enough.store(true, Ordering::SeqCst);
    load.await.expect("all of them");
    let booked = booked.load(Ordering::SeqCst);
    assert_eq!(told(&home, &store).await, booked);
    clerk.finish().await;
    assert_eq!(entries(&home).await.len() as u64, booked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_which_a_copy_lies_beside_the_store_is_not_deleted() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let path = home.path().join("sluicegate-0.spill");
    let clerk = Clerk::keep(&ledger, store.clone(), terms(home.path()));
    store.begin_run(&ledger, now()).await.expect("writable");
    let thief = home.lock().await;
    book(&ledger, 0..4).await;
    let copies = std::fs::read(&path).expect("it is there");
    thief.leave().await;
    let is_booked = |line: &Line| line.1.is_some();
    until(&home, |all| (all.iter().filter(|line| is_booked(line)).count() == 4).then_some(()))
        .await;
    clerk.finish().await;
    // As if the program had been killed before it could forget the copies.
    std::fs::write(&path, copies).expect("written");

    let other = Ledger::default();
    let delete = async |ledger| {
        store.forget_entries(now() + Duration::from_secs(60), 100, ledger).await.expect("writable")
    };
    assert_eq!(delete(&other).await, 0, "they may come once more");
    let sum = "SELECT CAST(SUM(attempts) AS BIGINT) FROM rollups WHERE span = 1";
    catch_up(&store, home.path(), Durability::Strict).await;
    assert_eq!(number(&home, sum).await, 4);
    assert_eq!(delete(&other).await, 4, "all copies were stored");
    catch_up(&store, home.path(), Durability::Strict).await;
    assert_eq!(number(&home, sum).await, 4, "none counts twice");
    let lines = Reading::of(store).lines(Range::ALL).await.expect("readable");
    assert_eq!(lines.iter().map(|line| line.sums.attempts).sum::<u64>(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_never_came_back_is_not_waited_for_for_ever() {
    let home = Home::new().await;
    let store = home.open().await;
    let ledger = Ledger::default();
    let clerk = Clerk::keep(&ledger, store.clone(), terms(home.path()));
    book(&ledger, 0..1).await;
    until(&home, |all| all.first().is_some_and(|line| line.1.is_some()).then_some(())).await;
    store.begin_run(&ledger, now()).await.expect("writable");
    let other = Ledger::default();
    let delete = async |in_days: u32, ledger| {
        let before = now() + in_days * Duration::from_secs(86_400);
        store.forget_entries(before, 100, ledger).await.expect("writable")
    };
    assert_eq!(delete(29, &other).await, 0);
    assert_eq!(delete(31, &other).await, 1);
    store.begin_run(&ledger, now()).await.expect("writable");
    book(&ledger, 1..2).await;
    clerk.finish().await;
    assert_eq!(delete(1, &ledger).await, 1, "of its own it knows");
}

/// Leaves four entries beside the store, as a program does that is killed while the store is locked.
async fn leave_four(home: &Home, store: &Store) -> PathBuf {
    let ledger = Ledger::default();
    let path = home.path().join("sluicegate-0.spill");
    let clerk = Clerk::keep(&ledger, store.clone(), terms(home.path()));
    store.begin_run(&ledger, now()).await.expect("writable");
    let thief = home.lock().await;
    book(&ledger, 0..4).await;
    let copies = std::fs::read(&path).expect("it is there");
    clerk.finish().await;
    thief.leave().await;
    std::fs::write(&path, copies).expect("written");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_damaged_file_all_that_is_whole_is_booked_and_the_rest_is_told_for_ever() {
    let home = Home::new().await;
    let store = home.open().await;
    let path = leave_four(&home, &store).await;
    let mut file = std::fs::read(&path).expect("there");
    let second = file.windows(4).position(|some| some == b"sg_1").expect("it is there");
    file[second..second + 4].copy_from_slice(b"????");
    std::fs::write(&path, file).expect("written");
    let missing = async || {
        let mut reading = Reading::whole(store.clone(), home.path()).await.expect("readable");
        reading.missing(Range::ALL).await.expect("readable")
    };
    let (_, damaged) = missing().await;
    assert!(damaged > 100, "{damaged}");
    assert_eq!(told(&home, &store).await, 3);
    assert_eq!(catch_up(&store, home.path(), Durability::Strict).await, damaged);
    assert_eq!(entries(&home).await.iter().filter(|line| line.1.is_some()).count(), 3);
    assert_eq!(missing().await, (0, damaged), "also when the file is whole again");
    assert_eq!(catch_up(&store, home.path(), Durability::Strict).await, 0);
    assert_eq!(missing().await, (0, damaged), "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_head_is_damaged_is_booked_but_for_what_may_be_deleted_by_now() {
    let home = Home::new().await;
    let store = home.open().await;
    let path = leave_four(&home, &store).await;
    let mut file = std::fs::read(&path).expect("there");
    file[20] = !file[20];
    std::fs::write(&path, &file).expect("written");
    assert_eq!(told(&home, &store).await, 4);
    assert!(catch_up(&store, home.path(), Durability::Strict).await > 0, "it is told");
    assert_eq!(entries(&home).await.iter().filter(|line| line.1.is_some()).count(), 4);
    let later = now() + Duration::from_secs(60);
    let deleted = store.forget_entries(later, 100, &Ledger::default()).await;
    assert_eq!(deleted.expect("writable"), 4, "its run is over");
    std::fs::write(&path, &file).expect("written");
    assert_eq!(told(&home, &store).await, 4, "none counts twice");
    catch_up(&store, home.path(), Durability::Strict).await;
    assert_eq!(told(&home, &store).await, 4, "none counts twice");
}

//! Where nobody is held: who goes, and what is told.

use super::*;

fn observing(keys: &[usize], lane: LaneSettings) -> Admission {
    let line = LineSettings { mode: LineMode::Observe, ..line() };
    Admission::start(&upstream(keys, lane), &line, &Allotments::default())
        .expect("keys that fit into headers")
}

#[tokio::test(start_paused = true)]
async fn everybody_goes_at_once_and_hears_what_a_line_would_have_cost() {
    let admission = observing(&[1], thousand());
    meet(&admission).await;
    let free = now(&admission, ask(1000)).await;
    assert_eq!(free.would_wait(), None, "there was room");
    let spent = free.commit(Instant::now());
    let mut waits = Vec::new();
    let mut flights = Vec::new();
    for _ in 0..3 {
        let reservation = now(&admission, ask(100)).await;
        assert_eq!(reservation.waited_for(), Some(QuotaKind::TokensPerMinute));
        waits.push(reservation.would_wait().expect("there was no room").as_secs());
        flights.push(reservation.commit(Instant::now()));
    }
    // Each stands behind those that went before it: 100 tokens refill in 6 s.
    assert!(waits.iter().zip([6, 12, 18]).all(|(told, due)| told.abs_diff(due) <= 1), "{waits:?}");
    drop((spent, flights));
    nothing_is_left(&admission);
}

#[tokio::test(start_paused = true)]
async fn slots_and_requests_that_never_fit_hold_nobody() {
    let admission = observing(&[1], slots(1));
    let first = now(&admission, ask(1)).await;
    let second = now(&admission, ask(1)).await;
    assert_eq!(first.would_wait(), None);
    assert!(second.would_wait().is_some(), "the slot was taken");
    drop((first, second));
    nothing_is_left(&admission);

    let admission = observing(&[1], thousand());
    meet(&admission).await;
    let large = now(&admission, ask(5000)).await;
    assert!(large.would_wait().is_some(), "it would have been refused");
    drop(large);
    let usual = now(&admission, ask(900)).await;
    assert_eq!(usual.would_wait(), None, "what was never sent is still debited");
    drop(usual);
    nothing_is_left(&admission);
}

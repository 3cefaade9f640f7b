//! What lanes learned outlives the run, when it is to be kept, and what is kept of nobody.

use super::*;
use crate::limit::{Absence, Counting, LastEnd};

/// Sends a request whose answer tells a limit of 1,000 tokens a minute.
async fn learn(admission: &Admission, tokens: u64) {
    let mut sent = now(admission, ask(tokens)).await.commit(Instant::now());
    let told = QuotaHint { limit: 1000, remaining: Some(1000 - tokens), ..QuotaHint::default() };
    sent.observe(&Hint { tokens: Some(told), ..Hint::default() }, Instant::now());
    let usage = Usage { input: Tokens::new(tokens), ..Usage::default() };
    sent.settle(&usage, Instant::now());
}

/// An admission that is kept and knows no limit.
fn kept(keys: &[usize], past: Vec<Memory>) -> Admission {
    let known = LaneSettings {
        counting: Some(Counting::Bucket),
        charging: Some(Charging::Refund),
        ..LaneSettings::default()
    };
    let admission = admission(keys, known);
    admission.remind(past, Vec::new());
    admission
}

/// Returns how long it takes until something is worth keeping.
async fn wait(admission: &Admission) -> Duration {
    let start = Instant::now();
    admission.worth_keeping().await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_lane_of_a_later_run_goes_on_where_the_first_one_ended() {
    let first = kept(&[1], Vec::new());
    learn(&first, 100).await;
    let mut memories = first.learned(Keeping::Last);
    assert_eq!(memories.len(), 1);
    assert_eq!(memories[0].absence.end, LastEnd::Clean);
    memories[0].absence.lasted = 2 * SECOND;
    let second = kept(&[1], memories);
    advance(SECOND).await;
    let _burst: Vec<Reservation> =
        futures_util::future::join_all((0..9).map(|_| now(&second, ask(100)))).await;
    let lane = second.snapshot().lanes.remove(0);
    assert_eq!(lane.recalled, Some(3 * SECOND));
    let left = lane.levels[0].headroom;
    assert!((48..=50).contains(&left), "100 used, 50 refilled in 3 s, 900 used: {left} are left");
}

#[tokio::test(start_paused = true)]
async fn the_first_change_of_a_run_and_a_drift_are_kept_at_once_and_others_soon() {
    let admission = kept(&[1], Vec::new());
    let still = tokio::time::timeout(10 * MINUTES, admission.worth_keeping()).await;
    assert!(still.is_err(), "nothing has changed");
    learn(&admission, 10).await;
    assert_eq!(wait(&admission).await, Duration::ZERO, "the first change of this run");
    assert_eq!(admission.learned(Keeping::Changed).len(), 1);
    assert!(admission.learned(Keeping::Changed).is_empty(), "it was handed out");
    learn(&admission, 10).await;
    advance(SECOND).await;
    assert_eq!(wait(&admission).await, 9 * SECOND);
    assert_eq!(admission.learned(Keeping::Changed).len(), 1);
    learn(&admission, 51).await;
    assert_eq!(wait(&admission).await, Duration::ZERO, "more than a twentieth of the limit");
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_the_end_is_not_called_over() {
    let admission = kept(&[1], Vec::new());
    learn(&admission, 10).await;
    let _sent = now(&admission, ask(10)).await.commit(Instant::now());
    let ends: Vec<LastEnd> =
        admission.learned(Keeping::Last).iter().map(|memory| memory.absence.end).collect();
    assert_eq!(ends, [LastEnd::Cut]);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_clients_own_key_is_kept() {
    let admission = kept(&[], Vec::new());
    let own = Ask { own_key: Some(client_key("sk-mine")), ..ask(10) };
    let mut sent = now(&admission, own).await.commit(Instant::now());
    let told = QuotaHint { limit: 1000, remaining: Some(990), ..QuotaHint::default() };
    sent.observe(&Hint { tokens: Some(told), ..Hint::default() }, Instant::now());
    drop(sent);
    assert!(admission.learned(Keeping::Changed).is_empty());
    assert!(admission.learned(Keeping::Last).is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_more_than_some_hundred_lanes_are_handed_out_at_once() {
    let admission = kept(&[1], Vec::new());
    for n in 0..300 {
        let ask = Ask { model: ModelName::new(format!("m{n}")), ..ask(10) };
        let mut sent = now(&admission, ask).await.commit(Instant::now());
        let told = QuotaHint { limit: 1000, remaining: Some(990), ..QuotaHint::default() };
        sent.observe(&Hint { tokens: Some(told), ..Hint::default() }, Instant::now());
        sent.settle(&Usage::default(), Instant::now());
    }
    assert_eq!(admission.learned(Keeping::Changed).len(), 256);
    assert_eq!(wait(&admission).await, Duration::ZERO, "there are more");
    assert_eq!(admission.learned(Keeping::Changed).len(), 44);
    assert_eq!(admission.learned(Keeping::Last).len(), 300);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_up_stands_in_nobodys_way() {
    let first = kept(&[1], Vec::new());
    learn(&first, 10).await;
    let mut memory = first.learned(Keeping::Last).remove(0);
    memory.account = AccountName::new("somebody else");
    memory.absence = Absence { lasted: SECOND, end: LastEnd::Clean };
    let second = kept(&[1], vec![memory]);
    let _one = now(&second, ask(10)).await;
    assert_eq!(second.snapshot().lanes[0].recalled, None);
}

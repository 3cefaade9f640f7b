//! Other accounts, keys and limits, taken over while requests wait and are under way.

use super::*;
use crate::admit::state::State;
use crate::limit::Counting;

fn one_slot_each(admission: &Admission, keys: &[usize]) -> Result<(), FleetError> {
    admission.renew(&upstream(keys, slots(1)), &line())
}

/// Returns how many lanes and pools there are, those too that are retired.
fn kept(admission: &Admission) -> (usize, usize) {
    admission.shared.with(|state: &mut State| (state.lanes.len(), state.pools.len()))
}

fn account(reservation: &Reservation) -> String {
    reservation.account_name().expect("a configured account").to_string()
}

#[tokio::test(start_paused = true)]
async fn a_new_account_takes_those_who_wait_at_once_in_their_order() {
    let admission = admission(&[1], slots(1));
    let first = now(&admission, ask(1)).await;
    let mut line = [Pending::of(&admission, ask(1)), Pending::of(&admission, ask(1))];
    one_slot_each(&admission, &[1, 1]).expect("keys that fit into headers");
    let second = line[0].granted().expect("the first of the line");
    assert_eq!((account(&first), account(&second)), ("a".to_owned(), "b".to_owned()));
    assert!(line[1].granted().is_none(), "both slots are taken");
    drop(first);
    assert!(line[1].granted().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_gone_gets_nothing_more_and_its_lane_goes_with_what_it_sent() {
    let admission = admission(&[1, 1], slots(1));
    let held = [now(&admission, ask(1)).await, now(&admission, ask(1)).await];
    let [on_a, on_b] = held.map(|held| held.commit(Instant::now()));
    let mut next = Pending::of(&admission, ask(1));
    one_slot_each(&admission, &[1]).expect("keys that fit into headers");
    assert_eq!(kept(&admission), (2, 1), "something is under way on the second lane");
    on_b.settle(&Usage::default(), Instant::now());
    assert!(next.granted().is_none(), "it went to an account that is gone");
    assert_eq!(kept(&admission), (1, 1));
    on_a.settle(&Usage::default(), Instant::now());
    assert_eq!(account(&next.granted().expect("a slot")), "a");
    nothing_is_left(&admission);
}

#[tokio::test(start_paused = true)]
async fn limits_that_are_raised_and_lowered_hold_at_once_for_those_who_wait() {
    let tokens = |most| LaneSettings { tokens_per_minute: Some(most), ..thousand() };
    let renew = |admission: &Admission, most| {
        admission
            .renew(&upstream(&[1], tokens(most)), &line())
            .expect("keys that fit into headers");
    };
    let admission = admission(&[1], tokens(1_000));
    meet(&admission).await;
    let _spent = now(&admission, ask(1_000)).await.commit(Instant::now());
    let mut small = Pending::of(&admission, ask(100));
    let mut large = Pending::of(&admission, ask(900));
    renew(&admission, 1_100);
    assert!(small.granted().is_some(), "1,000 of 1,100 were used");
    assert!(large.granted().is_none());
    renew(&admission, 800);
    let refused = large.poll().expect("an answer at once").expect_err("too large");
    assert!(matches!(refused, Refusal::TooLarge { limit: 800, wanted: 900, .. }), "{refused}");
    nothing_waits(&admission);
}

fn nothing_waits(admission: &Admission) {
    assert_eq!(admission.snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn models_that_shared_a_lane_wait_each_for_its_own_when_they_share_no_more() {
    let shared = |shared| {
        let mut settings = upstream(&[1], slots(1));
        settings.limits[0].shared = shared;
        settings
    };
    let admission = Admission::start(&shared(true), &line(), &Allotments::default())
        .expect("keys that fit into headers");
    let model = |name: &str| Ask { model: ModelName::new(name), ..ask(1) };
    let first = now(&admission, model("one")).await.commit(Instant::now());
    let mut waiting = ["one", "two"].map(|name| Pending::of(&admission, model(name)));
    admission.renew(&shared(false), &line()).expect("keys that fit into headers");
    let went = waiting.each_mut().map(|pending| pending.granted().is_some());
    assert_eq!(went, [true, true]);
    assert_eq!(kept(&admission).0, 3, "two lanes, and the one that was shared");
    first.settle(&Usage::default(), Instant::now());
    assert_eq!(kept(&admission).0, 2);
    let groups: Vec<String> =
        admission.snapshot().lanes.into_iter().map(|lane| lane.group).collect();
    assert_eq!(groups, ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_counts_otherwise_goes_on_with_what_was_used() {
    let bucket = LaneSettings { counting: Some(Counting::Bucket), ..thousand() };
    let admission = admission(&[1], bucket.clone());
    meet(&admission).await;
    let spent = now(&admission, ask(900)).await.commit(Instant::now());
    let mut waiting = Pending::of(&admission, ask(200));
    let charged = LaneSettings { charging: Some(Charging::Max), ..bucket };
    admission.renew(&upstream(&[1], charged), &line()).expect("keys that fit into headers");
    assert!(waiting.granted().is_none(), "900 of 1,000 are used");
    assert_eq!(kept(&admission).0, 2);
    spent.settle(&Usage { input: Tokens::new(900), ..Usage::default() }, Instant::now());
    assert_eq!(kept(&admission).0, 1);
    advance(7 * SECOND).await;
    tokio::task::yield_now().await;
    assert!(waiting.granted().is_some(), "200 are there");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_held_any_more_all_go() {
    let admission = admission(&[1], slots(1));
    let _held = now(&admission, ask(1)).await;
    let mut line_of: Vec<Pending> = (0..3).map(|_| Pending::of(&admission, ask(1))).collect();
    let observing = LineSettings { mode: LineMode::Observe, ..line() };
    admission.renew(&upstream(&[1], slots(1)), &observing).expect("keys that fit into headers");
    assert!(line_of.iter_mut().all(|pending| pending.granted().is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_shorter_line_pushes_out_nobody_who_waits() {
    let admission = admission(&[1], slots(1));
    let held = now(&admission, ask(1)).await;
    let mut waiting = [Pending::of(&admission, ask(1)), Pending::of(&admission, ask(1))];
    let short = LineSettings { max_waiting: 1, ..line() };
    admission.renew(&upstream(&[1], slots(1)), &short).expect("keys that fit into headers");
    let refused = admission.acquire(ask(1)).await.expect_err("the line is full");
    assert!(matches!(refused, Refusal::LineFull { .. }), "{refused}");
    drop(held);
    drop(waiting[0].granted().expect("its turn"));
    assert!(waiting[1].granted().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_kept_is_found_again_and_what_it_kept_goes_with_it() {
    let admission = admission(&[1], slots(1));
    let held = now(&admission, ask(1)).await;
    let alike = || Ask { likeness: Some(7), ..ask(1) };
    let away = Pending::of(&admission, alike());
    let mut behind = Pending::of(&admission, ask(1));
    drop(away);
    one_slot_each(&admission, &[2]).expect("keys that fit into headers");
    let mut back = Pending::of(&admission, alike());
    drop(held);
    assert!(behind.granted().is_none(), "who was away had an earlier place");
    drop(back.granted().expect("its old place"));
    drop(behind.granted().expect("the next"));

    let held = now(&admission, ask(1)).await;
    drop(Pending::of(&admission, alike()));
    let mut other = upstream(&[1], slots(1));
    other.limits[0].shared = true;
    admission.renew(&other, &line()).expect("keys that fit into headers");
    drop(held);
    assert_eq!(kept(&admission).0, 1, "somebody is away from the lane of before");
    advance(Duration::from_secs(151)).await;
    tokio::task::yield_now().await;
    assert_eq!(kept(&admission), (0, 0), "nobody has been there for a minute and a half");
}

#[tokio::test(start_paused = true)]
async fn keys_that_fit_into_no_header_change_nothing() {
    let admission = admission(&[1], slots(1));
    let mut wrong = upstream(&[1, 1], slots(5));
    wrong.accounts[1].keys[0].secret = Secret::new("a\nb");
    assert!(admission.renew(&wrong, &line()).is_err());
    let _held = now(&admission, ask(1)).await;
    let _waits = Pending::of(&admission, ask(1));
}

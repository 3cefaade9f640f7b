//! Apps with quotas of their own: who waits for them, who does not, and what is told.

use super::*;
use crate::limit::AppLimits;

fn of_app(limits: AppLimits) -> Allotments {
    let allotments = Allotments::default();
    allotments.renew([("app".into(), limits)], Instant::now());
    allotments
}

fn per_minute(requests: u64) -> AppLimits {
    AppLimits { requests_per_minute: Some(requests), ..AppLimits::default() }
}

fn at_one_time(requests: u64) -> AppLimits {
    AppLimits { concurrency: Some(requests), ..AppLimits::default() }
}

fn with(allotments: &Allotments, lane: LaneSettings) -> Admission {
    Admission::start(&upstream(&[1], lane), &line(), allotments).expect("a fleet")
}

fn other(tokens: u64) -> Ask {
    Ask { party: Party::usual("other".into()), ..ask(tokens) }
}

fn sent(reservation: Reservation) -> InFlight {
    reservation.commit(Instant::now())
}

#[tokio::test(start_paused = true)]
async fn who_is_beyond_its_apps_quota_waits_for_it_and_others_go_past() {
    let admission = with(&of_app(per_minute(2)), slots(100));
    meet(&admission).await;
    let _first = sent(now(&admission, ask(1)).await);
    let start = Instant::now();
    let mut waits = Pending::of(&admission, ask(1));
    let _other = sent(now(&admission, other(1)).await);
    let line = admission.snapshot().lines;
    let app = &line[0].apps[0];
    assert_eq!((app.waiting, app.lacks), (1, Some(QuotaKind::AppRequestsPerMinute)));
    let expected = line[0].first[0].expected;
    assert!(expected.abs_diff(60 * SECOND) <= 2 * SECOND, "it is told {expected:?}");
    let reservation = waits.0.as_mut().await.expect("its turn");
    assert_eq!(start.elapsed().as_secs(), 60, "what the app sent first has left its minute");
    assert_eq!(reservation.waited_for(), Some(QuotaKind::AppRequestsPerMinute));
}

#[tokio::test(start_paused = true)]
async fn no_minute_of_an_app_holds_more_than_its_quota_whatever_the_lane_does() {
    let admission = with(&of_app(per_minute(3)), slots(2));
    let start = Instant::now();
    let calls = (0..12_u64).map(|turn| {
        let admission = admission.clone();
        tokio::spawn(async move {
            let flight = sent(admission.acquire(ask(1)).await.expect("a turn"));
            let at = Instant::now();
            tokio::time::sleep(Duration::from_secs(1 + turn % 4)).await;
            flight.settle(&Usage::default(), Instant::now());
            at
        })
    });
    let mut went = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        went.push(call.await.expect("it went"));
    }
    went.sort();
    for four in went.windows(4) {
        assert!(four[3] - four[0] > 60 * SECOND, "{went:?}");
    }
    // Three full minutes, and what the two slots of the lane take.
    assert!(start.elapsed().as_secs() < 190, "too slow: {:?}", start.elapsed());
    nothing_is_left(&admission);
}

#[tokio::test(start_paused = true)]
async fn what_a_request_used_is_what_its_app_has_used() {
    let limits = AppLimits { tokens_per_minute: Some(100), ..AppLimits::default() };
    let admission = with(&of_app(limits), slots(100));
    meet(&admission).await;
    let first = sent(now(&admission, ask(90)).await);
    let mut waits = Pending::of(&admission, ask(50));
    let usage = Usage { input: Tokens::new(30), output: Tokens::new(20), ..Usage::default() };
    first.settle(&usage, Instant::now());
    assert!(waits.granted().is_some(), "50 of 100 are free");
}

#[tokio::test(start_paused = true)]
async fn who_can_never_fit_its_apps_quota_is_told_so_at_once() {
    let limits = AppLimits { tokens_per_minute: Some(100), ..AppLimits::default() };
    let admission = with(&of_app(limits), slots(100));
    let refusal = admission.acquire(ask(101)).await.expect_err("too large");
    let (quota, model) = (QuotaKind::AppTokensPerMinute, ModelName::new("m"));
    assert_eq!(refusal, Refusal::TooLarge { model, quota, limit: 100, wanted: 101 });
    nothing_is_left(&admission);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_one_upstream_frees_is_for_who_waits_at_another() {
    let allotments = of_app(at_one_time(1));
    let [here, there] = [(), ()].map(|()| with(&allotments, slots(100)));
    let held = sent(now(&here, ask(1)).await);
    let mut waits = Pending::of(&there, ask(1));
    held.settle(&Usage::default(), Instant::now());
    drop(waits.granted().expect("the slot is free"));
    nothing_is_left(&here);
    nothing_is_left(&there);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_lane_holds_nothing_of_its_apps_quota() {
    // A lane with one slot for each model.
    let lane = slots(1);
    let admission = with(&of_app(at_one_time(2)), lane);
    let elsewhere = |model: &str| Ask { model: ModelName::new(model), ..ask(1) };
    let _held = sent(now(&admission, elsewhere("a")).await);
    let mut same = Pending::of(&admission, elsewhere("a"));
    let second = sent(now(&admission, elsewhere("b")).await);
    let mut third = Pending::of(&admission, elsewhere("c"));
    second.settle(&Usage::default(), Instant::now());
    assert!(same.granted().is_none(), "its lane has no slot");
    assert!(third.granted().is_some(), "its lane has a slot, and so has its app");
}

#[tokio::test(start_paused = true)]
async fn other_quotas_hold_at_once_for_those_who_wait() {
    let allotments = of_app(per_minute(1));
    let admission = with(&allotments, slots(100));
    meet(&admission).await;
    let mut waits: Vec<Pending> = (0..3).map(|_| Pending::of(&admission, ask(1))).collect();
    allotments.renew([("app".into(), per_minute(3))], Instant::now());
    let granted: Vec<_> = waits.iter_mut().filter_map(Pending::granted).collect();
    assert_eq!(granted.len(), 2, "one of three was used before");
    allotments.renew([], Instant::now());
    let last = waits[2].granted().expect("there is no quota any more");
    drop((granted, last));
    nothing_is_left(&admission);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_makes_way_for_a_smaller_one_of_its_app() {
    let limits = AppLimits { tokens_per_minute: Some(100), ..AppLimits::default() };
    let admission = with(&of_app(limits), slots(100));
    meet(&admission).await;
    let _spent = sent(now(&admission, ask(60)).await);
    let large = Pending::of(&admission, ask(50));
    let mut small = Pending::of(&admission, ask(30));
    assert!(small.granted().is_none(), "who came first goes first");
    drop(large);
    drop(small.granted().expect("it fits"));
    let mut urgent = Party::usual("app".into());
    urgent.class = crate::units::Class::Interactive;
    let _large = Pending::of(&admission, ask(50));
    drop(now(&admission, Ask { party: urgent, ..ask(30) }).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_held_who_is_only_observed() {
    let line = LineSettings { mode: LineMode::Observe, ..line() };
    let admission = Admission::start(&upstream(&[1], slots(9)), &line, &of_app(per_minute(1)))
        .expect("a fleet");
    let _first = sent(now(&admission, ask(1)).await);
    let second = now(&admission, ask(1)).await;
    assert_eq!(second.waited_for(), Some(QuotaKind::AppRequestsPerMinute));
    assert!(second.would_wait().is_some_and(|wait| wait.abs_diff(60 * SECOND) <= SECOND));
}

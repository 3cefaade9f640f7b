//! Who goes when, and that nothing is left behind, on paused time.

mod binding;
mod chosen;
mod leaks;
mod memories;
mod observing;
mod own;
mod renewal;
mod warmth;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::time::advance;

use super::*;
use crate::config::{
    AccountSettings, AzureSettings, Dialect, Disconnect, KeySettings, LimitRule, LineMode,
    ModelPattern,
};
use crate::count::{Method, Prefix};
use crate::limit::{Charging, Hint, LaneSettings, QuotaHint, QuotaKind};
use crate::units::{AccountName, KeyLabel, Party, Requests, Secret, Tokens, Usage};
use crate::upstream::{Change, Finding, Verdict};

const SECOND: Duration = Duration::from_secs(1);
const MINUTES: Duration = Duration::from_secs(280);

/// An upstream with an account for each number of keys; none: each client brings its own.
fn upstream(keys: &[usize], lane: LaneSettings) -> UpstreamSettings {
    let account = |(name, &keys): (char, &usize)| AccountSettings {
        name: AccountName::new(name.to_string()),
        keys: (0..keys)
            .map(|n| KeySettings {
                label: KeyLabel::new(format!("{name}{n}")),
                secret: Secret::new(format!("sk-{name}{n}")),
            })
            .collect(),
        organization: None,
        project: None,
        limits: Vec::new(),
    };
    UpstreamSettings {
        name: "test".into(),
        base_url: http::Uri::from_static("http://127.0.0.1:1/v1"),
        dialect: Dialect::OpenAi,
        azure: AzureSettings::default(),
        accounts: ('a'..).zip(keys).map(account).collect(),
        limits: vec![LimitRule { models: ModelPattern::new("*"), shared: false, lane }],
    }
}

fn line() -> LineSettings {
    LineSettings {
        max_wait: MINUTES,
        max_waiting: 100,
        max_waiting_per_app: 100,
        max_waiting_bytes: 10_000,
        mode: LineMode::Enforce,
        keep_alive: None,
        on_disconnect: Disconnect::Cancel,
    }
}

fn slots(concurrency: u64) -> LaneSettings {
    LaneSettings { concurrency: Some(concurrency), ..LaneSettings::default() }
}

/// 1,000 tokens a minute, debited at the estimate; 100 tokens refill in 6 s.
fn thousand() -> LaneSettings {
    let tokens_per_minute = Some(1000);
    LaneSettings { tokens_per_minute, charging: Some(Charging::Later), ..LaneSettings::default() }
}

fn admission(keys: &[usize], lane: LaneSettings) -> Admission {
    Admission::start(&upstream(keys, lane), &line(), &Allotments::default())
        .expect("keys that fit into headers")
}

fn ask(tokens: u64) -> Ask {
    Ask {
        own_key: None,
        account: None,
        key_of: None,
        party: Party::usual("app".into()),
        wanted_by: None,
        likeness: None,
        model: ModelName::new("m"),
        demand: Demand {
            requests: Requests::ONE,
            input: Tokens::new(tokens),
            output_bound: Some(Tokens::ZERO),
            characters: 4 * tokens,
            images: 0,
            method: Method::Exact,
        },
        bytes: 10,
        deadline: Instant::now() + MINUTES,
        place: None,
        avoid: None,
        prefix: Prefix::default(),
    }
}

fn client_key(name: &str) -> ClientKey {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {name}").parse().expect("a header value"));
    ClientKey::from_headers(&headers)
}

type Answer = Result<Reservation, Refusal>;

/// A request that asked to be admitted, polled by hand.
struct Pending(Pin<Box<dyn Future<Output = Answer>>>);

impl Pending {
    fn of(admission: &Admission, ask: Ask) -> Self {
        let admission = admission.clone();
        let mut pending = Self(Box::pin(async move { admission.acquire(ask).await }));
        // The first poll is what joins the line; these tests ask for what cannot go at once.
        assert!(pending.poll().is_none(), "it went at once");
        pending
    }

    fn poll(&mut self) -> Option<Answer> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    fn granted(&mut self) -> Option<Reservation> {
        self.poll().map(|answer| answer.expect("a grant"))
    }
}

async fn now(admission: &Admission, ask: Ask) -> Reservation {
    let start = Instant::now();
    let reservation = admission.acquire(ask).await.expect("room");
    assert_eq!(start.elapsed(), Duration::ZERO, "it had to wait");
    reservation
}

/// Serves one request, so that the lane is past its first contact.
async fn meet(admission: &Admission) {
    let mut flight = now(admission, ask(0)).await.commit(Instant::now());
    flight.observe(&Hint::default(), Instant::now());
    flight.settle(&Usage::default(), Instant::now());
}

fn nothing_is_left(admission: &Admission) {
    let snapshot = admission.snapshot();
    assert_eq!((snapshot.waiting, snapshot.waiting_bytes), (0, 0), "somebody still waits");
    assert!(snapshot.lines.is_empty(), "{:?}", snapshot.lines);
    let open: usize = snapshot.lanes.iter().map(|lane| lane.open).sum();
    assert_eq!(open, 0, "debits are still open");
    assert_eq!(admission.with_fleet(|fleet| fleet.outstanding()), (0, 0), "keys or guests leak");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_go_in_the_order_in_which_they_came() {
    let admission = admission(&[1], slots(1));
    let mut held = Some(now(&admission, ask(1)).await);
    let mut line: Vec<Pending> = (0..20).map(|_| Pending::of(&admission, ask(1))).collect();
    for turn in 0..line.len() {
        drop(held.take());
        for (place, pending) in line.iter_mut().enumerate().skip(turn) {
            let grant = pending.granted();
            assert_eq!(grant.is_some(), place == turn, "place {place} in turn {turn}");
            held = held.or(grant);
            if place == turn + 1 {
                break;
            }
        }
    }
    drop(held);
    nothing_is_left(&admission);
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_leaves_the_line_at_once_and_lets_the_next_go() {
    let admission = admission(&[1], thousand());
    meet(&admission).await;
    let _spent = now(&admission, ask(1000)).await.commit(Instant::now());
    let large = Pending::of(&admission, ask(900));
    let mut small = Pending::of(&admission, ask(100));
    advance(7 * SECOND).await;
    assert!(small.granted().is_none(), "it passed the one before it");
    drop(large);
    assert_eq!(admission.snapshot().waiting, 0, "both have left the line");
    assert!(small.granted().is_some(), "there is room for it since 1 s");
}

#[tokio::test(start_paused = true)]
async fn a_reservation_dropped_before_its_request_is_sent_vanishes() {
    let admission = admission(&[1], thousand());
    meet(&admission).await;
    drop(now(&admission, ask(1000)).await);
    drop(now(&admission, ask(1000)).await.commit(Instant::now()));
    let waiting = Pending::of(&admission, ask(1000));
    drop(waiting);
    nothing_is_left(&admission);
}

#[tokio::test(start_paused = true)]
async fn room_comes_at_the_moment_that_the_refill_says() {
    let admission = admission(&[1], thousand());
    meet(&admission).await;
    let _spent = now(&admission, ask(1000)).await.commit(Instant::now());
    let start = Instant::now();
    let reservation = admission.acquire(ask(500)).await.expect("room after half a minute");
    let waited = start.elapsed();
    assert!(waited >= 30 * SECOND && waited < 31 * SECOND, "{waited:?}");
    assert_eq!(reservation.waited_for(), Some(QuotaKind::TokensPerMinute));
}

#[tokio::test(start_paused = true)]
async fn sixty_whose_time_is_up_together_are_told_sixty_times_in_their_order() {
    let admission = admission(&[1], thousand());
    meet(&admission).await;
    let _spent = now(&admission, ask(1000)).await.commit(Instant::now());
    let deadline = Instant::now() + SECOND;
    let soon = || Ask { deadline, ..ask(100) };
    let mut line: Vec<Pending> = (0..60).map(|_| Pending::of(&admission, soon())).collect();
    advance(2 * SECOND).await;
    // Whoever is woken first is not who came first.
    line.rotate_left(23);
    let answers = line.iter_mut().map(|pending| pending.poll().expect("the time is up"));
    let mut told: Vec<Duration> =
        answers.map(|answer| answer.expect_err("no room").retry_after()).collect();
    told.rotate_right(23);
    assert!(told.iter().all(|wait| (1..=59).contains(&wait.as_secs())), "{told:?}");
    let later = |pair: &[Duration]| pair[0].as_millis() < pair[1].as_millis();
    assert!(told.windows(2).all(later), "not by their places: {told:?}");
    drop(line);
    assert_eq!(admission.snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn who_finds_the_line_full_is_told_a_time_of_its_own() {
    let settings = LineSettings { max_waiting: 2, ..line() };
    let admission =
        Admission::start(&upstream(&[1], thousand()), &settings, &Allotments::default())
            .expect("a fleet");
    meet(&admission).await;
    let _spent = now(&admission, ask(1000)).await.commit(Instant::now());
    let _line = [Pending::of(&admission, ask(100)), Pending::of(&admission, ask(100))];
    let mut told = Vec::new();
    for _ in 0..5 {
        let refusal = admission.acquire(ask(100)).await.expect_err("the line is full");
        assert!(matches!(refusal, Refusal::LineFull { .. }), "{refusal}");
        told.push(refusal.retry_after().as_millis());
    }
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_holds_no_more_bytes_than_allowed() {
    let admission = admission(&[1], slots(1));
    let held = now(&admission, ask(1)).await;
    let mut first = Pending::of(&admission, Ask { bytes: 9_000, ..ask(1) });
    let refused = admission.acquire(Ask { bytes: 1_001, ..ask(1) }).await;
    assert!(matches!(refused, Err(Refusal::LineFull { .. })));
    let _second = Pending::of(&admission, Ask { bytes: 1_000, ..ask(1) });
    drop(held);
    let _sent = first.granted().expect("the slot is free");
    assert_eq!(admission.snapshot().waiting_bytes, 1_000, "who has gone holds no bytes");
}

#[tokio::test(start_paused = true)]
async fn what_can_never_fit_is_refused_at_once_although_others_wait() {
    let admission = admission(&[1], thousand());
    meet(&admission).await;
    let _spent = now(&admission, ask(1000)).await.commit(Instant::now());
    let _other = Pending::of(&admission, ask(500));
    let start = Instant::now();
    let refusal = admission.acquire(ask(1001)).await.expect_err("larger than the lane");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(matches!(refusal, Refusal::TooLarge { limit: 1000, wanted: 1001, .. }), "{refusal}");
    assert!(!refusal.is_worth_retrying());
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_before_all_who_came_after_it() {
    let admission = admission(&[1], slots(1));
    let first = now(&admission, ask(1)).await;
    let place = first.place();
    let mut others: Vec<Pending> = (0..3).map(|_| Pending::of(&admission, ask(1))).collect();
    first.commit(Instant::now()).refused(Instant::now());
    let hold = 2 * SECOND;
    advance(hold).await;
    let served = others[0].granted().expect("the slot is free");
    let mut again = Pending::of(&admission, Ask { place: Some(place), ..ask(1) });
    drop(served);
    assert!(others[1].granted().is_none(), "it went before the retry");
    assert!(again.granted().is_some(), "the retry lost its place");
}

#[tokio::test(start_paused = true)]
async fn a_settlement_rings_those_who_wait() {
    let lane = LaneSettings { charging: Some(Charging::Refund), ..thousand() };
    let admission = admission(&[1], lane);
    meet(&admission).await;
    let flight = now(&admission, ask(1000)).await.commit(Instant::now());
    let mut waiting = Pending::of(&admission, ask(900));
    assert!(waiting.granted().is_none());
    flight.settle(&Usage { input: Tokens::new(100), ..Usage::default() }, Instant::now());
    assert!(waiting.granted().is_some(), "the refund did not reach the line");
}

#[tokio::test(start_paused = true)]
async fn when_a_key_goes_out_the_line_goes_on_with_another_account() {
    let admission = admission(&[1, 1], slots(1));
    let first = now(&admission, ask(1)).await;
    let second = now(&admission, ask(1)).await;
    let (bad, good) = (first.account(), second.account());
    assert_ne!(bad, good, "both lanes are used");
    let mut waiting = Pending::of(&admission, ask(1));
    let flight = first.commit(Instant::now());
    let rejected = Finding::of(Verdict::KeyRejected);
    let change = flight.report(&rejected, &HeaderMap::new(), Instant::now());
    assert!(matches!(change, Change::KeyOut(_)), "{change:?}");
    flight.refused(Instant::now());
    advance(2 * SECOND).await;
    assert!(waiting.granted().is_none(), "it got the lane whose key is out");
    second.commit(Instant::now()).settle(&Usage::default(), Instant::now());
    assert_eq!(waiting.granted().expect("a free lane").account(), good);
}

#[tokio::test(start_paused = true)]
async fn the_last_key_stays_and_is_probed_back() {
    let admission = admission(&[1], slots(2));
    let flight = now(&admission, ask(1)).await.commit(Instant::now());
    let rejected = Finding::of(Verdict::KeyRejected);
    let change = flight.report(&rejected, &HeaderMap::new(), Instant::now());
    assert_eq!(change, Change::LastUsable, "its answer is to be passed on");
    flight.refused(Instant::now());
    assert!(!admission.can_serve(), "nothing shows that it can");
    let at = admission.with_fleet(|fleet| fleet.next_probe_at()).expect("a probe");
    advance(at.saturating_duration_since(Instant::now())).await;
    let due = admission.with_fleet(|fleet| fleet.probes_due(Instant::now()));
    let (key, _) = due.first().expect("it is due");
    let fine = Finding::of(Verdict::Fine);
    let back = admission.with_fleet(|fleet| fleet.probed(*key, &fine, Instant::now(), 0.0));
    assert!(matches!(back, Change::Back(_)), "{back:?}");
    assert!(admission.can_serve());
    assert_eq!(admission.with_fleet(|fleet| fleet.next_probe_at()), None);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_tells_nothing_makes_room_for_other_models() {
    let admission = admission(&[1], LaneSettings::default());
    let other = || Ask { model: ModelName::new("other"), ..ask(1) };
    let flight = now(&admission, ask(1)).await.commit(Instant::now());
    let slower = Finding::of(Verdict::SlowDown);
    flight.report(&slower, &HeaderMap::new(), Instant::now());
    flight.settle(&Usage::default(), Instant::now());
    advance(2 * SECOND).await;
    let trial = now(&admission, ask(1)).await.commit(Instant::now());
    let mut waiting = Pending::of(&admission, other());
    drop(trial);
    assert!(waiting.granted().is_some(), "nobody rang the other model's line");
}

#[tokio::test(start_paused = true)]
async fn once_closed_nobody_waits_and_nobody_comes_in() {
    let admission = admission(&[], slots(1));
    let own = || Ask { own_key: Some(client_key("one")), ..ask(1) };
    let held = now(&admission, own()).await;
    let mut waiting = Pending::of(&admission, own());
    admission.close();
    assert!(matches!(waiting.poll(), Some(Err(Refusal::Stopping))));
    assert!(matches!(admission.acquire(own()).await, Err(Refusal::Stopping)));
    drop((held, waiting));
    nothing_is_left(&admission);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_shrinks_refuses_whoever_no_longer_fits() {
    let admission = admission(&[1], thousand());
    meet(&admission).await;
    let mut flight = now(&admission, ask(1000)).await.commit(Instant::now());
    let mut waiting = Pending::of(&admission, ask(900));
    let told = QuotaHint { limit: 500, remaining: Some(0), ..QuotaHint::default() };
    flight.observe(&Hint { tokens: Some(told), ..Hint::default() }, Instant::now());
    let answer = waiting.poll().expect("it can never fit");
    assert!(matches!(answer, Err(Refusal::TooLarge { limit: 500, .. })));
}

#[tokio::test(start_paused = true)]
async fn more_models_than_can_be_told_apart_share_one_line() {
    let admission = admission(&[1], slots(1000));
    for n in 0..5000 {
        let ask = Ask { model: ModelName::new(format!("m{n}")), ..ask(1) };
        drop(admission.acquire(ask).await.expect("room"));
    }
    let lanes = admission.snapshot().lanes.len();
    assert!((4000..=4097).contains(&lanes), "{lanes} lanes are remembered");
}

#[tokio::test(start_paused = true)]
async fn who_waits_can_ask_where_it_stands_and_keeps_its_place() {
    let admission = admission(&[1], thousand());
    meet(&admission).await;
    let _spent = now(&admission, ask(1000)).await.commit(Instant::now());
    let _first = Pending::of(&admission, ask(100));
    let Ok(Entered::Waiting(mut second)) = admission.enter(ask(100)) else {
        panic!("it did not have to wait");
    };
    let early = second.whereabouts().expect("it waits");
    assert_eq!(early.ahead, 1);
    assert!((11 * SECOND..=13 * SECOND).contains(&early.expected), "{early:?}");
    tokio::time::timeout(5 * SECOND, second.outcome()).await.expect_err("its turn came early");
    let later = second.whereabouts().expect("it still waits");
    assert_eq!(later.ahead, 1, "it lost its place, or the first one did");
    assert!((6 * SECOND..=8 * SECOND).contains(&later.expected), "{later:?}");
}

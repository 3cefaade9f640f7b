//! That `retry-after` is true: who comes back when told is served, who comes back too early is not.
//!
//! Each case is a line of its own, with arrivals going on in the same class: two thirds of them hold
//! patiently, in a third everybody is held for five seconds and then comes back exactly as told.
//! Requests take up to a twentieth of a window: what the lane refills in 3 s of the hold.
//!
//! `SLUICEGATE_TRUTH_CASES=1000` plays that many of each.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use sluicegate::admit::{Admission, Ask, Entered, Refusal, Reservation};
use sluicegate::limit::{Charging, Counting, Estimator, Hint, LaneSettings};
use sluicegate::units::{Class, Party};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::laws::world::{WINDOW, account_with, ask, line, upstream_of, usage};
use crate::play::dice::Dice;

/// How long everybody but the patient is held.
const HOLD: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
const TOKENS: u64 = 100_000;
/// The predicted waits that are judged, after the hold.
const RANGE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(59));

/// One case, drawn from its seed.
#[derive(Debug, Clone)]
struct Case {
    settings: LaneSettings,
    apps: u64,
    class: Class,
    /// What waits at the beginning, in windows.
    backlog: f64,
    /// What comes in later, in windows per window.
    load: f64,
    /// The largest request, in windows; the least is a third of it.
    size: f64,
    obedient: bool,
    /// When the one asks whose fate is followed.
    asks: Duration,
}

impl Case {
    /// Draws a case in which one waits for `wait` after the hold, or about that.
    fn draw(dice: &mut Dice, wait: Duration) -> Self {
        let counting = [Counting::Bucket, Counting::Bucket, Counting::Sliding];
        let charging = [Charging::Refund, Charging::Refund, Charging::Max, Charging::Later];
        let asks = dice.time(SECOND, 20 * SECOND);
        let stands = (wait + HOLD + asks).as_secs_f64() / WINDOW.as_secs_f64();
        Self {
            load: dice.between(0.1, 0.9),
            settings: LaneSettings {
                requests_per_minute: Some(2_000),
                tokens_per_minute: Some(TOKENS),
                counting: Some(pick(dice, &counting)),
                charging: Some(pick(dice, &charging)),
                estimator: Some(Estimator::Tokens),
                ..LaneSettings::default()
            },
            apps: pick(dice, &[1, 2, 3, 4]),
            class: pick(dice, &Class::ALL),
            backlog: 1.0 + stands,
            size: dice.between(0.01, 0.05),
            obedient: dice.part() < 0.34,
            asks,
        }
    }

    fn party(&self, number: u64) -> Party {
        let app = format!("app{}", number % self.apps);
        Party { app: app.as_str().into(), class: self.class, weight: 100 }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn pick<T: Copy>(dice: &mut Dice, from: &[T]) -> T {
    let index = (dice.part() * from.len() as f64) as usize;
    *from.get(index).or(from.first()).expect("something to pick from")
}

/// A request: input, bound of the output, output.
type Size = (u64, u64, u64);

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn draw_size(dice: &mut Dice, largest: f64) -> Size {
    let all = dice.between(largest / 3.0, largest) * TOKENS as f64;
    let output = all * dice.between(0.1, 0.4);
    ((all - output) as u64, (output * dice.between(1.0, 2.0)) as u64, output as u64)
}

/// One who asks, is held, and comes back when told.
#[derive(Clone)]
struct Client {
    admission: Admission,
    party: Party,
    size: Size,
    likeness: u64,
}

impl Client {
    fn ask(&self, held: Option<Duration>) -> Ask {
        let (input, bound, _) = self.size;
        Ask { likeness: Some(self.likeness), ..ask(&self.party, 0, (input, bound), held) }
    }

    /// Comes back as often as it is told to.
    async fn lives(self, held: Option<Duration>, takes: Duration) {
        loop {
            match self.admission.acquire(self.ask(held)).await {
                Ok(reservation) => return self.sends(reservation, takes).await,
                Err(refusal) => sleep(told(&refusal)).await,
            }
        }
    }

    async fn sends(&self, reservation: Reservation, takes: Duration) {
        let mut flight = reservation.commit(Instant::now());
        sleep(takes / 4).await;
        flight.observe(&Hint::default(), Instant::now());
        sleep(takes).await;
        flight.settle(&usage(self.size.0, self.size.2), Instant::now());
    }
}

/// Returns what `retry-after-ms` says.
fn told(refusal: &Refusal) -> Duration {
    let ms = refusal.retry_after().as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(ms).expect("less than a minute"))
}

/// What the one whose fate is followed was told, and what became of it.
#[derive(Debug, Clone)]
struct Followed {
    /// What was expected when it came.
    predicted: Duration,
    refusal: Refusal,
    /// Whether it was served when it came back; at last, where it came back until it was.
    served: bool,
    /// How long after its refusal that was known.
    after: Duration,
}

/// When one comes back that was told a time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Returns {
    WhenTold,
    AtHalf,
    UntilServed,
}

/// Plays a case; `None` if the one whose fate is followed would have been served within the hold.
fn follow(seed: u64, wait: Duration, returns: Returns) -> Option<(Case, Followed)> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets");
    let mut dice = Dice::new(seed, 7);
    let case = Case::draw(&mut dice, wait);
    let followed = LocalSet::new().block_on(&runtime, async {
        let upstream = upstream_of(vec![account_with(0, 1, case.settings.clone())]);
        let admission = Admission::start(&upstream, &line()).expect("keys that fit into headers");
        let client = |dice: &mut Dice, number: u64| {
            let (party, size) = (case.party(number), draw_size(dice, case.size));
            Client { admission: admission.clone(), party, size, likeness: number }
        };
        Client { size: (1, 0, 0), ..client(&mut dice, 0) }.lives(None, SECOND / 100).await;
        sleep(3 * WINDOW).await;
        let mut number = 0;
        let (mut sum, mut at) = (0.0, Duration::ZERO);
        while at < case.asks + 100 * SECOND {
            let one = client(&mut dice, number);
            let part = part_of(one.size);
            let (comes, takes) = (at, dice.time(SECOND / 5, 4 * SECOND));
            let held = case.obedient.then_some(HOLD);
            tokio::task::spawn_local(async move {
                sleep(comes).await;
                one.lives(held, takes).await;
            });
            (sum, number) = (sum + part, number + 1);
            if sum > case.backlog {
                at += WINDOW.mul_f64(2.0 * dice.part() * part / case.load);
            }
        }
        sleep(case.asks).await;
        comes_and_returns(client(&mut dice, 1_000_000 + number), returns).await
    });
    followed.map(|followed| (case, followed))
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn part_of((input, _, output): Size) -> f64 {
    (input + output) as f64 / TOKENS as f64
}

async fn comes_and_returns(client: Client, returns: Returns) -> Option<Followed> {
    let Entered::Waiting(mut waiting) = client.admission.enter(client.ask(Some(HOLD))).ok()? else {
        return None;
    };
    let predicted = waiting.whereabouts()?.expected;
    let refusal = waiting.outcome().await.err()?;
    let since = Instant::now();
    let mut next = refusal.clone();
    loop {
        let away = told(&next);
        sleep(if returns == Returns::AtHalf { away / 2 } else { away }).await;
        match client.admission.acquire(client.ask(Some(HOLD))).await {
            Err(again) if returns == Returns::UntilServed => next = again,
            end => {
                let (served, after) = (end.is_ok(), since.elapsed());
                return Some(Followed { predicted, refusal, served, after });
            }
        }
    }
}

/// Plays so many cases whose predicted wait is that of the hold and of `range`.
fn follow_all(
    count: usize,
    range: (Duration, Duration),
    returns: Returns,
) -> Vec<(Case, Followed)> {
    let mut all = Vec::new();
    for seed in 1.. {
        let wait = Dice::new(seed, 8).time(range.0, range.1);
        let Some((case, followed)) = follow(seed, wait, returns) else { continue };
        let wait = followed.predicted.checked_sub(HOLD);
        if wait.is_some_and(|wait| wait >= range.0 && wait <= range.1) {
            all.push((case, followed));
        }
        if all.len() == count {
            break;
        }
        assert!(seed < 20 * count as u64, "hardly any case is in range");
    }
    all
}

/// Returns how many are played: few in every run, as many as the environment says where it does.
fn cases(usual: usize) -> usize {
    let told = std::env::var("SLUICEGATE_TRUTH_CASES").ok();
    told.and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

/// Returns the part of which `is_right` holds, and prints the others.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn right(all: &[(Case, Followed)], is_right: impl Fn(&Followed) -> bool) -> f64 {
    let wrong: Vec<&(Case, Followed)> = all.iter().filter(|(_, one)| !is_right(one)).collect();
    for (case, one) in wrong.iter().take(40) {
        let Case { settings, apps, load, size, obedient, .. } = case;
        println!(
            "{:?} {:?} apps {apps} load {load:.2} size {size:.2} obedient {obedient}: {one:?}",
            settings.counting, settings.charging
        );
    }
    println!("{} of {} wrong", wrong.len(), all.len());
    1.0 - wrong.len() as f64 / all.len() as f64
}

#[test]
fn who_comes_back_when_told_is_served_within_the_hold() {
    let all = follow_all(cases(200), RANGE, Returns::WhenTold);
    let served = right(&all, |one| one.served);
    assert!(served >= 0.99, "{served}");
}

#[test]
fn who_comes_back_at_half_of_it_is_refused_again() {
    let all = follow_all(cases(100), RANGE, Returns::AtHalf);
    let refused = right(&all, |one| !one.served);
    assert!(refused >= 0.80, "{refused}");
}

/// Its place is kept: it is served when it was told at first, however often it comes back.
#[test]
fn who_would_have_to_stay_away_for_longer_is_told_59_seconds_and_the_true_wait() {
    let range = (Duration::from_secs(66), Duration::from_secs(200));
    let all = follow_all(cases(60).min(100), range, Returns::UntilServed);
    let is_59 = |one: &Followed| told(&one.refusal).as_millis().div_ceil(1_000) == 59;
    let longest = right(&all, is_59);
    assert!(longest >= 1.0, "{longest}");
    let is_true = |one: &Followed| {
        let expected = one.refusal.expected_wait().unwrap_or_default().as_secs_f64();
        (one.after.as_secs_f64() - expected).abs() <= 0.1 * expected + 5.0
    };
    let truth = right(&all, is_true);
    assert!(truth >= 0.95, "{truth}");
}

//! What each app gets while several always have something waiting, and how long the least urgent wait.

use std::time::Duration;

use proptest::prelude::*;
use sluicegate::limit::{Charging, Counting};
use sluicegate::units::{Class, Party};

use super::book::Book;
use super::cases;
use super::live::play;
use super::reckon::float;
use super::world::{Account, Fate, Job, Mode, Told, WINDOW, World};

const TOKENS: u64 = 2_000;
const COUNTINGS: [Counting; 3] = [Counting::Bucket, Counting::Sliding, Counting::Fixed];

fn world(counting: Counting, charging: Charging, apps: Vec<Party>, mut jobs: Vec<Job>) -> World {
    jobs.sort_by_key(|job| job.arrives);
    let (requests, tokens) = (1_000, TOKENS);
    let account = Account { keys: 1, key_dies: None, requests, tokens, slots: None, daily: None };
    World {
        accounts: vec![account],
        mode: Mode { counting, charging },
        phase: Duration::ZERO,
        told: Told { levels: true, limits: true, mode: true },
        apps,
        jobs,
    }
}

fn app(name: &str, class: Class, weight: u32) -> Party {
    Party { class, weight, ..Party::usual(name.into()) }
}

fn job(app: usize, arrives: Duration, (input, bound, output): (u64, u64, u64)) -> Job {
    Job {
        arrives,
        app,
        model: 0,
        input,
        bound,
        output,
        delay: Duration::from_millis(5),
        takes: Duration::from_millis(300),
        fate: Fate::Answered,
        hangs_up: None,
        held: None,
    }
}

/// Returns what an app was charged in whole windows in which both always had somebody waiting: after the
/// first one, in which some went before others had come.
fn charged(book: &Book, app: usize, until: Duration) -> f64 {
    let windows = u32::try_from(until.as_secs() / WINDOW.as_secs()).expect("a few windows");
    let own = book.debits.iter().filter(|debit| book.job(debit.job).app == app);
    let own = own.filter(|debit| debit.at >= WINDOW && debit.at < windows * WINDOW);
    let charging = book.world().mode.charging;
    own.map(|debit| float(book.job(debit.job).last(charging).tokens)).sum()
}

fn last_grant(book: &Book, app: usize) -> Duration {
    let own = book.debits.iter().filter(|debit| book.job(debit.job).app == app);
    own.map(|debit| debit.at).max().unwrap_or_default()
}

proptest! {
    #![proptest_config(cases(12))]

    /// One asks for far more than it uses, the other for exactly that: both are charged alike, each by
    /// its weight, but for a few requests.
    #[test]
    fn apps_that_always_wait_are_charged_by_their_weights_whatever_they_reserve(
        weights in (prop::sample::select(vec![50, 100, 200]), prop::sample::select(vec![100, 150])),
        small in 5..20_u64,
        large in 60..120_u64,
        counting in prop::sample::select(COUNTINGS.to_vec()),
    ) {
        let apps = vec![
            app("modest", Class::Standard, weights.0),
            app("greedy", Class::Standard, weights.1),
        ];
        let modest = (0..90).map(|_| job(0, Duration::ZERO, (20, large, large)));
        let greedy = (0..260).map(|_| job(1, Duration::ZERO, (20, 200, small)));
        let book = play(&world(counting, Charging::Refund, apps, modest.chain(greedy).collect()));
        let until = last_grant(&book, 0).min(last_grant(&book, 1));
        let parts = (charged(&book, 0, until), charged(&book, 1, until));
        let per_weight =
            (parts.0 * 100.0 / f64::from(weights.0), parts.1 * 100.0 / f64::from(weights.1));
        let off = (per_weight.0 - per_weight.1).abs();
        // Each may be a request ahead, and a few are under way whose use nobody knows yet.
        prop_assert!(off <= 0.06 * (per_weight.0 + per_weight.1), "{parts:?} for {weights:?}, {counting:?}");
    }

    /// The bound that `line` states: whatever comes in above it, a class keeps a twentieth.
    #[test]
    fn the_least_urgent_waits_no_longer_than_twenty_times_what_stands_before_it(
        counting in prop::sample::select(COUNTINGS.to_vec()),
        sizes in prop::collection::vec(20..300_u64, 1..4),
        size in 60..160_u64,
    ) {
        let apps = vec![
            app("prompt", Class::Interactive, 100),
            app("night", Class::Batch, 100),
        ];
        // A third more than there is room for, for twice as long as the bound.
        let sum: u64 = sizes.iter().sum();
        let windows = 2.0 * (float(sum) / float(TOKENS) / 0.05 + 3.0);
        let gap = WINDOW.mul_f64(float(size) / float(TOKENS) / 1.33);
        let count = (windows * WINDOW.as_secs_f64() / gap.as_secs_f64()).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let count = count as u32;
        let urgent = (0..count).map(|n| job(0, gap * n, (size, 0, 0)));
        let begin = WINDOW / 2;
        let night = sizes.iter().map(|size| job(1, begin, (*size, 0, 0)));
        let book = play(&world(counting, Charging::Max, apps, urgent.chain(night).collect()));
        let mut before = 0;
        for debit in book.debits.iter().filter(|debit| book.job(debit.job).app == 1) {
            before += book.job(debit.job).need(Charging::Max).tokens;
            let bound = WINDOW.mul_f64(float(before) / float(TOKENS) / 0.05 + 2.0);
            let waited = debit.at - begin;
            prop_assert!(waited <= bound, "it waited {waited:?}, and not {bound:?}");
        }
        prop_assert_eq!(before, sum, "not all of them went");
    }
}

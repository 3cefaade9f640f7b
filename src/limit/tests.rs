mod refusals;
mod slices;

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::count::{Demand, Method};
use crate::units::{Requests, Tokens, Usage};

const SECOND: Duration = Duration::from_secs(1);

fn demand(input: u64, bound: Option<u64>) -> Demand {
    Demand {
        requests: Requests::ONE,
        input: Tokens::new(input),
        output_bound: bound.map(Tokens::new),
        characters: input * 4,
        images: 0,
        method: Method::Exact,
    }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input: Tokens::new(input), output: Tokens::new(output), ..Usage::default() }
}

fn settings(tokens: u64) -> LaneSettings {
    LaneSettings { tokens_per_minute: Some(tokens), ..LaneSettings::default() }
}

/// A lane that has had its first answer, at the time of which everything is free again.
fn met(settings: LaneSettings) -> (Lane, Instant) {
    let begin = Instant::now();
    let mut lane = Lane::new(settings, begin);
    let mut debit =
        lane.try_reserve(&demand(0, Some(0)), Spare::default(), begin).expect("the first may go");
    lane.sent(&mut debit, begin);
    lane.observe(&mut debit, &Hint::default(), begin);
    lane.settle(debit, &usage(0, 0), begin);
    (lane, begin + Duration::from_secs(600))
}

fn level(lane: &Lane, kind: QuotaKind, now: Instant) -> i64 {
    let levels = lane.levels(now);
    levels.iter().find(|level| level.quota == kind).expect("it has that quota").headroom
}

fn tokens_left(lane: &Lane, now: Instant) -> i64 {
    level(lane, QuotaKind::TokensPerMinute, now)
}

#[test]
fn charges_what_the_provider_charges() {
    struct Case {
        charging: Charging,
        reserved: i64,
        settled: i64,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { charging: Charging::Max,    reserved: 100, settled: 100 },
        Case { charging: Charging::Refund, reserved: 130, settled: 50 },
        Case { charging: Charging::Later,  reserved: 130, settled: 50 },
    ];
    for Case { charging, reserved, settled } in cases {
        let (mut lane, now) = met(LaneSettings { charging: Some(charging), ..settings(1_000) });
        let debit =
            lane.try_reserve(&demand(30, Some(100)), Spare::default(), now).expect("there is room");
        assert_eq!(tokens_left(&lane, now), 1_000 - reserved, "{charging:?} reserves");
        lane.settle(debit, &usage(30, 20), now);
        assert_eq!(tokens_left(&lane, now), 1_000 - settled, "{charging:?} settles");
    }
}

#[test]
fn input_and_output_are_charged_apart() {
    let (mut lane, now) = met(LaneSettings {
        tokens_per_minute: None,
        input_tokens_per_minute: Some(1_000),
        output_tokens_per_minute: Some(500),
        charging: Some(Charging::Split),
        ..LaneSettings::default()
    });
    let debit =
        lane.try_reserve(&demand(30, Some(100)), Spare::default(), now).expect("there is room");
    assert_eq!(level(&lane, QuotaKind::InputTokensPerMinute, now), 970);
    assert_eq!(level(&lane, QuotaKind::OutputTokensPerMinute, now), 400, "its bound is kept free");
    lane.settle(debit, &usage(25, 20), now);
    assert_eq!(level(&lane, QuotaKind::InputTokensPerMinute, now), 975);
    assert_eq!(level(&lane, QuotaKind::OutputTokensPerMinute, now), 480);
}

#[test]
fn a_shortfall_of_one_quota_leaves_all_untouched() {
    let given = LaneSettings { requests_per_minute: Some(100), ..settings(1_000) };
    let (mut lane, now) = met(given);
    let _first =
        lane.try_reserve(&demand(900, Some(0)), Spare::default(), now).expect("there is room");
    let before = lane.levels(now);
    let short = lane
        .try_reserve(&demand(200, Some(0)), Spare::default(), now)
        .expect_err("100 tokens short");
    assert_eq!(lane.levels(now), before);
    let Shortfall::Later { quota: QuotaKind::TokensPerMinute, at } = short else {
        panic!("{short:?}");
    };
    let wait = at - now;
    assert!(wait >= 6 * SECOND && wait < 7 * SECOND, "100 of 1,000 a minute take 6 s: {wait:?}");
    assert!(
        lane.try_reserve(&demand(200, Some(0)), Spare::default(), at).is_ok(),
        "the promised time is true"
    );
}

#[test]
fn a_cancelled_debit_vanishes_and_a_refused_one_leaves_its_request() {
    for counting in [Counting::Bucket, Counting::Sliding, Counting::Fixed] {
        let given = LaneSettings {
            requests_per_minute: Some(100),
            counting: Some(counting),
            ..settings(1_000)
        };
        let (mut lane, now) = met(given);
        let full = lane.levels(now);
        let debit = lane
            .try_reserve(&demand(300, Some(200)), Spare::default(), now)
            .expect("there is room");
        lane.cancel(debit);
        assert_eq!(lane.levels(now), full, "{counting:?}: cancelled");

        let mut debit = lane
            .try_reserve(&demand(300, Some(200)), Spare::default(), now)
            .expect("there is room");
        lane.sent(&mut debit, now);
        lane.refused(debit, now);
        assert_eq!(tokens_left(&lane, now), 1_000, "{counting:?}: tokens of a refused request");
        assert_eq!(
            level(&lane, QuotaKind::RequestsPerMinute, now),
            99,
            "{counting:?}: its request"
        );
        let again = lane.try_reserve(&demand(1, Some(0)), Spare::default(), now);
        assert!(matches!(again, Err(Shortfall::Later { .. })), "{counting:?}: not again at once");
    }
}

#[test]
fn a_failed_request_gives_its_tokens_back_and_lets_the_next_go_at_once() {
    let given = LaneSettings { requests_per_minute: Some(100), ..settings(1_000) };
    let (mut lane, now) = met(given);
    let mut debit =
        lane.try_reserve(&demand(300, Some(200)), Spare::default(), now).expect("there is room");
    lane.sent(&mut debit, now);
    lane.observe(&mut debit, &Hint::default(), now);
    lane.failed(debit, now);
    assert_eq!(tokens_left(&lane, now), 1_000, "its tokens");
    assert_eq!(level(&lane, QuotaKind::RequestsPerMinute, now), 99, "its request");
    let next = lane.try_reserve(&demand(1_000, Some(0)), Spare::default(), now);
    assert!(next.is_ok(), "one client's bad request held up all others: {next:?}");
}

#[test]
fn what_a_failed_request_gave_back_is_credited_once() {
    let milli = SECOND / 1_000;
    // Its failure is heard of before those answers that tell that it was given back, or after them.
    for (failed, answered) in [(40 * milli, 80 * milli), (20 * milli, 10 * milli)] {
        let (counting, charging) = (Some(Counting::Sliding), Some(Charging::Refund));
        let (mut lane, now) = met(LaneSettings { counting, charging, ..settings(1_000) });
        let mut reserve = |input, bound| {
            let demand = demand(input, Some(bound));
            let mut debit =
                lane.try_reserve(&demand, Spare::default(), now).expect("there is room");
            lane.sent(&mut debit, now);
            debit
        };
        let mut fails = Some(reserve(300, 100));
        let others: Vec<Debit> = (0..30).map(|_| reserve(10, 0)).collect();
        if failed < answered {
            fails.into_iter().for_each(|debit| lane.failed(debit, now + failed));
            fails = None;
        }
        for (mut debit, left) in others.into_iter().zip((700..1_000).rev().step_by(10)) {
            let told = told_quota(1_000, left - 9, 60 * SECOND);
            let hint = Hint { tokens: Some(told), ..Hint::default() };
            lane.observe(&mut debit, &hint, now + answered);
            lane.settle(debit, &usage(10, 0), now + answered);
        }
        fails.into_iter().for_each(|debit| lane.failed(debit, now + failed));
        assert_eq!(tokens_left(&lane, now + SECOND), 700, "{failed:?} before {answered:?}");
    }
}

#[test]
fn a_limit_that_an_answer_lowered_is_tried_again_after_a_silent_minute() {
    let (mut lane, now) = met(settings(1_000));
    let mut debit =
        lane.try_reserve(&demand(100, Some(0)), Spare::default(), now).expect("there is room");
    lane.sent(&mut debit, now);
    let told = told_quota(1, 0, SECOND);
    lane.observe(&mut debit, &Hint { tokens: Some(told), ..Hint::default() }, now);
    lane.settle(debit, &usage(100, 0), now);
    let large = demand(100, Some(0));
    let refused = lane.try_reserve(&large, Spare::default(), now + 59 * SECOND);
    assert!(matches!(refused, Err(Shortfall::TooLarge { limit: 1, .. })), "{refused:?}");

    let later = now + 60 * SECOND;
    let tried =
        lane.try_reserve(&large, Spare::default(), later).expect("the limit may have been raised");
    let second = lane.try_reserve(&large, Spare::default(), later);
    assert!(matches!(second, Err(Shortfall::TooLarge { .. })), "one is enough: {second:?}");
    lane.cancel(tried);
}

#[test]
fn a_configured_limit_is_not_tried() {
    let (lane, now) = met(settings(1_000));
    let size = lane.oversize(&demand(1_001, Some(0)), now);
    assert_eq!(size, Some((QuotaKind::TokensPerMinute, 1_000, 1_001)));
}

#[test]
fn a_prompt_that_may_fit_is_not_refused_for_what_its_characters_would_be() {
    let (mut lane, now) = met(LaneSettings { estimator: None, ..settings(1_000) });
    // 850 tokens of 5,000 characters: by a quarter of those it never fits.
    let spacious = Demand { characters: 5_000, ..demand(850, Some(50)) };
    assert_eq!(lane.oversize(&spacious, now), None);
    let debit = lane.try_reserve(&spacious, Spare::default(), now).expect("all there is");
    assert_eq!(tokens_left(&lane, now), 0, "nobody goes beside it");
    lane.cancel(debit);
    let never = Demand { characters: 5_000, ..demand(951, Some(50)) };
    assert!(lane.oversize(&never, now).is_some(), "by no measure");
    let told = LaneSettings { estimator: Some(Estimator::Chars4), ..settings(1_000) };
    let (lane, now) = met(told);
    assert!(lane.oversize(&spacious, now).is_some(), "as configured");
}

#[test]
fn a_kept_debit_stays() {
    let (mut lane, now) = met(settings(1_000));
    let debit =
        lane.try_reserve(&demand(300, Some(200)), Spare::default(), now).expect("there is room");
    lane.keep(debit, now);
    assert_eq!(tokens_left(&lane, now), 500);
}

#[test]
fn only_what_can_never_fit_is_too_large() {
    let (mut lane, now) = met(settings(1_000));
    let large = lane
        .try_reserve(&demand(600, Some(500)), Spare::default(), now)
        .expect_err("1,100 of 1,000");
    let too_large =
        Shortfall::TooLarge { quota: QuotaKind::TokensPerMinute, limit: 1_000, wanted: 1_100 };
    assert_eq!(large, too_large);
    assert_eq!(lane.oversize(&demand(500, Some(500)), now), None, "what fits an empty lane fits");
    assert_eq!(
        lane.oversize(&demand(900, None), now),
        None,
        "an absent bound never makes it too large"
    );
    assert!(
        lane.try_reserve(&demand(900, None), Spare::default(), now).is_ok(),
        "nor keeps it out of an empty lane"
    );
}

#[test]
fn slots_come_back_however_a_request_ends() {
    let given = LaneSettings { concurrency: Some(1), ..settings(1_000) };
    let (mut lane, now) = met(given);
    let debit =
        lane.try_reserve(&demand(1, Some(1)), Spare::default(), now).expect("there is a slot");
    let short = lane
        .try_reserve(&demand(1, Some(1)), Spare::default(), now)
        .expect_err("there is no other");
    assert_eq!(short, Shortfall::AfterAnswer { quota: QuotaKind::Concurrency });
    lane.settle(debit, &usage(1, 1), now);
    let debit =
        lane.try_reserve(&demand(1, Some(1)), Spare::default(), now).expect("it is free again");
    lane.cancel(debit);
    let debit =
        lane.try_reserve(&demand(1, Some(1)), Spare::default(), now).expect("a cancelled one too");
    lane.keep(debit, now);
    let debit =
        lane.try_reserve(&demand(1, Some(1)), Spare::default(), now).expect("and a kept one");
    lane.refused(debit, now);
    assert!(
        lane.try_reserve(&demand(1, Some(1)), Spare::default(), now + SECOND).is_ok(),
        "and a refused one"
    );
}

#[test]
fn before_the_first_answer_few_are_under_way() {
    let begin = Instant::now();
    let mut unknown = Lane::new(LaneSettings::default(), begin);
    let count = |lane: &mut Lane, now| {
        let tries = std::iter::from_fn(|| {
            lane.try_reserve(&demand(10, Some(10)), Spare::default(), now).ok()
        });
        tries.take(1_000).map(std::mem::forget).count()
    };
    assert_eq!(count(&mut unknown, begin), 4, "where no limit is known");
    assert_eq!(count(&mut unknown, begin + 5 * SECOND), 4, "twice as many after 5 s");
    let mut known = Lane::new(settings(2_000), begin);
    assert_eq!(count(&mut known, begin), 5, "a twentieth of 2,000 tokens");
    let mut small = Lane::new(settings(20), begin);
    assert_eq!(count(&mut small, begin), 1, "but always one");
}

#[test]
fn a_lower_level_is_believed_at_once_where_that_is_certain() {
    let (mut lane, now) = met(settings(1_000));
    let mut debit =
        lane.try_reserve(&demand(100, Some(0)), Spare::default(), now).expect("there is room");
    lane.sent(&mut debit, now);
    let later = now + SECOND / 10;
    let told = told_quota(1_000, 300, 42 * SECOND);
    let processing = Some(SECOND / 20);
    let hint = Hint { tokens: Some(told), processing, ..Hint::default() };
    lane.observe(&mut debit, &hint, later);
    let left = tokens_left(&lane, later);
    assert!((295..=302).contains(&left), "700 were used by others, {left} are left");
}

#[test]
fn a_single_higher_level_is_not_believed() {
    let (mut lane, now) = met(settings(1_000));
    let big =
        lane.try_reserve(&demand(500, Some(0)), Spare::default(), now).expect("there is room");
    lane.keep(big, now);
    let at = now + SECOND;
    let mut debit =
        lane.try_reserve(&demand(100, Some(0)), Spare::default(), at).expect("there is room");
    lane.sent(&mut debit, at);
    let told = told_quota(1_000, 900, 6 * SECOND);
    lane.observe(&mut debit, &Hint { tokens: Some(told), ..Hint::default() }, at);
    assert!(tokens_left(&lane, at) < 450, "it may be a refund that is not known here yet");
}

#[test]
fn limits_are_taken_over_and_told_apart_by_their_window() {
    let begin = Instant::now();
    let refunds = LaneSettings { charging: Some(Charging::Refund), ..LaneSettings::default() };
    let mut lane = Lane::new(refunds, begin);
    let mut debit =
        lane.try_reserve(&demand(10, Some(10)), Spare::default(), begin).expect("the first may go");
    lane.sent(&mut debit, begin);
    // 8.64 s per request are 10,000 a day.
    let requests = told_quota(10_000, 9_999, Duration::from_millis(8_640));
    let tokens = told_quota(60_000, 59_980, Duration::from_millis(20));
    let hint = Hint { requests: Some(requests), tokens: Some(tokens), ..Hint::default() };
    lane.observe(&mut debit, &hint, begin);
    assert_eq!(level(&lane, QuotaKind::RequestsPerDay, begin), 9_999);
    assert_eq!(tokens_left(&lane, begin), 59_980);
    lane.settle(debit, &usage(10, 0), begin);
    assert_eq!(tokens_left(&lane, begin), 59_990, "its refund counts though the quota came later");
}

#[test]
fn the_arithmetic_of_a_refusal_sets_the_level() {
    let (mut lane, now) = met(settings(1_000));
    let mut debit =
        lane.try_reserve(&demand(100, Some(100)), Spare::default(), now).expect("there is room");
    lane.sent(&mut debit, now);
    let refusal = RefusalHint {
        quota: Some(QuotaKind::TokensPerMinute),
        limit: 1_000,
        used: Some(900),
        requested: 200,
    };
    let retry_after = Some(6 * SECOND);
    lane.observe(&mut debit, &Hint { refusal: Some(refusal), retry_after, ..Hint::default() }, now);
    lane.refused(debit, now);
    let left = tokens_left(&lane, now);
    assert!((90..=101).contains(&left), "900 of 1,000 are used, {left} are left");
}

#[test]
fn a_refusal_tells_what_an_absent_bound_is_charged_although_less_would_have_fit() {
    let begin = Instant::now();
    let mut lane = Lane::new(LaneSettings::default(), begin);
    let told = |left| QuotaHint { limit: 60_000, remaining: Some(left), ..QuotaHint::default() };
    let mut debits: Vec<Debit> = [begin, begin + 5 * SECOND]
        .map(|at| {
            let debit = lane.try_reserve(&demand(20, None), Spare::default(), at);
            let mut debit = debit.expect("one, and another where it takes long");
            lane.sent(&mut debit, at);
            debit
        })
        .into();
    let refused = debits.pop();
    let now = begin + 6 * SECOND;
    for mut debit in debits {
        let hint =
            Hint { requests: Some(told(400)), tokens: Some(told(43_596)), ..Hint::default() };
        lane.observe(&mut debit, &hint, now);
        lane.settle(debit, &usage(20, 20), now);
    }
    let mut refused = refused.expect("two were sent");
    let refusal = RefusalHint {
        quota: Some(QuotaKind::TokensPerMinute),
        limit: 60_000,
        used: Some(49_212),
        requested: 16_404,
    };
    let (requests, tokens) = (Some(told(400)), Some(told(10_788)));
    let hint = Hint { requests, tokens, refusal: Some(refusal), ..Hint::default() };
    lane.observe(&mut refused, &hint, now);
    lane.refused(refused, now);
    let reserved = lane.reserved(&demand(20, None)).tokens;
    assert!((16_404..=16_424).contains(&reserved), "{reserved}: with or beside the prompt");
}

#[test]
fn an_exact_wait_tells_the_level() {
    let (mut lane, now) = met(LaneSettings {
        counting: Some(Counting::Bucket),
        charging: Some(Charging::Refund),
        ..settings(1_000)
    });
    let mut debit =
        lane.try_reserve(&demand(100, Some(100)), Spare::default(), now).expect("there is room");
    lane.sent(&mut debit, now);
    lane.observe(&mut debit, &Hint { retry_after: Some(6 * SECOND), ..Hint::default() }, now);
    lane.refused(debit, now);
    let left = tokens_left(&lane, now);
    assert!((99..=100).contains(&left), "100 of 200 come in 6 s, {left} are left");
}

#[test]
fn the_place_of_a_queue_in_time_is_told() {
    struct Case {
        counting: Counting,
        tokens: u64,
        seconds: std::ops::Range<u64>,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { counting: Counting::Bucket,  tokens: 0,     seconds: 0..1 },
        Case { counting: Counting::Bucket,  tokens: 500,   seconds: 30..31 },
        Case { counting: Counting::Bucket,  tokens: 2_500, seconds: 150..151 },
        Case { counting: Counting::Sliding, tokens: 1_000, seconds: 60..61 },
        Case { counting: Counting::Sliding, tokens: 2_500, seconds: 180..181 },
    ];
    for Case { counting, tokens, seconds } in cases {
        let (mut lane, now) = met(LaneSettings { counting: Some(counting), ..settings(1_000) });
        let debit = lane
            .try_reserve(&demand(1_000, Some(0)), Spare::default(), now)
            .expect("there is room");
        lane.keep(debit, now);
        let eta = lane.eta(&Cost { requests: 1, tokens }, now) - now;
        assert!(seconds.contains(&eta.as_secs()), "{counting:?} {tokens}: {eta:?}");
    }
}

#[test]
fn time_that_runs_backwards_changes_nothing() {
    let (mut lane, now) = met(settings(1_000));
    let debit =
        lane.try_reserve(&demand(100, Some(0)), Spare::default(), now).expect("there is room");
    let early = now - 30 * SECOND;
    let other =
        lane.try_reserve(&demand(100, Some(0)), Spare::default(), early).expect("there is room");
    lane.settle(debit, &usage(100, 0), early);
    lane.keep(other, early);
    assert_eq!(tokens_left(&lane, early), 800);
}

#[test]
fn hostile_numbers_do_not_panic() {
    let given = LaneSettings {
        requests_per_minute: Some(0),
        tokens_per_minute: Some(u64::MAX),
        tokens_per_day: Some(1),
        minute: Duration::ZERO,
        day: Duration::MAX,
        ..LaneSettings::default()
    };
    for counting in [Counting::Bucket, Counting::Sliding, Counting::Fixed] {
        let begin = Instant::now();
        let mut lane = Lane::new(LaneSettings { counting: Some(counting), ..given.clone() }, begin);
        for (input, bound) in
            [(u64::MAX, Some(u64::MAX)), (u64::MAX, None), (0, None), (1, Some(0))]
        {
            let Ok(mut debit) =
                lane.try_reserve(&demand(input / 4, bound), Spare::default(), begin)
            else {
                continue;
            };
            lane.sent(&mut debit, begin);
            let absurd = told_quota(u64::MAX, u64::MAX, Duration::MAX);
            let hint = Hint {
                requests: Some(absurd),
                tokens: Some(QuotaHint { remaining: Some(0), ..absurd }),
                input: Some(absurd),
                output: Some(absurd),
                retry_after: Some(Duration::MAX),
                processing: Some(Duration::MAX),
                refusal: Some(RefusalHint {
                    quota: None,
                    limit: 1,
                    used: Some(u64::MAX),
                    requested: 0,
                }),
                ..Hint::default()
            };
            lane.observe(&mut debit, &hint, begin);
            lane.settle(debit, &usage(u64::MAX, u64::MAX), begin);
        }
        let _levels = lane.levels(begin);
        let _eta = lane.eta(&Cost { requests: u64::MAX, tokens: u64::MAX }, begin);
        let _headroom = lane.headroom(begin);
    }
}

fn told_quota(limit: u64, remaining: u64, reset: Duration) -> QuotaHint {
    let (remaining, reset) = (Some(remaining), Some(reset));
    QuotaHint { limit, remaining, reset, ..QuotaHint::default() }
}

/// Plays 40 answers of a provider that allows `limit` and never runs short; returns the lane.
fn told_of(limit: u64, lane: &mut Lane, mut now: Instant) -> Instant {
    for _ in 0..40 {
        let mut debit =
            lane.try_reserve(&demand(5, Some(5)), Spare::default(), now).expect("there is room");
        lane.sent(&mut debit, now);
        now += SECOND;
        let quota = told_quota(limit, limit - 10, Duration::from_secs_f64(600.0 / count_of(limit)));
        lane.observe(&mut debit, &Hint { tokens: Some(quota), ..Hint::default() }, now);
        lane.settle(debit, &usage(5, 5), now);
    }
    now
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn count_of(limit: u64) -> f64 {
    limit as f64
}

#[test]
fn a_configured_limit_is_lowered_by_the_provider_and_never_raised() {
    let (mut lane, now) = met(settings(1_000));
    let now = told_of(9_000, &mut lane, now);
    assert!(
        lane.try_reserve(&demand(900, Some(0)), Spare::default(), now).is_ok(),
        "what was configured is there"
    );
    assert!(
        lane.try_reserve(&demand(900, Some(0)), Spare::default(), now).is_err(),
        "the rest is for others"
    );
    let (mut lane, now) = met(settings(1_000));
    let now = told_of(500, &mut lane, now);
    assert!(lane.oversize(&demand(600, Some(0)), now).is_some(), "the provider's 500 hold");
    assert!(lane.try_reserve(&demand(400, Some(0)), Spare::default(), now).is_ok());
}

#[test]
fn a_reset_of_centuries_does_not_turn_the_minute_into_a_day() {
    let (mut lane, now) = met(settings(1_000));
    let mut debit =
        lane.try_reserve(&demand(5, Some(5)), Spare::default(), now).expect("there is room");
    lane.sent(&mut debit, now);
    let reset = Some(Duration::from_secs(18_446_744_073));
    let told = QuotaHint { reset, ..told_quota(1_000, 990, SECOND) };
    lane.observe(&mut debit, &Hint { tokens: Some(told), ..Hint::default() }, now);
    lane.settle(debit, &usage(5, 5), now);
    let kinds: Vec<QuotaKind> = lane.levels(now).iter().map(|level| level.quota).collect();
    assert_eq!(kinds, [QuotaKind::TokensPerMinute], "no day quota was made up");
}

fn of_tokens(counting: Counting, charging: Charging) -> (Lane, Instant) {
    let (counting, charging) = (Some(counting), Some(charging));
    met(LaneSettings { counting, charging, ..settings(10_000) })
}

/// A prompt of 50 tokens that some providers take for 100.
fn doubtful(bound: u64) -> Demand {
    Demand { characters: 400, ..demand(50, Some(bound)) }
}

#[test]
fn what_was_under_way_when_it_was_sent_may_have_been_charged_less() {
    let (mut lane, begin) = of_tokens(Counting::Bucket, Charging::Refund);
    let mut send = || {
        let mut debit =
            lane.try_reserve(&doubtful(10), Spare::default(), begin).expect("there is room");
        lane.sent(&mut debit, begin);
        debit
    };
    let (first, mut second) = (send(), send());
    lane.settle(first, &usage(50, 10), begin + SECOND);
    // Both were charged 60, where 110 were debited for each.
    let tokens = Some(told_quota(10_000, 9_880, Duration::from_millis(720)));
    let hint = Hint { tokens, processing: Some(SECOND * 2), ..Hint::default() };
    lane.observe(&mut second, &hint, begin + SECOND * 2);
    assert_eq!(lane.banks[0].beliefs[0].score.miss(), 0.0, "nothing contradicts it");
}

#[test]
fn before_a_level_was_told_prompts_may_have_been_estimated_too_high() {
    let (mut lane, begin) = of_tokens(Counting::Sliding, Charging::Later);
    for _ in 0..20 {
        let mut debit =
            lane.try_reserve(&doubtful(10), Spare::default(), begin).expect("there is room");
        lane.sent(&mut debit, begin);
        lane.observe(&mut debit, &Hint::default(), begin);
        lane.settle(debit, &usage(50, 0), begin);
    }
    let mut miss_of = |used| {
        let now = begin + SECOND;
        let mut debit = lane.reserve_anyway(&doubtful(10), now);
        lane.sent(&mut debit, now);
        let quota = Some(QuotaKind::TokensPerMinute);
        let refusal = RefusalHint { quota, limit: 10_000, used: Some(used), requested: 50 };
        let hint = Hint { refusal: Some(refusal), ..Hint::default() };
        lane.observe(&mut debit, &hint, now);
        lane.refused(debit, now);
        lane.banks[0].beliefs[0].score.miss()
    };
    assert_eq!(miss_of(1_000), 0.0, "each was charged 50, where 100 were debited");
    assert!(miss_of(500) > 0.0, "what was told is known");
}

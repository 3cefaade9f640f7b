//! Tests of the engine: laws in simulated time, and examples of each rule.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::meter::{Life, Meter};
use super::*;

const KEY: &str = "sk-a";
const MODEL: &str = "gpt-4o-mini";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn organisation(name: &str, key: Key, limits: &Limits) -> Organisation {
    let rule = LimitRule { models: "*".into(), shared: false, limits: limits.clone() };
    Organisation { name: name.into(), keys: vec![key], rules: vec![rule] }
}

fn rules(limits: &Limits) -> Rules {
    let organisations = vec![organisation("org-a", Key::valid(KEY), limits)];
    Rules { organisations, oracle_key: Some("sk-oracle".into()), ..Rules::default() }
}

fn engine(limits: &Limits) -> Engine {
    Engine::new(rules(limits))
}

fn tokens(limit: u64, counting: Counting, charging: Charging) -> Limits {
    Limits { tokens_per_minute: Some(limit), counting, charging, ..Limits::default() }
}

fn cost(prompt: u64, bound: u64, output: u64) -> Cost {
    Cost {
        prompt,
        characters: prompt * 4,
        bound: Some(bound),
        generations: 1,
        model_max: 16_384,
        output,
    }
}

fn reading(engine: &mut Engine, metric: Metric, now: Duration) -> Reading {
    let stats = engine.stats(now);
    let meters = stats.lanes.iter().flat_map(|lane| &lane.meters);
    meters.into_iter().find(|meter| meter.metric == metric).expect("the meter").reading
}

fn level(engine: &mut Engine, now: Duration) -> f64 {
    reading(engine, Metric::TokensPerMinute, now).level
}

#[test]
fn resets_are_those_that_were_posted() {
    #[rustfmt::skip] // One sample a line: the table is read by columns.
    let samples = [
        (5_000,     4_999,   60,     12),
        (160_000,   159_976, 60,     9),
        (10_000,    9_481,   60,     3_114),
        (10_000,    9_999,   86_400, 8_640),
        (200_000,   199_978, 60,     6),
        (500,       499,     60,     120),
    ];
    for (limit, remaining, window, millis) in samples {
        let mut meter = Meter::new(limit, seconds(window), &Limits::default(), 0);
        meter.debit(limit - remaining, 0, Life::Final);
        assert_eq!(meter.remaining(0), remaining);
        assert_eq!(meter.reset(0).as_millis(), millis, "{limit}/{remaining}");
    }
}

#[test]
fn each_rule_charges_as_it_says() {
    struct Case {
        charging: Charging,
        at_admission: f64,
        at_the_end: f64,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { charging: Charging::Max,    at_admission: 500.0, at_the_end: 500.0 },
        Case { charging: Charging::Refund, at_admission: 600.0, at_the_end: 180.0 },
        Case { charging: Charging::Later,  at_admission: 100.0, at_the_end: 180.0 },
    ];
    for counting in
        [Counting::Bucket, Counting::Sliding, Counting::Calendar, Counting::FirstRequest]
    {
        for case in &cases {
            let mut engine = engine(&tokens(10_000, counting, case.charging));
            let cost = cost(100, 500, 80);
            let admitted = engine.admit(KEY, MODEL, &cost, Duration::ZERO).expect("room");
            let name = format!("{counting:?} {:?}", case.charging);
            let used = 10_000.0 - level(&mut engine, Duration::ZERO);
            assert_eq!(used, case.at_admission, "{name}");
            engine.finish(admitted.ticket, Outcome::Answered { output: 80 }, Duration::ZERO);
            let used = 10_000.0 - level(&mut engine, Duration::ZERO);
            assert_eq!(used, case.at_the_end, "{name}");
        }
    }
}

#[test]
fn split_charges_input_and_output_apart() {
    let limits = Limits {
        input_per_minute: Some(1_000),
        output_per_minute: Some(100),
        charging: Charging::Split,
        estimator: Estimator::Chars4,
        ..Limits::default()
    };
    let mut engine = engine(&limits);
    let cost = Cost { characters: 1_200, ..cost(100, 5_000, 150) };
    let admitted = engine.admit(KEY, MODEL, &cost, Duration::ZERO).expect("room");
    assert_eq!(reading(&mut engine, Metric::InputPerMinute, Duration::ZERO).level, 700.0);
    engine.finish(admitted.ticket, Outcome::Answered { output: 150 }, Duration::ZERO);
    assert_eq!(reading(&mut engine, Metric::InputPerMinute, Duration::ZERO).level, 900.0);
    assert_eq!(reading(&mut engine, Metric::OutputPerMinute, Duration::ZERO).level, -50.0);
    let refusal = engine.admit(KEY, MODEL, &cost, Duration::ZERO).expect_err("in debt");
    let Refusal::RateLimited { lane, wait, .. } = refusal else { panic!("{refusal:?}") };
    assert_eq!(lane.metric, Metric::OutputPerMinute);
    assert_eq!(wait, Duration::from_millis(30_600), "until 51 have come back");
}

#[test]
fn a_refused_request_keeps_its_request_debit_and_no_token_debit() {
    let limits = Limits {
        requests_per_minute: Some(10),
        ..tokens(1_000, Counting::Bucket, Charging::Refund)
    };
    let mut engine = engine(&limits);
    let _running = engine.admit(KEY, MODEL, &cost(100, 800, 0), Duration::ZERO).expect("room");
    let refusal = engine.admit(KEY, MODEL, &cost(100, 800, 0), Duration::ZERO).expect_err("none");
    let Refusal::RateLimited { lane, used, wait } = refusal else { panic!("{refusal:?}") };
    assert_eq!((lane.limit, used, lane.requested), (1_000, 900, 900));
    assert_eq!(wait, seconds(48));
    assert_eq!(reading(&mut engine, Metric::RequestsPerMinute, Duration::ZERO).level, 8.0);
    assert_eq!(level(&mut engine, Duration::ZERO), 100.0);
    drop(engine.admit(KEY, MODEL, &cost(100, 800, 0), seconds(48)).expect("the wait was right"));
}

#[test]
fn what_can_never_fit_is_too_large() {
    let mut engine = engine(&tokens(1_000, Counting::Bucket, Charging::Refund));
    let refusal = engine.admit(KEY, MODEL, &cost(500, 501, 0), Duration::ZERO).expect_err("large");
    let Refusal::TooLarge { lane } = refusal else { panic!("{refusal:?}") };
    assert_eq!((lane.limit, lane.requested), (1_000, 1_001));
}

#[test]
fn an_absent_bound_counts_as_configured() {
    for (absent_max, used) in [
        (AbsentMax::Tokens(0), 100.0),
        (AbsentMax::Tokens(16), 116.0),
        (AbsentMax::Model, 16_484.0),
    ] {
        let limits = Limits { absent_max, ..tokens(100_000, Counting::Bucket, Charging::Refund) };
        let mut engine = engine(&limits);
        let cost = Cost { bound: None, ..cost(100, 0, 0) };
        let _running = engine.admit(KEY, MODEL, &cost, Duration::ZERO).expect("room");
        assert_eq!(100_000.0 - level(&mut engine, Duration::ZERO), used, "{absent_max:?}");
    }
}

#[test]
fn a_refund_now_is_lost_at_the_brim_and_one_at_the_debit_is_not() {
    // 600 a minute: 300 at 0 s are back at 30 s; 600 are used then, and 300 given back at 31 s.
    for (refund_at, level_after) in [(RefundAt::Now, 310.0), (RefundAt::Debit, 10.0)] {
        let limits = Limits { refund_at, ..tokens(600, Counting::Bucket, Charging::Refund) };
        let mut engine = engine(&limits);
        let first = engine.admit(KEY, MODEL, &cost(0, 300, 0), Duration::ZERO).expect("room");
        let _second = engine.admit(KEY, MODEL, &cost(0, 600, 0), seconds(30)).expect("full");
        engine.finish(first.ticket, Outcome::Answered { output: 0 }, seconds(31));
        assert_eq!(level(&mut engine, seconds(31)), level_after, "{refund_at:?}");
    }
}

#[test]
fn a_share_can_be_used_at_the_start() {
    for counting in
        [Counting::Bucket, Counting::Sliding, Counting::Calendar, Counting::FirstRequest]
    {
        let limits = Limits { used_at_start: 0.9, ..tokens(1_000, counting, Charging::Refund) };
        let mut engine = engine(&limits);
        let fits = engine.admit(KEY, MODEL, &cost(100, 0, 0), Duration::ZERO);
        assert!(fits.is_ok(), "{counting:?}");
        assert!(engine.admit(KEY, MODEL, &cost(1, 0, 0), Duration::ZERO).is_err(), "{counting:?}");
        assert!(level(&mut engine, seconds(120)) > 999.0, "{counting:?}");
    }
}

#[test]
fn calendar_windows_end_with_the_minute_and_others_a_minute_after_their_first_request() {
    let epoch = Duration::from_millis(1_000_000 * 60_000 + 45_000);
    let limits = |counting| tokens(1_000, counting, Charging::Max);
    for (counting, ends) in [(Counting::Calendar, 15), (Counting::FirstRequest, 70)] {
        let mut engine = Engine::new(Rules { epoch, ..rules(&limits(counting)) });
        let now = seconds(10);
        let admitted = engine.admit(KEY, MODEL, &cost(1_000, 0, 0), now).expect("room");
        let reset = admitted.shown.first().expect("a quota").reset;
        assert_eq!(reset, seconds(ends) - now, "{counting:?}");
        let just_before = seconds(ends) - Duration::from_nanos(1);
        assert!(engine.admit(KEY, MODEL, &cost(1, 0, 0), just_before).is_err(), "{counting:?}");
        assert!(engine.admit(KEY, MODEL, &cost(1_000, 0, 0), seconds(ends)).is_ok());
    }
}

#[test]
fn the_day_may_have_less_left_than_the_minute() {
    let limits = Limits {
        requests_per_minute: Some(500),
        requests_per_day: Some(10_000),
        ..Limits::default()
    };
    let mut engine = engine(&limits);
    let shown = |engine: &mut Engine, now| {
        let admitted = engine.admit(KEY, MODEL, &Cost::default(), now).expect("room");
        let least = admitted.shown.iter().min_by_key(|quota| quota.remaining).expect("quotas");
        (least.metric, least.remaining)
    };
    assert_eq!(shown(&mut engine, Duration::ZERO), (Metric::RequestsPerMinute, 499));
    for minute in 1..200 {
        for _ in 0..100 {
            drop(engine.admit(KEY, MODEL, &Cost::default(), seconds(minute * 60)));
        }
    }
    let (metric, _) = shown(&mut engine, seconds(200 * 60));
    assert_eq!(metric, Metric::RequestsPerDay);
}

#[test]
fn slices_refuse_bursts_that_the_minute_would_take() {
    let limits =
        Limits { requests_per_minute: Some(120), slices: Slices::Requests, ..Limits::default() };
    let mut engine = engine(&limits);
    for _ in 0..2 {
        drop(engine.admit(KEY, MODEL, &Cost::default(), Duration::ZERO).expect("two a second"));
    }
    let refusal = engine.admit(KEY, MODEL, &Cost::default(), Duration::ZERO).expect_err("third");
    let Refusal::RateLimited { lane, wait, .. } = refusal else { panic!("{refusal:?}") };
    assert_eq!((lane.metric, wait), (Metric::RequestsPerSlice, seconds(1)));
    assert_eq!(lane.shown[0].remaining, 118, "the minute has room");
    assert!(engine.admit(KEY, MODEL, &Cost::default(), seconds(1)).is_ok());
}

#[test]
fn requests_under_way_are_limited() {
    let mut engine = engine(&Limits { concurrency: Some(1), ..Limits::default() });
    let first = engine.admit(KEY, MODEL, &Cost::default(), Duration::ZERO).expect("room");
    let refusal = engine.admit(KEY, MODEL, &Cost::default(), Duration::ZERO).expect_err("busy");
    assert!(matches!(refusal, Refusal::Concurrency { limit: 1, .. }));
    engine.finish(first.ticket, Outcome::Failed, Duration::ZERO);
    assert!(engine.admit(KEY, MODEL, &Cost::default(), Duration::ZERO).is_ok());
}

#[test]
fn keys_die_when_told_and_as_told() {
    let by_time = Key { dies_at: Some(seconds(5)), ..Key::valid("by-time") };
    let by_use = Key { dies_after: Some(2), dies_as: KeyState::OutOfQuota, ..Key::valid("by-use") };
    let dead = Key { state: KeyState::Invalid, ..Key::valid("dead") };
    let mut owner = organisation("org-a", by_time, &Limits::default());
    owner.keys.extend([by_use, dead]);
    let mut engine = Engine::new(Rules { organisations: vec![owner], ..Rules::default() });
    let mut admit = |key: &str, now| engine.admit(key, MODEL, &Cost::default(), now).err();
    assert_eq!(admit("by-time", seconds(4)), None);
    assert_eq!(admit("by-time", seconds(5)), Some(Refusal::InvalidKey));
    assert_eq!(admit("by-use", seconds(5)), None);
    assert_eq!(admit("by-use", seconds(5)), None);
    let organisation = Arc::from("org-a");
    assert_eq!(admit("by-use", seconds(5)), Some(Refusal::OutOfQuota { organisation }));
    assert_eq!(admit("dead", seconds(5)), Some(Refusal::InvalidKey));
    assert_eq!(admit("unknown", seconds(5)), Some(Refusal::InvalidKey));
}

#[test]
fn without_enforcement_everything_is_admitted_and_counted() {
    let limits = tokens(1_000, Counting::Bucket, Charging::Refund);
    let mut engine = Engine::new(Rules { enforcement: Enforcement::Off, ..rules(&limits) });
    for _ in 0..3 {
        drop(engine.admit(KEY, MODEL, &cost(500, 0, 0), Duration::ZERO).expect("anything"));
    }
    assert_eq!(level(&mut engine, Duration::ZERO), -500.0);
}

#[test]
fn models_share_a_lane_only_where_told() {
    let limits = tokens(1_000, Counting::Bucket, Charging::Refund);
    for (shared, lanes) in [(true, 1), (false, 2)] {
        let mut rules = rules(&limits);
        rules.organisations[0].rules[0].shared = shared;
        let mut engine = Engine::new(rules);
        for model in ["gpt-4o", "gpt-4o-mini", "gpt-4o"] {
            drop(engine.admit(KEY, model, &cost(10, 0, 0), Duration::ZERO).expect("room"));
        }
        assert_eq!(engine.stats(Duration::ZERO).lanes.len(), lanes);
    }
}

#[test]
fn patterns_match_whole_names() {
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("*", "anything", true), ("gpt-4o*", "gpt-4o-mini", true), ("gpt-4o", "gpt-4o-mini", false),
        ("*-mini", "gpt-4o-mini", true), ("gpt-*-mini", "gpt-4o-mini", true), ("gpt-*-mini", "gpt-4o", false),
        ("*4*o*", "gpt-4o", true), ("a*a", "a", false), ("", "", true),
    ];
    for (pattern, name, expected) in cases {
        assert_eq!(rules::matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn a_reset_forgets_requests_under_way() {
    let mut engine = engine(&tokens(1_000, Counting::Bucket, Charging::Refund));
    let old = engine.admit(KEY, MODEL, &cost(500, 0, 0), seconds(1)).expect("room");
    engine.reset();
    let _new = engine.admit(KEY, MODEL, &cost(900, 0, 0), Duration::ZERO).expect("full again");
    engine.finish(old.ticket, Outcome::Failed, Duration::ZERO);
    assert_eq!(level(&mut engine, Duration::ZERO), 100.0);
}

#[test]
fn a_number_of_the_oracles_line_is_not_given_again_after_a_reset() {
    let mut engine = engine(&tokens(1_000, Counting::Bucket, Charging::Refund));
    let old = engine.queue(MODEL, &cost(1, 1, 1), Duration::ZERO).expect("it fits");
    engine.reset();
    let new = engine.queue(MODEL, &cost(1, 1, 1), Duration::ZERO).expect("it fits");
    engine.leave(old);
    let granted = engine.grant(Duration::ZERO).decided;
    assert_eq!(granted.iter().map(|one| one.number).collect::<Vec<_>>(), [new]);
}

#[test]
fn others_take_their_part_of_the_quota_and_do_so_again_for_the_same_seed() {
    let foreign = ForeignFlow { requests_per_minute: 60.0, tokens_per_minute: 6_000.0 };
    let limits = Limits { foreign, ..tokens(10_000, Counting::Bucket, Charging::Refund) };
    let play = || {
        let mut engine = engine(&limits);
        drop(engine.admit(KEY, MODEL, &cost(1, 0, 0), Duration::ZERO).expect("room"));
        engine.stats(seconds(3_600)).lanes[0].tally.clone()
    };
    let tally = play();
    assert!((3_300..3_900).contains(&tally.foreign_admitted), "{}", tally.foreign_admitted);
    assert!((330_000..390_000).contains(&tally.foreign_tokens), "{}", tally.foreign_tokens);
    assert_eq!(tally.foreign_tokens, play().foreign_tokens);
}

/// Plays the oracle with requests that take `length` each, and returns when each was granted.
fn play_oracle(engine: &mut Engine, costs: &[Cost], length: Duration) -> Vec<(u64, Duration)> {
    let mut now = Duration::ZERO;
    let mut granted = Vec::new();
    let mut running: Vec<(Duration, Ticket, u64)> = Vec::new();
    for cost in costs {
        engine.queue(MODEL, cost, now).expect("it fits some day");
    }
    loop {
        let grants = engine.grant(now);
        for decided in grants.decided {
            let admission = decided.outcome.expect("granted");
            let cost = costs[usize::try_from(decided.number).expect("small")];
            running.push((now + length, admission.ticket, cost.output));
            granted.push((decided.number, now));
        }
        let wake = grants.look_again.map(|wait| now + wait);
        let end = running.iter().map(|(end, _, _)| *end).min();
        let Some(next) = wake.into_iter().chain(end).min() else {
            return granted;
        };
        now = next;
        let over = running.extract_if(.., |(end, _, _)| *end <= now);
        for (_, ticket, output) in over.collect::<Vec<_>>() {
            engine.finish(ticket, Outcome::Answered { output }, now);
        }
    }
}

#[test]
fn the_oracle_grants_in_order_and_as_early_as_the_quota_allows() {
    let costs = vec![cost(50, 50, 50); 60];
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        (Counting::Bucket,       Duration::from_secs(300)), // 5,000 tokens short at 1,000 a minute
        (Counting::Sliding,      Duration::from_secs(300)), // 6 bursts of 10, a minute apart
        (Counting::Calendar,     Duration::from_secs(300)),
        (Counting::FirstRequest, Duration::from_secs(300)),
    ];
    for (counting, last) in cases {
        for charging in [Charging::Refund, Charging::Later] {
            let mut engine = engine(&tokens(1_000, counting, charging));
            let granted = play_oracle(&mut engine, &costs, Duration::from_millis(100));
            let order: Vec<u64> = granted.iter().map(|(number, _)| *number).collect();
            assert!(order.is_sorted() && order.len() == 60, "{counting:?} {charging:?}");
            assert_eq!(granted.last().expect("60").1, last, "{counting:?} {charging:?}");
        }
    }
}

#[test]
fn the_oracle_uses_every_live_organisation() {
    let limits = tokens(1_000, Counting::Bucket, Charging::Refund);
    let dying = Key { dies_after: Some(3), ..Key::valid("sk-b") };
    let mut rules = rules(&limits);
    rules.organisations.push(organisation("org-b", dying, &limits));
    let mut engine = Engine::new(rules);
    let granted = play_oracle(&mut engine, &vec![cost(50, 50, 50); 13], seconds(1));
    assert_eq!(granted.last().expect("13").1, Duration::ZERO, "ten here and three there");
    let stats = engine.stats(seconds(1));
    let admitted: Vec<u64> = stats.lanes.iter().map(|lane| lane.tally.admitted).collect();
    assert_eq!(admitted, [10, 3]);
}

#[test]
fn the_oracle_refuses_only_what_nobody_can_ever_serve() {
    let limits = tokens(1_000, Counting::Bucket, Charging::Refund);
    let mut engine = engine(&limits);
    assert!(matches!(
        engine.queue(MODEL, &cost(900, 200, 0), Duration::ZERO),
        Err(Refusal::TooLarge { .. })
    ));
    let mut dead = rules(&limits);
    dead.organisations[0].keys[0].state = KeyState::OutOfQuota;
    let mut dead = Engine::new(dead);
    let number = dead.queue(MODEL, &cost(10, 10, 10), Duration::ZERO).expect("it fits");
    let decided = dead.grant(Duration::ZERO).decided;
    assert_eq!(decided.len(), 1);
    assert_eq!(decided[0].number, number);
    assert!(decided[0].outcome.is_err());
}

fn counting() -> impl Strategy<Value = Counting> {
    prop_oneof![
        Just(Counting::Bucket),
        Just(Counting::Sliding),
        Just(Counting::Calendar),
        Just(Counting::FirstRequest),
    ]
}

fn charging() -> impl Strategy<Value = Charging> {
    prop_oneof![
        Just(Charging::Max),
        Just(Charging::Refund),
        Just(Charging::Later),
        Just(Charging::Split),
    ]
}

/// Requests as (gap in ms, prompt, bound, share of the bound written in %, time under way in ms).
type Arrival = (u64, u64, u64, u64, u64);

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    prop::collection::vec((0..9_000_u64, 0..200_u64, 0..400_u64, 0..=100_u64, 0..90_000_u64), 1..80)
}

/// Plays arrivals and returns (when, what was debited at admission) of those admitted.
fn play(engine: &mut Engine, arrivals: &[Arrival]) -> Vec<(Duration, u64)> {
    let mut now = Duration::ZERO;
    let mut running: Vec<(Duration, Ticket, u64)> = Vec::new();
    let mut admitted = Vec::new();
    for (gap, prompt, bound, share, length) in arrivals {
        now += Duration::from_millis(*gap);
        running.sort_by_key(|(end, _, _)| *end);
        let over: Vec<_> = running.extract_if(.., |(end, _, _)| *end <= now).collect();
        for (end, ticket, output) in over {
            engine.finish(ticket, Outcome::Answered { output }, end);
        }
        let output = bound * share / 100;
        if let Ok(done) = engine.admit(KEY, MODEL, &cost(*prompt, *bound, output), now) {
            running.push((now + Duration::from_millis(*length), done.ticket, output));
            admitted.push((now, *prompt.max(bound)));
        }
    }
    for (end, ticket, output) in running {
        now = now.max(end);
        engine.finish(ticket, Outcome::Answered { output }, now);
    }
    let _end = engine.stats(now);
    admitted
}

proptest! {
    /// Debits never exceed the limit in any sliding window, nor in any calendar minute, nor
    /// capacity and refill of a bucket over any span.
    #[test]
    fn no_window_is_ever_over_its_limit(counting in counting(), arrivals in arrivals()) {
        let limit = 1_000;
        let mut engine = engine(&tokens(limit, counting, Charging::Max));
        let debits = play(&mut engine, &arrivals);
        for (first, (from, _)) in debits.iter().enumerate() {
            let mut sum = 0;
            for (to, amount) in &debits[first..] {
                sum += amount;
                let span = (*to - *from).as_nanos();
                let minute = seconds(60).as_nanos();
                let most = match counting {
                    Counting::Bucket => u128::from(limit) + span * u128::from(limit) / minute,
                    Counting::Sliding if span >= minute => u128::MAX,
                    Counting::Calendar if from.as_secs() / 60 != to.as_secs() / 60 => u128::MAX,
                    Counting::FirstRequest => u128::from(limit) * (2 + span / minute),
                    _ => u128::from(limit),
                };
                prop_assert!(u128::from(sum) <= most, "{sum} > {most} from {from:?} to {to:?}");
            }
        }
    }

    /// Every meter shows: level = level at the start + refill - charged - cut off. What is charged in
    /// the end is what the rule says, and every request is counted once.
    #[test]
    fn the_statistics_add_up(
        counting in counting(),
        charging in charging(),
        at_debit in any::<bool>(),
        arrivals in arrivals(),
    ) {
        let limits = Limits {
            requests_per_minute: Some(40),
            tokens_per_day: Some(30_000),
            input_per_minute: Some(1_000),
            output_per_minute: Some(300),
            refund_at: if at_debit { RefundAt::Debit } else { RefundAt::Now },
            used_at_start: 0.25,
            ..tokens(1_000, counting, charging)
        };
        let mut engine = engine(&limits);
        let asked = arrivals.len() as u64;
        let admitted = play(&mut engine, &arrivals).len() as u64;
        let now = Duration::from_nanos(engine.now);
        let stats = engine.stats(now);
        let lane = &stats.lanes[0];
        prop_assert_eq!(lane.tally.admitted, admitted);
        prop_assert_eq!(lane.tally.answered, admitted);
        prop_assert_eq!(lane.tally.refused.total(), asked - admitted);
        prop_assert_eq!((lane.in_flight, lane.held), (0, 0));
        for meter in &lane.meters {
            let reading = meter.reading;
            let law = reading.level_at_start + reading.refill - reading.cut_off;
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let law = law - reading.charged as f64;
            prop_assert!((reading.level - law).abs() < 1e-6, "{:?}", meter);
            let later = matches!(charging, Charging::Later | Charging::Split);
            prop_assert!(later || reading.most_used <= reading.limit, "{:?}", meter);
        }
    }

    /// A refund at the debit ends as if the debit had been right from the start, at any age.
    #[test]
    fn a_refund_at_the_debit_is_as_good_as_having_known(
        debits in prop::collection::vec((0..40_000_u64, 1..900_u64, 0..900_u64), 1..150),
        order in any::<prop::sample::Index>(),
    ) {
        let limits = Limits { refund_at: RefundAt::Debit, ..Limits::default() };
        let mut guessing = Meter::new(1_000, seconds(60), &limits, 0);
        let mut knowing = Meter::new(1_000, seconds(60), &Limits::default(), 0);
        let mut open = Vec::new();
        let mut now = 0;
        for (gap, guess, actual) in debits {
            now += gap * 1_000_003;
            open.push((guessing.debit(guess, now, Life::Open), actual));
            knowing.debit(actual, now, Life::Final);
        }
        let turn = order.index(open.len());
        open.rotate_left(turn);
        for (mark, actual) in open {
            guessing.correct(mark, actual, now);
        }
        let (guessed, known) = (guessing.reading(now + 7), knowing.reading(now + 7));
        prop_assert_eq!(guessed.level, known.level);
        prop_assert_eq!(guessed.cut_off, known.cut_off);
    }

    /// Whoever waits as long as he was told, fits, and not a nanosecond earlier.
    #[test]
    fn the_promised_wait_is_exact(counting in counting(), arrivals in arrivals(), wanted in 1..1_000_u64) {
        let mut engine = engine(&tokens(1_000, counting, Charging::Max));
        play(&mut engine, &arrivals);
        let now = Duration::from_nanos(engine.now);
        let ask = cost(wanted, 0, 0);
        if let Err(Refusal::RateLimited { wait, .. }) = engine.admit(KEY, MODEL, &ask, now) {
            let too_early = now + wait - Duration::from_nanos(1);
            prop_assert!(engine.admit(KEY, MODEL, &ask, too_early).is_err());
            prop_assert!(engine.admit(KEY, MODEL, &ask, now + wait).is_ok());
        }
    }
}

#[test]
fn a_changed_limit_counts_from_its_moment_on() {
    struct Case {
        counting: Counting,
        factor: f64,
        /// Ten seconds after the change, which is ten seconds after a debit of 300 of 600 a minute.
        level: f64,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { counting: Counting::Bucket,       factor: 2.0, level: 600.0 },
        Case { counting: Counting::Bucket,       factor: 0.5, level: 300.0 },
        Case { counting: Counting::Sliding,      factor: 2.0, level: 900.0 },
        Case { counting: Counting::Sliding,      factor: 0.5, level: 0.0 },
        Case { counting: Counting::Calendar,     factor: 2.0, level: 900.0 },
        Case { counting: Counting::FirstRequest, factor: 0.5, level: 0.0 },
    ];
    for Case { counting, factor, level: expected } in cases {
        let changes = vec![LimitChange { at: seconds(10), factor }];
        let mut engine = engine(&Limits { changes, ..tokens(600, counting, Charging::Refund) });
        let _open = engine.admit(KEY, MODEL, &cost(100, 200, 0), seconds(0)).expect("room");
        let reading = reading(&mut engine, Metric::TokensPerMinute, seconds(20));
        assert!((reading.level - expected).abs() < 1e-6, "{counting:?} {factor}: {reading:?}");
        assert!((reading.limit as f64 - 600.0 * factor).abs() < 1e-6, "{counting:?} {factor}");
    }
}

#[test]
fn a_debit_from_before_a_change_is_still_refunded() {
    for refund_at in [RefundAt::Now, RefundAt::Debit] {
        let changes = vec![LimitChange { at: seconds(10), factor: 0.5 }];
        let limits = tokens(600, Counting::Bucket, Charging::Refund);
        let mut engine = engine(&Limits { changes, refund_at, ..limits });
        let open = engine.admit(KEY, MODEL, &cost(100, 500, 0), seconds(0)).expect("room");
        engine.finish(open.ticket, Outcome::Answered { output: 0 }, seconds(12));
        // 100 came back before the change, 10 after it, and 500 by the refund; 300 is the capacity.
        assert!((level(&mut engine, seconds(12)) - 300.0).abs() < 1e-6, "{refund_at:?}");
        let again = engine.admit(KEY, MODEL, &cost(300, 0, 0), seconds(12));
        assert!(again.is_ok(), "{refund_at:?}");
    }
}

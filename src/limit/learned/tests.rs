use super::*;
use crate::count::{Demand, Method};
use crate::limit::{Counting, Hint, LaneSettings, QuotaHint, RefusalHint, Shortfall, Spare};
use crate::units::{Requests, Tokens, Usage};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: u64 = 1_000;

fn demand(tokens: u64) -> Demand {
    Demand {
        requests: Requests::ONE,
        input: Tokens::new(tokens),
        output_bound: Some(Tokens::ZERO),
        characters: tokens * 4,
        images: 0,
        method: Method::Exact,
    }
}

fn told(left: u64) -> Hint {
    let tokens = QuotaHint { limit: LIMIT, remaining: Some(left), ..QuotaHint::default() };
    Hint { tokens: Some(tokens), ..Hint::default() }
}

/// Sends a request of so many tokens and settles it at once.
fn send(lane: &mut Lane, tokens: u64, hint: &Hint, now: Instant) {
    let mut debit = lane.try_reserve(&demand(tokens), Spare::default(), now).expect("room");
    lane.sent(&mut debit, now);
    lane.observe(&mut debit, hint, now);
    lane.settle(debit, &Usage { input: Tokens::new(tokens), ..Usage::default() }, now);
}

/// A lane that learned its limit from its first answer, and then sent more in five steps.
fn taught(counting: Counting, begin: Instant) -> Lane {
    let mut lane =
        Lane::new(LaneSettings { counting: Some(counting), ..LaneSettings::default() }, begin);
    send(&mut lane, 100, &told(LIMIT - 100), begin);
    for second in 1..=5 {
        send(&mut lane, 100, &Hint::default(), begin + 4 * second * SECOND);
    }
    lane
}

/// What a new process makes of what an old one wrote down.
fn again(lane: &mut Lane, kept: Instant, absence: Absence, now: Instant) -> Lane {
    let text = serde_json::to_string(&lane.learned(kept)).expect("JSON");
    let learned: Learned = serde_json::from_str(&text).expect("what was written can be read");
    let mut next = Lane::new(lane.settings.clone(), now);
    next.recall(&learned, absence, &[], now);
    next
}

fn clean(lasted: Duration) -> Absence {
    Absence { lasted, end: LastEnd::Clean }
}

fn left(lane: &Lane, now: Instant) -> i64 {
    let levels = lane.levels(now);
    let tokens = levels.iter().find(|level| level.quota == QuotaKind::TokensPerMinute);
    tokens.expect("its limit is known").headroom
}

#[test]
fn a_lane_that_comes_back_stands_where_it_would_have_stood() {
    for counting in [Counting::Bucket, Counting::Sliding, Counting::Fixed] {
        let begin = Instant::now();
        let mut lane = taught(counting, begin);
        let kept = begin + 20 * SECOND;
        for absent in [0, 1, 15, 39, 45, 55, 61, 86_400] {
            let lasted = absent * SECOND;
            let now = kept + lasted;
            let next = again(&mut lane, kept, clean(lasted), now);
            for later in [0, 1, 10, 30, 60].map(|later| now + later * SECOND) {
                let (ours, theirs) = (left(&next, later), left(&lane, later));
                // A token is lost to rounding, and one to the way there, on which nothing refills.
                let off = theirs - ours;
                assert!((0..=2).contains(&off), "{counting:?}, {absent} s: {ours} of {theirs}");
            }
        }
    }
}

#[test]
fn after_an_orderly_end_the_whole_room_goes_at_once() {
    let begin = Instant::now();
    let mut lane = taught(Counting::Bucket, begin);
    let now = begin + 600 * SECOND;
    let mut next = again(&mut lane, begin + 20 * SECOND, clean(580 * SECOND), now);
    for _ in 0..10 {
        let _sent = next.try_reserve(&demand(100), Spare::default(), now).expect("room for it");
    }
    let short = next.try_reserve(&demand(100), Spare::default(), now);
    let quota = QuotaKind::TokensPerMinute;
    assert!(matches!(short, Err(Shortfall::Later { quota: short, .. }) if short == quota));
}

#[test]
fn after_a_cut_a_twentieth_is_in_doubt_and_first_contact_is_cautious() {
    let begin = Instant::now();
    let mut lane = taught(Counting::Bucket, begin);
    let kept = begin + 20 * SECOND;
    let certain = left(&lane, kept);
    let absence = Absence { lasted: Duration::ZERO, end: LastEnd::Cut };
    let mut next = again(&mut lane, kept, absence, kept);
    let doubted = certain - left(&next, kept);
    assert!((50..=51).contains(&doubted), "a twentieth of {LIMIT} is in doubt, not {doubted}");
    let _probe = next.try_reserve(&demand(40), Spare::default(), kept).expect("room");
    let second = next.try_reserve(&demand(40), Spare::default(), kept);
    let quota = QuotaKind::FirstContact;
    assert!(matches!(second, Err(Shortfall::Later { quota: short, .. }) if short == quota));
}

#[test]
fn what_is_configured_stays_a_ceiling() {
    let begin = Instant::now();
    let learned = taught(Counting::Bucket, begin).learned(begin).expect("something was learned");
    let modest = LaneSettings { tokens_per_minute: Some(200), ..LaneSettings::default() };
    let mut lane = Lane::new(modest, begin);
    lane.recall(&learned, clean(600 * SECOND), &[], begin);
    assert_eq!(left(&lane, begin), 200);
}

#[test]
fn a_hold_after_a_refusal_lasts_over_the_restart() {
    let begin = Instant::now();
    let mut lane = taught(Counting::Bucket, begin);
    let kept = begin + 300 * SECOND;
    let mut debit = lane.try_reserve(&demand(10), Spare::default(), kept).expect("room");
    lane.sent(&mut debit, kept);
    let refusal = Hint { retry_after: Some(30 * SECOND), ..Hint::default() };
    lane.observe(&mut debit, &refusal, kept);
    lane.refused(debit, kept);
    let now = kept + 10 * SECOND;
    let mut next = again(&mut lane, kept, clean(10 * SECOND), now);
    let Err(Shortfall::Later { at, .. }) = next.try_reserve(&demand(1), Spare::default(), now)
    else {
        panic!("the provider said when to come back");
    };
    let wait = at - now;
    assert!(wait <= 20 * SECOND && wait > 19 * SECOND, "20 s are left, not {wait:?}");
}

#[test]
fn what_answers_taught_beside_limits_is_kept() {
    let begin = Instant::now();
    let mut lane = taught(Counting::Bucket, begin);
    let mut debit = lane.try_reserve(&demand(10), Spare::default(), begin).expect("room");
    lane.sent(&mut debit, begin);
    let refusal = RefusalHint { quota: None, limit: LIMIT, used: Some(990), requested: 26 };
    lane.observe(&mut debit, &Hint { refusal: Some(refusal), ..Hint::default() }, begin);
    lane.refused(debit, begin);
    let next = again(&mut lane, begin, clean(Duration::ZERO), begin);
    assert_eq!(next.outputs, lane.outputs);
    assert_eq!(next.absent_max(), lane.absent_max());
    assert_eq!(next.grace.nanos(), lane.grace.nanos());
}

#[test]
fn a_lane_drifts_when_more_than_a_twentieth_was_debited_since_it_was_kept() {
    let begin = Instant::now();
    let mut lane = taught(Counting::Bucket, begin);
    let now = begin + 600 * SECOND;
    assert!(lane.learned(now).is_some());
    assert!(!lane.has_drifted());
    send(&mut lane, 50, &Hint::default(), now);
    assert!(!lane.has_drifted(), "a twentieth is what a cut is allowed for");
    send(&mut lane, 1, &Hint::default(), now);
    assert!(lane.has_drifted());
    assert!(lane.learned(now).is_some());
    assert!(!lane.has_drifted(), "it was kept");
}

#[test]
fn a_lane_that_learned_nothing_has_nothing_to_keep() {
    let begin = Instant::now();
    assert_eq!(Lane::new(LaneSettings::default(), begin).learned(begin), None);
    let given = LaneSettings { tokens_per_minute: Some(1), ..LaneSettings::default() };
    assert_eq!(Lane::new(given, begin).learned(begin), None);
}

#[test]
fn a_form_with_fewer_fields_can_be_read() {
    let old = r#"{"quotas":[{"quota":"tokens_per_minute","told":5000}]}"#;
    let learned: Learned = serde_json::from_str(old).expect("fields may be added with a default");
    let now = Instant::now();
    let mut lane = Lane::new(LaneSettings::default(), now);
    lane.recall(&learned, clean(SECOND), &[], now);
    assert_eq!(left(&lane, now), 5_000);
}

#[test]
fn numbers_that_no_lane_can_have_written_do_no_harm() {
    let most = u64::MAX;
    let wild = format!(
        r#"{{"quotas":[{{"quota":"tokens_per_minute","told":{most},"ends_ms":[{most},0],
           "used":[{{"ago_ms":{most},"amount":{most}}},{{"ago_ms":0,"amount":{most}}}]}},
           {{"quota":"concurrency","told":0}},{{"quota":"requests_per_day","told":0}}],
           "outputs":{{"seen":1,"mean":-5.0,"variance":1e308}},
           "grace_ns":{most},"hold":["tokens_per_minute",0]}}"#
    );
    let learned: Learned = serde_json::from_str(&wild).expect("well-formed");
    for counting in [Counting::Bucket, Counting::Sliding, Counting::Fixed] {
        for end in [LastEnd::Clean, LastEnd::Cut] {
            let now = Instant::now();
            let mut lane = Lane::new(
                LaneSettings { counting: Some(counting), ..LaneSettings::default() },
                now,
            );
            lane.recall(&learned, Absence { lasted: Duration::MAX, end }, &[], now);
            let later = now + 600 * SECOND;
            assert!(lane.learned(later).is_some());
            let _one = lane.try_reserve(&demand(1), Spare::default(), later);
        }
    }
}

#[test]
fn what_was_sent_since_it_was_kept_is_charged_at_its_own_time_in_the_way_of_its_provider() {
    let sent = PastUse { input: 100, bound: 300, output: 20, ..PastUse::default() };
    let ago = |seconds: u32| PastUse { ago: seconds * SECOND, ..sent };
    for (charging, each) in [(Charging::Refund, 120), (Charging::Max, 300), (Charging::Later, 120)]
    {
        let now = Instant::now();
        let mut settings = LaneSettings {
            counting: Some(Counting::Sliding),
            charging: Some(charging),
            ..LaneSettings::default()
        };
        settings.tokens_per_minute = Some(LIMIT);
        let mut lane = Lane::new(settings, now);
        // The first has left the window.
        let sent = [ago(5), ago(300), ago(30)];
        lane.recall(&Learned::default(), clean(Duration::ZERO), &sent, now);
        assert_eq!(left(&lane, now), 1_000 - 2 * each, "{charging:?}");
        let later = now + 31 * SECOND;
        assert_eq!(left(&lane, later), 1_000 - each, "{charging:?}");
    }
}

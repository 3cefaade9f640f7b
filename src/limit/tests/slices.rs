//! What answers show of parts of the minute.

use super::*;

const LIMIT: u64 = 3_000;

/// Sends requests one by one, whose answers say that so much of their second was used, and returns how tokens may be
/// charged.
fn charged(used: u64) -> Vec<Option<Charging>> {
    let begin = Instant::now();
    let mut lane = Lane::new(LaneSettings::default(), begin);
    for now in (0..8).map(|turn| begin + turn * 10 * SECOND) {
        let ask = demand(60, Some(1_000));
        let mut debit = lane.try_reserve(&ask, Spare::default(), now).expect("it is alone");
        lane.sent(&mut debit, now);
        let hint = Hint {
            tokens: Some(QuotaHint { limit: 60 * LIMIT, ..QuotaHint::default() }),
            tokens_sliced: Some(SliceHint {
                limit: LIMIT,
                remaining: Some(LIMIT - used),
                per_minute: 60,
            }),
            ..Hint::default()
        };
        lane.observe(&mut debit, &hint, now);
        lane.settle(debit, &usage(60, 20), now);
    }
    let beliefs = lane.beliefs();
    let second = beliefs.iter().find(|of| of.quota == QuotaKind::TokensPerSecond).expect("told");
    second.ways.iter().map(|(_, charging)| *charging).collect()
}

#[test]
fn a_seconds_level_tells_how_tokens_are_charged() {
    let [later, refund] = [Charging::Later, Charging::Refund].map(Some);
    assert!(charged(60).iter().all(|way| *way == later), "{:?}", charged(60));
    assert!(charged(1_060).iter().all(|way| *way == refund), "{:?}", charged(1_060));
}

#[test]
fn an_untouched_second_takes_one_request_of_any_size() {
    let begin = Instant::now();
    let settings = LaneSettings { tokens_per_second: Some(LIMIT), ..LaneSettings::default() };
    let mut lane = Lane::new(settings, begin);
    let large = demand(2 * LIMIT, Some(100));
    let mut first = lane.try_reserve(&large, Spare::default(), begin).expect("it is untouched");
    lane.sent(&mut first, begin);
    let next = lane.try_reserve(&large, Spare::default(), begin + SECOND / 2);
    assert!(matches!(next, Err(Shortfall::Later { .. })), "{next:?}");
    let later = lane.try_reserve(&large, Spare::default(), begin + 3 * SECOND);
    assert!(later.is_ok(), "{later:?}");
}

//! What answers show of parts of the minute.

use super::*;

const LIMIT: u64 = 3_000;

fn told(limit: u64, used: Option<u64>) -> Option<QuotaHint> {
    let window = HintWindow::Minute;
    Some(QuotaHint { limit, window, charged_at_most: used, ..QuotaHint::default() })
}

/// Sends requests one by one, whose answers say that so much of their second was used, and returns how tokens may be
/// charged.
fn charged(used: u64) -> Vec<Option<Charging>> {
    let begin = Instant::now();
    let mut lane = Lane::new(LaneSettings::default(), begin);
    for now in [begin, begin + 10 * SECOND, begin + 20 * SECOND] {
        let ask = demand(60, Some(1_000));
        let mut debit = lane.try_reserve(&ask, Spare::default(), now).expect("it is alone");
        lane.sent(&mut debit, now);
        let hint = Hint {
            tokens: told(60 * LIMIT, Some(used)),
            tokens_sliced: Some(SliceHint { limit: LIMIT, per_minute: 60 }),
            ..Hint::default()
        };
        lane.observe(&mut debit, &hint, now);
        lane.settle(debit, &usage(60, 20), now);
    }
    let beliefs = lane.beliefs();
    let minute = beliefs.iter().find(|of| of.quota == QuotaKind::TokensPerMinute).expect("told");
    minute.ways.iter().map(|(_, charging)| *charging).collect()
}

#[test]
fn who_is_in_a_second_was_charged_no_more_than_all_in_it() {
    let [later, refund, max] = [Charging::Later, Charging::Refund, Charging::Max].map(Some);
    assert!(charged(60).iter().all(|way| *way == later), "{:?}", charged(60));
    let reserved = charged(1_060);
    assert!([later, refund, max].iter().all(|way| reserved.contains(way)), "{reserved:?}");
}

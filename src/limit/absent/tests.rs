use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::count::{Demand, Method};
use crate::limit::debit::Debit;
use crate::limit::hint::Hint;
use crate::limit::lane::Lane;
use crate::limit::{LaneSettings, QuotaHint, Spare};
use crate::units::{Requests, Tokens, Usage};

const LIMIT: u64 = 100_000;

fn told(least: u64, most: u64) -> Known {
    Known::told(least, most, true)
}

fn learned(answers: &[Known]) -> Absent {
    let mut absent = Absent::default();
    answers.iter().for_each(|answer| absent.learn(Charging::Refund, *answer, Moment(0)));
    absent
}

#[test]
fn each_answer_narrows_what_it_may_be() {
    let wide = learned(&[told(16_000, 22_000)]);
    assert_eq!(wide.told(Charging::Refund), Some((16_000, 22_000)));
    assert!(!wide.is_known(Charging::Refund));
    let narrow = learned(&[told(16_000, 22_000), told(15_000, 16_400)]);
    assert_eq!(narrow.told(Charging::Refund), Some((16_000, 16_400)));
    assert!(narrow.is_known(Charging::Refund));
    assert_eq!(narrow.told(Charging::Max), None, "who charges in another way was not asked");
}

#[test]
fn what_contradicts_all_before_has_to_be_said_several_times() {
    let once = learned(&[told(4_096, 4_096), told(16, 16)]);
    assert_eq!(once.told(Charging::Refund), Some((4_096, 4_096)));
    let often = learned(&[[told(4_096, 4_096)].as_slice(), &[told(16, 16); 8]].concat());
    assert_eq!(often.told(Charging::Refund), Some((16, 16)));
    let refusal = learned(&[told(4_096, 4_096), told(16, 16).for_certain()]);
    assert_eq!(refusal.told(Charging::Refund), Some((16, 16)), "a refusal says it in numbers");
}

#[test]
fn what_stays_wide_holds_nobody_up_for_long() {
    let known = (1..100)
        .find(|answers| learned(&vec![told(0, 5_000); *answers]).is_known(Charging::Refund));
    assert_eq!(known, Some(16));
}

#[test]
fn what_fits_several_times_lets_twice_as_many_go_as_were_answered() {
    let mut absent = learned(&[told(0, 5_000); 3]);
    assert_eq!(absent.at_once(Charging::Refund), 1);
    absent.measure(5_000);
    assert_eq!(absent.at_once(Charging::Refund), 6);
}

#[test]
fn predictions_hold_for_all_that_it_may_be() {
    let absent = learned(&[told(3_000, 4_000)]);
    let of = |count, bound| Assumed { count, bound };
    let counted =
        Counted { surely: of(1, 3_500), open: of(1, 3_500), maybe: of(2, 7_500), over: 0 };
    let Span { least, most } =
        absent.unstated(&counted).of(QuotaKind::TokensPerMinute, Charging::Refund);
    assert_eq!((least, most), (-500.0, 1_500.0), "one for certain, and one of 4,000 perhaps");
    let requests = absent.unstated(&counted).of(QuotaKind::RequestsPerMinute, Charging::Refund);
    assert_eq!((requests.least, requests.most), (0.0, 0.0));
}

#[test]
fn what_several_were_charged_is_shared_among_them() {
    let absent = learned(&[told(3_000, 4_000)]);
    let four = Assumed { count: 4, bound: 16_000 };
    let counted = Counted { surely: four, open: four, maybe: four, over: 0 };
    let (debited, more) = absent.each(&counted, Span { least: -1_200.0, most: -800.0 });
    assert_eq!((debited, more.least, more.most), (4_000.0, -300.0, -200.0));
}

#[test]
fn what_is_missing_of_a_level_that_nobody_knew_was_used_by_others() {
    let mut absent = Absent::default();
    let number = absent.goes(false, Moment(0));
    let one = Assumed { count: 1, bound: 500 };
    let counted = Counted { surely: one, open: one, maybe: one, over: 0 };
    let off = |absent: &Absent| {
        absent.unstated(&counted).of(QuotaKind::TokensPerMinute, Charging::Refund).least
    };
    assert_eq!(off(&absent), 0.0);
    absent.ends(number);
    assert!(off(&absent) < -1_000_000.0, "later ones may have been charged anything");
}

fn demand(output_bound: Option<u64>) -> Demand {
    Demand {
        requests: Requests::ONE,
        input: Tokens::new(20),
        output_bound: output_bound.map(Tokens::new),
        characters: 80,
        images: 0,
        method: Method::Exact,
    }
}

fn sent(lane: &mut Lane, bound: Option<u64>, now: Instant) -> Debit {
    let mut debit =
        lane.try_reserve(&demand(bound), Spare::default(), now).expect("there is room for it");
    lane.sent(&mut debit, now);
    debit
}

/// Takes in that so much is left.
fn answer(lane: &mut Lane, mut debit: Debit, remaining: u64, now: Instant) {
    let tokens =
        QuotaHint { limit: LIMIT, remaining: Some(remaining), reset: None, ..QuotaHint::default() };
    lane.observe(&mut debit, &Hint { tokens: Some(tokens), ..Hint::default() }, now);
    let usage = Usage { input: Tokens::new(20), output: Tokens::new(10), ..Usage::default() };
    lane.settle(debit, &usage, now);
}

/// A lane whose level was told, of a bucket that reserves bounds and refunds.
fn told_lane() -> (Lane, Instant) {
    let settings = LaneSettings {
        tokens_per_minute: Some(LIMIT),
        charging: Some(Charging::Refund),
        counting: Some(crate::limit::Counting::Bucket),
        ..LaneSettings::default()
    };
    let begin = Instant::now();
    let mut lane = Lane::new(settings, begin);
    let first = sent(&mut lane, Some(10), begin);
    answer(&mut lane, first, LIMIT - 30, begin);
    (lane, begin + Duration::from_secs(60))
}

#[test]
fn the_level_after_a_request_alone_tells_what_its_absent_bound_was_charged() {
    let (mut lane, now) = told_lane();
    let trial = sent(&mut lane, None, now);
    let second = lane.try_reserve(&demand(None), Spare::default(), now);
    assert!(second.is_err(), "one at a time, while nobody knows what it is charged");
    let stated = sent(&mut lane, Some(80), now);
    answer(&mut lane, stated, LIMIT - 16_404 - 100, now);
    answer(&mut lane, trial, LIMIT - 16_404, now);
    let reserved = lane.reserved(&demand(None)).tokens;
    assert!(
        (16_404..=16_704).contains(&reserved),
        "{reserved}: what came between leaves a little open"
    );
    let several = [(); 6].map(|()| sent(&mut lane, None, now));
    let seventh = lane.try_reserve(&demand(None), Spare::default(), now);
    assert!(seventh.is_err(), "no room for a seventh");
    several.into_iter().for_each(|debit| lane.cancel(debit));
    assert!(lane.headroom(now) > 0.998, "what it did not use was given back");
}

#[test]
fn who_charges_nothing_for_an_absent_bound_is_asked_for_no_more() {
    let (mut lane, now) = told_lane();
    let trial = sent(&mut lane, None, now);
    answer(&mut lane, trial, LIMIT - 20, now);
    let reserved = lane.reserved(&demand(None)).tokens;
    assert!(
        (20..=120).contains(&reserved),
        "{reserved}: what refilled on the way leaves a little open"
    );
}

#[test]
fn where_no_answer_tells_levels_one_answer_is_enough() {
    let begin = Instant::now();
    let settings = LaneSettings { tokens_per_minute: Some(LIMIT), ..LaneSettings::default() };
    let mut lane = Lane::new(settings, begin);
    let mut first = sent(&mut lane, None, begin);
    assert!(lane.try_reserve(&demand(None), Spare::default(), begin).is_err());
    lane.observe(&mut first, &Hint::default(), begin);
    let usage = Usage { input: Tokens::new(20), output: Tokens::new(10), ..Usage::default() };
    lane.settle(first, &usage, begin);
    let both = [(); 2].map(|()| sent(&mut lane, None, begin));
    both.into_iter().for_each(|debit| lane.cancel(debit));
}

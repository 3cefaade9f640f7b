//! What refusals teach: slices that no header tells, and how a silent provider counts and charges.

use super::*;

const OF_TOKENS: QuotaKind = QuotaKind::TokensPerMinute;

/// Refuses a request although both windows have room, and says for which limit.
fn refuse_with_room(lane: &mut Lane, by: QuotaKind, now: Instant) {
    let said = Hint { retry_after: Some(SECOND), refused_by: Some(by), ..Hint::default() };
    refuse_saying(lane, said, now);
}

/// Refuses a request although both windows have room.
fn refuse_saying(lane: &mut Lane, said: Hint, now: Instant) {
    let mut debit = lane.reserve_anyway(&demand(10, Some(10)), now);
    lane.sent(&mut debit, now);
    let (requests, tokens) = (told_quota(600, 550, SECOND), told_quota(60_000, 59_000, SECOND));
    let hint = Hint { requests: Some(requests), tokens: Some(tokens), is_error: true, ..said };
    lane.observe(&mut debit, &hint, now);
    lane.refused(debit, now);
}

fn answer(lane: &mut Lane, now: Instant) {
    let mut debit = lane.reserve_anyway(&demand(10, Some(10)), now);
    lane.sent(&mut debit, now);
    lane.observe(&mut debit, &Hint::default(), now);
    lane.settle(debit, &usage(10, 10), now);
}

fn limit_of(lane: &Lane, kind: QuotaKind, now: Instant) -> Option<u64> {
    let levels = lane.levels(now);
    levels.iter().find(|level| level.quota == kind).and_then(|level| level.limit)
}

fn sliced() -> (Lane, Instant) {
    met(LaneSettings { requests_per_minute: Some(600), ..settings(60_000) })
}

#[test]
fn a_refusal_in_spite_of_room_shows_that_slices_are_limited() {
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        (QuotaKind::RequestsPerMinute, QuotaKind::RequestsPerSecond, 10),
        (QuotaKind::TokensPerMinute,   QuotaKind::TokensPerSecond,   1_000),
    ];
    for (by, slice, part) in cases {
        let (mut lane, now) = sliced();
        assert_eq!(limit_of(&lane, slice, now), None, "nothing speaks for {slice:?}");
        refuse_with_room(&mut lane, by, now);
        assert_eq!(limit_of(&lane, slice, now), Some(part), "a sixtieth of {by:?}");
    }
}

/// Mistral's say neither for which limit nor when to come back: all who were refused came back together each time.
#[test]
fn a_refusal_without_a_word_in_spite_of_room_shows_that_requests_are_limited_by_the_second() {
    let (mut lane, now) = sliced();
    refuse_saying(&mut lane, Hint::default(), now);
    assert_eq!(limit_of(&lane, QuotaKind::RequestsPerSecond, now), Some(10));
    assert_eq!(limit_of(&lane, QuotaKind::TokensPerSecond, now), None);
}

#[test]
fn slices_take_twice_as_much_after_quiet_minutes_and_longer_after_each_failure() {
    let slice = QuotaKind::RequestsPerSecond;
    let (mut lane, mut now) = sliced();
    let mut limit_after = |lane: &mut Lane, minutes: u32| {
        now += 60 * minutes * SECOND;
        answer(lane, now);
        (limit_of(lane, slice, now), now)
    };
    let by = QuotaKind::RequestsPerMinute;
    let (_, begin) = limit_after(&mut lane, 1);
    refuse_with_room(&mut lane, by, begin);
    assert_eq!(limit_after(&mut lane, 9).0, Some(10), "not yet");
    let (limit, again) = limit_after(&mut lane, 1);
    assert_eq!(limit, Some(20), "ten minutes were quiet");
    refuse_with_room(&mut lane, by, again);
    assert_eq!(limit_after(&mut lane, 19).0, Some(10), "it was too much: twenty minutes");
    assert_eq!(limit_after(&mut lane, 1).0, Some(20));
    assert_eq!(limit_after(&mut lane, 20).0, Some(40));
}

/// The ways in which the tokens of a lane may be counted and charged.
fn believed(lane: &Lane) -> Vec<BelievedWay> {
    let beliefs = lane.beliefs();
    beliefs.into_iter().find(|belief| belief.quota == OF_TOKENS).map_or(Vec::new(), |of| of.ways)
}

#[test]
fn of_a_silent_provider_the_likeliest_is_believed_until_it_refuses() {
    let (mut lane, mut now) = met(settings(10_000));
    assert_eq!(believed(&lane), [(Counting::Bucket, Some(Charging::Refund))]);
    // Refuses while by no belief anything is used: all that charge in this way may be true.
    now += SECOND;
    let mut debit = lane.reserve_anyway(&demand(50, Some(950)), now);
    lane.sent(&mut debit, now);
    let refusal =
        RefusalHint { quota: Some(OF_TOKENS), limit: 10_000, used: Some(9_500), requested: 1_000 };
    let hint = Hint { refusal: Some(refusal), ..Hint::default() };
    lane.observe(&mut debit, &hint, now);
    lane.refused(debit, now);
    let ways = believed(&lane);
    assert!(ways.len() > 1, "both ways of counting are contradicted alike: {ways:?}");
    assert!(ways.iter().all(|(_, charging)| *charging == Some(Charging::Refund)), "{ways:?}");
    let fixed = ways.iter().any(|(counting, _)| *counting == Counting::Fixed);
    assert!(!fixed, "nothing told when a window ends: {ways:?}");
}

/// A provider that shows nothing but the numbers of its refusals: 10,000 tokens a minute.
struct Silent {
    counting: Counting,
    charging: Charging,
    /// When it was charged how much.
    charges: Vec<(Duration, u64)>,
}

impl Silent {
    const LIMIT: u64 = 10_000;

    fn requested(&self) -> u64 {
        match self.charging {
            Charging::Max => BOUND,
            Charging::Refund => PROMPT + BOUND,
            Charging::Later | Charging::Split => PROMPT,
        }
    }

    /// Returns what is used at `now`.
    fn used(&self, now: Duration) -> u64 {
        let within = |from: Duration| -> u64 {
            self.charges.iter().filter(|(at, _)| *at >= from).map(|(_, amount)| amount).sum()
        };
        match self.counting {
            Counting::Fixed => within(Duration::from_secs(now.as_secs() / 60 * 60)),
            Counting::Sliding => {
                within((now + Duration::from_nanos(1)).checked_sub(MINUTE).unwrap_or_default())
            }
            Counting::Bucket => {
                let (mut used, mut last) = (0, Duration::ZERO);
                let refill = |time: Duration| count_in(Self::LIMIT, time);
                for (at, amount) in &self.charges {
                    used = amount + u64::saturating_sub(used, refill(*at - last));
                    last = *at;
                }
                used.saturating_sub(refill(now - last))
            }
        }
    }

    /// Takes a request in, or returns what was used and when it would fit.
    fn admit(&mut self, now: Duration) -> Result<(), (u64, Duration)> {
        let (used, wanted) = (self.used(now), self.requested());
        if used + wanted <= Self::LIMIT {
            self.charges.push((now, wanted));
            return Ok(());
        }
        // Nothing comes back sooner than it leaves: what fits later fits from then on.
        let fits = |wait: u64| self.used(now + Duration::from_millis(wait)) + wanted <= Self::LIMIT;
        let (mut short, mut enough) = (0, 60_000);
        while enough - short > 1 {
            let middle = u64::midpoint(short, enough);
            if fits(middle) { enough = middle } else { short = middle }
        }
        Err((used, Duration::from_millis(enough)))
    }

    /// Says so, with its numbers.
    fn refusal(&self, (used, wait): (u64, Duration)) -> Hint {
        let (quota, used) = (Some(OF_TOKENS), Some(used));
        let refusal = RefusalHint { quota, limit: Self::LIMIT, used, requested: self.requested() };
        Hint { refusal: Some(refusal), retry_after: Some(wait), ..Hint::default() }
    }

    /// Ends a request that was taken in at `since`.
    fn settle(&mut self, since: Duration, now: Duration) {
        match self.charging {
            Charging::Max => {}
            Charging::Refund => {
                let own = self.charges.iter_mut().find(|own| **own == (since, PROMPT + BOUND));
                own.expect("it was taken in").1 = PROMPT + OUTPUT;
            }
            Charging::Later | Charging::Split => self.charges.push((now, OUTPUT)),
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const PROMPT: u64 = 50;
const BOUND: u64 = 900;
const OUTPUT: u64 = 250;

fn count_in(limit: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).expect("minutes");
    limit * micros / 60_000_000
}

/// Sends as much as the lane lets go, and one request more now and then; returns what is believed.
fn learned_from(counting: Counting, charging: Charging) -> Vec<BelievedWay> {
    let (mut lane, begin) = met(settings(Silent::LIMIT));
    let mut provider = Silent { counting, charging, charges: Vec::new() };
    let mut open: Vec<(Duration, Debit)> = Vec::new();
    for step in 0..2_400_u64 {
        let time = Duration::from_millis(step * 250);
        let now = begin + time;
        let ended = open.extract_if(.., |(since, _)| *since + 4 * SECOND <= time);
        for (since, debit) in ended.collect::<Vec<_>>() {
            provider.settle(since, time);
            lane.settle(debit, &usage(PROMPT, OUTPUT), now);
        }
        let ask = demand(PROMPT, Some(BOUND));
        let mut sent: Vec<Debit> =
            lane.try_reserve(&ask, Spare::default(), now).into_iter().collect();
        if step % 80 == 79 {
            sent.extend((0..12).map(|_| lane.reserve_anyway(&ask, now)));
        }
        for mut debit in sent {
            lane.sent(&mut debit, now);
            match provider.admit(time) {
                Ok(()) => {
                    lane.observe(&mut debit, &Hint::default(), now);
                    open.push((time, debit));
                }
                Err(said) => {
                    lane.observe(&mut debit, &provider.refusal(said), now);
                    lane.refused(debit, now);
                }
            }
        }
    }
    believed(&lane)
}

/// Sliding windows and those with an end are not always told apart: both are held then.
#[test]
fn the_numbers_of_refusals_tell_how_a_silent_provider_counts_and_charges() {
    for counting in [Counting::Bucket, Counting::Sliding, Counting::Fixed] {
        for charging in [Charging::Max, Charging::Refund, Charging::Later] {
            let ways = learned_from(counting, charging);
            let truth = (counting, Some(charging));
            assert!(ways.contains(&truth), "{truth:?} is out: {ways:?}");
            assert!(ways.iter().all(|(_, of)| *of == Some(charging)), "{truth:?}: {ways:?}");
            let is_level = |(of, _): &BelievedWay| *of == Counting::Bucket;
            assert!(ways.iter().all(|way| is_level(way) == is_level(&truth)), "{ways:?}");
        }
    }
}

/// Sends all that may go; a tenth of a second later they are refused as the hint says, or served without one.
/// Returns how many that were.
fn send_all(lane: &mut Lane, refusal: Option<&Hint>, now: Instant) -> usize {
    let mut debits: Vec<Debit> =
        std::iter::from_fn(|| lane.try_reserve(&demand(10, Some(10)), Spare::default(), now).ok())
            .take(300)
            .collect();
    debits.iter_mut().for_each(|debit| lane.sent(debit, now));
    let answered = now + SECOND / 10;
    debits
        .iter_mut()
        .for_each(|debit| lane.observe(debit, refusal.unwrap_or(&Hint::default()), answered));
    let count = debits.len();
    for debit in debits {
        if refusal.is_some() {
            lane.refused(debit, answered);
        } else {
            lane.settle(debit, &usage(10, 10), answered);
        }
    }
    count
}

#[test]
fn refusals_that_tell_nothing_are_met_with_fewer_and_fewer_tries_and_all_go_soon_after_them() {
    let in_vain = [
        Hint { retry_after: Some(SECOND), ..Hint::default() },
        Hint { refused_by: Some(OF_TOKENS), ..Hint::default() },
        Hint { refused_by: Some(QuotaKind::Concurrency), ..Hint::default() },
        Hint::default(),
    ];
    for hint in in_vain {
        let (mut lane, begin) = met(LaneSettings::default());
        let mut during = |seconds: std::ops::Range<u32>, refusal| -> Vec<usize> {
            let tenths = seconds.start * 10..seconds.end * 10;
            tenths.map(|tenth| send_all(&mut lane, refusal, begin + tenth * SECOND / 10)).collect()
        };
        let quiet = during(0..5, None);
        assert!(quiet.first() < Some(&10), "who nobody knows is met with few: {quiet:?}");
        let storm = during(5..60, Some(&hint));
        assert_eq!(storm.first(), Some(&300), "nothing was refused yet");
        let later: usize = storm.iter().skip(1).sum();
        assert!((10..400).contains(&later), "{later} more for {hint:?}");
        let last: usize = storm.iter().rev().take(200).sum();
        assert!((1..=10).contains(&last), "{last} in the last 20 s for {hint:?}");
        let after = during(60..70, None);
        assert!(after.iter().any(|count| *count > 0), "it is noticed that it is over: {hint:?}");
        let soon = during(130..140, None);
        let of_slots = hint.refused_by == Some(QuotaKind::Concurrency);
        assert!(of_slots || soon.contains(&300), "all go again: {hint:?}, {soon:?}");
    }
}

/// A quota that was used up before the first request: by its resets it may be a level or a window.
#[test]
fn who_is_told_to_come_before_a_window_could_end_waits_for_no_window() {
    let limit = 60;
    let given = LaneSettings { requests_per_minute: Some(limit), ..LaneSettings::default() };
    let begin = Instant::now();
    let mut lane = Lane::new(given, begin);
    let ask = demand(5, Some(5));
    let used_up = Hint { requests: Some(told_quota(limit, 0, 60 * SECOND)), ..Hint::default() };
    let mut debit = lane.try_reserve(&ask, Spare::default(), begin).expect("the first may go");
    lane.sent(&mut debit, begin);
    lane.observe(&mut debit, &used_up, begin + SECOND / 10);
    lane.settle(debit, &usage(5, 5), begin + SECOND / 10);
    let now = begin + SECOND / 2;
    let mut debit = lane.reserve_anyway(&ask, now);
    lane.sent(&mut debit, now);
    let (quota, used) = (Some(QuotaKind::RequestsPerMinute), Some(limit));
    let hint = Hint {
        refusal: Some(RefusalHint { quota, limit, used, requested: 1 }),
        retry_after: Some(SECOND),
        ..used_up
    };
    lane.observe(&mut debit, &hint, now + SECOND / 10);
    lane.refused(debit, now + SECOND / 10);
    let ways = lane.beliefs().into_iter().flat_map(|belief| belief.ways);
    assert!(ways.clone().all(|(of, _)| of != Counting::Fixed), "{:?}", ways.collect::<Vec<_>>());
    let soon = now + 3 * SECOND;
    assert!(lane.try_reserve(&ask, Spare::default(), soon).is_ok(), "a level refills at once");
}

/// Lets all go that may, and notes that they are sent.
fn send_what_fits(lane: &mut Lane, now: Instant) -> Vec<Debit> {
    let ask = demand(10, Some(10));
    let mut sent: Vec<Debit> =
        std::iter::from_fn(|| lane.try_reserve(&ask, Spare::default(), now).ok()).collect();
    sent.iter_mut().for_each(|debit| lane.sent(debit, now));
    sent
}

/// Issue 4, point 7: over sockets a refusal's head let another go that was refused as well.
#[test]
fn the_head_of_a_refusal_that_says_nothing_lets_nobody_go() {
    let (mut lane, begin) = met(LaneSettings::default());
    let now = begin + SECOND;
    let mut sent = send_what_fits(&mut lane, now);
    let mut last = sent.pop().expect("one that tries a slot more");
    lane.observe(&mut last, &Hint { is_error: true, ..Hint::default() }, now + SECOND / 100);
    assert!(send_what_fits(&mut lane, now + SECOND / 100).is_empty());
    lane.refused(last, now + SECOND / 100);
    let slots = limit_of(&lane, QuotaKind::Concurrency, now + SECOND / 100);
    assert_eq!(slots, Some(sent.len() as u64), "those that were not refused have them all");
    sent.into_iter().for_each(|debit| lane.keep(debit, now + SECOND));
}

/// Issue 4, point 7: one that was let go before a refusal came and sent after it was taken for one that knew, so
/// half of the slots were given up.
#[test]
fn who_was_let_go_before_the_first_refusal_and_sent_after_it_could_not_know() {
    let (mut lane, begin) = met(LaneSettings::default());
    let ask = demand(10, Some(10));
    let now = begin + SECOND;
    let of_slots = Hint { is_error: true, ..Hint::default() };
    let mut sent: Vec<Debit> = (0..12).map(|_| lane.reserve_anyway(&ask, now)).collect();
    let mut late = sent.pop().expect("twelve");
    let mut first = sent.pop().expect("twelve");
    sent.iter_mut().chain([&mut first]).for_each(|debit| lane.sent(debit, now));
    lane.observe(&mut first, &of_slots, now + SECOND / 100);
    lane.refused(first, now + SECOND / 100);
    lane.sent(&mut late, now + SECOND / 50);
    lane.observe(&mut late, &of_slots, now + SECOND / 25);
    lane.refused(late, now + SECOND / 25);
    assert_eq!(limit_of(&lane, QuotaKind::Concurrency, now + SECOND / 10), Some(10));
    sent.into_iter().for_each(|debit| lane.keep(debit, now + SECOND));
}

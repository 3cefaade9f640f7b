//! What one app may use of all that is shared: quotas of its own.
//!
//! # What this module owns
//!
//! An [`Allotment`] counts what one app was granted, whichever lane that went through, as sums over the last
//! minute and day; and how many of its requests are under way. A [`Portion`] is what one request took.
//!
//! # What this module does not do
//!
//! It infers nothing: these limits are somebody's wish, and what is counted is what we send ourselves.
//!
//! # Invariants
//!
//! 1. No window of a minute or a day, wherever it begins, holds more than the limit, but for what a request used
//!    beyond what was expected of it.
//! 2. A portion counts from when its request is sent, and what it used counts from there, however late that is
//!    known.

use std::time::Duration;

use tokio::time::Instant;

use super::meter::Meter;
use super::moment::{Moment, Timeline, nanos};
use super::settings::Counting;
use super::slots::Slots;
use super::{Cost, QuotaKind, QuotaLevel, Shortfall};
use crate::count::Demand;

/// The quotas of one app; what is `None` has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppLimits {
    /// Requests in any minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens in any minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests in any day.
    pub requests_per_day: Option<u64>,
    /// Tokens in any day.
    pub tokens_per_day: Option<u64>,
    /// Requests under way at one time.
    pub concurrency: Option<u64>,
    /// What is reserved for output until it is known.
    pub reserves: OutputReserve,
    /// The length of a "minute": 60 s but in tests.
    pub minute: Duration,
    /// The length of a "day": 86,400 s but in tests.
    pub day: Duration,
}

/// What is reserved for the output of a request until it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputReserve {
    /// What such requests usually write.
    #[default]
    Expected,
    /// The most that it may write, where its client bounds that.
    Most,
}

/// What one app may use, and what it has used.
#[derive(Debug)]
pub struct Allotment {
    limits: AppLimits,
    time: Timeline,
    counters: Vec<Counter>,
    slots: Slots,
}

/// What one request took. It must be given back to its allotment in one of the ways that there are.
#[derive(Debug)]
#[must_use = "a portion that is not closed holds its slot for ever"]
pub struct Portion {
    at: Moment,
    cost: Cost,
}

#[derive(Debug)]
struct Counter {
    kind: QuotaKind,
    window: u64,
    limit: Option<u64>,
    meter: Meter,
}

impl AppLimits {
    /// Tells whether none of them is set.
    pub fn is_empty(&self) -> bool {
        let kinds = COUNTED.into_iter().chain([QuotaKind::AppConcurrency]);
        kinds.into_iter().all(|kind| self.limit(kind).is_none())
    }

    /// Tells whether the most that a request may write is reserved.
    pub fn is_strict(&self) -> bool {
        self.reserves == OutputReserve::Most
    }

    const fn limit(&self, kind: QuotaKind) -> Option<u64> {
        match kind {
            QuotaKind::AppRequestsPerMinute => self.requests_per_minute,
            QuotaKind::AppTokensPerMinute => self.tokens_per_minute,
            QuotaKind::AppRequestsPerDay => self.requests_per_day,
            QuotaKind::AppTokensPerDay => self.tokens_per_day,
            QuotaKind::AppConcurrency => self.concurrency,
            _ => None,
        }
    }

    fn window(&self, kind: QuotaKind) -> u64 {
        let is_daily = matches!(kind, QuotaKind::AppRequestsPerDay | QuotaKind::AppTokensPerDay);
        nanos(if is_daily { self.day } else { self.minute }).max(1)
    }
}

impl Default for AppLimits {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            requests_per_day: None,
            tokens_per_day: None,
            concurrency: None,
            reserves: OutputReserve::default(),
            minute: Duration::from_secs(60),
            day: Duration::from_secs(86_400),
        }
    }
}

impl Allotment {
    /// Creates an allotment of which nothing is used.
    pub fn new(limits: AppLimits, now: Instant) -> Self {
        let counter = |kind| Counter::new(kind, &limits);
        Self {
            limits,
            time: Timeline::new(now),
            counters: COUNTED.into_iter().map(counter).collect(),
            slots: Slots::new(limits.concurrency),
        }
    }

    /// Returns what it is created by.
    pub const fn limits(&self) -> &AppLimits {
        &self.limits
    }

    /// Takes over other limits; what is used counts on.
    pub fn relimit(&mut self, limits: AppLimits, now: Instant) {
        let now = self.time.advance(now);
        self.limits = limits;
        self.slots.most = limits.concurrency;
        for counter in &mut self.counters {
            if counter.window == limits.window(counter.kind) {
                counter.limit = limits.limit(counter.kind);
                counter.meter.set_limit(counter.limit.unwrap_or(u64::MAX), now);
            } else {
                *counter = Counter::new(counter.kind, &limits);
            }
        }
    }

    /// Returns what `demand` takes, of whose output `expected` tokens are expected.
    pub fn cost(&self, demand: &Demand, expected: u64) -> Cost {
        let bound = demand.output_bound.map(crate::units::Tokens::count);
        let output = match self.limits.reserves {
            OutputReserve::Expected => expected.min(bound.unwrap_or(u64::MAX)),
            OutputReserve::Most => bound.unwrap_or(expected),
        };
        let tokens = demand.input.count().saturating_add(output);
        Cost { requests: demand.requests.count(), tokens }
    }

    /// Returns the quota that is too small for `demand` ever to fit, with its limit and what the demand takes for
    /// certain; `None` if it can fit.
    pub fn exceeded(&self, demand: &Demand) -> Option<(QuotaKind, u64, u64)> {
        let certain = self.cost(demand, 0);
        self.counters.iter().find_map(|counter| {
            let (limit, wanted) = (counter.limit?, counter.part(&certain));
            (wanted > limit).then_some((counter.kind, limit, wanted))
        })
    }

    /// Tells whether there is room for `cost`, and changes nothing. What is only expected to be larger than a limit
    /// takes all of that.
    ///
    /// # Errors
    ///
    /// Returns the [`Shortfall`] that lasts longest.
    pub fn fits(&mut self, cost: &Cost, now: Instant) -> Result<(), Shortfall> {
        let now = self.time.advance(now);
        if self.slots.free() == Some(0) {
            return Err(Shortfall::AfterAnswer { quota: QuotaKind::AppConcurrency });
        }
        let waits = self.counters.iter_mut().filter_map(|counter| {
            counter.meter.advance(now, 0);
            let wanted = counter.part(cost).min(counter.limit?);
            Some((counter.meter.when(wanted, now, 0), counter.kind))
        });
        match waits.max().filter(|(at, _)| *at > now) {
            Some((at, quota)) => Err(Shortfall::Later { quota, at: self.time.instant(at) }),
            None => Ok(()),
        }
    }

    /// Takes `cost`, into debt where there is no room.
    pub fn take(&mut self, cost: Cost, now: Instant) -> Portion {
        let now = self.time.advance(now);
        self.debit(&cost, now);
        Portion { at: now, cost }
    }

    /// Notes that the request of `portion` is being sent: it counts from now on.
    pub fn sent(&mut self, portion: &mut Portion, now: Instant) {
        let now = self.time.advance(now);
        if now > portion.at {
            self.credit(portion, now);
            self.debit(&portion.cost, now);
            portion.at = now;
        }
    }

    /// Takes back the portion of a request that was never sent.
    pub fn cancel(&mut self, portion: &Portion) {
        self.credit(portion, self.time.latest());
    }

    /// Replaces what was expected of a request by the `tokens` that it used.
    pub fn settle(&mut self, portion: &Portion, tokens: u64, now: Instant) {
        let now = self.time.advance(now);
        let used = Cost { tokens, ..portion.cost };
        for counter in &mut self.counters {
            let (before, after) = (counter.part(&portion.cost), counter.part(&used));
            counter.meter.correct(before, after, portion.at, now);
        }
        self.slots.learn(portion.at, now);
        self.slots.give_back(portion.at);
    }

    /// Closes a portion of whose request nobody will know what it used.
    pub fn keep(&mut self, portion: &Portion) {
        self.slots.give_back(portion.at);
    }

    /// Takes in what was used so long before `now`, oldest first. Only before anything was taken.
    pub fn recall(&mut self, past: &[(Duration, Cost)], now: Instant) {
        let longest = nanos(self.limits.day.max(self.limits.minute));
        self.time.begin_earlier(longest);
        let now = self.time.advance(now);
        for (ago, cost) in past {
            let Some(at) = now.checked_minus(nanos(*ago)) else { continue };
            for counter in &mut self.counters {
                counter.meter.debit(counter.part(cost), at, 0);
            }
        }
    }

    /// Returns when `cost` will have gone, if all of it waited now and nothing else came.
    pub fn gone_through(&self, cost: &Cost, now: Instant) -> Instant {
        let now = self.time.peek(now);
        let counted = self.counters.iter().filter_map(|counter| {
            let (limit, amount) = (counter.limit?.max(1), counter.part(cost));
            let windows = amount.saturating_sub(1) / limit;
            let first = counter.meter.when(amount - windows * limit, now, 0);
            Some(first.plus(windows.saturating_mul(counter.window)))
        });
        let last = counted.fold(now, Moment::max);
        self.time.instant(last.max(self.slots.gone_through(cost.requests, now)))
    }

    /// Returns the state of each quota that it has.
    pub fn levels(&self, now: Instant) -> Vec<QuotaLevel> {
        let now = self.time.peek(now);
        let counted = self.counters.iter().filter_map(|counter| {
            let (quota, limit) = (counter.kind, Some(counter.limit?));
            let reset = Duration::from_nanos(counter.meter.full_at(now, 0).since(now));
            Some(QuotaLevel { quota, limit, headroom: counter.meter.room(now, 0), reset })
        });
        let slots = self.slots.most.zip(self.slots.free()).map(|(most, free)| QuotaLevel {
            quota: QuotaKind::AppConcurrency,
            limit: Some(most),
            headroom: i64::try_from(free).unwrap_or(i64::MAX),
            reset: Duration::ZERO,
        });
        counted.chain(slots).collect()
    }

    fn debit(&mut self, cost: &Cost, now: Moment) {
        for counter in &mut self.counters {
            counter.meter.debit(counter.part(cost), now, 0);
        }
        self.slots.take(now);
    }

    fn credit(&mut self, portion: &Portion, now: Moment) {
        for counter in &mut self.counters {
            counter.meter.correct(counter.part(&portion.cost), 0, portion.at, now);
        }
        self.slots.give_back(portion.at);
    }
}

impl Counter {
    fn new(kind: QuotaKind, limits: &AppLimits) -> Self {
        let (window, limit) = (limits.window(kind), limits.limit(kind));
        let most = limit.unwrap_or(u64::MAX);
        let meter = Meter::new(Counting::Sliding, most, window, Moment::default());
        Self { kind, window, limit, meter }
    }

    const fn part(&self, cost: &Cost) -> u64 {
        match self.kind {
            QuotaKind::AppRequestsPerMinute | QuotaKind::AppRequestsPerDay => cost.requests,
            _ => cost.tokens,
        }
    }
}

/// What is counted over time.
const COUNTED: [QuotaKind; 4] = [
    QuotaKind::AppRequestsPerMinute,
    QuotaKind::AppTokensPerMinute,
    QuotaKind::AppRequestsPerDay,
    QuotaKind::AppTokensPerDay,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn allotment(limits: AppLimits) -> (Allotment, Instant) {
        let now = Instant::now();
        (Allotment::new(limits, now), now)
    }

    fn one(tokens: u64) -> Cost {
        Cost { requests: 1, tokens }
    }

    fn later(shortfall: Result<(), Shortfall>) -> Instant {
        match shortfall {
            Err(Shortfall::Later { at, .. }) => at,
            other => panic!("room comes with time: {other:?}"),
        }
    }

    #[test]
    fn what_goes_in_a_minute_leaves_a_minute_after_it_was_sent() {
        let limits = AppLimits { requests_per_minute: Some(2), ..AppLimits::default() };
        let (mut own, start) = allotment(limits);
        let mut first = own.take(one(5), start);
        own.sent(&mut first, start + Duration::from_secs(10));
        let _second = own.take(one(5), start + Duration::from_secs(20));
        let now = start + Duration::from_secs(30);
        let leaves = start + Duration::from_secs(10) + MINUTE + Duration::from_nanos(1);
        assert_eq!(later(own.fits(&one(5), now)), leaves);
        assert_eq!(own.fits(&one(5), leaves), Ok(()));
    }

    #[test]
    fn tokens_are_put_right_where_they_were_taken() {
        let limits = AppLimits { tokens_per_minute: Some(100), ..AppLimits::default() };
        let (mut own, start) = allotment(limits);
        let first = own.take(one(100), start);
        let now = start + Duration::from_secs(1);
        assert!(own.fits(&one(1), now).is_err(), "all of it is taken");
        own.settle(&first, 40, now);
        assert_eq!(own.fits(&one(60), now), Ok(()));
        assert!(own.fits(&one(61), now).is_err());
    }

    #[test]
    fn a_slot_is_free_again_whatever_became_of_its_request() {
        let limits = AppLimits { concurrency: Some(1), ..AppLimits::default() };
        let (mut own, now) = allotment(limits);
        let none = Err(Shortfall::AfterAnswer { quota: QuotaKind::AppConcurrency });
        for end in [Allotment::cancel, Allotment::keep, |own: &mut Allotment, portion: &Portion| {
            own.settle(portion, 3, Instant::now());
        }] {
            let portion = own.take(one(1), now);
            assert_eq!(own.fits(&one(1), now), none);
            end(&mut own, &portion);
            assert_eq!(own.fits(&one(1), now), Ok(()));
        }
    }

    #[test]
    fn other_limits_count_what_is_used_already() {
        let (mut own, now) = allotment(AppLimits::default());
        let _taken = own.take(one(70), now);
        assert!(own.limits().is_empty() && own.levels(now).is_empty());
        own.relimit(AppLimits { tokens_per_minute: Some(100), ..AppLimits::default() }, now);
        assert_eq!(own.levels(now).iter().map(|it| it.headroom).collect::<Vec<_>>(), [30]);
    }

    #[test]
    fn what_was_used_before_the_start_counts_until_its_window_is_over() {
        let limits = AppLimits { requests_per_day: Some(3), ..AppLimits::default() };
        let (mut own, now) = allotment(limits);
        let hour = Duration::from_secs(3600);
        own.recall(&[(23 * hour, one(1)), (hour, one(1)), (hour, one(1))], now);
        assert_eq!(later(own.fits(&one(1), now)), now + hour + Duration::from_nanos(1));
    }

    proptest! {
        /// Wherever a window begins, no more was granted in it than the limits say.
        #[test]
        fn no_window_holds_more_than_its_limit(
            limit in 1..30_u64,
            requests in prop::collection::vec((0..9_000_u64, 1..10_u64, 0..10_u64, any::<bool>()), 1..200),
        ) {
            let limits = AppLimits {
                requests_per_minute: Some(limit),
                tokens_per_minute: Some(limit * 4 + 10),
                ..AppLimits::default()
            };
            let (mut own, mut now) = allotment(limits);
            let mut sent: Vec<(Instant, u64)> = Vec::new();
            for (gap, tokens, less, is_sent) in requests {
                now += Duration::from_millis(gap);
                if own.fits(&one(tokens), now).is_err() {
                    continue;
                }
                let portion = own.take(one(tokens), now);
                if !is_sent {
                    own.cancel(&portion);
                    continue;
                }
                let used = tokens.saturating_sub(less);
                own.settle(&portion, used, now);
                sent.push((now, used));
            }
            for (begin, _) in &sent {
                let window = || sent.iter().filter(|(at, _)| at >= begin && *at - *begin < MINUTE);
                prop_assert!(window().count() <= usize::try_from(limit).expect("small"));
                prop_assert!(window().map(|(_, used)| used).sum::<u64>() <= limit * 4 + 10);
            }
        }
    }
}

//! One quota: a limit over a window, counted in one of the ways.

use std::time::Duration;

use super::bucket::Bucket;
use super::rules::{Counting, Limits};
use super::window::{Fixed, Sliding};

/// A limit over a window and what is used of it.
///
/// # Invariants
///
/// At any time `level = level at the start + refill - charged - cut off`, to the last grain.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    limit: u64,
    window: u64,
    counter: Counter,
    level_at_start: i128,
    charged: i128,
    most_used: u64,
    /// What a bucket was refilled before its limit changed last, and by what windows grew then.
    before: i128,
    /// When the limit changed last.
    since: u64,
}

/// Whether a debit may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It must be corrected once, be it to what it was.
    Open,
    /// It stays as it is.
    Final,
}

#[derive(Debug, Clone)]
enum Counter {
    Bucket(Bucket),
    Sliding(Sliding),
    Fixed(Fixed),
}

/// A debit that can be corrected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    number: u64,
    units: u64,
}

/// What a meter shows. Amounts are units (tokens, requests), with their fraction where a bucket
/// refills continuously.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The limit of a window, which is also the capacity of a bucket.
    pub limit: u64,
    /// The length of the window.
    pub window: Duration,
    /// What was free at the start.
    pub level_at_start: f64,
    /// What is free now; negative in debt.
    pub level: f64,
    /// What came back since the start: the refill of a bucket (what ran over included), what left a
    /// sliding window, the limits of fixed windows begun; and what windows grew by when their limit
    /// changed, which may be negative.
    pub refill: f64,
    /// What of `refill` could not be used: what ran over a full bucket, what a fixed window left.
    pub cut_off: f64,
    /// What was debited since the start less what was given back; reserves of requests under way and
    /// the traffic of others included.
    pub charged: i64,
    /// The most that was used just after a debit; never above `limit` where it is enforced and
    /// nothing is charged later.
    pub most_used: u64,
}

impl Meter {
    /// Creates a meter of `limit` units per `window` by the rules of `limits`. `epoch` is the time
    /// from 1970-01-01 UTC to the engine's start, in nanoseconds.
    pub(super) fn new(limit: u64, window: Duration, limits: &Limits, epoch: u128) -> Self {
        let window = nanos(window).max(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a limit, clamped to 0..=limit"
        )]
        let used =
            ((limit as f64 * limits.used_at_start.clamp(0.0, 1.0)).round() as u64).min(limit);
        let level = i128::from(limit - used) * i128::from(window);
        let behind = u64::try_from(epoch % u128::from(window)).unwrap_or_default();
        let counter = match limits.counting {
            Counting::Bucket => {
                Counter::Bucket(Bucket::new(limit, window, limits.refund_at, level, 0))
            }
            Counting::Sliding => Counter::Sliding(Sliding::new(window, used, 0)),
            Counting::Calendar => Counter::Fixed(Fixed::new(limit, window, Some(behind), used, 0)),
            Counting::FirstRequest => Counter::Fixed(Fixed::new(limit, window, None, used, 0)),
        };
        Self {
            limit,
            window,
            counter,
            level_at_start: level,
            charged: 0,
            most_used: used,
            before: 0,
            since: 0,
        }
    }

    /// Returns the limit.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Changes the limit from `now` on.
    pub(super) fn change_limit(&mut self, limit: u64, now: u64) {
        let (old, new) = (i128::from(self.limit), i128::from(limit));
        match &mut self.counter {
            Counter::Bucket(bucket) => {
                bucket.change_limit(limit, now);
                self.before += old * i128::from(now.saturating_sub(self.since));
            }
            Counter::Sliding(_) => self.before += (new - old) * i128::from(self.window),
            Counter::Fixed(fixed) => {
                fixed.change_limit(limit, now);
                self.before += (new - old) * i128::from(self.window);
            }
        }
        (self.limit, self.since) = (limit, now);
    }

    /// Tells whether `units` fit.
    pub(super) fn fits(&mut self, units: u64, now: u64) -> bool {
        self.grains(now) >= i128::from(units) * i128::from(self.window)
    }

    /// Tells whether anything is left.
    pub(super) fn has_any(&mut self, now: u64) -> bool {
        self.grains(now) > 0
    }

    /// Tells whether nothing is used.
    pub(super) fn is_untouched(&mut self, now: u64) -> bool {
        self.grains(now) >= i128::from(self.limit) * i128::from(self.window)
    }

    /// Returns what is left in whole units, at least 0.
    pub(super) fn remaining(&mut self, now: u64) -> u64 {
        let whole = self.grains(now).div_euclid(i128::from(self.window));
        u64::try_from(whole.max(0)).unwrap_or(u64::MAX)
    }

    /// Returns what is used in whole units, rounded up; more than the limit in debt.
    pub(super) fn used(&mut self, now: u64) -> u64 {
        let level = self.grains(now).div_euclid(i128::from(self.window));
        u64::try_from((i128::from(self.limit) - level).max(0)).unwrap_or(u64::MAX)
    }

    /// Returns the time until `units` fit if nothing else happens.
    pub(super) fn wait(&mut self, units: u64, now: u64) -> Duration {
        let short = i128::from(units) * i128::from(self.window) - self.grains(now);
        if short <= 0 {
            return Duration::ZERO;
        }
        let window = i128::from(self.window);
        let nanos = match &mut self.counter {
            Counter::Bucket(bucket) => bucket.wait(i128::from(units), now),
            Counter::Sliding(log) => i128::from(log.wait((short + window - 1) / window, now)),
            Counter::Fixed(fixed) => i128::from(fixed.ends_after(now)),
        };
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Returns the time until nothing is used, if nothing else happens.
    pub(super) fn reset(&mut self, now: u64) -> Duration {
        let level = self.grains(now);
        let nanos = match &self.counter {
            Counter::Bucket(_) => {
                let short = i128::from(self.limit) * i128::from(self.window) - level;
                u64::try_from(short / i128::from(self.limit.max(1))).unwrap_or(u64::MAX)
            }
            Counter::Sliding(log) => log.empty_after(now),
            Counter::Fixed(fixed) => fixed.ends_after(now),
        };
        Duration::from_nanos(nanos)
    }

    /// Takes `units`, whether they fit or not.
    pub(super) fn debit(&mut self, units: u64, now: u64, life: Life) -> Mark {
        self.charged += i128::from(units);
        let amount = i128::from(units);
        let number = match &mut self.counter {
            Counter::Bucket(bucket) => bucket.debit(amount, now, life),
            Counter::Sliding(log) => log.debit(amount, now),
            Counter::Fixed(fixed) => fixed.debit(amount, now),
        };
        self.most_used = self.most_used.max(self.used(now));
        Mark { number, units }
    }

    /// Replaces a debit, for the last time, and returns by how much the charge has changed. A window
    /// that is over stays as it was.
    pub(super) fn correct(&mut self, mark: Mark, units: u64, now: u64) -> i128 {
        let (from, to) = (i128::from(mark.units), i128::from(units));
        let counted = match &mut self.counter {
            Counter::Bucket(bucket) => {
                bucket.correct(mark.number, from, to, now);
                true
            }
            Counter::Sliding(log) => log.correct(mark.number, to - from, now),
            Counter::Fixed(fixed) => fixed.correct(mark.number, to - from, now),
        };
        let change = if counted { to - from } else { 0 };
        self.charged += change;
        change
    }

    /// Closes a debit as it is.
    pub(super) fn keep(&mut self, mark: Mark, now: u64) -> i128 {
        self.correct(mark, mark.units, now)
    }

    /// Returns what the meter shows at `now`.
    pub(super) fn reading(&mut self, now: u64) -> Reading {
        let level = self.grains(now);
        let window = i128::from(self.window);
        let (refill, cut_off) = match &self.counter {
            Counter::Bucket(bucket) => {
                let gain = i128::from(self.limit) * i128::from(now.saturating_sub(self.since));
                (gain, bucket.level_and_lost(now).1)
            }
            Counter::Sliding(log) => (log.returned() * window, 0),
            Counter::Fixed(fixed) => {
                let (granted, unused) = fixed.granted_and_unused();
                (granted * window, unused * window)
            }
        };
        let refill = refill + self.before;
        debug_assert_eq!(level, self.level_at_start + refill - self.charged * window - cut_off);
        #[expect(clippy::cast_precision_loss, reason = "for people and ratios, not for accounts")]
        let units = |grains: i128| grains as f64 / window as f64;
        Reading {
            limit: self.limit,
            window: Duration::from_nanos(self.window),
            level_at_start: units(self.level_at_start),
            level: units(level),
            refill: units(refill),
            cut_off: units(cut_off),
            charged: i64::try_from(self.charged).unwrap_or(i64::MAX),
            most_used: self.most_used,
        }
    }

    /// Returns what is left, in units times nanoseconds of the window.
    fn grains(&mut self, now: u64) -> i128 {
        let (limit, window) = (i128::from(self.limit), i128::from(self.window));
        match &mut self.counter {
            Counter::Bucket(bucket) => bucket.level_and_lost(now).0,
            Counter::Sliding(log) => (limit - log.used(now)) * window,
            Counter::Fixed(fixed) => (limit - fixed.used(now)) * window,
        }
    }
}

/// Returns `time` in nanoseconds; 584 years are the most.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

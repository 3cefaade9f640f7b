//! Counts one quota in one of three ways, at a constant cost per operation.
//!
//! # What this module owns
//!
//! [`Meter`]: the provider's counter as we believe it to be, fed with our own debits.
//!
//! # What this module does not do
//!
//! It does not decide what a request is charged, and does not compare itself with the provider's
//! answers ([`super::quota`] does). It keeps no record of a request: who debits must say the time of
//! the debit again to correct it.

mod ahead;
mod bucket;
mod fixed;
mod log;
mod others;
mod sliding;

pub(super) use self::ahead::{NEVER, Wanted};
use self::bucket::Bucket;
pub(super) use self::fixed::End;
use self::fixed::Fixed;
use self::sliding::Sliding;
use super::Needed;
use super::learned::PastDebit;
use super::moment::Moment;
use super::settings::Counting;
use super::under_way::Back;

/// One counter.
#[derive(Debug, Clone)]
pub(super) enum Meter {
    /// A level that refills continuously.
    Bucket(Bucket),
    /// The sum over the last window.
    Sliding(Sliding),
    /// Windows with a fixed end.
    Fixed(Fixed),
}

/// What the provider should have left, at least and at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// At least this.
    pub(super) least: f64,
    /// At most this.
    pub(super) most: f64,
}

impl Meter {
    /// Creates a counter of which nothing is used. A limit of zero counts as one.
    pub(super) fn new(counting: Counting, limit: u64, window: u64, now: Moment) -> Self {
        let (limit, window) = (limit.clamp(1, MOST), window.clamp(1, LONGEST));
        match counting {
            Counting::Bucket => Self::Bucket(Bucket::full(limit, window, now)),
            Counting::Sliding => Self::Sliding(Sliding::new(limit, window)),
            Counting::Fixed => Self::Fixed(Fixed::new(limit, window)),
        }
    }

    /// Returns the limit.
    pub(super) fn limit(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.limit(),
            Self::Sliding(sliding) => sliding.limit,
            Self::Fixed(fixed) => fixed.recent.limit,
        }
    }

    /// Drops what has left at `now`.
    pub(super) fn advance(&mut self, now: Moment, grace: u64) {
        match self {
            Self::Bucket(_) => {}
            Self::Sliding(sliding) => sliding.advance(now, grace),
            Self::Fixed(fixed) => fixed.advance(now, grace),
        }
    }

    /// Debits `amount` at `now`, of a request that gets there up to `grace` later.
    pub(super) fn debit(&mut self, amount: u64, now: Moment, grace: u64) {
        self.debit_since(amount, now, now, grace);
    }

    /// Debits `amount` that was heard of at `now`: the provider charged it up to `grace` before.
    pub(super) fn debit_known(&mut self, amount: u64, now: Moment, grace: u64) {
        self.debit_since(amount, now.minus(grace), now, grace);
    }

    fn debit_since(&mut self, amount: u64, earliest: Moment, now: Moment, grace: u64) {
        self.advance(now, grace);
        let amount = amount.min(MOST);
        match self {
            Self::Bucket(bucket) => bucket.debit(amount, now, grace),
            Self::Sliding(sliding) => sliding.log.push(amount, now, earliest),
            Self::Fixed(fixed) => fixed.recent.log.push(amount, now, earliest),
        }
    }

    /// Replaces `before` by `after` in a debit made at `since`.
    pub(super) fn correct(&mut self, before: u64, after: u64, since: Moment, now: Moment) {
        let (before, after) = (before.min(MOST), after.min(MOST));
        let more = i128::from(after) - i128::from(before);
        match self {
            Self::Bucket(bucket) if after < before => bucket.credit(before - after, since, now),
            Self::Bucket(bucket) => bucket.debit_late(after - before, since, now),
            Self::Sliding(sliding) => sliding.log.correct(more, since),
            Self::Fixed(fixed) => fixed.recent.log.correct(more, since),
        }
    }

    /// Returns what could be debited at `now`; negative in debt.
    pub(super) fn room(&self, now: Moment, grace: u64) -> i64 {
        let left = |used: i128| {
            let left = i128::from(self.limit()) - used;
            i64::try_from(left).unwrap_or(if left < 0 { i64::MIN } else { i64::MAX })
        };
        match self {
            Self::Bucket(bucket) => bucket.level(now),
            Self::Sliding(sliding) => left(sliding.used(now, grace)),
            Self::Fixed(fixed) => left(fixed.used(now, grace)),
        }
    }

    /// Returns when there is room for `amount`, at most the limit; `now` if there is.
    pub(super) fn when(&self, amount: u64, now: Moment, grace: u64) -> Moment {
        let amount = amount.min(MOST);
        let target = i128::from(self.limit()) - i128::from(amount);
        match self {
            Self::Bucket(bucket) => bucket.when(amount, now),
            Self::Sliding(sliding) => sliding.when(target, now, grace),
            Self::Fixed(fixed) => fixed.when(target, now, grace),
        }
    }

    /// Returns when there is room for `amount` if that comes `back` of which the debits still count then.
    pub(super) fn when_back(
        &self,
        amount: u64,
        back: Option<&Back>,
        now: Moment,
        grace: u64,
    ) -> Moment {
        let Some(back) = back else { return self.when(amount, now, grace) };
        let mut at = now;
        for _ in 0..ROUNDS {
            let rest = amount.saturating_sub(back.debited_after(self.counts_after(at)));
            let next = self.when(rest, now, grace);
            if next <= at {
                break;
            }
            at = next;
        }
        at
    }

    /// Returns since when debits count at `at`: those made then are gone.
    fn counts_after(&self, at: Moment) -> Option<Moment> {
        match self {
            Self::Bucket(_) => None,
            Self::Sliding(sliding) => at.checked_minus(sliding.window()),
            Self::Fixed(fixed) => fixed.counts_after(at),
        }
    }

    /// Returns what of `spare` is of use. Where a window has an end it must last until then, and nothing of
    /// it is needed there: from then on there is room enough.
    pub(super) fn spare(&self, spare: Needed, minute: u64, now: Moment) -> u64 {
        let rest = match self {
            Self::Fixed(fixed) => fixed.rest(now),
            Self::Bucket(_) | Self::Sliding(_) => None,
        };
        let Some(rest) = rest else { return spare.busy };
        let part = |amount: u64, of: u64| {
            let part = u128::from(amount) * u128::from(rest.min(of)) / u128::from(of.max(1));
            u64::try_from(part).unwrap_or(amount)
        };
        let unseen = u128::from(self.limit()) * u128::from(spare.hundredths) / 100;
        let usual = spare.minute.max(u64::try_from(unseen).unwrap_or(u64::MAX));
        // As many as usual, and as many as come in a busy moment besides.
        part(usual, minute).saturating_add(part(spare.busy, minute / 12))
    }

    /// Returns when the present window began at the earliest, where windows have an end.
    pub(super) fn era(&self) -> Moment {
        match self {
            Self::Bucket(_) | Self::Sliding(_) => Moment::default(),
            Self::Fixed(fixed) => fixed.begun().unwrap_or_default(),
        }
    }

    /// Returns between which moments `amount` leaves at the provider, where debits leave one by one.
    pub(super) fn leaving(&self, amount: (u64, u64), arrival: Moment, grace: u64) -> Option<End> {
        match self {
            Self::Sliding(sliding) => Some(sliding.leaving(amount, arrival, grace)),
            Self::Bucket(_) | Self::Fixed(_) => None,
        }
    }

    /// Returns whether room comes continuously.
    pub(super) fn refills(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }

    /// Returns when nothing is used any more, if nothing else is debited.
    pub(super) fn full_at(&self, now: Moment, grace: u64) -> Moment {
        match self {
            Self::Bucket(bucket) => bucket.when(bucket.limit(), now),
            Self::Sliding(sliding) => sliding.empty_at(now, grace),
            Self::Fixed(fixed) => fixed.empty_at(now, grace),
        }
    }

    /// Moves what is left by `tokens`, because the provider has so much more or less.
    pub(super) fn nudge(&mut self, tokens: i64, now: Moment) {
        let most = i64::try_from(MOST).unwrap_or(i64::MAX);
        let tokens = tokens.clamp(-most, most);
        let log = match self {
            Self::Bucket(bucket) => return bucket.nudge(tokens, now),
            Self::Sliding(sliding) => return sliding.nudge(tokens, now),
            Self::Fixed(fixed) => &mut fixed.recent.log,
        };
        if tokens < 0 {
            log.push(tokens.unsigned_abs(), now, now);
        } else {
            log.lower(i128::from(tokens));
        }
    }

    /// Changes the limit and leaves what is used as it is.
    pub(super) fn set_limit(&mut self, limit: u64, now: Moment) {
        let limit = limit.clamp(1, MOST);
        match self {
            Self::Bucket(bucket) => bucket.set_limit(limit, now),
            Self::Sliding(sliding) => sliding.limit = limit,
            Self::Fixed(fixed) => fixed.recent.limit = limit,
        }
    }

    /// Returns what the provider should say is left when a request debited `own` just now gets there,
    /// up to `grace` later.
    pub(super) fn predict(&self, own: u64, now: Moment, grace: u64) -> Span {
        let arrival = now.plus(grace);
        let gone = match self {
            Self::Bucket(bucket) => {
                // Refill that is held back may have come all the same.
                let most = bucket.fine_level(arrival) + bucket.per_nano() * float(grace);
                return Span { least: bucket.fine_level(now), most };
            }
            Self::Sliding(sliding) => sliding.perhaps_gone(arrival),
            Self::Fixed(fixed) => fixed.perhaps_gone(arrival),
        };
        let left = self.room(now, grace);
        #[expect(clippy::cast_precision_loss, reason = "compared to a millionth at best")]
        let (least, gone) = (left as f64, gone as f64);
        let untouched = float(self.limit()) - float(own);
        Span { least, most: (least + gone).min(untouched).max(least) }
    }

    /// Returns what is used at `now`, as debits of the past that would come to as much, the oldest
    /// first.
    pub(super) fn past(&self, now: Moment, grace: u64) -> Vec<PastDebit> {
        match self {
            Self::Bucket(bucket) => {
                let used = i128::from(bucket.limit()) - i128::from(bucket.level(now));
                let amount = u64::try_from(used).unwrap_or(0);
                Some(PastDebit { ago_ms: 0, amount }).filter(|_| amount > 0).into_iter().collect()
            }
            Self::Sliding(sliding) => sliding.past(now, grace),
            Self::Fixed(fixed) => fixed.past(now, grace),
        }
    }

    /// Returns when the present window ends, where windows have an end and it is known.
    pub(super) fn end(&self, now: Moment) -> Option<End> {
        match self {
            Self::Bucket(_) | Self::Sliding(_) => None,
            Self::Fixed(fixed) => fixed.end(now),
        }
    }

    /// Takes over when the present window ends, where windows have an end.
    pub(super) fn learn_end(&mut self, end: End, now: Moment, grace: u64) {
        if let Self::Fixed(fixed) = self {
            fixed.learn_end(end, now, grace);
        }
    }

    /// Takes in that a request debited at `since` got there up to `delay` nanoseconds later. Returns by
    /// how many tokens that lowers what is left.
    pub(super) fn arrived(&mut self, since: Moment, delay: u64, now: Moment) -> f64 {
        match self {
            Self::Bucket(bucket) => bucket.arrived(since, delay, now),
            Self::Sliding(_) | Self::Fixed(_) => 0.0,
        }
    }

    /// Takes out `amount`, debited at `since`, if the request got there at `arrival` at the latest
    /// and that was in a window which has ended. Returns whether it did.
    pub(super) fn leave_behind(&mut self, amount: u64, since: Moment, arrival: Moment) -> bool {
        match self {
            Self::Fixed(fixed) => fixed.leave_behind(amount, since, arrival),
            Self::Bucket(_) | Self::Sliding(_) => false,
        }
    }
}

/// Amounts and limits beyond this (70 trillion) count as this, and windows beyond [`LONGEST`] (two
/// years) as that: their product and sums of it stay within 128 bits whatever a provider reports.
const MOST: u64 = 1 << 46;
const LONGEST: u64 = 1 << 56;
/// So often a time is put off for what has left until then.
const ROUNDS: usize = 4;

/// Returns `count` as a float, rounded.
#[expect(clippy::cast_precision_loss, reason = "compared to a millionth at best")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

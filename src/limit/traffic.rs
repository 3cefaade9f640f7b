//! What was sent and settled when, in sums: to tell what may have overtaken what.
//!
//! # What this module owns
//!
//! [`Traffic`], running totals with a bounded number of marks in time, closer to each other the
//! younger they are. What happened between two moments is the difference of two totals, never less
//! than it was.
//!
//! # Invariants
//!
//! 1. At most [`PLACES`] marks are kept, and none spans more than a share of its age while there is
//!    room.

use super::charge::{Assumed, Charge};
use super::moment::Moment;
use super::settings::Charging;

/// Running totals of what was sent and settled.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    marks: Vec<Mark>,
    total: Totals,
    /// What is debited and not sent yet.
    unsent: Totals,
    /// The totals before the first mark.
    forgotten: Totals,
}

/// Sums since the lane began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Requests sent.
    pub(super) requests: u64,
    /// The larger of estimate and bound of what was sent.
    larger: u64,
    /// Estimate and bound of what was sent.
    both: u64,
    /// The estimate of what was sent.
    estimate: u64,
    /// What was given back of estimate and bound.
    pub(super) refunded: u64,
    /// What was used beyond estimate and bound.
    pub(super) raised: u64,
    /// Output that has become known.
    pub(super) output: u64,
    /// What was given back of the estimate.
    pub(super) input_refunded: u64,
    /// What was sent and taken back: it failed, was refused, or never got there.
    undone: Charge,
    /// The larger of estimate and bound of that.
    undone_larger: u64,
    /// Requests without a bound that were sent.
    pub(super) assumed: Assumed,
    /// Those of them that are over.
    pub(super) over: Assumed,
}

/// What the totals were when the first and the last of some events had happened.
#[derive(Debug, Clone, Copy)]
struct Mark {
    first: Moment,
    last: Moment,
    total: Totals,
}

impl Traffic {
    /// Notes that a request of this size was debited.
    pub(super) fn reserved(&mut self, charge: &Charge) {
        self.unsent = self.unsent.plus(&Totals::of(charge));
    }

    /// Notes that a debited request of this size is sent now, or never.
    pub(super) fn leaves(&mut self, charge: &Charge) {
        self.unsent = self.unsent.without(charge);
    }

    /// Returns what is debited and not sent yet.
    pub(super) fn unsent(&self) -> Totals {
        self.unsent
    }

    /// Notes that a request of this size was sent, and returns the totals just before.
    pub(super) fn sent(&mut self, charge: &Charge, now: Moment) -> Totals {
        let before = self.total;
        self.total = before.plus(&Totals::of(charge));
        self.note(now);
        before
    }

    /// Notes what has become known of a request that is over.
    pub(super) fn settled(&mut self, charge: &Charge, (input, output): (u64, u64), now: Moment) {
        let reserved = charge.tokens(Charging::Refund);
        let used = input.saturating_add(output);
        self.total = self.total.plus(&Totals {
            refunded: reserved.saturating_sub(used),
            raised: used.saturating_sub(reserved),
            output,
            input_refunded: charge.estimate.saturating_sub(input),
            over: charge.assumed,
            ..Totals::default()
        });
        self.note(now);
    }

    /// Notes that these requests without a bound are over, and nobody knows what they used.
    pub(super) fn over(&mut self, assumed: &Assumed, now: Moment) {
        self.total = self.total.plus(&Totals { over: *assumed, ..Totals::default() });
        self.note(now);
    }

    /// Notes that so much of a request that was sent is taken back.
    pub(super) fn undone(&mut self, charge: &Charge, now: Moment) {
        let undone_larger = charge.tokens(Charging::Max);
        let over = charge.assumed;
        let undone = Totals { undone: *charge, undone_larger, over, ..Totals::default() };
        self.total = self.total.plus(&undone);
        self.note(now);
    }

    /// Returns the totals of at least all that happened up to `moment`.
    pub(super) fn upto(&self, moment: Moment) -> Totals {
        let behind = self.marks.partition_point(|mark| mark.first <= moment);
        let mark = behind.checked_sub(1).and_then(|i| self.marks.get(i));
        mark.map_or(self.forgotten, |mark| mark.total)
    }

    /// Returns the totals of at most what happened before `moment`.
    pub(super) fn before(&self, moment: Moment) -> Totals {
        let behind = self.marks.partition_point(|mark| mark.last < moment);
        let mark = behind.checked_sub(1).and_then(|i| self.marks.get(i));
        mark.map_or_else(Totals::default, |mark| mark.total)
    }

    fn note(&mut self, now: Moment) {
        let total = self.total;
        if self.marks.len() == PLACES {
            self.thin_out(now);
        }
        match self.marks.last_mut() {
            Some(newest) if now.since(newest.first) < LEAST => {
                newest.last = now;
                newest.total = total;
            }
            _ => self.marks.push(Mark { first: now, last: now, total }),
        }
    }

    /// Joins neighbours that are close for their age.
    fn thin_out(&mut self, now: Moment) {
        let mut part = PART;
        while self.marks.len() > PLACES / 4 * 3 && part > 0 {
            self.marks.dedup_by(|later, earlier| {
                let joined = later.last.since(earlier.first);
                let close = joined <= now.since(earlier.first) / part;
                if close {
                    earlier.last = later.last;
                    earlier.total = later.total;
                }
                close
            });
            part /= 2;
        }
        let surplus = self.marks.len().saturating_sub(PLACES / 4 * 3);
        if let Some(last) = self.marks.drain(..surplus).next_back() {
            self.forgotten = last.total;
        }
    }
}

impl Totals {
    /// Returns the tokens, or requests, that were debited by a way of charging.
    pub(super) fn debited(&self, kind: super::QuotaKind, charging: Charging) -> u64 {
        use super::QuotaKind::InputTokensPerMinute;
        match (kind, charging) {
            (kind, _) if kind.is_of_requests() => self.requests,
            (InputTokensPerMinute, _) => self.estimate,
            (kind, _) if !kind.is_of_tokens() => 0,
            (_, Charging::Max) => self.larger,
            (_, Charging::Refund) => self.both,
            (_, Charging::Later | Charging::Split) => self.estimate,
        }
    }

    /// Returns what was taken back, as `kind` had been debited by a way of charging.
    pub(super) fn given_back(&self, kind: super::QuotaKind, charging: Charging) -> u64 {
        match charging {
            Charging::Max if kind.is_of_tokens() => self.undone_larger,
            _ => self.undone.of(kind, charging),
        }
    }

    fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Returns what happened since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    /// Returns what is left without a request of this size.
    pub(super) fn without(&self, charge: &Charge) -> Self {
        self.since(&Self::of(charge))
    }

    fn of(charge: &Charge) -> Self {
        Self {
            requests: charge.requests,
            larger: charge.tokens(Charging::Max),
            both: charge.tokens(Charging::Refund),
            estimate: charge.estimate,
            assumed: charge.assumed,
            ..Self::default()
        }
    }

    fn with(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let assumed = |a: &Assumed, b: &Assumed| Assumed {
            count: join(a.count, b.count),
            bound: join(a.bound, b.bound),
        };
        Self {
            requests: join(self.requests, other.requests),
            larger: join(self.larger, other.larger),
            both: join(self.both, other.both),
            estimate: join(self.estimate, other.estimate),
            refunded: join(self.refunded, other.refunded),
            raised: join(self.raised, other.raised),
            output: join(self.output, other.output),
            input_refunded: join(self.input_refunded, other.input_refunded),
            undone: Charge {
                requests: join(self.undone.requests, other.undone.requests),
                estimate: join(self.undone.estimate, other.undone.estimate),
                bound: join(self.undone.bound, other.undone.bound),
                images: join(self.undone.images, other.undone.images),
                assumed: Assumed::default(),
            },
            undone_larger: join(self.undone_larger, other.undone_larger),
            assumed: assumed(&self.assumed, &other.assumed),
            over: assumed(&self.over, &other.over),
        }
    }
}

/// The most marks.
const PLACES: usize = 160;
/// A mark may span this part of its age.
const PART: u64 = 16;
/// Events so close to each other share a mark, in nanoseconds.
const LEAST: u64 = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn charge(estimate: u64, bound: u64) -> Charge {
        Charge { requests: 1, estimate, bound, ..Charge::default() }
    }

    #[test]
    fn tells_what_was_sent_between_two_moments() {
        let mut traffic = Traffic::default();
        for i in 0..10 {
            traffic.sent(&charge(10, 90), Moment(i * 10 * MS));
        }
        let between = |from, to| {
            traffic.upto(Moment(to * MS)).since(&traffic.before(Moment(from * MS))).requests
        };
        assert_eq!(between(0, 90), 10);
        assert_eq!(between(20, 40), 3, "both ends count");
        assert_eq!(between(21, 39), 1);
        assert_eq!(between(95, 200), 0);
    }

    #[test]
    fn what_is_debited_is_told_by_the_way_of_charging() {
        let mut traffic = Traffic::default();
        traffic.sent(&charge(10, 90), Moment(0));
        traffic.sent(&charge(200, 90), Moment(0));
        let kind = super::super::QuotaKind::TokensPerMinute;
        let told = |charging| traffic.upto(Moment(0)).debited(kind, charging);
        assert_eq!([Charging::Max, Charging::Refund, Charging::Later].map(told), [290, 390, 210]);
    }

    #[test]
    fn marks_stay_bounded_and_sums_are_never_too_small() {
        let mut traffic = Traffic::default();
        let mut times = Vec::new();
        let mut now = 0;
        for i in 0..20_000_u64 {
            now += (i * 7_919) % 13 * MS;
            traffic.sent(&charge(1, 0), Moment(now));
            times.push(now);
            assert!(traffic.marks.len() <= PLACES);
        }
        for age in [1, 10, 100, 1_000, 10_000, 30_000] {
            let (from, to) = (now - age * 2 * MS, now - age * MS);
            let true_sum = times.iter().filter(|at| (from..=to).contains(at)).count() as u64;
            let told = traffic.upto(Moment(to)).since(&traffic.before(Moment(from))).requests;
            assert!(told >= true_sum, "{age} ms ago: {told} of {true_sum}");
            assert!(told <= true_sum + true_sum / 2 + 4, "{age} ms ago: {told} of {true_sum}");
        }
    }
}

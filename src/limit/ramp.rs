//! How fast bursts grow where a limit may be hidden.
//!
//! Not every limit is told: shorter slices of the minute only show by refusals ([`super::pacing`]),
//! a day's limit only when less is left of it than of the minute. So a burst is not sent at once
//! where something may be hidden. After a lane's first answer each slice may take four times what the
//! one before took, until that is the whole limit. And when a minute with a fixed end begins, and the
//! day's limit has never been seen, a twentieth goes first, for the time that a refusal takes. The same
//! shows in time where the end was taken from refusals and is none.
//!
//! A level that refills loses nothing by it, and windows lose what they wait once.

use super::QuotaKind;
use super::bank::Bank;
use super::charge::Charge;
use super::lane::{Lane, Wait};
use super::moment::{Moment, nanos};
use super::pacing::SLICES;

/// What goes of a burst.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ramp {
    /// The present restraint, if there is one.
    step: Option<Step>,
    /// What was debited since that began.
    taken: Charge,
    /// When the present window ends at the latest, where windows have an end.
    window_ends: Option<Moment>,
}

/// Until when only so small a part of a limit may go.
#[derive(Debug, Clone, Copy)]
struct Step {
    ends: Moment,
    /// How many twentieths.
    parts: u64,
    /// How many twentieths may go in the slice that follows.
    next: Option<u64>,
}

impl Ramp {
    /// Begins a lane's first burst, with its first answer.
    pub(super) fn begin(&mut self, slice: u64, now: Moment) {
        self.enter(Step { ends: now.plus(slice), parts: GROWTH, next: Some(GROWTH * GROWTH) });
    }

    /// Notes a debit.
    pub(super) fn debited(&mut self, charge: &Charge) {
        if self.step.is_some() {
            self.taken = self.taken.plus(charge);
        }
    }

    /// Notes when the present window ends; `None` while a new one has not been heard of. Returns
    /// whether it has ended, the first time that it is asked.
    fn ended(&mut self, end: Option<Moment>, now: Moment) -> bool {
        let ended = end.is_none() && self.window_ends.is_some_and(|end| end < now);
        if ended || end.is_some() {
            self.window_ends = end;
        }
        ended
    }

    fn advance(&mut self, slice: u64, now: Moment) {
        while let Some(step) = self.step.filter(|step| step.ends <= now) {
            match step.next {
                Some(parts) => self.enter(Step { ends: step.ends.plus(slice), parts, next: None }),
                None => self.step = None,
            }
        }
    }

    fn enter(&mut self, step: Step) {
        self.step = Some(step);
        self.taken = Charge::default();
    }
}

impl Lane {
    /// Returns when more may go, where the present burst has taken what it may.
    pub(super) fn restrained(&mut self, charge: &Charge, now: Moment) -> Option<Wait> {
        let slice = nanos(self.settings.minute) / SLICES;
        self.ramp.advance(slice, now);
        if let Some(bank) = self.hiding() {
            let end = bank.likeliest().and_then(|belief| belief.meter.end(now));
            if self.ramp.ended(end.map(|end| end.latest), now) {
                let ends = now.plus(self.grace.nanos());
                self.ramp.enter(Step { ends, parts: 1, next: None });
            }
        }
        let step = self.ramp.step?;
        if self.ramp.taken.requests == 0 {
            return None; // Whatever its size.
        }
        let wanted = self.ramp.taken.plus(charge);
        let full = self.banks.iter().find(|bank| {
            let allowed = (bank.limit() / PART).max(1).saturating_mul(step.parts);
            !bank.kind.is_slice() && bank.most_debit(&wanted, self.leading) > allowed
        });
        full.map(|bank| Wait { at: step.ends, quota: bank.kind })
    }

    /// Returns the tokens of the minute, where those of the day may be limited too.
    fn hiding(&self) -> Option<&Bank> {
        let find = |kind| self.banks.iter().find(|bank| bank.kind == kind);
        let is_told = find(QuotaKind::TokensPerDay).is_some();
        find(QuotaKind::TokensPerMinute).filter(|_| !is_told)
    }
}

/// A burst begins with so small a part of the limit.
const PART: u64 = 20;
/// By what each slice's part grows.
const GROWTH: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: u64 = 1_000_000_000;

    #[test]
    fn a_first_burst_grows_fourfold_for_two_slices() {
        let mut ramp = Ramp::default();
        let parts = |ramp: &mut Ramp, nanos| {
            ramp.advance(SLICE, Moment(nanos));
            ramp.step.map(|step| step.parts)
        };
        assert_eq!(parts(&mut ramp, 0), None, "nothing was heard");
        ramp.begin(SLICE, Moment(0));
        assert_eq!(parts(&mut ramp, SLICE - 1), Some(4));
        assert_eq!(parts(&mut ramp, SLICE), Some(16));
        assert_eq!(parts(&mut ramp, 2 * SLICE), None);
    }

    #[test]
    fn a_windows_end_is_noticed_once() {
        let mut ramp = Ramp::default();
        assert!(!ramp.ended(None, Moment(1)), "no window has an end");
        assert!(!ramp.ended(Some(Moment(10)), Moment(2)));
        assert!(ramp.ended(None, Moment(11)));
        assert!(!ramp.ended(None, Moment(12)));
    }
}

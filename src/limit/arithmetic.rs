//! What the numbers of a refusal say of the way of counting and charging.
//!
//! A refusal may say what was used, what its request would have been charged, and when that will fit. Ways
//! of charging differ in the second: only who charges the bound alone charges exactly the bound. Ways of
//! counting differ in the last: a level refills at once, a sliding window gives back what is oldest, a
//! fixed one gives nothing back before its end. Where no header tells levels and resets, this alone tells
//! them apart; where they do, it may be that a level is empty that could be a window.

use super::QuotaKind;
use super::charge::Charge;
use super::hypothesis::{Circumstances, Hypothesis, refill_time};
use super::meter::End;
use super::settings::{Charging, Counting};

/// The numbers of a refusal, in tokens or requests and in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arithmetic {
    /// What the request would have been charged, where its size is known here.
    pub(super) requested: Option<u64>,
    /// For want of so much it was refused, rounded up.
    pub(super) missing: u64,
    /// After so long it would fit, and so much less that may be, as it was rounded up.
    pub(super) retry: Option<(u64, u64)>,
    /// Whether headers tell resets, which are finer.
    pub(super) has_resets: bool,
}

impl Arithmetic {
    /// Tells whether who charges in this way may have charged what was requested.
    pub(super) fn may_be(&self, charging: Charging, charge: &Charge) -> bool {
        let Some(requested) = self.requested else { return true };
        let Charge { estimate, bound, .. } = *charge;
        // How prompts are estimated is only known roughly.
        let is_prompt = |told: u64| {
            (1..=estimate.saturating_mul(2).saturating_add(FEW)).contains(&told)
                && told.saturating_mul(2).saturating_add(FEW) >= estimate
        };
        match charging {
            Charging::Max => requested == bound || requested > bound && is_prompt(requested),
            Charging::Refund => requested > bound && is_prompt(requested - bound),
            Charging::Later | Charging::Split => is_prompt(requested),
        }
    }
}

impl Hypothesis {
    /// Returns how far the time after which it would fit is from what this way of counting would say, in
    /// nanoseconds.
    pub(super) fn wait_miss(
        &mut self,
        said: &Arithmetic,
        window: u64,
        around: &Circumstances,
    ) -> u64 {
        let Some((wait, rounded)) = said.retry else { return 0 };
        let told = End {
            earliest: around.sent.plus(wait).minus(rounded),
            latest: around.arrived.plus(wait),
        };
        if said.has_resets {
            // A level that is empty and a window that is used up have the same reset: of a window that ends
            // then nothing comes back before.
            let end = self.meter.end(around.now);
            return end.map_or(0, |end| end.earliest.since(told.latest));
        }
        match self.way.counting {
            Counting::Bucket => {
                let of = (self.meter.limit(), window);
                let least = refill_time(said.missing.saturating_sub(1), of);
                let shortest = wait.saturating_sub(rounded);
                least
                    .saturating_sub(wait)
                    .max(shortest.saturating_sub(refill_time(said.missing, of)))
            }
            Counting::Sliding => {
                let charging = self.charging(around.leading);
                let slack = around.given_back(QuotaKind::TokensPerMinute, charging);
                let leaves =
                    self.meter.leaving((said.missing, slack), around.arrived, around.grace);
                leaves.map_or(0, |leaves| {
                    let early = leaves.earliest.since(told.latest);
                    early.max(told.earliest.since(leaves.latest))
                })
            }
            Counting::Fixed => {
                self.meter.learn_end(told, around.now, around.grace);
                self.end_miss(told, window, around)
            }
        }
    }
}

/// Estimates of short prompts differ by what frames them.
const FEW: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_requested_tells_how_it_is_charged() {
        let charge = Charge { requests: 1, estimate: 67, bound: 1_000, ..Charge::default() };
        let told = |requested| {
            let said = Arithmetic {
                requested: Some(requested),
                missing: 1,
                retry: None,
                has_resets: false,
            };
            [Charging::Max, Charging::Refund, Charging::Later].map(|way| said.may_be(way, &charge))
        };
        assert_eq!(told(1_000), [true, false, false], "exactly the bound");
        assert_eq!(told(1_080), [false, true, false], "the bound and a prompt");
        assert_eq!(told(80), [false, false, true], "a prompt");
        assert_eq!(told(500), [false, false, false], "nobody charges this");
    }
}

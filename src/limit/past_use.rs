//! What was sent after a lane was kept last, as whoever booked it tells: it was charged, too.

use std::time::Duration;

use super::bank::Bank;
use super::charge::Charge;
use super::lane::Lane;
use super::moment::{Moment, nanos};
use super::settings::Charging;

/// One request of the past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PastUse {
    /// How long ago it was sent.
    pub ago: Duration,
    /// The tokens of its prompt.
    pub input: u64,
    /// The most that its output could have.
    pub bound: u64,
    /// The tokens of its output, or its bound where that is not known.
    pub output: u64,
    /// The images that it asked for.
    pub images: u64,
}

impl PastUse {
    /// Returns what a bank was debited for it, all in all.
    fn of(&self, bank: &Bank, leading: Charging) -> u64 {
        let charging = bank.charging(leading);
        // Of who takes the larger of prompt and bound nothing comes back.
        let bound = if charging == Charging::Max { self.bound } else { self.output };
        let charge = Charge {
            requests: 1,
            estimate: self.input,
            bound,
            images: self.images,
            ..Charge::default()
        };
        let later = if charging.is_later(bank.kind) { self.output } else { 0 };
        charge.of(bank.kind, charging).saturating_add(later)
    }
}

impl Lane {
    /// Debits what was `sent`, each at its own time, and comes to `now`.
    pub(super) fn recall_sent(&mut self, sent: &[PastUse], now: Moment) {
        let (grace, leading) = (self.grace.nanos(), self.leading);
        let mut in_order: Vec<&PastUse> = sent.iter().collect();
        in_order.sort_unstable_by_key(|sent| std::cmp::Reverse(sent.ago));
        for bank in &mut self.banks {
            for sent in &in_order {
                let (at, amount) = (now.minus(nanos(sent.ago)), sent.of(bank, leading));
                for belief in &mut bank.beliefs {
                    belief.meter.debit(amount, at, grace);
                }
            }
            for belief in &mut bank.beliefs {
                belief.meter.advance(now, grace);
            }
        }
    }
}

//! What answers tell of the charge for an absent output bound.
//!
//! # What this module owns
//!
//! When a request without a bound may go, what is debited for it, and what follows for
//! [`super::absent::Absent`] from an answer: how much more or less was left than was predicted, divided by
//! how many such requests had been counted; and that none was charged more than was used in all.

use super::QuotaKind;
use super::absent::{Counted, Known, MOST};
use super::bank::{Bank, bit, lane_bit};
use super::debit::{Bounded, Debit, Sent};
use super::hint::Hint;
use super::hypothesis::{Circumstances, Hypothesis};
use super::lane::{Lane, Wait};
use super::meter::{Span, float};
use super::moment::Moment;
use super::offer::Offer;
use super::route;
use super::settings::Charging;

impl Lane {
    /// Lets few requests go whose output bound is absent while nobody knows what that is charged.
    pub(super) fn absent_turn(&self, offer: &Offer, now: Moment) -> Option<Wait> {
        if offer.bounded != Bounded::Assumed {
            return None;
        }
        let first = self.reserving().map(|charging| self.absent.at_once(charging)).min();
        let (allowed, at) = self.absent.allowance(first.unwrap_or(1), now);
        let open = self.open.charge.assumed.count;
        (open >= allowed).then_some(Wait { at, quota: QuotaKind::FirstContact })
    }

    /// Returns what is to be debited for an absent bound, where outputs are `usual` and `guess` is a part of
    /// the quota, and whether that is known.
    pub(super) fn assumed(&self, usual: u64, guess: u64) -> (u64, Bounded) {
        let most = self.reserving().map(|charging| self.absent.assumed(charging, usual, guess));
        let is_known = self.reserving().all(|charging| self.absent.is_known(charging));
        let bounded = if is_known { Bounded::Told } else { Bounded::Assumed };
        (most.max().unwrap_or(usual), bounded)
    }

    /// Returns what is charged for an absent bound, once that is known.
    pub(super) fn absent_max(&self) -> Option<u64> {
        let is_known = self.absent.is_known(self.leading);
        Some(self.leading)
            .filter(|_| is_known)
            .and_then(|by| self.absent.told(by))
            .map(|told| told.1)
    }

    /// Returns whether answers tell what is left of the tokens.
    pub(super) fn is_told_tokens(&self) -> bool {
        let mut banks = self.banks.iter();
        banks.any(|bank| bank.kind == QuotaKind::TokensPerMinute && bank.statements > 0)
    }

    /// Learns from an answer what requests without a bound were charged that had been counted when its own
    /// came.
    pub(super) fn learn_absent(
        &mut self,
        (debit, hint): (&Debit, &Hint),
        counted: &Counted,
        around: &Circumstances,
    ) {
        if counted.surely.count == 0 || around.refused {
            return;
        }
        self.absent.measure(self.least_token_limit().unwrap_or(0) / SEVERAL);
        if debit.absent.is_some()
            && let Some(used) = used(hint)
        {
            let prompt = debit.charge.estimate.saturating_sub(u64::from(debit.slack));
            let beside = Known::told(0, used.saturating_sub(prompt).min(MOST), true);
            self.absent.learn(Charging::Refund, beside, around.now);
            self.absent.learn(Charging::Max, Known::told(0, used.min(MOST), true), around.now);
        }
        if self.absent.is_blind() {
            return;
        }
        let one = counted.surely.count == 1 && counted.maybe.count == 1;
        if let Some(more) = self.more_charged(Charging::Refund, (debit, hint), around) {
            let (debited, more) = self.absent.each(counted, more);
            if let Some((least, most)) = charged(debited, more) {
                self.absent.learn(Charging::Refund, Known::told(least, most, one), around.now);
            }
        }
        if debit.absent.is_some()
            && one
            && let Some(more) = self.more_charged(Charging::Max, (debit, hint), around)
            && let Some(charged) = charged(float(debit.charge.tokens(Charging::Max)), more)
        {
            let alone = without_prompt(charged, debit.charge.estimate);
            self.absent.learn(Charging::Max, alone, around.now);
        }
    }

    /// Learns from what a refusal says that a request without a bound would have been charged.
    pub(super) fn absent_requested(&mut self, debit: &Debit, requested: u64, now: Moment) {
        let requested = requested.min(MOST);
        let estimate = debit.charge.estimate;
        let prompt = estimate.saturating_sub(u64::from(debit.slack));
        let (least, most) = (requested.saturating_sub(estimate), requested.saturating_sub(prompt));
        let beside = Known::told(least, most, true).for_certain();
        self.absent.learn(Charging::Refund, beside, now);
        let alone = without_prompt((requested, requested), estimate).for_certain();
        self.absent.learn(Charging::Max, alone, now);
    }

    /// Returns how much more than was debited was charged by what the headers say, whichever belief is
    /// true of those that may be and charge in this way.
    fn more_charged(
        &self,
        charging: Charging,
        (debit, hint): (&Debit, &Hint),
        around: &Circumstances,
    ) -> Option<Span> {
        let kind = QuotaKind::TokensPerMinute;
        let bank = self.banks.iter().find(|bank| bank.kind == kind)?;
        let hint = hint.tokens.filter(|hint| hint.limit == bank.told_limit())?;
        let guesses = debit.sent.as_deref().map(Sent::guesses)?;
        let alike =
            plausible(bank).filter(|(_, belief)| belief.charging(debit.leading) == charging);
        let more = alike.map(|(place, belief)| {
            if debit.left_behind & lane_bit(bank.first + place) != 0 {
                return None; // It was charged to a window that is over.
            }
            let left = route::left(&hint, bank.window, belief.way.counting)?;
            let off = belief.interval(kind, guesses.get(bank.first + place)?, left, around);
            let held = belief.held();
            Some(Span { least: held.least - off.most, most: held.most - off.least })
        });
        let either =
            |a: Span, b: Span| Span { least: a.least.min(b.least), most: a.most.max(b.most) };
        more.reduce(|a, b| a.zip(b).map(|(a, b)| either(a, b)))?
    }

    /// Returns in which ways bounds may be reserved.
    fn reserving(&self) -> impl Iterator<Item = Charging> {
        [Charging::Refund, Charging::Max].into_iter().filter(|charging| {
            let mut banks = self.banks.iter().filter(|bank| bank.kind.is_of_tokens());
            let charges = |of: &Hypothesis| of.charging(self.leading) == *charging;
            self.banks.is_empty() || banks.any(|bank| bank.plausible().any(charges))
        })
    }
}

/// So many have to fit for more than one to go while it is not known what each is charged.
const SEVERAL: u64 = 4;

/// Returns what had been used, own charge and all, when a request came: it cannot have been charged more.
fn used(hint: &Hint) -> Option<u64> {
    let told = hint.tokens?;
    let left = told.remaining.filter(|left| *left > 0)?;
    Some(told.limit.saturating_sub(left).saturating_add(told.rounded_to / 2))
}

/// Returns the beliefs that may be true, and their places.
fn plausible(bank: &Bank) -> impl Iterator<Item = (usize, &Hypothesis)> {
    bank.beliefs.iter().enumerate().filter(|(place, _)| bank.mask & bit(*place) != 0)
}

/// Returns the least and the most that was charged; `None` where something else was taken back meanwhile.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn charged(debited: f64, more: Span) -> Option<(u64, u64)> {
    let (least, most) = (debited + more.least, debited + more.most);
    let most = Some(most).filter(|most| *most >= 0.0).map(|most| (most.ceil() as u64).min(MOST))?;
    Some(((least.floor() as u64).min(most), most))
}

/// Returns what is charged for an absent bound where the larger of it and the prompt was so much: what is
/// no more than the prompt's estimate may be that.
fn without_prompt((least, most): (u64, u64), estimate: u64) -> Known {
    Known::told(if least > estimate { least } else { 0 }, most, true)
}

//! What is done about limits of shorter slices.
//!
//! A provider may hold each second, or each ten, to its part of the minute. Few tell it by headers. Else it
//! shows as a refusal although both windows had room; from then on so many go in each second, until that
//! has worked for a while.

use super::QuotaKind;
use super::bank::Bank;
use super::debit::{Debit, Sent};
use super::hint::{Hint, QuotaHint, SliceHint};
use super::hypothesis::Circumstances;
use super::lane::Lane;
use super::meter::float;
use super::moment::{Moment, nanos};

/// When the limit of slices is tried again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pacing {
    /// When it was refused last, or raised.
    since: Moment,
    /// How many quiet minutes must pass before the next try.
    quiet: u64,
}

impl Lane {
    /// Keeps slices to their part from now on, after a refusal that had room in both windows.
    pub(super) fn pace(&mut self, debit: &Debit, blamed: QuotaKind, now: Moment) {
        let by_tokens = blamed.is_of_tokens();
        let (minute, slice) = if by_tokens {
            (QuotaKind::TokensPerMinute, QuotaKind::TokensPerSecond)
        } else {
            (QuotaKind::RequestsPerMinute, QuotaKind::RequestsPerSecond)
        };
        let limit = |kind| self.banks.iter().find(|bank| bank.kind == kind).map(Bank::limit);
        let window = self.banks.iter().find(|bank| bank.kind == slice).map(|bank| bank.window);
        let length = nanos(self.settings.minute);
        let slices = window.map_or(SLICES, |window| (length / window.max(1)).max(1));
        let Some(part) = limit(minute).map(|limit| limit.div_ceil(slices)) else { return };
        self.pacing.quiet = (self.pacing.quiet * 2).clamp(FIRST_QUIET, MOST_QUIET);
        self.pacing.since = now;
        if limit(slice).is_none() {
            let mut bank = self.new_bank(slice, part, now);
            let others = self.open.charge.minus(&debit.charge);
            bank.begin_used(0, (&others, debit.leading), now, self.grace.nanos());
            self.banks.push(bank);
        } else if let Some(bank) = self.banks.iter_mut().find(|bank| bank.kind == slice) {
            bank.learn_limit(part, now, now);
        }
    }

    /// Takes in what headers tell of slices: their limits, and where those refill what is left of them.
    pub(super) fn told_slices(&mut self, debit: &Debit, hint: &Hint, around: &Circumstances) {
        let told = [
            (QuotaKind::RequestsPerSecond, hint.requests_sliced),
            (QuotaKind::TokensPerSecond, hint.tokens_sliced),
        ];
        for (kind, told) in told {
            let Some(told) = told.filter(|told| told.limit > 0 && told.per_minute > 0) else {
                continue;
            };
            if self.banks.iter().all(|bank| bank.kind != kind) {
                let window = (nanos(self.settings.minute) / told.per_minute).max(1);
                let bank = self.new_bank_of(kind, (told.limit, window), around.now);
                self.add_bank((bank, told.remaining.map(float)), debit, around);
            }
            let SliceHint { limit, remaining, .. } = told;
            let counter = QuotaHint { limit, remaining, ..QuotaHint::default() };
            let guesses = debit.sent.as_deref().map(Sent::guesses);
            let bank = self.banks.iter_mut().find(|bank| bank.kind == kind);
            let Some(bank) = bank else { continue };
            bank.hear(&counter, guesses, debit.left_behind, around);
        }
    }

    /// Lets slices take twice as much after some quiet minutes, and at last whatever they like.
    pub(super) fn release(&mut self, now: Moment) {
        let minute = nanos(self.settings.minute);
        let quiet = self.pacing.quiet.saturating_mul(minute);
        if self.pacing.quiet == 0 || now.since(self.pacing.since) < quiet {
            return;
        }
        self.pacing.since = now;
        for bank in self.banks.iter_mut().filter(|bank| bank.kind.is_slice()) {
            if self.settings.limit(bank.kind).is_none() {
                bank.learn_limit(bank.limit().saturating_mul(2), now, now);
            }
        }
    }
}

/// The slices of a minute.
pub(super) const SLICES: u64 = 60;
/// So many minutes must be quiet before more is tried; doubled with each failure.
const FIRST_QUIET: u64 = 10;
const MOST_QUIET: u64 = 640;

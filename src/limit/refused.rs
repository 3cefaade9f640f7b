//! Closes requests that the provider did not serve: what is given back, and how long others stay away.

use tokio::time::Instant;

use super::QuotaKind;
use super::answer::blamed;
use super::charge::Charge;
use super::debit::{Debit, Refused};
use super::hold::Hold;
use super::lane::Lane;
use super::moment::{Moment, nanos};
use super::settings::Charging;

impl Lane {
    /// Closes the debit of a request that the provider refused for a limit: its tokens are credited, its request
    /// stays debited. Nothing goes before the provider said, or before the levels say.
    pub fn refused(&mut self, debit: Debit, now: Instant) {
        let now = self.time.advance(now);
        self.credit_tokens(&debit, now);
        let minute = nanos(self.settings.minute);
        let said = debit.refusal.as_deref().copied();
        if self.is_crowded(&debit, said.as_ref(), now) {
            // The next one goes when one of those is answered.
            return;
        }
        let arithmetic = said.and_then(|said| said.arithmetic);
        let kind = arithmetic.map_or_else(|| self.blamed_without_numbers(said.as_ref()), blamed);
        let retry_after = said.and_then(|said| said.retry_after);
        let pause = self.pause(&debit, said.as_ref(), now);
        let wait = retry_after.map_or(minute / 120, nanos).min(minute).max(pause);
        // Where its headers tell the level, that knows better than a wait that was rounded up.
        let bank = self.banks.iter().find(|bank| bank.kind == kind);
        let numbers = debit.told && bank.is_some_and(|bank| bank.statements > 0);
        let longest = if numbers { minute / 30 } else { minute };
        let mut hold = Hold::new(kind, now.plus(wait.min(longest).max(1)), now);
        if bank.is_some() && arithmetic.is_some_and(|told| told.used.is_some()) {
            hold = hold.with_tries(minute / 120);
        }
        self.hold =
            Some(self.hold.map_or(hold, |before| before.refused_again(hold, debit.granted)));
        if said.is_some_and(|said| said.had_room) {
            return self.pace(&debit, kind, now);
        }
        let hopeless = arithmetic.is_some_and(|refusal| refusal.used.is_none());
        if debit.probing {
            self.contact.refused(now);
        } else if hopeless {
            // "Request too large" says nothing of the level.
        } else {
            let leading = self.leading;
            if let Some(bank) = self.banks.iter_mut().find(|bank| bank.kind == kind) {
                let amount = debit.charge.of(kind, bank.charging(leading));
                bank.margin.surprised(amount, bank.limit(), minute, now);
            }
        }
    }

    /// Closes the debit of a request that failed for another reason than a limit: its tokens are
    /// credited, its request stays debited, and nobody else has to wait for it. Who most likely never corrects
    /// a charge does not for this one.
    pub fn failed(&mut self, debit: Debit, now: Instant) {
        let now = self.time.advance(now);
        self.slot_ended(now);
        if self.leading == Charging::Max {
            self.traffic.over(&debit.charge.assumed, now);
            return self.close(&debit);
        }
        self.credit_tokens(&debit, now);
    }

    /// Returns the quota that a refusal is put down to which tells no numbers. Where all quotas had room, it was a
    /// shorter window's, and those are of requests unless it says otherwise.
    fn blamed_without_numbers(&self, said: Option<&Refused>) -> QuotaKind {
        let had_room = said.is_some_and(|said| said.had_room);
        let requests = QuotaKind::RequestsPerMinute;
        let usual = match had_room && self.banks.iter().any(|bank| bank.kind == requests) {
            true => requests,
            false => QuotaKind::TokensPerMinute,
        };
        said.and_then(|said| said.by).unwrap_or(usual)
    }

    fn credit_tokens(&mut self, debit: &Debit, now: Moment) {
        let charge = (&debit.charge, debit.leading);
        for bank in self.banks.iter_mut().filter(|bank| !bank.kind.is_of_requests()) {
            bank.cancel(charge, debit.left_behind, debit.at, now);
        }
        self.traffic.undone(&Charge { requests: 0, ..debit.charge }, now);
        self.close(debit);
    }
}

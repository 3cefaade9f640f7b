//! What a lane learns from answers: levels, limits and delays.

use std::time::Duration;

use tokio::time::Instant;

use super::QuotaKind;
use super::absent::Unstated;
use super::arithmetic::Arithmetic;
use super::bank::Bank;
use super::debit::{Bounded, Debit, Refused, Sent, Stage};
use super::hint::{Hint, QuotaHint, RefusalHint};
use super::hypothesis::{Circumstances, Hypothesis, Unheard};
use super::lane::Lane;
use super::meter::{Span, float};
use super::moment::{MILLISECOND, Moment, SECOND, nanos};
use super::pacing::SLICES;
use super::route::{Known, Period};
use super::settings::{Charging, Counting};

impl Lane {
    /// Compares what the answer says with what was predicted when its request was sent, and corrects
    /// levels and limits. `now` is when the answer's headers came.
    pub fn observe(&mut self, debit: &mut Debit, hint: &Hint, now: Instant) {
        let now = self.time.advance(now);
        let refused = hint.refusal.is_some() || hint.retry_after.is_some();
        let arrived = self.arrival(debit, hint, now);
        self.heard = now;
        // What it is charged is known from now on; of another it is not before its answer ends.
        debit.stage = Stage::Answered;
        debit.told = hint.has_counters();
        self.has_headers |= debit.told;
        if !refused && !hint.is_error {
            self.opening.answered(debit.opens);
        }
        if !refused {
            self.hold = self.hold.filter(|hold| !debit.tries.is_some_and(|of| hold.is_of(of)));
        }
        self.dared(debit, refused, now);
        // Some refuse without a word of when or why, and yet show what is left.
        if refused || hint.is_error {
            debit.refusal = Some(Box::new(Refused {
                arithmetic: hint.refusal,
                by: hint.refused_by,
                retry_after: hint.retry_after,
                had_room: self.had_room(debit, hint),
            }));
        }
        for bank in &mut self.banks {
            let charge = (&debit.charge, debit.leading);
            debit.left_behind |= bank.arrived(charge, (debit.at, arrived), now);
        }
        let mut around = self.circumstances(debit, arrived, refused, now);
        let counted = around.counted();
        self.learn_absent((debit, hint), &counted, &around);
        around.unstated = self.absent.unstated(&counted);
        self.told_by_headers(debit, hint, &around);
        self.told_slices(debit, hint, &around);
        if debit.told {
            self.open.untold = self.open.slack;
        }
        let had_room = debit.refusal.as_ref().is_some_and(|said| said.had_room);
        let of_slots = hint.refused_by == Some(QuotaKind::Concurrency);
        if let Some(refusal) = hint.refusal.filter(|_| !had_room && !of_slots) {
            self.told_arithmetic(debit, (&refusal, hint.retry_after), &around);
        } else if !self.has_headers {
            self.told_silently(debit, hint, &around);
        }
        self.leading = self.most_likely_charging();
        self.release(now);
        self.try_more_slots(now);
        if debit.told || !refused {
            if debit.told && !self.contact.is_made() {
                self.ramp.begin(nanos(self.settings.minute) / SLICES, now);
            }
            self.contact.make();
        } else {
            self.contact.refused(now);
        }
    }

    /// Returns when the request got there at the latest, and learns how long that may take.
    fn arrival(&mut self, debit: &Debit, hint: &Hint, now: Moment) -> Moment {
        let Some(processing) = hint.processing.map(nanos) else {
            return now.min(debit.at.plus(self.grace.nanos()));
        };
        let answered = now.minus(processing).max(debit.at);
        self.grace.learn(answered.since(debit.at), now);
        answered.min(debit.at.plus(self.grace.nanos()))
    }

    /// Gathers what happened around a request whose answer came now.
    fn circumstances(
        &self,
        debit: &Debit,
        arrived: Moment,
        refused: bool,
        now: Moment,
    ) -> Circumstances {
        let grace = self.grace.nanos();
        let mark = debit.sent.as_deref().map(|sent| sent.mark).unwrap_or_default();
        let known = arrived.plus(grace);
        let after = self.traffic.upto(arrived).since(&mark).without(&debit.charge);
        // What became known there before it came has been heard here by then.
        let others = self.open.charge.minus(&debit.charge);
        let of_now = (self.open.slack, self.open.untold);
        let sent = debit.sent.as_deref();
        let (slack, untold) = sent.map_or(of_now, |sent| (sent.slack, sent.untold));
        let mut unheard = Unheard { slack, untold, ..Unheard::default() };
        if now < known {
            unheard.charge = others;
            unheard.output = self.under_way.reserve(&self.outputs);
        }
        Circumstances {
            charge: debit.charge,
            leading: debit.leading,
            sent: debit.at,
            arrived,
            now,
            grace,
            refused,
            sized: debit.bounded == Bounded::Known,
            open: mark.assumed.minus(&mark.over),
            before: mark.since(&self.traffic.before(debit.at.minus(grace))),
            after,
            settled: self.traffic.upto(known).since(&mark),
            unheard,
            unstated: Unstated::default(),
        }
    }

    fn told_by_headers(&mut self, debit: &Debit, hint: &Hint, around: &Circumstances) {
        use QuotaKind as Kind;
        let apart = hint.input.is_some() || hint.output.is_some();
        #[rustfmt::skip] // One counter a line.
        let counters = [
            (hint.requests,                   Kind::RequestsPerMinute,     Kind::RequestsPerDay),
            // Beside the two, this tells whichever has less left.
            (hint.tokens.filter(|_| !apart),  Kind::TokensPerMinute,       Kind::TokensPerDay),
            (hint.input,                      Kind::InputTokensPerMinute,  Kind::InputTokensPerMinute),
            (hint.output,                     Kind::OutputTokensPerMinute, Kind::OutputTokensPerMinute),
        ];
        #[rustfmt::skip] // One counter a line.
        let counters = counters.into_iter().chain([
            (hint.requests_daily,             Kind::RequestsPerDay,        Kind::RequestsPerDay),
            (hint.tokens_daily,               Kind::TokensPerDay,          Kind::TokensPerDay),
        ]);
        for (counter, minute, day) in counters {
            if let Some(counter) = counter.filter(|counter| counter.limit > 0) {
                self.told(debit, &counter, [minute, day], around);
            }
        }
    }

    /// Takes in what the headers say of one counter.
    fn told(
        &mut self,
        debit: &Debit,
        hint: &QuotaHint,
        [minute, day]: [QuotaKind; 2],
        around: &Circumstances,
    ) {
        let kind = match self.known(minute, day).period(hint) {
            Period::Minute => minute,
            Period::Day => day,
        };
        if self.banks.iter().all(|bank| bank.kind != kind) {
            let bank = self.new_bank(kind, hint.limit, around.now);
            self.add_bank((bank, hint.remaining.map(float)), debit, around);
        }
        let Some(bank) = self.banks.iter_mut().find(|bank| bank.kind == kind) else { return };
        let guesses = debit.sent.as_deref().map(Sent::guesses);
        bank.hear(hint, guesses, debit.left_behind, around);
    }

    /// Takes in "Limit L, Used U, Requested R".
    fn told_arithmetic(
        &mut self,
        debit: &Debit,
        (refusal, retry_after): (&RefusalHint, Option<Duration>),
        around: &Circumstances,
    ) {
        let kind = blamed(*refusal);
        if refusal.limit > 0 && self.banks.iter().all(|bank| bank.kind != kind) {
            let left = refusal.used.map(|used| float(refusal.limit) - float(used));
            let bank = self.new_bank(kind, refusal.limit, around.now);
            self.add_bank((bank, left), debit, around);
        }
        let Some(bank) = self.banks.iter_mut().find(|bank| bank.kind == kind) else { return };
        if refusal.limit > 0 {
            bank.learn_limit(refusal.limit, debit.at, around.now);
        }
        let is_sized = kind.is_of_tokens() && debit.bounded == Bounded::Known;
        let requested = Some(refusal.requested).filter(|_| is_sized);
        if refusal.used.is_none() && is_sized {
            let said = Arithmetic { requested, missing: 0, retry: None, has_resets: false };
            bank.hear_requested(&said, around);
        } else if let Some((used, sent)) = refusal.used.zip(debit.sent.as_deref()) {
            let leading = debit.leading;
            // As if it had been counted, which is what was predicted.
            let left = |belief: &Hypothesis| {
                let own = around.charge.of(kind, belief.charging(leading));
                let left = float(refusal.limit) - float(used) - float(own);
                Some(Span { least: left, most: left + 1.0 })
            };
            let minute = nanos(self.settings.minute);
            let said = Arithmetic {
                requested,
                missing: used.saturating_add(refusal.requested).saturating_sub(refusal.limit),
                retry: retry_after.map(|wait| (nanos(wait), rounded(wait, minute))),
                has_resets: bank.statements > 0,
            };
            bank.hear_left(left, Some(&said), (sent.guesses(), debit.left_behind), around);
            if kind.is_of_tokens() {
                self.open.untold = self.open.slack;
            }
        }
        if kind.is_of_tokens() {
            self.learn_request(debit, refusal.requested, around.now);
        }
    }

    /// Learns from what the provider says it would charge for a request: for a bound that was not
    /// stated, or for the prompt.
    fn learn_request(&mut self, debit: &Debit, requested: u64, now: Moment) {
        if debit.bounded != Bounded::Known {
            return self.absent_requested(debit, requested, now);
        }
        let bound = debit.charge.bound;
        let told = match self.leading {
            Charging::Refund => requested.checked_sub(bound),
            Charging::Max => Some(requested).filter(|told| *told != bound),
            Charging::Later | Charging::Split => Some(requested),
        };
        if let Some(told) = told.filter(|told| *told > 0) {
            self.estimates.learn(debit.prompt, told);
        }
    }

    /// Takes in an answer without any number: that it was admitted, or refused until later.
    fn told_silently(&mut self, debit: &Debit, hint: &Hint, around: &Circumstances) {
        let Some(sent) = debit.sent.as_deref() else { return };
        let kind = QuotaKind::TokensPerMinute;
        let minute = nanos(self.settings.minute);
        let wait = hint.retry_after.map(|wait| (nanos(wait), rounded(wait, minute)));
        for bank in &mut self.banks {
            if around.refused && bank.kind != kind {
                continue; // Nobody says which it was.
            }
            let limit = float(bank.limit());
            let window = float(bank.window);
            let left = |belief: &Hypothesis| {
                if !around.refused {
                    return Some(Span { least: 0.0, most: f64::INFINITY });
                }
                // What is missing comes in the time that it says, which may be rounded up.
                let none = Some(Span { least: f64::NEG_INFINITY, most: 0.0 });
                let Some((wait, rounded)) = wait else { return none };
                if belief.way.counting != Counting::Bucket {
                    return none;
                }
                let missing = |wait: u64| -float(wait) * limit / window;
                Some(Span { least: missing(wait), most: missing(wait - rounded) })
            };
            bank.hear_left(left, None, (sent.guesses(), debit.left_behind), around);
        }
    }

    /// Takes on a quota that nobody had configured. What is under way is debited once more: nobody
    /// knows which of it the provider had counted.
    pub(super) fn add_bank(
        &mut self,
        (mut bank, left): (Bank, Option<f64>),
        debit: &Debit,
        around: &Circumstances,
    ) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let used = left.map_or(0, |left| (float(bank.limit()) - left).ceil() as u64);
        let others = self.open.charge.minus(&debit.charge);
        bank.begin_used(used, (&others, debit.leading), around.now, around.grace);
        self.banks.push(bank);
    }

    /// Tells whether the headers of a refusal show room for its request.
    fn had_room(&self, debit: &Debit, hint: &Hint) -> bool {
        let fits = |hint: Option<QuotaHint>, amount: u64| {
            hint.and_then(|hint| hint.remaining).is_some_and(|left| left >= amount)
        };
        let tokens = debit.charge.tokens(Charging::Refund);
        // Of what is charged for an absent bound the provider's own arithmetic knows more.
        let explained = hint.refusal.is_some_and(|said| explains(said, hint.tokens));
        let has_tokens = fits(hint.tokens, tokens) || hint.tokens.is_none();
        fits(hint.requests, 1) && has_tokens && !explained
    }

    fn known(&self, minute: QuotaKind, day: QuotaKind) -> Known {
        let bank = |kind| self.banks.iter().find(|bank| bank.kind == kind);
        let counting = bank(minute).or_else(|| bank(day)).and_then(Bank::counting);
        Known {
            counting: self.settings.counting.or(counting),
            minute: nanos(self.settings.minute),
            day: nanos(self.settings.day),
            minute_limit: bank(minute).map(Bank::told_limit),
            day_limit: bank(day).map(Bank::told_limit),
        }
    }

    pub(super) fn most_likely_charging(&self) -> Charging {
        let bank = |kind| self.banks.iter().find(|bank| bank.kind == kind);
        // Whose level is told knows.
        let second = bank(QuotaKind::TokensPerSecond).filter(|bank| bank.statements > 0);
        let tokens = second.or_else(|| bank(QuotaKind::TokensPerMinute));
        tokens.map_or(self.leading, |bank| bank.charging(self.leading))
    }
}

/// Tells whether a refusal's arithmetic is about the counter of tokens that the headers `told`, and
/// shows it short.
fn explains(said: RefusalHint, told: Option<QuotaHint>) -> bool {
    let used = said.used.unwrap_or(0);
    said.quota.is_none_or(QuotaKind::is_of_tokens)
        && told.is_some_and(|told| told.limit == said.limit)
        && used.saturating_add(said.requested) > said.limit
}

/// Returns the quota that a refusal is put down to.
pub(super) fn blamed(refusal: RefusalHint) -> QuotaKind {
    refusal.quota.unwrap_or(QuotaKind::TokensPerMinute)
}

/// Returns by how much a time to come back may be rounded up, in nanoseconds.
fn rounded(wait: Duration, minute: u64) -> u64 {
    let unit = if wait.subsec_nanos() == 0 { SECOND.min(minute / 60) } else { MILLISECOND };
    unit.min(nanos(wait))
}

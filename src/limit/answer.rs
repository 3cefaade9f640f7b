//! What a lane learns from answers: levels, limits, delays, and how long to stay away.

use tokio::time::Instant;

use super::QuotaKind;
use super::debit::{Bounded, Debit, Stage};
use super::hint::{Hint, QuotaHint, RefusalHint};
use super::lane::Lane;
use super::meter::{End, Meter, Span, float};
use super::moment::{Moment, nanos};
use super::quota::{Quota, Statement};
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
        debit.stage = Stage::Answered;
        debit.retry_after = hint.retry_after;
        debit.refusal = hint.refusal;
        debit.refused_by = hint.refused_by;
        debit.told = hint.has_counters();
        for (i, quota) in self.quotas.iter_mut().enumerate() {
            let amount = debit.charge.of(quota.kind);
            quota.arrived(debit.at, arrived.since(debit.at), now);
            if quota.meter.leave_behind(amount, debit.at, arrived) {
                debit.leave_behind(i);
            }
        }
        if let Some(requests) = hint.requests {
            let kinds = [QuotaKind::RequestsPerMinute, QuotaKind::RequestsPerDay];
            self.told(debit, &requests, kinds, Answer { arrived, refused, now });
        }
        if let Some(tokens) = hint.tokens {
            let kinds = [QuotaKind::TokensPerMinute, QuotaKind::TokensPerDay];
            self.told(debit, &tokens, kinds, Answer { arrived, refused, now });
        }
        let named = [
            (hint.requests_daily, QuotaKind::RequestsPerDay),
            (hint.tokens_daily, QuotaKind::TokensPerDay),
            (hint.input, QuotaKind::InputTokensPerMinute),
            (hint.output, QuotaKind::OutputTokensPerMinute),
        ];
        for (told, kind) in named.into_iter().filter_map(|(told, kind)| Some((told?, kind))) {
            self.told(debit, &told, [kind; 2], Answer { arrived, refused, now });
        }
        if let Some(refusal) = hint.refusal {
            self.told_arithmetic(debit, &refusal, Answer { arrived, refused, now });
        }
        if debit.told || !refused {
            self.contact.make();
        } else {
            self.contact.refused(now);
        }
    }

    /// Closes the debit of a request that the provider refused for a limit: its tokens are credited, its request
    /// stays debited. Nothing goes before the provider said, or before the levels say.
    pub fn refused(&mut self, debit: Debit, now: Instant) {
        let now = self.time.advance(now);
        self.credit_tokens(&debit, now);
        let minute = nanos(self.settings.minute);
        let kind = self.blamed(&debit);
        let wait = debit.retry_after.map_or(minute / 120, nanos).min(minute);
        let numbers = debit.told || debit.refusal.is_some_and(|refusal| refusal.used.is_some());
        if !numbers && debit.retry_after.is_some() {
            self.read_level(kind, &debit, wait, now);
        }
        // Where the levels are known, they know better than a wait that was rounded up.
        let longest = if numbers { minute / 30 } else { minute };
        let until = now.plus(wait.min(longest).max(1));
        self.hold = self.hold.max(Some((kind, until)));
        let hopeless = debit.refusal.is_some_and(|refusal| refusal.used.is_none());
        if debit.probing {
            self.contact.refused(now);
        } else if hopeless {
            // "Request too large" says nothing of the level.
        } else if let Some(quota) = self.quotas.iter_mut().find(|quota| quota.kind == kind) {
            quota.surprised(debit.charge.of(kind), minute, now);
        }
    }

    /// Closes the debit of a request that failed for another reason than a limit: its tokens are
    /// credited, its request stays debited, and nobody else has to wait for it.
    pub fn failed(&mut self, debit: Debit, now: Instant) {
        let now = self.time.advance(now);
        self.credit_tokens(&debit, now);
    }

    fn credit_tokens(&mut self, debit: &Debit, now: Moment) {
        for (i, quota) in self.quotas.iter_mut().enumerate() {
            if !quota.kind.is_of_requests() && !debit.is_left_behind(i) {
                quota.correct(debit.charge.of(quota.kind), 0, debit.at, now);
            }
        }
        self.close(debit);
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

    /// Takes in what the headers say of one counter.
    fn told(&mut self, debit: &Debit, hint: &QuotaHint, kinds: [QuotaKind; 2], answer: Answer) {
        if hint.limit == 0 {
            return; // Some answers carry -1 or 0 where nothing is counted.
        }
        let [minute, day] = kinds;
        let limit = |kind| self.quota(kind).map(Quota::told_limit);
        let known = Known {
            counting: self.counting(),
            minute: nanos(self.settings.minute),
            day: nanos(self.settings.day),
            minute_limit: limit(minute),
            day_limit: limit(day),
        };
        let period = known.period(hint);
        let kind = if period == Period::Day { day } else { minute };
        let left = known.left(hint, period);
        let Answer { arrived, refused, now } = answer;
        let window = nanos(self.window(kind));
        if self.quota(kind).is_none() {
            self.add_quota(NewQuota { kind, limit: hint.limit, left }, debit, now);
        } else {
            let grace = self.grace.nanos();
            let reserve = self.pool.reserve();
            let uncertain = if self.tariff.charges_later(kind) { reserve } else { 0 };
            let own = debit.charge.of(kind);
            let Some(quota) = self.quotas.iter_mut().find(|quota| quota.kind == kind) else {
                return;
            };
            quota.learn_limit(hint.limit, debit.at, now, window);
            if let Some((left, guess)) = left.zip(debit.prediction(kind)) {
                // Output that is known there and not here yet was kept free for.
                let left = Span { most: left.most + float(uncertain), ..left };
                let said = Statement { left, own, sent: debit.at, refused };
                quota.judge(&said, &guess, now, grace);
            }
        }
        if let Some(reset) = hint.reset.map(nanos).filter(|_| self.counting() == Counting::Fixed) {
            let end = End {
                earliest: debit.at.plus(reset),
                latest: arrived.plus(reset).plus(MILLISECOND),
            };
            let grace = self.grace.nanos();
            if let Some(quota) = self.quotas.iter_mut().find(|quota| quota.kind == kind) {
                quota.meter.learn_end(end, now, grace);
            }
        }
    }

    /// Takes in "Limit L, Used U, Requested R".
    fn told_arithmetic(&mut self, debit: &Debit, refusal: &RefusalHint, answer: Answer) {
        let kind = self.blamed_kind(refusal);
        let (grace, own) = (self.grace.nanos(), debit.charge.of(kind));
        if refusal.limit > 0 && self.quota(kind).is_none() {
            let left = refusal.used.map(|used| {
                let left = float(refusal.limit) - float(used);
                Span { least: left, most: left }
            });
            let told = NewQuota { kind, limit: refusal.limit, left };
            return self.add_quota(told, debit, answer.now);
        }
        if kind.is_of_tokens() && debit.bounded != Bounded::Known && refusal.requested > own {
            let assumed = match self.tariff.charging {
                Charging::Max => refusal.requested,
                _ => refusal.requested.saturating_sub(debit.charge.input),
            };
            self.told_absent = Some(assumed);
        }
        let guess = debit.prediction(kind);
        let window = nanos(self.window(kind));
        let Some(quota) = self.quotas.iter_mut().find(|quota| quota.kind == kind) else { return };
        if refusal.limit > 0 {
            quota.learn_limit(refusal.limit, debit.at, answer.now, window);
        }
        if let Some((used, guess)) = refusal.used.zip(guess) {
            // As if it had been counted, which is what was predicted.
            let left = float(refusal.limit) - float(used) - float(own);
            let left = Span { least: left, most: left + 1.0 };
            let said = Statement { left, own, sent: debit.at, refused: true };
            quota.judge(&said, &guess, answer.now, grace);
        }
    }

    /// Takes on a quota that nobody had configured. What is under way is debited once more: nobody
    /// knows which of it the provider had counted.
    fn add_quota(&mut self, told: NewQuota, debit: &Debit, now: Moment) {
        let NewQuota { kind, limit, left } = told;
        let window = nanos(self.window(kind));
        let mut meter = Meter::new(self.counting(), limit, window, now);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let used = left.map_or(0, |left| (float(limit) - left.least).ceil() as u64);
        let others = self.open.charge.minus(&debit.charge).of(kind);
        meter.debit(used.saturating_add(others), now, self.grace.nanos());
        self.quotas.push(Quota::new(kind, meter, now));
    }

    /// Reads the level out of an exact wait: what is missing comes in that time.
    fn read_level(&mut self, kind: QuotaKind, debit: &Debit, wait: u64, now: Moment) {
        let window = float(nanos(self.window(kind)));
        let grace = self.grace.nanos();
        let amount = float(debit.charge.of(kind));
        let bucket = self.counting() == Counting::Bucket;
        let quota = self.quotas.iter_mut().find(|quota| quota.kind == kind);
        let Some(quota) = quota.filter(|_| bucket) else { return };
        let level = amount - float(wait) * float(quota.meter.limit()) / window;
        #[expect(clippy::cast_precision_loss, reason = "compared to a millionth at best")]
        let believed = quota.meter.room(now, grace) as f64;
        if level < believed {
            quota.shift_by(level - believed, now);
        }
    }

    /// Returns the quota that a refusal is put down to.
    fn blamed(&self, debit: &Debit) -> QuotaKind {
        let by_words = debit.refused_by.unwrap_or(QuotaKind::TokensPerMinute);
        debit.refusal.map_or(by_words, |refusal| self.blamed_kind(&refusal))
    }

    fn blamed_kind(&self, refusal: &RefusalHint) -> QuotaKind {
        refusal.quota.unwrap_or(QuotaKind::TokensPerMinute)
    }

    pub(super) fn counting(&self) -> Counting {
        self.settings.counting.unwrap_or_default()
    }

    fn quota(&self, kind: QuotaKind) -> Option<&Quota> {
        self.quotas.iter().find(|quota| quota.kind == kind)
    }
}

/// When and how an answer came.
#[derive(Debug, Clone, Copy)]
struct Answer {
    /// When its request got there at the latest.
    arrived: Moment,
    refused: bool,
    now: Moment,
}

/// A quota that an answer told of.
struct NewQuota {
    kind: QuotaKind,
    limit: u64,
    left: Option<Span>,
}

/// What `reset` is cut off to, in nanoseconds.
const MILLISECOND: u64 = 1_000_000;

//! One quota: its meter, and what the provider's answers correct in it.
//!
//! # What this module owns
//!
//! The comparison of what an answer says was left with what was predicted when its request was sent:
//! how far it is off, when that is believed, and the standing margin that unpredicted refusals
//! raise. Single errors are mostly answers in transit, so the level goes down at once only when that
//! is certain, and up only when many answers agree.
//!
//! # What this module does not do
//!
//! It does not know of headers: [`super::lane`] finds the quota that one speaks of.

use super::QuotaKind;
use super::meter::{Meter, Span, float};
use super::moment::Moment;

/// A meter that is held against the provider's answers.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) kind: QuotaKind,
    pub(super) meter: Meter,
    /// What somebody configured, which is not exceeded.
    ceiling: Option<u64>,
    /// What the provider told last.
    told: Option<u64>,
    born: Moment,
    /// What answers have moved the level by, in all.
    shift: f64,
    credited: u64,
    debited_late: u64,
    errors: Errors,
    margin: Margin,
}

/// What was predicted for a request when it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prediction {
    left: Span,
    shift: f64,
    credited: u64,
    debited_late: u64,
}

/// A statement of the provider, and what is needed to judge it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement {
    /// What was left when the request had been counted, at least and at most.
    pub(super) left: Span,
    /// Our debit for that request.
    pub(super) own: u64,
    /// When it was sent.
    pub(super) sent: Moment,
    /// Whether it was refused, so that its debit may not have been made.
    pub(super) refused: bool,
}

impl Quota {
    /// Creates a quota around `meter`.
    pub(super) fn new(kind: QuotaKind, meter: Meter, now: Moment) -> Self {
        Self {
            kind,
            meter,
            ceiling: None,
            told: None,
            born: now,
            shift: 0.0,
            credited: 0,
            debited_late: 0,
            errors: Errors::default(),
            margin: Margin::default(),
        }
    }

    /// Creates a quota that somebody configured: the provider may lower it, and raise it no further.
    pub(super) fn configured(kind: QuotaKind, meter: Meter, now: Moment) -> Self {
        let ceiling = Some(meter.limit());
        Self { ceiling, ..Self::new(kind, meter, now) }
    }

    /// Returns the limit that the provider told last, else the one that is kept.
    pub(super) fn told_limit(&self) -> u64 {
        self.told.unwrap_or_else(|| self.meter.limit())
    }

    /// Returns the limit that the provider told; `None` where only the configuration says it.
    pub(super) fn told(&self) -> Option<u64> {
        self.told.or_else(|| self.ceiling.is_none().then(|| self.meter.limit()))
    }

    /// Returns what must be left for a debit of `amount`: the margin comes on top, but what fits an
    /// untouched quota fits.
    pub(super) fn need(&self, amount: u64, minute: u64, now: Moment) -> u64 {
        let limit = self.meter.limit();
        amount.saturating_add(self.margin.at(limit, minute, now)).min(limit)
    }

    /// Replaces `before` by `after` in a debit made at `since`.
    pub(super) fn correct(&mut self, before: u64, after: u64, since: Moment, now: Moment) {
        self.credited = self.credited.saturating_add(before.saturating_sub(after));
        self.debited_late = self.debited_late.saturating_add(after.saturating_sub(before));
        self.meter.correct(before, after, since.max(self.born), now);
    }

    /// Takes back a debit as if it had never been.
    pub(super) fn cancel(&mut self, amount: u64, since: Moment, now: Moment) {
        self.meter.correct(amount, 0, since.max(self.born), now);
    }

    /// Takes in that a request debited at `since` got there up to `delay` nanoseconds later.
    pub(super) fn arrived(&mut self, since: Moment, delay: u64, now: Moment) {
        self.shift -= self.meter.arrived(since, delay, now);
    }

    /// Debits output that has become known.
    pub(super) fn debit_output(&mut self, amount: u64, now: Moment, grace: u64) {
        self.debited_late = self.debited_late.saturating_add(amount);
        self.meter.debit(amount, now, grace);
    }

    /// Returns what the answer to a request sent just now should say is left.
    pub(super) fn predict(&self, now: Moment, grace: u64) -> Prediction {
        let left = self.meter.predict(now, grace);
        let (credited, debited_late) = (self.credited, self.debited_late);
        Prediction { left, shift: self.shift, credited, debited_late }
    }

    /// Judges a statement by what was predicted, and follows it where it is to be believed. Returns
    /// how far it was off, as a share of the limit.
    pub(super) fn judge(
        &mut self,
        said: &Statement,
        guess: &Prediction,
        now: Moment,
        grace: u64,
    ) -> f64 {
        let own = float(said.own);
        let nearby = |from, to| float(self.meter.debited(from, to).saturating_sub(said.own));
        let moved = self.shift - guess.shift;
        let late = float(self.debited_late - guess.debited_late);
        let refunds = float(self.credited - guess.credited);
        let least = guess.left.least + moved - late - nearby(said.sent, said.sent.plus(grace));
        let mut most =
            guess.left.most + moved + refunds + nearby(said.sent.minus(grace), said.sent);
        if said.refused {
            most += own;
        }
        let error = if said.left.most < least {
            said.left.most - least
        } else {
            (said.left.least - most).max(0.0)
        };
        let limit = float(self.meter.limit());
        // Room beyond what somebody configured is not for us.
        let looser = self.told_limit() > self.meter.limit();
        let error = if looser { error.min(0.0) } else { error };
        if let Some(change) = self.errors.agree_on(error, limit, said.refused) {
            self.shift_by(change, now);
        }
        error / limit
    }

    /// Takes over a limit that the answer to a request sent at `since` told. A lower one has refilled
    /// more slowly since then than was believed. What was configured is not exceeded.
    pub(super) fn learn_limit(&mut self, told: u64, since: Moment, now: Moment, window: u64) {
        self.told = Some(told);
        let limit = self.ceiling.map_or(told, |ceiling| told.min(ceiling));
        let before = self.meter.limit();
        if limit == before {
            return;
        }
        self.meter.set_limit(limit, now);
        self.shift += float(limit) - float(before);
        if self.meter.refills() && limit < before {
            let time = float(now.since(since)) / float(window);
            self.shift_by(-float(before - limit) * time, now);
        }
    }

    /// Raises the margin after a refusal that nobody predicted.
    pub(super) fn surprised(&mut self, amount: u64, minute: u64, now: Moment) {
        let limit = self.meter.limit();
        let raised = self.margin.at(limit, minute, now).saturating_add(amount);
        self.margin = Margin { amount: raised.min(limit / 20), since: now, surprised: true };
    }

    /// Returns when `amount` will have gone through, if all of it waited now.
    pub(super) fn gone_through(&self, amount: u64, now: Moment, window: u64, grace: u64) -> Moment {
        let limit = self.meter.limit();
        // The last piece fits an untouched quota; the others take a window each.
        let windows = amount.saturating_sub(1) / limit;
        let rest = amount - windows * limit;
        let period = if self.meter.refills() { window } else { window.saturating_add(grace) };
        self.meter.when(rest, now, grace).plus(windows.saturating_mul(period))
    }

    /// Moves the level by `tokens`.
    pub(super) fn shift_by(&mut self, tokens: f64, now: Moment) {
        #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
        let whole = tokens.floor() as i64;
        self.meter.nudge(whole, now);
        #[expect(clippy::cast_precision_loss, reason = "compared to a millionth at best")]
        let moved = whole as f64;
        self.shift += moved;
    }
}

/// The latest errors.
#[derive(Debug, Default)]
struct Errors {
    ring: [f64; AGREE_UP],
    len: usize,
}

impl Errors {
    /// Takes in `error` and returns by what the level is to be moved, if it is.
    fn agree_on(&mut self, error: f64, limit: f64, refused: bool) -> Option<f64> {
        self.ring.rotate_left(1);
        if let Some(last) = self.ring.last_mut() {
            *last = error;
        }
        self.len = (self.len + 1).min(AGREE_UP);
        let latest = self.ring.iter().rev();
        let change = if error < 0.0 && (refused || error < -0.05 * limit) {
            error
        } else if self.len >= AGREE_DOWN && latest.clone().take(AGREE_DOWN).all(|e| *e < 0.0) {
            0.7 * latest.take(AGREE_DOWN).copied().fold(f64::MIN, f64::max)
        } else if self.len == AGREE_UP && latest.clone().all(|e| *e > 0.0) {
            0.7 * latest.copied().fold(f64::MAX, f64::min)
        } else {
            return None;
        };
        self.len = 0;
        Some(change)
    }
}

/// So many answers in a row lower the level.
const AGREE_DOWN: usize = 3;
/// So many answers in a row raise it.
const AGREE_UP: usize = 24;

/// A part of the quota that is left unused after surprises. It costs its size once.
#[derive(Debug, Clone, Copy, Default)]
struct Margin {
    amount: u64,
    since: Moment,
    surprised: bool,
}

impl Margin {
    /// Returns the margin at `now`: halved every minute, but a thousandth of the limit stays.
    fn at(&self, limit: u64, minute: u64, now: Moment) -> u64 {
        if !self.surprised {
            return 0;
        }
        let halvings = now.since(self.since) / minute.max(1);
        let left = self.amount.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX));
        left.unwrap_or(0).max(limit / 1000)
    }
}

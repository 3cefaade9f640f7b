//! One belief about one counter of the provider, held against its answers.
//!
//! # What this module owns
//!
//! [`Hypothesis`]: a meter that counts in one way, what it predicts for each request that is sent,
//! and what each answer's statement says of it. It is moved to the lowest level that the answers
//! allow, and the distance that it had to be moved is its miss.
//!
//! # What this module does not do
//!
//! It does not decide whether it is plausible: [`super::bank`] compares it with its rivals.

use super::QuotaKind;
use super::absent::{Counted, Unstated};
use super::charge::{Assumed, Charge, Way};
use super::hint::QuotaHint;
use super::meter::{End, Meter, Span, float};
use super::moment::{MILLISECOND, Moment, nanos};
use super::offset::Offset;
use super::score::Score;
use super::settings::{Charging, Counting};
use super::traffic::Totals;

/// One belief about a counter.
#[derive(Debug)]
pub(super) struct Hypothesis {
    pub(super) way: Way,
    pub(super) meter: Meter,
    pub(super) score: Score,
    /// What the level was moved by, in all.
    shift: f64,
    /// The part of it that followed the provider's level.
    followed: f64,
    /// What may be counted twice here, or too high, which is no miss.
    twice: f64,
    offset: Offset,
    /// In which of the meter's windows that was.
    era: Moment,
    /// The window's end that later ones are held against, and when it was told.
    end: Option<(End, Moment)>,
    /// What was predicted before is of no use.
    since: Moment,
}

/// What the answer to a request should say is left, as if no answer had ever moved the level.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prediction {
    least: f64,
    most: f64,
}

/// What happened around a request that is needed to judge what its answer says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) charge: Charge,
    /// How tokens of the minute are taken to be charged.
    pub(super) leading: Charging,
    /// When it was sent.
    pub(super) sent: Moment,
    /// When it got there at the latest.
    pub(super) arrived: Moment,
    pub(super) now: Moment,
    pub(super) grace: u64,
    /// Whether it was refused, so that its debit may not have been made.
    pub(super) refused: bool,
    /// Whether its size is known here: an output bound that it did not state is assumed.
    pub(super) sized: bool,
    /// The requests without a bound that were under way when it was sent.
    pub(super) open: Assumed,
    /// What was sent so shortly before that it may have got there later.
    pub(super) before: Totals,
    /// What was sent after it and may have got there earlier.
    pub(super) after: Totals,
    /// What became known here after it was sent and may have been known there when it came.
    pub(super) settled: Totals,
    /// What may be known there and not here yet, of requests under way.
    pub(super) unheard: Unheard,
    /// How much more is left than predicted because of bounds that nobody stated.
    pub(super) unstated: Unstated,
}

/// What became of a belief by an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    /// How far its level was moved.
    pub(super) miss: f64,
    /// How much the answer left open.
    pub(super) width: f64,
}

/// What may be known to the provider and not here yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unheard {
    /// What more than the provider we may have debited for prompts.
    pub(super) slack: u64,
    /// The same since a level of tokens was told last: where only output is booked when it is known, nobody
    /// ever takes it back.
    pub(super) untold: u64,
    /// All of what these were debited: one that failed is given back as a whole.
    pub(super) charge: Charge,
    pub(super) output: u64,
}

impl Circumstances {
    /// Returns which requests without a bound the provider had counted when this one came.
    pub(super) fn counted(&self) -> Counted {
        let own = if self.refused { Assumed::default() } else { self.charge.assumed };
        let open = self.open.minus(&self.before.assumed).plus(&own);
        Counted {
            surely: open.minus(&self.settled.over),
            open,
            maybe: self.open.plus(&self.after.assumed).plus(&own),
            over: self.settled.over.count,
        }
    }

    /// Returns how much may have been given back there that was not when the request was sent here. A
    /// request that was counted stays, whatever becomes of it.
    pub(super) fn given_back(&self, kind: QuotaKind, charging: Charging) -> u64 {
        let Unheard { slack, untold, charge, .. } = &self.unheard;
        let corrected = match kind {
            kind if kind.is_of_requests() => return 0,
            kind if kind.is_of_tokens() && charging.is_later(kind) => *untold,
            kind if kind.is_of_tokens() && charging == Charging::Refund => {
                self.settled.refunded.saturating_add(*slack)
            }
            QuotaKind::InputTokensPerMinute => self.settled.input_refunded.saturating_add(*slack),
            _ => 0,
        };
        let undone = self.settled.given_back(kind, charging);
        corrected.saturating_add(undone).saturating_add(charge.of(kind, charging))
    }
}

impl Hypothesis {
    /// Creates a belief by which nothing is used.
    pub(super) fn new(way: Way, meter: Meter) -> Self {
        Self {
            way,
            meter,
            score: Score::default(),
            shift: 0.0,
            followed: 0.0,
            twice: 0.0,
            offset: Offset::default(),
            era: Moment::default(),
            end: None,
            since: Moment::default(),
        }
    }

    /// Begins with so much that is used, and with what `others` under way were debited, of which it may be
    /// a part.
    pub(super) fn begin_used(&mut self, used: u64, others: u64, now: Moment, grace: u64) {
        self.meter.debit(used.saturating_add(others), now, grace);
        self.widen(others);
    }

    /// Returns how tokens are charged by this belief.
    pub(super) fn charging(&self, leading: Charging) -> Charging {
        self.way.charging.unwrap_or(leading)
    }

    /// Returns what the answer to a request sent just now should say is left.
    /// `own` is what it was debited, `unsent` what others were that are not on their way yet.
    pub(super) fn predict(&self, (own, unsent): (u64, u64), now: Moment, grace: u64) -> Prediction {
        let left = self.meter.predict(own, now, grace);
        let base = float(unsent) - self.shift;
        Prediction { least: left.least + base, most: left.most + base }
    }

    /// Takes in that a request debited at `since` got there up to `delay` nanoseconds later.
    pub(super) fn arrived(&mut self, since: Moment, delay: u64, now: Moment) {
        self.shift -= self.meter.arrived(since, delay, now);
    }

    /// Judges that `left` was left by what was predicted, and moves the level to the lowest that
    /// can be true. Room beyond what was configured (`looser`) is not for us.
    pub(super) fn judge(
        &mut self,
        kind: QuotaKind,
        (guess, left): (&Prediction, Span),
        looser: bool,
        around: &Circumstances,
    ) -> Judged {
        let era = self.meter.era();
        if self.era != era {
            // A new window has begun, in which nobody else used anything yet.
            self.era = era;
            self.followed = 0.0;
            self.twice = 0.0;
            self.offset.reset();
        }
        if around.sent < self.since {
            return Judged { miss: 0.0, width: f64::INFINITY };
        }
        let mut told = self.interval(kind, guess, left, around);
        if looser {
            told.least = told.least.min((-self.followed).max(0.0)).min(told.most);
        }
        let found = self.offset.take(told);
        self.followed += found.by;
        self.shift_by(found.by, around.now);
        let once = found.by.clamp(0.0, self.twice);
        self.twice -= once;
        Judged { miss: (found.by - once).abs().max(found.gap.abs()), width: told.most - told.least }
    }

    /// Returns by how much more is left of `limit` than a request could leave that nothing was predicted of:
    /// at least its own debit is gone.
    pub(super) fn surplus(
        &self,
        kind: QuotaKind,
        (limit, left): (u64, Span),
        around: &Circumstances,
    ) -> f64 {
        if around.refused || !around.sized {
            return 0.0;
        }
        let own = around.charge.of(kind, self.charging(around.leading));
        let surely = own.saturating_sub(around.unheard.slack);
        (left.least + float(surely) - float(limit)).max(0.0)
    }

    /// Returns how far the provider's `reset` is from what this way of counting would say, in
    /// nanoseconds.
    pub(super) fn reset_miss(
        &mut self,
        hint: &QuotaHint,
        reset: u64,
        window: u64,
        around: &Circumstances,
    ) -> u64 {
        // Resets are cut off to that.
        let blur = MILLISECOND.max(nanos(hint.reset_within));
        let limit = hint.limit;
        match self.way.counting {
            Counting::Bucket => {
                let Some(left) = hint.remaining else { return 0 };
                let unit = (window / limit.max(1) + 1).saturating_mul(hint.rounded_to.max(1));
                let full = |left: u64| refill_time(limit.saturating_sub(left), (limit, window));
                let most = if left == 0 { u64::MAX } else { full(left).saturating_add(unit / 2) };
                let least = full(left.saturating_add(1)).saturating_sub(unit / 2);
                distance(reset, least.saturating_sub(blur), most.saturating_add(blur))
            }
            Counting::Sliding if around.refused => 0,
            Counting::Sliding => {
                distance(reset, window.saturating_sub(blur), window.saturating_add(blur))
            }
            Counting::Fixed => {
                let told = End {
                    earliest: around.sent.plus(reset).minus(nanos(hint.reset_within)),
                    latest: around.arrived.plus(reset).plus(blur),
                };
                self.end_miss(told, window, around)
            }
        }
    }

    /// Takes over when the present window ends, where windows have an end.
    /// It may be off by `within`.
    pub(super) fn learn_end(&mut self, reset: u64, within: u64, around: &Circumstances) {
        let earliest = around.sent.plus(reset).minus(within);
        let latest = around.arrived.plus(reset).plus(within.max(MILLISECOND));
        self.meter.learn_end(End { earliest, latest }, around.now, around.grace);
    }

    /// Moves the level by `tokens`.
    pub(super) fn shift_by(&mut self, tokens: f64, now: Moment) {
        if tokens == 0.0 {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
        let whole = tokens.floor() as i64;
        self.meter.nudge(whole, now);
        #[expect(clippy::cast_precision_loss, reason = "compared to a millionth at best")]
        let moved = whole as f64;
        self.shift += moved;
    }

    /// Returns at least and at most so much more than the meter says is left at the provider.
    pub(super) fn held(&self) -> Span {
        self.offset.held()
    }

    /// Takes in that what was debited at `since` came to `least` at least and `most` at most, for good.
    pub(super) fn fix(&mut self, debited: u64, (least, most): (u64, u64), at: [Moment; 2]) {
        let [since, now] = at;
        if debited != most {
            self.meter.correct(debited, most, since, now);
            self.since = now;
        }
        self.widen(most.saturating_sub(least));
    }

    /// Takes in that up to `amount` more may be left than was known.
    pub(super) fn widen(&mut self, amount: u64) {
        self.offset.widen(float(amount));
        self.twice += float(amount);
    }

    /// Takes over another limit; a lower one has refilled more slowly since `since` than was
    /// believed.
    pub(super) fn set_limit(&mut self, limit: u64, since: Moment, window: u64, now: Moment) {
        let before = self.meter.limit();
        self.meter.set_limit(limit, now);
        self.shift += float(self.meter.limit()) - float(before);
        if self.meter.refills() && limit < before {
            let time = float(now.since(since)) / float(window);
            self.shift_by(-float(before - limit) * time, now);
        }
    }

    /// Returns how much more or less is left than was predicted.
    pub(super) fn interval(
        &self,
        kind: QuotaKind,
        guess: &Prediction,
        left: Span,
        around: &Circumstances,
    ) -> Span {
        let charging = self.charging(around.leading);
        let own = around.charge.of(kind, charging);
        let refunds = around.given_back(kind, charging);
        let late = if charging.is_later(kind) {
            around.settled.output.saturating_add(around.unheard.output)
        } else if kind.is_of_tokens() && charging == Charging::Refund {
            around.settled.raised
        } else {
            0
        };
        let after = around.after.debited(kind, charging);
        let before = around.before.debited(kind, charging);
        let unstated = around.unstated.of(kind, charging);
        let least = guess.least + self.shift - float(after) - float(late) + unstated.least;
        let mut most = guess.most + self.shift + float(before) + float(refunds) + unstated.most;
        if around.refused {
            most += float(own);
        }
        Span { least: left.least - most, most: left.most - least }
    }

    /// Returns how far the end of a window that was told is from what was told before.
    pub(super) fn end_miss(&mut self, told: End, window: u64, around: &Circumstances) -> u64 {
        let Some((known, since)) = self.end else {
            self.end = Some((told, around.now));
            return 0;
        };
        if told.earliest > known.latest && around.arrived >= known.earliest {
            // A later window, which ends a window later at least.
            self.end = Some((told, around.now));
            return known.earliest.plus(window).since(told.latest);
        }
        if told.latest < known.earliest && around.arrived < known.earliest.minus(window) {
            return 0; // An earlier one.
        }
        let both = End {
            earliest: known.earliest.max(told.earliest),
            latest: known.latest.min(told.latest),
        };
        if both.earliest <= both.latest {
            self.end = Some((both, since));
            return 0;
        }
        if around.now.since(since) > window / 8 {
            self.end = Some((told, around.now));
        }
        both.earliest.since(both.latest)
    }
}

/// Returns in how many nanoseconds a bucket of `limit` refills `amount`.
pub(super) fn refill_time(amount: u64, (limit, window): (u64, u64)) -> u64 {
    let nanos = u128::from(amount) * u128::from(window) / u128::from(limit.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

fn distance(value: u64, least: u64, most: u64) -> u64 {
    least.saturating_sub(value).max(value.saturating_sub(most))
}

#[cfg(test)]
mod tests {
    use super::super::charge::Refunds;
    use super::*;

    const WINDOW: u64 = 60_000;

    /// Tells a fixed window's ends, each at a time after the start, and returns how far they were off.
    fn misses<const N: usize>(told: [(u64, u64); N]) -> [u64; N] {
        let way = Way { counting: Counting::Fixed, charging: None, refunds: Refunds::AtDebit };
        let meter = Meter::new(Counting::Fixed, 100, WINDOW, Moment(0));
        let mut belief = Hypothesis::new(way, meter);
        told.map(|(at, end)| {
            let now = Moment(at);
            let around = Circumstances {
                charge: Charge::default(),
                leading: Charging::Refund,
                sent: now,
                arrived: now,
                now,
                grace: 0,
                refused: false,
                sized: true,
                open: Assumed::default(),
                before: Totals::default(),
                after: Totals::default(),
                settled: Totals::default(),
                unheard: Unheard::default(),
                unstated: Unstated::default(),
            };
            let told = End { earliest: Moment(end - 10), latest: Moment(end) };
            belief.end_miss(told, WINDOW, &around)
        })
    }

    #[test]
    fn windows_end_where_they_were_told_to() {
        assert_eq!(misses([(100, 20_000), (200, 20_005)]), [0, 0], "the same end");
        assert_eq!(misses([(100, 20_000), (200, 20_300)]), [0, 290], "another within the window");
    }

    #[test]
    fn a_later_window_ends_a_window_later_at_least() {
        assert_eq!(misses([(100, 20_000), (20_100, 80_000)]), [0, 0], "the next one");
        assert_eq!(misses([(100, 20_000), (50_000, 110_000)]), [0, 0], "begun by a request");
        assert_eq!(misses([(100, 20_000), (20_100, 50_000)]), [0, 29_990], "no window ends there");
    }

    #[test]
    fn an_answer_that_comes_late_tells_of_an_earlier_window() {
        assert_eq!(misses([(20_100, 80_000), (19_000, 20_000)]), [0, 0]);
    }
}

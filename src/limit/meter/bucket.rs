//! Counts as a level that refills continuously, and corrects it at the time of the debit.
//!
//! # What this module owns
//!
//! One exact level: integers in *grains*, of which a token has as many as the window has
//! nanoseconds, so that a nanosecond refills exactly `limit` grains. The level may go into debt.
//! Beside it a constant number of *stretches* of time remember what a late correction must know: the
//! least room to the cap since then, and the refill that the cap cut off.
//!
//! # What this module does not do
//!
//! It keeps no record of a request, and does not know whether the provider's level is the same.
//!
//! # Invariants
//!
//! 1. The level never exceeds the limit.
//! 2. After any order of corrections the level is at most what it were had every debit been right
//!    from the start. Within a stretch a late credit is taken to begin at its start and a late debit
//!    at its last debit: both can only lower the level.

use std::collections::VecDeque;

use super::super::moment::Moment;
use super::float;

/// A level that refills continuously.
#[derive(Debug, Clone)]
pub(in super::super) struct Bucket {
    limit: u64,
    window: u64,
    level: i128,
    /// The level is refilled up to here; ahead of now while refill is held back.
    at: Moment,
    stretches: VecDeque<Stretch>,
    /// Net refill since the last debit of the newest stretch.
    pending: i128,
    /// Refill that may come before that debit gets to the provider; part of its `entry`.
    lag: i128,
    brim: Brim,
}

/// The last debit that found the bucket full, or so full that it would have been before the request
/// got there.
#[derive(Debug, Clone, Copy, Default)]
struct Brim {
    at: Moment,
    /// So much refill was held back for the way there, in nanoseconds.
    held: u64,
}

/// A span of time that begins with a debit and ends where the next one begins.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    start: Moment,
    /// The time of the last debit.
    last: Moment,
    /// Whether it was made of two, so that what was cut may lie before its last debit.
    merged: bool,
    /// The room just before the first debit, less the refill until the last one gets to the
    /// provider: what a credit from an older stretch finds at least. Negative by what would be lost if every debit of the stretch
    /// were credited.
    entry: i128,
    /// The least room since the last debit.
    room: i128,
    /// What was cut off before the last debit.
    cut_before: i128,
    /// What was cut off since the last debit.
    cut_after: i128,
}

impl Bucket {
    /// Creates a full bucket. `limit` and `window` (nanoseconds) are at least 1.
    pub(super) fn full(limit: u64, window: u64, now: Moment) -> Self {
        let mut bucket = Self {
            limit,
            window,
            level: 0,
            at: now,
            stretches: VecDeque::new(),
            pending: 0,
            lag: 0,
            brim: Brim::default(),
        };
        bucket.level = bucket.cap();
        bucket
    }

    /// Returns the limit.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the time in which it refills.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Debits `amount` at `now`.
    ///
    /// The provider may get the request up to `grace` nanoseconds later: a full bucket does not
    /// refill meanwhile, so neither does ours.
    pub(super) fn debit(&mut self, amount: u64, now: Moment, grace: u64) {
        self.refill(now);
        let before = self.cap() - self.level;
        self.level -= self.grains(amount);
        let arrival = now.plus(grace);
        let gain = self.rate() * i128::from(arrival.since(self.at));
        if gain > before {
            self.at = self.at.plus(ceil_div(gain - before, self.rate()));
            let held = if now.since(self.brim.at) > self.brim.held { 0 } else { self.brim.held };
            self.brim = Brim { at: now, held: held.max(grace) };
        }
        let lag = self.rate() * i128::from(arrival.since(self.at));
        let lag_before = std::mem::replace(&mut self.lag, lag);
        self.mark(before, now, lag_before);
    }

    /// Takes in that a request debited at `since` got there up to `delay` nanoseconds later. Where it
    /// left a full bucket and that is longer than was thought, more refill was lost there: returns how
    /// many tokens.
    pub(super) fn arrived(&mut self, since: Moment, delay: u64, now: Moment) -> f64 {
        if since > self.brim.at || delay <= self.brim.held {
            return 0.0;
        }
        self.refill(now);
        let lost = self.rate() * i128::from(delay - self.brim.held);
        self.level -= lost;
        self.brim.held = delay;
        as_f64(lost) / as_f64(i128::from(self.window))
    }

    /// Adds `amount` to a debit made at `since`.
    pub(super) fn debit_late(&mut self, amount: u64, since: Moment, now: Moment) {
        self.refill(now);
        let mut rest = self.grains(amount);
        let first = self.index_of(since);
        for (i, stretch) in self.stretches.iter_mut().enumerate().skip(first) {
            if i > first {
                rest -= absorb(&mut stretch.cut_before, rest);
                stretch.entry += rest;
            }
            rest -= absorb(&mut stretch.cut_after, rest);
            stretch.room += rest;
        }
        self.level -= rest;
    }

    /// Takes `amount` off a debit made at `since`.
    pub(super) fn credit(&mut self, amount: u64, since: Moment, now: Moment) {
        self.refill(now);
        let mut rest = self.grains(amount);
        let first = self.index_of(since);
        for (i, stretch) in self.stretches.iter_mut().enumerate().skip(first) {
            if i > first {
                rest = rest.min(stretch.entry.max(0));
                stretch.entry -= rest;
            } else {
                let lost = rest.min((-stretch.entry).max(0));
                stretch.entry += lost;
                rest -= lost;
            }
            let counted = rest.min(stretch.room);
            stretch.room -= counted;
            let cut = if stretch.merged { &mut stretch.cut_before } else { &mut stretch.cut_after };
            *cut += rest - counted;
            rest = counted;
        }
        self.level = self.cap().min(self.level + rest);
    }

    /// Moves the level by `tokens`, because the provider's is so much higher or lower.
    pub(super) fn nudge(&mut self, tokens: i64, now: Moment) {
        self.refill(now);
        self.level = self.cap().min(self.level + i128::from(tokens) * i128::from(self.window));
        let room = self.cap() - self.level;
        if let Some(newest) = self.stretches.back_mut() {
            newest.room = newest.room.min(room);
        }
    }

    /// Changes the limit and leaves what is used as it is.
    pub(super) fn set_limit(&mut self, limit: u64, now: Moment) {
        self.refill(now);
        self.level += (i128::from(limit) - i128::from(self.limit)) * i128::from(self.window);
        self.limit = limit;
    }

    /// Returns the level at `now`, in whole tokens, rounded down.
    pub(super) fn level(&self, now: Moment) -> i64 {
        let tokens = self.level_at(now).div_euclid(i128::from(self.window));
        i64::try_from(tokens).unwrap_or(if tokens < 0 { i64::MIN } else { i64::MAX })
    }

    /// Returns the level at `now` in tokens, with its fraction.
    pub(super) fn fine_level(&self, now: Moment) -> f64 {
        as_f64(self.level_at(now)) / as_f64(i128::from(self.window))
    }

    /// Returns the tokens that a nanosecond refills.
    pub(super) fn per_nano(&self) -> f64 {
        as_f64(self.rate()) / as_f64(i128::from(self.window))
    }

    /// Returns when the level reaches `amount`, which is at most the limit; `now` if it has.
    pub(super) fn when(&self, amount: u64, now: Moment) -> Moment {
        let short = self.grains(amount) - self.level_at(now);
        if short <= 0 { now } else { self.at.max(now).plus(ceil_div(short, self.rate())) }
    }

    fn level_at(&self, now: Moment) -> i128 {
        self.cap().min(self.level + self.rate() * i128::from(now.since(self.at)))
    }

    fn refill(&mut self, now: Moment) {
        if now <= self.at {
            return;
        }
        let gained = self.rate() * i128::from(now.since(self.at));
        let counted = gained.min(self.cap() - self.level);
        self.level += counted;
        self.at = now;
        self.pending += counted;
        let room = self.cap() - self.level;
        if let Some(newest) = self.stretches.back_mut() {
            newest.room = newest.room.min(room);
            newest.cut_after += gained - counted;
        }
    }

    /// Notes a debit at `now`; `before` was the room, `lag_before` what `lag` was.
    fn mark(&mut self, before: i128, now: Moment, lag_before: i128) {
        let room = self.cap() - self.level;
        let coarse = self.window / COARSE;
        let fine = self.stretches.len() < FINE;
        let pending = std::mem::take(&mut self.pending);
        match self.stretches.back_mut() {
            Some(newest) if newest.start == now || (!fine && now.since(newest.start) < coarse) => {
                newest.last = now;
                newest.entry -= pending + self.lag - lag_before;
                newest.cut_before += std::mem::take(&mut newest.cut_after);
                newest.room = room;
            }
            _ => {
                self.make_place(now);
                self.stretches.push_back(Stretch {
                    start: now,
                    last: now,
                    merged: false,
                    entry: before - self.lag,
                    room,
                    cut_before: 0,
                    cut_after: 0,
                });
            }
        }
    }

    /// Joins the two neighbours that are the closest for their age, where all places are taken.
    fn make_place(&mut self, now: Moment) {
        if self.stretches.len() < PLACES {
            return;
        }
        let ends = self.stretches.iter().skip(2).map(|next| next.start);
        let blur = |(start, end): (Moment, Moment)| {
            float(end.since(start)) / float(now.since(start).max(1))
        };
        let spans = self.stretches.iter().map(|stretch| stretch.start).zip(ends).map(blur);
        let best = spans.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(i, _)| i);
        let Some(later) = self.stretches.remove(best + 1) else { return };
        let Some(earlier) = self.stretches.get_mut(best) else { return };
        earlier.merged = true;
        earlier.last = later.last;
        earlier.room = earlier.room.min(later.entry.max(0)).min(later.room);
        earlier.cut_before += earlier.cut_after + later.cut_before;
        earlier.cut_after = later.cut_after;
    }

    fn index_of(&self, since: Moment) -> usize {
        self.stretches.partition_point(|stretch| stretch.start <= since).saturating_sub(1)
    }

    fn cap(&self) -> i128 {
        self.grains(self.limit)
    }

    fn rate(&self) -> i128 {
        i128::from(self.limit)
    }

    fn grains(&self, tokens: u64) -> i128 {
        i128::from(tokens) * i128::from(self.window)
    }
}

/// Places for stretches. Corrections blur only within one, so few are enough: 64 tell a late
/// correction's time to 2 % of its age.
const PLACES: usize = 64;
/// So many stretches may be as short as they like; a lane with few requests is exact.
const FINE: usize = 32;
/// Beyond those a stretch is at least this part of the window.
const COARSE: u64 = 32;

/// Takes up to `wanted` out of `store` and returns how much that was.
fn absorb(store: &mut i128, wanted: i128) -> i128 {
    let taken = wanted.min(*store);
    *store -= taken;
    taken
}

fn ceil_div(amount: i128, rate: i128) -> u64 {
    let whole = amount.div_euclid(rate) + i128::from(amount.rem_euclid(rate) != 0);
    u64::try_from(whole).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "levels are compared to a millionth at best")]
const fn as_f64(amount: i128) -> f64 {
    amount as f64
}

#[cfg(test)]
mod tests;

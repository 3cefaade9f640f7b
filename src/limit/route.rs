//! Reads out of one counter's headers whether they speak of the minute or of the day, and how much
//! was left.
//!
//! The same header names serve both windows at OpenAI; the arithmetic of `reset` tells them apart:
//! it is `(limit - remaining) / limit * window` on a level that refills continuously, so 8.64 s per
//! request are 10,000 a day (samples posted on the vendor's forum in 2023 and 2024).

use super::hint::{HintWindow, QuotaHint};
use super::meter::{Span, float};
use super::moment::nanos;
use super::settings::Counting;

/// What the headers speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    /// The short window.
    Minute,
    /// The long one.
    Day,
}

/// What is known when headers are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// `None`: not yet inferred.
    pub(super) counting: Option<Counting>,
    /// The length of both windows, in nanoseconds.
    pub(super) minute: u64,
    pub(super) day: u64,
    pub(super) minute_limit: Option<u64>,
    pub(super) day_limit: Option<u64>,
}

impl Known {
    /// Returns which window `hint` speaks of.
    pub(super) fn period(&self, hint: &QuotaHint) -> Period {
        match hint.window {
            HintWindow::Minute => return Period::Minute,
            HintWindow::Day => return Period::Day,
            HintWindow::Unsaid => {}
        }
        let is = |limit: Option<u64>| limit == Some(hint.limit);
        let by_limit =
            if is(self.day_limit) && !is(self.minute_limit) { Period::Day } else { Period::Minute };
        // Nothing takes longer than a day to fill: what says so is not to be read.
        let longest = self.day.saturating_add(self.day / 50);
        let Some(reset) = hint.reset.map(nanos).filter(|&reset| reset <= longest) else {
            return by_limit;
        };
        if reset > self.minute.saturating_add(self.minute / 50) {
            // A minute in debt takes longer than a minute.
            let debt = hint.remaining == Some(0) && is(self.minute_limit);
            return if debt { by_limit } else { Period::Day };
        }
        // While the way of counting is not known, arithmetic counts where the limits say nothing.
        let by_arithmetic = match self.counting {
            Some(counting) => counting == Counting::Bucket,
            None => is(self.day_limit) == is(self.minute_limit),
        };
        if !by_arithmetic {
            return by_limit;
        }
        match (level(hint, self.minute).is_some(), level(hint, self.day).is_some()) {
            (true, false) => Period::Minute,
            (false, true) => Period::Day,
            _ => by_limit,
        }
    }
}

/// Returns how much was left, at least and at most, to who counts in this way; `None` where the
/// headers do not say.
pub(super) fn left(hint: &QuotaHint, window: u64, counting: Counting) -> Option<Span> {
    let remaining = float(hint.remaining?);
    if hint.rounded_to > 1 {
        let half = float(hint.rounded_to) / 2.0;
        let most = (remaining + half).min(float(hint.limit)).max(remaining);
        return Some(Span { least: (remaining - half).max(0.0), most });
    }
    // Nothing left may be debt.
    let least = if hint.remaining == Some(0) { f64::NEG_INFINITY } else { remaining };
    if counting == Counting::Bucket {
        let whole = Span { least, most: remaining + 1.0 };
        return Some(level(hint, window).unwrap_or(whole));
    }
    Some(Span { least, most: remaining })
}

/// Returns the level that `reset` speaks of, if that fits `remaining`: where it is cut off to a
/// millisecond, that is finer than a whole token or request.
fn level(hint: &QuotaHint, window: u64) -> Option<Span> {
    if !hint.reset_within.is_zero() || hint.rounded_to > 1 {
        return None;
    }
    let reset = float(nanos(hint.reset?));
    let remaining = float(hint.remaining?);
    let limit = float(hint.limit);
    let rate = limit / float(window);
    let most = limit - reset * rate;
    let least = most - MILLISECOND * rate;
    let fits = (remaining <= most + SLACK || remaining == 0.0) && least < remaining + 1.0 + SLACK;
    fits.then_some(Span { least: least.max(remaining).min(most), most })
}

const MILLISECOND: f64 = 1e6;
/// For providers that round to nearest.
const SLACK: f64 = 0.5;

//! What an answer's headers say of the provider's counters.
//!
//! # What this module owns
//!
//! Reading the headers that a dialect's table names ([`super::dialect`]) into a [`Hint`].
//!
//! # What this module does not do
//!
//! It does not judge what a counter says. What is absent, negative or unreadable is left out, and
//! so is a counter without a readable limit.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AsHeaderName, DATE, RETRY_AFTER};

use super::dialect::{Counted, Counter, Table, Unit, Window, table};
use super::duration;
use crate::config::Dialect;
use crate::limit::{Hint, HintWindow, QuotaHint};

/// When an answer's headers came.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    /// The time since 1970-01-01 UTC.
    pub at: Duration,
    /// How long after the request was sent.
    pub after: Duration,
}

/// Reads the headers of any answer, refused or not. All resets are counted from when the request was
/// sent, those that are dates, too: by our clock, or by the answer's own date where that is far from it.
pub fn hint(headers: &HeaderMap, dialect: Dialect, came: Came) -> Hint {
    let reading = Reading { headers, table: table(dialect), came };
    let tokens = reading.tightest(Counted::Tokens, HintWindow::Minute);
    let input = reading.tightest(Counted::Input, HintWindow::Minute);
    let output = reading.tightest(Counted::Output, HintWindow::Minute);
    Hint {
        requests: reading.tightest(Counted::Requests, HintWindow::Minute),
        tokens: tokens.filter(|tokens| !is_sum(tokens, input, output)),
        requests_daily: reading.tightest(Counted::Requests, HintWindow::Day),
        tokens_daily: reading.tightest(Counted::Tokens, HintWindow::Day),
        input,
        output,
        retry_after: retry_after(headers),
        processing: text(headers, PROCESSING).and_then(duration::parse_millis),
        refusal: None,
        refused_by: None,
    }
}

/// Reads when to come back: `retry-after-ms` (Azure's, finer), else `retry-after` in seconds. A date
/// is not understood.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, RETRY_AFTER_MS)
        .and_then(duration::parse_millis)
        .or_else(|| text(headers, RETRY_AFTER).and_then(duration::parse_seconds))
}

const PROCESSING: &str = "openai-processing-ms";
const RETRY_AFTER_MS: &str = "retry-after-ms";

/// Headers that are being read.
struct Reading<'a> {
    headers: &'a HeaderMap,
    table: &'static Table,
    came: Came,
}

impl Reading<'_> {
    /// Returns what is told of one kind and window, where several tell of it, the tightest. What
    /// may be of either window stands with the minute.
    fn tightest(&self, counted: Counted, window: HintWindow) -> Option<QuotaHint> {
        let counters = self.table.counters.iter().filter(|counter| counter.counted == counted);
        let told = counters.filter_map(|counter| self.counter(counter));
        let of_day = window == HintWindow::Day;
        told.filter(|told| (told.window == HintWindow::Day) == of_day).reduce(tighter)
    }

    fn counter(&self, counter: &Counter) -> Option<QuotaHint> {
        let limit = number(self.headers, counter.limit).filter(|&limit| limit > 0)?;
        let window = match counter.window {
            Window::Of(window) => window,
            Window::Slice { length, per_minute } => {
                let limit = limit.checked_mul(per_minute)?;
                let window = HintWindow::Minute;
                return Some(QuotaHint {
                    limit,
                    window,
                    slice: Some(length),
                    ..QuotaHint::default()
                });
            }
        };
        let remaining = number(self.headers, counter.remaining);
        let is_of_requests = counter.counted == Counted::Requests;
        let rounded_to = if is_of_requests { 1 } else { self.table.tokens_rounded_to };
        // Rounding may lift what is left above the limit.
        let most = limit.saturating_add(rounded_to / 2);
        Some(QuotaHint {
            limit,
            remaining: remaining.filter(|&left| left <= most).map(|left| left.min(limit)),
            reset: counter.reset.and_then(|name| self.reset(name)),
            window,
            rounded_to,
            reset_within: self.table.reset_within,
            slice: None,
        })
    }

    fn reset(&self, name: &'static str) -> Option<Duration> {
        let text = text(self.headers, name)?;
        match self.table.reset {
            Unit::Go => duration::parse(text),
            Unit::Seconds => duration::parse_seconds(text),
            Unit::Date => {
                let at = since_epoch(humantime::parse_rfc3339(text).ok()?)?;
                Some(at.saturating_sub(self.sent()))
            }
        }
    }

    /// Returns the date at which the request was sent by the provider's clock: a machine whose own
    /// clock is set wrong would else take every reset for long past, or far away.
    fn sent(&self) -> Duration {
        let told = text(self.headers, DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        let told = told.and_then(since_epoch);
        let far = told.filter(|told| told.abs_diff(self.came.at) > CLOCKS_DIFFER);
        far.unwrap_or(self.came.at).saturating_sub(self.came.after)
    }
}

/// So far may two clocks that are set right be apart, when one of them shows whole seconds.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);

fn since_epoch(at: SystemTime) -> Option<Duration> {
    at.duration_since(SystemTime::UNIX_EPOCH).ok()
}

/// Tells whether `tokens` is only the sum of input and output, which says nothing new.
fn is_sum(tokens: &QuotaHint, input: Option<QuotaHint>, output: Option<QuotaHint>) -> bool {
    input
        .zip(output)
        .is_some_and(|(input, output)| input.limit.checked_add(output.limit) == Some(tokens.limit))
}

/// Returns the one of which less is left; a smaller limit where that is the same or unknown.
fn tighter(one: QuotaHint, other: QuotaHint) -> QuotaHint {
    let left = |hint: &QuotaHint| (hint.remaining.unwrap_or(hint.limit), hint.limit);
    if left(&other) < left(&one) { other } else { one }
}

fn number(headers: &HeaderMap, name: &'static str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests;

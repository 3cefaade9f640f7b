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

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName};

use super::dialect::{Counted, Counter, Left, Table, Unit, Window, table};
use super::duration;
use crate::config::Dialect;
use crate::limit::{Hint, HintWindow, QuotaHint, SliceHint};

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
    let mut hint = Hint {
        retry_after: retry_after(headers),
        processing: text(headers, &PROCESSING).and_then(duration::parse_millis),
        ..Hint::default()
    };
    for counter in reading.table.counters {
        if let Some(told) = reading.counter(counter)
            && let Some(tightest) = place(&mut hint, counter.counted, told.window)
        {
            *tightest = Some(tightest.map_or(told, |other| tighter(other, told)));
        }
        if let Window::Slice { per_minute, left } = counter.window
            && let Some(limit) = number(headers, &counter.limit)
        {
            let remaining = number(headers, &counter.remaining).filter(|_| left == Left::Stays);
            let remaining = remaining.filter(|remaining| *remaining <= limit);
            let told = Some(SliceHint { limit, remaining, per_minute });
            match counter.counted {
                Counted::Requests => hint.requests_sliced = told,
                Counted::Tokens | Counted::Input | Counted::Output => hint.tokens_sliced = told,
            }
        }
    }
    hint.tokens = hint.tokens.filter(|tokens| !is_sum(tokens, hint.input, hint.output));
    hint
}

/// Returns where a hint tells of one kind and window. What may be of either window stands with the
/// minute.
const fn place(
    hint: &mut Hint,
    counted: Counted,
    window: HintWindow,
) -> Option<&mut Option<QuotaHint>> {
    match (counted, window) {
        (Counted::Requests, HintWindow::Day) => Some(&mut hint.requests_daily),
        (Counted::Tokens, HintWindow::Day) => Some(&mut hint.tokens_daily),
        (Counted::Input | Counted::Output, HintWindow::Day) => None,
        (Counted::Requests, _) => Some(&mut hint.requests),
        (Counted::Tokens, _) => Some(&mut hint.tokens),
        (Counted::Input, _) => Some(&mut hint.input),
        (Counted::Output, _) => Some(&mut hint.output),
    }
}

/// Reads when to come back: `retry-after-ms` (Azure's, finer), else `retry-after` in seconds. A date
/// is not understood.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, &RETRY_AFTER_MS)
        .and_then(duration::parse_millis)
        .or_else(|| text(headers, &RETRY_AFTER).and_then(duration::parse_seconds))
}

static PROCESSING: HeaderName = HeaderName::from_static("openai-processing-ms");
static RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Headers that are being read.
struct Reading<'a> {
    headers: &'a HeaderMap,
    table: &'static Table,
    came: Came,
}

impl Reading<'_> {
    fn counter(&self, counter: &Counter) -> Option<QuotaHint> {
        let limit = number(self.headers, &counter.limit).filter(|&limit| limit > 0)?;
        let window = match counter.window {
            Window::Of(window) => window,
            Window::Slice { per_minute, .. } => {
                return Some(QuotaHint {
                    limit: limit.checked_mul(per_minute)?,
                    window: HintWindow::Minute,
                    ..QuotaHint::default()
                });
            }
        };
        let remaining = number(self.headers, &counter.remaining);
        let is_of_requests = counter.counted == Counted::Requests;
        let rounded_to = if is_of_requests { 1 } else { self.table.tokens_rounded_to };
        // Rounding may lift what is left above the limit.
        let most = limit.saturating_add(rounded_to / 2);
        Some(QuotaHint {
            limit,
            remaining: remaining.filter(|&left| left <= most).map(|left| left.min(limit)),
            reset: counter.reset.as_ref().and_then(|name| self.reset(name)),
            window,
            rounded_to,
            reset_within: self.table.reset_within,
        })
    }

    fn reset(&self, name: &HeaderName) -> Option<Duration> {
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
        let told = text(self.headers, &DATE).and_then(|date| httpdate::parse_http_date(date).ok());
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

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests;

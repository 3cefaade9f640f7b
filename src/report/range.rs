//! From when until when: how it is asked for, and which sums tell it.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use thiserror::Error;

use crate::budget::midnight;

/// From a moment until another, which is not in it; both since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first moment.
    pub begin: Duration,
    /// The first moment behind it.
    pub end: Duration,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All that is booked.
    All,
    /// The present day.
    Today,
    /// The present month, or one such as `2026-10`.
    Month(Option<String>),
    /// So long before now.
    Last(Duration),
    /// From a date or a moment until another: a date that ends a range is in it, a moment is not.
    Between(Option<String>, Option<String>),
}

/// Why a range cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RangeError {
    /// It is no time.
    #[error(
        "`{0}` is no time: write a date such as 2026-11-22, or a moment such as 2026-11-22T18:00 or \
         2026-11-22T18:00:00Z"
    )]
    Time(String),
    /// It is no month.
    #[error("`{0}` is no month: write it as 2026-11")]
    Month(String),
    /// It ends before it begins.
    #[error("it ends where it begins, or before: nothing can be in it")]
    Empty,
}

impl Range {
    /// All times.
    pub const ALL: Self = Self { begin: Duration::ZERO, end: Duration::from_secs(END_OF_TIME) };

    /// Returns the range that is asked for at `now`, with dates of `zone`.
    ///
    /// # Errors
    ///
    /// Returns a [`RangeError`] for words that name no time, and where the end is before the beginning.
    pub fn of(wanted: &Wanted, now: Duration, zone: &TimeZone) -> Result<Self, RangeError> {
        let range = match wanted {
            Wanted::All => Self::ALL,
            Wanted::Today => of_dates(today(now, zone), 1, zone).unwrap_or(Self::ALL),
            Wanted::Month(None) => month(today(now, zone), zone).unwrap_or(Self::ALL),
            Wanted::Month(Some(name)) => {
                let wrong = || RangeError::Month(name.clone());
                let first: Date = format!("{name}-01").parse().map_err(|_| wrong())?;
                month(first, zone).ok_or_else(wrong)?
            }
            Wanted::Last(long) if long.is_zero() => return Err(RangeError::Empty),
            Wanted::Last(long) => Self { begin: now.saturating_sub(*long), end: now + LAST },
            Wanted::Between(from, to) => {
                let begin = from.as_ref().map(|text| Ok(time(text, zone)?.begin)).transpose()?;
                let end = to.as_ref().map(|text| Ok(time(text, zone)?.end)).transpose()?;
                Self { begin: begin.unwrap_or_default(), end: end.unwrap_or(Self::ALL.end) }
            }
        };
        if range.begin >= range.end { Err(RangeError::Empty) } else { Ok(range) }
    }

    /// Returns what is in this one and in `other`; `None` if nothing is.
    pub fn within(self, other: Self) -> Option<Self> {
        let (begin, end) = (self.begin.max(other.begin), self.end.min(other.end));
        (begin < end).then_some(Self { begin, end })
    }

    /// Cuts it into days and hours of UTC, which are summed up, and into what is left at its ends; in order.
    pub fn pieces(self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let end = ceil_millis(self.end);
        let mut at = ceil_millis(self.begin);
        while at < end {
            let next = next_cut(at, end);
            let piece = if at.is_multiple_of(DAY) && next.is_multiple_of(DAY) && next > at {
                Piece::Days(at / DAY, next / DAY)
            } else if at.is_multiple_of(HOUR) && next.is_multiple_of(HOUR) {
                Piece::Hours(at / HOUR, next / HOUR)
            } else {
                Piece::Moments(at, next)
            };
            pieces.push(piece);
            at = next;
        }
        pieces
    }
}

/// A part of a range. Ends are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Whole days of UTC, counted from 1970-01-01.
    Days(u64, u64),
    /// Whole hours, counted from 1970-01-01T00Z.
    Hours(u64, u64),
    /// A part of one hour, in milliseconds since 1970-01-01 UTC.
    Moments(u64, u64),
}

/// Returns where the piece that begins at `at` ends: whole days where there are any, else hours up to the next
/// day, else what is left of the hour.
fn next_cut(at: u64, end: u64) -> u64 {
    let last_day = end - end % DAY;
    let last_hour = end - end % HOUR;
    if at.is_multiple_of(DAY) && last_day > at {
        last_day
    } else if at.is_multiple_of(HOUR) && last_hour > at {
        last_hour.min((at + 1).next_multiple_of(DAY))
    } else {
        end.min((at + 1).next_multiple_of(HOUR))
    }
}

/// A day, such as `2026-11-22`, and what is asked for of it.
pub type DayPart = (Arc<str>, Range);

/// Returns each day of `zone` that has a part in `range`, with that part.
pub fn days(range: Range, zone: &TimeZone) -> Vec<DayPart> {
    let mut days = Vec::new();
    let Some(mut date) = date_of(range.begin, zone) else { return days };
    while let Some(whole) = of_dates(date, 1, zone).filter(|day| day.begin < range.end) {
        if let Some(part) = whole.within(range) {
            days.push((date.to_string().into(), part));
        }
        let Ok(next) = date.tomorrow() else { break };
        date = next;
    }
    days
}

/// Reads a time; of a date from its first moment to its last.
fn time(text: &str, zone: &TimeZone) -> Result<Range, RangeError> {
    let wrong = || RangeError::Time(text.to_owned());
    let moment = |at: Timestamp| {
        let at = Duration::try_from(at.as_duration()).map_err(|_| wrong())?;
        Ok(Range { begin: at, end: at })
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return moment(at);
    }
    if text.len() <= DATE_LENGTH {
        let date: Date = text.parse().map_err(|_| wrong())?;
        return of_dates(date, 1, zone).ok_or_else(wrong);
    }
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    let zoned = zone.to_ambiguous_zoned(local).compatible().map_err(|_| wrong())?;
    moment(zoned.timestamp())
}

fn today(now: Duration, zone: &TimeZone) -> Date {
    date_of(now, zone).unwrap_or(Date::constant(1970, 1, 1))
}

/// Returns the date of a moment; `None` thousands of years from now.
fn date_of(at: Duration, zone: &TimeZone) -> Option<Date> {
    let at = Timestamp::new(i64::try_from(at.as_secs()).ok()?, 0).ok()?;
    Some(at.to_zoned(zone.clone()).date())
}

fn month(day: Date, zone: &TimeZone) -> Option<Range> {
    let first = day.first_of_month();
    let next = first.checked_add(1.month()).ok()?;
    Some(Range { begin: midnight(first, zone)?, end: midnight(next, zone)? })
}

/// Returns so many days from `first` on.
fn of_dates(first: Date, days: i64, zone: &TimeZone) -> Option<Range> {
    let next = first.checked_add(days.days()).ok()?;
    Some(Range { begin: midnight(first, zone)?, end: midnight(next, zone)? })
}

/// Returns the first whole millisecond that is not before `at`: what is booked has whole ones.
fn ceil_millis(at: Duration) -> u64 {
    u64::try_from(at.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// An hour and a day in milliseconds.
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// What is booked in this moment counts as before now.
const LAST: Duration = Duration::from_millis(1);
/// The year 9000: behind it no calendar reaches.
const END_OF_TIME: u64 = 221_845_392_000;
/// `2026-11-22`
const DATE_LENGTH: usize = 10;

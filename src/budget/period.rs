//! Calendar periods: when one begins and ends, in a time zone.

use std::time::Duration;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// How long an amount has to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first to the last of a month.
    Month,
    /// For ever.
    Total,
}

impl Period {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Total];

    /// Returns the word in configuration and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// Returns the one in which `now` lies; times are since 1970-01-01 UTC.
    ///
    /// A date that no calendar knows, thousands of years from now, lies in one that never ends.
    pub(super) fn around(self, now: Duration, zone: &TimeZone) -> Span {
        self.known(now, zone).unwrap_or(Span { begin: Duration::ZERO, end: None })
    }

    fn known(self, now: Duration, zone: &TimeZone) -> Option<Span> {
        let now = Timestamp::new(i64::try_from(now.as_secs()).ok()?, 0).ok()?;
        let today = now.to_zoned(zone.clone()).date();
        let (first, next) = match self {
            Self::Day => (today, today.tomorrow().ok()?),
            Self::Week => {
                let since_monday = i64::from(today.weekday().since(Weekday::Monday));
                let first = today.checked_sub(since_monday.days()).ok()?;
                (first, first.checked_add(1.week()).ok()?)
            }
            Self::Month => {
                (today.first_of_month(), today.first_of_month().checked_add(1.month()).ok()?)
            }
            Self::Total => return None,
        };
        Some(Span { begin: midnight(first, zone)?, end: Some(midnight(next, zone)?) })
    }
}

/// From when until when, since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub begin: Duration,
    /// The first moment that is not in it; `None`: it never ends.
    pub end: Option<Duration>,
}

impl Span {
    /// Tells whether `now` is behind it.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.end.is_some_and(|end| end <= now)
    }
}

/// Returns when a date begins, since 1970-01-01 UTC; where clocks are put forward at midnight, that is later
/// than midnight. `None` for a date that has no place in the calendar of `zone`.
pub fn midnight(date: Date, zone: &TimeZone) -> Option<Duration> {
    let begins = zone.to_ambiguous_zoned(date.at(0, 0, 0, 0)).compatible().ok()?;
    let since_epoch = begins.timestamp().as_duration();
    Some(Duration::try_from(since_epoch).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZoneDatabase;

    use super::*;

    fn at(text: &str) -> Duration {
        let time: Timestamp = text.parse().expect("a time");
        Duration::try_from(time.as_duration()).expect("after 1970")
    }

    /// A period, its zone, a moment, and the ends of the period around it.
    type Case<'a> = (Period, &'a str, &'a str, [&'a str; 2]);

    #[test]
    fn periods_follow_the_calendar_of_their_zone() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases: &[Case<'_>] = &[
            (Period::Day,   "UTC",              "2026-11-22T13:00:00Z", ["2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"]),
            (Period::Day,   "Europe/Berlin",    "2026-11-22T23:30:00Z", ["2026-11-22T23:00:00Z", "2026-11-23T23:00:00Z"]),
            // Clocks are put back: this day has 25 hours.
            (Period::Day,   "Europe/Berlin",    "2026-10-25T12:00:00Z", ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"]),
            // Clocks are put forward at midnight: it begins at one.
            (Period::Day,   "America/Santiago", "2026-09-06T12:00:00Z", ["2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"]),
            (Period::Week,  "UTC",              "2026-11-22T13:00:00Z", ["2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"]),
            (Period::Week,  "UTC",              "2026-11-23T00:00:00Z", ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"]),
            (Period::Month, "America/New_York", "2026-03-01T04:59:59Z", ["2026-02-01T05:00:00Z", "2026-03-01T05:00:00Z"]),
            (Period::Month, "UTC",              "2028-02-29T10:00:00Z", ["2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"]),
        ];
        for (period, zone, now, [begin, end]) in cases {
            let zone = TimeZoneDatabase::bundled().get(zone).expect("a zone");
            let span = period.around(at(now), &zone);
            assert_eq!(span, Span { begin: at(begin), end: Some(at(end)) }, "{period:?} {now}");
        }
    }

    #[test]
    fn what_has_to_last_for_ever_never_ends() {
        let span = Period::Total.around(at("2026-11-22T13:00:00Z"), &TimeZone::UTC);
        assert_eq!(span, Span { begin: Duration::ZERO, end: None });
        assert_eq!(Period::Month.around(Duration::MAX, &TimeZone::UTC).end, None, "no such date");
    }
}

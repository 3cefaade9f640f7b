//! Durations as providers write them.

use std::time::Duration;

/// Reads a Go duration (`6m0s`, `8.64s`, `12ms`, `1h2m3.5s`) or a bare number of seconds.
///
/// Strict: units from long to short, each at most once, no sign, no blank, nothing left over.
/// `None` for anything else and for what a [`Duration`] cannot hold; digits below a nanosecond are
/// dropped. Go's format: <https://pkg.go.dev/time#ParseDuration>, read 2026-11-21.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if let Some((number, "")) = Number::split(text) {
        return number.times(NANOS_PER_SECOND);
    }
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, behind) = Number::split(rest)?;
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, next) = behind.split_at_checked(end)?;
        let place = units.iter().position(|known| known.names.contains(&unit))?;
        total = total.checked_add(number.times(units.get(place)?.nanos)?)?;
        units = units.get(place + 1..)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

/// Reads a decimal number of milliseconds.
pub(super) fn parse_millis(text: &str) -> Option<Duration> {
    match Number::split(text)? {
        (number, "") => number.times(1_000_000),
        _ => None,
    }
}

/// Reads a decimal number of seconds.
pub(super) fn parse_seconds(text: &str) -> Option<Duration> {
    match Number::split(text)? {
        (number, "") => number.times(NANOS_PER_SECOND),
        _ => None,
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A unit of time, under all its names.
struct Unit {
    names: &'static [&'static str],
    nanos: u64,
}

/// From long to short. Both micro signs are in use.
const UNITS: [Unit; 6] = [
    Unit { names: &["h"], nanos: 3_600 * NANOS_PER_SECOND },
    Unit { names: &["m"], nanos: 60 * NANOS_PER_SECOND },
    Unit { names: &["s"], nanos: NANOS_PER_SECOND },
    Unit { names: &["ms"], nanos: 1_000_000 },
    Unit { names: &["us", "\u{b5}s", "\u{3bc}s"], nanos: 1_000 },
    Unit { names: &["ns"], nanos: 1 },
];

/// A decimal number, in billionths.
struct Number {
    billionths: u128,
}

impl Number {
    /// Splits a number off the front; `None` where there is no digit or too many.
    fn split(text: &str) -> Option<(Self, &str)> {
        let (whole, rest) = digits(text);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(behind) => digits(behind),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let places = (0..9).map(|place| fraction.as_bytes().get(place).map_or(0, |c| c - b'0'));
        let fraction = places.fold(0, |sum, digit| sum * 10 + u128::from(digit));
        let billionths = whole.checked_mul(1_000_000_000)?.checked_add(fraction)?;
        Some((Self { billionths }, rest))
    }

    fn times(&self, nanos: u64) -> Option<Duration> {
        let nanos = self.billionths.checked_mul(u128::from(nanos))? / 1_000_000_000;
        let seconds = u64::try_from(nanos / u128::from(NANOS_PER_SECOND)).ok()?;
        let rest = u32::try_from(nanos % u128::from(NANOS_PER_SECOND)).ok()?;
        Some(Duration::new(seconds, rest))
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_providers_write() {
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("12ms",            Some(12_000_000)),
            ("8.64s",           Some(8_640_000_000)),
            ("46.001s",         Some(46_001_000_000)),
            ("1s",              Some(1_000_000_000)),
            ("6m0s",            Some(360_000_000_000)),
            ("4m12.172s",       Some(252_172_000_000)),
            ("23h18m29.144s",   Some(83_909_144_000_000)),
            ("1m",              Some(60_000_000_000)),
            ("1m2ms",           Some(60_002_000_000)),
            ("5us",             Some(5_000)),
            ("5\u{b5}s",        Some(5_000)),
            ("5\u{3bc}s",       Some(5_000)),
            ("300",             Some(300_000_000_000)),
            ("0",               Some(0)),
            ("0s",              Some(0)),
            ("1.5",             Some(1_500_000_000)),
            ("0.0000000019s",   Some(1)),
            ("",                None),
            ("s",               None),
            (".",               None),
            ("-1",              None),
            ("-1s",             None),
            ("1 s",             None),
            (" 1s",             None),
            ("1s2",             None),
            ("1s1m",            None),
            ("1s1s",            None),
            ("1M",              None),
            ("1msx",            None),
            ("1e3s",            None),
            ("1..2s",           None),
            ("2024-01-01T00:00:00Z", None),
            ("99999999999999999999999h", None),
            ("999999999999999999999999999999999999999999", None),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse(text).map(|duration| duration.as_nanos()), nanos, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _result = (parse(&text), parse_millis(&text), parse_seconds(&text));
        }

        #[test]
        fn nothing_like_a_duration_panics(text in "([0-9.]{0,30}(h|m|s|ms|us|µs|ns)?){0,4}") {
            let _result = parse(&text);
        }

        #[test]
        fn what_go_writes_is_read_exactly(h in 0_u64..1000, m in 0_u64..60, ms in 0_u64..60_000) {
            let text = format!("{h}h{m}m{}.{:03}s", ms / 1000, ms % 1000);
            let expected = Duration::from_millis((h * 60 + m) * 60_000 + ms);
            prop_assert_eq!(parse(&text), Some(expected));
        }
    }
}

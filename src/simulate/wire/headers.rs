//! Headers: who answered whom, what is left of quotas, and Go durations.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::simulate::dialect::Dialect;
use crate::simulate::engine::{Shown, header_of};

/// What tells an answer from others, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::simulate) struct Identity<'a> {
    /// The request's id.
    pub id: &'a str,
    /// Whose quota it took, if anybody's.
    pub organisation: Option<&'a str>,
    /// How long it was worked on until then.
    pub processing: Duration,
}

impl Identity<'_> {
    /// Adds the headers that every answer has.
    pub(in crate::simulate) fn add_to(self, headers: &mut HeaderMap, dialect: Dialect) {
        let organisation = match dialect {
            Dialect::OpenAi => {
                add(headers, "x-request-id", self.id);
                let millis = self.processing.as_millis().to_string();
                add(headers, "openai-processing-ms", &millis);
                add(headers, "openai-version", "2020-10-01");
                "openai-organization"
            }
            Dialect::Anthropic => {
                add(headers, "request-id", self.id);
                "anthropic-organization-id"
            }
        };
        if let Some(name) = self.organisation {
            add(headers, organisation, name);
        }
    }
}

/// Adds what is left of every quota shown.
pub(in crate::simulate) fn add_rate_limits(
    headers: &mut HeaderMap,
    dialect: Dialect,
    shown: &[Shown],
) {
    let one = match dialect {
        Dialect::OpenAi => add_as_openai,
        Dialect::Anthropic => add_as_anthropic,
    };
    shown.iter().for_each(|quota| one(headers, quota));
}

/// Adds `x-ratelimit-{limit,remaining,reset}-*`, the reset as Go writes durations
/// (<https://platform.openai.com/docs/guides/rate-limits>, read 2026-11-21).
fn add_as_openai(headers: &mut HeaderMap, quota: &Shown) {
    let what = header_of(quota.metric);
    add(headers, &format!("x-ratelimit-limit-{what}"), &quota.limit.to_string());
    add(headers, &format!("x-ratelimit-remaining-{what}"), &quota.remaining.to_string());
    add(headers, &format!("x-ratelimit-reset-{what}"), &go_duration(quota.reset));
}

/// Adds `anthropic-ratelimit-*-{limit,remaining,reset}`: tokens left are rounded to the nearest thousand,
/// and the reset is a date in RFC 3339 (<https://docs.claude.com/en/api/rate-limits>, read
/// 2026-11-21), here of whole seconds, rounded up: nothing is used any more then.
fn add_as_anthropic(headers: &mut HeaderMap, quota: &Shown) {
    let what = header_of(quota.metric);
    let left = match what {
        "requests" => quota.remaining,
        _ => quota.remaining.saturating_add(THOUSAND / 2) / THOUSAND * THOUSAND,
    };
    let begun = u64::from(quota.full_at.subsec_nanos() > 0);
    let full_at = Duration::from_secs(quota.full_at.as_secs() + begun);
    let date = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + full_at);
    add(headers, &format!("anthropic-ratelimit-{what}-limit"), &quota.limit.to_string());
    add(headers, &format!("anthropic-ratelimit-{what}-remaining"), &left.to_string());
    add(headers, &format!("anthropic-ratelimit-{what}-reset"), &date.to_string());
}

const THOUSAND: u64 = 1_000;

/// Adds a header, unless its value cannot be one.
pub(in crate::simulate) fn add(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// Writes a duration as Go does, its milliseconds truncated: `12ms`, `8.64s`, `6m0s`.
pub(in crate::simulate) fn go_duration(time: Duration) -> String {
    let millis = time.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let mut seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Returns a wait in whole milliseconds, rounded up: who waits so long is not too early.
pub(in crate::simulate) fn whole_millis_up(wait: Duration) -> u128 {
    wait.as_nanos().div_ceil(1_000_000).max(1)
}

#[cfg(test)]
mod tests {
    use crate::simulate::engine::Metric;

    use super::*;

    #[test]
    fn input_and_output_apart_are_told_as_anthropic_does() {
        let quota = |metric, remaining, millis| Shown {
            metric,
            limit: 40_000,
            remaining,
            reset: Duration::from_secs(7),
            full_at: Duration::from_millis(millis),
        };
        let mut headers = HeaderMap::new();
        let requests = quota(Metric::RequestsPerMinute, 38_501, 1_755_780_060_000);
        let output = quota(Metric::OutputPerMinute, 38_501, 1_755_780_060_001);
        add_rate_limits(&mut headers, Dialect::Anthropic, &[requests, output]);
        #[rustfmt::skip] // One header a line.
        let expected = [
            ("anthropic-ratelimit-requests-limit",          "40000"),
            ("anthropic-ratelimit-requests-remaining",      "38501"),
            ("anthropic-ratelimit-requests-reset",          "2025-08-21T12:41:00Z"),
            ("anthropic-ratelimit-output-tokens-limit",     "40000"),
            ("anthropic-ratelimit-output-tokens-remaining", "39000"),
            ("anthropic-ratelimit-output-tokens-reset",     "2025-08-21T12:41:01Z"),
        ];
        assert_eq!(headers.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(
                headers.get(name).map(HeaderValue::as_bytes),
                Some(value.as_bytes()),
                "{name}"
            );
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (0, "0s"), (12_000, "12ms"), (6_600, "6ms"), (8_640_000, "8.64s"), (1_000_000, "1s"), (20_000_000, "20s"),
            (46_001_000, "46.001s"), (360_000_000, "6m0s"), (252_172_000, "4m12.172s"), (83_909_144_000, "23h18m29.144s"),
        ];
        for (micros, text) in cases {
            assert_eq!(go_duration(Duration::from_micros(micros)), text);
        }
    }
}

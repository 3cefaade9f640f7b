//! Rate-limit headers and Go durations.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::simulate::engine::{Shown, header_of};

/// Adds `x-ratelimit-{limit,remaining,reset}-*` for every quota shown.
///
/// Requests and tokens as OpenAI sends them. Where input and output are limited apart, the pairs
/// are `input-tokens` and `output-tokens`, as Anthropic names them, in the same format.
pub(in crate::simulate) fn add_rate_limits(headers: &mut HeaderMap, shown: &[Shown]) {
    for quota in shown {
        let what = header_of(quota.metric);
        let values = [
            ("limit", quota.limit.to_string()),
            ("remaining", quota.remaining.to_string()),
            ("reset", go_duration(quota.reset)),
        ];
        for (kind, value) in values {
            add(headers, &format!("x-ratelimit-{kind}-{what}"), &value);
        }
    }
}

/// Adds `retry-after` in whole seconds, rounded up, and `retry-after-ms`.
pub(in crate::simulate) fn add_retry_after(headers: &mut HeaderMap, wait: Duration) {
    let millis = whole_millis_up(wait);
    add(headers, "retry-after", &millis.div_ceil(1000).max(1).to_string());
    add(headers, "retry-after-ms", &millis.to_string());
}

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
    use super::*;

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

//! Headers: which answer it is and whose, and Go durations.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::simulate::dialect::Dialect;

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
        let (id, organisation) = match dialect {
            Dialect::OpenAi => ("x-request-id", Some("openai-organization")),
            // Azure's gateway has an id of its own
            // (<https://github.com/SciSharp/BotSharp/issues/386>, read 2026-11-22).
            Dialect::Azure => ("apim-request-id", None),
            Dialect::Anthropic => ("request-id", Some("anthropic-organization-id")),
            _ => ("x-request-id", None),
        };
        add(headers, id, self.id);
        if dialect == Dialect::OpenAi {
            add(headers, "openai-processing-ms", &self.processing.as_millis().to_string());
            add(headers, "openai-version", "2020-10-01");
        }
        if let Some((header, name)) = organisation.zip(self.organisation) {
            add(headers, header, name);
        }
    }
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

//! Reads written values as the types that settings are made of, each with the rule it obeys.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::pattern::ModelPattern;
use super::raw::RawValue;
use super::section::FromRaw;
use super::settings::{Disconnect, LineMode, LogFormat};
use crate::limit::{Charging, Counting, Estimator};
use crate::units::Class;

/// A whole number that is not zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtLeastOne(pub(super) u64);

/// What an app gets in proportion to others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight(pub(super) u32);

/// A number of bytes, at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes(pub(super) usize);

/// A name that can stand in a header and in a log line.
#[derive(Debug, Clone)]
pub(super) struct Label(pub(super) String);

/// Names as [`Label`]s, each once.
#[derive(Debug, Clone)]
pub(super) struct Labels(pub(super) Vec<Arc<str>>);

impl FromRaw for Labels {
    const RULE: &'static str = "must be a list of names of 1 to 64 printable ASCII characters, each once: [\"team=search\"]";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let RawValue::List(items) = value else { return None };
        let labels: Option<Vec<Arc<str>>> = items
            .iter()
            .map(|item| Label::from_raw(&item.value).map(|label| label.0.into()))
            .collect();
        let labels = labels?;
        let is_single = |(place, label): (usize, &Arc<str>)| {
            !labels.iter().take(place).any(|other| other == label)
        };
        labels.iter().enumerate().all(is_single).then_some(Self(labels))
    }
}

/// Names of apps.
#[derive(Debug, Clone)]
pub(super) struct AppNames(pub(super) Vec<Arc<str>>);

impl FromRaw for AppNames {
    const RULE: &'static str = "must be a list of names of apps, each once: [\"notebook\"]";

    fn from_raw(value: &RawValue) -> Option<Self> {
        Labels::from_raw(value).map(|Labels(names)| Self(names))
    }
}

/// What stands before the paths of a provider: scheme, host and a path without its last slash.
#[derive(Debug, Clone)]
pub(super) struct BaseUrl(pub(super) Uri);

/// Origins of web pages, in lower case.
#[derive(Debug, Clone)]
pub(super) struct Origins(pub(super) Vec<String>);

impl FromRaw for Origins {
    const RULE: &'static str = "must be a list of origins as browsers write them, without a path: \
                                [\"https://chat.example\", \"http://localhost:3000\"]";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let RawValue::List(items) = value else { return None };
        let origins = items.iter().map(|item| {
            let text = item.value.as_text()?;
            let (scheme, host) = text.split_once("://")?;
            let fine = |c: char| c.is_ascii_graphic() && !"/?#@*,\\".contains(c);
            let is_origin = !scheme.is_empty() && !host.is_empty() && host.chars().all(fine);
            (is_origin && scheme.chars().all(fine)).then(|| text.to_ascii_lowercase())
        });
        origins.collect::<Option<_>>().map(Self)
    }
}

impl FromRaw for String {
    const RULE: &'static str = "must be a text in quotes that is not empty";

    fn from_raw(value: &RawValue) -> Option<Self> {
        value.as_text().filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

/// A text that may be empty.
pub(super) struct Text(pub(super) String);

impl FromRaw for Text {
    const RULE: &'static str = "must be a text in quotes";

    fn from_raw(value: &RawValue) -> Option<Self> {
        value.as_text().map(|text| Self(text.to_owned()))
    }
}

impl FromRaw for bool {
    const RULE: &'static str = "must be true or false";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value {
            RawValue::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }
}

impl FromRaw for u64 {
    const RULE: &'static str = "must be a whole number, zero or more";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value {
            RawValue::Integer(number) => Self::try_from(*number).ok(),
            _ => None,
        }
    }
}

impl FromRaw for AtLeastOne {
    const RULE: &'static str = "must be a whole number of at least 1";

    fn from_raw(value: &RawValue) -> Option<Self> {
        u64::from_raw(value).filter(|number| *number > 0).map(Self)
    }
}

impl FromRaw for Weight {
    const RULE: &'static str = "must be a whole number from 1 to 10000; 100 is usual";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let number = AtLeastOne::from_raw(value)?.0;
        u32::try_from(number).ok().filter(|number| *number <= 10_000).map(Self)
    }
}

impl FromRaw for SocketAddr {
    const RULE: &'static str = "must be an IP address and a port, such as \"127.0.0.1:8484\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let text = value.as_text()?;
        let text = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        text.as_deref().or(value.as_text())?.parse().ok()
    }
}

impl FromRaw for Duration {
    const RULE: &'static str =
        "must be a duration from \"1ms\" to \"366d\", such as \"90s\" or \"1m30s\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let longest = Self::from_secs(366 * 86_400);
        parse_duration(value.as_text()?).filter(|span| !span.is_zero() && *span <= longest)
    }
}

impl FromRaw for Bytes {
    const RULE: &'static str = "must be a size of at least one byte, such as \"64MiB\" or 65536";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let count = match value {
            RawValue::Text(text) => parse_size(text)?,
            other => u64::from_raw(other)?,
        };
        usize::try_from(count).ok().filter(|count| *count > 0).map(Self)
    }
}

impl FromRaw for Label {
    const RULE: &'static str = "must be a name of 1 to 64 printable ASCII characters";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let text = value.as_text()?;
        let fits = (1..=64).contains(&text.len())
            && text.trim() == text
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        fits.then(|| Self(text.to_owned()))
    }
}

impl FromRaw for ModelPattern {
    const RULE: &'static str = "must be a text in which `*` stands for any text";

    fn from_raw(value: &RawValue) -> Option<Self> {
        String::from_raw(value).map(Self)
    }
}

impl FromRaw for BaseUrl {
    const RULE: &'static str = "must be a URL that begins with http:// or https://, without user, \
                                query and fragment, such as \"https://api.openai.com/v1\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let text = value.as_text()?.trim_end_matches('/');
        let uri: Uri = text.parse().ok()?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().is_some_and(|host| !host.is_empty());
        (scheme && host && !text.contains(['?', '#', '@'])).then_some(Self(uri))
    }
}

/// The front of a path: `/groq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPrefix(pub(super) String);

impl FromRaw for PathPrefix {
    const RULE: &'static str = "must be the front of a path, such as \"/groq\", of letters, digits, \
        `-`, `_`, `.` and `/`, and not `/v1`, with which every path may begin";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let text = value.as_text()?;
        let segments = text.strip_prefix('/')?.split('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let mut fine = segments.map(|part| {
            !part.is_empty() && part.chars().all(is_plain) && !part.chars().all(|c| c == '.')
        });
        let is_version = text == "/v1" || text.starts_with("/v1/");
        (fine.all(|fine| fine) && !is_version).then(|| Self(text.to_owned()))
    }
}

impl FromRaw for LogFormat {
    const RULE: &'static str = "must be \"text\" or \"json\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl FromRaw for Class {
    const RULE: &'static str = "must be \"interactive\", \"standard\" or \"batch\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        Self::ALL.into_iter().find(|class| value.as_text() == Some(class.label()))
    }
}

impl FromRaw for LineMode {
    const RULE: &'static str = "must be \"enforce\" or \"observe\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "enforce" => Some(Self::Enforce),
            "observe" => Some(Self::Observe),
            _ => None,
        }
    }
}

impl FromRaw for Disconnect {
    const RULE: &'static str = "must be \"cancel\" or \"drain\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "cancel" => Some(Self::Cancel),
            "drain" => Some(Self::Drain),
            _ => None,
        }
    }
}

impl FromRaw for Counting {
    const RULE: &'static str = "must be \"bucket\", \"sliding\" or \"fixed\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "bucket" => Some(Self::Bucket),
            "sliding" => Some(Self::Sliding),
            "fixed" => Some(Self::Fixed),
            _ => None,
        }
    }
}

impl FromRaw for Charging {
    const RULE: &'static str = "must be \"max\", \"refund\", \"later\" or \"split\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "max" => Some(Self::Max),
            "refund" => Some(Self::Refund),
            "later" => Some(Self::Later),
            "split" => Some(Self::Split),
            _ => None,
        }
    }
}

impl FromRaw for Estimator {
    const RULE: &'static str = "must be \"tokens\", \"chars4\" or \"max\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "tokens" => Some(Self::Tokens),
            "chars4" => Some(Self::Chars4),
            "max" => Some(Self::Max),
            _ => None,
        }
    }
}

/// Reads whole numbers, each with its unit: `1m30s`. `None` if it is anything else or too long.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let mut rest = text.trim();
    loop {
        let (number, after) = leading_number(rest)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = next;
        if rest.is_empty() {
            return Some(sum);
        }
    }
}

/// Reads a whole number with its unit: `64MiB`.
fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Splits the digits off the front of `text`.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("500ms", Some(500)), ("90s", Some(90_000)), ("1m30s", Some(90_000)), ("24h", Some(86_400_000)),
            ("7d", Some(604_800_000)), ("0s", None), ("366d", Some(31_622_400_000)), ("367d", None),
            ("90", None), ("s", None), ("", None), ("1.5s", None), ("-1s", None), ("1 s", None),
            ("99999999999999999999s", None), ("18446744073709551615d", None), ("1s1", None), ("1µs", None),
        ];
        for (text, millis) in cases {
            let read = Duration::from_raw(&RawValue::Text(text.to_owned()));
            assert_eq!(read, millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_numbers_with_units() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("64MiB", Some(64 << 20)), ("1GB", Some(1_000_000_000)), ("10 kB", Some(10_000)), ("7", Some(7)),
            ("0", None), ("0MiB", None), ("MiB", None), ("1TB", None), ("18446744073709551615GiB", None), ("-1", None),
        ];
        for (text, bytes) in cases {
            let read = Bytes::from_raw(&RawValue::Text(text.to_owned())).map(|bytes| bytes.0);
            assert_eq!(read, bytes, "{text}");
        }
    }

    #[test]
    fn a_base_url_has_a_scheme_and_a_host_and_nothing_behind_its_path() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("https://api.openai.com/v1", Some("https://api.openai.com/v1")),
            ("https://api.openai.com/v1/", Some("https://api.openai.com/v1")),
            ("http://127.0.0.1:9", Some("http://127.0.0.1:9/")),
            ("http://[::1]:9/v1", Some("http://[::1]:9/v1")),
            ("api.openai.com/v1", None), ("/v1", None), ("ftp://host/v1", None), ("https://", None), ("", None),
            ("https://host/v1?a=b", None), ("https://host/v1#a", None), ("https://user:pass@host/v1", None),
            ("https://ho st/v1", None),
        ];
        for (text, url) in cases {
            let read = BaseUrl::from_raw(&RawValue::Text(text.to_owned()));
            assert_eq!(read.map(|url| url.0.to_string()).as_deref(), url, "{text}");
        }
    }
}

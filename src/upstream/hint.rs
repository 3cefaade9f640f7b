//! What an answer's headers say of the provider's counters.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName};

use super::duration;
use crate::config::Dialect;
use crate::limit::{Hint, QuotaHint};

/// Reads the headers of any answer, refused or not. What is absent, negative or unreadable is left
/// out; a counter without a readable limit is left out whole.
///
/// Header names: OpenAI's rate limit guide, <https://platform.openai.com/docs/guides/rate-limits>,
/// read 2026-11-21.
pub fn hint(headers: &HeaderMap, dialect: Dialect) -> Hint {
    let counters = match dialect {
        Dialect::OpenAi => &OPENAI,
    };
    let read = |names: &[CounterNames]| {
        names.iter().filter_map(|names| counter(headers, names)).reduce(tighter)
    };
    Hint {
        requests: read(&counters.requests),
        tokens: read(&counters.tokens),
        retry_after: retry_after(headers),
        processing: text(headers, &PROCESSING).and_then(duration::parse_millis),
        ..Hint::default()
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

/// The headers of one counter.
struct CounterNames {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

/// The counters of a dialect; where several speak of the same quota, the tightest counts.
struct DialectNames {
    requests: [CounterNames; 1],
    tokens: [CounterNames; 3],
}

static OPENAI: DialectNames = DialectNames {
    requests: [CounterNames {
        limit: HeaderName::from_static("x-ratelimit-limit-requests"),
        remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
        reset: HeaderName::from_static("x-ratelimit-reset-requests"),
    }],
    tokens: [
        CounterNames {
            limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
            remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
            reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
        },
        CounterNames {
            limit: HeaderName::from_static("x-ratelimit-limit-project-tokens"),
            remaining: HeaderName::from_static("x-ratelimit-remaining-project-tokens"),
            reset: HeaderName::from_static("x-ratelimit-reset-project-tokens"),
        },
        CounterNames {
            limit: HeaderName::from_static("x-ratelimit-limit-tokens_usage_based"),
            remaining: HeaderName::from_static("x-ratelimit-remaining-tokens_usage_based"),
            reset: HeaderName::from_static("x-ratelimit-reset-tokens_usage_based"),
        },
    ],
};

fn counter(headers: &HeaderMap, names: &CounterNames) -> Option<QuotaHint> {
    let limit = number(headers, &names.limit).filter(|&limit| limit > 0)?;
    let remaining = number(headers, &names.remaining).filter(|&remaining| remaining <= limit);
    let reset = text(headers, &names.reset).and_then(duration::parse);
    Some(QuotaHint { limit, remaining, reset, ..QuotaHint::default() })
}

/// Returns the one of which less is left; a smaller limit where that is the same or unknown.
fn tighter(one: QuotaHint, other: QuotaHint) -> QuotaHint {
    let left = |hint: &QuotaHint| (hint.remaining.unwrap_or(hint.limit), hint.limit);
    if left(&other) < left(&one) { other } else { one }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Hint {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        hint(&headers, Dialect::OpenAi)
    }

    fn told(limit: u64, remaining: Option<u64>, reset: Option<Duration>) -> QuotaHint {
        QuotaHint { limit, remaining, reset, ..QuotaHint::default() }
    }

    #[test]
    fn a_usual_answer_of_openai_is_read_whole() {
        let hint = read(&[
            ("x-ratelimit-limit-requests", "5000"),
            ("x-ratelimit-remaining-requests", "4999"),
            ("x-ratelimit-reset-requests", "12ms"),
            ("x-ratelimit-limit-tokens", "160000"),
            ("x-ratelimit-remaining-tokens", "159976"),
            ("x-ratelimit-reset-tokens", "9ms"),
            ("openai-processing-ms", "420"),
        ]);
        let millis = Duration::from_millis;
        let requests = told(5000, Some(4999), Some(millis(12)));
        let tokens = told(160_000, Some(159_976), Some(millis(9)));
        assert_eq!(hint.requests, Some(requests));
        assert_eq!(hint.tokens, Some(tokens));
        assert_eq!(hint.processing, Some(millis(420)));
        assert_eq!(hint.retry_after, None);
    }

    #[test]
    fn the_project_counts_where_it_has_less_left() {
        let hint = read(&[
            ("x-ratelimit-limit-tokens", "160000"),
            ("x-ratelimit-remaining-tokens", "159000"),
            ("x-ratelimit-limit-project-tokens", "20000"),
            ("x-ratelimit-remaining-project-tokens", "150"),
            ("x-ratelimit-reset-project-tokens", "59s"),
        ]);
        let tokens = hint.tokens.expect("both are readable");
        assert_eq!((tokens.limit, tokens.remaining), (20_000, Some(150)));
    }

    #[test]
    fn negative_and_senseless_values_are_left_out() {
        let hint = read(&[
            ("x-ratelimit-limit-requests", "-1"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "-1"),
            ("x-ratelimit-reset-tokens", "soon"),
        ]);
        assert_eq!(hint.requests, None);
        assert_eq!(hint.tokens, Some(told(1000, None, None)));
    }

    #[test]
    fn azures_milliseconds_go_before_seconds() {
        let hint = read(&[("retry-after", "2"), ("retry-after-ms", "1500")]);
        assert_eq!(hint.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(read(&[("retry-after", "2")]).retry_after, Some(Duration::from_secs(2)));
        assert_eq!(read(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]).retry_after, None);
    }

    #[test]
    fn azures_bare_resets_are_seconds() {
        let hint = read(&[("x-ratelimit-limit-tokens", "10"), ("x-ratelimit-reset-tokens", "300")]);
        assert_eq!(hint.tokens.and_then(|hint| hint.reset), Some(Duration::from_secs(300)));
    }

    proptest! {
        #[test]
        fn no_header_panics(values in proptest::collection::vec("[ -~]{0,24}", 14)) {
            let mut headers = HeaderMap::new();
            let names = OPENAI.tokens.iter().chain(&OPENAI.requests);
            let names = names.flat_map(|names| {
                [names.limit.clone(), names.remaining.clone(), names.reset.clone()]
            });
            for (name, value) in names.chain([RETRY_AFTER, RETRY_AFTER_MS.clone()]).zip(values) {
                headers.insert(name, value.parse().expect("printable"));
            }
            let _hint = hint(&headers, Dialect::OpenAi);
        }
    }
}

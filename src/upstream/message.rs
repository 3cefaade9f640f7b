//! Reads the words of an error body, in whatever shape it comes.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::duration;
use crate::limit::{QuotaKind, RefusalHint};

/// An error's own words; empty where they are absent.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// `error.code`, `error.error_code` or `error.status`; a number is no code, as it only repeats
    /// the status.
    pub(super) code: String,
    /// `error.type`.
    pub(super) kind: String,
    /// `error.message`; the whole text where it is no JSON.
    pub(super) message: String,
    /// Which quota refused, by Google's name for it.
    quota_id: String,
    /// When to come back, in Google's details.
    retry_delay: String,
}

impl Words {
    /// Reads OpenAI's envelope, one inside an array (Gemini), a bare object or text, or no JSON.
    pub(super) fn read(body: &[u8]) -> Self {
        let body = body.get(..MOST_READ).unwrap_or(body);
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            let message = String::from_utf8_lossy(body).into_owned();
            return Self { message, ..Self::default() };
        };
        let value = value.get(0).unwrap_or(&value);
        match value.get("error").unwrap_or(value) {
            Value::String(message) => Self { message: message.clone(), ..Self::default() },
            error => Self {
                code: first(error, &["code", "error_code", "status"]),
                kind: first(error, &["type"]),
                message: first(error, &["message", "detail"]),
                quota_id: detail(error, |entry| entry.get("violations")?.get(0)?.get("quotaId")),
                retry_delay: detail(error, |entry| entry.get("retryDelay")),
            },
        }
    }

    /// Returns the provider's own arithmetic: "Limit L, Used U, Requested R".
    pub(super) fn refusal(&self) -> Option<RefusalHint> {
        let (_, behind) = self.message.rsplit_once("Limit")?;
        let limit = leading_number(behind)?;
        let requested = number_behind(behind, "Requested")?;
        let used = number_behind(behind, "Used");
        Some(RefusalHint { quota: self.quota(), limit, used, requested })
    }

    /// Returns the time of "Please try again in 1.2s", "retry after 7 seconds" or Google's details.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Some(delay) = duration::parse(&self.retry_delay) {
            return Some(delay);
        }
        let behind = ["ry again in ", "etry after ", "etry in "]
            .iter()
            .find_map(|phrase| self.message.split_once(phrase))
            .map(|(_, behind)| behind)?;
        let mut words = behind.split_ascii_whitespace();
        let time = words.next()?.trim_end_matches(['.', ',', ';']);
        let is_bare = time.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        if !is_bare {
            return duration::parse(time);
        }
        let unit = words.next()?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| unit.starts_with(name))?;
        duration::parse_seconds(time)?.checked_mul(*seconds)
    }

    /// Returns the message, or the status where there is none.
    pub(super) fn said(&self, status: StatusCode) -> String {
        let message = self.message.trim();
        if message.is_empty() { status.to_string() } else { message.to_owned() }
    }

    /// Tells whether it says that the request can never fit.
    pub(super) fn is_too_large(&self) -> bool {
        self.message.contains("Request too large")
            || self.refusal().is_some_and(|refusal| refusal.requested > refusal.limit)
            || self.is_beyond_a_deployment()
            || self.has_no_allowance()
    }

    /// Tells which counter refused.
    pub(super) fn quota(&self) -> Option<QuotaKind> {
        if let Some((_, quota)) = QUOTAS.iter().find(|(mark, _)| self.message.contains(mark)) {
            return Some(*quota);
        }
        let said = self.message.to_ascii_lowercase();
        let by_words = PHRASES.iter().find(|(phrase, _)| said.contains(phrase));
        by_words.map(|(_, quota)| *quota).or_else(|| self.google_quota())
    }

    /// Azure tells a request that is larger than the whole quota to come back after a day
    /// (<https://github.com/vanderschaarlab/climb/issues/1>, read 2026-11-22).
    fn is_beyond_a_deployment(&self) -> bool {
        self.message.contains("exceeded token rate limit")
            && self.retry_after().is_some_and(|wait| wait >= DAY)
    }

    /// Google grants some models nothing, and says so as of any other limit.
    fn has_no_allowance(&self) -> bool {
        let limits = self.message.split("Quota exceeded for metric").skip(1);
        limits.filter_map(|text| number_behind(text, "limit")).any(|limit| limit == 0)
    }

    fn google_quota(&self) -> Option<QuotaKind> {
        let says = |word| self.quota_id.contains(word);
        match (says("PerDay"), says("PerMinute")) {
            (true, _) if says("Requests") => Some(QuotaKind::RequestsPerDay),
            (true, _) if says("Tokens") => Some(QuotaKind::TokensPerDay),
            (_, true) if says("Requests") => Some(QuotaKind::RequestsPerMinute),
            (_, true) if says("InputTokens") => Some(QuotaKind::InputTokensPerMinute),
            _ => None,
        }
    }
}

/// Ollama's, when its line is full (<https://github.com/ollama/ollama/issues/4159>, read 2026-11-22).
pub(super) const SERVER_BUSY: &str = "maximum pending requests exceeded";

const DAY: Duration = Duration::from_secs(86_400);

/// Units of time as words, in seconds.
const UNITS: [(&str, u32); 4] = [("second", 1), ("minute", 60), ("hour", 3_600), ("day", 86_400)];

/// Anthropic's, Azure's, Cerebras', Mistral's, Ollama's and OpenRouter's words for a counter, in lower case;
/// captures in public issue trackers, read 2026-11-22.
const PHRASES: [(&str, QuotaKind); 14] = [
    ("concurrent connections", QuotaKind::Concurrency),
    ("concurrent requests", QuotaKind::Concurrency),
    (SERVER_BUSY, QuotaKind::Concurrency),
    ("input tokens per minute", QuotaKind::InputTokensPerMinute),
    ("output tokens per minute", QuotaKind::OutputTokensPerMinute),
    ("tokens per minute", QuotaKind::TokensPerMinute),
    ("tokens per day", QuotaKind::TokensPerDay),
    ("requests per minute", QuotaKind::RequestsPerMinute),
    ("requests per day", QuotaKind::RequestsPerDay),
    ("token rate limit", QuotaKind::TokensPerMinute),
    ("call rate limit", QuotaKind::RequestsPerMinute),
    ("requests rate limit", QuotaKind::RequestsPerMinute),
    ("free-models-per-min", QuotaKind::RequestsPerMinute),
    ("free-models-per-day", QuotaKind::RequestsPerDay),
];

/// As in "on tokens per min (TPM)"; many captures, read 2026-11-21.
const QUOTAS: [(&str, QuotaKind); 7] = [
    ("(TPM)", QuotaKind::TokensPerMinute),
    ("(RPM)", QuotaKind::RequestsPerMinute),
    ("(TPD)", QuotaKind::TokensPerDay),
    ("(RPD)", QuotaKind::RequestsPerDay),
    ("(ITPM)", QuotaKind::InputTokensPerMinute),
    ("(OTPM)", QuotaKind::OutputTokensPerMinute),
    ("(IPM)", QuotaKind::ImagesPerMinute),
];

/// The most of a body that is read; error bodies have about 500 bytes.
const MOST_READ: usize = 64 * 1024;

fn first(object: &Value, names: &[&str]) -> String {
    let texts = names.iter().filter_map(|name| object.get(name)?.as_str());
    texts.map(ToOwned::to_owned).next().unwrap_or_default()
}

/// Finds a text in the first of Google's details that has it.
fn detail<'a>(error: &'a Value, of: impl Fn(&'a Value) -> Option<&'a Value>) -> String {
    let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    details.filter_map(|entry| of(entry)?.as_str()).next().unwrap_or_default().to_owned()
}

fn number_behind(text: &str, word: &str) -> Option<u64> {
    leading_number(text.split_once(word)?.1)
}

/// Reads `30000`, `: 30000` or `30,000`; nothing else may stand before the number.
fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim_start_matches([':', ' ']);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(text.len());
    let digits: String = text.get(..end)?.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(message: &str) -> Words {
        Words { message: message.to_owned(), ..Words::default() }
    }

    #[test]
    fn the_wait_is_read_strictly() {
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("Please try again in 1.2s. Visit https://x.", Some(1_200)),
            ("Please try again in 20s.",                   Some(20_000)),
            ("Please try again in 120ms.",                 Some(120)),
            ("Please try again in 6m0s.",                  Some(360_000)),
            ("Please try again in 7h12m0s",                Some(25_920_000)),
            ("Please retry after 7 seconds.",              Some(7_000)),
            ("Please retry in 47.434392449s.",             Some(47_434)),
            ("Rate limit is exceeded. Try again in 30 seconds.", Some(30_000)),
            ("Please try again in 7 minutes.",             Some(420_000)),
            ("Please retry after 86400 seconds.",          Some(86_400_000)),
            ("Please retry after 9999999999999999999 days.", None),
            ("Please try again in 7 moons.",               None),
            ("Please try again in 7",                      None),
            ("Please try again in a while.",               None),
            ("Please try again in ",                       None),
            ("Nothing of the kind.",                       None),
        ];
        for (message, millis) in cases {
            let read = words(message).retry_after().map(|wait| wait.as_millis());
            assert_eq!(read, millis, "{message}");
        }
    }

    #[test]
    fn arithmetic_without_a_request_is_none() {
        assert_eq!(words("Limit 3, Used 3").refusal(), None);
        assert_eq!(
            words("Limit: 40,000 / min. Requested 1").refusal().map(|r| r.limit),
            Some(40_000)
        );
        assert_eq!(words("Limit 99999999999999999999999, Requested 1").refusal(), None);
    }
}

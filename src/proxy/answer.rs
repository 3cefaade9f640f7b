//! The headers that sluicegate adds to an answer.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::budget::Tint;
use crate::limit::{QuotaKind, QuotaLevel};
use crate::settle::{Allowance, Record, Settlement, Unsettled};
use crate::units::{AccountName, PicoUsd, RequestId};

/// The names of our own headers.
pub(super) struct OwnHeaders {
    pub(super) queued: HeaderName,
    pub(super) expected: HeaderName,
    would_wait: HeaderName,
    upstream: HeaderName,
    model: HeaderName,
    pub(super) account: HeaderName,
    key: HeaderName,
    estimated: HeaderName,
    method: HeaderName,
    charged: HeaderName,
    cost: HeaderName,
    estimated_cost: HeaderName,
    pub(super) budget: HeaderName,
}

pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-sluicegate-request-id");

pub(super) static OWN: OwnHeaders = OwnHeaders {
    queued: HeaderName::from_static("x-sluicegate-queued-ms"),
    expected: HeaderName::from_static("x-sluicegate-expected-wait-ms"),
    would_wait: HeaderName::from_static("x-sluicegate-would-wait-ms"),
    budget: HeaderName::from_static("x-sluicegate-budget"),
    upstream: HeaderName::from_static("x-sluicegate-upstream"),
    model: HeaderName::from_static("x-sluicegate-model"),
    account: HeaderName::from_static("x-sluicegate-account"),
    key: HeaderName::from_static("x-sluicegate-key"),
    estimated: HeaderName::from_static("x-sluicegate-estimated-tokens"),
    method: HeaderName::from_static("x-sluicegate-count"),
    charged: HeaderName::from_static("x-sluicegate-charged-tokens"),
    cost: HeaderName::from_static("x-sluicegate-cost-usd"),
    estimated_cost: HeaderName::from_static("x-sluicegate-estimated-cost-usd"),
};

/// Adds what is known when the head of the provider's answer is there.
pub(super) fn describe(headers: &mut HeaderMap, record: &Record) {
    headers.reserve(MOST_ADDED);
    let mut put = |name: &HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(&REQUEST_ID, record.id.as_str());
    if let Some(upstream) = record.upstream.as_ref().filter(|_| record.is_diverted) {
        put(&OWN.upstream, upstream.as_str());
        put(&OWN.model, record.sent_model.as_str());
    }
    if let Some(account) = &record.account {
        put(&OWN.account, account.as_str());
    }
    if let Some(key) = &record.key {
        put(&OWN.key, key.as_str());
    }
    let tint = record.allowance.as_ref().and_then(Allowance::tint);
    if let Some(Tint { budget, color }) = tint {
        put(&OWN.budget, &format!("{budget} {}", color.label()));
    }
    headers.insert(&OWN.queued, millis(record.queued));
    if let Some(wait) = record.would_wait {
        headers.insert(&OWN.would_wait, millis(wait));
    }
}

/// Room for so many headers of ours is made at once.
const MOST_ADDED: usize = 12;

/// Names all accounts that an answer was made of.
pub(super) fn put_accounts(headers: &mut HeaderMap, accounts: &[AccountName]) {
    let names: Vec<&str> = accounts.iter().map(AccountName::as_str).collect();
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        headers.insert(&OWN.account, value);
    }
    headers.remove(&OWN.key);
}

/// Adds the id of the request, to an answer of ours.
pub(super) fn identify(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(&REQUEST_ID, id.clone());
        headers.insert("x-request-id", id.clone());
        // Anthropic's name for it.
        headers.insert("request-id", id);
    }
}

/// Adds what was counted before it was sent.
pub(super) fn estimate(headers: &mut HeaderMap, unsettled: &Unsettled) {
    let demand = unsettled.demand();
    let estimated = demand.input + demand.output_bound.unwrap_or_default();
    headers.insert(&OWN.estimated, number(estimated.count()));
    headers.insert(&OWN.method, HeaderValue::from_static(demand.method.label()));
    dollars(headers, &OWN.estimated_cost, unsettled.projected());
}

/// Adds an amount, if it is known.
fn dollars(headers: &mut HeaderMap, name: &HeaderName, amount: Option<PicoUsd>) {
    if let Some(Ok(value)) = amount.map(|amount| HeaderValue::from_str(&amount.exact())) {
        headers.insert(name, value);
    }
}

/// Adds what was charged; only where the whole body is there before the head leaves.
///
/// What costs nobody knows has no header about it.
pub(super) fn charge(headers: &mut HeaderMap, settlement: &Settlement) {
    headers.insert(&OWN.charged, number(settlement.usage.total().count()));
    dollars(headers, &OWN.cost, settlement.cost.known());
}

/// Puts the lane's own levels where the provider's stood, in OpenAI's format: a client that paces
/// itself by them sees what it may really have.
pub(super) fn limits(headers: &mut HeaderMap, levels: &[QuotaLevel]) {
    for view in &VIEWS {
        let level = view.quotas.iter().find_map(|quota| {
            levels.iter().find(|level| level.quota == *quota && level.limit.is_some())
        });
        let Some((level, limit)) = level.and_then(|level| Some((level, level.limit?))) else {
            continue;
        };
        headers.insert(&view.limit, number(limit));
        headers.insert(&view.remaining, number(level.headroom.max(0).unsigned_abs()));
        if let Ok(reset) = HeaderValue::from_str(&go_duration(level.reset)) {
            headers.insert(&view.reset, reset);
        }
    }
}

/// Three headers about one counter, and the quotas that may stand there: the first that is known.
struct View {
    quotas: [QuotaKind; 2],
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

static VIEWS: [View; 2] = [
    View {
        quotas: [QuotaKind::RequestsPerMinute, QuotaKind::RequestsPerDay],
        limit: HeaderName::from_static("x-ratelimit-limit-requests"),
        remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
        reset: HeaderName::from_static("x-ratelimit-reset-requests"),
    },
    View {
        quotas: [QuotaKind::TokensPerMinute, QuotaKind::TokensPerDay],
        limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
        remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
        reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
    },
];

/// Returns a number as a header's value.
pub(super) fn number(number: u64) -> HeaderValue {
    // Digits always fit. `From<u64>` would share them, which takes two allocations.
    let digits = HeaderValue::from_str(itoa::Buffer::new().format(number));
    digits.unwrap_or_else(|_| HeaderValue::from(number))
}

/// Returns a duration in whole milliseconds as a header's value.
pub(super) fn millis(time: Duration) -> HeaderValue {
    number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Writes a duration as Go does, in whole milliseconds: `12ms`, `8.64s`, `6m0s`, `23h18m29.144s`.
fn go_duration(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::with_capacity(24);
    let mut put = |number: u64, unit: &str| {
        text.push_str(itoa::Buffer::new().format(number));
        text.push_str(unit);
    };
    if millis < 1000 {
        put(millis, "ms");
        return text;
    }
    let (seconds, fraction) = (millis / 1000, millis % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if hours > 0 {
        put(hours, "h");
    }
    if hours > 0 || minutes > 0 {
        put(minutes, "m");
    }
    put(seconds % 60, "");
    if fraction > 0 {
        // The leading one keeps the zeros in front.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(1000 + fraction).trim_end_matches('0');
        text.push('.');
        text.push_str(digits.get(1..).unwrap_or_default());
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_openai_writes_them() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (0,          "0ms"),
            (12,         "12ms"),
            (1_000,      "1s"),
            (8_640,      "8.64s"),
            (46_001,     "46.001s"),
            (360_000,    "6m0s"),
            (252_172,    "4m12.172s"),
            (83_909_144, "23h18m29.144s"),
            (3_600_000,  "1h0m0s"),
        ];
        for (millis, text) in cases {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_client_sees_the_lane_and_not_the_provider() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining-tokens", HeaderValue::from_static("999"));
        headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("3"));
        let level = QuotaLevel {
            quota: QuotaKind::TokensPerMinute,
            limit: Some(1000),
            headroom: -5,
            reset: Duration::from_secs(61),
        };
        limits(&mut headers, &[level]);
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(text("x-ratelimit-remaining-tokens"), Some("0"));
        assert_eq!(text("x-ratelimit-reset-tokens"), Some("1m1s"));
        assert_eq!(text("x-ratelimit-remaining-requests"), Some("3"), "nothing better is known");
    }
}

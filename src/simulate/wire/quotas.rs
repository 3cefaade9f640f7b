//! What is left of quotas, in the headers of each dialect.
//!
//! A dialect is a table of rows; one function writes them all. What a vendor does not tell is not written.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::simulate::dialect::Dialect;
use crate::simulate::engine::{Metric, Shown};

use super::headers::{add, go_duration};

/// One counter of a dialect: of the quotas that it may be about, the one of which least is left is told.
struct Row {
    about: &'static [Metric],
    limit: &'static str,
    left: Option<&'static str>,
    reset: Option<(&'static str, Unit)>,
    /// What is left is rounded to the nearest multiple of this.
    rounded_to: u64,
}

/// How a reset is written.
#[derive(Debug, Clone, Copy)]
enum Unit {
    /// As Go does, its milliseconds truncated: `6m0s`.
    Go,
    /// The same, in hundredths of a second.
    GoHundredths,
    /// Whole seconds, rounded up.
    Seconds,
    /// Seconds with what is behind the point.
    Decimal,
    /// A date and time of whole seconds, rounded up, RFC 3339.
    Date,
    /// Seconds since 1970-01-01 UTC, rounded up.
    Epoch,
}

/// Adds what is left of the quotas `shown`.
pub(in crate::simulate) fn add_rate_limits(
    headers: &mut HeaderMap,
    dialect: Dialect,
    shown: &[Shown],
) {
    for row in rows(dialect) {
        let about = shown.iter().filter(|quota| row.about.contains(&quota.metric));
        let Some(quota) = about.min_by_key(|quota| quota.remaining) else { continue };
        add(headers, row.limit, &quota.limit.to_string());
        if let Some(name) = row.left {
            let unit = row.rounded_to.max(1);
            let left = quota.remaining.saturating_add(unit / 2) / unit * unit;
            add(headers, name, &left.to_string());
        }
        if let Some((name, unit)) = row.reset {
            add(headers, name, &written(quota, unit));
        }
    }
}

fn written(quota: &Shown, unit: Unit) -> String {
    match unit {
        Unit::Go => go_duration(quota.reset),
        Unit::GoHundredths => {
            let hundredths = u64::try_from(quota.reset.as_millis() / 10).unwrap_or(u64::MAX);
            go_duration(Duration::from_millis(hundredths.saturating_mul(10)))
        }
        Unit::Seconds => whole_seconds_up(quota.reset).to_string(),
        Unit::Decimal => quota.reset.as_secs_f64().to_string(),
        Unit::Date => {
            let full_at = Duration::from_secs(whole_seconds_up(quota.full_at));
            humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + full_at).to_string()
        }
        Unit::Epoch => whole_seconds_up(quota.full_at).to_string(),
    }
}

fn whole_seconds_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

const fn row(
    about: &'static [Metric],
    [limit, left]: [&'static str; 2],
    reset: Option<(&'static str, Unit)>,
) -> Row {
    Row { about, limit, left: Some(left), reset, rounded_to: 1 }
}

const REQUESTS: &[Metric] = &[Metric::RequestsPerMinute, Metric::RequestsPerDay];
const TOKENS: &[Metric] = &[Metric::TokensPerMinute, Metric::TokensPerDay];
const REQUESTS_A_MINUTE: &[Metric] = &[Metric::RequestsPerMinute];
const REQUESTS_A_DAY: &[Metric] = &[Metric::RequestsPerDay];
const REQUESTS_A_SLICE: &[Metric] = &[Metric::RequestsPerSlice];
const TOKENS_A_MINUTE: &[Metric] = &[Metric::TokensPerMinute];
const TOKENS_A_DAY: &[Metric] = &[Metric::TokensPerDay];
const TOKENS_A_SLICE: &[Metric] = &[Metric::TokensPerSlice];
const INPUT: &[Metric] = &[Metric::InputPerMinute];
const OUTPUT: &[Metric] = &[Metric::OutputPerMinute];

fn rows(dialect: Dialect) -> &'static [Row] {
    match dialect {
        Dialect::OpenAi => &OPENAI,
        Dialect::Azure => &AZURE,
        Dialect::Anthropic => &ANTHROPIC,
        Dialect::Groq => &GROQ,
        Dialect::Mistral => &MISTRAL,
        Dialect::Together => &TOGETHER,
        Dialect::Cerebras => &CEREBRAS,
        Dialect::SambaNova => &SAMBANOVA,
        Dialect::Fireworks => &FIREWORKS,
        Dialect::OpenRouter
        | Dialect::DeepSeek
        | Dialect::Gemini
        | Dialect::Vllm
        | Dialect::Ollama => &[],
    }
}

/// Minute and day share their names (<https://platform.openai.com/docs/guides/rate-limits>, read 2026-11-21).
static OPENAI: [Row; 4] = [
    row(
        REQUESTS,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"],
        Some(("x-ratelimit-reset-requests", Unit::Go)),
    ),
    row(
        TOKENS,
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"],
        Some(("x-ratelimit-reset-tokens", Unit::Go)),
    ),
    row(
        INPUT,
        ["x-ratelimit-limit-input-tokens", "x-ratelimit-remaining-input-tokens"],
        Some(("x-ratelimit-reset-input-tokens", Unit::Go)),
    ),
    row(
        OUTPUT,
        ["x-ratelimit-limit-output-tokens", "x-ratelimit-remaining-output-tokens"],
        Some(("x-ratelimit-reset-output-tokens", Unit::Go)),
    ),
];

/// <https://learn.microsoft.com/azure/ai-foundry/openai/quotas-limits>, read 2026-11-21; requests are
/// those of ten seconds (<https://learn.microsoft.com/answers/questions/2156987>, read 2026-11-22).
static AZURE: [Row; 2] = [
    row(
        REQUESTS_A_SLICE,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"],
        Some(("x-ratelimit-reset-requests", Unit::Seconds)),
    ),
    row(
        TOKENS_A_MINUTE,
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"],
        Some(("x-ratelimit-reset-tokens", Unit::Seconds)),
    ),
];

/// Tokens left are rounded to the nearest thousand (<https://docs.claude.com/en/api/rate-limits>, read 2026-11-21).
static ANTHROPIC: [Row; 4] = [
    row(
        REQUESTS_A_MINUTE,
        ["anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"],
        Some(("anthropic-ratelimit-requests-reset", Unit::Date)),
    ),
    Row {
        rounded_to: 1_000,
        ..row(
            TOKENS_A_MINUTE,
            ["anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining"],
            Some(("anthropic-ratelimit-tokens-reset", Unit::Date)),
        )
    },
    Row {
        rounded_to: 1_000,
        ..row(
            INPUT,
            [
                "anthropic-ratelimit-input-tokens-limit",
                "anthropic-ratelimit-input-tokens-remaining",
            ],
            Some(("anthropic-ratelimit-input-tokens-reset", Unit::Date)),
        )
    },
    Row {
        rounded_to: 1_000,
        ..row(
            OUTPUT,
            [
                "anthropic-ratelimit-output-tokens-limit",
                "anthropic-ratelimit-output-tokens-remaining",
            ],
            Some(("anthropic-ratelimit-output-tokens-reset", Unit::Date)),
        )
    },
];

/// <https://console.groq.com/docs/rate-limits>, read 2026-11-22: requests are the day's, tokens the minute's.
static GROQ: [Row; 2] = [
    row(
        REQUESTS_A_DAY,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"],
        Some(("x-ratelimit-reset-requests", Unit::GoHundredths)),
    ),
    row(
        TOKENS_A_MINUTE,
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"],
        Some(("x-ratelimit-reset-tokens", Unit::GoHundredths)),
    ),
];

/// <https://github.com/mistralai/client-ts/issues/169>, read 2026-11-22.
static MISTRAL: [Row; 2] = [
    row(
        REQUESTS_A_MINUTE,
        ["x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute"],
        None,
    ),
    row(
        TOKENS_A_MINUTE,
        ["x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"],
        None,
    ),
];

/// <https://docs.together.ai/docs/rate-limits>, read 2026-11-21: those of a second.
static TOGETHER: [Row; 2] = [
    row(
        REQUESTS_A_SLICE,
        ["x-ratelimit-limit", "x-ratelimit-remaining"],
        Some(("x-ratelimit-reset", Unit::Seconds)),
    ),
    row(TOKENS_A_SLICE, ["x-tokenlimit-limit", "x-tokenlimit-remaining"], None),
];

/// <https://inference-docs.cerebras.ai/support/rate-limits>, read 2026-11-22.
static CEREBRAS: [Row; 4] = [
    row(
        REQUESTS_A_MINUTE,
        ["x-ratelimit-limit-requests-minute", "x-ratelimit-remaining-requests-minute"],
        Some(("x-ratelimit-reset-requests-minute", Unit::Decimal)),
    ),
    row(
        REQUESTS_A_DAY,
        ["x-ratelimit-limit-requests-day", "x-ratelimit-remaining-requests-day"],
        Some(("x-ratelimit-reset-requests-day", Unit::Decimal)),
    ),
    row(
        TOKENS_A_MINUTE,
        ["x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"],
        Some(("x-ratelimit-reset-tokens-minute", Unit::Decimal)),
    ),
    row(
        TOKENS_A_DAY,
        ["x-ratelimit-limit-tokens-day", "x-ratelimit-remaining-tokens-day"],
        Some(("x-ratelimit-reset-tokens-day", Unit::Decimal)),
    ),
];

/// <https://docs.sambanova.ai/docs/en/models/rate-limits>, read 2026-11-22.
static SAMBANOVA: [Row; 2] = [
    row(
        REQUESTS_A_MINUTE,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"],
        Some(("x-ratelimit-reset-requests", Unit::Epoch)),
    ),
    row(
        REQUESTS_A_DAY,
        ["x-ratelimit-limit-requests-day", "x-ratelimit-remaining-requests-day"],
        Some(("x-ratelimit-reset-requests-day", Unit::Epoch)),
    ),
];

/// Limits alone (<https://docs.fireworks.ai/guides/quotas_usage/rate-limits>, read 2026-11-21).
static FIREWORKS: [Row; 2] = [
    Row { left: None, ..row(REQUESTS_A_MINUTE, ["x-ratelimit-limit-requests", ""], None) },
    Row { left: None, ..row(TOKENS_A_MINUTE, ["x-ratelimit-limit-tokens-prompt", ""], None) },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(dialect: Dialect, shown: &[Shown]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        add_rate_limits(&mut headers, dialect, shown);
        let text = |value: &http::HeaderValue| value.to_str().expect("ASCII").to_owned();
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
        lines.sort_unstable();
        lines
    }

    fn quota(metric: Metric, [limit, remaining]: [u64; 2], millis: u64) -> Shown {
        let reset = Duration::from_millis(millis);
        let full_at = Duration::from_secs(1_755_780_060) + reset;
        Shown { metric, limit, remaining, reset, full_at }
    }

    #[test]
    fn each_dialect_tells_what_it_tells() {
        let shown = [
            quota(Metric::RequestsPerMinute, [60, 42], 18_000),
            quota(Metric::RequestsPerDay, [14_400, 14_370], 179_567),
            quota(Metric::TokensPerMinute, [18_000, 17_501], 1_663),
            quota(Metric::TokensPerDay, [500_000, 17_400], 83_000_000),
            quota(Metric::RequestsPerSlice, [10, 9], 400),
            quota(Metric::TokensPerSlice, [300, 250], 1_000),
        ];
        let of = |dialect| told(dialect, &shown).join(", ");
        #[rustfmt::skip] // One case a line.
        let cases = [
            (Dialect::OpenAi, "x-ratelimit-limit-requests: 60, x-ratelimit-limit-tokens: 500000, x-ratelimit-remaining-requests: 42, x-ratelimit-remaining-tokens: 17400, x-ratelimit-reset-requests: 18s, x-ratelimit-reset-tokens: 23h3m20s"),
            (Dialect::Azure, "x-ratelimit-limit-requests: 10, x-ratelimit-limit-tokens: 18000, x-ratelimit-remaining-requests: 9, x-ratelimit-remaining-tokens: 17501, x-ratelimit-reset-requests: 1, x-ratelimit-reset-tokens: 2"),
            (Dialect::Groq, "x-ratelimit-limit-requests: 14400, x-ratelimit-limit-tokens: 18000, x-ratelimit-remaining-requests: 14370, x-ratelimit-remaining-tokens: 17501, x-ratelimit-reset-requests: 2m59.56s, x-ratelimit-reset-tokens: 1.66s"),
            (Dialect::Mistral, "x-ratelimit-limit-req-minute: 60, x-ratelimit-limit-tokens-minute: 18000, x-ratelimit-remaining-req-minute: 42, x-ratelimit-remaining-tokens-minute: 17501"),
            (Dialect::Together, "x-ratelimit-limit: 10, x-ratelimit-remaining: 9, x-ratelimit-reset: 1, x-tokenlimit-limit: 300, x-tokenlimit-remaining: 250"),
            (Dialect::SambaNova, "x-ratelimit-limit-requests-day: 14400, x-ratelimit-limit-requests: 60, x-ratelimit-remaining-requests-day: 14370, x-ratelimit-remaining-requests: 42, x-ratelimit-reset-requests-day: 1755780240, x-ratelimit-reset-requests: 1755780078"),
            (Dialect::Fireworks, "x-ratelimit-limit-requests: 60, x-ratelimit-limit-tokens-prompt: 18000"),
            (Dialect::DeepSeek, ""),
            (Dialect::Gemini, ""),
        ];
        for (dialect, expected) in cases {
            assert_eq!(of(dialect), expected, "{dialect:?}");
        }
        assert!(of(Dialect::Cerebras).contains("x-ratelimit-reset-tokens-minute: 1.663"));
    }

    #[test]
    fn anthropic_rounds_tokens_to_thousands_and_tells_dates() {
        let shown = [
            quota(Metric::RequestsPerMinute, [50, 49], 0),
            quota(Metric::OutputPerMinute, [40_000, 38_501], 1),
        ];
        let expected = [
            "anthropic-ratelimit-output-tokens-limit: 40000",
            "anthropic-ratelimit-output-tokens-remaining: 39000",
            "anthropic-ratelimit-output-tokens-reset: 2025-08-21T12:41:01Z",
            "anthropic-ratelimit-requests-limit: 50",
            "anthropic-ratelimit-requests-remaining: 49",
            "anthropic-ratelimit-requests-reset: 2025-08-21T12:41:00Z",
        ];
        assert_eq!(told(Dialect::Anthropic, &shown), expected);
    }
}

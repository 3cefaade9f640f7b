//! The headers of each dialect, as tables.
//!
//! # What this module owns
//!
//! Which header tells which counter in which dialect, in what unit its reset is written, how its
//! numbers are rounded, and which window it is about. A dialect is data: reading it is one function
//! for all ([`super::hint`]).
//!
//! # What this module does not do
//!
//! It reads no header. Whatever a provider's documentation and captures leave open is not read
//! rather than guessed.

use std::time::Duration;

use http::HeaderName;

use crate::config::Dialect;
use crate::limit::HintWindow;

/// The counters of a dialect.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) counters: &'static [Counter],
    /// What resets are written in.
    pub(super) reset: Unit,
    /// Above 1: tokens left are rounded to the nearest multiple of it.
    pub(super) tokens_rounded_to: u64,
    /// How far a reset may be off either way; zero: it is cut to a millisecond.
    pub(super) reset_within: Duration,
}

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Requests,
    Tokens,
    Input,
    Output,
}

/// How a duration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// As Go does, or a bare number of seconds.
    Go,
    /// A bare number of seconds.
    Seconds,
    /// A date and time, RFC 3339.
    Date,
}

/// The headers of one counter. Where several count the same, the tightest of them is told.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) counted: Counted,
    pub(super) window: Window,
    pub(super) limit: HeaderName,
    pub(super) remaining: HeaderName,
    pub(super) reset: Option<HeaderName>,
}

/// The window of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    /// A minute, a day, or whichever is tighter.
    Of(HintWindow),
    /// A part of the minute. Times the number of such parts, its limit is the minute's.
    Slice { per_minute: u64, left: Left },
}

/// What becomes of what is left of a part of the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It stays: the part is a level that refills.
    Stays,
    /// It is gone when it is heard: the next part begins anew.
    Goes,
}

/// Returns the headers of `dialect`.
pub(super) fn table(dialect: Dialect) -> &'static Table {
    match dialect {
        Dialect::OpenAi => &OPENAI,
        Dialect::Azure => &AZURE,
        Dialect::Anthropic => &ANTHROPIC,
        Dialect::Groq => &GROQ,
        Dialect::Mistral => &MISTRAL,
        Dialect::Together => &TOGETHER,
        Dialect::Cerebras => &CEREBRAS,
        Dialect::SambaNova => &SAMBANOVA,
        Dialect::Plain => &PLAIN,
    }
}

const UNSAID: Window = Window::Of(HintWindow::Unsaid);
const MINUTE: Window = Window::Of(HintWindow::Minute);
const DAY: Window = Window::Of(HintWindow::Day);
const SECOND: Window = Window::Slice { per_minute: 60, left: Left::Stays };

const fn counter(
    counted: Counted,
    window: Window,
    [limit, remaining]: [&'static str; 2],
    reset: Option<&'static str>,
) -> Counter {
    // Made once: to make one of a text is to check each of its letters.
    let limit = HeaderName::from_static(limit);
    let remaining = HeaderName::from_static(remaining);
    let reset = match reset {
        Some(reset) => Some(HeaderName::from_static(reset)),
        None => None,
    };
    Counter { counted, window, limit, remaining, reset }
}

/// The rate limit guide, <https://platform.openai.com/docs/guides/rate-limits>, and
/// `tokens_usage_based` as captured in the vendor's forum, 2023-2025; read 2026-11-21. The same
/// names serve both windows.
static OPENAI_COUNTERS: [Counter; 4] = [
    counter(
        Counted::Requests,
        UNSAID,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"],
        Some("x-ratelimit-reset-requests"),
    ),
    counter(
        Counted::Tokens,
        UNSAID,
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"],
        Some("x-ratelimit-reset-tokens"),
    ),
    counter(
        Counted::Tokens,
        UNSAID,
        ["x-ratelimit-limit-project-tokens", "x-ratelimit-remaining-project-tokens"],
        Some("x-ratelimit-reset-project-tokens"),
    ),
    counter(
        Counted::Tokens,
        UNSAID,
        ["x-ratelimit-limit-tokens_usage_based", "x-ratelimit-remaining-tokens_usage_based"],
        Some("x-ratelimit-reset-tokens_usage_based"),
    ),
];

static OPENAI: Table = Table {
    counters: &OPENAI_COUNTERS,
    reset: Unit::Go,
    tokens_rounded_to: 1,
    reset_within: Duration::ZERO,
};

/// OpenAI's names with whole seconds, quotas per minute only:
/// <https://learn.microsoft.com/azure/ai-foundry/openai/quotas-limits>, read 2026-11-21. Requests
/// are judged, and shown, in slices of ten seconds: 120 and 300 a minute were seen as 20 and 50
/// (<https://learn.microsoft.com/answers/questions/2156987>, read 2026-11-22).
static AZURE_COUNTERS: [Counter; 2] = [
    counter(
        Counted::Requests,
        Window::Slice { per_minute: 6, left: Left::Goes },
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"],
        None,
    ),
    counter(
        Counted::Tokens,
        MINUTE,
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"],
        Some("x-ratelimit-reset-tokens"),
    ),
];

static AZURE: Table = Table {
    counters: &AZURE_COUNTERS,
    reset: Unit::Seconds,
    tokens_rounded_to: 1,
    reset_within: Duration::from_secs(1),
};

/// <https://docs.claude.com/en/api/rate-limits>, read 2026-11-21: tokens left are rounded to the
/// nearest thousand; `tokens` is the sum of input and output, or a workspace's own limit where
/// that is the tightest.
static ANTHROPIC_COUNTERS: [Counter; 4] = [
    counter(
        Counted::Requests,
        MINUTE,
        ["anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"],
        Some("anthropic-ratelimit-requests-reset"),
    ),
    counter(
        Counted::Tokens,
        MINUTE,
        ["anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining"],
        Some("anthropic-ratelimit-tokens-reset"),
    ),
    counter(
        Counted::Input,
        MINUTE,
        ["anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining"],
        Some("anthropic-ratelimit-input-tokens-reset"),
    ),
    counter(
        Counted::Output,
        MINUTE,
        ["anthropic-ratelimit-output-tokens-limit", "anthropic-ratelimit-output-tokens-remaining"],
        Some("anthropic-ratelimit-output-tokens-reset"),
    ),
];

static ANTHROPIC: Table = Table {
    counters: &ANTHROPIC_COUNTERS,
    reset: Unit::Date,
    tokens_rounded_to: 1_000,
    // Dates are whole seconds, and so is the date of the answer that they are compared with.
    reset_within: Duration::from_secs(2),
};

/// <https://console.groq.com/docs/rate-limits>, read 2026-11-22: `requests` is the day,
/// `tokens` the minute.
static GROQ_COUNTERS: [Counter; 2] = [
    counter(
        Counted::Requests,
        DAY,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"],
        Some("x-ratelimit-reset-requests"),
    ),
    counter(
        Counted::Tokens,
        MINUTE,
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"],
        Some("x-ratelimit-reset-tokens"),
    ),
];

static GROQ: Table = Table {
    counters: &GROQ_COUNTERS,
    reset: Unit::Go,
    tokens_rounded_to: 1,
    // Hundredths of a second were seen.
    reset_within: Duration::from_millis(10),
};

/// Captures of answers from 2024 (by size) and 2026, for one in
/// <https://github.com/mistralai/client-ts/issues/169>; read 2026-11-22. Limits per month exist;
/// there is no counter of that length here.
static MISTRAL_COUNTERS: [Counter; 4] = [
    counter(
        Counted::Requests,
        MINUTE,
        ["x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute"],
        None,
    ),
    counter(
        Counted::Tokens,
        MINUTE,
        ["x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"],
        None,
    ),
    counter(
        Counted::Tokens,
        MINUTE,
        ["x-ratelimitbysize-limit-minute", "x-ratelimitbysize-remaining-minute"],
        None,
    ),
    counter(
        Counted::Tokens,
        MINUTE,
        ["ratelimitbysize-limit", "ratelimitbysize-remaining"],
        Some("ratelimitbysize-reset"),
    ),
];

static MISTRAL: Table = Table {
    counters: &MISTRAL_COUNTERS,
    reset: Unit::Seconds,
    tokens_rounded_to: 1,
    reset_within: Duration::from_secs(1),
};

/// <https://docs.together.ai/docs/rate-limits>, read 2026-11-22: limits are measured per second and shown per minute;
/// the reset is when they are back at their initial state, as of a level that refills.
static TOGETHER_COUNTERS: [Counter; 2] = [
    counter(Counted::Requests, SECOND, ["x-ratelimit-limit", "x-ratelimit-remaining"], None),
    counter(Counted::Tokens, SECOND, ["x-tokenlimit-limit", "x-tokenlimit-remaining"], None),
];

static TOGETHER: Table = Table {
    counters: &TOGETHER_COUNTERS,
    reset: Unit::Seconds,
    tokens_rounded_to: 1,
    reset_within: Duration::from_secs(1),
};

/// <https://inference-docs.cerebras.ai/support/rate-limits>, read 2026-11-22: decimal seconds. Both
/// windows exist for both; answers show those that an account has.
static CEREBRAS_COUNTERS: [Counter; 4] = [
    counter(
        Counted::Requests,
        MINUTE,
        ["x-ratelimit-limit-requests-minute", "x-ratelimit-remaining-requests-minute"],
        Some("x-ratelimit-reset-requests-minute"),
    ),
    counter(
        Counted::Requests,
        DAY,
        ["x-ratelimit-limit-requests-day", "x-ratelimit-remaining-requests-day"],
        Some("x-ratelimit-reset-requests-day"),
    ),
    counter(
        Counted::Tokens,
        MINUTE,
        ["x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"],
        Some("x-ratelimit-reset-tokens-minute"),
    ),
    counter(
        Counted::Tokens,
        DAY,
        ["x-ratelimit-limit-tokens-day", "x-ratelimit-remaining-tokens-day"],
        Some("x-ratelimit-reset-tokens-day"),
    ),
];

static CEREBRAS: Table = Table {
    counters: &CEREBRAS_COUNTERS,
    reset: Unit::Seconds,
    tokens_rounded_to: 1,
    // The documented sample shows a window's end beside a bucket's refill: no level is read from it.
    reset_within: Duration::from_secs(1),
};

/// <https://docs.sambanova.ai/docs/en/models/rate-limits>, read 2026-11-22. In what unit resets are
/// written is told differently by different readers, so they are not read.
static SAMBANOVA_COUNTERS: [Counter; 2] = [
    counter(
        Counted::Requests,
        MINUTE,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"],
        None,
    ),
    counter(
        Counted::Requests,
        DAY,
        ["x-ratelimit-limit-requests-day", "x-ratelimit-remaining-requests-day"],
        None,
    ),
];

static SAMBANOVA: Table = Table {
    counters: &SAMBANOVA_COUNTERS,
    reset: Unit::Seconds,
    tokens_rounded_to: 1,
    reset_within: Duration::from_secs(1),
};

/// Providers without counters in their headers. Fireworks names limits, but its pages contradict
/// each other on whether they are per second or per minute (read 2026-11-22).
static PLAIN: Table =
    Table { counters: &[], reset: Unit::Go, tokens_rounded_to: 1, reset_within: Duration::ZERO };

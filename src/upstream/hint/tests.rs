//! Headers as providers document them and as they were seen, 2023-2026.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// 2025-08-21T12:41:00Z.
const DATE_SEEN: Duration = Duration::from_secs(1_755_780_060);
const SEEN: Came = Came { at: DATE_SEEN, after: Duration::ZERO };

const ALL: [Dialect; 9] = [
    Dialect::OpenAi,
    Dialect::Azure,
    Dialect::Anthropic,
    Dialect::Groq,
    Dialect::Mistral,
    Dialect::Together,
    Dialect::Cerebras,
    Dialect::SambaNova,
    Dialect::Plain,
];

fn headers(lines: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.trim().split_once(": ")) {
        let name: HeaderName = name.parse().expect("a name");
        headers.insert(name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn read(dialect: Dialect, lines: &str) -> Hint {
    hint(&headers(lines), dialect, SEEN)
}

/// Writes a hint as words, a counter as what is left of the limit.
fn words(hint: &Hint) -> String {
    let counters = [
        ("requests", hint.requests),
        ("tokens", hint.tokens),
        ("requests", hint.requests_daily),
        ("tokens", hint.tokens_daily),
        ("input", hint.input),
        ("output", hint.output),
    ];
    let told = counters.into_iter().filter_map(|(name, told)| Some(counter_words(name, &told?)));
    let slices = [("requests", hint.requests_sliced), ("tokens", hint.tokens_sliced)];
    let slices = slices.into_iter().filter_map(|(name, told)| {
        let SliceHint { limit, remaining, per_minute } = told?;
        let left = remaining.map_or("?".to_owned(), |left| left.to_string());
        Some(format!("{name} {left}/{limit} in each of {per_minute} parts"))
    });
    let told = told.chain(slices);
    let took = hint.processing.map(|took| format!("took {took:?}"));
    let wait = hint.retry_after.map(|wait| format!("wait {wait:?}"));
    told.chain(took).chain(wait).collect::<Vec<_>>().join(", ")
}

fn counter_words(name: &str, told: &QuotaHint) -> String {
    let left = told.remaining.map_or("?".to_owned(), |left| left.to_string());
    let rounded = if told.rounded_to > 1 { format!("~{}", told.rounded_to) } else { String::new() };
    let window = match told.window {
        HintWindow::Unsaid => "",
        HintWindow::Minute => " a minute",
        HintWindow::Day => " a day",
    };
    let within = told.reset_within;
    let reset = match told.reset {
        None => String::new(),
        Some(reset) if within.is_zero() => format!(" in {reset:?}"),
        Some(reset) => format!(" in {reset:?}±{within:?}"),
    };
    format!("{name} {left}{rounded}/{}{window}{reset}", told.limit)
}

const OPENAI: &str = "
    x-ratelimit-limit-requests: 5000
    x-ratelimit-remaining-requests: 4999
    x-ratelimit-reset-requests: 12ms
    x-ratelimit-limit-tokens: 160000
    x-ratelimit-remaining-tokens: 159976
    x-ratelimit-reset-tokens: 9ms
    openai-processing-ms: 420";
const AZURE: &str = "
    x-ratelimit-limit-requests: 50
    x-ratelimit-remaining-requests: 45
    x-ratelimit-reset-requests: 10
    x-ratelimit-limit-tokens: 50000
    x-ratelimit-remaining-tokens: 46760
    x-ratelimit-reset-tokens: 4";
const ANTHROPIC: &str = "
    date: Thu, 21 Aug 2025 12:41:00 GMT
    anthropic-ratelimit-requests-limit: 1000
    anthropic-ratelimit-requests-remaining: 999
    anthropic-ratelimit-requests-reset: 2025-08-21T12:40:59Z
    anthropic-ratelimit-tokens-limit: 96000
    anthropic-ratelimit-tokens-remaining: 90000
    anthropic-ratelimit-tokens-reset: 2025-08-21T12:41:05Z
    anthropic-ratelimit-input-tokens-limit: 80000
    anthropic-ratelimit-input-tokens-remaining: 74000
    anthropic-ratelimit-input-tokens-reset: 2025-08-21T12:41:05Z
    anthropic-ratelimit-output-tokens-limit: 16000
    anthropic-ratelimit-output-tokens-remaining: 16000
    anthropic-ratelimit-output-tokens-reset: 2025-08-21T12:41:00Z";
const GROQ: &str = "
    retry-after: 2
    x-ratelimit-limit-requests: 14400
    x-ratelimit-limit-tokens: 18000
    x-ratelimit-remaining-requests: 14370
    x-ratelimit-remaining-tokens: 17997
    x-ratelimit-reset-requests: 2m59.56s
    x-ratelimit-reset-tokens: 7.66s";
const MISTRAL: &str = "
    x-ratelimit-limit-req-minute: 60
    x-ratelimit-limit-tokens-minute: 50000
    x-ratelimit-limit-tokens-month: 4000000
    x-ratelimit-remaining-req-minute: 59
    x-ratelimit-remaining-tokens-minute: 47196
    x-ratelimit-remaining-tokens-month: 3950246
    x-ratelimit-tokens-query-cost: 2804";
const MISTRAL_BY_SIZE: &str = "
    ratelimitbysize-limit: 500000
    ratelimitbysize-remaining: 499900
    ratelimitbysize-reset: 28
    ratelimitbysize-query-cost: 100
    x-ratelimitbysize-limit-minute: 500000
    x-ratelimitbysize-remaining-minute: 499900";
const TOGETHER: &str = "
    x-ratelimit-limit: 10
    x-ratelimit-remaining: 9
    x-ratelimit-reset: 1
    x-tokenlimit-limit: 3000
    x-tokenlimit-remaining: 2890";
const CEREBRAS: &str = "
    x-ratelimit-limit-requests-day: 14400
    x-ratelimit-remaining-requests-day: 14399
    x-ratelimit-reset-requests-day: 33011.382867097855
    x-ratelimit-limit-tokens-minute: 60000
    x-ratelimit-remaining-tokens-minute: 58302
    x-ratelimit-reset-tokens-minute: 11.382";
const SAMBANOVA: &str = "
    x-ratelimit-limit-requests: 60
    x-ratelimit-remaining-requests: 42
    x-ratelimit-reset-requests: 1763812800
    x-ratelimit-limit-requests-day: 12000
    x-ratelimit-remaining-requests-day: 11900";
const PLAIN: &str = "
    x-ratelimit-limit-requests: 60
    x-ratelimit-limit-tokens-prompt: 3600000
    retry-after: 7";

#[test]
fn a_usual_answer_of_each_dialect_is_read_whole() {
    let cases = [
        (
            Dialect::OpenAi,
            OPENAI,
            "requests 4999/5000 in 12ms, tokens 159976/160000 in 9ms, took 420ms",
        ),
        (
            Dialect::Azure,
            AZURE,
            "requests ?/300 a minute, tokens 46760/50000 a minute in 4s±1s, \
                 requests ?/50 in each of 6 parts",
        ),
        (
            Dialect::Anthropic,
            ANTHROPIC,
            "requests 999/1000 a minute in 0ns±2s, input 74000~1000/80000 a minute in 5s±2s, \
                 output 16000~1000/16000 a minute in 0ns±2s",
        ),
        (
            Dialect::Groq,
            GROQ,
            "tokens 17997/18000 a minute in 7.66s±10ms, requests 14370/14400 a day in 179.56s±10ms, wait 2s",
        ),
        (Dialect::Mistral, MISTRAL, "requests 59/60 a minute, tokens 47196/50000 a minute"),
        (Dialect::Mistral, MISTRAL_BY_SIZE, "tokens 499900/500000 a minute"),
        (
            Dialect::Together,
            TOGETHER,
            "requests ?/600 a minute, tokens ?/180000 a minute, \
                 requests 9/10 in each of 60 parts, tokens 2890/3000 in each of 60 parts",
        ),
        (
            Dialect::Cerebras,
            CEREBRAS,
            "tokens 58302/60000 a minute in 11.382s±1s, \
                 requests 14399/14400 a day in 33011.382867097s±1s",
        ),
        (Dialect::SambaNova, SAMBANOVA, "requests 42/60 a minute, requests 11900/12000 a day"),
        (Dialect::Plain, PLAIN, "wait 7s"),
    ];
    for (dialect, lines, expected) in cases {
        assert_eq!(words(&read(dialect, lines)), expected, "{dialect:?}");
    }
}

#[test]
fn where_several_count_the_same_the_tightest_is_told() {
    let both = "x-ratelimit-limit-tokens: 160000
                x-ratelimit-remaining-tokens: 159000
                x-ratelimit-limit-project-tokens: 20000
                x-ratelimit-remaining-project-tokens: 150
                x-ratelimit-reset-project-tokens: 59s";
    assert_eq!(words(&read(Dialect::OpenAi, both)), "tokens 150/20000 in 59s");
}

#[test]
fn a_workspaces_own_limit_is_told_beside_input_and_output() {
    let lines = "anthropic-ratelimit-tokens-limit: 30000
                 anthropic-ratelimit-tokens-remaining: 29000
                 anthropic-ratelimit-input-tokens-limit: 80000
                 anthropic-ratelimit-output-tokens-limit: 16000";
    let expected = "tokens 29000~1000/30000 a minute, input ?~1000/80000 a minute, \
                    output ?~1000/16000 a minute";
    assert_eq!(words(&read(Dialect::Anthropic, lines)), expected);
}

#[test]
fn negative_and_senseless_values_are_left_out() {
    let lines = "x-ratelimit-limit-requests: -1
                 x-ratelimit-remaining-requests: 0
                 x-ratelimit-limit-tokens: 1000
                 x-ratelimit-remaining-tokens: -1
                 x-ratelimit-reset-tokens: soon
                 anthropic-ratelimit-input-tokens-limit: 1000
                 anthropic-ratelimit-input-tokens-remaining: 9000
                 anthropic-ratelimit-input-tokens-reset: 60";
    assert_eq!(words(&read(Dialect::OpenAi, lines)), "tokens ?/1000");
    let azure =
        read(Dialect::Azure, "x-ratelimit-limit-tokens: 0\nx-ratelimit-remaining-tokens: 0");
    assert_eq!(azure, Hint::default());
    assert_eq!(words(&read(Dialect::Anthropic, lines)), "input ?~1000/1000 a minute");
}

#[test]
fn what_is_left_may_be_rounded_above_the_limit() {
    let lines = "anthropic-ratelimit-output-tokens-limit: 16500
                 anthropic-ratelimit-output-tokens-remaining: 17000";
    let words = words(&read(Dialect::Anthropic, lines));
    assert_eq!(words, "output 16500~1000/16500 a minute");
}

#[test]
fn milliseconds_go_before_seconds() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("retry-after: 2\nretry-after-ms: 1500",        Some(1500)),
        ("retry-after: 2",                              Some(2000)),
        ("retry-after: 0.5",                            Some(500)),
        ("retry-after: 2\nretry-after-ms: soon",        Some(2000)),
        ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT",  None),
        ("retry-after: -1",                             None),
    ];
    for (lines, millis) in cases {
        let read = read(Dialect::Azure, lines).retry_after;
        assert_eq!(read, millis.map(Duration::from_millis), "{lines}");
    }
}

#[test]
fn a_clock_that_is_set_wrong_moves_no_reset() {
    #[rustfmt::skip] // One case a line: the machine's clock is ahead by so much; the head's date; the reset read.
    let cases = [
        (0,     Some("Thu, 21 Aug 2025 12:41:00 GMT"), 30),
        (1,     Some("Thu, 21 Aug 2025 12:41:00 GMT"), 29),
        (7_200, Some("Thu, 21 Aug 2025 12:41:00 GMT"), 30),
        (0,     None,                                  30),
        (0,     Some("yesterday"),                     30),
        (100,   None,                                  0),
    ];
    for (ahead, date, seconds) in cases {
        let mut lines = "anthropic-ratelimit-requests-limit: 10
                         anthropic-ratelimit-requests-reset: 2025-08-21T12:41:30Z"
            .to_owned();
        if let Some(date) = date {
            lines = format!("{lines}\ndate: {date}");
        }
        let came = Came { at: DATE_SEEN + Duration::from_secs(ahead), ..SEEN };
        let read = hint(&headers(&lines), Dialect::Anthropic, came).requests.expect("a limit");
        assert_eq!(read.reset, Some(Duration::from_secs(seconds)), "{ahead} s, {date:?}");
    }
}

#[test]
fn a_reset_that_is_a_date_is_counted_from_when_the_request_was_sent() {
    let lines = "anthropic-ratelimit-requests-limit: 10
                 anthropic-ratelimit-requests-reset: 2025-08-21T12:40:50Z";
    let came = Came { after: Duration::from_secs(15), ..SEEN };
    let read = hint(&headers(lines), Dialect::Anthropic, came).requests.expect("a limit");
    assert_eq!(read.reset, Some(Duration::from_secs(5)), "ten seconds before the answer came");
}

proptest! {
    #[test]
    fn no_header_panics_and_no_counter_is_senseless(
        values in proptest::collection::vec("[ -~]{0,24}|-?[0-9]{1,22}|[0-9T:Z.-]{10,24}", 16),
    ) {
        for dialect in ALL {
            let mut headers = HeaderMap::new();
            let names = table(dialect).counters.iter().flat_map(|counter| {
                [Some(counter.limit.as_str()), Some(counter.remaining.as_str()), counter.reset.as_ref().map(HeaderName::as_str)]
            });
            let names = names.flatten().chain(["retry-after", RETRY_AFTER_MS.as_str(), "date", PROCESSING.as_str()]);
            for (name, value) in names.zip(&values) {
                headers.insert(name, value.parse().expect("printable"));
            }
            let hint = hint(&headers, dialect, SEEN);
            let told = [hint.requests, hint.tokens, hint.requests_daily, hint.tokens_daily];
            for told in told.into_iter().chain([hint.input, hint.output]).flatten() {
                prop_assert!(told.limit > 0);
                prop_assert!(told.remaining.is_none_or(|left| left <= told.limit));
            }
        }
    }
}

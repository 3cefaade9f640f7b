//! Log lines: one for each request, and words about what happens to the program.

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::lines::{self, Buffered};
use crate::clock::WallClock;
use crate::config::LogFormat;
use crate::limit::QuotaKind;
use crate::units::{
    AccountName, AppName, Class, KeyLabel, ModelName, PicoUsd, RequestId, TierName, Tokens,
    UpstreamName,
};

/// Starts writing log lines to standard error in `format`.
///
/// `filter` is in the syntax of `RUST_LOG`; what it does not name is logged from `info` on. A second
/// call changes nothing.
pub fn init(format: LogFormat, filter: Option<&str>) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .parse_lossy(filter.unwrap_or_default());
    // Below `info` they write headers, and keys are in them.
    let tellers = ["h2=info", "hyper=info", "hyper_util=info", "rustls=info"];
    let quiet = tellers.iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(Buffered);
    lines::start();
    FORM.get_or_init(|| Form { format, clock: WallClock::from_system() });
    // Fails only where a subscriber is there already, which then goes on.
    let _already = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_target(false).try_init(),
    };
}

/// What is logged of one request, when it is over.
#[derive(Debug, Clone)]
pub struct RequestLine<'a> {
    /// The id under which the client was answered.
    pub id: &'a RequestId,
    /// Who asked.
    pub app: &'a AppName,
    /// How urgent it was.
    pub class: Class,
    /// What was asked for, without the query: keys stand there at some providers.
    pub path: &'a str,
    /// The model; empty for paths that have none.
    pub model: &'a ModelName,
    /// The model that it was sent for, if it was not sent as it would have been.
    pub sent_model: Option<&'a ModelName>,
    /// The status that the client got.
    pub status: u16,
    /// How long it waited in line.
    pub queued: Duration,
    /// The quota that it waited for; `None` if it did not wait.
    pub waited_for: Option<QuotaKind>,
    /// How long it would have waited, where nobody is held.
    pub would_wait: Option<Duration>,
    /// Input tokens.
    pub input: Tokens,
    /// The part of the input that came from the provider's prompt cache.
    pub cached: Tokens,
    /// Output tokens.
    pub output: Tokens,
    /// How input and output are known: as reported (`exact`), counted (`approximate`) or `assumed`.
    pub counted: &'static str,
    /// The model that answered, if it is not the one that was asked for.
    pub served_model: Option<&'a ModelName>,
    /// The service tier in which it was served, if the answer tells.
    pub tier: Option<&'a TierName>,
    /// What it costs; `None` where nobody knows.
    pub cost: Option<PicoUsd>,
    /// The upstream that it was sent to, if it was sent.
    pub upstream: Option<&'a UpstreamName>,
    /// The account that it was sent for.
    pub account: Option<&'a AccountName>,
    /// The label of the key that was used.
    pub key: Option<&'a KeyLabel>,
    /// How it ended, in one word.
    pub ending: &'static str,
    /// Why the provider gave no answer, if that is known.
    pub cause: Option<&'a str>,
    /// From its arrival to its end.
    pub total: Duration,
}

impl RequestLine<'_> {
    /// Writes the line, at level `info`.
    ///
    /// It is put together here and not by `tracing`, whose formatting took a sixth of all CPU; what is
    /// written looks the same, and the filter counts.
    pub fn write(&self) {
        let Some(form) = FORM.get().filter(|_| tracing::enabled!(tracing::Level::INFO)) else {
            return;
        };
        let time = UNIX_EPOCH + form.clock.since_epoch(Instant::now());
        lines::append(&self.in_form(form.format, time));
    }

    fn in_form(&self, format: LogFormat, time: SystemTime) -> Vec<u8> {
        let mut line = Fields::begin(format, time);
        line.text("id", self.id.as_str());
        line.text("app", self.app.as_str());
        line.text("class", self.class.label());
        line.text("path", shortened(self.path));
        line.text("model", self.model.as_str());
        line.text("sent_model", self.sent_model.map_or("", ModelName::as_str));
        line.number("status", self.status.into());
        line.number("queued_ms", millis(self.queued));
        line.text("waited_for", self.waited_for.map_or("", QuotaKind::label));
        if let Some(wait) = self.would_wait {
            line.number("would_wait_ms", millis(wait));
        }
        line.number("input", self.input.count());
        line.number("cached", self.cached.count());
        line.number("output", self.output.count());
        line.text("counted", self.counted);
        line.text("served_model", self.served_model.map_or("", ModelName::as_str));
        line.text("tier", self.tier.map_or("", TierName::as_str));
        match self.cost {
            Some(cost) => line.written("cost_usd", &cost.exact()),
            None => line.text("cost", "unknown"),
        }
        line.text("upstream", self.upstream.map_or("", UpstreamName::as_str));
        line.text("account", self.account.map_or("", AccountName::as_str));
        line.text("key", self.key.map_or("", KeyLabel::as_str));
        line.text("ending", self.ending);
        line.text("cause", self.cause.map_or("", shortened));
        line.number("total_ms", millis(self.total));
        line.end()
    }
}

/// A line that is being written. Texts are a client's words: they are quoted and escaped.
struct Fields {
    format: LogFormat,
    line: Vec<u8>,
}

/// Tells whether a character of a quoted text is written otherwise.
const fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

// Writing to memory cannot fail, nor can writing plain texts as JSON.
impl Fields {
    fn begin(format: LogFormat, time: SystemTime) -> Self {
        let mut line = Vec::with_capacity(384);
        let time = humantime::format_rfc3339_micros(time);
        let _written = match format {
            LogFormat::Text => write!(line, "{time}  INFO request"),
            LogFormat::Json => {
                let begin = r#"{"timestamp":""#;
                write!(line, r#"{begin}{time}","level":"INFO","message":"request""#)
            }
        };
        Self { format, line }
    }

    /// Writes a text, unless it is empty.
    fn text(&mut self, name: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.format {
            LogFormat::Text => {
                self.name(name);
                if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !is_escaped(byte)) {
                    self.line.push(b'"');
                    self.line.extend_from_slice(text.as_bytes());
                    self.line.push(b'"');
                } else {
                    let _written = write!(self.line, "{text:?}");
                }
            }
            LogFormat::Json => {
                self.name(name);
                let _written = serde_json::to_writer(&mut self.line, text);
            }
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        // Writes digits without the machinery of `format!`.
        let _written = serde_json::to_writer(&mut self.line, &number);
    }

    /// Writes the name of what comes next. It is one of ours.
    fn name(&mut self, name: &str) {
        let (before, behind): (&[u8], &[u8]) = match self.format {
            LogFormat::Text => (b" ", b"="),
            LogFormat::Json => (b",\"", b"\":"),
        };
        self.line.extend_from_slice(before);
        self.line.extend_from_slice(name.as_bytes());
        self.line.extend_from_slice(behind);
    }

    /// Writes what is a number as it is written.
    fn written(&mut self, name: &str, number: &str) {
        self.name(name);
        self.line.extend_from_slice(number.as_bytes());
    }

    fn end(mut self) -> Vec<u8> {
        self.line.extend_from_slice(match self.format {
            LogFormat::Text => b"\n",
            LogFormat::Json => b"}\n",
        });
        self.line
    }
}

/// Returns `text` as far as it is worth a line.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text)
}

/// The most of a path, or of a cause, that is logged, in bytes.
const LONGEST: usize = 200;

/// How request lines are written; nothing before [`init`].
static FORM: OnceLock<Form> = OnceLock::new();

struct Form {
    format: LogFormat,
    clock: WallClock,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_clients_words_cannot_forge_a_line() {
        let app = AppName::new("a\n2026-11-22 INFO request \"\u{1b}[31m");
        let (id, model) = (RequestId::new("sg_1"), ModelName::new("m"));
        let path = format!("/v1/{}", "é".repeat(1_000));
        let line = RequestLine {
            id: &id,
            app: &app,
            class: Class::Standard,
            path: &path,
            model: &model,
            sent_model: None,
            status: 200,
            queued: Duration::from_millis(3),
            waited_for: None,
            would_wait: Some(Duration::from_millis(21)),
            input: Tokens::new(4),
            cached: Tokens::new(2),
            output: Tokens::new(5),
            counted: "exact",
            served_model: None,
            tier: Some(&"flex".into()),
            cost: Some(PicoUsd::new(630_000)),
            upstream: None,
            account: None,
            key: None,
            ending: "reported",
            cause: None,
            total: Duration::from_secs(1),
        };
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = String::from_utf8(line.in_form(format, UNIX_EPOCH)).expect("a text");
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
            assert!(text.contains("would_wait_ms") && text.contains("21"), "{text}");
            assert!(text.contains("0.00000063") && text.contains("flex"), "{text}");
            assert!(text.contains("1970-01-01T00:00:00.000000Z"), "{text}");
            assert!(text.len() < 600, "a client makes lines long: {text}");
            for empty in ["account", "key", "waited_for", "cause", "\"\""] {
                assert!(!text.contains(empty), "{empty}: {text}");
            }
            assert!(format == LogFormat::Text || serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}

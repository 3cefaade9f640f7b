//! Log lines: one for each request, and words about what happens to the program.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::lines::{self, Buffered};
use crate::clock::WallClock;
use crate::config::LogFormat;
use crate::limit::QuotaKind;
use crate::units::{AppName, Class, KeyLabel, ModelName, RequestId, Tokens};

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
    /// The model; empty for paths that have none.
    pub model: &'a ModelName,
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
    /// The label of the key that was used; empty if none was.
    pub key: Option<&'a KeyLabel>,
    /// How it ended, in one word.
    pub ending: &'static str,
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
        let line = match form.format {
            LogFormat::Text => self.text(time),
            LogFormat::Json => self.json(time),
        };
        lines::append(&line);
    }

    /// The model and the app are a client's words: they are quoted and escaped.
    fn text(&self, time: SystemTime) -> Vec<u8> {
        let mut line = Vec::with_capacity(320);
        // Writing to memory cannot fail.
        let _written = writeln!(
            line,
            "{}  INFO request id={:?} app={:?} class={:?} model={:?} status={} queued_ms={} \
             waited_for={:?} {}input={} cached={} output={} key={:?} ending={:?} total_ms={}",
            humantime::format_rfc3339_micros(time),
            self.id.as_str(),
            self.app.as_str(),
            self.class.label(),
            self.model.as_str(),
            self.status,
            millis(self.queued),
            self.waited_for.map_or("", QuotaKind::label),
            WouldWait(self.would_wait),
            self.input,
            self.cached,
            self.output,
            self.key.map_or("", KeyLabel::as_str),
            self.ending,
            millis(self.total),
        );
        line
    }

    fn json(&self, time: SystemTime) -> Vec<u8> {
        let fields = JsonLine {
            timestamp: humantime::format_rfc3339_micros(time).to_string(),
            level: "INFO",
            message: "request",
            id: self.id.as_str(),
            app: self.app.as_str(),
            class: self.class.label(),
            model: self.model.as_str(),
            status: self.status,
            queued_ms: millis(self.queued),
            waited_for: self.waited_for.map_or("", QuotaKind::label),
            would_wait_ms: self.would_wait.map(millis),
            input: self.input.count(),
            cached: self.cached.count(),
            output: self.output.count(),
            key: self.key.map_or("", KeyLabel::as_str),
            ending: self.ending,
            total_ms: millis(self.total),
        };
        // Plain texts and numbers cannot fail to be written.
        let mut line = serde_json::to_vec(&fields).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// How request lines are written; nothing before [`init`].
static FORM: OnceLock<Form> = OnceLock::new();

struct Form {
    format: LogFormat,
    clock: WallClock,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    timestamp: String,
    level: &'static str,
    message: &'static str,
    id: &'a str,
    app: &'a str,
    class: &'static str,
    model: &'a str,
    status: u16,
    queued_ms: u64,
    waited_for: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_wait_ms: Option<u64>,
    input: u64,
    cached: u64,
    output: u64,
    key: &'a str,
    ending: &'static str,
    total_ms: u64,
}

/// Writes its field only where there is something to tell.
struct WouldWait(Option<Duration>);

impl fmt::Display for WouldWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |wait| write!(f, "would_wait_ms={} ", millis(wait)))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_words_cannot_forge_a_line() {
        let app = AppName::new("a\n2026-11-22 INFO request \"\u{1b}[31m");
        let (id, model) = (RequestId::new("sg_1"), ModelName::new("m"));
        let line = RequestLine {
            id: &id,
            app: &app,
            class: Class::Standard,
            model: &model,
            status: 200,
            queued: Duration::from_millis(3),
            waited_for: None,
            would_wait: Some(Duration::from_millis(21)),
            input: Tokens::new(4),
            cached: Tokens::new(2),
            output: Tokens::new(5),
            key: None,
            ending: "reported",
            total: Duration::from_secs(1),
        };
        for bytes in [line.text(UNIX_EPOCH), line.json(UNIX_EPOCH)] {
            let text = String::from_utf8(bytes).expect("a text");
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
            assert!(text.contains("would_wait_ms") && text.contains("21"), "{text}");
            assert!(text.contains("1970-01-01T00:00:00.000000Z"), "{text}");
        }
    }
}

//! Log lines: one for each request, and words about what happens to the program.

use std::io::IsTerminal as _;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::lines::{self, Buffered};
use crate::config::LogFormat;
use crate::limit::QuotaKind;
use crate::units::{AppName, KeyLabel, ModelName, RequestId, Tokens};

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
    /// The model; empty for paths that have none.
    pub model: &'a ModelName,
    /// The status that the client got.
    pub status: u16,
    /// How long it waited in line.
    pub queued: Duration,
    /// The quota that it waited for; `None` if it did not wait.
    pub waited_for: Option<QuotaKind>,
    /// Input tokens, and whether they are the provider's number.
    pub input: Tokens,
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
    pub fn write(&self) {
        // The model and the app are a client's words: as values they are quoted and escaped.
        tracing::info!(
            id = self.id.as_str(),
            app = self.app.as_str(),
            model = self.model.as_str(),
            status = self.status,
            queued_ms = millis(self.queued),
            waited_for = self.waited_for.map_or("", QuotaKind::label),
            input = self.input.count(),
            output = self.output.count(),
            key = self.key.map_or("", KeyLabel::as_str),
            ending = self.ending,
            total_ms = millis(self.total),
            "request"
        );
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

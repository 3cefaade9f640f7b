//! How an entry is written down: the columns, and the values of one row.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::entry::{Closing, Opening};
use crate::clock::WallClock;
use crate::units::{Name, Served, Tokens};

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Number(Option<i64>),
    Text(Option<Arc<str>>),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
}

use Kind::{Number, Text};

/// The columns of `facets`.
#[rustfmt::skip] // One line for what belongs together.
pub(super) const FACET: [(&str, Kind); 12] = [
    ("id", Number),
    ("app", Text), ("class", Text), ("labels", Text),
    ("upstream", Text), ("account", Text), ("account_key", Text), ("endpoint", Text),
    ("model", Text), ("sent_model", Text), ("served_model", Text), ("tier", Text),
];

/// The columns of `entries`. Those behind the first [`FIXED`] change when it is booked.
#[rustfmt::skip] // One line for what belongs together.
pub(super) const ENTRY: [(&str, Kind); 35] = [
    ("run", Number), ("seq", Number), ("request", Text), ("attempt", Number),
    ("sent_ms", Number), ("queued_ms", Number), ("waited_for", Text),
    ("est_input", Number), ("est_output", Number), ("est_method", Text),
    ("facet", Number), ("provider_id", Text),
    ("booked_ms", Number), ("first_ms", Number), ("total_ms", Number),
    ("status", Number), ("ending", Text), ("method", Text),
    ("input", Number), ("cached", Number), ("cache_write", Number), ("output", Number), ("reasoning", Number),
    ("input_audio", Number), ("input_image", Number), ("output_audio", Number), ("output_image", Number),
    ("cached_audio", Number), ("cached_image", Number), ("cache_write_long", Number),
    ("heard_ms", Number), ("spoken", Number), ("images", Number), ("searches", Number), ("cost_pico", Number),
];

/// So many columns of `entries` are as they were when it was sent.
pub(super) const FIXED: usize = 10;

/// One entry as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The values of [`FACET`].
    pub(super) facet: Vec<Value>,
    /// The values of [`ENTRY`].
    pub(super) entry: Vec<Value>,
}

impl Row {
    /// Writes down what is known of the attempt `seq` of `run`; the dates are `clock`'s.
    pub(super) fn new(
        (run, seq): (i64, i64),
        opening: &Opening,
        closing: Option<&Closing>,
        clock: WallClock,
    ) -> Self {
        let facet = facet(opening, closing.map(|closing| &closing.served));
        let id = facet.first().cloned().unwrap_or(Value::Number(None));
        let date = |at| millis(clock.since_epoch(at));
        let demand = &opening.demand;
        let mut entry = Vec::with_capacity(ENTRY.len());
        entry.extend([
            number(run),
            number(seq),
            text(opening.request.as_str()),
            number(i64::from(opening.attempt)),
            number(date(opening.sent)),
            number(millis(opening.queued)),
            Value::Text(opening.waited_for.map(|quota| quota.label().into())),
            tokens(demand.input),
            Value::Number(demand.output_bound.map(|bound| count(bound.count()))),
            text(demand.method.label()),
            id,
        ]);
        match closing {
            Some(closing) => entry.extend(booked(opening, closing, date)),
            None => entry.extend(OPEN.map(|kind| match kind {
                None => Value::Text(None),
                Some(value) => Value::Number(value),
            })),
        }
        Self { facet, entry }
    }

    /// Returns the hash that names its facet.
    pub(super) fn facet_id(&self) -> i64 {
        self.facet.first().and_then(Value::as_number).unwrap_or_default()
    }

    /// Returns what no other entry has: its run and its number there.
    pub(super) fn key(&self) -> (Option<i64>, Option<i64>) {
        let at = |at: usize| self.entry.get(at).and_then(Value::as_number);
        (at(0), at(1))
    }

    /// Tells whether it is over.
    pub(super) fn is_booked(&self) -> bool {
        self.entry.get(BOOKED).and_then(Value::as_number).is_some()
    }
}

/// Where `booked_ms` stands.
const BOOKED: usize = FIXED + 2;

/// What stands in the columns from `provider_id` on until it is booked: texts are null.
const OPEN: [Option<Option<i64>>; 24] = {
    let mut open = [Some(Some(0)); 24];
    // provider_id, ending, method
    (open[0], open[5], open[6]) = (None, None, None);
    // booked_ms, first_ms, total_ms, status, cost_pico
    (open[1], open[2], open[3]) = (Some(None), Some(None), Some(None));
    (open[4], open[23]) = (Some(None), Some(None));
    open
};

impl Value {
    /// Returns the number, if it is one.
    pub(super) fn as_number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => *number,
            Self::Text(_) => None,
        }
    }

    /// Returns the text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_deref(),
            Self::Number(_) => None,
        }
    }
}

fn booked(opening: &Opening, closing: &Closing, date: impl Fn(Instant) -> i64) -> [Value; 24] {
    let usage = &closing.usage;
    let id = closing.provider_id.as_ref().and_then(|id| id.to_str().ok());
    let since = |at: Instant, from| millis(at.saturating_duration_since(from));
    [
        id.map_or(Value::Text(None), text),
        number(date(closing.at)),
        Value::Number(closing.head_at.map(|at| since(at, opening.sent))),
        number(since(closing.at, opening.arrived)),
        number(i64::from(closing.status)),
        text(closing.fate.label()),
        text(closing.method.label()),
        tokens(usage.input),
        tokens(usage.cached),
        tokens(usage.cache_write),
        tokens(usage.output),
        tokens(usage.reasoning),
        tokens(usage.input_audio),
        tokens(usage.input_image),
        tokens(usage.output_audio),
        tokens(usage.output_image),
        tokens(usage.cached_audio),
        tokens(usage.cached_image),
        tokens(usage.cache_write_long),
        number(millis(usage.heard)),
        number(count(usage.spoken)),
        number(count(usage.images)),
        number(count(usage.searches)),
        Value::Number(closing.cost.map(|cost| count(cost.pico()))),
    ]
}

/// Stands between the labels of an app, which are printable.
pub(super) const LABEL_BREAK: char = '\n';

/// Returns all labels of an app in one text; null where it has none.
fn labels(labels: &[Arc<str>]) -> Value {
    let joined = labels.join(LABEL_BREAK.encode_utf8(&mut [0; 4]));
    Value::Text((!joined.is_empty()).then(|| joined.into()))
}

/// Returns the values of the attempt's facet.
fn facet(opening: &Opening, served: Option<&Served>) -> Vec<Value> {
    fn known<K>(name: Option<&Name<K>>) -> Value {
        text(name.map_or("", Name::as_str))
    }
    let values = [
        text(opening.party.app.as_str()),
        text(opening.party.class.label()),
        labels(&opening.party.labels),
        known(opening.upstream.as_ref()),
        known(opening.account.as_ref()),
        known(opening.key.as_ref()),
        text(place(opening.uri.path())),
        text(opening.model.as_str()),
        text(opening.sent_model.as_str()),
        served
            .and_then(|served| served.model.as_ref())
            .map_or(Value::Text(None), |it| text(it.as_str())),
        served
            .and_then(|served| served.tier.as_ref())
            .map_or(Value::Text(None), |it| text(it.as_str())),
    ];
    let mut whole = String::with_capacity(128);
    for value in &values {
        whole.push_str(value.as_text().unwrap_or("\u{1}"));
        whole.push('\n');
    }
    // The highest bit is left out: numbers of databases have a sign.
    let id = i64::try_from(xxh3_64(whole.as_bytes()) >> 1).unwrap_or_default();
    std::iter::once(number(id)).chain(values).collect()
}

/// Returns the front of a path that names an endpoint and no object.
fn place(path: &str) -> &str {
    let names_endpoint = |part: &str| {
        part.len() <= 24 && part.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-'))
    };
    let path = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let mut end = 0;
    for part in path.split('/').skip(1).take(3).take_while(|part| names_endpoint(part)) {
        end += 1 + part.len();
    }
    path.get(..end).filter(|front| !front.is_empty()).unwrap_or("/")
}

fn number(number: i64) -> Value {
    Value::Number(Some(number))
}

fn tokens(tokens: Tokens) -> Value {
    number(count(tokens.count()))
}

/// Makes a value of a text, of which no more is kept than has room.
fn text(text: &str) -> Value {
    let end = text.floor_char_boundary(MOST_OF_A_TEXT);
    // No database takes a zero byte.
    let kept = text.get(..end).unwrap_or_default();
    Value::Text(Some(if kept.contains('\0') {
        kept.replace('\0', " ").into()
    } else {
        kept.into()
    }))
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns a time as it is written down.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Names come from clients: so many bytes of one are kept.
const MOST_OF_A_TEXT: usize = 160;

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_path_is_written_without_the_objects_that_it_names() {
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("/v1/chat/completions",                      "/chat/completions"),
            ("/v1/files/file-abc123/content",             "/files"),
            ("/openai/deployments/my-gpt-4o/embeddings",  "/openai/deployments"),
            ("/v1",                                       "/"),
            ("/",                                         "/"),
            ("",                                          "/"),
            ("/v1/responses/resp_67/cancel",              "/responses"),
            ("/v1beta/models",                            "/"),
        ];
        for (path, front) in cases {
            assert_eq!(place(path), front, "{path}");
        }
    }
}

//! What an entry is in the database: the columns, and the values of one row.

use std::sync::Arc;
use std::time::Duration;

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

/// The columns of `entries`. Those behind the first [`FIXED`] change when it is booked. New ones come last: what lies
/// beside the store since an earlier version has fewer.
#[rustfmt::skip] // One line for what belongs together.
pub(super) const ENTRY: [(&str, Kind); 36] = [
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
    ("chosen", Text),
];

/// So many columns of `entries` are as they were when it was sent.
pub(super) const FIXED: usize = 10;

/// One entry as it is written. Cloning it shares its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// What it has in common with many.
    pub(super) facet: Arc<Common>,
    /// The values of [`ENTRY`].
    pub(super) entry: Arc<[Value]>,
}

/// The values of [`FACET`], and as what they are written down.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Common {
    values: Vec<Value>,
    json: Vec<u8>,
}

impl Common {
    /// Writes `values` down, once for all rows that have them in common.
    pub(super) fn new(values: Vec<Value>) -> Self {
        let mut json = Vec::new();
        write_list(&values, &mut json);
        Self { values, json }
    }

    /// Returns the values of [`FACET`].
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Returns them as a list in JSON.
    pub(super) fn json(&self) -> &[u8] {
        &self.json
    }
}

/// Writes `values` as a list in JSON. Most of them are zeros and nulls.
pub(super) fn write_list(values: &[Value], text: &mut Vec<u8>) {
    text.push(b'[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        match value {
            Value::Number(Some(number)) => {
                text.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            }
            Value::Text(Some(words)) => {
                // Texts can always be written.
                let _written = serde_json::to_writer(&mut *text, &**words);
            }
            Value::Number(None) | Value::Text(None) => text.extend_from_slice(b"null"),
        }
    }
    text.push(b']');
}

impl Row {
    /// Returns the hash that names its facet.
    pub(super) fn facet_id(&self) -> i64 {
        self.facet.values().first().and_then(Value::as_number).unwrap_or_default()
    }

    /// Returns what no other entry has: its run and its number there.
    pub(super) fn key(&self) -> (Option<i64>, Option<i64>) {
        let at = |at: usize| self.entry.get(at).and_then(Value::as_number);
        (at(0), at(1))
    }

    /// Returns what it adds to the sums; `None` while it is open.
    pub(super) fn booking(&self) -> Option<Summand> {
        let number = |at: usize| self.entry.get(at).and_then(Value::as_number);
        let mut used = [0; USED];
        for (place, value) in used.iter_mut().zip(self.entry.iter().skip(FIRST_USED)) {
            *place = value.as_number().unwrap_or_default();
        }
        let Value::Text(ending) = self.entry.get(ENDING)? else { return None };
        Some(Summand {
            at_ms: number(BOOKED)?,
            facet: self.facet_id(),
            ending: ending.clone().unwrap_or_default(),
            attempt: number(ATTEMPT).unwrap_or_default(),
            used,
            cost: number(FIRST_USED + USED),
        })
    }

    /// Tells whether it is over.
    pub(super) fn is_booked(&self) -> bool {
        self.entry.get(BOOKED).and_then(Value::as_number).is_some()
    }
}

/// What a booked entry adds to the sums of its hour and its day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summand {
    /// When it was booked, in milliseconds since 1970-01-01 UTC.
    pub(super) at_ms: i64,
    pub(super) facet: i64,
    pub(super) ending: Arc<str>,
    /// Which try of its request it was.
    pub(super) attempt: i64,
    /// The columns from `input` to `searches`.
    pub(super) used: [i64; USED],
    /// What it cost, in pico-dollars, where that is known.
    pub(super) cost: Option<i64>,
}

/// So many columns, from `input` to `searches`, tell what was used; behind them stands the cost.
pub(super) const USED: usize = 16;
/// Where `attempt`, `booked_ms`, `ending` and `input` stand.
const ATTEMPT: usize = 3;
const BOOKED: usize = FIXED + 2;
const ENDING: usize = FIXED + 6;
const FIRST_USED: usize = FIXED + 8;

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

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.into()))
    }
}

/// Stands between the labels of an app, which are printable.
pub(super) const LABEL_BREAK: char = '\n';

/// Returns a time as it is written down.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

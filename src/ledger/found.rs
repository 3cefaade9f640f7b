//! The entries of one request, as they stand in the store and beside it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::fault::StoreError;
use super::row::{Value, millis};
use super::usage::Reading;
use crate::report::{Booking, Entry, Range};
use crate::units::{PicoUsd, Tokens, Usage};

impl Reading {
    /// Returns the tries of the request that has this id, ours or the provider's, in order; none if nobody
    /// knows it. Only what is booked in `range`, and what is under way, is looked at, entry by entry.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the store cannot be read.
    pub async fn entries(&mut self, id: &str, range: Range) -> Result<Vec<Entry>, StoreError> {
        let mut rows = self.found(id, range).await?;
        let request = rows.first().and_then(|row| row.first()).and_then(Value::as_text);
        if let Some(request) = request.filter(|request| *request != id).map(Arc::<str>::from) {
            // It was the provider's id of one try.
            rows = self.found(&request, range).await?;
        }
        let mut entries = Vec::new();
        for row in rows {
            let facet = row.get(FACET).and_then(Value::as_number).unwrap_or_default();
            let facet = self.facet(facet).await?;
            entries.push(Entry { facet, ..entry(&row) });
        }
        Ok(entries)
    }

    async fn found(&mut self, id: &str, range: Range) -> Result<Vec<Vec<Value>>, StoreError> {
        let ends = [id.into(), millis(range.begin).into(), millis(range.end).into()];
        let mut rows = self.fetch(&FOUND, ends).await?;
        let beside = self.entries_beside(id, range, &COLUMNS);
        // There it is as it was sent, at most.
        let key = |row: &Vec<Value>| row.get(KEY..).map(<[Value]>::to_vec);
        rows.retain(|row| beside.iter().all(|other| key(other) != key(row)));
        rows.extend(beside);
        rows.sort_by_key(|row| [2, 4].map(|at: usize| row.get(at).and_then(Value::as_number)));
        Ok(rows)
    }
}

/// Returns an entry without its facet.
fn entry(row: &[Value]) -> Entry {
    let number = |at: usize| row.get(at).and_then(Value::as_number);
    let count = |at: usize| number(at).and_then(|it| u64::try_from(it).ok()).unwrap_or_default();
    let text = |at: usize| row.get(at).and_then(Value::as_text).map(Arc::<str>::from);
    let time = |at: usize| Duration::from_millis(count(at));
    let tokens = |at: usize| Tokens::new(count(at));
    let booking = number(10).map(|_| Booking {
        at: time(10),
        first: number(11).map(|_| time(11)),
        total: number(12).map(|_| time(12)),
        status: count(13),
        ending: text(14).unwrap_or_default(),
        method: text(15).unwrap_or_default(),
        cost: number(16).map(|_| PicoUsd::new(count(16))),
        usage: Usage {
            input: tokens(17),
            cached: tokens(18),
            cache_write: tokens(19),
            output: tokens(20),
            reasoning: tokens(21),
            input_audio: tokens(22),
            input_image: tokens(23),
            output_audio: tokens(24),
            output_image: tokens(25),
            cached_audio: tokens(26),
            cached_image: tokens(27),
            cache_write_long: tokens(28),
            heard: time(29),
            spoken: count(30),
            images: count(31),
            searches: count(32),
        },
    });
    Entry {
        request: text(0).unwrap_or_default(),
        attempt: count(2),
        provider_id: text(3),
        facet: Arc::default(),
        sent: time(4),
        queued: time(5),
        waited_for: text(6),
        est_input: count(7),
        est_output: number(8).map(|_| count(8)),
        est_method: text(9).unwrap_or_default(),
        chosen: text(33).and_then(|words| words.parse().ok()),
        booking,
    }
}

/// What is found of an entry, its key last.
#[rustfmt::skip] // One line for what belongs together.
const COLUMNS: [&str; 36] = [
    "request", "facet", "attempt", "provider_id", "sent_ms", "queued_ms", "waited_for",
    "est_input", "est_output", "est_method",
    "booked_ms", "first_ms", "total_ms", "status", "ending", "method", "cost_pico",
    "input", "cached", "cache_write", "output", "reasoning", "input_audio", "input_image", "output_audio",
    "output_image", "cached_audio", "cached_image", "cache_write_long", "heard_ms", "spoken", "images", "searches",
    "chosen", "run", "seq",
];
/// Where the facet stands in what is found, and where its key begins.
const FACET: usize = 1;
const KEY: usize = 34;

static FOUND: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM entries WHERE (request = $1 OR provider_id = $1) \
         AND (booked_ms IS NULL OR (booked_ms >= $2 AND booked_ms < $3)) ORDER BY attempt, sent_ms, seq",
        COLUMNS.join(", ")
    )
});

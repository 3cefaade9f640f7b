//! What is booked beside the store and not in it yet, for who only reads.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::fault::StoreError;
use super::reread::Looked;
use super::row::{ENTRY, Row, Value, millis};
use super::store::Store;
use super::usage::{MICRO, Reading, facet};
use crate::report::Range;

impl Reading {
    /// Begins to read `store` as it is now, with what lies beside it in `folder` and is not in it yet.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the store cannot be read. What cannot be read beside it is
    /// [told](Self::unread).
    pub async fn whole(store: Store, folder: &Path) -> Result<Self, StoreError> {
        let path = folder.to_owned();
        // First the files, then the store: what is stored in between is in both, and what is gone from there is here.
        let looked = tokio::task::spawn_blocking(move || Looked::at(&path)).await;
        let Looked { mut rows, doubtful, damaged, unread } = looked.unwrap_or_default();
        if !doubtful.is_empty() {
            // Of other runs it may have been stored, and deleted since.
            let open = store.open_runs().await?;
            let is_open = |row: &Row| row.key().0.is_some_and(|run| open.contains(&run));
            rows.extend(doubtful.into_iter().filter(is_open));
        }
        let mut reading = Self::of(store.clone());
        (reading.damaged, reading.unread) = (damaged, unread);
        reading.snapshot = Some(store.snapshot().await?);
        reading.beside = reading.not_stored(rows).await?;
        for row in &reading.beside {
            let id = row.facet_id();
            reading.facets.entry(id).or_insert_with(|| Arc::new(facet(row.facet.values())));
        }
        Ok(reading)
    }

    /// Returns the files beside the store that cannot be read, and why: what they hold is not counted.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// Returns those of `rows` that the store has not, or has only as they were sent.
    async fn not_stored(&mut self, rows: Vec<Row>) -> Result<Vec<Row>, StoreError> {
        let mut whole: HashMap<_, Row> = HashMap::new();
        for row in rows {
            let known = whole.entry(row.key()).or_insert_with(|| row.clone());
            if !known.is_booked() {
                *known = row;
            }
        }
        let mut keys: Vec<_> = whole.keys().filter_map(|(run, seq)| (*run).zip(*seq)).collect();
        keys.sort_unstable();
        for some in keys.chunk_by(|one, other| one.0 == other.0).flat_map(|run| run.chunks(256)) {
            let (Some(first), Some(last)) = (some.first(), some.last()) else { continue };
            let sql = "SELECT run, seq, booked_ms FROM entries WHERE run = $1 AND seq >= $2 AND seq <= $3";
            let ends = [first.0.into(), first.1.into(), last.1.into()];
            for stored in self.fetch(sql, ends).await? {
                let number = |at: usize| stored.get(at).and_then(Value::as_number);
                let key = (number(0), number(1));
                if number(2).is_some() || whole.get(&key).is_some_and(|row| !row.is_booked()) {
                    whole.remove(&key);
                }
            }
        }
        Ok(whole.into_values().collect())
    }

    /// Returns what is booked beside the store in `range`, as [sums](super::usage) of entries are found there.
    pub(super) fn sums_beside(&self, range: Range) -> Vec<Vec<Value>> {
        let (begin, end) = (millis(range.begin), millis(range.end));
        let booked = self.beside.iter().filter_map(Row::booking);
        let within = booked.filter(|booked| (begin..end).contains(&booked.at_ms));
        within
            .map(|booked| {
                let [input, _, _, output, ..] = booked.used;
                let (cost, unknown) = (booked.cost.unwrap_or_default(), booked.cost.is_none());
                let micro = i64::try_from(MICRO).unwrap_or(i64::MAX);
                let head = [1, i64::from(booked.attempt == 1)].into_iter().chain(booked.used);
                let tail = [cost / micro, cost % micro, i64::from(unknown)];
                let unpriced = if unknown { input.saturating_add(output) } else { 0 };
                let key = [booked.facet.into(), Value::Text(Some(booked.ending))];
                key.into_iter().chain(head.chain(tail).chain([unpriced]).map(Value::from)).collect()
            })
            .collect()
    }

    /// Returns the first moment at which something is booked beside the store, and the last.
    pub(super) fn extent_beside(&self) -> Option<(Duration, Duration)> {
        let at = || self.beside.iter().filter_map(Row::booking).map(|booked| booked.at_ms);
        let moment = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        at().min().zip(at().max()).map(|(first, last)| (moment(first), moment(last)))
    }

    /// Returns the entries of a request that lie beside the store, booked in `range` or under way, by these columns.
    pub(super) fn entries_beside(
        &self,
        id: &str,
        range: Range,
        columns: &[&str],
    ) -> Vec<Vec<Value>> {
        let places: Vec<_> = columns
            .iter()
            .map(|column| ENTRY.iter().position(|(name, _)| name == column))
            .collect();
        let text = |row: &Row, name: &str| {
            let place = ENTRY.iter().position(|(column, _)| *column == name);
            place.and_then(|at| row.entry.get(at)).and_then(Value::as_text) == Some(id)
        };
        let (begin, end) = (millis(range.begin), millis(range.end));
        let is_asked_for = |row: &&Row| {
            let at = row.booking().map(|booked| booked.at_ms);
            at.is_none_or(|at| (begin..end).contains(&at))
                && (text(row, "request") || text(row, "provider_id"))
        };
        let value = |row: &Row, place: &Option<usize>| {
            place.and_then(|at| row.entry.get(at)).cloned().unwrap_or(Value::Number(None))
        };
        let found = self.beside.iter().filter(is_asked_for);
        found.map(|row| places.iter().map(|place| value(row, place)).collect()).collect()
    }
}

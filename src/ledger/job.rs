//! What the store is to do in one go.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio::time::Instant;

use super::base::Base;
use super::fault::StoreError;
use super::row::Row;
use super::spill::Record;
use crate::clock::WallClock;

/// What the store is to do, in one go.
#[derive(Debug)]
pub(super) struct Job {
    /// No two of them are of one entry.
    rows: Vec<Row>,
    /// Runs that are over: what they left open is lost.
    over: Vec<i64>,
    /// How many answers went out that are booked nowhere.
    pub(super) unbooked: u64,
}

impl Job {
    /// Of an entry that is there as it was sent and as it was booked, the latter is written.
    pub(super) fn new(rows: impl Iterator<Item = Row>, over: Vec<i64>) -> Self {
        let mut whole: HashMap<_, Row> = HashMap::new();
        for row in rows {
            match whole.entry(row.key()) {
                Entry::Vacant(free) => drop(free.insert(row)),
                Entry::Occupied(mut known) if !known.get().is_booked() => drop(known.insert(row)),
                Entry::Occupied(_) => {}
            }
        }
        Self { rows: whole.into_values().collect(), over, unbooked: 0 }
    }

    /// What was read beside the store is to be done.
    pub(super) fn of(records: Vec<Record>) -> Self {
        let (mut rows, mut over) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Entry(row) => rows.push(row),
                // Runs that are over came before this one: theirs are read by then.
                Record::Over(run) => over.push(run),
            }
        }
        Self::new(rows.into_iter(), over)
    }

    /// Returns the runs that are over.
    pub(super) fn over(&self) -> &[i64] {
        &self.over
    }

    /// Lets `base` do it.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; doing it again is right then.
    pub(super) async fn write_into(self, base: &mut Base) -> Result<(), StoreError> {
        if !self.rows.is_empty() {
            base.write(&self.rows).await?;
        }
        for run in self.over {
            base.book_lost(run).await?;
        }
        if self.unbooked > 0 {
            let now = WallClock::from_system().since_epoch(Instant::now());
            // The last step: it would count twice if it were done again.
            base.note_unbooked(now, self.unbooked).await?;
        }
        Ok(())
    }
}

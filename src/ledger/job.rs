//! What the store is to do in one go.

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
        let mut rows: Vec<Row> = rows.collect();
        // They come almost in order, in which the store takes them best, too.
        rows.sort_by_key(Row::key);
        rows.dedup_by(|later, kept| {
            let is_same = later.key() == kept.key();
            if is_same && !kept.is_booked() {
                std::mem::swap(later, kept);
            }
            is_same
        });
        Self { rows, over, unbooked: 0 }
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

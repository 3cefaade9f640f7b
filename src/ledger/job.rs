//! What the store is to do in one go.

use tokio::time::Instant;

use super::base::{Base, Missing, Sum};
use super::fault::StoreError;
use super::reread::Read;
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
    /// What is missing in the books, and is to be noted there.
    pub(super) missing: Missing,
}

/// What became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// What was booked as it was written down.
    pub(super) booked: Sum,
    /// What was booked as lost.
    pub(super) lost: Sum,
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
        Self { rows, over, missing: Missing::default() }
    }

    /// What was read beside the store is to be done.
    pub(super) fn of(read: Read) -> Self {
        let (mut rows, mut over) = (Vec::new(), Vec::new());
        for record in read.records {
            match record {
                Record::Entry(row) => rows.push(row),
                // Runs that are over came before this one: theirs are read by then.
                Record::Over(run) => over.push(run),
            }
        }
        let missing = Missing { damaged_bytes: read.damaged, ..Missing::default() };
        Self { missing, ..Self::new(rows.into_iter(), over) }
    }

    /// Ends that run as well, if there is one.
    pub(super) fn end(&mut self, run: Option<i64>) {
        self.over.extend(run);
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
    pub(super) async fn write_into(self, base: &mut Base) -> Result<Done, StoreError> {
        let mut done = Done::default();
        if !self.rows.is_empty() {
            done.booked = base.write(&self.rows).await?;
        }
        for run in self.over {
            done.lost.add(base.book_lost(run).await?);
        }
        if self.missing != Missing::default() {
            let now = WallClock::from_system().since_epoch(Instant::now());
            // The last step: it would count twice if it were done again.
            base.note_missing(now, self.missing).await?;
        }
        Ok(done)
    }
}

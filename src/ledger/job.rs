//! A piece of work for the store.

use super::base::Base;
use super::row::Row;
use super::store::StoreError;

/// What the store is to do, in one go.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) rows: Vec<Row>,
    /// Runs that are over: what they left open is lost.
    pub(super) over: Vec<i64>,
}

impl Job {
    /// Has it done.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; then it is to be done again.
    pub(super) async fn write_into(self, base: &mut Base) -> Result<(), StoreError> {
        if !self.rows.is_empty() {
            base.write(&self.rows).await?;
        }
        for run in self.over {
            base.book_lost(run).await?;
        }
        Ok(())
    }
}

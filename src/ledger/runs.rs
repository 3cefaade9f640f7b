//! Runs of which a copy of an entry may still lie beside the store, and the end of old entries: one of which a copy
//! comes later would count once more, so it is kept until then.

use std::collections::HashSet;
use std::time::Duration;

use super::desk::Ledger;
use super::fault::StoreError;
use super::link::Statement;
use super::row::{Value, millis};
use super::store::Store;

impl Store {
    /// Notes that the run of `ledger` has begun by `now` (time since 1970-01-01 UTC), so that no other deletes an entry
    /// of which it has a copy.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is noted then.
    pub async fn begin_run(&self, ledger: &Ledger, now: Duration) -> Result<(), StoreError> {
        let Some(run) = ledger.run() else { return Ok(()) };
        let sql =
            "INSERT INTO open_runs (run, begun_ms) VALUES ($1, $2) ON CONFLICT (run) DO NOTHING";
        self.write(vec![Statement::new(sql, [run.into(), millis(now).into()])]).await.map(drop)
    }

    /// Returns the runs of which copies may lie beside the store: none of their entries is deleted yet.
    pub(super) async fn open_runs(&self) -> Result<HashSet<i64>, StoreError> {
        let rows = self.fetch("SELECT run FROM open_runs", []).await?;
        Ok(rows.iter().filter_map(|row| row.first()?.as_number()).collect())
    }

    /// Notes that these runs are over and that all their copies are stored.
    pub(super) async fn end_runs(&self, runs: &[i64]) -> Result<(), StoreError> {
        let end =
            |run: &i64| Statement::new("DELETE FROM open_runs WHERE run = $1", [(*run).into()]);
        self.write(runs.iter().map(end).collect()).await.map(drop)
    }

    /// Deletes at most `most` entries that were booked before `before` (time since 1970-01-01 UTC), the oldest
    /// first, and returns how many that were. What they came to stays in the sums of their hours and days.
    ///
    /// Those of other runs than that of `ledger` that may have copies beside the store stay; for a run whose file does
    /// not come back that is 30 days.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; what is deleted then is not told.
    pub async fn forget_entries(
        &self,
        before: Duration,
        most: u32,
        ledger: &Ledger,
    ) -> Result<u64, StoreError> {
        // Of its own the store has had all that is so old.
        let own = ledger.run().unwrap_or(NO_RUN);
        let given_up = millis(before.saturating_sub(COMES_BACK));
        let old = "DELETE FROM open_runs WHERE begun_ms < $1 AND run <> $2";
        self.write(vec![Statement::new(old, [given_up.into(), own.into()])]).await?;
        let sql = "DELETE FROM entries WHERE (run, seq) IN (SELECT run, seq FROM entries WHERE booked_ms < $1 \
                   AND run NOT IN (SELECT run FROM open_runs WHERE run <> $3) ORDER BY booked_ms LIMIT $2)";
        let values: [Value; 3] = [millis(before).into(), i64::from(most).into(), own.into()];
        self.write(vec![Statement::new(sql, values)]).await
    }
}

/// No run has this number: theirs are not negative.
const NO_RUN: i64 = -1;
/// So much longer than others are the entries kept of a run whose file beside the store did not come back.
const COMES_BACK: Duration = Duration::from_secs(30 * 86_400);

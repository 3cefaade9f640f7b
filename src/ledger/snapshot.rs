//! One view of the database for several questions: what is changed in between is not seen.

use super::fault::StoreError;
use super::link::{Lent, Rows, Statement};
use super::row::Value;
use super::store::Store;

/// A view of the database as it was with the first question. Dropping it closes its connection.
#[derive(Debug)]
pub(super) struct Snapshot {
    store: Store,
    /// Empty once it is closed.
    lent: Option<Lent>,
}

impl Store {
    /// Begins a view.
    pub(super) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let lent = self.lend().await?;
        let begin = match &lent {
            Lent::Sqlite(_) => "BEGIN",
            Lent::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        let mut snapshot = Snapshot { store: self.clone(), lent: Some(lent) };
        snapshot.fetch(begin, []).await?;
        Ok(snapshot)
    }
}

impl Snapshot {
    /// Returns all rows that `sql` finds.
    pub(super) async fn fetch(
        &mut self,
        sql: &'static str,
        values: impl Into<Vec<Value>>,
    ) -> Result<Rows, StoreError> {
        let Self { store, lent } = self;
        let Some(lent) = lent else { return Ok(Rows::new()) };
        let statement = Statement::new(sql, values);
        let asking =
            async { lent.link().fetch(statement).await.map_err(|source| store.failed(source)) };
        store.in_time(store.patience(), asking).await
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            lent.cut();
        }
    }
}

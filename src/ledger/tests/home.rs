//! A place of its own for each test: a folder, and where `SLUICEGATE_TEST_POSTGRES` holds the URL of a PostgreSQL
//! a schema there. So the same tests are run on either database.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::config::Durability;
use crate::ledger::link::{Own, Rows, Statement};
use crate::ledger::{Store, StoreError, postgres, sqlite};
use crate::units::Secret;

pub(super) struct Home {
    folder: TempDir,
    /// The URL of its schema.
    url: Option<Secret>,
}

impl Home {
    pub(super) async fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let Ok(server) = std::env::var("SLUICEGATE_TEST_POSTGRES") else {
            return Self { folder, url: None };
        };
        let schema = format!("t{:016x}", rand::random::<u64>());
        let sql = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
        let mut maker = connect(&Store::at(&Secret::new(server.as_str())).expect("a URL")).await;
        let statement = Statement { sql: sqlx::SqlSafeStr::into_sql_str(sql), values: Vec::new() };
        maker.link().execute(statement).await.expect("a schema of our own");
        let joint = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{joint}options=-csearch_path%3D{schema}");
        Self { folder, url: Some(Secret::new(url)) }
    }

    /// Tells whether its store is a file.
    pub(super) fn is_file(&self) -> bool {
        self.url.is_none()
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn store(&self, patience: Duration) -> Result<Store, StoreError> {
        match &self.url {
            Some(url) => Store::at_for(url, patience),
            None => Store::place_for(self.path(), patience),
        }
    }

    /// Returns its store, up to date.
    pub(super) async fn open(&self) -> Store {
        self.try_open().await.expect("a place of our own")
    }

    pub(super) async fn try_open(&self) -> Result<Store, StoreError> {
        let store = self.store(Duration::from_secs(5))?;
        store.update().await?;
        Ok(store)
    }

    /// Asks the store, which is up to date, on a connection that nobody else has.
    pub(super) async fn ask(&self, sql: &'static str) -> Rows {
        let mut own = self.connect().await;
        own.link().fetch(Statement::new(sql, [])).await.expect("it is right")
    }

    /// Keeps others from changing entries until it is dropped.
    pub(super) async fn lock(&self) -> Thief {
        let mut thief = Thief(self.connect().await);
        if self.is_file() {
            thief.say("BEGIN IMMEDIATE").await;
        } else {
            thief.say("BEGIN").await;
            thief.say("LOCK TABLE entries IN EXCLUSIVE MODE").await;
        }
        thief
    }

    async fn connect(&self) -> Own {
        connect(&self.store(Duration::from_secs(5)).expect("it is there")).await
    }
}

async fn connect(store: &Store) -> Own {
    store.connect(Durability::Strict).await.expect("it can be connected")
}

/// Has what others want.
pub(super) struct Thief(Own);

impl Thief {
    pub(super) async fn say(&mut self, sql: &'static str) {
        self.0.link().execute(Statement::new(sql, [])).await.expect("it is right");
    }

    /// Gives it back.
    pub(super) async fn leave(mut self) {
        self.say("ROLLBACK").await;
        self.0.close().await.expect("closed");
    }
}

impl Home {
    /// Makes its store as a program did that knew only the first migrations.
    pub(super) async fn make_by_first(&self, migrations: i64) {
        let some = Some(migrations);
        match self.connect().await {
            Own::Sqlite(mut file) => {
                sqlite::MIGRATIONS.run_direct(some, &mut *file, false).await.expect("made");
            }
            Own::Postgres(mut server) => {
                postgres::MIGRATIONS.run_direct(some, &mut *server, false).await.expect("made");
            }
        }
    }
}

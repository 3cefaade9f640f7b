//! The database: what is said to it from anywhere in the program, and why it cannot be.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use tokio::time::timeout;

use super::fault::{Place, StoreError};
use super::link::{Lent, Link, Own, Rows, Statement};
use super::row::Value;
use super::{postgres, sqlite};
use crate::config::Durability;
use crate::units::Secret;

/// The database: a file of SQLite, or a PostgreSQL. Cloning it shares the connections, which are opened when
/// they are used and closed when they were idle for a while.
#[derive(Debug, Clone)]
pub struct Store {
    kind: Kind,
    place: Place,
    is_new: bool,
    /// How long somebody who has it, or a server that does not answer, is waited for.
    patience: Duration,
}

/// Marks the place of a value, by its number from 1.
pub(super) type Mark = fn(usize) -> String;

/// How connections are opened, and those that are.
#[derive(Debug, Clone)]
enum Kind {
    Sqlite {
        path: PathBuf,
        pool: SqlitePool,
        /// Which file it was when it was found.
        file: Arc<Mutex<sqlite::Identity>>,
    },
    Postgres {
        options: postgres::Options,
        pool: PgPool,
    },
}

impl Store {
    /// Finds `sluicegate.db` in `folder`; what is missing of both is made, for their owner only. The
    /// database is opened with the first statement; before any other, [`update`](Self::update) it.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] if the file cannot be written.
    pub fn place(folder: &Path) -> Result<Self, StoreError> {
        Self::place_for(folder, PATIENCE)
    }

    /// Finds the database, and waits for others who have it for at most about twice `patience`.
    pub(super) fn place_for(folder: &Path, patience: Duration) -> Result<Self, StoreError> {
        let sqlite::Found { path, is_new } = sqlite::find(folder)?;
        let pool = sqlite::pool(&path, patience);
        let place = Place::new(path.display().to_string());
        let file = Arc::new(Mutex::new(sqlite::identity(&path)));
        Ok(Self { kind: Kind::Sqlite { path, pool, file }, place, is_new, patience })
    }

    /// Takes the PostgreSQL at `url`; it is connected with the first statement; before any other,
    /// [`update`](Self::update) it.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Url`].
    pub fn at(url: &Secret) -> Result<Self, StoreError> {
        Self::at_for(url, PATIENCE)
    }

    /// Takes the server, and waits for it and for others who have it for at most `patience`.
    pub(super) fn at_for(url: &Secret, patience: Duration) -> Result<Self, StoreError> {
        let found = postgres::Options::read(url);
        let options = found.map_err(|source| StoreError::Url { source: Box::new(source) })?;
        let pool = options.pool(patience);
        let place = Place::new(options.place());
        let kind = Kind::Postgres { options, pool };
        Ok(Self { kind, place, is_new: false, patience })
    }

    /// Finds `sluicegate.db` in `folder` to read it only: nothing is made, and nothing is changed.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] if it is not there, or has not the schema of this program.
    pub async fn look(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(sqlite::NAME);
        let place = Place::new(path.display().to_string());
        if !path.is_file() {
            return Err(StoreError::Missing { place });
        }
        let pool = sqlite::reading(&path, PATIENCE);
        let file = Arc::new(Mutex::new(sqlite::identity(&path)));
        let kind = Kind::Sqlite { path, pool, file };
        let store = Self { kind, place, is_new: false, patience: PATIENCE };
        store.check(&sqlite::MIGRATIONS).await
    }

    /// Takes the PostgreSQL at `url` to read it only.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] if it cannot be reached, or has not the schema of this program.
    pub async fn look_at(url: &Secret) -> Result<Self, StoreError> {
        let store = Self::at_for(url, READING)?;
        store.reach().await?;
        store.check(&postgres::MIGRATIONS).await
    }

    /// Returns the store if its schema is that of `known`.
    async fn check(self, known: &Migrator) -> Result<Self, StoreError> {
        let newest = self.fetch("SELECT MAX(version) FROM _sqlx_migrations", []).await;
        let place = self.place.clone();
        let found = match newest {
            Ok(rows) => rows.first().and_then(|row| row.first()?.as_number()),
            Err(StoreError::Failed { source, .. }) if lacks_table(&source) => None,
            Err(error) => return Err(error),
        };
        match found.cmp(&known.iter().map(|migration| migration.version).max()) {
            Ordering::Equal => Ok(self),
            Ordering::Less => Err(StoreError::Older { place }),
            Ordering::Greater => Err(StoreError::Newer { place }),
        }
    }

    /// Opens a connection of its own, for whoever writes often; it waits for others only as long as
    /// answers do.
    pub(super) async fn connect(&self, durability: Durability) -> Result<Own, StoreError> {
        let connecting = async {
            match &self.kind {
                Kind::Sqlite { path, .. } => {
                    sqlite::connect(path, durability).await.map(Own::Sqlite)
                }
                Kind::Postgres { options, .. } => {
                    options.connect(SHORTLY, durability).await.map(Own::Postgres)
                }
            }
            .map_err(|source| self.failed(source))
        };
        self.in_time(self.patience, connecting).await
    }

    /// Brings the schema up to date. Instances that start together do so one after the other.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; the database is as it was then.
    pub async fn update(&self) -> Result<(), StoreError> {
        let updated = match &self.kind {
            Kind::Sqlite { .. } => {
                self.find_again().await?;
                let mut lent = self.lend().await?;
                let updated = match lent.link() {
                    Link::Sqlite(file) => sqlite::update(file, self.patience).await,
                    Link::Postgres(_) => Ok(()),
                };
                if updated.is_err() {
                    lent.cut();
                }
                updated
            }
            // Not a connection of the pool, which tells only that its time was up.
            Kind::Postgres { options, .. } => {
                let connecting = options.connect(self.patience, Durability::Strict);
                let connecting = async { connecting.await.map_err(|source| self.failed(source)) };
                let mut alone = self.in_time(self.patience, connecting).await?;
                let updating = async { Ok(postgres::update(&mut alone).await) };
                self.in_time(UPDATING, updating).await?
            }
        };
        updated.map_err(|error| self.unfit(error))
    }

    /// Returns all rows that `sql` finds.
    pub(super) async fn fetch(
        &self,
        sql: &'static str,
        values: impl Into<Vec<Value>>,
    ) -> Result<Rows, StoreError> {
        let statement = Statement::new(sql, values);
        let limit = self.patience;
        self.with(limit, async |mut link: Link<'_>| link.fetch(statement).await).await
    }

    /// Says all of `statements`, or none; returns how many rows were changed.
    pub(super) async fn write(&self, statements: Vec<Statement>) -> Result<u64, StoreError> {
        let count = u32::try_from(statements.len()).unwrap_or(u32::MAX);
        let limit = self.patience + A_STATEMENT.saturating_mul(count);
        self.with(limit, async |mut link: Link<'_>| link.execute_all(statements).await).await
    }

    /// Tells whether it is a file of this machine's.
    pub(super) const fn is_file(&self) -> bool {
        matches!(self.kind, Kind::Sqlite { .. })
    }

    /// Returns whether there was nothing in the file when it was placed.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns how long somebody who has it, or a server that does not answer, is waited for.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Returns where it is.
    pub fn whereabouts(&self) -> &Place {
        &self.place
    }

    /// Returns what it is called by all programs of this machine alike: the whole path of a file.
    pub fn identity(&self) -> String {
        match &self.kind {
            Kind::Sqlite { path, .. } => {
                path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string()
            }
            Kind::Postgres { .. } => self.place.to_string(),
        }
    }

    /// Closes all connections; what was saved is there.
    pub async fn close(&self) {
        match &self.kind {
            Kind::Sqlite { pool, .. } => pool.close().await,
            Kind::Postgres { pool, .. } => pool.close().await,
        }
    }

    /// Returns how the place of a value is marked in a long statement. `$n` is right for both databases, but
    /// the driver looks each up by its name in a file's.
    pub(super) fn mark(&self) -> Mark {
        match &self.kind {
            Kind::Sqlite { .. } => |_| "?".to_owned(),
            Kind::Postgres { .. } => |at| format!("${at}"),
        }
    }

    /// Waits for `work` only so long, if it is a server's; a file is waited for by its own measures.
    pub(super) async fn in_time<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match &self.kind {
            Kind::Sqlite { .. } => work.await,
            Kind::Postgres { .. } => match timeout(limit, work).await {
                Ok(done) => done,
                Err(_) => Err(StoreError::Silent { place: self.place.clone() }),
            },
        }
    }

    async fn with<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(Link<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut lent = self.lend().await?;
        let working = async { work(lent.link()).await.map_err(|source| self.failed(source)) };
        let done = self.in_time(limit, working).await.and_then(|done| self.still_there(done));
        // What a full disk takes back by itself leaves a connection that believes to be in a transaction.
        if done.is_err() {
            lent.cut();
        }
        done
    }

    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let lent = match &self.kind {
            Kind::Sqlite { pool, .. } => Box::pin(pool.acquire()).await.map(Lent::Sqlite),
            Kind::Postgres { pool, .. } => Box::pin(pool.acquire()).await.map(Lent::Postgres),
        };
        if let Err(sqlx::Error::PoolTimedOut) = &lent {
            // That is all that it tells.
            Box::pin(self.reach()).await?;
        }
        lent.map_err(|source| self.failed(source))
    }

    /// Connects a server and leaves it again, to hear why that cannot be.
    async fn reach(&self) -> Result<(), StoreError> {
        let Kind::Postgres { options, .. } = &self.kind else { return Ok(()) };
        let reaching = async {
            let reached = options.connect(SHORTLY, Durability::Strict).await;
            let reached = reached.map_err(|source| self.failed(source))?;
            reached.close().await.map_err(|source| self.failed(source))
        };
        self.in_time(PATIENCE, reaching).await
    }

    /// Returns `done` if it was done in the file that is still there: what is written to one that was deleted
    /// is lost, though no error tells that.
    pub(super) fn still_there<T>(&self, done: T) -> Result<T, StoreError> {
        match &self.kind {
            Kind::Sqlite { path, file, .. }
                if sqlite::identity(path)
                    != *file.lock().unwrap_or_else(PoisonError::into_inner) =>
            {
                Err(StoreError::Gone { place: self.place.clone() })
            }
            _ => Ok(done),
        }
    }

    /// Makes a new file where the one that was found was deleted.
    async fn find_again(&self) -> Result<(), StoreError> {
        let Kind::Sqlite { path, pool, file } = &self.kind else { return Ok(()) };
        let (Err(_), Some(folder)) = (self.still_there(()), path.parent()) else { return Ok(()) };
        // It must be closed before: at its end it would delete what lies beside the new one.
        if let Ok(old) = pool.acquire().await {
            // Nothing that is still there is lost with it.
            let _closed = old.detach().close().await;
        }
        sqlite::find(folder)?;
        tracing::warn!(place = %self.place, "the database was deleted: a new one is made");
        *file.lock().unwrap_or_else(PoisonError::into_inner) = sqlite::identity(path);
        Ok(())
    }

    /// Returns the error that a failed statement is.
    pub(super) fn failed(&self, source: sqlx::Error) -> StoreError {
        let place = self.place.clone();
        match &self.kind {
            Kind::Sqlite { .. } if sqlite::is_damage(&source) => StoreError::Damaged { place },
            Kind::Sqlite { .. } if sqlite::is_busy(&source) => StoreError::Busy { place },
            Kind::Postgres { .. } if postgres::is_pooled(&source) => StoreError::Pooled { place },
            Kind::Postgres { .. } if postgres::is_busy(&source) => StoreError::Busy { place },
            Kind::Postgres { .. } if postgres::is_away(&source) => {
                StoreError::Away { place, source: Box::new(source) }
            }
            _ => StoreError::Failed { place, source: Box::new(source) },
        }
    }

    fn unfit(&self, error: MigrateError) -> StoreError {
        match error {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
                StoreError::Newer { place: self.place.clone() }
            }
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                self.failed(source)
            }
            other => self.failed(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}

/// Returns a time as it is written down.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Tells whether a table is missing: so do PostgreSQL
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>, read 2026-11-22) and SQLite say.
fn lacks_table(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    error.code().is_some_and(|code| code == "42P01") || error.message().starts_with("no such table")
}

/// How long a server may take to sum up what is asked for.
const READING: Duration = Duration::from_secs(120);
/// How long a statement waits for another instance, or for a server.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a statement of the ledger waits for another instance.
pub(super) const SHORTLY: Duration = Duration::from_millis(200);
/// How much longer a server is waited for with each statement of many.
const A_STATEMENT: Duration = Duration::from_millis(20);
/// How long a server may take to change a schema.
const UPDATING: Duration = Duration::from_secs(600);

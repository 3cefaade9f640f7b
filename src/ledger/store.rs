//! The file: where it is, how it is opened, and why it cannot be.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Sqlite, Transaction};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::config::Durability;

/// The database. Cloning it shares the connection, which is opened when it is used and closed when it
/// was idle for a while.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) pool: SqlitePool,
    path: PathBuf,
    is_new: bool,
    /// How long another instance, or whoever else has the file, is waited for.
    patience: Duration,
}

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The folder is not there and cannot be made, or is none.
    #[error("cannot use the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be opened for writing.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It is something else, or was damaged.
    #[error("{} is damaged or no database: move it away, and a new one is made", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program has changed it.
    #[error(
        "{} was written by a newer version of this program: use that one, or another folder",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else has it, and does not give it back.
    #[error("{} is locked by another program", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A statement failed; what it was to change is unchanged.
    #[error("{} cannot be used", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: Box<sqlx::Error>,
    },
}

/// The changes that lead to the present schema, embedded.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("src/ledger/migrations");

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
        Self::place_for(folder, BUSY)
    }

    /// Finds the database, and waits for others who have it for at most about twice `patience`.
    pub(super) fn place_for(folder: &Path, patience: Duration) -> Result<Self, StoreError> {
        make_folder(folder)
            .map_err(|source| StoreError::Folder { path: folder.to_owned(), source })?;
        let path = folder.join("sluicegate.db");
        let length =
            make_file(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
        let options = options(&path).busy_timeout(patience).statement_cache_capacity(16);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(IDLE)
            .acquire_timeout(2 * BUSY)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        // After a kill everything may still stand in the write-ahead log.
        let is_new = length == 0 && !folder.join("sluicegate.db-wal").exists();
        Ok(Self { pool, path, is_new, patience })
    }

    /// Opens a connection of its own, for whoever writes often; it waits for others only as long as
    /// answers do.
    pub(super) async fn connect(
        &self,
        durability: Durability,
    ) -> Result<SqliteConnection, sqlx::Error> {
        let options = options(&self.path).busy_timeout(SHORTLY).statement_cache_capacity(32);
        let options = match durability {
            Durability::Fsync => options.synchronous(SqliteSynchronous::Full),
            Durability::Strict | Durability::Relaxed => options,
        };
        options.connect().await
    }

    /// Brings the schema up to date. Instances that start together do so one after the other.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; the file is as it was then.
    pub async fn update(&self) -> Result<(), StoreError> {
        let failed = |source| self.failed(source);
        let mut alone = self.begin_alone().await.map_err(failed)?;
        // Its public sibling cannot be used in a task: rust-lang/rust#100013.
        let migrated = MIGRATIONS.run_direct(None, &mut *alone, false).await;
        migrated.map_err(|error| self.unfit(error))?;
        alone.commit().await.map_err(failed)
    }

    /// Begins a transaction that only one instance can have at a time.
    async fn begin_alone(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        let until = Instant::now() + self.patience;
        loop {
            match self.pool.begin_with("BEGIN IMMEDIATE").await {
                // Nobody waits for the lock under which a new file is set to write ahead.
                Err(error) if is_busy(&error) && Instant::now() < until => sleep(AWHILE).await,
                begun => return begun,
            }
        }
    }

    /// Returns whether there was nothing in the file when it was placed.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the file; what was saved is in it.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Returns the error that a failed statement is.
    pub(super) fn failed(&self, source: sqlx::Error) -> StoreError {
        let path = self.path.clone();
        if is_damage(&source) {
            StoreError::Damaged { path }
        } else if is_busy(&source) {
            StoreError::Busy { path }
        } else {
            StoreError::Failed { path, source: Box::new(source) }
        }
    }

    fn unfit(&self, error: MigrateError) -> StoreError {
        match error {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
                StoreError::Newer { path: self.path.clone() }
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

/// Says how the file is opened.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // What is committed survives this process, though perhaps not the machine.
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .pragma("cache_size", CACHE)
}

/// Tells whether the database found the file to be damaged or something else.
fn is_damage(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(SQLITE_CORRUPT | SQLITE_NOTADB))
}

/// Tells whether somebody else has the file.
fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(SQLITE_BUSY)
}

/// Returns what the database calls the error: the lowest byte of its code
/// (<https://www.sqlite.org/rescode.html>, read 2026-11-22).
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_NOTADB: u32 = 26;

#[cfg(unix)]
fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Makes the file if it is missing, for writing, and returns its length. Files that the database puts
/// beside it get the same permissions.
fn make_file(path: &Path) -> io::Result<u64> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?.metadata()?.len())
}

/// How long an instance that is to be alone waits between two tries.
const AWHILE: Duration = Duration::from_millis(20);
/// How long a statement waits for another instance.
const BUSY: Duration = Duration::from_secs(5);
/// How long a statement of the ledger waits for another instance.
const SHORTLY: Duration = Duration::from_millis(200);
/// How long an unused connection, which has a thread and a cache, is kept.
const IDLE: Duration = Duration::from_secs(15);
/// The most that a connection caches: 256 KiB, as the database's documentation says of negative
/// numbers (<https://www.sqlite.org/pragma.html#pragma_cache_size>).
const CACHE: &str = "-256";

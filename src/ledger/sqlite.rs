//! The file: where it is, how it is opened, and what its errors mean.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::{Instant, sleep};

use super::fault::StoreError;
use super::store::SHORTLY;
use crate::config::Durability;

/// The changes that lead to the present schema, embedded.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("src/ledger/migrations/sqlite");

/// What the file is called.
pub(super) const NAME: &str = "sluicegate.db";

/// A file that can be written.
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Whether there is nothing in it.
    pub(super) is_new: bool,
}

/// Finds `sluicegate.db` in `folder`; what is missing of both is made, for their owner only.
pub(super) fn find(folder: &Path) -> Result<Found, StoreError> {
    make_folder(folder).map_err(|source| StoreError::Folder { path: folder.to_owned(), source })?;
    let path = folder.join(NAME);
    let length =
        make_file(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
    // After a kill everything may still stand in the write-ahead log.
    let is_new = length == 0 && !folder.join("sluicegate.db-wal").exists();
    Ok(Found { path, is_new })
}

/// Returns one connection that is opened when it is used; it waits for others for `patience`.
pub(super) fn pool(path: &Path, patience: Duration) -> SqlitePool {
    let options = options(path).busy_timeout(patience).statement_cache_capacity(16);
    SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(IDLE)
        .acquire_timeout(ACQUIRING)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Returns one connection that only reads a file that is there; it waits for others for `patience`.
pub(super) fn reading(path: &Path, patience: Duration) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(patience)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(1).test_before_acquire(false);
    pool.connect_lazy_with(options)
}

/// Opens a connection that waits for others only as long as answers do.
pub(super) async fn connect(
    path: &Path,
    durability: Durability,
) -> Result<Box<SqliteConnection>, sqlx::Error> {
    let options = options(path).busy_timeout(SHORTLY).statement_cache_capacity(32);
    let options = match durability {
        Durability::Fsync => options.synchronous(SqliteSynchronous::Full),
        Durability::Strict | Durability::Relaxed => options,
    };
    options.connect().await.map(Box::new)
}

/// Brings the schema up to date, as the only one to do so; who has the file is waited for.
pub(super) async fn update(
    connection: &mut SqliteConnection,
    patience: Duration,
) -> Result<(), MigrateError> {
    let until = Instant::now() + patience;
    loop {
        match update_alone(connection).await {
            // Nobody waits for the lock under which a new file is set to write ahead.
            Err(MigrateError::Execute(error)) if is_busy(&error) && Instant::now() < until => {
                sleep(AWHILE).await;
            }
            done => return done,
        }
    }
}

async fn update_alone(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    let mut alone = connection.begin_with("BEGIN IMMEDIATE").await?;
    // Its public sibling cannot be used in a task: rust-lang/rust#100013.
    MIGRATIONS.run_direct(None, &mut *alone, false).await?;
    Ok(alone.commit().await?)
}

/// Tells one file from another of the same name, by device and number there.
pub(super) type Identity = (u64, u64);

/// Returns which file it is; zeros where there is none, and where the system does not tell.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map_or((0, 0), |file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
pub(super) fn identity(_path: &Path) -> Identity {
    (0, 0)
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
        .disable_statement_logging()
}

/// Tells whether the database found the file to be damaged or something else.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(SQLITE_CORRUPT | SQLITE_NOTADB))
}

/// Tells whether somebody else has the file.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
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

/// Makes the folder, for its owner only, if it is missing.
#[cfg(unix)]
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
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
/// How long a task waits for the others of this program.
const ACQUIRING: Duration = Duration::from_secs(10);
/// How long an unused connection, which has a thread and a cache, is kept.
const IDLE: Duration = Duration::from_secs(15);
/// The most that a connection caches: 256 KiB, as the database's documentation says of negative
/// numbers (<https://www.sqlite.org/pragma.html#pragma_cache_size>).
const CACHE: &str = "-256";

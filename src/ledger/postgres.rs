//! The server: how it is connected, and what its errors mean.

use std::fmt;
use std::str::FromStr as _;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::config::Durability;
use crate::units::Secret;

/// The changes that lead to the present schema, embedded.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("src/ledger/migrations/postgres");
    // Its lock would outlive a transaction; ours does not.
    migrations.set_locking(false);
    migrations
});

/// How a server is connected.
#[derive(Clone)]
pub(super) struct Options(Box<PgConnectOptions>);

impl Options {
    /// Reads a URL; what it leaves out comes from where `psql` takes it.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with it, without the secrets in it.
    pub(super) fn read(url: &Secret) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url.expose())?
            .statement_cache_capacity(64)
            // There are no broken numbers; who is between us and the server may not know the parameter.
            .extra_float_digits(None)
            .disable_statement_logging();
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("sluicegate"),
        };
        Ok(Self(Box::new(options)))
    }

    /// Returns where the server is, without a password.
    pub(super) fn place(&self) -> String {
        let options = &self.0;
        let user = options.get_username();
        let base = options.get_database().unwrap_or(user);
        match options.get_socket() {
            Some(socket) => format!("PostgreSQL `{base}` at {}", socket.display()),
            None => {
                let (host, port) = (options.get_host(), options.get_port());
                format!("PostgreSQL `{base}` at {host}:{port}")
            }
        }
    }

    /// Returns connections that are opened when they are used; they wait for others for `patience`.
    pub(super) fn pool(&self, patience: Duration) -> PgPool {
        PgPoolOptions::new()
            .max_connections(MOST)
            .idle_timeout(IDLE)
            .acquire_timeout(patience)
            .after_connect(move |connection, _| {
                Box::pin(set_up(connection, patience, Durability::Strict))
            })
            .connect_lazy_with((*self.0).clone())
    }

    /// Connects; statements wait for others for `patience`.
    pub(super) async fn connect(
        &self,
        patience: Duration,
        durability: Durability,
    ) -> Result<Box<PgConnection>, sqlx::Error> {
        let mut connection = self.0.connect().await?;
        set_up(&mut connection, patience, durability).await?;
        Ok(Box::new(connection))
    }
}

impl fmt::Debug for Options {
    /// Shows no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

/// Says how long locks are waited for, and whether commits wait for the server's disk: they do but for
/// [`Durability::Relaxed`], and for more than that where the server is set up so. What is there already is no
/// news.
async fn set_up(
    connection: &mut PgConnection,
    patience: Duration,
    durability: Durability,
) -> Result<(), sqlx::Error> {
    let commit = match durability {
        Durability::Strict | Durability::Fsync => "on",
        Durability::Relaxed => "off",
    };
    sqlx::query(
        "SELECT set_config('client_min_messages', 'warning', false), \
         set_config('lock_timeout', $1, false), \
         set_config('synchronous_commit', \
         CASE WHEN $2 = 'off' OR current_setting('synchronous_commit') = 'off' THEN $2 \
         ELSE current_setting('synchronous_commit') END, false)",
    )
    .bind(format!("{}ms", patience.as_millis()))
    .bind(commit)
    .execute(connection)
    .await
    .map(drop)
}

/// Brings the schema up to date, as the only one to do so.
pub(super) async fn update(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let mut alone = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))")
        .bind(LOCK)
        .execute(&mut *alone)
        .await?;
    MIGRATIONS.run_direct(None, &mut *alone, false).await?;
    Ok(alone.commit().await?)
}

/// Tells whether somebody else has what is to be changed
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>, read 2026-11-22).
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("55P03" | "40P01" | "40001"))
}

/// Tells whether somebody between us and the server has mixed up what was prepared.
pub(super) fn is_pooled(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("42P05" | "26000"))
}

/// Tells whether the server cannot be reached, or is going or coming.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => {
            matches!(code(error).as_deref(), Some("57P01" | "57P02" | "57P03"))
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// The number under which instances wait for each other with one schema; other programs use others.
const LOCK: i32 = 0x736c_7569;
/// The most connections besides the ledger's own.
const MOST: u32 = 2;
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);

//! Where the proxy of a test keeps its books: in a folder, or, where `SLUICEGATE_TEST_POSTGRES` holds the URL of a
//! PostgreSQL, in a schema of its own there. So the same tests are run on either database.

use std::path::Path;

use serde_json::Value;
use sluicegate::ledger::Store;
use sluicegate::units::Secret;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{
    Column as _, ConnectOptions as _, Executor as _, Row as _, TypeInfo as _, ValueRef as _,
};
use tempfile::TempDir;

/// The name of the variable.
const SERVER: &str = "SLUICEGATE_TEST_POSTGRES";

pub(crate) struct Books {
    pub(crate) home: TempDir,
    /// The URL of the schema; `None`: it is a file.
    url: Option<String>,
}

impl Books {
    pub(crate) async fn new() -> Self {
        match std::env::var(SERVER) {
            Ok(server) => Self::on(&server).await,
            Err(_) => Self::in_a_file(),
        }
    }

    pub(crate) fn in_a_file() -> Self {
        Self { home: TempDir::new().expect("a folder"), url: None }
    }

    /// Makes a schema on this server.
    pub(crate) async fn on(server: &str) -> Self {
        let schema = format!("t{:016x}", rand::random::<u64>());
        let mut maker = connect(server).await;
        let sql = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
        maker.execute(sqlx::raw_sql(sql)).await.expect("a schema of our own");
        let joint = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{joint}options=-csearch_path%3D{schema}");
        Self { home: TempDir::new().expect("a folder"), url: Some(url) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn is_file(&self) -> bool {
        self.url.is_none()
    }

    /// Returns the front of a configuration that keeps its books here.
    pub(crate) fn settings(&self) -> String {
        self.settings_at(self.url.as_deref())
    }

    /// The same where the server is reached under another URL.
    pub(crate) fn settings_at(&self, url: Option<&str>) -> String {
        let folder = format!("data_dir = \"{}\"\n", self.path().display());
        folder + &url.map(|url| format!("ledger.url = \"{url}\"\n")).unwrap_or_default()
    }

    /// Returns the URL of the schema on a server.
    pub(crate) fn url(&self) -> &str {
        self.url.as_deref().expect("it is on a server")
    }

    /// Returns the store, which is up to date.
    pub(crate) fn store(&self) -> Store {
        match &self.url {
            Some(url) => Store::at(&Secret::new(url.as_str())).expect("a URL"),
            None => Store::place(self.path()).expect("a folder"),
        }
    }

    /// Asks on a connection that nobody else has; sums are to be cast to whole numbers.
    pub(crate) async fn rows(&self, sql: &'static str) -> Vec<Vec<Value>> {
        match &self.url {
            None => {
                let rows = sqlx::query(sql).fetch_all(&mut open(self.path()).await).await;
                rows.expect("it can be read").iter().map(of_sqlite).collect()
            }
            Some(url) => {
                let rows = sqlx::query(sql).fetch_all(&mut connect(url).await).await;
                rows.expect("it can be read").iter().map(of_postgres).collect()
            }
        }
    }

    /// Returns the only number that is found.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let rows = self.rows(sql).await;
        rows.first().and_then(|row| row.first()?.as_i64()).expect("a number")
    }

    /// Keeps others from booking.
    pub(crate) async fn lock(&self) -> Thief {
        match &self.url {
            None => {
                let mut thief = open(self.path()).await;
                thief.execute("BEGIN IMMEDIATE").await.expect("locked");
                Thief::Sqlite(thief)
            }
            Some(url) => {
                let mut thief = connect(url).await;
                thief.execute("BEGIN").await.expect("begun");
                thief.execute("LOCK TABLE entries IN EXCLUSIVE MODE").await.expect("locked");
                Thief::Postgres(Box::new(thief))
            }
        }
    }
}

/// Has what others want.
pub(crate) enum Thief {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

impl Thief {
    /// Gives it back.
    pub(crate) async fn leave(self) {
        match self {
            Self::Sqlite(mut thief) => thief.execute("ROLLBACK").await.map(drop),
            Self::Postgres(mut thief) => thief.execute("ROLLBACK").await.map(drop),
        }
        .expect("unlocked");
    }
}

async fn open(folder: &Path) -> SqliteConnection {
    let file = SqliteConnectOptions::new().filename(folder.join("sluicegate.db"));
    file.connect().await.expect("the file opens")
}

async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL");
    options.connect().await.expect("a server that answers")
}

fn of_sqlite(row: &SqliteRow) -> Vec<Value> {
    let value = |at: usize| {
        let kind = row.try_get_raw(at).expect("a column").type_info().name().to_owned();
        match kind.as_str() {
            "NULL" => Value::Null,
            "INTEGER" => row.get::<i64, _>(at).into(),
            _ => row.get::<String, _>(at).into(),
        }
    };
    (0..row.len()).map(value).collect()
}

fn of_postgres(row: &PgRow) -> Vec<Value> {
    let value = |at: usize| match row.column(at).type_info().name() {
        "INT8" => row.get::<Option<i64>, _>(at).into(),
        _ => row.get::<Option<String>, _>(at).into(),
    };
    (0..row.len()).map(value).collect()
}

//! Speaks to either database: the same statements get the same values, and give the same back.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{
    Arguments as _, Column as _, Connection as _, Database, Encode, Postgres, Row as _,
    SqlSafeStr as _, SqlStr, Sqlite, Type, TypeInfo as _, ValueRef as _,
};

use super::row::Value;

/// A statement with what stands for its `$1`, `$2`, ...
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: SqlStr,
    pub(super) values: Vec<Value>,
}

/// What was found: rows of values in the order of their columns. A null may be of either kind.
pub(super) type Rows = Vec<Vec<Value>>;

/// A connection that is given back to its pool when it is dropped.
#[derive(Debug)]
pub(super) enum Lent {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A connection of one's own.
#[derive(Debug)]
pub(super) enum Own {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

/// Any connection, while it is used.
#[derive(Debug)]
pub(super) enum Link<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Statement {
    /// Says `sql` with these values.
    pub(super) fn new(sql: &'static str, values: impl Into<Vec<Value>>) -> Self {
        Self { sql: sql.into_sql_str(), values: values.into() }
    }
}

impl Lent {
    pub(super) fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::Postgres(connection) => Link::Postgres(connection),
        }
    }

    /// Closes it without a word, for whoever is at its other end does not answer.
    pub(super) fn cut(self) {
        match self {
            Self::Sqlite(connection) => drop(connection.detach()),
            Self::Postgres(connection) => drop(connection.detach()),
        }
    }
}

impl Own {
    pub(super) fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::Postgres(connection) => Link::Postgres(connection),
        }
    }

    /// Closes it, once all that was said is done.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

impl Link<'_> {
    /// Returns how many rows were changed.
    // Boxed: the driver's futures are large, and would be part of every one that may come to ask something.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        let Statement { sql, values } = statement;
        match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_with(sql, arguments::<Sqlite>(values)?);
                let done = Box::pin(query.execute(&mut **connection)).await?;
                Ok(done.rows_affected())
            }
            Self::Postgres(connection) => {
                let query = sqlx::query_with(sql, arguments::<Postgres>(values)?);
                let done = Box::pin(query.execute(&mut **connection)).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Returns all rows that are found.
    pub(super) async fn fetch(&mut self, statement: Statement) -> Result<Rows, sqlx::Error> {
        let Statement { sql, values } = statement;
        match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_with(sql, arguments::<Sqlite>(values)?);
                let rows = Box::pin(query.fetch_all(&mut **connection)).await?;
                rows.iter().map(read_sqlite).collect()
            }
            Self::Postgres(connection) => {
                let query = sqlx::query_with(sql, arguments::<Postgres>(values)?);
                let rows = Box::pin(query.fetch_all(&mut **connection)).await?;
                rows.iter().map(read_postgres).collect()
            }
        }
    }

    /// Says all of `statements`, or takes all back; returns how many rows were changed.
    pub(super) async fn execute_all(
        &mut self,
        statements: Vec<Statement>,
    ) -> Result<u64, sqlx::Error> {
        let mut changed = 0;
        match self {
            Self::Sqlite(connection) => {
                let mut batch = connection.begin().await?;
                for statement in statements {
                    changed += Link::Sqlite(&mut batch).execute(statement).await?;
                }
                batch.commit().await?;
            }
            Self::Postgres(connection) => {
                let mut batch = connection.begin().await?;
                for statement in statements {
                    changed += Link::Postgres(&mut batch).execute(statement).await?;
                }
                batch.commit().await?;
            }
        }
        Ok(changed)
    }
}

fn arguments<D: Database>(values: Vec<Value>) -> Result<D::Arguments, sqlx::Error>
where
    Option<i64>: for<'e> Encode<'e, D> + Type<D>,
    Option<Arc<str>>: for<'e> Encode<'e, D> + Type<D>,
{
    let mut arguments = D::Arguments::default();
    arguments.reserve(values.len(), values.len() * size_of::<i64>());
    for value in values {
        let added = match value {
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// A column of SQLite holds what was put there: each value tells what it is.
fn read_sqlite(row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
    let read = |at: usize| {
        let kind = row.try_get_raw(at)?.type_info().name().to_owned();
        match kind.as_str() {
            "NULL" => Ok(Value::Number(None)),
            "INTEGER" => Ok(Value::Number(row.try_get(at)?)),
            "TEXT" => Ok(text(row.try_get(at)?)),
            _ => Err(unknown(row.column(at).name(), &kind)),
        }
    };
    (0..row.len()).map(read).collect()
}

fn read_postgres(row: &PgRow) -> Result<Vec<Value>, sqlx::Error> {
    let read = |at: usize| {
        let column = row.column(at);
        match column.type_info().name() {
            "INT8" => Ok(Value::Number(row.try_get(at)?)),
            "TEXT" => Ok(text(row.try_get(at)?)),
            // Sums of its whole numbers are of another type: they are to be cast.
            kind => Err(unknown(column.name(), kind)),
        }
    };
    (0..row.len()).map(read).collect()
}

fn text(text: Option<String>) -> Value {
    Value::Text(text.map(Arc::from))
}

fn unknown(column: &str, kind: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("`{column}` is {kind}, neither whole number nor text").into())
}

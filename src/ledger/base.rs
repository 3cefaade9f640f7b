//! A connection to the database that the ledger is in, and the statements that write it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::fault::StoreError;
use super::link::{Own, Statement};
use super::rollup::{DAY, HOUR_MS, ROLLED_AT_ONCE, ROLLUP, Rollup, adding, adding_lost};
use super::row::{ENTRY, FACET, FIXED, Kind, Row, Value, millis};
use super::store::{Mark, Store};
use crate::config::Durability;

/// The ledger's own connection to the store. It is used by one task.
#[derive(Debug)]
pub(super) struct Base {
    store: Store,
    durability: Durability,
    connection: Option<Own>,
    /// The facets that are written already; at most [`MOST_FACETS`].
    facets: HashSet<i64>,
    /// The statements that write so many entries at once.
    entries: [Written; AT_ONCE.len()],
    facet: Arc<str>,
    /// The statements that add so many rows of sums at once.
    rolled: Vec<Arc<str>>,
}

/// What was booked in one go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) entries: u64,
    /// Their input and output.
    pub(super) tokens: u64,
}

impl Sum {
    pub(super) const fn add(&mut self, more: Self) {
        self.entries = self.entries.saturating_add(more.entries);
        self.tokens = self.tokens.saturating_add(more.tokens);
    }
}

/// What is missing in the books.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Answers that went out and are booked nowhere.
    pub(super) answers: u64,
    /// Bytes beside the store that cannot be read.
    pub(super) damaged_bytes: u64,
}

/// How many entries a statement writes, and the statement.
type Written = (usize, Arc<str>);

impl Base {
    /// Prepares to write into `store`; connects with the first statement.
    pub(super) fn new(store: Store, durability: Durability) -> Self {
        let mark = store.mark();
        let entries = AT_ONCE.map(|rows| (rows, upsert_of(rows, mark).into()));
        let facet = insert("facets", &FACET, 1, mark) + " ON CONFLICT (id) DO NOTHING";
        let rolled = (1..=ROLLED_AT_ONCE)
            .map(|rows| (insert("rollups", &ROLLUP, rows, mark) + &adding()).into())
            .collect();
        let facets = HashSet::new();
        let facet = facet.into();
        Self { store, durability, connection: None, facets, entries, facet, rolled }
    }

    /// Writes `rows`, of which no two are of one entry, and what they add to the sums: all of it, or nothing. An
    /// entry that is booked stays as it is, and adds nothing. Returns what was booked.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; the next call connects anew.
    pub(super) async fn write(&mut self, rows: &[Row]) -> Result<Sum, StoreError> {
        let store = self.store.clone();
        let written = store.in_time(GIVING_UP, self.write_once(rows)).await;
        let written = written.and_then(|sum| store.still_there(sum));
        if written.is_err() {
            self.forget().await;
        }
        written
    }

    /// Books what `run` sent and did not book: at its estimate, at the time at which it was sent, as lost. Returns what
    /// that was.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    pub(super) async fn book_lost(&mut self, run: i64) -> Result<Sum, StoreError> {
        let store = self.store.clone();
        let booked = store.in_time(GIVING_UP, self.try_book_lost(run)).await;
        if booked.is_err() {
            self.forget().await;
        }
        booked
    }

    /// Notes what is missing in the books, in the hour of `now` (time since 1970-01-01 UTC).
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    pub(super) async fn note_missing(
        &mut self,
        now: Duration,
        missing: Missing,
    ) -> Result<(), StoreError> {
        let hour = millis(now).div_euclid(HOUR_MS);
        let number = |count: u64| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let sql = "INSERT INTO unbooked (hour, answers, damaged_bytes) VALUES ($1, $2, $3) \
                   ON CONFLICT (hour) DO UPDATE SET answers = unbooked.answers + excluded.answers, \
                   damaged_bytes = unbooked.damaged_bytes + excluded.damaged_bytes";
        let values = vec![hour.into(), number(missing.answers), number(missing.damaged_bytes)];
        let store = self.store.clone();
        let noted = store.in_time(GIVING_UP, self.execute(sql.into_sql_str(), values)).await;
        if noted.is_err() {
            self.forget().await;
        }
        noted.map(drop)
    }

    /// Closes the connection; what was written is in the store.
    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            // It is the end: what cannot be closed is closed by the system.
            let _closed = connection.close().await;
        }
    }

    async fn write_once(&mut self, rows: &[Row]) -> Result<Sum, StoreError> {
        if let Some(sum) = self.try_write(rows, MOST_AT_ONCE).await? {
            return Ok(sum);
        }
        // Some were booked before, as after a crash, and which ones is not known: one by one it is.
        self.execute("ROLLBACK".into_sql_str(), Vec::new()).await?;
        Ok(self.try_write(rows, 1).await?.unwrap_or_default())
    }

    /// Writes so many entries with one statement. Returns nothing, in the middle of it, where some of several were
    /// booked before: what those add to the sums cannot be told from what the others do.
    async fn try_write(&mut self, rows: &[Row], at_once: usize) -> Result<Option<Sum>, StoreError> {
        let mut fresh: Vec<&Row> =
            rows.iter().filter(|row| !self.facets.contains(&row.facet_id())).collect();
        // In one order everywhere, so that no two instances wait for each other.
        fresh.sort_unstable_by_key(|row| row.facet_id());
        let books = rows.iter().any(Row::is_booked);
        let is_one =
            rows.len() <= at_once && self.entries.iter().any(|(some, _)| *some == rows.len());
        let alone = fresh.is_empty() && is_one && !books;
        if !alone {
            self.execute("BEGIN".into_sql_str(), Vec::new()).await?;
        }
        let mut noted = HashSet::new();
        for row in fresh {
            if noted.insert(row.facet_id()) {
                self.execute(shared(&self.facet), row.facet.values().to_vec()).await?;
            }
        }
        let mut rollup = Rollup::default();
        let mut rest = rows;
        while !rest.is_empty() {
            let most = rest.len().min(at_once);
            let Some((some, sql)) = self.entries.iter().find(|(some, _)| *some <= most) else {
                break;
            };
            let (some, behind) = rest.split_at(*some);
            rest = behind;
            let values = some.iter().flat_map(|row| row.entry.iter().cloned()).collect();
            let written = self.execute(shared(sql), values).await?;
            if usize::try_from(written).is_ok_and(|written| written == some.len()) {
                some.iter().for_each(|row| rollup.add(row));
            } else if some.len() > 1 && some.iter().any(Row::is_booked) {
                return Ok(None);
            }
        }
        let sum = rollup.sum();
        self.add(rollup).await?;
        if !alone {
            self.execute("COMMIT".into_sql_str(), Vec::new()).await?;
        }
        if self.facets.len() + noted.len() > MOST_FACETS {
            self.facets.clear();
        }
        self.facets.extend(noted);
        Ok(Some(sum))
    }

    async fn try_book_lost(&mut self, run: i64) -> Result<Sum, StoreError> {
        let lost = "UPDATE entries SET booked_ms = sent_ms, ending = 'lost', method = 'assumed', status = 0, \
                    input = est_input, output = COALESCE(est_output, 0) \
                    WHERE run = $1 AND booked_ms IS NULL";
        self.execute("BEGIN".into_sql_str(), Vec::new()).await?;
        for span in [1, DAY] {
            let sql = AssertSqlSafe(adding_lost(span)).into_sql_str();
            self.execute(sql, vec![run.into()]).await?;
        }
        let tokens = self.open_tokens(run).await?;
        let entries = self.execute(lost.into_sql_str(), vec![run.into()]).await?;
        self.execute("COMMIT".into_sql_str(), Vec::new()).await?;
        Ok(Sum { entries, tokens })
    }

    /// Returns how many tokens were expected of what `run` sent and did not book.
    async fn open_tokens(&mut self, run: i64) -> Result<u64, StoreError> {
        let sql = "SELECT CAST(COALESCE(SUM(est_input + COALESCE(est_output, 0)), 0) AS BIGINT) \
                   FROM entries WHERE run = $1 AND booked_ms IS NULL";
        let Some(connection) = &mut self.connection else { return Ok(0) };
        let asked = connection.link().fetch(Statement::new(sql, [run.into()])).await;
        let rows = asked.map_err(|source| self.store.failed(source))?;
        let number = rows.first().and_then(|row| row.first()?.as_number());
        Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default())
    }

    /// Adds to the sums, within a transaction.
    async fn add(&mut self, rollup: Rollup) -> Result<(), StoreError> {
        let rows = rollup.into_rows();
        for some in rows.chunks(ROLLED_AT_ONCE) {
            let Some(sql) = self.rolled.get(some.len() - 1) else { continue };
            let sql = shared(sql);
            self.execute(sql, some.iter().flatten().cloned().collect()).await?;
        }
        Ok(())
    }

    async fn execute(&mut self, sql: SqlStr, values: Vec<Value>) -> Result<u64, StoreError> {
        if self.connection.is_none() {
            // Boxed: it is rare, and large.
            Box::pin(self.store.update()).await?;
            self.connection = Some(Box::pin(self.store.connect(self.durability)).await?);
        }
        let Some(connection) = &mut self.connection else { return Ok(0) };
        let done = connection.link().execute(Statement { sql, values }).await;
        done.map_err(|source| self.store.failed(source))
    }

    /// Drops the connection and what is believed of the store: it may be another one when it is back.
    async fn forget(&mut self) {
        self.facets.clear();
        if self.store.still_there(()).is_err() {
            // Closed to its end before a new file is made.
            return self.close().await;
        }
        self.connection = None;
    }
}

fn shared(sql: &Arc<str>) -> SqlStr {
    AssertSqlSafe(Arc::clone(sql)).into_sql_str()
}

/// Returns the statement that writes so many entries, and books those that are there and open.
fn upsert_of(rows: usize, mark: Mark) -> String {
    let mut sql = insert("entries", &ENTRY, rows, mark);
    sql.push_str(" ON CONFLICT (run, seq) DO UPDATE SET ");
    for (at, (column, _)) in ENTRY.iter().enumerate().skip(FIXED) {
        let comma = if at == FIXED { "" } else { ", " };
        // Writing to a text cannot fail.
        let _written = write!(sql, "{comma}{column} = excluded.{column}");
    }
    sql.push_str(" WHERE entries.booked_ms IS NULL");
    sql
}

/// Returns the statement that inserts so many rows.
fn insert(table: &str, columns: &[(&str, Kind)], rows: usize, mark: Mark) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut sql = format!("INSERT INTO {table} ({}) VALUES ", names.join(", "));
    for row in 0..rows {
        let first = row * columns.len() + 1;
        let places: Vec<String> = (first..first + columns.len()).map(mark).collect();
        let comma = if row == 0 { "" } else { ", " };
        // Writing to a text cannot fail.
        let _written = write!(sql, "{comma}({})", places.join(", "));
    }
    sql
}

/// How long a server that does not answer is waited for before it is connected anew.
const GIVING_UP: Duration = Duration::from_secs(10);
/// So many entries are written by one statement, the most that have come together.
const AT_ONCE: [usize; 4] = [MOST_AT_ONCE, 16, 4, 1];
const MOST_AT_ONCE: usize = 64;
/// So many facets are known to be written; with more, they are written again.
const MOST_FACETS: usize = 65_536;

//! The table of what was learned of each lane.

use std::time::Duration;

use super::fault::StoreError;
use super::link::Statement;
use super::row::Value;
use super::store::{Store, millis};
use crate::limit::{LastEnd, Learned};

/// What was learned of one lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// The account.
    pub account: String,
    /// The limit group.
    pub group: String,
    /// Short hashes of the keys with which it was learned, parted by spaces. Behind other keys there
    /// may be another account.
    pub holders: String,
    /// What was learned.
    pub learned: Learned,
    /// Whether more may have been sent since it was saved.
    pub end: LastEnd,
    /// The time since 1970-01-01 UTC at which it was saved; kept to a millisecond.
    pub saved_at: Duration,
}

/// After this time what was learned is forgotten.
pub const OLDEST: Duration = Duration::from_secs(30 * 86_400);

impl Store {
    /// Returns what was learned of the lanes of `upstream` and is not too old at `now` (time since
    /// 1970-01-01 UTC), the latest first, at most 4,096.
    ///
    /// Rows that cannot be read are skipped with a warning.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] if the file cannot be read.
    pub async fn lessons(&self, upstream: &str, now: Duration) -> Result<Vec<Lesson>, StoreError> {
        let oldest = millis(now.saturating_sub(OLDEST));
        let rows = self
            .fetch(
                "SELECT account, limit_group, holders, version, state, ended, saved_at_ms \
                 FROM learned WHERE upstream = $1 AND saved_at_ms >= $2 \
                 ORDER BY saved_at_ms DESC LIMIT $3",
                [upstream.into(), oldest.into(), MOST.into()],
            )
            .await?;
        let mut lessons = Vec::with_capacity(rows.len());
        for row in &rows {
            match read(row) {
                Ok(lesson) => lessons.push(lesson),
                Err(why) => {
                    let (account, group) = (named(row, 0), named(row, 1));
                    tracing::warn!(account, group, %why, "what was learned cannot be read: skipped");
                }
            }
        }
        Ok(lessons)
    }

    /// Saves `lessons`, each in place of what was there: all of them, or none.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing or all.
    pub async fn save(&self, upstream: &str, lessons: &[Lesson]) -> Result<(), StoreError> {
        let mut statements = Vec::with_capacity(lessons.len());
        for lesson in lessons {
            // Numbers and words cannot fail to be written.
            let Ok(state) = serde_json::to_string(&lesson.learned) else { continue };
            statements.push(Statement::new(
                "INSERT INTO learned \
                 (upstream, account, limit_group, holders, version, state, ended, saved_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                 ON CONFLICT (upstream, account, limit_group) DO UPDATE SET \
                 holders = excluded.holders, version = excluded.version, state = excluded.state, \
                 ended = excluded.ended, saved_at_ms = excluded.saved_at_ms",
                [
                    upstream.into(),
                    lesson.account.as_str().into(),
                    lesson.group.as_str().into(),
                    lesson.holders.as_str().into(),
                    i64::from(Learned::VERSION).into(),
                    state.as_str().into(),
                    i64::from(lesson.end == LastEnd::Clean).into(),
                    millis(lesson.saved_at).into(),
                ],
            ));
        }
        self.write(statements).await.map(drop)
    }

    /// Deletes what is too old at `now`, of every upstream, and all but the latest 4,096 rows.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    pub async fn forget_old(&self, now: Duration) -> Result<(), StoreError> {
        let delete = Statement::new(
            "DELETE FROM learned WHERE saved_at_ms < $1 OR saved_at_ms < \
             (SELECT MIN(newest.saved_at_ms) FROM \
             (SELECT saved_at_ms FROM learned ORDER BY saved_at_ms DESC LIMIT $2) AS newest)",
            [millis(now.saturating_sub(OLDEST)).into(), MOST.into()],
        );
        self.write(vec![delete]).await.map(drop)
    }
}

/// Why a row is skipped.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("it is of version {0}, and only {known} is known", known = Learned::VERSION)]
    Version(i64),
    #[error("its state is not what this version writes: {0}")]
    State(#[from] serde_json::Error),
    #[error("a column is not what it should be")]
    Column,
}

fn read(row: &[Value]) -> Result<Lesson, Unreadable> {
    let number = |at: usize| row.get(at).and_then(Value::as_number).ok_or(Unreadable::Column);
    let text = |at: usize| row.get(at).and_then(Value::as_text).ok_or(Unreadable::Column);
    let version = number(3)?;
    if version != i64::from(Learned::VERSION) {
        return Err(Unreadable::Version(version));
    }
    Ok(Lesson {
        account: text(0)?.to_owned(),
        group: text(1)?.to_owned(),
        holders: text(2)?.to_owned(),
        learned: serde_json::from_str(text(4)?)?,
        end: if number(5)? == 1 { LastEnd::Clean } else { LastEnd::Cut },
        saved_at: Duration::from_millis(u64::try_from(number(6)?).unwrap_or(0)),
    })
}

fn named(row: &[Value], column: usize) -> &str {
    row.get(column).and_then(Value::as_text).unwrap_or("(unreadable)")
}

/// The most rows that are kept and read: as many lanes as are told apart.
const MOST: i64 = 4096;

//! The table of what was learned of each lane.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::store::{Store, StoreError, millis};
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
        let rows = sqlx::query(
            "SELECT account, limit_group, holders, version, state, ended, saved_at_ms \
             FROM learned WHERE upstream = $1 AND saved_at_ms >= $2 \
             ORDER BY saved_at_ms DESC LIMIT $3",
        )
        .bind(upstream)
        .bind(millis(now.saturating_sub(OLDEST)))
        .bind(MOST)
        .fetch_all(&self.pool)
        .await
        .map_err(|source| self.failed(source))?;
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
        let failed = |source| self.failed(source);
        let mut batch = self.pool.begin().await.map_err(failed)?;
        for lesson in lessons {
            // Numbers and words cannot fail to be written.
            let Ok(state) = serde_json::to_string(&lesson.learned) else { continue };
            sqlx::query(
                "INSERT INTO learned \
                 (upstream, account, limit_group, holders, version, state, ended, saved_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                 ON CONFLICT (upstream, account, limit_group) DO UPDATE SET \
                 holders = excluded.holders, version = excluded.version, state = excluded.state, \
                 ended = excluded.ended, saved_at_ms = excluded.saved_at_ms",
            )
            .bind(upstream)
            .bind(&lesson.account)
            .bind(&lesson.group)
            .bind(&lesson.holders)
            .bind(i64::from(Learned::VERSION))
            .bind(state)
            .bind(i64::from(lesson.end == LastEnd::Clean))
            .bind(millis(lesson.saved_at))
            .execute(&mut *batch)
            .await
            .map_err(failed)?;
        }
        batch.commit().await.map_err(failed)
    }

    /// Deletes what is too old at `now`, of every upstream, and all but the latest 4,096 rows.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    pub async fn forget_old(&self, now: Duration) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM learned WHERE saved_at_ms < $1 OR saved_at_ms < \
             (SELECT MIN(newest.saved_at_ms) FROM \
             (SELECT saved_at_ms FROM learned ORDER BY saved_at_ms DESC LIMIT $2) AS newest)",
        )
        .bind(millis(now.saturating_sub(OLDEST)))
        .bind(MOST)
        .execute(&self.pool)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }
}

/// Why a row is skipped.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("it is of version {0}, and only {known} is known", known = Learned::VERSION)]
    Version(i64),
    #[error("its state is not what this version writes: {0}")]
    State(#[from] serde_json::Error),
    #[error("a column is not what it should be: {0}")]
    Column(#[from] sqlx::Error),
}

fn read(row: &SqliteRow) -> Result<Lesson, Unreadable> {
    let version: i64 = row.try_get(3)?;
    if version != i64::from(Learned::VERSION) {
        return Err(Unreadable::Version(version));
    }
    let ended: i64 = row.try_get(5)?;
    let saved_at: i64 = row.try_get(6)?;
    Ok(Lesson {
        account: row.try_get(0)?,
        group: row.try_get(1)?,
        holders: row.try_get(2)?,
        learned: serde_json::from_str(row.try_get(4)?)?,
        end: if ended == 1 { LastEnd::Clean } else { LastEnd::Cut },
        saved_at: Duration::from_millis(u64::try_from(saved_at).unwrap_or(0)),
    })
}

fn named(row: &SqliteRow, column: usize) -> String {
    row.try_get(column).unwrap_or_else(|_| "(unreadable)".to_owned())
}

/// The most rows that are kept and read: as many lanes as are told apart.
const MOST: i64 = 4096;

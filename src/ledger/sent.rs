//! What was sent not long ago: from it meters go on after a restart.

use std::time::Duration;

use super::fault::StoreError;
use super::row::{Value, millis};
use super::store::Store;
use crate::limit::{Cost, PastUse};
use crate::units::AppName;

/// A request that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The account that it was sent for.
    pub account: String,
    /// The model that was asked for.
    pub model: String,
    /// What it used; of what is not booked, or is lost, what was expected. How long ago it was is as of the `now`
    /// that was given.
    pub used: PastUse,
}

impl Store {
    /// Returns what was sent to `upstream` from `since` to `now` (times since 1970-01-01 UTC), the latest first, at
    /// most 50,000; without what the provider never saw.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the store cannot be read.
    pub async fn sent(
        &self,
        upstream: &str,
        since: Duration,
        now: Duration,
    ) -> Result<Vec<Sent>, StoreError> {
        // What was sent since was booked since, or is not booked.
        let sql = "SELECT facets.account, facets.sent_model, entries.sent_ms, entries.ending, \
                   entries.est_input, entries.est_output, entries.input, entries.output, entries.images \
                   FROM entries JOIN facets ON facets.id = entries.facet \
                   WHERE (entries.booked_ms >= $1 OR entries.booked_ms IS NULL) AND entries.sent_ms >= $1 \
                   AND facets.upstream = $2 AND (entries.ending IS NULL OR entries.ending <> 'unsent') \
                   ORDER BY entries.sent_ms DESC LIMIT $3";
        let rows = self.fetch(sql, [millis(since).into(), upstream.into(), MOST.into()]).await?;
        Ok(rows.iter().map(|row| sent(row, now)).collect())
    }
}

/// What an app sent within a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppUse {
    /// The app.
    pub app: AppName,
    /// How long before the `now` that was given that second was over.
    pub ago: Duration,
    /// What it came to; of what is not booked, or is lost, what was expected.
    pub cost: Cost,
}

impl Store {
    /// Returns what each app sent from `since` to `now` (times since 1970-01-01 UTC), the earliest first, the last
    /// 200,000 of such seconds; without what the provider never saw.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the store cannot be read.
    pub async fn sent_by_apps(
        &self,
        since: Duration,
        now: Duration,
    ) -> Result<Vec<AppUse>, StoreError> {
        let sql = "SELECT facets.app, entries.sent_ms / 1000, COUNT(*), CAST(SUM(CASE \
                   WHEN entries.ending = 'refused' THEN 0 \
                   WHEN entries.booked_ms IS NULL THEN entries.est_input + COALESCE(entries.est_output, 0) \
                   ELSE entries.input + entries.output END) AS BIGINT) \
                   FROM entries JOIN facets ON facets.id = entries.facet \
                   WHERE (entries.booked_ms >= $1 OR entries.booked_ms IS NULL) AND entries.sent_ms >= $1 \
                   AND (entries.ending IS NULL OR entries.ending <> 'unsent') \
                   GROUP BY facets.app, entries.sent_ms / 1000 \
                   ORDER BY entries.sent_ms / 1000 DESC LIMIT $2";
        let rows = self.fetch(sql, [millis(since).into(), MOST_SECONDS.into()]).await?;
        Ok(rows.iter().rev().map(|row| app_use(row, now)).collect())
    }
}

fn app_use(row: &[Value], now: Duration) -> AppUse {
    let number = |at: usize| {
        let number = row.get(at).and_then(Value::as_number).unwrap_or_default();
        u64::try_from(number).unwrap_or_default()
    };
    let app = AppName::new(row.first().and_then(Value::as_text).unwrap_or_default());
    let ago = now.saturating_sub(Duration::from_secs(number(1).saturating_add(1)));
    AppUse { app, ago, cost: Cost { requests: number(2), tokens: number(3) } }
}

fn sent(row: &[Value], now: Duration) -> Sent {
    let text = |at: usize| row.get(at).and_then(Value::as_text).unwrap_or_default().to_owned();
    let number = |at: usize| {
        let number = row.get(at).and_then(Value::as_number).unwrap_or_default();
        u64::try_from(number).unwrap_or_default()
    };
    let ago = now.saturating_sub(Duration::from_millis(number(2)));
    let bound = number(5);
    let (input, output) = match row.get(3).and_then(Value::as_text) {
        // Its request was charged.
        Some("refused") => {
            return Sent {
                used: PastUse { ago, ..PastUse::default() },
                account: text(0),
                model: text(1),
            };
        }
        None => (number(4), bound),
        Some(_) => (number(6).max(number(4)), number(7)),
    };
    let used = PastUse { ago, input, bound, output, images: number(8) };
    Sent { account: text(0), model: text(1), used }
}

/// The most that is read.
const MOST: i64 = 50_000;
/// The most seconds of apps that are read.
const MOST_SECONDS: i64 = 200_000;

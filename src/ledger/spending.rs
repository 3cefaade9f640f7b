//! What was spent so far: from it budgets go on after a restart.

use std::sync::Arc;
use std::time::Duration;

use super::row::{LABEL_BREAK, Value};
use super::store::{Store, StoreError, millis};
use crate::units::{AppName, PicoUsd};

/// What an app spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// The app.
    pub app: AppName,
    /// Its labels when it did.
    pub labels: Vec<Arc<str>>,
    /// How much, of what has a price.
    pub cost: PicoUsd,
}

impl Store {
    /// Returns what was booked from `begin` to before `end` (times since 1970-01-01 UTC), by app and labels. What was
    /// sent then and is not booked counts as what it was expected to cost.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn spent(&self, begin: Duration, end: Duration) -> Result<Vec<Spent>, StoreError> {
        let rows = self
            .fetch(
                "SELECT facets.app, facets.labels, CAST(SUM(entries.cost_pico) AS BIGINT) \
                 FROM entries JOIN facets ON facets.id = entries.facet \
                 WHERE entries.cost_pico > 0 AND (entries.booked_ms >= $1 AND entries.booked_ms < $2 \
                 OR entries.booked_ms IS NULL AND entries.sent_ms >= $1 AND entries.sent_ms < $2) \
                 GROUP BY facets.app, facets.labels",
                [millis(begin).into(), millis(end).into()],
            )
            .await?;
        let spent = rows.iter().map(|row| {
            let labels = row.get(1).and_then(Value::as_text).unwrap_or_default();
            let cost = row.get(2).and_then(Value::as_number).unwrap_or_default();
            Spent {
                app: AppName::new(row.first().and_then(Value::as_text).unwrap_or_default()),
                labels: labels
                    .split(LABEL_BREAK)
                    .filter(|label| !label.is_empty())
                    .map(Arc::from)
                    .collect(),
                cost: PicoUsd::new(u64::try_from(cost).unwrap_or_default()),
            }
        });
        Ok(spent.collect())
    }
}

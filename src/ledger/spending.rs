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
    /// Returns what was booked since `since` (time since 1970-01-01 UTC), by app and labels.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn spent(&self, since: Duration) -> Result<Vec<Spent>, StoreError> {
        let rows = self
            .fetch(
                "SELECT facets.app, facets.labels, CAST(SUM(entries.cost_pico) AS BIGINT) \
                 FROM entries JOIN facets ON facets.id = entries.facet \
                 WHERE entries.booked_ms >= $1 AND entries.cost_pico > 0 \
                 GROUP BY facets.app, facets.labels",
                [millis(since).into()],
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

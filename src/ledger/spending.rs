//! What was spent so far: from it budgets go on after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::fault::StoreError;
use super::store::Store;
use super::usage::Reading;
use crate::report::{Facet, Range};
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
        let mut reading = Reading::of(self.clone());
        let mut spent: BTreeMap<_, PicoUsd> = BTreeMap::new();
        let mut add = |facet: &Facet, cost: PicoUsd| {
            let sum = spent.entry((Arc::clone(&facet.app), facet.labels.clone())).or_default();
            *sum = *sum + cost;
        };
        for line in reading.lines(Range { begin, end }).await? {
            add(&line.facet, line.sums.cost);
        }
        for (facet, cost) in reading.expected(begin, end).await? {
            add(&facet, cost);
        }
        let spent = spent.into_iter().filter(|(_, cost)| *cost > PicoUsd::ZERO);
        Ok(spent
            .map(|((app, labels), cost)| Spent { app: AppName::new(app), labels, cost })
            .collect())
    }
}

//! Tells budgets what was spent before they began to count: by earlier runs, or before they were configured.

use std::time::Duration;

use tokio::time::sleep;

use crate::budget::Payer;
use crate::ledger::{Ledger, Spent, Store, StoreError};
use crate::settle::Purse;

/// Tells the budgets what the store has of their present periods and they do not know.
///
/// # Errors
///
/// Returns a [`StoreError`] where that cannot be read: nobody may spend a period's money twice.
pub(super) async fn recall(store: &Store, purse: &Purse) -> Result<(), StoreError> {
    for gap in purse.gaps() {
        let spent = store.spent(gap.begin, gap.end).await?;
        let by_payer = |Spent { app, labels, cost }| (Payer { app, labels: labels.into() }, cost);
        let spent: Vec<_> = spent.into_iter().map(by_payer).collect();
        purse.recall(gap, &spent);
    }
    Ok(())
}

/// Does the same while the program runs, when what was booked until now is in the store.
pub(super) async fn recall_late(store: &Store, ledger: &Ledger, purse: &Purse) {
    for _look in 0..LOOKS {
        sleep(BETWEEN).await;
        if ledger.state().is_none_or(|state| state.waiting == 0 && state.spilled_bytes == 0) {
            break;
        }
    }
    if let Err(error) = recall(store, purse).await {
        tracing::error!(%error, "new budgets do not know what was spent before: read the configuration again");
    }
}

/// How often, and how long apart, it is looked whether all that was booked is stored.
const LOOKS: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(50);

//! Tells budgets what was spent before they began to count, by earlier runs or before they were configured; and apps'
//! own quotas what was used.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admit::Allotments;
use crate::budget::Payer;
use crate::clock::WallClock;
use crate::ledger::{AppUse, Ledger, Spent, Store, StoreError};
use crate::limit::Cost;
use crate::settle::Purse;
use crate::units::AppName;

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

/// Tells the apps' own quotas what each app has used within a day.
///
/// # Errors
///
/// Returns a [`StoreError`] where that cannot be read.
pub(super) async fn recall_quotas(
    store: &Store,
    allotments: &Allotments,
) -> Result<(), StoreError> {
    if allotments.is_empty() {
        return Ok(());
    }
    let at = Instant::now();
    let now = WallClock::from_system().since_epoch(at);
    let mut past: HashMap<AppName, Vec<Used>> = HashMap::new();
    for AppUse { app, ago, cost } in store.sent_by_apps(now.saturating_sub(A_DAY), now).await? {
        past.entry(app).or_default().push((ago, cost));
    }
    for (app, past) in &past {
        allotments.recall(app, past, at);
    }
    Ok(())
}

/// Does what [`recall`] does while the program runs, when what was booked until now is in the store.
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

/// How long ago it was, and how much.
type Used = (Duration, Cost);

/// How often, and how long apart, it is looked whether all that was booked is stored.
const LOOKS: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(50);
/// The longest that an app's quota lasts.
const A_DAY: Duration = Duration::from_secs(86_400);

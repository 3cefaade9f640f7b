//! Deletes single entries that are older than they are to be kept, a few at a time: their sums stay.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::clock::WallClock;
use crate::ledger::{Ledger, Store};

/// Deletes old entries in the background.
#[derive(Debug)]
pub(super) struct Pruning {
    /// Where they are.
    pub(super) store: Store,
    /// How long an entry is kept; `None`: for ever.
    pub(super) keep: Option<Duration>,
    /// Who writes them.
    pub(super) ledger: Ledger,
}

impl Pruning {
    /// Deletes until it is told that all is over.
    ///
    /// It begins a while after the start, which has enough to do.
    pub(super) async fn run(self, mut told: watch::Receiver<bool>) {
        let Some(keep) = self.keep else { return };
        let mut pause = FIRST;
        loop {
            tokio::select! {
                _told = told.changed() => return,
                () = sleep(pause) => {}
            }
            pause = self.step(keep).await;
        }
    }

    /// Deletes a few, and returns when there is to be a next step.
    async fn step(&self, keep: Duration) -> Duration {
        let now = WallClock::from_system().since_epoch(Instant::now());
        match self.store.forget_entries(now.saturating_sub(keep), AT_ONCE, &self.ledger).await {
            Ok(gone) if gone >= u64::from(AT_ONCE) => BETWEEN,
            Ok(_) => SELDOM,
            Err(error) => {
                tracing::warn!(%error, "old entries are not deleted for now");
                SELDOM
            }
        }
    }
}

/// How many entries are deleted in one step: while it lasts, nothing else is written.
const AT_ONCE: u32 = 500;
/// How long others have the store between two steps, which is some ten times as long as a step.
const BETWEEN: Duration = Duration::from_millis(100);
/// How long after the start the first step is.
const FIRST: Duration = Duration::from_secs(60);
/// How long after the last that was old it is looked again.
const SELDOM: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::ledger::Reading;
    use crate::report::Range;

    #[tokio::test]
    async fn where_nothing_is_old_nothing_is_deleted_and_it_is_looked_again_later() {
        let home = TempDir::new().expect("a folder");
        let store = Store::place(home.path()).expect("a file");
        store.update().await.expect("a schema");
        let (keep, ledger) = (Some(Duration::ZERO), Ledger::default());
        let pruning = Pruning { store: store.clone(), keep, ledger };
        assert_eq!(pruning.step(Duration::ZERO).await, SELDOM);
        assert_eq!(Reading::of(store).lines(Range::ALL).await.expect("readable"), []);
    }

    #[tokio::test(start_paused = true)]
    async fn for_ever_is_not_looked_at_all() {
        let home = TempDir::new().expect("a folder");
        let store = Store::place(home.path()).expect("a file");
        let pruning = Pruning { store, keep: None, ledger: Ledger::default() };
        let (_over, told) = watch::channel(false);
        pruning.run(told).await;
    }
}

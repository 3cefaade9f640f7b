//! How the clerk tells that the store takes nothing, and when it tries again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::clerk::{Busy, Work};
use super::fault::StoreError;

/// Why the store gets nothing until when.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) again: Instant,
    pause: Duration,
}

impl Work {
    /// Takes in that the store took something.
    pub(super) fn recovered(&mut self) {
        self.noted[0] = self.noted[1];
        self.trouble = None;
        self.spill_fails = false;
        if self.is_stuck() {
            tracing::info!("the ledger is stored again");
            self.shared.set_trouble(None);
        }
    }

    /// Tells whether the store takes nothing for now.
    pub(super) fn is_stuck(&self) -> bool {
        self.shared.is_stuck.load(Ordering::Relaxed)
    }

    /// Notes that the store hangs if it has been busy for too long; what becomes of its work is seen later.
    pub(super) fn note_hanging(&self, now: Instant) {
        let hangs =
            |busy: &Busy| now.saturating_duration_since(busy.began) >= HANGING && !self.is_stuck();
        if self.busy.as_ref().is_some_and(hangs) {
            tracing::warn!("the ledger's store does not answer, and takes nothing for now");
            self.shared.set_trouble(Some(HANGS.to_owned()));
        }
    }

    /// Takes in that the store took nothing, and leaves it alone for a while.
    pub(super) fn failed(&mut self, error: &StoreError) {
        let pause = self.trouble.as_ref().map_or(FIRST_PAUSE, |trouble| trouble.pause * 2);
        let pause = pause.min(LONGEST_PAUSE);
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        if !self.is_stuck() {
            tracing::warn!(%error, cause, "the ledger's store takes nothing for now");
        }
        let words = if cause.is_empty() { error.to_string() } else { format!("{error}: {cause}") };
        self.shared.set_trouble(Some(words));
        self.trouble = Some(Trouble { again: Instant::now() + pause, pause });
    }
}

/// After so long a store that does not answer counts as one that takes nothing.
pub(super) const HANGING: Duration = Duration::from_secs(1);
const HANGS: &str = "the database does not answer";
/// How long a store that failed is left alone, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

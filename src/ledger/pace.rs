//! When the clerk has something to do.

use std::time::Duration;

use tokio::time::Instant;

use super::clerk::{Queued, Work};
use super::store::Store;
use super::trouble::HANGING;
use crate::config::Durability;

/// How long entries wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// For the store, until they are written beside it.
    pub(super) beside: Duration,
    /// For others: the least time between two transactions.
    pub(super) between: Duration,
}

impl Pace {
    /// Returns how long entries of `store` wait.
    pub(super) fn of(store: &Store, durability: Durability) -> Self {
        match durability {
            Durability::Relaxed => Self { beside: PATIENCE, between: GATHERING },
            // The file beside it is as safe.
            _ if store.is_file() => Self { beside: Duration::ZERO, between: IN_BULK },
            _ => Self { beside: PATIENCE, between: Duration::ZERO },
        }
    }
}

impl Work {
    /// Returns when something is to be done though nothing happens.
    pub(super) fn next_look(&self) -> Instant {
        let now = Instant::now();
        let due = self.due(now);
        let due = match (&self.busy, &self.trouble) {
            (Some(_), _) => None,
            (None, Some(trouble)) => due.map(|due| due.max(trouble.again)),
            (None, None) => due,
        };
        let storing = self.busy.as_ref().and_then(|busy| busy.since).map(|since| since + PATIENCE);
        let late = self.first_unsafe().map(|first| first.since + self.pace.beside);
        let hangs = self.busy.as_ref().map(|busy| busy.began + HANGING);
        let opened = self.opened_at.filter(|_| self.spills_opened()).map(|at| at + TOGETHER);
        // What could not be done in time is tried again when something happens.
        let ahead = [storing, late, hangs, opened].map(|at| at.filter(|at| *at > now));
        let looks = ahead.into_iter().chain([due]).flatten();
        looks.min().unwrap_or(now + Duration::from_secs(60))
    }

    /// Returns when the store is to have what waits; `None` where nothing does.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let paced =
            |since: Instant| self.began.map_or(since, |at| since.max(at + self.pace.between));
        // Somebody waits for it, and it cannot be written beside the store.
        let owed =
            self.first_unsafe().filter(|first| first.told.is_some()).map(|first| first.since);
        let closed = self.queue.front().map(|first| paced(first.since));
        let opened = self.opened_at.map(|since| paced(since + TOGETHER));
        let spilled = self.spill.as_ref().filter(|spill| spill.has_unread());
        let unnoted = self.unnoted() > 0;
        let rest = (spilled.is_some() || unnoted).then_some(now);
        [owed, closed, opened, rest].into_iter().flatten().min()
    }

    /// Returns how many entries in front of the queue lie beside the store.
    pub(super) fn safe(&self) -> usize {
        self.queue.partition_point(|queued| queued.beside.is_some())
    }

    /// Returns the first entry that does not lie beside the store.
    pub(super) fn first_unsafe(&self) -> Option<&Queued> {
        self.queue.get(self.safe())
    }

    /// Tells whether what is only opened is written beside the store.
    pub(super) fn spills_opened(&self) -> bool {
        self.is_stuck() || self.pace.beside.is_zero()
    }
}

/// How long the store is waited for before an entry goes beside it.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);
/// How long what was sent waits for its end, or for others, before it is written.
pub(super) const TOGETHER: Duration = Duration::from_millis(10);
/// How long entries are gathered where nobody waits for them.
const GATHERING: Duration = Duration::from_millis(100);
/// How long they are gathered where they lie beside the store.
const IN_BULK: Duration = Duration::from_millis(50);

//! Where whoever closes an entry writes it beside the store itself, while the clerk does not need the file.
//!
//! # What this module owns
//!
//! The [`Spill`] and the [`Pen`], as long as the clerk has [lent](Journal::lend) them: to wake it for each entry, and to be
//! woken by its receipt, costs more than all that is to be done.
//!
//! # Invariants
//!
//! 1. Nobody waits for it: who finds it in somebody's hands, or slow, or full, leaves the entry to the clerk.
//! 2. Entries stand in [`Lent::written`] in the order in which they lie in the file.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use tokio::time::Instant;

use super::aside::QUICK;
use super::clerk::Queued;
use super::entry::{Closing, Opening};
use super::pen::Pen;
use super::spill::{Frames, Spill};
use crate::clock::WallClock;

/// The file beside the store, while it is nobody's.
#[derive(Debug, Default)]
pub(super) struct Journal {
    lent: Mutex<Option<Lent>>,
}

/// What the clerk lends, and gets back.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) spill: Spill,
    pub(super) pen: Pen,
    /// This start of the program.
    pub(super) run: i64,
    /// What was written since it was lent.
    pub(super) written: Vec<Queued>,
    /// Whether the clerk will look without being rung for.
    pub(super) is_awaited: bool,
    /// Whether the disk made somebody wait.
    pub(super) is_slow: bool,
    /// Where records are put together.
    pub(super) frames: Frames,
}

impl Journal {
    /// Lets others write until it is [taken back](Self::try_take).
    pub(super) fn lend(&self, lent: Lent) {
        *self.lent.lock().unwrap_or_else(PoisonError::into_inner) = Some(lent);
    }

    /// Takes back what was lent; nothing, where nothing was.
    ///
    /// # Errors
    ///
    /// Returns [`InUse`] while somebody writes.
    pub(super) fn try_take(&self) -> Result<Option<Lent>, InUse> {
        Ok(self.hold().ok_or(InUse)?.take())
    }

    /// Writes down the attempt `seq`, which is over, and tells for how many bytes of entries there is room then, and how
    /// many bytes of records lie there. Returns whether the clerk is to be rung for; nothing where all is left to it.
    pub(super) fn write(
        &self,
        seq: i64,
        (opening, closing): (&Opening, &Closing),
        tell: impl FnOnce(u64, u64),
    ) -> Option<bool> {
        let mut held = self.hold()?;
        let lent =
            held.as_mut().filter(|lent| !lent.is_slow && lent.written.len() < MOST_WRITTEN)?;
        let now = Instant::now();
        let clock = WallClock::from_system();
        let row = lent.pen.row((lent.run, seq), opening, Some(closing), clock);
        lent.frames.clear();
        let end = lent.spill.add(&row, &mut lent.frames)?;
        let written = lent.spill.write(&lent.frames);
        // One that was slow is left to whoever has a thread to lose.
        lent.is_slow = now.elapsed() > QUICK;
        written.ok()?;
        lent.spill.skip();
        lent.written.push(Queued { row, told: None, since: now, beside: Some(end) });
        // As long as it is held: what the clerk tells then is newer.
        tell(lent.spill.left(), lent.spill.held());
        let rings = !std::mem::replace(&mut lent.is_awaited, true)
            || lent.is_slow
            || lent.written.len() == MOST_WRITTEN;
        Some(rings)
    }

    fn hold(&self) -> Option<MutexGuard<'_, Option<Lent>>> {
        match self.lent.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Somebody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InUse;

/// So many entries are written before the clerk takes them.
const MOST_WRITTEN: usize = 1_024;

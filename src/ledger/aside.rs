//! What the clerk does when the store does not take an entry in time, and when it is back.

use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::clerk::{Busy, Doing, MOST_AT_ONCE, MOST_KEPT, Queued, Work};
use super::fault::StoreError;
use super::job::Job;
use super::journal::Lent;
use super::pace::{PATIENCE, TOGETHER};
use super::spill::Spill;
use crate::config::{Durability, WhenFull};

impl Work {
    /// Takes a file beside the store; without one the store is all there is.
    pub(super) async fn take_spill(&mut self) {
        let run = self.kept.run;
        let (folder, size) = self.spill_place.clone();
        let path = folder.clone();
        let taken = tokio::task::spawn_blocking(move || Spill::take(&path, run, size)).await;
        match taken {
            Ok(Ok((spill, others))) => {
                if others > 0 {
                    let folder = folder.display();
                    tracing::warn!(others, %folder, "other programs keep their ledger here, too");
                }
                let is_synced = self.kept.durability == Durability::Fsync;
                self.shared.damaged.fetch_add(spill.damaged(), Ordering::Relaxed);
                self.spill = Some(if is_synced { spill.sync() } else { spill });
            }
            Ok(Err(error)) => {
                let folder = folder.display();
                tracing::warn!(%error, %folder, "entries cannot be kept beside the store");
            }
            Err(_) => {}
        }
        self.tell_state();
    }

    /// Forgets what lies beside the store until `end`: it is stored.
    pub(super) async fn clear_spill(&mut self, end: u64) {
        let cleared = self.with_spill(move |spill| spill.stored_to(end)).await;
        match cleared {
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => {
                self.find_spill(&error).await;
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "what was kept beside the store is stored, and stays there");
            }
            Some(Ok(())) | None => {}
        }
    }

    /// Makes another file where the one that was taken was deleted: what is in memory is written there again.
    async fn find_spill(&mut self, error: &io::Error) {
        tracing::warn!(%error, "what was kept beside the store is gone");
        self.spill = None;
        let busy = self.busy.as_mut().map(|busy| &mut busy.what);
        // Places in a file that is gone are none in the next.
        match busy {
            Some(Doing::Entries(entries)) => {
                entries.iter_mut().for_each(|queued| queued.beside = None);
            }
            Some(what @ Doing::Spilled(_)) => *what = Doing::Entries(Vec::new()),
            None => {}
        }
        self.queue.iter_mut().for_each(|queued| queued.beside = None);
        self.take_spill().await;
    }

    /// Does something with the file; `None` where there is none. As long as the disk is quick, that takes less than
    /// another thread's beginning would.
    async fn with_spill<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Spill) -> T + Send + 'static,
    ) -> Option<T> {
        let mut spill = self.spill.take()?;
        let began = Instant::now();
        let (done, spill) = if self.spill_is_slow || spill.is_synced() {
            let working = tokio::task::spawn_blocking(move || (work(&mut spill), spill));
            working.await.ok()?
        } else {
            (work(&mut spill), spill)
        };
        self.spill_is_slow = began.elapsed() > QUICK;
        self.spill = Some(spill);
        Some(done)
    }

    /// Forgets what is in memory and lies beside the store: it is read there again.
    pub(super) fn leave_beside(&mut self) {
        self.queue.retain(|queued| queued.beside.is_none());
        if let Some(spill) = &mut self.spill {
            spill.rewind();
        }
    }

    /// Writes beside the store what it did not take in time; at once while it takes nothing.
    pub(super) async fn spill_late(&mut self, now: Instant) {
        if let Some(Busy { what: Doing::Entries(entries), since, .. }) = &mut self.busy
            && since.take_if(|since| now.saturating_duration_since(*since) >= PATIENCE).is_some()
        {
            // Should the store write them after all, that is writing them once.
            let (beside, late) =
                std::mem::take(entries).into_iter().partition(|entry| entry.beside.is_some());
            *entries = beside;
            self.put_back(late);
        }
        if self.spills_opened() && self.opened_at.is_some_and(|at| now >= at + TOGETHER) {
            self.queue_opened(now.checked_sub(TOGETHER).unwrap_or(now));
        }
        let patience = if self.is_stuck() { Duration::ZERO } else { self.pace.beside };
        let first = self.first_unsafe().map(|first| first.since);
        if first.is_none_or(|first| now.saturating_duration_since(first) < patience) {
            return;
        }
        self.spill_all().await;
        if self.kept.when_full == WhenFull::GoOn && self.is_stuck() {
            let lost = self.queue.split_off(self.safe());
            let booked = lost.iter().filter(|entry| entry.row.is_booked()).count();
            self.shared.unbooked.fetch_add(booked as u64, Ordering::Relaxed);
            give_receipts(lost);
        }
    }

    /// Lets those who close entries write them beside the store, if nothing else is to be done there first.
    pub(super) fn lend(&mut self) {
        let is_free = self.pace.beside.is_zero()
            && !self.is_stuck()
            && !self.spill_is_slow
            && !self.spill_fails
            && self.queue.len() < MOST_KEPT
            && self.safe() == self.queue.len();
        let may_lend = |spill: &mut Spill| is_free && !spill.is_synced() && !spill.has_unread();
        if let Some(spill) = self.spill.take_if(may_lend) {
            self.shared.journal.lend(Lent {
                spill,
                pen: std::mem::take(&mut self.pen),
                run: self.kept.run,
                written: std::mem::take(&mut self.written),
                is_awaited: !self.queue.is_empty() || self.busy.is_some(),
                is_slow: false,
                frames: std::mem::take(&mut self.frames),
            });
        }
    }

    /// Takes back what was lent.
    pub(super) async fn take_back(&mut self) {
        for tries in 0_u32.. {
            let Ok(lent) = self.shared.journal.try_take() else {
                // Whoever has it is writing: a moment, but where the disk hangs.
                if tries < 16 {
                    tokio::task::yield_now().await;
                } else {
                    sleep(QUICK).await;
                }
                continue;
            };
            if let Some(Lent { spill, pen, written, is_slow, frames, .. }) = lent {
                (self.spill, self.pen, self.frames) = (Some(spill), pen, frames);
                self.written = written;
                self.spill_is_slow |= is_slow;
            }
            return;
        }
    }

    /// Puts entries that do not lie beside the store in front of those that wait as they do.
    fn put_back(&mut self, late: Vec<Queued>) {
        let mut behind = self.queue.split_off(self.safe());
        self.queue.extend(late);
        self.queue.append(&mut behind);
    }

    /// Writes as much of the queue beside the store as has room, gives the receipts, and keeps in memory what the
    /// store is to have next.
    pub(super) async fn spill_all(&mut self) {
        let mut written = self.write_beside().await;
        if let Err(error) = &written
            && error.kind() == ErrorKind::NotFound
        {
            self.find_spill(error).await;
            written = self.write_beside().await;
        }
        if let Err(error) = &written
            && !self.spill_fails
        {
            tracing::warn!(%error, "entries cannot be kept beside the store");
        }
        self.spill_fails = written.is_err();
    }

    async fn write_beside(&mut self) -> io::Result<()> {
        let Some(spill) = &self.spill else { return Ok(()) };
        let first = self.safe();
        let frames = spill.frames(self.queue.iter().skip(first).map(|queued| &queued.row));
        let is_read = !spill.has_unread();
        if frames.ends.is_empty() {
            return Ok(());
        }
        let writing = self.with_spill(move |spill| spill.write(&frames).map(|()| frames.ends));
        let ends = writing.await.unwrap_or_else(|| Ok(Vec::new()))?;
        let some = ends.len();
        // Whoever has a receipt finds it told.
        self.tell_state();
        for (queued, end) in self.queue.iter_mut().skip(first).zip(ends) {
            queued.beside = Some(end);
            queued.told.take().into_iter().for_each(give_receipt);
        }
        if is_read && !self.is_stuck() && self.queue.len() <= MOST_KEPT {
            self.spill.iter_mut().for_each(Spill::skip);
        } else {
            self.queue.drain(first..first + some);
        }
        Ok(())
    }

    /// Reads what is to be stored of the spill: entries, or that a run is over; and up to where that is.
    pub(super) async fn spilled_job(&mut self) -> Option<(Job, u64)> {
        self.spill.as_ref().filter(|spill| spill.has_unread())?;
        let read = self.with_spill(|spill| spill.next(MOST_AT_ONCE)).await?;
        match read {
            Ok(read) => {
                let end = read.end;
                Some((Job::of(read), end))
            }
            Err(source) => {
                // It is tried again, as with the store itself.
                self.failed(&StoreError::File { path: self.spill_place.0.clone(), source });
                None
            }
        }
    }
}

pub(super) fn give_receipts(entries: impl IntoIterator<Item = Queued>) {
    entries.into_iter().filter_map(|entry| entry.told).for_each(give_receipt);
}

fn give_receipt(told: oneshot::Sender<()>) {
    // Whoever hung up does not wait.
    let _told = told.send(());
}

/// A disk that takes longer keeps no thread that serves requests.
pub(super) const QUICK: Duration = Duration::from_millis(1);

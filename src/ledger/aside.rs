//! What the clerk does when the store does not take an entry in time, and when it is back.

use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::clerk::{Busy, Doing, MOST_AT_ONCE, PATIENCE, Queued, TOGETHER, Work};
use super::job::Job;
use super::spill::{Record, Spill};
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

    /// Forgets the spill when all of it is stored.
    pub(super) async fn clear_spill(&mut self) {
        let Some(mut spill) = self.spill.take_if(|spill| !spill.has_unread()) else { return };
        let run = self.kept.run;
        let clearing = tokio::task::spawn_blocking(move || (spill.clear(run), spill));
        let Ok((cleared, spill)) = clearing.await else { return };
        self.spill = Some(spill);
        if let Err(error) = cleared {
            tracing::warn!(%error, "what was kept beside the store is stored, and stays there");
        }
    }

    /// Spills what the store did not take in time; at once while it takes nothing.
    pub(super) async fn spill_late(&mut self, now: Instant) {
        let is_late = |since: Instant| now.saturating_duration_since(since) >= PATIENCE;
        if let Some(Busy { what: Doing::Entries(entries), since, .. }) = &mut self.busy
            && is_late(*since)
            && !entries.is_empty()
        {
            // Should the store write them after all, that is writing them once.
            let entries = std::mem::take(entries);
            entries.into_iter().rev().for_each(|entry| self.queue.push_front(entry));
        }
        if self.is_stuck() && self.opened_at.is_some_and(|at| now >= at + TOGETHER) {
            self.queue_opened();
        }
        let first = self.queue.front().map(|first| first.since);
        if first.is_none_or(|first| !self.is_stuck() && !is_late(first)) {
            return;
        }
        let kept = self.spill_all().await;
        give_receipts(self.queue.drain(..kept).collect());
        if self.kept.when_full == WhenFull::GoOn && !self.queue.is_empty() {
            let lost: Vec<Queued> = self.queue.drain(..).collect();
            let booked = lost.iter().filter(|entry| entry.row.is_booked()).count();
            self.shared.unbooked.fetch_add(booked as u64, Ordering::Relaxed);
            give_receipts(lost);
        }
    }

    /// Appends as much of the queue to the spill as has room, and returns how many entries that are.
    pub(super) async fn spill_all(&mut self) -> usize {
        let mut appended = self.append_all().await;
        if let Err(error) = &appended
            && error.kind() == ErrorKind::NotFound
        {
            // It was deleted, with what was in it: another one is made, once.
            tracing::warn!(%error, "what was kept beside the store is gone");
            self.spill = None;
            self.take_spill().await;
            appended = self.append_all().await;
        }
        if let Err(error) = &appended
            && !self.spill_fails
        {
            tracing::warn!(%error, "entries cannot be kept beside the store");
        }
        self.spill_fails = appended.is_err();
        appended.unwrap_or_default()
    }

    async fn append_all(&mut self) -> io::Result<usize> {
        let Some(mut spill) = self.spill.take() else { return Ok(0) };
        let rows = self.queue.iter().map(|entry| Record::Entry(entry.row.clone()));
        let records: Vec<Record> = rows.collect();
        let appending = tokio::task::spawn_blocking(move || (spill.append(&records), spill));
        let Ok((appended, spill)) = appending.await else { return Ok(0) };
        self.spill = Some(spill);
        appended
    }

    /// Reads what is to be stored of the spill: entries, or that a run is over.
    pub(super) async fn spilled_job(&mut self) -> Option<Job> {
        let mut spill = self.spill.take_if(|spill| spill.has_unread())?;
        let reading = tokio::task::spawn_blocking(move || (spill.next(MOST_AT_ONCE), spill));
        let (records, spill) = reading.await.ok()?;
        self.spill = Some(spill);
        let records = records.inspect_err(|error| {
            tracing::warn!(%error, "what is kept beside the store cannot be read");
        });
        let (mut rows, mut over) = (Vec::new(), Vec::new());
        for record in records.unwrap_or_default() {
            match record {
                Record::Entry(row) => rows.push(row),
                // Runs that are over came before this one: theirs are read by then.
                Record::Over(run) => over.push(run),
            }
        }
        Some(Job::new(rows.into_iter(), over))
    }
}

pub(super) fn give_receipts(entries: Vec<Queued>) {
    for told in entries.into_iter().filter_map(|entry| entry.told) {
        // Whoever hung up does not wait.
        let _told = told.send(());
    }
}

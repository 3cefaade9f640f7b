//! The task that books: it gathers, lets the store write, and spills what the store does not take in time.
//!
//! # What this module owns
//!
//! The order of things. What is closed goes to the store with all that came meanwhile, in one go; what is only opened
//! waits a moment for its end or for others. What the store does not have in time ([`Pace`]) is written into the
//! [`Spill`] beside it, and counts as stored: where the store is a file, that is at once, for a few bytes at the end of
//! another file cost far less than a transaction; the store then gets many entries in one. The store is written by a
//! task of its own, so that one that hangs keeps nobody.
//!
//! # Invariants
//!
//! 1. A receipt is given when the entry is in the store or beside it, or, if so configured, when there is
//!    room in neither and it is counted as unbooked.
//! 2. Writing an entry twice is writing it once: a run and a number name it.
//! 3. Of what lies beside the store, what is in memory too is the older part, and goes to the store first.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::aside::give_receipts;
use super::base::Base;
use super::desk::{Kept, Ledger, Note, Shared};
use super::entry::Opening;
use super::fault::StoreError;
use super::job::Job;
use super::pace::{PATIENCE, Pace, TOGETHER};
use super::pen::Pen;
use super::row::Row;
use super::spill::{Frames, Spill};
use super::store::Store;
use super::trouble::Trouble;
use crate::clock::WallClock;
use crate::config::{Durability, WhenFull};

/// How a ledger is to be kept.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What an answer waits for.
    pub durability: Durability,
    /// What becomes of requests that cannot be booked.
    pub when_full: WhenFull,
    /// The folder of the file beside the store.
    pub spill_dir: PathBuf,
    /// How large that file is made, in bytes.
    pub spill_bytes: u64,
}

/// Keeps a ledger until it is told that all is over.
#[derive(Debug)]
pub struct Clerk {
    over: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Clerk {
    /// Begins to keep `ledger` in `store`. Must be called within a tokio runtime.
    ///
    /// What earlier runs left beside the store, and what they left open, is booked first.
    pub fn keep(ledger: &Ledger, store: Store, terms: Terms) -> Self {
        let Terms { durability, when_full, spill_dir, spill_bytes } = terms;
        // No other start has it, on this machine or another.
        let run = i64::from_ne_bytes(rand::random::<[u8; 8]>()) & i64::MAX;
        ledger.begin(Kept { run, durability, when_full });
        let (over, is_over) = watch::channel(false);
        let pace = Pace::of(&store, durability);
        let work = Work {
            shared: Arc::clone(&ledger.shared),
            kept: Kept { run, durability, when_full },
            base: Some(Base::new(store, durability)),
            busy: None,
            pen: Pen::default(),
            written: Vec::new(),
            closed: 0,
            frames: Frames::default(),
            opened: HashMap::new(),
            opened_at: None,
            queue: VecDeque::new(),
            pace,
            began: None,
            trouble: None,
            spill: None,
            spill_fails: false,
            spill_is_slow: false,
            spill_place: (spill_dir, spill_bytes),
            is_spills_turn: true,
            noted: [0; 2],
        };
        let task = tokio::spawn(work.run(is_over));
        Self { over, task }
    }

    /// Stores what is left, beside the store if need be.
    pub async fn finish(self) {
        // Nobody listens any more only if it has ended already.
        let _told = self.over.send(true);
        if timeout(LAST_WORD, self.task).await.is_err() {
            tracing::warn!("the ledger's last entries may be missing: writing takes too long");
        }
    }
}

/// An entry that waits to be stored.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) row: Row,
    /// Who waits for it; `None` where nobody does.
    pub(super) told: Option<oneshot::Sender<()>>,
    pub(super) since: Instant,
    /// Where it ends beside the store, if it lies there.
    pub(super) beside: Option<u64>,
}

/// What the store is doing.
pub(super) struct Busy {
    pub(super) storing: Storing,
    pub(super) what: Doing,
    /// Since when the first of it waits that does not lie beside the store.
    pub(super) since: Option<Instant>,
    pub(super) began: Instant,
}

/// The store at work, until it is done.
type Storing = Pin<Box<dyn Future<Output = (Base, Result<(), StoreError>)> + Send>>;

#[derive(Debug)]
pub(super) enum Doing {
    /// Entries; those that were written beside the store meanwhile are gone from here.
    Entries(Vec<Queued>),
    /// What was read beside the store, up to a place.
    Spilled(u64),
}

pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) kept: Kept,
    /// The store, while it is idle.
    pub(super) base: Option<Base>,
    pub(super) busy: Option<Busy>,
    pub(super) pen: Pen,
    /// What others wrote beside the store, in its order.
    pub(super) written: Vec<Queued>,
    /// So many were closed by notes, and are still told as open.
    pub(super) closed: usize,
    /// Where they put it together.
    pub(super) frames: Frames,
    /// What was sent and is neither closed nor written.
    pub(super) opened: HashMap<i64, Arc<Opening>>,
    pub(super) opened_at: Option<Instant>,
    /// What waits for the store; what lies beside it, too, stands in front.
    pub(super) queue: VecDeque<Queued>,
    pub(super) pace: Pace,
    /// When the store was given something.
    pub(super) began: Option<Instant>,
    pub(super) trouble: Option<Trouble>,
    pub(super) spill: Option<Spill>,
    /// Whether the last entries could not be written there: then it has no room.
    pub(super) spill_fails: bool,
    /// Whether the disk made the last of them wait: then no thread of the requests' does.
    pub(super) spill_is_slow: bool,
    /// Its folder, and how large it is made.
    pub(super) spill_place: (PathBuf, u64),
    /// Whether what was spilled goes to the store before what came since.
    pub(super) is_spills_turn: bool,
    /// How many answers that are not booked are noted in the store, and how many are to be by what it does.
    pub(super) noted: [u64; 2],
}

impl Work {
    async fn run(mut self, mut over: watch::Receiver<bool>) {
        self.take_spill().await;
        loop {
            let look = self.next_look();
            self.lend();
            let looks_soon = look.saturating_duration_since(Instant::now()) <= TOGETHER;
            self.shared.looks_soon.store(looks_soon, Ordering::SeqCst);
            let (done, is_over) = tokio::select! {
                () = self.shared.bell.notified() => (None, false),
                done = stored(&mut self.busy) => (Some(done), false),
                () = sleep_until(look) => (None, false),
                _told = over.changed() => (None, true),
            };
            self.shared.looks_soon.store(false, Ordering::SeqCst);
            self.take_back().await;
            self.gather();
            if let Some((base, done)) = done {
                self.answered(base, done).await;
            }
            if is_over {
                return self.finish().await;
            }
            self.note_hanging(Instant::now());
            self.spill_late(Instant::now()).await;
            self.give_work(Instant::now()).await;
            self.tell_state();
        }
    }

    /// Takes what came since.
    fn gather(&mut self) {
        let now = Instant::now();
        let clock = WallClock::from_system();
        let mut closed = Vec::new();
        for note in self.shared.notes() {
            match note {
                Note::Opened(seq, opening) => {
                    self.opened.insert(seq, opening);
                    self.opened_at.get_or_insert(now);
                }
                Note::Closed(seq, opening, closing, told) => {
                    self.opened.remove(&seq);
                    self.closed += 1;
                    let at = (self.kept.run, seq);
                    let row = self.pen.row(at, &opening, Some(&closing), clock);
                    closed.push(Queued { row, told, since: now, beside: None });
                }
            }
        }
        for written in self.written.drain(..) {
            written.row.key().1.and_then(|seq| self.opened.remove(&seq));
            self.queue.push_back(written);
        }
        self.queue.extend(closed);
        if self.opened.is_empty() {
            self.opened_at = None;
        }
    }

    /// Gives the store what it is to write next, if that is due.
    async fn give_work(&mut self, now: Instant) {
        let is_resting = self.trouble.as_ref().is_some_and(|trouble| trouble.again > now);
        if self.busy.is_none() && !is_resting && self.due(now).is_some_and(|due| due <= now) {
            self.give_next().await;
        }
    }

    /// Gives the store, which is idle, what it is to write next.
    async fn give_next(&mut self) {
        let may_read = self.safe() == 0;
        if may_read
            && (self.is_spills_turn || self.queue.is_empty())
            && let Some((job, end)) = self.spilled_job().await
        {
            self.is_spills_turn = false;
            return self.store(job, Doing::Spilled(end), None);
        }
        self.is_spills_turn = true;
        if !self.spills_opened() {
            self.queue_opened(Instant::now());
        }
        let some = self.queue.len().min(MOST_AT_ONCE);
        let entries: Vec<Queued> = self.queue.drain(..some).collect();
        if entries.is_empty() && self.unnoted() == 0 {
            return;
        }
        let waits = entries.iter().find(|queued| queued.beside.is_none());
        let since = waits.map(|first| first.since);
        let rows = entries.iter().map(|queued| queued.row.clone());
        self.store(Job::new(rows, Vec::new()), Doing::Entries(entries), since);
    }

    fn store(&mut self, mut job: Job, what: Doing, since: Option<Instant>) {
        let Some(mut base) = self.base.take() else { return };
        let began = Instant::now();
        self.began = Some(began);
        job.missing.answers = self.unnoted();
        self.noted[1] = self.noted[0] + job.missing.answers;
        let storing = Box::pin(async move {
            let done = job.write_into(&mut base).await;
            (base, done.map(drop))
        });
        self.busy = Some(Busy { storing, what, since, began });
    }

    /// Lets what was sent until then, and is open, be written as well.
    pub(super) fn queue_opened(&mut self, until: Instant) {
        let clock = WallClock::from_system();
        for (seq, opening) in self.opened.extract_if(|_, opening| opening.sent <= until) {
            let row = self.pen.row((self.kept.run, seq), &opening, None, clock);
            let since = opening.sent;
            self.queue.push_back(Queued { row, told: None, since, beside: None });
        }
        self.opened_at = self.opened.values().map(|opening| opening.sent).min();
    }

    /// Takes in what became of the store's work.
    async fn answered(&mut self, base: Base, done: Result<(), StoreError>) {
        self.base = Some(base);
        let Some(busy) = self.busy.take() else { return };
        match (done, busy.what) {
            (Ok(()), Doing::Entries(entries)) => {
                self.recovered();
                let end = entries.iter().rev().find_map(|queued| queued.beside);
                give_receipts(entries);
                if let Some(end) = end {
                    self.clear_spill(end).await;
                }
            }
            (Ok(()), Doing::Spilled(end)) => {
                self.recovered();
                self.clear_spill(end).await;
            }
            (Err(error), what) => {
                if let Doing::Entries(entries) = what {
                    entries.into_iter().rev().for_each(|entry| self.queue.push_front(entry));
                }
                self.leave_beside();
                self.failed(&error);
            }
        }
    }

    /// Returns how many answers are booked nowhere without a note of it.
    pub(super) fn unnoted(&self) -> u64 {
        self.shared.unbooked.load(Ordering::Relaxed).saturating_sub(self.noted[0])
    }

    /// Stores all that is left, beside the store where that takes too long.
    async fn finish(mut self) {
        let now = Instant::now();
        self.queue_opened(now);
        let until = now + PATIENCE;
        while self.trouble.is_none() && (!self.queue.is_empty() || self.busy.is_some()) {
            if self.busy.is_none() {
                self.give_next().await;
            }
            match timeout_at(until, stored(&mut self.busy)).await {
                Ok((base, done)) => self.answered(base, done).await,
                Err(_) => break,
            }
        }
        if let Some(Busy { what: Doing::Entries(entries), .. }) = self.busy.take() {
            entries.into_iter().rev().for_each(|entry| self.queue.push_front(entry));
        }
        if let Some(base) = &mut self.base {
            base.close().await;
        }
        if self.safe() < self.queue.len() {
            self.leave_beside();
            self.spill_all().await;
            let lost = self.queue.len() - self.safe();
            if lost > 0 {
                tracing::warn!(lost, "entries are booked nowhere");
            }
        }
    }

    pub(super) fn tell_state(&mut self) {
        let waiting = self.queue.len() - self.safe()
            + match &self.busy {
                Some(Busy { what: Doing::Entries(entries), since: Some(_), .. }) => entries.len(),
                _ => 0,
            };
        self.shared.waiting.store(waiting, Ordering::Relaxed);
        let (room, held) = self.spill.as_ref().map_or((0, 0), |it| (it.left(), it.held()));
        self.shared.tell_beside(if self.spill_fails { 0 } else { room }, held);
        // Whoever looks finds an attempt open, waiting or there.
        self.shared.open.fetch_sub(std::mem::take(&mut self.closed), Ordering::Release);
    }
}

/// Waits until the store is done; for ever while it does nothing.
async fn stored(busy: &mut Option<Busy>) -> (Base, Result<(), StoreError>) {
    match busy {
        Some(busy) => busy.storing.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The most entries that are written in one go.
pub(super) const MOST_AT_ONCE: usize = 1_024;
/// So many entries that lie beside the store are kept in memory, too.
pub(super) const MOST_KEPT: usize = 8_192;
/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_secs(2);

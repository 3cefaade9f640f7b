//! The task that books: it gathers, lets the store write, and spills what the store does not take in time.
//!
//! # What this module owns
//!
//! The order of things. What is closed is written at once, with all that came meanwhile in one go; what is
//! only opened waits a moment for its end or for others. The store is written by a task of its own, so that
//! a store that hangs keeps nobody: what is not stored after [`PATIENCE`] goes to the [`Spill`] and counts as
//! stored. When the store is back it gets what was spilled.
//!
//! # Invariants
//!
//! 1. A receipt is given when the entry is in the store or in the spill, or, if so configured, when there is
//!    room in neither and it is counted as unbooked.
//! 2. Writing an entry twice is writing it once: a run and a number name it.

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
use super::pen::Pen;
use super::row::Row;
use super::spill::Spill;
use super::store::Store;
use super::trouble::{HANGING, Trouble};
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
        let work = Work {
            shared: Arc::clone(&ledger.shared),
            kept: Kept { run, durability, when_full },
            base: Some(Base::new(store, durability)),
            busy: None,
            pen: Pen::default(),
            opened: HashMap::new(),
            opened_at: None,
            queue: VecDeque::new(),
            trouble: None,
            spill: None,
            spill_fails: false,
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
}

/// What the store is doing.
pub(super) struct Busy {
    pub(super) storing: Storing,
    pub(super) what: Doing,
    /// Since when the first of it waits.
    pub(super) since: Instant,
    pub(super) began: Instant,
}

/// The store at work, until it is done.
type Storing = Pin<Box<dyn Future<Output = (Base, Result<(), StoreError>)> + Send>>;

#[derive(Debug)]
pub(super) enum Doing {
    /// Entries; those that were spilled meanwhile are gone from here.
    Entries(Vec<Queued>),
    /// What was read of the spill.
    Spilled,
}

pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) kept: Kept,
    /// The store, while it is idle.
    pub(super) base: Option<Base>,
    pub(super) busy: Option<Busy>,
    pub(super) pen: Pen,
    /// What was sent and is neither closed nor written.
    pub(super) opened: HashMap<i64, Arc<Opening>>,
    pub(super) opened_at: Option<Instant>,
    pub(super) queue: VecDeque<Queued>,
    pub(super) trouble: Option<Trouble>,
    pub(super) spill: Option<Spill>,
    /// Whether the last entries could not be written there: then it has no room.
    pub(super) spill_fails: bool,
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
            let is_over = tokio::select! {
                () = self.shared.bell.notified() => false,
                (base, done) = stored(&mut self.busy) => {
                    self.answered(base, done).await;
                    false
                }
                () = sleep_until(look) => false,
                _told = over.changed() => true,
            };
            self.gather();
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
        for note in self.shared.notes() {
            match note {
                Note::Opened(seq, opening) => {
                    self.opened.insert(seq, opening);
                    self.opened_at.get_or_insert(now);
                }
                Note::Closed(seq, opening, closing, told) => {
                    self.opened.remove(&seq);
                    let at = (self.kept.run, seq);
                    let row = self.pen.row(at, &opening, Some(&closing), clock);
                    self.queue.push_back(Queued { row, told, since: now });
                }
            }
        }
        if self.opened.is_empty() {
            self.opened_at = None;
        }
    }

    /// Returns when something is to be done though nothing happens.
    fn next_look(&self) -> Instant {
        let now = Instant::now();
        let due = self.due(now);
        let due = match (&self.busy, &self.trouble) {
            (Some(_), _) => None,
            (None, Some(trouble)) => due.map(|due| due.max(trouble.again)),
            (None, None) => due,
        };
        let storing = self.busy.as_ref().filter(|busy| busy.what.is_waited_for());
        let waits = storing.map(|busy| busy.since).or(self.queue.front().map(|first| first.since));
        let late = waits.map(|since| since + PATIENCE);
        let hangs = self.busy.as_ref().map(|busy| busy.began + HANGING);
        let opened = self.opened_at.filter(|_| self.is_stuck()).map(|at| at + TOGETHER);
        // What could not be done in time is tried again when something happens.
        let ahead = [late, hangs, opened].map(|at| at.filter(|at| *at > now));
        let looks = ahead.into_iter().chain([due]).flatten();
        looks.min().unwrap_or(now + Duration::from_secs(60))
    }

    /// Returns when the store is to have what waits; `None` where nothing does.
    fn due(&self, now: Instant) -> Option<Instant> {
        let gathering = match self.kept.durability {
            Durability::Strict | Durability::Fsync => Duration::ZERO,
            Durability::Relaxed => GATHERING,
        };
        let closed = self.queue.front().map(|first| first.since + gathering);
        let opened = self.opened_at.map(|since| since + gathering.max(TOGETHER));
        let spilled = self.spill.as_ref().filter(|spill| spill.has_unread());
        let unnoted = self.unnoted() > 0;
        [closed, opened, (spilled.is_some() || unnoted).then_some(now)].into_iter().flatten().min()
    }

    /// Gives the store what it is to write next, if that is due.
    async fn give_work(&mut self, now: Instant) {
        let is_resting = self.trouble.as_ref().is_some_and(|trouble| trouble.again > now);
        if self.busy.is_none() && !is_resting && self.due(now).is_some_and(|due| due <= now) {
            self.give_next(now).await;
        }
    }

    /// Gives the store, which is idle, what it is to write next.
    async fn give_next(&mut self, now: Instant) {
        if (self.is_spills_turn || self.queue.is_empty())
            && let Some(job) = self.spilled_job().await
        {
            self.is_spills_turn = false;
            return self.store(job, Doing::Spilled, now);
        }
        self.is_spills_turn = true;
        self.queue_opened();
        let some = self.queue.len().min(MOST_AT_ONCE);
        let entries: Vec<Queued> = self.queue.drain(..some).collect();
        if entries.is_empty() && self.unnoted() == 0 {
            return;
        }
        let since = entries.first().map_or(now, |first| first.since);
        let rows = entries.iter().map(|queued| queued.row.clone());
        self.store(Job::new(rows, Vec::new()), Doing::Entries(entries), since);
    }

    fn store(&mut self, mut job: Job, what: Doing, since: Instant) {
        let Some(mut base) = self.base.take() else { return };
        job.unbooked = self.unnoted();
        self.noted[1] = self.noted[0] + job.unbooked;
        let storing = Box::pin(async move {
            let done = job.write_into(&mut base).await;
            (base, done)
        });
        self.busy = Some(Busy { storing, what, since, began: Instant::now() });
    }

    /// Lets what is open be written as well.
    pub(super) fn queue_opened(&mut self) {
        let clock = WallClock::from_system();
        let since = self.opened_at.take().unwrap_or_else(Instant::now);
        for (seq, opening) in self.opened.drain() {
            let row = self.pen.row((self.kept.run, seq), &opening, None, clock);
            self.queue.push_back(Queued { row, told: None, since });
        }
    }

    /// Takes in what became of the store's work.
    async fn answered(&mut self, base: Base, done: Result<(), StoreError>) {
        self.base = Some(base);
        let Some(busy) = self.busy.take() else { return };
        match (done, busy.what) {
            (Ok(()), Doing::Entries(entries)) => {
                self.recovered();
                give_receipts(entries);
            }
            (Ok(()), Doing::Spilled) => {
                self.recovered();
                self.clear_spill().await;
            }
            (Err(error), what) => {
                if let Doing::Entries(entries) = what {
                    entries.into_iter().rev().for_each(|entry| self.queue.push_front(entry));
                } else if let Some(spill) = &mut self.spill {
                    spill.rewind();
                }
                self.failed(&error);
            }
        }
    }

    /// Returns how many answers are booked nowhere without a note of it.
    fn unnoted(&self) -> u64 {
        self.shared.unbooked.load(Ordering::Relaxed).saturating_sub(self.noted[0])
    }

    /// Stores all that is left, beside the store where that takes too long.
    async fn finish(mut self) {
        self.queue_opened();
        let until = Instant::now() + PATIENCE;
        while self.trouble.is_none() && (!self.queue.is_empty() || self.busy.is_some()) {
            if self.busy.is_none() {
                self.give_next(Instant::now()).await;
            }
            match timeout_at(until, stored(&mut self.busy)).await {
                Ok((base, done)) => self.answered(base, done).await,
                Err(_) => break,
            }
        }
        if let Some(Busy { what: Doing::Entries(entries), .. }) = self.busy.take() {
            self.queue.extend(entries);
        }
        if let Some(base) = &mut self.base {
            base.close().await;
        }
        if !self.queue.is_empty() {
            let kept = self.spill_all().await;
            give_receipts(self.queue.drain(..kept).collect());
            let lost = self.queue.len();
            if lost > 0 {
                tracing::warn!(lost, "entries are booked nowhere");
            }
        }
    }

    pub(super) fn tell_state(&self) {
        let waiting = self.queue.len()
            + match &self.busy {
                Some(Busy { what: Doing::Entries(entries), .. }) => entries.len(),
                _ => 0,
            };
        self.shared.waiting.store(waiting, Ordering::Relaxed);
        let (room, held) = self.spill.as_ref().map_or((0, 0), |it| (it.left(), it.held()));
        let room = if self.spill_fails { 0 } else { room };
        self.shared.room.store(room, Ordering::Relaxed);
        self.shared.spilled.store(held, Ordering::Relaxed);
    }
}

/// Waits until the store is done; for ever while it does nothing.
async fn stored(busy: &mut Option<Busy>) -> (Base, Result<(), StoreError>) {
    match busy {
        Some(busy) => busy.storing.as_mut().await,
        None => std::future::pending().await,
    }
}

impl Doing {
    /// Tells whether somebody may wait for it.
    fn is_waited_for(&self) -> bool {
        matches!(self, Self::Entries(entries) if !entries.is_empty())
    }
}

/// How long the store is waited for before an entry goes beside it.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);
/// How long what was sent waits for its end, or for others, before it is written.
pub(super) const TOGETHER: Duration = Duration::from_millis(10);
/// How long entries are gathered where nobody waits for them.
const GATHERING: Duration = Duration::from_millis(100);
/// The most entries that are written in one go.
pub(super) const MOST_AT_ONCE: usize = 256;
/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_secs(2);

//! Where the request path leaves what is to be booked: it waits for nothing here but, if it must, for the
//! receipt.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::{Notify, oneshot};

use super::entry::{Closing, Opening};
use super::journal::Journal;
use crate::config::{Durability, WhenFull};

/// Books what is sent. Cloning it shares everything.
///
/// Until somebody [keeps](super::Clerk) it nothing is booked, and every receipt is there at once.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    notes: Mutex<Vec<Note>>,
    /// Where what is closed is written at once, if it can be.
    pub(super) journal: Journal,
    /// Rung when something is to be booked.
    pub(super) bell: Notify,
    /// Whether the clerk looks by itself before what is only sent has to be written.
    pub(super) looks_soon: AtomicBool,
    /// How it is kept; empty where it is not.
    kept: OnceLock<Kept>,
    seq: AtomicI64,
    /// How many attempts are under way.
    pub(super) open: AtomicUsize,
    /// Whether the store takes nothing for now.
    pub(super) is_stuck: AtomicBool,
    /// Whether so much lies beside the store that it cannot be keeping up.
    pub(super) is_far_behind: AtomicBool,
    /// How many bytes of records still have room beside the store.
    pub(super) room: AtomicU64,
    /// How many entries wait in memory, and for how many bytes of them the store is waited for.
    pub(super) waiting: AtomicUsize,
    pub(super) spilled: AtomicU64,
    /// How many answers went out that are booked nowhere.
    pub(super) unbooked: AtomicU64,
    /// How many bytes beside the store could not be read.
    pub(super) damaged: AtomicU64,
    /// Why the store takes nothing, in words.
    pub(super) trouble: Mutex<Option<String>>,
}

/// How a ledger is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// This start of the program.
    pub(super) run: i64,
    pub(super) durability: Durability,
    pub(super) when_full: WhenFull,
}

/// What is to be booked.
#[derive(Debug)]
pub(super) enum Note {
    Opened(i64, Arc<Opening>),
    Closed(i64, Arc<Opening>, Box<Closing>, Option<oneshot::Sender<()>>),
}

/// How a ledger fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Why the store takes nothing for now; `None` while it does.
    pub trouble: Option<String>,
    /// Entries that wait for the store in memory.
    pub waiting: usize,
    /// Bytes of entries in the file beside the store, which the store has not yet.
    pub spilled_bytes: u64,
    /// Answers that went out since the start and are booked nowhere.
    pub unbooked: u64,
    /// Bytes of the file beside the store that could not be read since the start: what they told is booked nowhere.
    pub damaged_bytes: u64,
    /// Attempts under way.
    pub open: usize,
    /// Whether requests are refused because nothing can be booked.
    pub refuses: bool,
}

impl Ledger {
    /// Tells whether what is sent now can be booked; else, if so configured, nothing may be sent.
    pub fn may_open(&self) -> bool {
        let refuses = |kept: &Kept| kept.when_full == WhenFull::Refuse;
        let is_behind = self.shared.is_stuck.load(Ordering::Relaxed)
            || self.shared.is_far_behind.load(Ordering::Relaxed);
        if !is_behind || !self.shared.kept.get().is_some_and(refuses) {
            return true;
        }
        let owed = self.shared.open.load(Ordering::Relaxed)
            + self.shared.waiting.load(Ordering::Relaxed)
            + 1;
        let owed = u64::try_from(owed).unwrap_or(u64::MAX);
        owed.saturating_mul(MOST_OF_AN_ENTRY) <= self.shared.room.load(Ordering::Relaxed)
    }

    /// Books that an attempt is sent. It is written soon; nobody waits for that.
    pub fn open(&self, opening: Opening) -> Opened {
        let seq = self.shared.seq.fetch_add(1, Ordering::Relaxed);
        let opening = Arc::new(opening);
        if self.shared.kept.get().is_some() {
            self.shared.open.fetch_add(1, Ordering::Relaxed);
            let rings = || !self.shared.looks_soon.load(Ordering::SeqCst);
            self.shared.leave(Note::Opened(seq, Arc::clone(&opening)), rings);
        }
        Opened { ledger: self.clone(), seq, opening }
    }

    /// Returns how it fares; `None` where nothing is booked.
    pub fn state(&self) -> Option<State> {
        self.shared.kept.get()?;
        // First: what is open no more by now is told by the others.
        let open = self.shared.open.load(Ordering::Acquire);
        let trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(State {
            trouble,
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            spilled_bytes: self.shared.spilled.load(Ordering::Relaxed),
            unbooked: self.shared.unbooked.load(Ordering::Relaxed),
            damaged_bytes: self.shared.damaged.load(Ordering::Relaxed),
            open,
            refuses: !self.may_open(),
        })
    }

    /// Notes that so many bytes that an earlier run left beside the store could not be read.
    pub fn note_damage(&self, bytes: u64) {
        self.shared.damaged.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the number of this start of the program; `None` where nothing is booked.
    pub(super) fn run(&self) -> Option<i64> {
        self.shared.kept.get().map(|kept| kept.run)
    }

    /// Books from now on, as `kept` says; a second time changes nothing.
    pub(super) fn begin(&self, kept: Kept) {
        let _first = self.shared.kept.set(kept);
    }
}

/// An attempt under way that is to be booked.
///
/// Dropped, it stays open in the ledger, and the next start books it as lost.
#[derive(Debug)]
#[must_use = "an attempt that is not closed is booked as lost by the next start"]
pub struct Opened {
    ledger: Ledger,
    seq: i64,
    opening: Arc<Opening>,
}

impl Opened {
    /// Books what it came to. What ends its answer may go out when the receipt is there.
    pub fn close(self, closing: Closing) -> Booked {
        let Self { ledger: Ledger { shared }, seq, opening } = self;
        let Some(kept) = shared.kept.get() else { return Booked::there() };
        let tell = |room, held| shared.tell_beside(room, held);
        if let Some(rings) = shared.journal.write(seq, (&opening, &closing), tell) {
            // Whoever looks finds it open or there.
            shared.open.fetch_sub(1, Ordering::Release);
            if rings {
                shared.bell.notify_one();
            }
            return Booked::there();
        }
        let (told, receipt) = match kept.durability {
            Durability::Relaxed => (None, Booked::there()),
            Durability::Strict | Durability::Fsync => {
                let (told, stored) = oneshot::channel();
                (Some(told), Booked(Some(Owed::Stored(stored))))
            }
        };
        shared.leave(Note::Closed(seq, opening, Box::new(closing), told), || true);
        receipt
    }
}

/// Resolves when an entry counts as stored.
#[derive(Debug)]
pub struct Booked(Option<Owed>);

#[derive(Debug)]
enum Owed {
    Stored(oneshot::Receiver<()>),
    /// It is not closed yet.
    Closed(oneshot::Receiver<Booked>),
}

impl Booked {
    /// Returns a receipt that is there: nothing has to be waited for.
    pub const fn there() -> Self {
        Self(None)
    }

    /// Returns a receipt that is as the one that will be sent; if none is, there is nothing to wait for.
    pub fn later() -> (oneshot::Sender<Self>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(Some(Owed::Closed(receiver))))
    }

    /// Tells whether it is known to be there.
    pub const fn is_there(&self) -> bool {
        self.0.is_none()
    }
}

impl Future for Booked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = match &mut self.0 {
                None => return Poll::Ready(()),
                // A clerk that is gone stores nothing any more.
                Some(Owed::Stored(stored)) => {
                    let _stored = ready!(Pin::new(stored).poll(context));
                    None
                }
                Some(Owed::Closed(closed)) => {
                    ready!(Pin::new(closed).poll(context)).ok().and_then(|receipt| receipt.0)
                }
            };
            self.0 = next;
        }
    }
}

impl Shared {
    /// Takes what is to be booked.
    pub(super) fn notes(&self) -> Vec<Note> {
        std::mem::take(&mut *self.lock())
    }

    /// Notes for how many bytes of entries there is room beside the store, and how many bytes of records lie there.
    pub(super) fn tell_beside(&self, room: u64, held: u64) {
        // At most half a second's work of it lies there as long as it is well.
        self.is_far_behind.store(held > room, Ordering::Relaxed);
        self.room.store(room, Ordering::Relaxed);
        self.spilled.store(held, Ordering::Relaxed);
    }

    /// Notes why the store takes nothing; `None` when it does again.
    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        self.is_stuck.store(trouble.is_some(), Ordering::Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Leaves a note to the clerk, who is rung for if `rings` says so then.
    fn leave(&self, note: Note, rings: impl FnOnce() -> bool) {
        self.lock().push(note);
        if rings() {
            self.bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Note>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most that an attempt takes beside the store: as it is sent, and as it is booked.
const MOST_OF_AN_ENTRY: u64 = 4096;

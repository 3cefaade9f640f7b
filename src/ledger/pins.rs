//! The table of pins, and what of it is in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::fault::StoreError;
use super::link::Statement;
use super::store::{Store, millis};

/// That an object belongs to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The upstream.
    pub upstream: Arc<str>,
    /// The id that the provider gave the object.
    pub id: Arc<str>,
    /// The account.
    pub account: Arc<str>,
    /// How long it is remembered after it was used: the longer of what was said of it.
    pub term: Term,
    /// When it was used, as the time since 1970-01-01 UTC.
    pub used_at: Duration,
}

/// How long a pin is remembered after its last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Term {
    /// 31 days: OpenAI keeps responses for 30 (its guide on conversation state, as quoted in
    /// <https://community.openai.com/t/1355501>, read 2026-11-22).
    Month,
    /// 400 days: what is kept until somebody deletes it.
    Year,
}

impl Term {
    const fn days(self) -> i64 {
        match self {
            Self::Month => 31,
            Self::Year => 400,
        }
    }
}

/// Remembers which account made what. Cloning it shares everything.
///
/// What is noted is known at once; the file has it soon after, when whoever keeps it
/// [saved](Store::save_pins) what is [unsaved](Self::unsaved).
#[derive(Debug, Clone)]
pub struct Pins {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    /// Where those are that are not in memory.
    store: OnceLock<Store>,
    /// Rung when something is unsaved.
    fresh: Notify,
    /// Keeps outsiders from making ids that look alike.
    seed: u64,
}

#[derive(Debug)]
struct Book {
    /// By a hash of upstream and id.
    known: LruCache<u128, Known>,
    unsaved: VecDeque<Pin>,
}

#[derive(Debug, Clone)]
struct Known {
    account: Arc<str>,
    term: Term,
    /// As the file has it, or will soon.
    used_at: Duration,
}

impl Pins {
    /// Creates an empty memory; `seed` is to be random.
    pub fn new(seed: u64) -> Self {
        let book = Book { known: LruCache::unbounded(), unsaved: VecDeque::new() };
        let (store, fresh) = (OnceLock::new(), Notify::new());
        Self { shared: Arc::new(Shared { book: Mutex::new(book), store, fresh, seed }) }
    }

    /// Looks into `store`, whose schema is up to date, for what is not in memory from now on.
    pub fn look_into(&self, store: Store) {
        // A second one would be the same file.
        let _known = self.shared.store.set(store);
    }

    /// Notes a pin, in place of an earlier one of its object.
    pub fn note(&self, mut pin: Pin) {
        let key = self.key(&pin.upstream, &pin.id);
        let mut book = self.book();
        if let Some(known) = book.known.get(&key) {
            let is_fresh = pin.used_at.saturating_sub(known.used_at) < A_DAY;
            if known.account == pin.account && known.term >= pin.term && is_fresh {
                return;
            }
            pin.term = pin.term.max(known.term);
        }
        book.know(key, &pin);
        book.unsaved.push_back(pin);
        if book.unsaved.len() > MOST_UNSAVED {
            book.unsaved.pop_front();
        }
        drop(book);
        self.shared.fresh.notify_one();
    }

    /// Returns the account that `id` of `upstream` belongs to, if that is remembered, and notes that it
    /// is used at `now` (time since 1970-01-01 UTC).
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where the file would have to be read and cannot be.
    pub async fn find(
        &self,
        upstream: &str,
        id: &str,
        now: Duration,
    ) -> Result<Option<Arc<str>>, StoreError> {
        let key = self.key(upstream, id);
        let known = self.book().known.get(&key).cloned();
        let known = match (known, self.shared.store.get()) {
            (Some(known), _) => known,
            (None, None) => return Ok(None),
            (None, Some(store)) => match store.pin(upstream, id, now).await? {
                None => return Ok(None),
                Some(pin) => {
                    self.book().know(key, &pin);
                    Known { account: pin.account, term: pin.term, used_at: pin.used_at }
                }
            },
        };
        let Known { account, term, .. } = known;
        let used = Pin { upstream: upstream.into(), id: id.into(), account, term, used_at: now };
        let account = Arc::clone(&used.account);
        self.note(used);
        Ok(Some(account))
    }

    /// Waits until something is unsaved.
    pub async fn worth_keeping(&self) {
        loop {
            let rung = self.shared.fresh.notified();
            if !self.book().unsaved.is_empty() {
                return;
            }
            rung.await;
        }
    }

    /// Takes what is unsaved.
    pub fn unsaved(&self) -> Vec<Pin> {
        std::mem::take(&mut self.book().unsaved).into()
    }

    /// Gives back what could not be saved; of too much, the oldest is lost on a restart.
    pub fn still_unsaved(&self, pins: Vec<Pin>) {
        let mut book = self.book();
        let mut all = VecDeque::from(pins);
        all.append(&mut book.unsaved);
        all.drain(..all.len().saturating_sub(MOST_UNSAVED));
        book.unsaved = all;
    }

    fn key(&self, upstream: &str, id: &str) -> u128 {
        let text = format!("{upstream}\n{id}");
        xxh3_128_with_seed(text.as_bytes(), self.shared.seed)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn know(&mut self, key: u128, pin: &Pin) {
        let Pin { account, term, used_at, .. } = pin.clone();
        self.known.put(key, Known { account, term, used_at });
        if self.known.len() > MOST_KNOWN {
            self.known.pop_lru();
        }
    }
}

impl Store {
    /// Returns the pin of `id`, if there is one that is not too old at `now`.
    async fn pin(
        &self,
        upstream: &str,
        id: &str,
        now: Duration,
    ) -> Result<Option<Pin>, StoreError> {
        let rows = self
            .fetch(
                "SELECT account, term_days, forget_at_ms FROM pins \
                 WHERE upstream = $1 AND id = $2 AND forget_at_ms >= $3",
                [upstream.into(), id.into(), millis(now).into()],
            )
            .await?;
        let Some([account, days, end]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
        let account = account.as_text().unwrap_or_default();
        let [days, end] = [days, end].map(|value| value.as_number().unwrap_or_default());
        let term = if days > Term::Month.days() { Term::Year } else { Term::Month };
        let used_at = end.saturating_sub(days.saturating_mul(DAY_MILLIS));
        Ok(Some(Pin {
            upstream: upstream.into(),
            id: id.into(),
            account: account.into(),
            term,
            used_at: Duration::from_millis(u64::try_from(used_at).unwrap_or(0)),
        }))
    }

    /// Saves `pins`, each in place of what was there: all of them, or none.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing or all.
    pub async fn save_pins(&self, pins: &[Pin]) -> Result<(), StoreError> {
        let statements = pins.iter().map(|pin| {
            let days = pin.term.days();
            Statement::new(
                "INSERT INTO pins (upstream, id, account, term_days, forget_at_ms) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (upstream, id) DO UPDATE SET \
                 account = excluded.account, \
                 term_days = CASE WHEN excluded.term_days > pins.term_days \
                 THEN excluded.term_days ELSE pins.term_days END, \
                 forget_at_ms = CASE WHEN excluded.forget_at_ms > pins.forget_at_ms \
                 THEN excluded.forget_at_ms ELSE pins.forget_at_ms END",
                [
                    (&*pin.upstream).into(),
                    (&*pin.id).into(),
                    (&*pin.account).into(),
                    days.into(),
                    millis(pin.used_at).saturating_add(days * DAY_MILLIS).into(),
                ],
            )
        });
        self.write(statements.collect()).await.map(drop)
    }

    /// Deletes the pins whose time is over at `now`, and, of more than a million, those whose time would
    /// be over first: responses before files.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    pub async fn forget_pins(&self, now: Duration) -> Result<(), StoreError> {
        self.keep_pins(now, MOST_KEPT).await
    }

    pub(super) async fn keep_pins(&self, now: Duration, most: i64) -> Result<(), StoreError> {
        let delete = Statement::new(
            "DELETE FROM pins WHERE forget_at_ms < $1 OR forget_at_ms <= \
             (SELECT forget_at_ms FROM pins ORDER BY forget_at_ms DESC LIMIT 1 OFFSET $2)",
            [millis(now).into(), most.into()],
        );
        self.write(vec![delete]).await.map(drop)
    }
}

/// How often it is written down that a pin is used.
const A_DAY: Duration = Duration::from_secs(86_400);
const DAY_MILLIS: i64 = 86_400_000;

/// The most that are in memory, about 8 MB.
const MOST_KNOWN: usize = 65_536;
/// The most that wait for the file, while it cannot be written.
const MOST_UNSAVED: usize = 65_536;
/// The most rows, about 150 MB.
const MOST_KEPT: i64 = 1_000_000;

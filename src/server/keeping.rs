//! Keeps what lanes learn, which account made what, and the ledger: reads it at the start, writes it in the
//! background, and at the end.

use std::collections::HashMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::pruning::Pruning;
use super::recalling::{recall, recall_quotas};
use crate::admit::{Admission, Allotments, Keeping, Memory, SentBefore};
use crate::clock::WallClock;
use crate::config::{DataDir, LedgerSettings};
use crate::ledger::{
    Clerk, KeptApps, Ledger, Lesson, Pins, Place, SPILL_BYTES, Sent, Store, StoreError, Terms,
    catch_up,
};
use crate::limit::{Absence, LastEnd};
use crate::settle::Purse;
use crate::units::{AccountName, ModelName, UpstreamName};

/// What was learned in earlier runs, and where what this run learns is kept.
#[derive(Debug)]
pub(super) struct Past {
    store: Store,
    memories: HashMap<UpstreamName, Recalled>,
    apps: KeptApps,
    /// Where entries lie that the store does not take.
    spill_dir: PathBuf,
    /// How many bytes there could not be read.
    damaged: u64,
}

/// What lanes of an upstream learned, and what was sent through them.
type Recalled = (Vec<Memory>, Vec<SentBefore>);

/// Writes what lanes learn until it is told that all is over.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Store,
    /// Dropping it ends the writing without a last word.
    over: watch::Sender<bool>,
    task: JoinHandle<()>,
    clerk: Clerk,
}

/// Writes what the lanes of one upstream learn.
#[derive(Debug)]
struct Scribe {
    store: Store,
    upstream: UpstreamName,
    admission: Admission,
}

/// Writes which account made what.
#[derive(Debug)]
struct Pinning {
    store: Store,
    pins: Pins,
}

/// Opens the store that `settings` name, else the one in `folder`, and reads what is known of the lanes of
/// `upstreams`; `None` where nothing is kept.
///
/// # Errors
///
/// Returns a [`StoreError`] where a place that somebody named cannot be used. Without the usual one
/// the program can serve all the same: a warning says why nothing is kept.
pub(super) async fn open(
    (folder, settings): (DataDir, LedgerSettings),
    upstreams: Vec<UpstreamName>,
) -> Result<Option<Past>, StoreError> {
    let (DataDir::Named(data) | DataDir::Usual(data)) = &folder else {
        return match settings.url {
            Some(_) => Past::read(&settings, Path::new(""), upstreams).await.map(Some),
            None => Ok(None),
        };
    };
    match Past::read(&settings, data, upstreams).await {
        Err(error) if settings.url.is_none() && matches!(folder, DataDir::Usual(_)) => {
            warn(NOT_KEPT, &error);
            Ok(None)
        }
        read => read.map(Some),
    }
}

impl Past {
    async fn read(
        settings: &LedgerSettings,
        folder: &Path,
        upstreams: Vec<UpstreamName>,
    ) -> Result<Self, StoreError> {
        let store = match &settings.url {
            Some(url) => Store::at(url)?,
            None => Store::place(folder)?,
        };
        let spill_dir = settings.spill_dir.clone().unwrap_or_else(|| folder.to_owned());
        let (mut memories, mut apps, mut damaged) = (HashMap::new(), KeptApps::default(), 0);
        // Making a database takes ten times longer than reading one: later.
        if !store.is_new() {
            store.update().await?;
            damaged = catch_up(&store, &spill_dir, settings.durability).await;
            apps = store.apps().await?;
            let now = date();
            for upstream in upstreams {
                let lessons = store.lessons(upstream.as_str(), now).await?;
                // What changed is kept soon after: before that there is nothing that the latest does not know.
                let latest = lessons.first().map(|lesson| lesson.saved_at.saturating_sub(LATEST));
                let since = latest.unwrap_or_default().max(now.saturating_sub(A_DAY));
                let sent = store.sent(upstream.as_str(), since, now).await?;
                let sent = sent.into_iter().map(sent_before).collect();
                let known = lessons.into_iter().map(|lesson| memory(lesson, now)).collect();
                memories.insert(upstream, (known, sent));
            }
        }
        Ok(Self { store, memories, apps, spill_dir, damaged })
    }

    /// Returns the apps that are kept.
    pub(super) const fn apps(&self) -> &KeptApps {
        &self.apps
    }

    /// Tells the budgets what was spent in their present periods, and the apps' own quotas what was used.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] where that cannot be read.
    pub(super) async fn recall_apps(
        &self,
        purse: &Purse,
        allotments: &Allotments,
    ) -> Result<(), StoreError> {
        if self.store.is_new() {
            purse.gaps().into_iter().for_each(|gap| purse.recall(gap, &[]));
            return Ok(());
        }
        recall(&self.store, purse).await?;
        recall_quotas(&self.store, allotments).await
    }

    /// Gives the past back to the lanes of each upstream, and begins to keep what they learn, `pins`, and the
    /// `ledger` as `settings` say.
    pub(super) fn keep_on(
        mut self,
        upstreams: &[(UpstreamName, Admission)],
        pins: &Pins,
        (ledger, settings): (&Ledger, &LedgerSettings),
    ) -> Keeper {
        let terms = Terms {
            durability: settings.durability,
            when_full: settings.when_full,
            spill_dir: self.spill_dir.clone(),
            spill_bytes: SPILL_BYTES,
        };
        ledger.note_damage(self.damaged);
        let clerk = Clerk::keep(ledger, self.store.clone(), terms);
        if !self.store.is_new() {
            pins.look_into(self.store.clone());
        }
        let pinning = Pinning { store: self.store.clone(), pins: pins.clone() };
        let mut scribes = Vec::new();
        for (upstream, admission) in upstreams {
            let (known, sent) = self.memories.remove(upstream).unwrap_or_default();
            admission.remind(known, sent);
            let (store, upstream) = (self.store.clone(), upstream.clone());
            scribes.push(Scribe { store, upstream, admission: admission.clone() });
        }
        let (keep, ledger) = (settings.keep_entries, ledger.clone());
        let pruning = Pruning { store: self.store.clone(), keep, ledger: ledger.clone() };
        let store = self.store.clone();
        let (over, told) = watch::channel(false);
        let task = tokio::spawn(async move {
            if let Err(error) = self.tidy(&ledger).await {
                return warn(NOT_KEPT, &error);
            }
            let writing = scribes.into_iter().map(|scribe| scribe.run(told.clone()));
            let pruning = pruning.run(told.clone());
            tokio::join!(join_all(writing), pinning.run(told.clone()), pruning);
        });
        Keeper { store, over, task, clerk }
    }

    /// Makes the database if it is new, else deletes what is old in it.
    async fn tidy(&self, ledger: &Ledger) -> Result<(), StoreError> {
        if self.store.is_new() {
            self.store.update().await?;
            return self.store.begin_run(ledger, date()).await;
        }
        self.store.begin_run(ledger, date()).await?;
        self.store.forget_old(date()).await?;
        self.store.forget_pins(date()).await
    }
}

impl Scribe {
    async fn run(self, mut told: watch::Receiver<bool>) {
        let mut fails = false;
        let last_word = loop {
            tokio::select! {
                last_word = told.changed() => break last_word,
                () = self.admission.worth_keeping() => {}
            }
            fails = self.save(self.admission.learned(Keeping::Changed), fails).await;
            tokio::select! {
                last_word = told.changed() => break last_word,
                () = sleep(APART) => {}
            }
        };
        if last_word.is_ok() {
            self.save(self.admission.learned(Keeping::Last), fails).await;
        }
    }

    /// Saves `memories` as of now. Returns whether that failed, which is told when it begins.
    async fn save(&self, memories: Vec<Memory>, failed: bool) -> bool {
        if memories.is_empty() {
            return failed;
        }
        let saved_at = date();
        let lessons: Vec<Lesson> =
            memories.into_iter().map(|memory| lesson(memory, saved_at)).collect();
        let saved = self.store.save(self.upstream.as_str(), &lessons).await;
        match &saved {
            Ok(()) if failed => tracing::info!("what is learned is kept again"),
            Err(error) if !failed => warn("what is learned is not kept for now", error),
            Ok(()) | Err(_) => {}
        }
        saved.is_err()
    }
}

impl Pinning {
    /// Writes what is noted as soon as the file is free, so that little is lost in a crash.
    async fn run(self, mut told: watch::Receiver<bool>) {
        self.pins.look_into(self.store.clone());
        let (mut fails, mut written) = (false, 0);
        let last_word = loop {
            tokio::select! {
                last_word = told.changed() => break last_word,
                () = self.pins.worth_keeping() => {}
            }
            match self.save(fails).await {
                Ok(count) => (fails, written) = (false, written + count),
                Err(()) => {
                    fails = true;
                    sleep(PATIENCE).await;
                }
            }
            if written >= MANY {
                written = 0;
                if let Err(error) = self.store.forget_pins(date()).await {
                    warn("old objects are not forgotten for now", &error);
                }
            }
        };
        if last_word.is_ok() {
            let _saved = self.save(fails).await;
        }
    }

    /// Saves what is unsaved, and returns how much that was. A failure is told when it begins.
    async fn save(&self, failed: bool) -> Result<usize, ()> {
        let unsaved = self.pins.unsaved();
        match self.store.save_pins(&unsaved).await {
            Ok(()) => {
                if failed {
                    tracing::info!("which account made what is kept again");
                }
                Ok(unsaved.len())
            }
            Err(error) => {
                if !failed {
                    warn("which account made what is not kept for now", &error);
                }
                self.pins.still_unsaved(unsaved);
                Err(())
            }
        }
    }
}

impl Keeper {
    /// Returns what it writes into.
    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    /// Returns where it writes.
    pub(super) fn whereabouts(&self) -> &Place {
        self.store.whereabouts()
    }

    /// Writes the last word: nothing is sent any more. Gives up where that takes too long.
    pub(super) async fn finish(self) {
        self.clerk.finish().await;
        let last_word = async {
            // Nobody listens any more only if writing ended already.
            let _told = self.over.send(true);
            let _written = self.task.await;
            self.store.close().await;
        };
        if timeout(PATIENCE, last_word).await.is_err() {
            tracing::warn!("what was learned last is not kept: writing takes too long");
        }
    }
}

/// Returns `memory` as it is written down.
fn lesson(memory: Memory, saved_at: Duration) -> Lesson {
    let Memory { account, holders, group, learned, absence } = memory;
    let (account, group) = (account.as_str().to_owned(), group.to_string());
    Lesson { account, group, holders, learned, end: absence.end, saved_at }
}

/// Returns what a lane may recall of `lesson` at `now`.
fn memory(lesson: Lesson, now: Duration) -> Memory {
    // Where the system's clock was set back, nobody knows how long ago it was.
    let end = if lesson.saved_at > now { LastEnd::Cut } else { lesson.end };
    let absence = Absence { lasted: now.saturating_sub(lesson.saved_at), end };
    Memory {
        account: AccountName::new(lesson.account),
        holders: lesson.holders,
        group: lesson.group.into(),
        learned: lesson.learned,
        absence,
    }
}

fn sent_before(sent: Sent) -> SentBefore {
    let Sent { account, model, used } = sent;
    SentBefore { account: AccountName::new(account), model: ModelName::new(model), used }
}

/// Returns the time since 1970-01-01 UTC, read anew: tokio's clock stands still while the machine
/// sleeps.
fn date() -> Duration {
    WallClock::from_system().since_epoch(Instant::now())
}

fn warn(what: &'static str, error: &StoreError) {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::warn!(%error, cause, "{what}");
}

const NOT_KEPT: &str = "what is learned will not be kept over a restart";
/// So much later than it changed the last of what was learned is kept, at most.
const LATEST: Duration = Duration::from_secs(60);
/// No quota is counted over a longer time.
const A_DAY: Duration = Duration::from_secs(86_400);
/// The least time between two writes.
const APART: Duration = Duration::from_millis(20);
/// After so many pins the file is looked through for old ones.
const MANY: usize = 10_000;
/// How long the last word may take.
const PATIENCE: Duration = Duration::from_secs(2);

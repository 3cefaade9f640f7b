//! What lanes have learned: handed to whoever keeps it, and given back to the lanes of a later run.
//!
//! # What this module owns
//!
//! When a lane is worth keeping again: at its first change, when it has drifted, else [`SOON`] after a
//! change. Nothing is kept unless [`Admission::remind`] was called, and nothing of clients' own keys.
//!
//! # What this module does not do
//!
//! It writes nothing; [`crate::server`] does, in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Admission;
use super::routes::LaneKey;
use super::state::{LaneEntry, State};
use crate::limit::{Absence, Lane, LaneSettings, LastEnd, Learned, PastUse};
use crate::units::{AccountName, ModelName};
use crate::upstream::share_one;

/// What one lane has learned.
#[derive(Debug, Clone)]
pub struct Memory {
    /// The account that owns the lane's quotas.
    pub account: AccountName,
    /// Hashes of the keys that it had, with a space between them.
    pub holders: String,
    /// Its limit group.
    pub group: Arc<str>,
    /// What was learned.
    pub learned: Learned,
    /// How long ago that was, and whether more was sent since.
    pub absence: Absence,
}

/// A request that was sent in an earlier run, as it was booked.
#[derive(Debug, Clone)]
pub struct SentBefore {
    /// The account.
    pub account: AccountName,
    /// The model that was asked for there.
    pub model: ModelName,
    /// What it used, and when.
    pub used: PastUse,
}

/// Which lanes' memories are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Those that changed since they were asked for last.
    Changed,
    /// All: the program ends, and nothing is sent any more.
    Last,
}

/// What was learned in an earlier run and no lane has taken up yet, and when to keep again.
#[derive(Debug, Default)]
pub(super) struct Memories {
    /// Whether somebody keeps them.
    is_kept: bool,
    past: HashMap<LaneName, Past>,
    /// What was sent in earlier runs through lanes that were not made yet, and when that was told.
    sent: (Vec<SentBefore>, Option<Instant>),
    due: Option<Instant>,
}

/// Names a lane in every run: its account and its limit group.
type LaneName = (AccountName, Arc<str>);

/// What was learned in an earlier run.
#[derive(Debug)]
struct Past {
    memory: Memory,
    /// When it was given back.
    since: Instant,
}

/// What keeping knows of one lane.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LaneMemory {
    changed: bool,
    /// Whether it was ever handed out.
    is_kept: bool,
    /// How old the memory was that it began with.
    pub(super) recalled: Option<Duration>,
}

impl Memories {
    /// Returns when changed lanes should be kept.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Notes that the lane of `entry` changed. Until it was kept once in this run, what an earlier one
    /// kept says that nothing was sent since: so that is urgent.
    pub(super) fn note(&mut self, entry: &mut LaneEntry, now: Instant) {
        if !self.is_kept {
            return;
        }
        entry.memory.changed = true;
        let urgent = !entry.memory.is_kept || entry.lane.has_drifted();
        let due = if urgent { now } else { now + SOON };
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    /// Takes out what was learned of a lane that is being made at `now`, if its account had one of the
    /// keys of `holders`: behind another key there may be another organisation.
    fn take(
        &mut self,
        (account, holders): (AccountName, &str),
        group: &Arc<str>,
        now: Instant,
    ) -> Option<Memory> {
        let name = (account, Arc::clone(group));
        self.past.get(&name).filter(|past| share_one(&past.memory.holders, holders))?;
        let Past { mut memory, since } = self.past.remove(&name)?;
        let here = now.saturating_duration_since(since);
        memory.absence.lasted = memory.absence.lasted.saturating_add(here);
        Some(memory)
    }

    /// Takes out what was sent less than `within` before `now` through a lane of `account` that is being made, if
    /// `is_its` model.
    fn take_sent(
        &mut self,
        account: &AccountName,
        is_its: impl Fn(&ModelName) -> bool,
        (within, now): (Duration, Instant),
    ) -> Vec<PastUse> {
        let (sent, told) = &mut self.sent;
        let here = told.map_or(Duration::ZERO, |told| now.saturating_duration_since(told));
        let its = sent.extract_if(.., |sent| sent.account == *account && is_its(&sent.model));
        its.map(|sent| PastUse { ago: sent.used.ago.saturating_add(here), ..sent.used })
            .filter(|used| used.ago < within)
            .collect()
    }
}

impl Admission {
    /// Gives back what was learned in an earlier run, and what was `sent`; lanes that are made from now on recall
    /// the one, and what of the other came after it. From now on [`learned`](Self::learned) has something to hand out.
    pub fn remind(&self, past: Vec<Memory>, sent: Vec<SentBefore>) {
        self.shared.with(|state| {
            let since = Instant::now();
            let named = |memory: Memory| {
                let key = (memory.account.clone(), Arc::clone(&memory.group));
                (key, Past { memory, since })
            };
            state.memories.is_kept = !state.fleet.is_clients_own();
            state.memories.past = past.into_iter().map(named).collect();
            state.memories.sent = (sent, Some(since));
        });
    }

    /// Waits until some lane is worth keeping again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn worth_keeping(&self) {
        loop {
            let due = self.shared.with(|state| state.memories.due());
            let sooner = self.shared.keep_sooner.notified();
            match due {
                None => sooner.await,
                Some(due) if timeout_at(due, sooner).await.is_err() => return,
                Some(_) => {}
            }
        }
    }

    /// Hands out what lanes have learned, some hundred lanes at a time: what is left is worth keeping
    /// at once.
    pub fn learned(&self, which: Keeping) -> Vec<Memory> {
        self.shared.with(|state| {
            let now = Instant::now();
            let State { lanes, fleet, memories, .. } = state;
            memories.due = None;
            let mut left = if which == Keeping::Last { usize::MAX } else { BATCH };
            let mut handed = Vec::new();
            for entry in lanes.values_mut() {
                let is_due = which == Keeping::Last || entry.memory.changed;
                if !memories.is_kept || entry.is_retired || !is_due {
                    continue;
                }
                if left == 0 {
                    memories.due = Some(now);
                    break;
                }
                left -= 1;
                let Some(learned) = entry.keep(now) else { continue };
                // Of an account that is there no more nothing is kept: its name may be another's.
                let account = fleet.name(entry.key.account).zip(fleet.holders(entry.key.account));
                let Some((account, holders)) = account else { continue };
                let is_over = which == Keeping::Last && entry.open == 0;
                let end = if is_over { LastEnd::Clean } else { LastEnd::Cut };
                let absence = Absence { lasted: Duration::ZERO, end };
                handed.push(Memory {
                    account,
                    holders: holders.to_owned(),
                    group: Arc::clone(&entry.key.group),
                    learned,
                    absence,
                });
            }
            handed
        })
    }
}

impl State {
    /// Makes a lane that recalls what it learned in an earlier run.
    pub(super) fn make_lane(
        &mut self,
        key: LaneKey,
        settings: LaneSettings,
        now: Instant,
    ) -> LaneEntry {
        let account = self.fleet.name(key.account).zip(self.fleet.holders(key.account));
        let past = account.clone().and_then(|account| self.memories.take(account, &key.group, now));
        let within = past.as_ref().map_or(A_DAY, |past| past.absence.lasted);
        let upstream = &self.upstream;
        // What is left was learned behind other keys: so was that sent.
        let is_known = |account: &AccountName| {
            self.memories.past.contains_key(&(account.clone(), Arc::clone(&key.group)))
        };
        let account = account.filter(|(account, _)| !is_known(account));
        let sent = account.map(|(account, _)| {
            let is_its = |model: &ModelName| {
                *upstream.lane_settings(&account, model.as_str()).0 == *key.group
            };
            self.memories.take_sent(&account, is_its, (within, now))
        });
        let sent = sent.unwrap_or_default();
        let mut lane = Lane::new(settings, now);
        match &past {
            Some(past) => lane.recall(&past.learned, past.absence, &sent, now),
            // It was cut off before it was kept for the first time.
            None if !sent.is_empty() => {
                let absence = Absence { lasted: Duration::ZERO, end: LastEnd::Cut };
                lane.recall(&Learned::default(), absence, &sent, now);
            }
            None => {}
        }
        let recalled = past.map(|past| past.absence.lasted);
        let memory = LaneMemory { recalled, ..LaneMemory::default() };
        LaneEntry { key, lane, open: 0, used_at: now, memory, short_of: None, is_retired: false }
    }
}

impl LaneEntry {
    /// Returns what is to be kept of the lane, and takes it for kept.
    fn keep(&mut self, now: Instant) -> Option<Learned> {
        self.memory = LaneMemory { changed: false, is_kept: true, ..self.memory };
        self.lane.learned(now)
    }
}

/// No quota is counted over a longer time.
const A_DAY: Duration = Duration::from_secs(86_400);
/// How long a change that may be lost waits to be kept.
const SOON: Duration = Duration::from_secs(10);
/// So many lanes are handed out under one lock.
const BATCH: usize = 256;

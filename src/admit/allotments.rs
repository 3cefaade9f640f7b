//! The apps' own quotas, whichever upstream their requests go to.
//!
//! # What this module owns
//!
//! [`Allotments`]: what each app may use and has used, and which lines hold its requests back. Every admission of a
//! program draws on the same ones.
//!
//! # Invariants
//!
//! 1. Its lock is taken under that of an admission, and never the other way round: lines are rung when it is free.
//! 2. What was taken is closed once, by the grant that took it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::config::LineMode;
use crate::count::Demand;
use crate::limit::{Allotment, AppLimits, Cost, Portion, QuotaKind, QuotaLevel, Shortfall};
use crate::units::AppName;

/// The own quotas of all apps that have some. Cloning it shares them.
#[derive(Debug, Clone, Default)]
pub struct Allotments {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    apps: HashMap<AppName, App>,
    lines: Vec<Weak<Shared>>,
    /// How many apps came, so that what was taken of one that is gone is not given to its namesake.
    came: u64,
}

#[derive(Debug)]
struct App {
    number: u64,
    allotment: Allotment,
    /// The lines in which it is held back, by their numbers.
    held_in: BTreeSet<usize>,
    /// Of what it was short last, and until when, as far as that is known.
    short: Option<Short>,
}

/// A quota of which an app is short, and until when.
type Short = (QuotaKind, Option<Instant>);

/// What is left of an app's quotas.
pub type AppLevels = (AppName, Vec<QuotaLevel>);

/// What a grant has taken of its app's quotas.
#[derive(Debug)]
pub(super) struct Own {
    app: AppName,
    number: u64,
    portion: Portion,
}

/// What a request asks of its app's quotas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) demand: &'a Demand,
    /// The output that is expected.
    pub(super) output: u64,
}

/// What became of a request that had taken a part.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// It was never sent.
    Unsent,
    /// It used so many tokens.
    Used(u64),
    /// Nobody will know.
    Unknown,
}

impl Allotments {
    /// Takes over what each app may use. What was used counts on. Everybody who waits for that is tried again.
    pub fn renew(&self, limits: impl IntoIterator<Item = (AppName, AppLimits)>, now: Instant) {
        let mut inner = self.lock();
        let mut before = std::mem::take(&mut inner.apps);
        for (name, limits) in limits.into_iter().filter(|(_, limits)| !limits.is_empty()) {
            let app = match before.remove(&name) {
                Some(mut app) => {
                    app.allotment.relimit(limits, now);
                    app.held_in.clear();
                    app
                }
                None => {
                    inner.came += 1;
                    let (number, allotment) = (inner.came, Allotment::new(limits, now));
                    App { number, allotment, held_in: BTreeSet::new(), short: None }
                }
            };
            inner.apps.insert(name, app);
        }
        let (apps, lines) = (inner.names(), inner.lines.clone());
        drop(inner);
        for line in lines.iter().filter_map(Weak::upgrade) {
            line.with(|state| {
                state.line.limit_apps(apps.clone());
                state.serve_all(now);
            });
        }
    }

    /// Tells whether no app has quotas.
    pub fn is_empty(&self) -> bool {
        self.lock().apps.is_empty()
    }

    /// Takes in what an app has used so long before `now`, the earliest first. Only before anything is asked for.
    pub fn recall(&self, app: &AppName, past: &[(Duration, Cost)], now: Instant) {
        if let Some(app) = self.lock().apps.get_mut(app) {
            app.allotment.recall(past, now);
        }
    }

    /// Returns the state of each app's quotas, by name.
    pub fn levels(&self, now: Instant) -> Vec<AppLevels> {
        let inner = self.lock();
        let levels = inner.apps.iter().map(|(name, app)| (name.clone(), app.allotment.levels(now)));
        let mut levels: Vec<_> = levels.collect();
        levels.sort_by(|a, b| a.0.cmp(&b.0));
        levels
    }

    /// Notes that a line is there, and returns its number and the apps that have quotas.
    pub(super) fn register(&self, line: Weak<Shared>) -> (usize, HashSet<AppName>) {
        let mut inner = self.lock();
        inner.lines.push(line);
        (inner.lines.len() - 1, inner.names())
    }

    /// Tells whether an app has room for what is wanted. If not, the line of this number is rung when it may.
    ///
    /// # Errors
    ///
    /// Returns the [`Shortfall`] that lasts longest.
    pub(super) fn fits(
        &self,
        name: &AppName,
        wanted: &Wanted<'_>,
        line: usize,
        now: Instant,
    ) -> Result<(), Shortfall> {
        self.lock().apps.get_mut(name).map_or(Ok(()), |app| app.fits(wanted, line, now))
    }

    /// Takes what is wanted. `None` where the app has no quotas.
    ///
    /// # Errors
    ///
    /// As [`fits`](Self::fits), where there must be room; nothing is taken then.
    pub(super) fn take(
        &self,
        name: &AppName,
        (wanted, how): (&Wanted<'_>, How),
        line: usize,
        now: Instant,
    ) -> Result<Option<Own>, Shortfall> {
        let mut inner = self.lock();
        let Some(app) = inner.apps.get_mut(name) else { return Ok(None) };
        if how == How::IfItFits {
            app.fits(wanted, line, now)?;
        }
        let cost = app.allotment.cost(wanted.demand, wanted.output);
        let portion = app.allotment.take(cost, now);
        Ok(Some(Own { app: name.clone(), number: app.number, portion }))
    }

    /// Notes that a request is being sent.
    pub(super) fn sent(&self, own: &mut Own, now: Instant) {
        if let Some(app) = self.lock().of(&own.app, own.number) {
            app.allotment.sent(&mut own.portion, now);
        }
    }

    /// Closes what a request had taken. Returns its app, if other lines than that of this number hold it back.
    pub(super) fn close(&self, own: &Own, end: End, line: usize, now: Instant) -> Option<AppName> {
        let mut inner = self.lock();
        let app = inner.of(&own.app, own.number)?;
        match end {
            End::Unsent => app.allotment.cancel(&own.portion),
            End::Used(tokens) => app.allotment.settle(&own.portion, tokens, now),
            End::Unknown => app.allotment.keep(&own.portion),
        }
        if let Some((_, until)) = &mut app.short {
            *until = Some(until.map_or(now, |until| until.min(now)));
        }
        app.held_in.remove(&line);
        (!app.held_in.is_empty()).then(|| own.app.clone())
    }

    /// Returns of what an app was short last, if it still was at `since`.
    pub(super) fn short_since(&self, app: &AppName, since: Instant) -> Option<QuotaKind> {
        let (quota, until) = self.lock().apps.get(app)?.short?;
        until.is_none_or(|until| until >= since).then_some(quota)
    }

    /// Returns when `cost` will have gone, if all of it waited now; `None` where the app has no quotas.
    pub(super) fn gone_through(&self, app: &AppName, cost: &Cost, now: Instant) -> Option<Instant> {
        Some(self.lock().apps.get(app)?.allotment.gone_through(cost, now))
    }

    /// Lets all lines that hold `app` back try it again. Not to be called under the lock of an admission.
    pub(super) fn ring(&self, name: &AppName, now: Instant) {
        let mut inner = self.lock();
        let held = inner.apps.get_mut(name).map(|app| std::mem::take(&mut app.held_in));
        let held = held.unwrap_or_default();
        let lines: Vec<_> =
            held.iter().filter_map(|number| inner.lines.get(*number)?.upgrade()).collect();
        drop(inner);
        for line in lines {
            line.with(|state| {
                state.line.release(name);
                state.serve(now);
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether who takes must have room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Only where there is room.
    IfItFits,
    /// Into debt, where there is none.
    Anyway,
}

impl How {
    /// Returns how who is let go takes: where nobody is held, anyway.
    pub(super) const fn of(mode: LineMode) -> Self {
        match mode {
            LineMode::Enforce => Self::IfItFits,
            LineMode::Observe => Self::Anyway,
        }
    }
}

impl Own {
    pub(super) const fn app(&self) -> &AppName {
        &self.app
    }
}

impl App {
    fn fits(&mut self, wanted: &Wanted<'_>, line: usize, now: Instant) -> Result<(), Shortfall> {
        if let Some((quota, limit, wanted)) = self.allotment.exceeded(wanted.demand) {
            return Err(Shortfall::TooLarge { quota, limit, wanted });
        }
        let cost = self.allotment.cost(wanted.demand, wanted.output);
        let fits = self.allotment.fits(&cost, now);
        match fits {
            Err(Shortfall::Later { quota, at }) => self.short = Some((quota, Some(at))),
            Err(Shortfall::AfterAnswer { quota }) => self.short = Some((quota, None)),
            Err(Shortfall::TooLarge { .. }) | Ok(()) => return fits,
        }
        self.held_in.insert(line);
        fits
    }
}

impl Inner {
    fn names(&self) -> HashSet<AppName> {
        self.apps.keys().cloned().collect()
    }

    fn of(&mut self, name: &AppName, number: u64) -> Option<&mut App> {
        self.apps.get_mut(name).filter(|app| app.number == number)
    }
}

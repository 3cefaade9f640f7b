//! How many may wait and how much they may hold, in all and per app.
//!
//! When the line is full, the app that holds the most gives way to one that holds less: nobody is
//! shut out by the requests of another.

use std::collections::{BTreeSet, HashMap};

use crate::units::AppName;

/// How long a line may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most requests in all.
    pub waiting: usize,
    /// The most requests of one app.
    pub waiting_per_app: usize,
    /// The most bytes that all of them may hold.
    pub bytes: usize,
}

/// Why nobody else can join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// As many wait, or hold as many bytes, as may in all.
    Line,
    /// As many of the same app wait as may.
    App,
}

/// What becomes of one who wants to join.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room.
    Free,
    /// There is, if this app's last request leaves.
    After(AppName),
    /// There is none.
    None(Full),
}

/// Who holds how much.
#[derive(Debug)]
pub(super) struct Depth {
    bounds: Bounds,
    all: Held,
    apps: HashMap<AppName, Held>,
    by_count: BTreeSet<(usize, AppName)>,
    by_bytes: BTreeSet<(usize, AppName)>,
}

/// So many requests that hold so many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Depth {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            all: Held::default(),
            apps: HashMap::new(),
            by_count: BTreeSet::new(),
            by_bytes: BTreeSet::new(),
        }
    }

    pub(super) fn rebound(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    pub(super) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Returns what all hold together.
    pub(super) const fn all(&self) -> Held {
        self.all
    }

    /// Tells whether `app` may join with a request of so many bytes.
    pub(super) fn room(&self, app: &AppName, bytes: usize) -> Room {
        let own = self.apps.get(app).copied().unwrap_or_default();
        if own.count >= self.bounds.waiting_per_app {
            return Room::None(Full::App);
        }
        if self.all.count >= self.bounds.waiting {
            return give_way(self.by_count.last(), own.count + 1);
        }
        if self.all.bytes.saturating_add(bytes) > self.bounds.bytes {
            return give_way(self.by_bytes.last(), own.bytes.saturating_add(bytes));
        }
        Room::Free
    }

    /// Counts one more.
    pub(super) fn add(&mut self, app: &AppName, bytes: usize) {
        let held = self.apps.get(app).copied().unwrap_or_default();
        let more = Held { count: held.count + 1, bytes: held.bytes.saturating_add(bytes) };
        self.replace(app, held, more);
        self.all.count += 1;
        self.all.bytes = self.all.bytes.saturating_add(bytes);
    }

    /// Counts one less.
    pub(super) fn remove(&mut self, app: &AppName, bytes: usize) {
        let Some(held) = self.apps.get(app).copied() else { return };
        let count = held.count.saturating_sub(1);
        let less = Held { count, bytes: held.bytes.saturating_sub(bytes) };
        self.replace(app, held, less);
        self.all.count = self.all.count.saturating_sub(1);
        self.all.bytes = self.all.bytes.saturating_sub(bytes);
    }

    fn replace(&mut self, app: &AppName, before: Held, after: Held) {
        self.by_count.remove(&(before.count, app.clone()));
        self.by_bytes.remove(&(before.bytes, app.clone()));
        if after.count == 0 {
            self.apps.remove(app);
            return;
        }
        self.by_count.insert((after.count, app.clone()));
        self.by_bytes.insert((after.bytes, app.clone()));
        self.apps.insert(app.clone(), after);
    }
}

/// Lets the one who holds the most give way, if it holds more than the other then would.
fn give_way(most: Option<&(usize, AppName)>, other: usize) -> Room {
    match most {
        Some((held, app)) if *held > other => Room::After(app.clone()),
        _ => Room::None(Full::Line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { waiting: 10, waiting_per_app: 8, bytes: 1_000 };

    fn depth(apps: &[(&str, usize)]) -> Depth {
        let mut depth = Depth::new(BOUNDS);
        for (app, count) in apps {
            (0..*count).for_each(|_| depth.add(&(*app).into(), 50));
        }
        depth
    }

    #[test]
    fn the_app_that_holds_the_most_gives_way_to_one_that_holds_less() {
        let depth = depth(&[("many", 8), ("few", 2)]);
        assert_eq!(depth.room(&"new".into(), 10), Room::After("many".into()));
        assert_eq!(depth.room(&"few".into(), 10), Room::After("many".into()));
        assert_eq!(depth.room(&"many".into(), 10), Room::None(Full::App));
    }

    #[test]
    fn apps_that_hold_the_same_are_not_pushed_out_by_each_other() {
        let depth = depth(&[("one", 5), ("other", 5)]);
        assert_eq!(depth.room(&"one".into(), 10), Room::None(Full::Line));
    }

    #[test]
    fn bytes_are_bounded_as_requests_are() {
        let mut depth = depth(&[("small", 1)]);
        depth.add(&"large".into(), 900);
        assert_eq!(depth.room(&"small".into(), 50), Room::Free);
        assert_eq!(depth.room(&"small".into(), 51), Room::After("large".into()));
        assert_eq!(depth.room(&"large".into(), 51), Room::None(Full::Line));
        depth.remove(&"large".into(), 900);
        assert_eq!(depth.all(), Held { count: 1, bytes: 50 });
    }
}

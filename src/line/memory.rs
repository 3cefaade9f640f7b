//! Keeps the places of those who left without having been served, until they come back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use super::flow::FlowId;
use super::place::{Place, PoolId};
use crate::units::AppName;

/// The places of those who are away, bounded like the line.
#[derive(Debug, Default)]
pub(super) struct Memory {
    kept: BTreeMap<Place, Kept>,
    alike: HashMap<Key, BTreeSet<Place>>,
    per_app: HashMap<AppName, Ends>,
    /// When each is forgotten, the oldest first.
    ends: Ends,
}

type Key = (AppName, u64);
type Ends = BTreeSet<(Instant, Place)>;

/// One who is away, and where it stood.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) app: AppName,
    pub(super) likeness: u64,
    pub(super) flow: FlowId,
    pub(super) pool: PoolId,
    /// When its turn was said to come, if it was.
    pub(super) due: Option<Instant>,
    until: Instant,
}

impl Kept {
    pub(super) fn new(
        (app, likeness): (AppName, u64),
        (flow, pool): (FlowId, PoolId),
        (due, until): (Option<Instant>, Instant),
    ) -> Self {
        Self { app, likeness, flow, pool, due, until }
    }
}

impl Memory {
    /// Keeps a place, of which there are at most `most`, and at most `per_app` of one app: returns
    /// the oldest ones that are forgotten for it.
    pub(super) fn keep(
        &mut self,
        place: Place,
        kept: Kept,
        (most, per_app): (usize, usize),
    ) -> Vec<(Place, Kept)> {
        let mut forgotten = Vec::new();
        forgotten.extend(self.remove(place));
        while self.kept.len() >= most.max(1) {
            let Some((_, oldest)) = self.ends.first().copied() else { break };
            forgotten.extend(self.remove(oldest));
        }
        while self.per_app.get(&kept.app).is_some_and(|own| own.len() >= per_app.max(1)) {
            let oldest = self.per_app.get(&kept.app).and_then(|own| own.first().copied());
            let Some((_, oldest)) = oldest else { break };
            forgotten.extend(self.remove(oldest));
        }
        self.ends.insert((kept.until, place));
        self.alike.entry((kept.app.clone(), kept.likeness)).or_default().insert(place);
        self.per_app.entry(kept.app.clone()).or_default().insert((kept.until, place));
        self.kept.insert(place, kept);
        forgotten
    }

    /// Gives out the first place kept for a request like this of `app`; once.
    pub(super) fn take(&mut self, app: &AppName, likeness: u64) -> Option<(Place, Kept)> {
        let place = *self.alike.get(&(app.clone(), likeness))?.first()?;
        self.remove(place)
    }

    /// Forgets, one by one, those whose time is over.
    pub(super) fn forget(&mut self, now: Instant) -> Option<(Place, Kept)> {
        let (until, place) = self.ends.first().copied()?;
        if until > now { None } else { self.remove(place) }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    fn remove(&mut self, place: Place) -> Option<(Place, Kept)> {
        let kept = self.kept.remove(&place)?;
        let key = (kept.app.clone(), kept.likeness);
        if let Some(places) = self.alike.get_mut(&key) {
            places.remove(&place);
            if places.is_empty() {
                self.alike.remove(&key);
            }
        }
        self.ends.remove(&(kept.until, place));
        if let Some(own) = self.per_app.get_mut(&kept.app) {
            own.remove(&(kept.until, place));
            if own.is_empty() {
                self.per_app.remove(&kept.app);
            }
        }
        Some((place, kept))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AMPLE: (usize, usize) = (100, 100);
    const KEPT: Duration = Duration::from_secs(90);

    fn keep(memory: &mut Memory, arrival: u64, now: Instant, most: (usize, usize)) -> usize {
        let kept = Kept::new(("app".into(), 7), (FlowId(1), PoolId(1)), (None, now + KEPT));
        memory.keep(Place::new(arrival, now, None), kept, most).len()
    }

    #[test]
    fn a_place_is_given_out_once_the_first_first() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        keep(&mut memory, 2, now, AMPLE);
        keep(&mut memory, 1, now, AMPLE);
        let mut take = || memory.take(&"app".into(), 7).map(|(place, _)| place);
        assert_eq!(take(), Some(Place::new(1, now, None)));
        assert_eq!(take(), Some(Place::new(2, now, None)));
        assert_eq!(take(), None);
    }

    #[test]
    fn only_an_equal_request_of_the_same_app_takes_it() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        keep(&mut memory, 1, now, AMPLE);
        assert!(memory.take(&"other".into(), 7).is_none());
        assert!(memory.take(&"app".into(), 8).is_none());
    }

    #[test]
    fn after_ninety_seconds_it_is_forgotten_unless_it_was_kept_anew() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        keep(&mut memory, 1, now, AMPLE);
        keep(&mut memory, 2, now, AMPLE);
        let (place, _) = memory.take(&"app".into(), 7).expect("it was kept");
        let later = now + Duration::from_secs(60);
        let kept = Kept::new(("app".into(), 7), (FlowId(1), PoolId(1)), (None, later + KEPT));
        memory.keep(place, kept, AMPLE);
        assert!(memory.forget(now + Duration::from_secs(89)).is_none());
        let end = now + KEPT;
        assert_eq!(memory.forget(end).map(|(place, _)| place), Some(Place::new(2, now, None)));
        assert!(memory.forget(end).is_none());
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn places_are_bounded_in_all_and_per_app() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let forgotten: usize = (0..10).map(|n| keep(&mut memory, n, now, (100, 4))).sum();
        assert_eq!((memory.len(), forgotten), (4, 6));
        keep(&mut memory, 10, now, (3, 100));
        assert_eq!(memory.len(), 3);
    }
}

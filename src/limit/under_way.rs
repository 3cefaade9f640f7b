//! The requests under way, and when what they use falls due.
//!
//! # What this module owns
//!
//! [`UnderWay`], how many requests there are, by their age, and what they may use at most. Where
//! output is charged when it is known, room for it must be there when it falls due, and not before: a
//! quota refills meanwhile. [`Due`] says how much falls due until when: the mean and two standard
//! deviations of the sum, never above the sum of the bounds.
//!
//! # What this module does not do
//!
//! It does not know how outputs are distributed ([`super::outputs`] does) nor what room there will be
//! ([`super::meter`] does).
//!
//! # Invariants
//!
//! 1. What a request adds when it enters, it takes out when it leaves: integers, no drift.
//! 2. At most [`PLACES`] groups are kept, each spanning a share of its age.

use std::collections::VecDeque;

use super::meter::float;
use super::moment::Moment;
use super::outputs::{Aged, DEVIATIONS, Outputs, whole};

/// The requests under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    groups: VecDeque<Group>,
    count: u64,
    most: u64,
}

/// Requests that were sent one after the other.
#[derive(Debug, Clone, Copy)]
struct Group {
    first: Moment,
    last: Moment,
    count: u64,
    /// What they may use together.
    most: u64,
}

/// What falls due until a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// In so many nanoseconds.
    pub(super) until: u64,
    /// What requests under way will have been charged by then.
    pub(super) others: u64,
    /// What one more makes of it.
    pub(super) all: u64,
    /// What those under way will have been charged at least.
    pub(super) least: u64,
    /// What they are expected to have been charged.
    pub(super) mean: u64,
}

/// What several requests are charged.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    mean: f64,
    least: f64,
    variance: f64,
}

/// What is expected to be given back of bounds that were debited, and when those were.
#[derive(Debug, Default)]
pub struct Back {
    parts: Vec<(Moment, u64)>,
}

/// What falls due, in the order of time.
pub(super) type Dues = [Due; TIMES.len() + 1];

impl Back {
    /// Returns how much of it was debited after `since`; all of it, where that is `None`.
    pub(super) fn debited_after(&self, since: Option<Moment>) -> u64 {
        let parts = self.parts.iter().filter(|(at, _)| since.is_none_or(|since| *at > since));
        parts.map(|(_, back)| *back).fold(0, u64::saturating_add)
    }
}

impl UnderWay {
    /// Takes in a request debited at `since`, now, that may use `most`.
    pub(super) fn enter(&mut self, most: u64, since: Moment) {
        self.count += 1;
        self.most = self.most.saturating_add(most);
        match self.groups.back_mut() {
            Some(newest) if since.since(newest.first) < LEAST => {
                newest.last = newest.last.max(since);
                newest.count += 1;
                newest.most = newest.most.saturating_add(most);
            }
            _ => {
                self.make_place(since);
                self.groups.push_back(Group { first: since, last: since, count: 1, most });
            }
        }
    }

    /// Takes out a request that was debited at `since`.
    pub(super) fn leave(&mut self, most: u64, since: Moment) {
        self.count = self.count.saturating_sub(1);
        self.most = self.most.saturating_sub(most);
        let behind = self.groups.partition_point(|group| group.first <= since);
        let Some(place) = behind.checked_sub(1) else { return };
        let Some(group) = self.groups.get_mut(place) else { return };
        group.count = group.count.saturating_sub(1);
        group.most = group.most.saturating_sub(most);
        if group.count == 0 {
            self.groups.remove(place);
        }
    }

    /// Returns the most that they may use together.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// Returns what is expected of all of them together.
    pub(super) fn mean(&self, outputs: &Outputs) -> u64 {
        outputs.mean(self.most.checked_div(self.count).unwrap_or(0)).saturating_mul(self.count)
    }

    /// Returns what is expected to be left of the bounds of all of them.
    pub(super) fn back(&self, outputs: &Outputs) -> Back {
        let groups = self.groups.iter().map(|group| {
            let bound = group.most.checked_div(group.count).unwrap_or(0);
            let expected = outputs.mean(bound).saturating_mul(group.count);
            (group.last, group.most.saturating_sub(expected))
        });
        Back { parts: groups.collect() }
    }

    /// Returns what all of them together are likely to use at most, whatever their age.
    pub(super) fn reserve(&self, outputs: &Outputs) -> u64 {
        outputs.sum(self.count, self.most)
    }

    /// Returns what falls due when, if one more that may use `own` is sent at `now`, for quotas with windows of so many
    /// nanoseconds.
    pub(super) fn dues(&self, outputs: &Outputs, own: u64, (now, window): (Moment, u64)) -> Dues {
        let course = outputs.course(self.groups.iter().map(|group| (group.age(now), group.count)));
        let others: Vec<_> =
            self.groups.iter().map(|group| (group, course.of(group.age(now)))).collect();
        let one = (&Group { first: now, last: now, count: 1, most: own }, course.of(0));
        let mut dues = [Due::default(); TIMES.len() + 1];
        let times = TIMES.iter().map(|part| (window / 64 * part, window / 64 * part));
        // Beyond, all of it counts as one more window's.
        let times = times.chain([(window.saturating_mul(5), u64::MAX)]);
        let mut last = None;
        for (place, (until, within)) in dues.iter_mut().zip(times) {
            let due = last.unwrap_or_else(|| {
                let others = others.iter().map(|(group, aged)| group.due(aged, within));
                let others = others.fold(Sum::default(), |sum, group| sum.plus(&group));
                let all = others.plus(&one.0.due(&one.1, within));
                let (least, mean) = (whole(others.least), whole(others.mean));
                let others = whole(others.likely()).min(self.most);
                let all = whole(all.likely()).min(self.most.saturating_add(own));
                Due { until, others, all: all.max(others), least, mean: mean.min(others) }
            });
            // All has ended: nothing more falls due.
            last = (within >= course.end()).then_some(due);
            *place = Due { until, ..due };
        }
        dues
    }

    /// Joins the two neighbours that are the closest for their age, where all places are taken.
    fn make_place(&mut self, now: Moment) {
        if self.groups.len() < PLACES {
            return;
        }
        let nexts = self.groups.iter().skip(1);
        let spans = self.groups.iter().zip(nexts).map(|(group, next)| {
            float(next.last.since(group.first)) / float(now.since(group.first).max(1))
        });
        let best = spans.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(i, _)| i);
        let Some(later) = self.groups.remove(best + 1) else { return };
        let Some(earlier) = self.groups.get_mut(best) else { return };
        earlier.last = later.last;
        earlier.count += later.count;
        earlier.most = earlier.most.saturating_add(later.most);
    }
}

impl Group {
    fn age(&self, now: Moment) -> u64 {
        now.since(self.first.plus(self.last.since(self.first) / 2))
    }

    /// Returns what these are charged within `until` nanoseconds.
    fn due(&self, aged: &Aged<'_>, until: u64) -> Sum {
        let likely = aged.within(until);
        let (count, most) = (float(self.count), float(self.most));
        let mean = (likely.mean * count + likely.unknown * most).min(most);
        Sum { mean, least: likely.least * count, variance: likely.variance * count }
    }
}

impl Sum {
    /// Returns what it is likely to come to at most.
    fn likely(&self) -> f64 {
        self.mean + DEVIATIONS * self.variance.sqrt()
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            mean: self.mean + other.mean,
            least: self.least + other.least,
            variance: self.variance + other.variance,
        }
    }
}

/// The most groups.
const PLACES: usize = 24;
/// Requests sent so shortly after each other are of one age, in nanoseconds.
const LEAST: u64 = 2_000_000;
/// Until when dues are added up, in 64ths of a window; beyond, all of them.
const TIMES: [u64; 15] = [0, 1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 128, 192, 256];

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;
    const WINDOW: u64 = 8 * SECOND;

    /// Answers of 100 tokens that take two seconds.
    fn usual() -> Outputs {
        let mut outputs = Outputs::default();
        (0..500).for_each(|_| outputs.learn(100, 2 * SECOND + SECOND / 4));
        outputs
    }

    fn last(dues: &Dues) -> Due {
        *dues.last().expect("there are some")
    }

    #[test]
    fn while_nothing_is_known_all_may_be_charged_at_once() {
        let mut under_way = UnderWay::default();
        under_way.enter(1_000, Moment(0));
        let dues = under_way.dues(&Outputs::default(), 500, (Moment(SECOND), WINDOW));
        assert!(dues.iter().all(|due| (due.others, due.all) == (1_000, 1_500)));
        assert_eq!(dues[0].until, 0);
    }

    #[test]
    fn outputs_fall_due_when_their_answers_end() {
        let mut under_way = UnderWay::default();
        let sent = Moment(SECOND);
        (0..50).for_each(|_| under_way.enter(1_000, sent));
        let outputs = usual();
        let within = |now: Moment, time: u64| {
            let dues = under_way.dues(&outputs, 1_000, (now, WINDOW));
            dues.iter().take_while(|due| due.until <= time).last().map_or(0, |due| due.others)
        };
        assert!(within(sent, SECOND) < 100, "none ends within a second: {}", within(sent, SECOND));
        let later = sent.plus(3 * SECOND / 2);
        let soon = within(later, 2 * SECOND);
        assert!((4_500..=6_000).contains(&soon), "all end within the next one: {soon}");
    }

    #[test]
    fn one_more_makes_more_of_it_and_never_more_than_the_bounds() {
        let mut under_way = UnderWay::default();
        (0..10).for_each(|i| under_way.enter(120, Moment(i * 10 * MS)));
        let due = last(&under_way.dues(&usual(), 120, (Moment(SECOND), WINDOW)));
        assert!((1_000..=1_200).contains(&due.others), "{due:?}");
        assert!((90..=120).contains(&(due.all - due.others)), "{due:?}");
    }

    #[test]
    fn what_enters_leaves_without_a_trace_in_any_order() {
        let mut under_way = UnderWay::default();
        let mut open: Vec<(u64, Moment)> =
            (0..500).map(|i| (i % 7, Moment(i * i * 40 * MS))).collect();
        for (most, at) in &open {
            under_way.enter(*most, *at);
            assert!(under_way.groups.len() <= PLACES);
        }
        open.rotate_left(123);
        for (left, (most, at)) in open.iter().enumerate() {
            assert_eq!(under_way.count, 500 - left as u64);
            under_way.leave(*most, *at);
        }
        assert_eq!((under_way.groups.len(), under_way.count, under_way.most), (0, 0, 0));
    }

    #[test]
    fn groups_are_short_for_their_age() {
        let mut under_way = UnderWay::default();
        (0..10_000).for_each(|i| under_way.enter(1, Moment(i * 10 * MS)));
        let now = Moment(100 * SECOND);
        for group in &under_way.groups {
            let (span, age) = (group.last.since(group.first), now.since(group.first));
            assert!(span <= age / 2, "{span} of {age}");
        }
    }
}

//! Requests under way at one time: how many may be, and when the next one may begin.
//!
//! # What this module owns
//!
//! [`Slots`]: how many requests hold one, how long on the average they have held it so far, and how
//! long those did that were answered lately. From that follow the time that a queue takes, and what a
//! request takes of the lane. A slot whose request was broken off from here counts as taken for a moment more: the
//! provider hears of that later than of the next request, which comes by another connection.
//!
//! # What this module does not do
//!
//! It does not follow single requests: sums tell enough.

use std::collections::VecDeque;

use super::meter::float;
use super::moment::Moment;

/// The slots of a lane; as many as one likes where `most` is none.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    pub(super) most: Option<u64>,
    taken: u64,
    /// Until when those count that were broken off; none where there is no end of slots.
    broken: VecDeque<Moment>,
    /// When one was taken last.
    latest: Moment,
    /// The sum of the moments at which they were taken.
    begins: u128,
    /// How long answered requests held one, in nanoseconds.
    held: f64,
    answered: u32,
}

impl Slots {
    pub(super) fn new(most: Option<u64>) -> Self {
        let latest = Moment(0);
        Self {
            most,
            taken: 0,
            broken: VecDeque::new(),
            latest,
            begins: 0,
            held: GUESS,
            answered: 0,
        }
    }

    /// Notes that a request takes a slot.
    pub(super) fn take(&mut self, now: Moment) {
        self.taken += 1;
        self.latest = now;
        self.begins += u128::from(now.0);
    }

    /// Notes that the request gives its slot back that took it at `since`.
    pub(super) fn give_back(&mut self, since: Moment) {
        self.taken = self.taken.saturating_sub(1);
        self.begins = self.begins.saturating_sub(u128::from(since.0));
    }

    /// Notes that the request that gives its slot back was broken off from here; the slot is free from `at` on.
    pub(super) fn break_off(&mut self, at: Moment) {
        if self.most.is_some() {
            self.broken.push_back(at);
        }
    }

    /// Returns when the next of those is free that were broken off and are not yet.
    pub(super) fn next_free(&mut self, now: Moment) -> Option<Moment> {
        while self.broken.pop_front_if(|at| *at <= now).is_some() {}
        self.broken.front().copied()
    }

    /// Learns from a request that was answered after having held one since `since`.
    pub(super) fn learn(&mut self, since: Moment, now: Moment) {
        self.answered = (self.answered + 1).min(LATELY);
        self.held += (float(now.since(since)) - self.held) / f64::from(self.answered);
    }

    /// Returns how many are taken.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns when one was taken last.
    pub(super) const fn latest(&self) -> Moment {
        self.latest
    }

    /// Returns how many are free.
    pub(super) fn free(&self) -> Option<u64> {
        self.most
            .map(|most| most.saturating_sub(self.taken).saturating_sub(self.broken.len() as u64))
    }

    /// Returns the part of a window that `requests` take of all slots together; nothing where there is
    /// no end of them.
    pub(super) fn share(&self, requests: u64, window: u64) -> f64 {
        let Some(most) = self.most else { return 0.0 };
        float(requests) * self.held / (float(most.max(1)) * float(window))
    }

    /// Returns when the last of `requests` that wait takes its slot.
    ///
    /// Those under way are taken to end evenly over the time around what is left to them on the
    /// average: at one moment if they began together, one by one if they began one by one.
    pub(super) fn gone_through(&self, requests: u64, now: Moment) -> Moment {
        let Some(most) = self.most else { return now };
        // Where nobody is held, more than that are under way, and stand for the line.
        let short = requests.saturating_add(self.taken).saturating_sub(most);
        if short == 0 || most == 0 {
            return now;
        }
        let age = self.age(now);
        let held = self.held.max(age);
        // Who has been there for longer than usual will stay for a little.
        let left = (held - age).max(held / LEAST_LEFT);
        let (first, last) = ((2.0 * left - held).max(0.0), (2.0 * left).min(held));
        let (rounds, turn) = ((short - 1) / most, (short - 1) % most);
        let part = (float(turn) + 0.5) / float(most);
        let nanos = float(rounds) * held + first + part * (last - first);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        now.plus(nanos as u64)
    }

    /// Returns how long those under way have held theirs, on the average.
    fn age(&self, now: Moment) -> f64 {
        let Some(mean) = self.begins.checked_div(u128::from(self.taken)) else { return 0.0 };
        float(now.0.saturating_sub(u64::try_from(mean).unwrap_or(u64::MAX)))
    }
}

/// What an answer takes before the first is known: a second.
const GUESS: f64 = 1e9;
/// So many answers are remembered: how long they take may change.
const LATELY: u32 = 32;
/// So small a part of the usual time is left at least.
const LEAST_LEFT: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Four slots, held for 8 s each so far, and now for so many seconds.
    fn slots(ages: &[u64]) -> (Slots, Moment) {
        let now = Moment(1_000 * SECOND);
        let mut slots = Slots::new(Some(4));
        slots.learn(Moment(0), Moment(8 * SECOND));
        for age in ages {
            slots.take(now.minus(age * SECOND));
        }
        (slots, now)
    }

    #[test]
    fn the_place_of_a_queue_in_time_is_told_from_how_long_slots_were_held() {
        struct Case {
            name: &'static str,
            ages: &'static [u64],
            waiting: u64,
            millis: u64,
        }
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            Case { name: "one is free",                ages: &[1, 2, 3],     waiting: 1, millis: 0 },
            Case { name: "the next of all that began", ages: &[3, 3, 3, 3],  waiting: 1, millis: 2_750 },
            Case { name: "the last of them",           ages: &[3, 3, 3, 3],  waiting: 4, millis: 7_250 },
            Case { name: "began just now",             ages: &[0, 0, 0, 0],  waiting: 1, millis: 8_000 },
            Case { name: "began one by one",           ages: &[1, 3, 5, 7],  waiting: 1, millis: 1_000 },
            Case { name: "the last of these",          ages: &[1, 3, 5, 7],  waiting: 4, millis: 7_000 },
            Case { name: "two rounds later",           ages: &[1, 3, 5, 7],  waiting: 9, millis: 17_000 },
            Case { name: "longer than usual",          ages: &[8, 8, 8, 8],  waiting: 4, millis: 1_750 },
        ];
        for Case { name, ages, waiting, millis } in cases {
            let (slots, now) = slots(ages);
            let wait = slots.gone_through(waiting, now).since(now) / 1_000_000;
            assert_eq!(wait, millis, "{name}");
        }
    }

    #[test]
    fn what_is_given_back_is_free_and_leaves_nothing_behind() {
        let (mut slots, now) = slots(&[1, 2, 3, 4]);
        assert_eq!(slots.free(), Some(0));
        for age in [1, 2, 3, 4] {
            slots.give_back(now.minus(age * SECOND));
        }
        assert_eq!((slots.free(), slots.begins), (Some(4), 0));
    }

    #[test]
    fn who_is_broken_off_holds_its_slot_for_a_moment_more() {
        let (mut slots, now) = slots(&[1, 2, 3, 4]);
        slots.give_back(now.minus(SECOND));
        slots.break_off(now.plus(9));
        assert_eq!((slots.next_free(now), slots.free()), (Some(now.plus(9)), Some(0)));
        assert_eq!((slots.next_free(now.plus(9)), slots.free()), (None, Some(1)));
    }

    #[test]
    fn a_request_takes_its_time_of_all_slots() {
        let (slots, _) = slots(&[]);
        assert!((slots.share(3, 60 * SECOND) - 0.1).abs() < 1e-9);
        assert!(Slots::new(None).share(3, 60 * SECOND) <= 0.0, "there is no end of them");
    }

    #[test]
    fn where_there_is_no_end_of_slots_nobody_waits_for_one() {
        let mut slots = Slots::new(None);
        slots.take(Moment(0));
        assert_eq!(slots.gone_through(1_000, Moment(7)), Moment(7));
    }
}

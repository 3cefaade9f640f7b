//! What people at a prompt took of a lane in a busy moment, so that batch work leaves as much.

use std::time::Duration;

use tokio::time::Instant;

use super::place::Backlog;

/// What is to be left free for people at a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spared {
    /// What was taken in the busiest 5 s, but room for the largest at least.
    pub busy: Backlog,
    /// What was taken in the last minute.
    pub minute: Backlog,
    /// At least so many hundredths of a window that has an end: who comes after it is used up waits for the next.
    pub hundredths: u64,
}

/// What was taken in each of the last ten minutes' slots of 2.5 s, in constant space.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Empty until something is taken.
    ring: Vec<Slot>,
    begin: Option<Instant>,
    /// The number of the slot that is being filled.
    present: u64,
    /// The busiest span, as of the present slot's begin.
    busiest: Backlog,
    largest: Backlog,
    /// What the last minute took, as of the present slot's begin.
    minute: Backlog,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    number: u64,
    taken: Backlog,
    /// The largest single reserve.
    largest: Backlog,
}

impl Recent {
    /// Notes that `cost` was taken, for which `reserve` had to be free.
    pub(super) fn took(&mut self, cost: Backlog, reserve: Backlog, now: Instant) {
        if self.ring.is_empty() {
            self.ring = vec![Slot::default(); SLOTS];
            self.begin = Some(now);
        }
        self.advance(now);
        let number = self.present;
        let Some(slot) = self.ring.get_mut(index(number)) else { return };
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot.taken = slot.taken.plus(cost);
        slot.largest = larger(slot.largest, reserve);
        let (taken, largest) = (slot.taken, slot.largest);
        let before = self.taken_in(number.wrapping_sub(1));
        self.busiest = larger(self.busiest, before.plus(taken));
        self.largest = larger(self.largest, largest);
    }

    /// Returns what is to be left free.
    pub(super) fn spare(&mut self, now: Instant) -> Spared {
        let hundredths = UNSEEN;
        if self.ring.is_empty() {
            return Spared { hundredths, ..Spared::default() };
        }
        self.advance(now);
        Spared { busy: larger(self.busiest, self.largest), minute: self.minute, hundredths }
    }

    /// Steps to the slot of `now`; looks at all slots, which happens once in 2.5 s.
    fn advance(&mut self, now: Instant) {
        let Some(begin) = self.begin else { return };
        let number = now.saturating_duration_since(begin).as_nanos() / SLOT.as_nanos();
        // Slot 0 is what was never filled.
        let number = u64::try_from(number).unwrap_or(u64::MAX).saturating_add(1);
        if number <= self.present {
            return;
        }
        self.present = number;
        let oldest = number.saturating_sub(SLOTS as u64 - 1);
        let kept = |slot: &&Slot| slot.number >= oldest.max(1);
        let spans = self.ring.iter().filter(kept).map(|slot| {
            let before = if slot.number > oldest { slot.number - 1 } else { 0 };
            slot.taken.plus(self.taken_in(before))
        });
        self.busiest = spans.fold(Backlog::NONE, larger);
        let largests = self.ring.iter().filter(kept).map(|slot| slot.largest);
        self.largest = largests.fold(Backlog::NONE, larger);
        let last_minute = number.saturating_sub(MINUTE)..number;
        let minute = self.ring.iter().filter(|slot| last_minute.contains(&slot.number));
        self.minute = minute.fold(Backlog::NONE, |sum, slot| sum.plus(slot.taken));
    }

    fn taken_in(&self, number: u64) -> Backlog {
        let slot = self.ring.get(index(number)).filter(|slot| slot.number == number && number > 0);
        slot.map_or(Backlog::NONE, |slot| slot.taken)
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number % SLOTS as u64).unwrap_or(0)
}

fn larger(a: Backlog, b: Backlog) -> Backlog {
    Backlog { requests: a.requests.max(b.requests), tokens: a.tokens.max(b.tokens) }
}

/// What people take before anybody has seen what they do: a tenth.
const UNSEEN: u64 = 10;
/// Two slots are the 5 s whose use counts.
const SLOT: Duration = Duration::from_millis(2_500);
/// So many slots are a minute.
const MINUTE: u64 = 24;
/// So many slots are ten minutes.
const SLOTS: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(tokens: u64) -> Backlog {
        Backlog { requests: 1, tokens }
    }

    #[test]
    fn what_is_left_free_is_what_was_taken_in_the_busiest_five_seconds() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let unseen = Spared { hundredths: UNSEEN, ..Spared::default() };
        assert_eq!(recent.spare(start), unseen, "nobody was at a prompt");
        for (second, tokens) in [(0, 10), (2, 20), (4, 40), (30, 50), (60, 5)] {
            recent.took(cost(tokens), cost(tokens), start + Duration::from_secs(second));
        }
        let spared = recent.spare(start + Duration::from_secs(63));
        assert_eq!(spared.busy, Backlog { requests: 3, tokens: 70 });
        assert_eq!(
            spared.minute,
            Backlog { requests: 3, tokens: 95 },
            "not those of the first 2.5 s"
        );
    }

    #[test]
    fn one_large_request_has_room() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        recent.took(cost(10), Backlog { requests: 1, tokens: 1_000 }, start);
        assert_eq!(recent.spare(start).busy.tokens, 1_000);
    }

    #[test]
    fn ten_quiet_minutes_are_forgotten() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        recent.took(cost(10), cost(10), start);
        assert_eq!(recent.spare(start + Duration::from_secs(590)).busy.tokens, 10);
        assert_eq!(recent.spare(start + Duration::from_secs(606)).busy.tokens, 0);
        recent.took(cost(7), cost(7), start + Duration::from_secs(10_000));
        assert_eq!(recent.spare(start + Duration::from_secs(10_001)).busy.tokens, 7);
    }
}

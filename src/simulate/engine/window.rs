//! Windows: the sum over the last one, and those with a fixed end.

use std::collections::VecDeque;

/// The sum over the window that ends now, as a log of debits.
///
/// Debits within a millionth of the window share an entry, which leaves with its youngest debit:
/// the log stays bounded, and no window is ever over its limit for it.
#[derive(Debug, Clone)]
pub(super) struct Sliding {
    window: u64,
    log: VecDeque<Entry>,
    first: u64,
    used: i128,
    returned: i128,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    since: u64,
    leaves: u64,
    amount: i128,
}

impl Sliding {
    /// Creates a log in which `used` leaves evenly during the first window.
    pub(super) fn new(window: u64, used: u64, now: u64) -> Self {
        let part = |index: u64| u128::from(used) * u128::from(index) / u128::from(PARTS);
        let log = (0..PARTS)
            .map(|index| Entry {
                since: 0,
                leaves: now + window / PARTS * (index + 1),
                amount: i128::try_from(part(index + 1) - part(index)).unwrap_or_default(),
            })
            .filter(|entry| entry.amount > 0)
            .collect();
        Self { window, log, first: 0, used: i128::from(used), returned: 0 }
    }

    /// Returns what the window holds.
    pub(super) fn used(&mut self, now: u64) -> i128 {
        while let Some(old) = self.log.pop_front_if(|entry| entry.leaves <= now) {
            self.first += 1;
            self.used -= old.amount;
            self.returned += old.amount;
        }
        self.used
    }

    /// Returns what has left the window since the start.
    pub(super) fn returned(&self) -> i128 {
        self.returned
    }

    /// Adds `units`, and returns the number of their entry.
    pub(super) fn debit(&mut self, units: i128, now: u64) -> u64 {
        self.used(now);
        self.used += units;
        let leaves = now.saturating_add(self.window);
        match self.log.back_mut() {
            Some(last) if last.since <= now && now - last.since <= self.window >> 20 => {
                last.amount += units;
                last.leaves = leaves;
            }
            _ => self.log.push_back(Entry { since: now, leaves, amount: units }),
        }
        self.first + self.log.len() as u64 - 1
    }

    /// Adds `change` to an entry, and tells whether it was still in the window.
    pub(super) fn correct(&mut self, number: u64, change: i128, now: u64) -> bool {
        self.used(now);
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(entry) = index.and_then(|index| self.log.get_mut(index)) else {
            return false;
        };
        entry.amount += change;
        self.used += change;
        true
    }

    /// Returns the nanoseconds until `short` units have left.
    pub(super) fn wait(&self, mut short: i128, now: u64) -> u64 {
        for entry in &self.log {
            short -= entry.amount;
            if short <= 0 {
                return entry.leaves.saturating_sub(now);
            }
        }
        self.empty_after(now)
    }

    /// Returns the nanoseconds until the window is empty.
    pub(super) fn empty_after(&self, now: u64) -> u64 {
        self.log.back().map_or(0, |entry| entry.leaves.saturating_sub(now))
    }
}

/// In how many parts that which was used before the start leaves the window.
const PARTS: u64 = 60;

/// Windows with a fixed end.
#[derive(Debug, Clone)]
pub(super) struct Fixed {
    limit: i128,
    window: u64,
    /// How far the start lies behind the calendar's last boundary; `None`: windows begin with a
    /// first request.
    calendar: Option<u64>,
    number: u64,
    ends: Option<u64>,
    used: i128,
    granted: i128,
    unused: i128,
}

impl Fixed {
    /// Creates a window with `used` in it. `calendar` is the time from the calendar's last boundary
    /// to the start, or `None` for windows that begin with a first request.
    pub(super) fn new(limit: u64, window: u64, calendar: Option<u64>, used: u64, now: u64) -> Self {
        let mut fixed = Self {
            limit: i128::from(limit),
            window,
            calendar,
            number: 0,
            ends: None,
            used: i128::from(used),
            granted: 0,
            unused: 0,
        };
        if calendar.is_some() || used > 0 {
            fixed.ends = Some(fixed.end_of_window_at(now));
        }
        fixed
    }

    /// Returns what the present window holds.
    pub(super) fn used(&mut self, now: u64) -> i128 {
        if let Some(end) = self.ends.filter(|end| *end <= now) {
            self.ends = self.calendar.map(|_| self.end_of_window_at(now));
            let later = self.ends.map_or(0, |next| (next - end) / self.window.max(1));
            let skipped = i128::from(later.saturating_sub(1));
            self.granted += self.limit * (1 + skipped);
            self.unused += self.limit - self.used + self.limit * skipped;
            self.used = 0;
            self.number += 1;
        }
        self.used
    }

    /// Returns what new windows have brought since the start, and what old ones have left unused.
    pub(super) fn granted_and_unused(&self) -> (i128, i128) {
        (self.granted, self.unused)
    }

    /// Adds `units`, and returns the number of the window.
    pub(super) fn debit(&mut self, units: i128, now: u64) -> u64 {
        self.used(now);
        self.used += units;
        if self.ends.is_none() {
            self.ends = Some(self.end_of_window_at(now));
        }
        self.number
    }

    /// Adds `change` to window `number`, and tells whether it is still the present one.
    pub(super) fn correct(&mut self, number: u64, change: i128, now: u64) -> bool {
        self.used(now);
        if number != self.number {
            return false;
        }
        self.used += change;
        true
    }

    /// Changes the limit, of the present window too.
    pub(super) fn change_limit(&mut self, limit: u64, now: u64) {
        self.used(now);
        self.limit = i128::from(limit);
    }

    /// Returns the nanoseconds until the window ends.
    pub(super) fn ends_after(&self, now: u64) -> u64 {
        self.ends.map_or(0, |end| end.saturating_sub(now))
    }

    fn end_of_window_at(&self, now: u64) -> u64 {
        let window = self.window.max(1);
        let offset = self.calendar.unwrap_or(0);
        match self.calendar {
            Some(_) => ((now + offset) / window + 1) * window - offset,
            None => now.saturating_add(window),
        }
    }
}

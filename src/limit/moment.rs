//! Time inside a lane, as whole nanoseconds.

use std::time::Duration;

use tokio::time::Instant;

/// A time, counted in nanoseconds since the lane's beginning.
///
/// Meters do integer arithmetic on it; 64 bits last for 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    /// Returns the nanoseconds since `earlier`; zero where that is later.
    pub(super) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the time `nanos` later.
    pub(super) const fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Returns the time `nanos` earlier, or the beginning.
    pub(super) const fn minus(self, nanos: u64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }

    /// Returns the time `nanos` earlier, unless that is before the beginning.
    pub(super) fn checked_minus(self, nanos: u64) -> Option<Self> {
        self.0.checked_sub(nanos).map(Self)
    }
}

/// Turns the outer world's instants into moments that never run backwards.
#[derive(Debug)]
pub(super) struct Timeline {
    epoch: Instant,
    /// The moment of the epoch.
    begin: Moment,
    latest: Moment,
}

impl Timeline {
    /// Begins at `epoch`.
    pub(super) fn new(epoch: Instant) -> Self {
        Self { epoch, begin: Moment::default(), latest: Moment::default() }
    }

    /// Puts the beginning `nanos` before the epoch, to make room for a past. Only before time went
    /// on.
    pub(super) fn begin_earlier(&mut self, nanos: u64) {
        self.begin = self.begin.plus(nanos);
        self.latest = self.latest.plus(nanos);
    }

    /// Returns `now`, or the latest time seen where `now` is older than that.
    pub(super) fn advance(&mut self, now: Instant) -> Moment {
        self.latest = self.peek(now);
        self.latest
    }

    /// Returns what [`advance`](Self::advance) would, and remembers nothing.
    pub(super) fn peek(&self, now: Instant) -> Moment {
        let since = now.saturating_duration_since(self.epoch);
        self.latest.max(self.begin.plus(nanos(since)))
    }

    /// Returns the latest time seen.
    pub(super) fn latest(&self) -> Moment {
        self.latest
    }

    /// Returns the outer world's name of `moment`.
    pub(super) fn instant(&self, moment: Moment) -> Instant {
        let after = Duration::from_nanos(moment.since(self.begin));
        self.epoch.checked_add(after).unwrap_or(self.epoch)
    }
}

/// Returns `duration` in whole nanoseconds, or as many as fit.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// In nanoseconds.
pub(super) const SECOND: u64 = 1_000 * MILLISECOND;
/// In nanoseconds.
pub(super) const MILLISECOND: u64 = 1_000_000;

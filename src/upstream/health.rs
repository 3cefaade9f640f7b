//! The health of one key or account: ready, resting, on trial, or doubtful.
//!
//! # What this module owns
//!
//! When something that failed may be tried again: after a rest that doubles with every failure,
//! then by one trial at a time.
//!
//! # What this module does not do
//!
//! It does not know what failed, nor whether there is anything else to use instead.
//!
//! # Invariants
//!
//! 1. Only what was begun after the last change counts: a burst of requests that fail together is
//!    one failure.
//! 2. After the rest at most one trial is under way.

use std::time::Duration;

use tokio::time::Instant;

/// The health of one key, or of one account in one respect.
#[derive(Debug, Clone)]
pub(super) struct Health {
    state: State,
    /// Failures since the last success.
    failures: u32,
    /// When `state` changed last; what was begun before does not speak of it.
    changed: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// It failed, but there is nothing else: it is used on.
    Doubtful {
        probe_at: Instant,
    },
    /// Not used until then, and afterwards on trial.
    Resting {
        until: Instant,
    },
    /// One trial is under way.
    Trial,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fitness {
    Ready,
    Doubtful,
    /// One trial may go now.
    Due,
    Later(Instant),
    /// A trial is under way, its end decides.
    OnTrial,
}

impl Fitness {
    /// Tells whether a request may go.
    pub(super) const fn can_go(self) -> bool {
        matches!(self, Self::Ready | Self::Doubtful | Self::Due)
    }
}

/// How long to rest after a failure: doubling from `first` to `longest`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Schedule {
    /// Returns the rest after `failures` failures; `jitter` in 0..1 takes up to a quarter off, so
    /// that what failed together does not come back together.
    pub(super) fn rest(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        full.mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))
    }
}

impl Health {
    pub(super) const fn ready() -> Self {
        Self { state: State::Ready, failures: 0, changed: None }
    }

    pub(super) fn fitness(&self, now: Instant) -> Fitness {
        match self.state {
            State::Ready => Fitness::Ready,
            State::Doubtful { .. } => Fitness::Doubtful,
            State::Resting { until } if until <= now => Fitness::Due,
            State::Resting { until } => Fitness::Later(until),
            State::Trial => Fitness::OnTrial,
        }
    }

    /// Tells whether it is used without trial: ready or doubtful.
    pub(super) fn is_in(&self) -> bool {
        matches!(self.state, State::Ready | State::Doubtful { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Returns when a probe should look at it: it rests, or is used although it failed.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        match self.state {
            State::Doubtful { probe_at } => Some(probe_at),
            State::Resting { until } => Some(until),
            State::Ready | State::Trial => None,
        }
    }

    /// Notes that something was begun at `now`: a trial, if it is due.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.fitness(now) == Fitness::Due {
            self.state = State::Trial;
            self.changed = Some(now);
        }
    }

    /// Notes that something ended without telling: the next may be the trial.
    pub(super) fn abandon(&mut self, begun: Instant, now: Instant) {
        if self.state == State::Trial && self.speaks(begun) {
            self.state = State::Resting { until: now };
        }
    }

    /// Notes a success of what was begun at `begun`; tells whether it is back by that.
    pub(super) fn succeed(&mut self, begun: Instant, now: Instant) -> bool {
        if !self.speaks(begun) {
            return false;
        }
        self.failures = 0;
        if self.state == State::Ready {
            return false;
        }
        self.state = State::Ready;
        self.changed = Some(now);
        true
    }

    /// Lets it be used again without forgetting its failures: a probe succeeded, which shows less
    /// than a request would.
    pub(super) fn readmit(&mut self, now: Instant) {
        self.state = State::Ready;
        self.changed = Some(now);
    }

    /// Counts a failure of what was begun at `begun`; returns how many there are in a row, `None`
    /// where it was counted with others that failed together.
    pub(super) fn count_failure(&mut self, begun: Instant) -> Option<u32> {
        if !self.speaks(begun) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        Some(self.failures)
    }

    /// Takes it out until `until`.
    pub(super) fn rest(&mut self, until: Instant, now: Instant) {
        self.state = State::Resting { until };
        self.changed = Some(now);
    }

    /// Marks it, but lets it be used on, for want of another; a probe looks at it at `probe_at`.
    pub(super) fn doubt(&mut self, probe_at: Instant, now: Instant) {
        self.state = State::Doubtful { probe_at };
        self.changed = Some(now);
    }

    /// Tells whether what was begun at `begun` says anything of the present state.
    fn speaks(&self, begun: Instant) -> bool {
        self.changed.is_none_or(|changed| begun >= changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule =
        Schedule { first: Duration::from_secs(30), longest: Duration::from_secs(600) };

    #[test]
    fn rests_double_up_to_the_longest() {
        let rests: Vec<u64> = (1..8).map(|n| SCHEDULE.rest(n, 0.0).as_secs()).collect();
        assert_eq!(rests, [30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(SCHEDULE.rest(u32::MAX, 1.0).as_secs(), 450);
    }

    #[test]
    fn after_the_rest_one_trial_goes_and_its_end_decides() {
        let start = Instant::now();
        let mut health = Health::ready();
        health.rest(start + Duration::from_secs(30), start);
        let due = start + Duration::from_secs(30);
        assert_eq!(health.fitness(due), Fitness::Due);
        health.begin(due);
        assert_eq!(health.fitness(due), Fitness::OnTrial);
        assert!(health.succeed(due, due + Duration::from_secs(1)));
        assert!(health.is_ready());
    }

    #[test]
    fn what_was_begun_before_the_change_neither_heals_nor_hurts() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut health = Health::ready();
        assert_eq!(health.count_failure(start), Some(1));
        health.rest(later + Duration::from_secs(30), later);
        assert_eq!(health.count_failure(start), None);
        assert!(!health.succeed(start, later));
        assert!(!health.is_in());
    }

    #[test]
    fn an_abandoned_trial_makes_room_for_the_next() {
        let start = Instant::now();
        let mut health = Health::ready();
        health.rest(start, start);
        health.begin(start);
        health.abandon(start, start);
        assert_eq!(health.fitness(start), Fitness::Due);
    }
}

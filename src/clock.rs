//! Tells the wall-clock date, derived from tokio's clock.
//!
//! # What this module owns
//!
//! [`WallClock`], the one place that reads the system's date. It is read once; afterwards the date moves with
//! [`tokio::time::Instant`], so day limits move under a paused clock in tests.
//!
//! # What this module does not do
//!
//! It does not follow the system's clock when that is set while the program runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A date that moves with tokio's clock. Cloning it copies the anchor.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    anchor: Instant,
    since_epoch: Duration,
}

impl WallClock {
    /// Reads the system's date, once.
    ///
    /// A date before 1970 counts as 1970.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the wall clock type that the lint asks for"
    )]
    pub fn from_system() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { anchor: Instant::now(), since_epoch }
    }

    /// Creates a clock that shows `since_epoch` (time since 1970-01-01 UTC) at `anchor`.
    pub const fn anchored(anchor: Instant, since_epoch: Duration) -> Self {
        Self { anchor, since_epoch }
    }

    /// Returns the time since 1970-01-01 UTC at `now`; zero before it.
    pub fn since_epoch(&self, now: Instant) -> Duration {
        match now.checked_duration_since(self.anchor) {
            Some(later) => self.since_epoch.saturating_add(later),
            None => self.since_epoch.saturating_sub(self.anchor.duration_since(now)),
        }
    }
}

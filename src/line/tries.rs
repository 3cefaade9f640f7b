//! What the line asks of whoever drives it, and what it is told.

use tokio::time::Instant;

use super::Waiter;
use super::place::{LaneId, Place, PoolId};
use super::turn::Turn;

/// Somebody to be tried on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// Who.
    pub place: Place,
    /// Where.
    pub lane: LaneId,
    /// For whom the lane is saved up: it must be predicted to fit no later for this.
    pub before: Option<SavedFor>,
    /// What is to be found out.
    pub purpose: Purpose,
}

/// Who is saved up for, and when it is predicted to fit; without a time, after something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedFor {
    /// Who.
    pub place: Place,
    /// When.
    pub at: Option<Instant>,
}

/// What a try is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It goes if it fits.
    Go,
    /// It is only asked whether it could.
    Probe,
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    /// It goes; it is expected to take this part of a window.
    Goes {
        /// The largest part of a window that it takes of any quota of the lane.
        share: f64,
    },
    /// It could go (a probe).
    Fits,
    /// It does not fit before this; without a time, before something else happens.
    Later(Option<Instant>),
    /// Its app is short of its own quotas before this: all requests of that are held back; without a time, until
    /// it is released.
    AppShort(Option<Instant>),
    /// It would make the one later for whom the lane is saved up.
    Delays,
    /// The lane lets nobody go before this; without a time, before something else happens.
    Shut(Option<Instant>),
    /// It can never fit on this lane: it goes on waiting for the lanes of this pool.
    Elsewhere(PoolId),
    /// It can never fit: it leaves.
    Never,
}

/// One who left the line by an answer.
#[derive(Debug)]
pub struct Left<T> {
    /// Who.
    pub waiter: Waiter<T>,
    /// What its turn cost its app; nothing for one who was not granted.
    pub turn: Option<Turn>,
}

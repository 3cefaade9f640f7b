//! A request that waits: what it asks for, and where it stands.

use tokio::time::Instant;

use super::flow::FlowId;
use super::place::{Backlog, LaneId, Place, PoolId};
use crate::units::Party;

/// A request that wants to wait.
#[derive(Debug, Clone)]
pub struct Request {
    /// On whose behalf.
    pub party: Party,
    /// The lanes that it may use.
    pub pool: PoolId,
    /// Its place.
    pub place: Place,
    /// What it will be charged when it is over.
    pub cost: Backlog,
    /// What must be free for it to go, until that is known.
    pub reserve: Backlog,
    /// The cost as the largest part of a window that it takes of any quota of a lane.
    pub share: f64,
    /// What must be free for it: a smaller request is taken to fit whenever a larger one does.
    pub size: u64,
    /// How many bytes it holds.
    pub bytes: usize,
    /// The lane to be looked at after the others: it just failed.
    pub avoid: Option<LaneId>,
    /// What an equal request has in common with it, where its place is to be kept for that.
    pub likeness: Option<u64>,
    /// Before this it may not go, and holds nobody up.
    pub not_before: Option<Instant>,
    /// Whether it had a place already.
    pub entry: Entry,
}

/// Whether a request that joins had a place already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It comes for the first time.
    New,
    /// It was refused, and comes back to its place.
    Return,
    /// It comes back when its turn was said to come: of its class it goes before all who were told a
    /// later time or none.
    Due {
        /// What it was told.
        since: Instant,
    },
    /// It was granted before and failed: there are no more of them than were under way.
    Retry,
}

impl Entry {
    /// Returns when its turn was said to come, if it came.
    pub(super) const fn due(self) -> Option<Instant> {
        match self {
            Self::Due { since } => Some(since),
            Self::New | Self::Return | Self::Retry => None,
        }
    }
}

/// One who waits.
#[derive(Debug)]
pub struct Waiter<T> {
    /// What it asked for.
    pub request: Request,
    /// What wakes it.
    pub ticket: T,
    pub(super) flow: FlowId,
    pub(super) saved: Option<Saved>,
}

/// Where a request is saved up for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved {
    pub(super) lane: LaneId,
    /// When it is predicted to fit; `None` where no time is known.
    pub(super) at: Option<Instant>,
}

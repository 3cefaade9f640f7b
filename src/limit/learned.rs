//! What a lane has learned and is worth keeping over a restart.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::lane::Lane;
use super::pool::Outputs;

/// What a lane has learned of its provider, fit to be stored as text.
///
/// Levels are not in it: they are old by the time that it is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// What outputs were so far.
    pub(super) outputs: Outputs,
    /// What is charged for an absent output bound.
    pub(super) absent: Option<u64>,
}

impl Lane {
    /// Returns what has been learned so far.
    pub fn learned(&self) -> Learned {
        Learned { outputs: self.outputs, absent: self.told_absent }
    }

    /// Takes over what a lane of the same account and limit group had learned. To be called before
    /// anything is reserved.
    pub fn recall(&mut self, learned: &Learned, now: Instant) {
        self.time.advance(now);
        self.outputs = learned.outputs;
        self.told_absent = learned.absent;
    }
}

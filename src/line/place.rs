//! Who stands where: names of lanes, pools and places, and what several requests cost together.

use std::time::Duration;

use tokio::time::Instant;

/// Names a lane: the quotas that one account grants one limit group. Never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub(super) u64);

/// Names a pool: the lanes that a request may use. Never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub(super) u64);

/// A place in the line: of two requests of one app the lower goes first.
///
/// A deadline that the caller stated comes first, then the order of arrival. Who states none is
/// taken to want its turn within [`Place::PATIENCE`], so that nobody is passed for ever by those
/// who state one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    wanted_by: Instant,
    arrival: u64,
}

impl Place {
    /// When a turn is taken to be wanted, from the arrival, by who does not say.
    pub const PATIENCE: Duration = Duration::from_secs(600);

    /// Creates the place of the `arrival`-th request, which came at `since`.
    pub fn new(arrival: u64, since: Instant, wanted_by: Option<Instant>) -> Self {
        Self { wanted_by: wanted_by.unwrap_or(since + Self::PATIENCE), arrival }
    }

    /// Returns how many came before it, in every app.
    pub const fn arrival(self) -> u64 {
        self.arrival
    }

    /// Returns a number that no other place has, well mixed.
    pub(super) const fn mixed(self) -> u64 {
        let mut bits = self.arrival.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits ^ (bits >> 31)
    }
}

/// What several requests will be charged together, when they are over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many requests.
    pub requests: u64,
    /// How many tokens.
    pub tokens: u64,
}

impl Backlog {
    /// Nothing.
    pub const NONE: Self = Self { requests: 0, tokens: 0 };

    /// Returns the sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    /// Returns what is left without `other`.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }

    /// Returns so many times this.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { requests: scaled(self.requests, factor), tokens: scaled(self.tokens, factor) }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate needs no more, and casts saturate"
)]
fn scaled(count: u64, factor: f64) -> u64 {
    (count as f64 * factor).round() as u64
}

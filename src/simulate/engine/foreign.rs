//! Traffic of others on the same quota.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::rules::Limits;

/// A seeded Poisson flow of requests, played lazily.
#[derive(Debug)]
pub(super) struct Foreign {
    random: StdRng,
    /// Nanoseconds between two requests on average.
    gap: f64,
    /// Tokens of a request on average.
    size: f64,
    next_at: u64,
}

impl Foreign {
    /// Creates the flow of `limits`, or none.
    pub(super) fn new(limits: &Limits, seed: u64) -> Option<Self> {
        let flow = limits.foreign;
        let requests = if flow.requests_per_minute > 0.0 {
            flow.requests_per_minute
        } else {
            flow.tokens_per_minute / USUAL_SIZE
        };
        if !requests.is_finite() || requests <= 0.0 {
            return None;
        }
        let mut foreign = Self {
            random: StdRng::seed_from_u64(seed),
            gap: (limits.minute.as_secs_f64() * 1e9 / requests).max(MIN_GAP),
            size: flow.tokens_per_minute / requests,
            next_at: 0,
        };
        foreign.next_at = foreign.pause();
        Some(foreign)
    }

    /// Returns the next request up to `now`: when it came, and its tokens.
    pub(super) fn next(&mut self, now: u64) -> Option<(u64, u64)> {
        if self.next_at > now {
            return None;
        }
        let at = self.next_at;
        self.next_at = at.saturating_add(self.pause());
        let tokens = self.size * self.exponential();
        Some((at, to_whole(tokens)))
    }

    fn pause(&mut self) -> u64 {
        to_whole(self.gap * self.exponential()).max(1)
    }

    /// Draws from the exponential distribution of mean 1.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.random.random::<f64>()).ln()
    }
}

/// Tokens of a foreign request where only tokens are configured.
const USUAL_SIZE: f64 = 500.0;
/// The least mean gap: 100,000 requests a second, so that playing it stays cheap.
const MIN_GAP: f64 = 10_000.0;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and the value is not negative"
)]
fn to_whole(value: f64) -> u64 {
    value.round() as u64
}

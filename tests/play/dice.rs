//! Randomness by a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Draws numbers; the same ones for the same seed.
#[derive(Debug)]
pub(crate) struct Dice(StdRng);

impl Dice {
    /// Creates the dice of `seed` for one purpose; other purposes draw other numbers.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mixed =
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03);
        Self(StdRng::seed_from_u64(mixed))
    }

    /// Draws evenly from 0..1.
    pub(crate) fn part(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    /// Draws evenly from `least..most`.
    pub(crate) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.part()
    }

    /// Draws a duration evenly from `least..most`.
    pub(crate) fn time(&mut self, least: Duration, most: Duration) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.part())
    }

    /// Draws from the lognormal distribution of this mean; `sigma` is the deviation of the logarithm.
    pub(crate) fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        let (one, two) = (1.0 - self.part(), self.part());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        (mean.ln() - sigma * sigma / 2.0 + sigma * normal).exp()
    }

    /// Draws from the exponential distribution of this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.part()).ln()
    }
}

/// Rounds to a whole number, at least `least`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
pub(super) fn whole(value: f64, least: u64) -> u64 {
    (value.round() as u64).max(least)
}

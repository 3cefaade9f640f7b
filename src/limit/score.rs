//! How far a belief about the provider was off so far, and which beliefs are plausible.
//!
//! # What this module owns
//!
//! [`Score`], a smoothed miss per answer, in requests of the usual size: a provider with a large
//! limit is told apart as soon as one with a small limit. [`plausible`] says which of several
//! beliefs may be true.

use serde::{Deserialize, Serialize};

/// How far a belief was off so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Score {
    miss: f64,
    seen: u32,
}

impl Score {
    /// Takes in that an answer was off by `miss`, in requests of the usual size.
    pub(super) fn take(&mut self, miss: f64) {
        let miss = if miss.is_nan() { WORST } else { miss.clamp(0.0, WORST) };
        let weight = match self.seen {
            ..FAST => 0.5,
            _ if miss > self.miss => 0.1,
            _ => FORGIVING,
        };
        self.miss += weight * (miss - self.miss);
        self.seen = self.seen.saturating_add(1);
    }

    /// Returns it without what no answers can have led to: it comes from a file.
    pub(super) fn sane(self) -> Self {
        if (0.0..=WORST).contains(&self.miss) { self } else { Self::default() }
    }

    /// Returns the smoothed miss.
    pub(super) fn miss(&self) -> f64 {
        self.miss
    }
}

/// Returns a bit for each belief that may be true: those that miss little more than the best. With
/// fewer than `enough` answers seen, all may.
pub(super) fn plausible(scores: impl Iterator<Item = Score> + Clone, enough: u32) -> u32 {
    let best = scores.clone().map(|score| score.miss).fold(f64::MAX, f64::min);
    let mut mask = 0;
    for (i, score) in scores.enumerate().take(32) {
        if score.seen < enough || score.miss <= 2.0 * best + CLOSE {
            mask |= 1_u32 << i;
        }
    }
    mask
}

/// A single answer counts for no more than this.
const WORST: f64 = 4.0;
/// So many answers are weighed heavily.
const FAST: u32 = 10;
/// A quota that is used up looks much the same to all beliefs: who was wrong stays out for long.
const FORGIVING: f64 = 0.01;
/// Misses of a twentieth of a request per answer are noise.
const CLOSE: f64 = 0.05;

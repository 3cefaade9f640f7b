//! How the provider estimates the tokens of a prompt: a fit to what its answers told.
//!
//! # What this module owns
//!
//! [`Estimates`]: three measures of a prompt (tokens, a quarter of its characters, the larger of
//! both), how the provider's numbers relate to each, and which relates most steadily. Until that is
//! known the larger is taken: who asks for too much is corrected by the next answer, who asks for
//! too little is refused.

use serde::{Deserialize, Serialize};

use super::meter::float;
use super::settings::Estimator;
use crate::count::Demand;

/// How prompts are estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Estimates {
    #[serde(skip)]
    given: Option<Estimator>,
    fits: [Fit; 3],
}

/// The sizes of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    tokens: u32,
    quarter: u32,
}

/// How the provider's numbers relate to one measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Fit {
    ratio: f64,
    spread: f64,
    seen: u32,
}

impl Estimates {
    /// Begins with what was configured.
    pub(super) fn new(given: Option<Estimator>) -> Self {
        Self { given, ..Self::default() }
    }

    /// Takes over what was learned before; what no answers can have led to is left.
    pub(super) fn recall(&mut self, learned: &Self) {
        let is_sane = |fit: &Fit| (0.0..100.0).contains(&fit.ratio) && fit.spread >= 0.0;
        if learned.fits.iter().all(is_sane) {
            self.fits = learned.fits;
        }
    }

    /// Returns the provider's estimate of a prompt.
    pub(super) fn estimate(&self, prompt: Prompt) -> u64 {
        self.known(prompt).unwrap_or_else(|| prompt.by(Estimator::Max))
    }

    /// Returns the provider's estimate of a prompt if it is made of what the prompt comes to in the end: its tokens.
    pub(super) fn true_one(&self, prompt: Prompt) -> u64 {
        self.known(prompt).unwrap_or_else(|| prompt.by(Estimator::Tokens))
    }

    /// Returns the provider's estimate of a prompt where it is known how that is made.
    fn known(&self, prompt: Prompt) -> Option<u64> {
        if let Some(given) = self.given {
            return Some(prompt.by(given));
        }
        let known = ALL.iter().zip(&self.fits).filter(|(_, fit)| fit.seen >= ENOUGH);
        let best = known.min_by(|a, b| a.1.spread.total_cmp(&b.1.spread));
        let (by, fit) = best.filter(|(_, fit)| fit.spread < STEADY)?;
        let ratio = if (fit.ratio - 1.0).abs() < STEADY { 1.0 } else { fit.ratio };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let estimate = (float(prompt.by(*by)) * ratio).ceil() as u64;
        Some(estimate)
    }

    /// Returns by how much the estimate of a prompt may be too large.
    pub(super) fn slack(&self, prompt: Prompt) -> u64 {
        if self.given.is_some() {
            return 0;
        }
        let least = u64::from(prompt.tokens.min(prompt.quarter));
        self.estimate(prompt).saturating_sub(least)
    }

    /// Takes in that the provider estimated a prompt at `told` tokens.
    pub(super) fn learn(&mut self, prompt: Prompt, told: u64) {
        for (by, fit) in ALL.iter().zip(&mut self.fits) {
            let own = prompt.by(*by);
            if own > 0 {
                fit.learn(float(told) / float(own));
            }
        }
    }
}

impl Prompt {
    /// Returns the sizes of the prompt of `demand`.
    pub(super) fn of(demand: &Demand) -> Self {
        let fit = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
        Self { tokens: fit(demand.input.count()), quarter: fit(demand.characters.div_ceil(4)) }
    }

    fn by(self, estimator: Estimator) -> u64 {
        let (tokens, quarter) = (u64::from(self.tokens), u64::from(self.quarter));
        match estimator {
            Estimator::Tokens => tokens,
            Estimator::Chars4 => quarter,
            Estimator::Max => tokens.max(quarter),
        }
    }
}

impl Fit {
    fn learn(&mut self, ratio: f64) {
        self.seen = self.seen.saturating_add(1);
        let weight = (1.0 / f64::from(self.seen)).max(0.1);
        let off = ratio - self.ratio;
        self.ratio += weight * off;
        let off = if self.seen == 1 { 0.0 } else { off.abs() };
        self.spread += weight * (off - self.spread);
    }
}

/// The largest first, which is taken where several fit.
const ALL: [Estimator; 3] = [Estimator::Max, Estimator::Tokens, Estimator::Chars4];
/// So many numbers are needed.
const ENOUGH: u32 = 3;
/// A measure fits where the ratio stays within this.
const STEADY: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(tokens: u32, quarter: u32) -> Prompt {
        Prompt { tokens, quarter }
    }

    #[test]
    fn the_larger_measure_counts_until_the_right_one_is_known() {
        let mut estimates = Estimates::new(None);
        assert_eq!(estimates.estimate(prompt(80, 100)), 100);
        assert_eq!(estimates.slack(prompt(80, 100)), 20);
        for (tokens, quarter) in [(80, 100), (50, 70), (90, 85), (40, 60)] {
            estimates.learn(prompt(tokens, quarter), u64::from(tokens));
        }
        assert_eq!(estimates.estimate(prompt(80, 100)), 80);
    }

    #[test]
    fn a_scale_is_learned() {
        let mut estimates = Estimates::new(None);
        for quarter in [100, 200, 50, 70] {
            estimates.learn(prompt(quarter / 2 + 7, quarter), u64::from(quarter) * 6 / 5);
        }
        assert_eq!(estimates.estimate(prompt(10, 1_000)), 1_200);
    }

    #[test]
    fn what_is_configured_is_not_learned() {
        let mut estimates = Estimates::new(Some(Estimator::Tokens));
        (0..9).for_each(|_| estimates.learn(prompt(80, 100), 100));
        assert_eq!(estimates.estimate(prompt(80, 100)), 80);
        assert_eq!(estimates.slack(prompt(80, 100)), 0);
    }
}

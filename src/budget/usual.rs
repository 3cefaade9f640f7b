//! Which part of their bounds outputs usually have, by model: so much a request is expected to cost.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::units::{ModelName, Tokens};

/// Which part of their bounds outputs usually have.
#[derive(Debug)]
pub struct Usual {
    parts: LruCache<ModelName, f64>,
}

impl Default for Usual {
    fn default() -> Self {
        Self { parts: LruCache::new(MOST_MODELS) }
    }
}

impl Usual {
    /// Returns the output that is expected of a request of this bound; all of it while nothing is known.
    pub fn of(&self, model: &ModelName, bound: Tokens) -> Tokens {
        let part = self.parts.peek(model).copied().unwrap_or(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an expectation; casts saturate"
        )]
        let expected = (bound.count() as f64 * part).ceil() as u64;
        Tokens::new(expected).min(bound)
    }

    /// Takes in that an answer of this bound had so much output.
    pub fn learn(&mut self, model: &ModelName, bound: Tokens, output: Tokens) {
        if bound == Tokens::ZERO {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "an expectation")]
        let part = (output.count() as f64 / bound.count() as f64).min(1.0);
        match self.parts.get_mut(model) {
            Some(usual) => *usual += WEIGHT * (part - *usual),
            None => drop(self.parts.put(model.clone(), part)),
        }
    }
}

/// The names of models come from clients.
const MOST_MODELS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// The weight of the latest answer.
const WEIGHT: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_follows_what_was_written() {
        let (mut usual, model) = (Usual::default(), ModelName::new("m"));
        let bound = Tokens::new(1_000);
        assert_eq!(usual.of(&model, bound), bound, "nothing is known");
        (0..100).for_each(|_| usual.learn(&model, bound, Tokens::new(100)));
        assert_eq!(usual.of(&model, Tokens::new(500)), Tokens::new(50));
        (0..100).for_each(|_| usual.learn(&model, bound, Tokens::new(2_000)));
        assert!(usual.of(&model, bound).count() > 990, "no more than the bound");
        usual.learn(&model, Tokens::ZERO, Tokens::new(5));
        assert_eq!(usual.of(&ModelName::new("other"), bound), bound);
    }
}

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
    /// Takes in that an answer was off by `miss` and left `width` open, in requests of the usual size.
    /// The same answer was off by `rivals` to the plausible belief that it contradicts most.
    pub(super) fn take(&mut self, miss: f64, width: f64, rivals: f64) {
        let miss = if miss.is_nan() { WORST } else { miss.clamp(0.0, WORST) };
        let weight = match self.seen {
            ..FAST => 0.5,
            _ if miss > self.miss => 0.1,
            // What contradicts a rival and not this one speaks for it.
            _ if rivals > miss + APART => 0.1,
            // What an answer could hardly contradict does not speak for it.
            _ => FORGIVING / (1.0 + width.max(0.0)),
        };
        self.miss += weight * (miss - self.miss);
        self.seen = self.seen.saturating_add(1);
    }

    /// Returns it without what no answers can have led to: it comes from a file.
    pub(super) fn sane(self) -> Self {
        if (0.0..=WORST).contains(&self.miss) { self } else { Self::default() }
    }

    /// Returns it as that of a belief which no answer could have contradicted.
    pub(super) fn untested(self) -> Self {
        Self { miss: self.miss.max(UNTESTED), ..self }
    }

    /// Returns the smoothed miss.
    pub(super) fn miss(&self) -> f64 {
        self.miss
    }
}

/// Returns a bit for each belief that may be true: those that miss little more than the best. With
/// fewer than `enough` answers seen, all may that none of them contradicted outright.
///
/// Who is out (not in `before`) comes back only by missing less than all who are in: a quota that
/// is used up looks much the same to all beliefs, so that time alone acquits nobody.
pub(super) fn plausible(
    scores: impl Iterator<Item = Score> + Clone,
    enough: u32,
    before: u32,
) -> u32 {
    let numbered = || scores.clone().enumerate().take(32).map(|(i, score)| (1_u32 << i, score));
    let best = scores.clone().map(|score| score.miss).fold(f64::MAX, f64::min);
    let within = numbered().filter(|(bit, _)| before & bit != 0);
    let best_within = within.map(|(_, score)| score.miss).fold(f64::MAX, f64::min);
    let may_be_true = |(bit, score): &(u32, Score)| {
        let close = if before & bit != 0 {
            score.miss <= 2.0 * best + CLOSE
        } else {
            score.miss < best_within
        };
        close || score.seen < enough && score.miss <= best + CONTRADICTED
    };
    numbered().filter(may_be_true).fold(0, |mask, (bit, _)| mask | bit)
}

/// A single answer counts for no more than this.
const WORST: f64 = 4.0;
/// One answer that is off by half a request leaves so much.
const CONTRADICTED: f64 = 0.25;
/// An answer tells two beliefs apart where it is off by so many requests more to one.
const APART: f64 = 0.5;
/// So many answers are weighed heavily.
const FAST: u32 = 10;
/// A quota that is used up looks much the same to all beliefs: who was wrong stays out for long.
const FORGIVING: f64 = 0.01;
/// Half a request an answer: whoever misses less is preferred to who cannot miss.
const UNTESTED: f64 = 0.5;
/// Misses of a twentieth of a request per answer are noise.
pub(super) const CLOSE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn score(misses: &[f64]) -> Score {
        let mut score = Score::default();
        misses.iter().for_each(|miss| score.take(*miss, 0.0, 0.0));
        score
    }

    #[test]
    fn who_is_out_comes_back_only_by_missing_less_than_who_is_in() {
        let right = score(&[0.0; 10]);
        let forgiven = score(&[[1.0; 10].as_slice(), [0.0; 1_000].as_slice()].concat());
        let both = || [right, forgiven].into_iter();
        assert_eq!(plausible(both(), 5, 0b11), 0b11, "a thousandth apart");
        assert_eq!(plausible(both(), 5, 0b01), 0b01, "time alone acquits nobody");
        assert_eq!(plausible(both(), 5, 0b10), 0b11, "who misses less comes back");
        assert_eq!(plausible(both(), 2_000, 0b01), 0b11, "with few answers seen all may be true");
    }

    #[test]
    fn until_enough_answers_were_seen_all_that_none_contradicted_are_plausible() {
        let few = [score(&[0.0; 4]), score(&[0.2; 4])];
        assert_eq!(plausible(few.into_iter(), 5, 0b11), 0b11);
        let enough = [score(&[0.0; 5]), score(&[0.2; 5])];
        assert_eq!(plausible(enough.into_iter(), 5, 0b11), 0b01);
    }

    #[test]
    fn one_answer_that_is_off_by_a_request_is_enough() {
        let one = [score(&[0.0]), score(&[1.0])];
        assert_eq!(plausible(one.into_iter(), 5, 0b11), 0b01);
    }

    #[test]
    fn what_misses_little_more_than_the_best_stays() {
        let scores = [score(&[0.4; 20]), score(&[0.8; 20]), score(&[0.9; 20])];
        assert_eq!(plausible(scores.into_iter(), 5, 0b111), 0b011);
    }

    #[test]
    fn answers_that_leave_much_open_forgive_little() {
        let mut wrong = score(&[4.0; 20]);
        (0..1_000).for_each(|_| wrong.take(0.0, 100.0, 0.0));
        assert!(wrong.miss() > 3.0);
    }

    #[test]
    fn answers_that_contradict_a_rival_forgive_much() {
        let mut right = score(&[4.0; 20]);
        (0..30).for_each(|_| right.take(0.0, 100.0, 0.8));
        assert!(right.miss() < 0.2);
    }

    #[test]
    fn numbers_that_make_no_sense_count_as_wrong() {
        assert!(score(&[f64::NAN]).miss() > 1.0);
        assert!(score(&[f64::INFINITY]).miss() <= WORST);
        assert_eq!(Score { miss: f64::NAN, seen: 3 }.sane(), Score::default());
    }
}

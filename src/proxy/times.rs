//! How long answers take, model by model: what must be left of a client's patience when its request
//! is sent.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::call::{Call, Delivery};
use crate::units::ModelName;

/// How long the answers of the models used last took, in constant space.
#[derive(Debug)]
pub(super) struct AnswerTimes {
    known: Mutex<LruCache<ModelName, ModelTimes>>,
}

/// What a client waits for in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The head of a stream, which comes with its first event.
    FirstByte,
    /// The whole answer.
    End,
}

impl Until {
    /// Returns what the client of `call` waits for.
    pub(super) const fn of(call: &Call) -> Self {
        match call.delivery {
            Delivery::Stream { .. } => Self::FirstByte,
            Delivery::Whole => Self::End,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct ModelTimes {
    first_byte: Spread,
    end: Spread,
}

impl ModelTimes {
    fn of(&mut self, until: Until) -> &mut Spread {
        match until {
            Until::FirstByte => &mut self.first_byte,
            Until::End => &mut self.end,
        }
    }
}

impl AnswerTimes {
    /// Creates the times of models of which nothing is known yet.
    pub(super) fn new() -> Self {
        Self { known: Mutex::new(LruCache::new(MOST_MODELS)) }
    }

    /// Notes that an answer of `model` took so long from sending the request.
    pub(super) fn note(&self, model: &ModelName, until: Until, took: Duration) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert_mut(model.clone(), ModelTimes::default).of(until).note(took);
    }

    /// Returns the time within which 95 of 100 answers of `model` come; zero before the first.
    pub(super) fn expected(&self, model: &ModelName, until: Until) -> Duration {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_mut(model).map_or(Duration::ZERO, |times| times.of(until).within(0.95))
    }
}

/// The names of models come from clients.
const MOST_MODELS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// How times spread: a histogram whose buckets grow by the root of two, in which what came before
/// fades: the last hundred count for about two thirds.
#[derive(Debug, Clone)]
struct Spread {
    buckets: [f32; BUCKETS],
    /// What the next time weighs.
    weight: f32,
}

impl Default for Spread {
    fn default() -> Self {
        Self { buckets: [0.0; BUCKETS], weight: 1.0 }
    }
}

impl Spread {
    fn note(&mut self, took: Duration) {
        let at = bucket_of(took);
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket += self.weight;
        }
        // Instead of making all others lighter.
        self.weight *= 1.01;
        if self.weight > 1e6 {
            let weight = std::mem::replace(&mut self.weight, 1.0);
            self.buckets.iter_mut().for_each(|bucket| *bucket /= weight);
        }
    }

    /// Returns a time that the `share` of all times stay within, at most 1.42 times too long; zero
    /// of none.
    fn within(&self, share: f32) -> Duration {
        let mut left = self.buckets.iter().sum::<f32>() * share;
        let reaches = |bucket: &f32| {
            left -= bucket;
            left <= 0.0
        };
        match self.buckets.iter().position(reaches) {
            Some(at) if self.buckets.iter().any(|bucket| *bucket > 0.0) => end_of(at),
            _ => Duration::ZERO,
        }
    }
}

fn bucket_of(took: Duration) -> usize {
    (0..BUCKETS - 1).find(|&at| took <= end_of(at)).unwrap_or(BUCKETS - 1)
}

/// Returns the longest time of a bucket.
fn end_of(at: usize) -> Duration {
    let doublings = u32::try_from(at / 2).unwrap_or(u32::MAX).min(30);
    let root = if at.is_multiple_of(2) { Duration::ZERO } else { SHORTEST.mul_f32(0.414_213_5) };
    (SHORTEST + root) * (1 << doublings)
}

/// 10 ms to 21 minutes.
const BUCKETS: usize = 35;
const SHORTEST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn nineteen_of_twenty_times_stay_within_what_is_told_and_not_much_more_do() {
        let mut spread = Spread::default();
        assert_eq!(spread.within(0.95), Duration::ZERO);
        for round in 0..400 {
            spread.note(millis(if round % 20 == 0 { 60_000 } else { 100 * (1 + round % 7) }));
        }
        let told = spread.within(0.95);
        assert!(told >= millis(700) && told <= millis(1_000), "{told:?}");
        assert!(spread.within(0.99) >= millis(60_000));
    }

    #[test]
    fn one_time_is_told_a_little_too_long_and_never_too_short() {
        for took in [0, 1, 10, 11, 14, 15, 20, 999, 5_000, 123_456, 1_200_000] {
            let mut spread = Spread::default();
            spread.note(millis(took));
            let told = spread.within(0.95);
            assert!(told >= millis(took), "{took} is told as {told:?}");
            assert!(told <= millis(took).mul_f32(1.42) + millis(10), "{took} is told as {told:?}");
        }
        let mut spread = Spread::default();
        spread.note(millis(86_400_000));
        assert!(spread.within(0.95) > millis(1_200_000));
    }

    #[test]
    fn what_was_long_ago_fades_and_nothing_overflows() {
        let mut spread = Spread::default();
        for _ in 0..100_000 {
            spread.note(millis(80_000));
        }
        for _ in 0..400 {
            spread.note(millis(50));
        }
        assert!(spread.within(0.95) < millis(100), "{spread:?}");
    }

    #[test]
    fn each_model_and_each_way_of_answering_has_its_own_time_and_few_are_kept() {
        let times = AnswerTimes::new();
        let model = |n: usize| ModelName::new(format!("m{n}"));
        times.note(&model(0), Until::End, millis(9_000));
        assert!(times.expected(&model(0), Until::End) >= millis(9_000));
        assert_eq!(times.expected(&model(0), Until::FirstByte), Duration::ZERO);
        assert_eq!(times.expected(&model(1), Until::End), Duration::ZERO);
        for n in 1..=2 * MOST_MODELS.get() {
            times.note(&model(n), Until::End, millis(1));
        }
        let known = times.known.lock().expect("not poisoned").len();
        assert_eq!(known, MOST_MODELS.get());
        assert_eq!(times.expected(&model(0), Until::End), Duration::ZERO, "it is long forgotten");
    }
}

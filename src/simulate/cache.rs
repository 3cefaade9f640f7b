//! The prompt caches of the organisations: who asks what begins as before pays less for it.
//!
//! # What this module owns
//!
//! Which fronts of prompts an organisation has sent lately. As OpenAI describes it
//! (<https://platform.openai.com/docs/guides/prompt-caching>, read 2026-11): fronts of 1,024 tokens
//! and more, in steps of 128, for 5 to 10 minutes after their last use, apart for each
//! organisation. A front ends where a text of the prompt does.
//!
//! # What this module does not do
//!
//! It changes no limit and no delay: cached tokens count against limits as others do.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

/// The front of a prompt, up to the end of one of its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Front {
    /// The same for the same front.
    pub digest: u64,
    /// Its tokens.
    pub tokens: u64,
}

/// The caches of all organisations.
#[derive(Debug)]
pub(super) struct PromptCache {
    used: Mutex<LruCache<u64, Instant>>,
}

impl PromptCache {
    /// Creates empty caches.
    pub(super) fn new() -> Self {
        Self { used: Mutex::new(LruCache::new(MOST_FRONTS)) }
    }

    /// Returns how many tokens of a prompt with `fronts` are cached for `organisation`, and caches
    /// them all.
    pub(super) fn read(&self, organisation: &str, fronts: &[Front], now: Instant) -> u64 {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |front: &Front| {
            let last = used.put(place(organisation, front), now);
            last.is_some_and(|last| is_kept(last, now)).then_some(front.tokens)
        };
        fronts.iter().filter(long_enough).filter_map(read).max().unwrap_or(0)
    }

    /// Returns how many tokens of a prompt with `fronts` are cached for `organisation`.
    pub(super) fn known(&self, organisation: &str, fronts: &[Front], now: Instant) -> u64 {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |front: &&Front| {
            let last = used.peek(&place(organisation, front));
            last.is_some_and(|last| is_kept(*last, now))
        };
        let known = fronts.iter().filter(long_enough).filter(known);
        known.map(|front| front.tokens).max().unwrap_or(0)
    }

    /// Returns how many tokens of a prompt with `fronts` are cached from then on.
    pub(super) fn kept_of(fronts: &[Front]) -> u64 {
        fronts.iter().filter(long_enough).map(|front| front.tokens).max().unwrap_or(0)
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

const MOST_FRONTS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
const SHORTEST: u64 = 1024;
const STEP: u64 = 128;
/// How long a front is kept after its last use.
const KEPT: Duration = Duration::from_secs(300);

/// Returns the whole steps of so many tokens, in which OpenAI tells what was cached.
pub(super) const fn in_steps(tokens: u64) -> u64 {
    tokens / STEP * STEP
}

fn place(organisation: &str, front: &Front) -> u64 {
    let mut hasher = DefaultHasher::new();
    (organisation, front.digest).hash(&mut hasher);
    hasher.finish()
}

fn is_kept(last: Instant, now: Instant) -> bool {
    now.saturating_duration_since(last) < KEPT
}

fn long_enough(front: &&Front) -> bool {
    front.tokens >= SHORTEST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fronts(tokens: &[u64]) -> Vec<Front> {
        tokens.iter().map(|&tokens| Front { digest: tokens, tokens }).collect()
    }

    #[test]
    fn the_longest_front_that_was_sent_before_is_cached() {
        let (cache, now) = (PromptCache::new(), Instant::now());
        assert_eq!(cache.read("a", &fronts(&[900, 1_500, 2_000]), now), 0);
        assert_eq!(cache.read("a", &fronts(&[900, 1_500, 2_100]), now), 1_500);
        assert_eq!(cache.known("a", &fronts(&[900, 1_500, 2_100]), now), 2_100);
        assert_eq!(cache.read("a", &fronts(&[900, 1_500, 2_100]), now), 2_100);
        assert_eq!((in_steps(1_500), in_steps(127)), (1_408, 0));
        assert_eq!(cache.read("a", &fronts(&[900]), now), 0, "it is too short");
        assert_eq!(cache.read("b", &fronts(&[900, 1_500]), now), 0, "it is another's");
    }

    #[test]
    fn a_front_is_kept_for_a_while_after_its_last_use() {
        let (cache, now) = (PromptCache::new(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(cache.read("a", &fronts(&[1_500]), now), 0);
        assert_eq!(cache.read("a", &fronts(&[1_500]), now + KEPT - second), 1_500);
        assert_eq!(cache.read("a", &fronts(&[1_500]), now + 2 * KEPT - 2 * second), 1_500);
        assert_eq!(cache.read("a", &fronts(&[1_500]), now + 4 * KEPT), 0);
        cache.clear();
        assert_eq!(cache.read("a", &fronts(&[1_500]), now + 4 * KEPT), 0);
    }
}

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
        let mut longest = 0;
        for front in fronts.iter().filter(|front| front.tokens >= SHORTEST) {
            let mut hasher = DefaultHasher::new();
            (organisation, front.digest).hash(&mut hasher);
            let last = used.put(hasher.finish(), now);
            let is_kept = |last: Instant| now.saturating_duration_since(last) < KEPT;
            if last.is_some_and(is_kept) {
                longest = longest.max(front.tokens / STEP * STEP);
            }
        }
        longest
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
        assert_eq!(cache.read("a", &fronts(&[900, 1_500, 2_100]), now), 1_408);
        assert_eq!(cache.read("a", &fronts(&[900, 1_500, 2_100]), now), 2_048);
        assert_eq!(cache.read("a", &fronts(&[900]), now), 0, "it is too short");
        assert_eq!(cache.read("b", &fronts(&[900, 1_500]), now), 0, "it is another's");
    }

    #[test]
    fn a_front_is_kept_for_a_while_after_its_last_use() {
        let (cache, now) = (PromptCache::new(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(cache.read("a", &fronts(&[1_500]), now), 0);
        assert_eq!(cache.read("a", &fronts(&[1_500]), now + KEPT - second), 1_408);
        assert_eq!(cache.read("a", &fronts(&[1_500]), now + 2 * KEPT - 2 * second), 1_408);
        assert_eq!(cache.read("a", &fronts(&[1_500]), now + 4 * KEPT), 0);
        cache.clear();
        assert_eq!(cache.read("a", &fronts(&[1_500]), now + 4 * KEPT), 0);
    }
}

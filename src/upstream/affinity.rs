//! Remembers which account has the front of a prompt in its cache.
//!
//! # What this module owns
//!
//! A bounded memory: hash of a prompt's front -> the accounts that answered it lately. What usage
//! reports of cached tokens confirms it; an account that never reports any where some are expected
//! is not preferred for a while, because then there is nothing to gain.
//!
//! # What this module does not do
//!
//! It reads no prompt ([`crate::count::Prefix`]) and chooses nobody ([`super::ranking`]).

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::fleet::{AccountId, Fleet};
use crate::count::{Mark, Prefix};
use crate::units::{Tokens, Usage};

/// Who has what in the cache.
#[derive(Debug)]
pub(super) struct Affinity {
    homes: LruCache<u64, Homes>,
    /// Accounts of which cached tokens were expected.
    faith: HashMap<AccountId, Faith>,
}

/// The accounts that answered a front lately, and when.
#[derive(Debug, Default)]
struct Homes {
    places: [Option<Home>; MOST_HOMES],
}

#[derive(Debug, Clone, Copy)]
struct Home {
    account: AccountId,
    answered: Instant,
}

/// Whether an account reports cached tokens.
#[derive(Debug, Default)]
struct Faith {
    /// Answers in a row without any where some were expected.
    misses: u32,
    doubted_until: Option<Instant>,
}

/// How much of one prompt is in the caches of which accounts.
#[derive(Debug, Clone, Default)]
pub struct Warm {
    accounts: Vec<(AccountId, Tokens)>,
}

impl Warm {
    /// Returns how much of the prompt `account` has in its cache, as far as is known.
    pub fn tokens(&self, account: AccountId) -> Tokens {
        let known = self.accounts.iter().find(|(warm, _)| *warm == account);
        known.map_or(Tokens::ZERO, |(_, tokens)| *tokens)
    }
}

impl Fleet {
    /// Returns which accounts have the front of a prompt in their cache.
    pub fn warm(&self, prefix: &Prefix, now: Instant) -> Warm {
        self.affinity.warm(prefix, now)
    }

    /// Notes that `account` answered a prompt, of which `expected` tokens should have been in its
    /// cache, and what usage it reported.
    pub fn warmed(
        &mut self,
        (account, prefix): (AccountId, &Prefix),
        expected: Tokens,
        usage: &Usage,
        now: Instant,
    ) {
        self.affinity.warmed((account, prefix), expected, usage, now);
    }
}

impl Affinity {
    pub(super) fn new() -> Self {
        Self { homes: LruCache::new(MOST_FRONTS), faith: HashMap::new() }
    }

    /// Returns who has the front of a prompt in its cache.
    pub(super) fn warm(&self, prefix: &Prefix, now: Instant) -> Warm {
        let mut warm = Warm::default();
        // From the longest down: the first hit of an account is its longest.
        for mark in prefix.marks().iter().rev() {
            for account in self.homes_of(mark, now) {
                if warm.tokens(account) == Tokens::ZERO && !self.is_doubted(account, now) {
                    warm.accounts.push((account, mark.tokens));
                }
            }
        }
        warm
    }

    /// Notes that `account` answered a prompt of which `expected` tokens should have been in its
    /// cache: from now on it is there. Without a reported usage nothing is known.
    pub(super) fn warmed(
        &mut self,
        (account, prefix): (AccountId, &Prefix),
        expected: Tokens,
        usage: &Usage,
        now: Instant,
    ) {
        if usage.input == Tokens::ZERO || prefix.is_empty() {
            return;
        }
        self.judge(account, expected, usage.cached, now);
        let marks = prefix.marks();
        let front = marks.get(..marks.len().min(SHARED)).unwrap_or_default();
        for mark in front.iter().chain(marks.last()) {
            self.homes.get_or_insert_mut(mark.hash, Homes::default).note(account, now);
        }
    }

    /// Takes over what `from` has for `into`: they turned out to be one account.
    pub(super) fn merge(&mut self, from: AccountId, into: AccountId) {
        for (_, homes) in &mut self.homes {
            homes.rename(from, into);
        }
        self.faith.remove(&from);
    }

    fn homes_of(&self, mark: &Mark, now: Instant) -> impl Iterator<Item = AccountId> {
        let homes = self.homes.peek(&mark.hash);
        let homes = homes.into_iter().flat_map(|homes| homes.places.iter().flatten());
        let age = move |home: &Home| now.saturating_duration_since(home.answered);
        homes.filter(move |home| age(home) < STAYS_WARM).map(|home| home.account)
    }

    fn judge(&mut self, account: AccountId, expected: Tokens, cached: Tokens, now: Instant) {
        if cached > Tokens::ZERO {
            self.faith.remove(&account);
        } else if expected > Tokens::ZERO {
            let faith = self.faith.entry(account).or_default();
            faith.misses += 1;
            if faith.misses >= MOST_MISSES {
                *faith = Faith { misses: 0, doubted_until: Some(now + DOUBT) };
            }
        }
    }

    fn is_doubted(&self, account: AccountId, now: Instant) -> bool {
        self.faith.get(&account).and_then(|faith| faith.doubted_until).is_some_and(|at| now < at)
    }
}

impl Homes {
    /// Notes that `account` has it; who had it longest ago makes room.
    fn note(&mut self, account: AccountId, answered: Instant) {
        let age = |home: &&mut Option<Home>| {
            let is_other = home.as_ref().is_none_or(|home| home.account != account);
            (is_other, home.as_ref().map(|home| home.answered))
        };
        if let Some(place) = self.places.iter_mut().min_by_key(age) {
            *place = Some(Home { account, answered });
        }
    }

    fn rename(&mut self, from: AccountId, into: AccountId) {
        for place in &mut self.places {
            if let Some(home) = place.take_if(|home| home.account == from) {
                return self.note(into, home.answered);
            }
        }
    }
}

/// Fronts that are remembered: with about 100 bytes each, 1.6 MB at most.
const MOST_FRONTS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");
/// Accounts that are remembered for one front.
const MOST_HOMES: usize = 4;
/// The marks of a prompt's beginning that are remembered, beside its last: other conversations
/// may share them.
const SHARED: usize = 4;
/// Caches keep a prefix for 5 to 10 minutes after its last use (OpenAI's guide to prompt caching,
/// <https://platform.openai.com/docs/guides/prompt-caching>, read 2026-11-21).
const STAYS_WARM: Duration = Duration::from_secs(600);
/// So many answers in a row without an expected cached token make an account doubted.
const MOST_MISSES: u32 = 8;
/// How long it is, before it is tried again.
const DOUBT: Duration = Duration::from_secs(1_800);

#[cfg(test)]
mod tests {
    use super::*;

    const A: AccountId = AccountId::new(1);
    const B: AccountId = AccountId::new(2);

    /// A prompt of so many marks that all begin alike.
    fn prompt(marks: u64) -> Prefix {
        branch(marks, 0)
    }

    /// The same, but different from the last mark on.
    fn branch(marks: u64, ending: u64) -> Prefix {
        let hash = |mark| if mark == marks { mark + 1000 * ending } else { mark };
        let tokens = |mark| Tokens::new(1024 + 128 * mark);
        let marks = (1..=marks).map(|mark| Mark { hash: hash(mark), tokens: tokens(mark) });
        Prefix::new(&marks.collect::<Vec<_>>())
    }

    fn usage(cached: u64) -> Usage {
        Usage { input: Tokens::new(9_000), cached: Tokens::new(cached), ..Usage::default() }
    }

    fn warmth(affinity: &Affinity, prompt: &Prefix, now: Instant) -> [u64; 2] {
        let warm = affinity.warm(prompt, now);
        [A, B].map(|account| warm.tokens(account).count())
    }

    #[test]
    fn whoever_answered_is_warm_up_to_where_the_prompts_are_alike() {
        let (mut affinity, now) = (Affinity::new(), Instant::now());
        affinity.warmed((A, &prompt(10)), Tokens::ZERO, &usage(0), now);
        affinity.warmed((B, &prompt(2)), Tokens::ZERO, &usage(0), now);
        assert_eq!(warmth(&affinity, &prompt(10), now), [1024 + 1280, 1024 + 256]);
        assert_eq!(warmth(&affinity, &prompt(12), now), [1024 + 1280, 1024 + 256], "it goes on");
        assert_eq!(warmth(&affinity, &branch(10, 7), now), [1024 + 512, 1024 + 256], "the shared");
        assert_eq!(warmth(&affinity, &Prefix::default(), now), [0, 0]);
    }

    #[test]
    fn a_cache_cools_down_unless_it_is_used() {
        let (mut affinity, start) = (Affinity::new(), Instant::now());
        affinity.warmed((A, &prompt(3)), Tokens::ZERO, &usage(0), start);
        let later = start + STAYS_WARM - Duration::from_secs(1);
        assert_ne!(warmth(&affinity, &prompt(3), later), [0, 0]);
        assert_eq!(warmth(&affinity, &prompt(3), start + STAYS_WARM), [0, 0]);
        affinity.warmed((A, &prompt(3)), Tokens::new(1_408), &usage(1_408), later);
        assert_ne!(warmth(&affinity, &prompt(3), start + STAYS_WARM), [0, 0]);
    }

    #[test]
    fn who_never_reports_cached_tokens_is_not_preferred_for_a_while() {
        let (mut affinity, now) = (Affinity::new(), Instant::now());
        let expected = Tokens::new(1_408);
        for miss in 0..MOST_MISSES {
            affinity.warmed((A, &prompt(3)), expected, &usage(0), now);
            let is_warm = warmth(&affinity, &prompt(3), now) != [0, 0];
            assert_eq!(is_warm, miss + 1 < MOST_MISSES, "{miss}");
        }
        let later = now + DOUBT;
        affinity.warmed((A, &prompt(3)), Tokens::ZERO, &usage(0), later);
        assert_ne!(warmth(&affinity, &prompt(3), later), [0, 0], "it is tried again");
        affinity.warmed((A, &prompt(3)), expected, &usage(1_408), later);
        for _ in 1..MOST_MISSES {
            affinity.warmed((A, &prompt(3)), expected, &usage(0), later);
        }
        assert_ne!(warmth(&affinity, &prompt(3), later), [0, 0], "a hit in between clears it");
    }

    #[test]
    fn an_answer_without_usage_teaches_nothing() {
        let (mut affinity, now) = (Affinity::new(), Instant::now());
        affinity.warmed((A, &prompt(3)), Tokens::ZERO, &Usage::default(), now);
        assert_eq!(warmth(&affinity, &prompt(3), now), [0, 0]);
    }

    #[test]
    fn accounts_that_are_one_share_their_cache() {
        let (mut affinity, now) = (Affinity::new(), Instant::now());
        affinity.warmed((B, &prompt(3)), Tokens::ZERO, &usage(0), now);
        affinity.merge(B, A);
        assert_eq!(warmth(&affinity, &prompt(3), now), [1024 + 384, 0]);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut affinity, now) = (Affinity::new(), Instant::now());
        for ending in 0..40_000 {
            affinity.warmed((A, &branch(9, ending)), Tokens::ZERO, &usage(0), now);
        }
        assert!(affinity.homes.len() <= MOST_FRONTS.get());
        for number in 0..9 {
            let account = AccountId::new(number);
            affinity.warmed((account, &prompt(1)), Tokens::ZERO, &usage(0), now);
        }
        let warm = affinity.warm(&prompt(1), now);
        assert_eq!(warm.accounts.len(), MOST_HOMES, "the last that answered");
    }
}

//! Conversations on two accounts, each with a cache of its own, with and without what is known of it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::count::Mark;

/// Odd, so that taking turns does not keep a conversation where it is by chance.
const CONVERSATIONS: u64 = 7;

/// What the accounts have in their caches: account and front.
type Caches = Arc<Mutex<HashSet<(AccountId, u64)>>>;

/// What came of a play.
#[derive(Debug, Default)]
struct Played {
    cached: u64,
    input: u64,
    waited: Duration,
    took: Duration,
}

/// Whether admission is told what prompts begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prompts {
    Known,
    Unknown,
}

fn prefix(conversation: u64, turn: u64) -> Prefix {
    let mark = |turn| Mark { hash: conversation << 16 | turn, tokens: Tokens::new(length(turn)) };
    Prefix::new(&(0..=turn).map(mark).collect::<Vec<_>>())
}

const fn length(turn: u64) -> u64 {
    1_500 + 200 * turn
}

/// Answers as a provider does: what is in the account's cache is told, and the rest goes in.
fn answer(caches: &Caches, account: AccountId, prompt: &Prefix) -> Usage {
    let mut caches = caches.lock().expect("no panic");
    let is_cached = |mark: &&Mark| caches.contains(&(account, mark.hash));
    let cached = prompt.marks().iter().filter(is_cached).map(|mark| mark.tokens).max();
    caches.extend(prompt.marks().iter().map(|mark| (account, mark.hash)));
    let input = prompt.marks().last().expect("a mark").tokens;
    Usage { input, cached: cached.unwrap_or_default(), ..Usage::default() }
}

async fn converse(
    admission: Admission,
    caches: Caches,
    (conversation, turns): (u64, u64),
    prompts: Prompts,
) -> Played {
    let mut played = Played::default();
    for turn in 0..turns {
        let prompt = prefix(conversation, turn);
        let known = if prompts == Prompts::Known { prompt.clone() } else { Prefix::default() };
        let asked = Instant::now();
        let ask = Ask { prefix: known, deadline: asked + 100 * MINUTES, ..ask(length(turn)) };
        let reservation = admission.acquire(ask).await.expect("its turn");
        played.waited += asked.elapsed();
        let account = reservation.account().expect("an account");
        let mut flight = reservation.commit(Instant::now());
        sleep(SECOND).await;
        flight.observe(&Hint::default(), Instant::now());
        let usage = answer(&caches, account, &prompt);
        played.cached += usage.cached.count();
        played.input += usage.input.count();
        flight.settle(&usage, Instant::now());
    }
    played
}

/// Plays all conversations at once, of so many turns each.
async fn play(turns: u64, prompts: Prompts) -> Played {
    let lane = LaneSettings { tokens_per_minute: Some(40_000), ..thousand() };
    let (admission, caches) = (admission(&[1, 1], lane), Caches::default());
    // Both accounts are past their first contact.
    let mut met = None;
    for _ in 0..2 {
        let reservation = now(&admission, Ask { avoid: met, ..ask(0) }).await;
        met = reservation.account();
        let mut flight = reservation.commit(Instant::now());
        flight.observe(&Hint::default(), Instant::now());
        flight.settle(&Usage::default(), Instant::now());
    }
    let start = Instant::now();
    let mut talks = JoinSet::new();
    for conversation in 0..CONVERSATIONS {
        let talk = (conversation, turns);
        talks.spawn(converse(admission.clone(), Arc::clone(&caches), talk, prompts));
    }
    let mut all = Played::default();
    for played in talks.join_all().await {
        all.cached += played.cached;
        all.input += played.input;
        all.waited += played.waited;
    }
    all.took = start.elapsed();
    all
}

#[tokio::test(start_paused = true)]
async fn with_room_for_all_nobody_waits_and_every_turn_finds_its_cache() {
    let (knowing, blind) = (play(5, Prompts::Known).await, play(5, Prompts::Unknown).await);
    assert_eq!((knowing.waited, blind.waited), (Duration::ZERO, Duration::ZERO));
    let whole: u64 = (0..4).map(length).sum::<u64>() * CONVERSATIONS;
    assert_eq!(knowing.cached, whole, "each turn but the first finds the one before");
    assert!(blind.cached < knowing.cached, "{blind:?} against {knowing:?}");
}

#[tokio::test(start_paused = true)]
async fn where_quotas_are_short_affinity_costs_no_time() {
    let (knowing, blind) = (play(20, Prompts::Known).await, play(20, Prompts::Unknown).await);
    assert!(blind.waited > Duration::ZERO, "there is room for all: {blind:?}");
    // A request of 5,300 tokens refills in 4 s on two accounts: who goes last is left to chance.
    assert!(knowing.took <= blind.took + 4 * SECOND, "{knowing:?} against {blind:?}");
    assert!(knowing.waited <= blind.waited + 4 * SECOND, "{knowing:?} against {blind:?}");
}

//! Keeps those who wait in order, and tells each what stands before it.
//!
//! # What this module owns
//!
//! A [`Line`]: the requests that wait for one pool, first in, first out. A request that comes back
//! after a refusal by the provider takes its old [`Place`], so that a retry loses nothing.
//!
//! # What this module does not do
//!
//! It never waits and knows neither clocks nor limits: [`crate::admit`] asks for the head, tries
//! the lanes and pops it. Classes and shares between apps have their place here.
//!
//! # Invariants
//!
//! 1. Whoever joined leaves exactly once: popped, or withdrawn by its place.
//! 2. The backlog is the sum over those who wait, at every moment.
//! 3. Promises are bounded: at most [`Line::MOST_PROMISES`] are kept.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use crate::units::{Requests, Tokens};

/// The requests that wait for one pool. `T` is what wakes a waiter.
#[derive(Debug)]
pub struct Line<T> {
    waiting: BTreeMap<Place, Waiter<T>>,
    backlog: Backlog,
    promised: VecDeque<Promise>,
}

/// A place in the line: the lower goes first. Places are given out by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

impl Place {
    /// Creates the place of the `arrival`-th request.
    pub const fn new(arrival: u64) -> Self {
        Self(arrival)
    }
}

/// One request that waits.
#[derive(Debug)]
pub struct Waiter<T> {
    /// What it will be charged when it goes.
    pub cost: Backlog,
    /// What wakes it.
    pub ticket: T,
}

/// What several requests will be charged together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many requests.
    pub requests: Requests,
    /// How many tokens.
    pub tokens: Tokens,
}

impl Backlog {
    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: Requests::new(self.requests.count().saturating_add(other.requests.count())),
            tokens: self.tokens + other.tokens,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            requests: Requests::new(self.requests.count().saturating_sub(other.requests.count())),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }
}

/// A request that was told to come back at `until`, and will then stand before later ones.
#[derive(Debug)]
struct Promise {
    place: Place,
    until: Instant,
    cost: Backlog,
}

impl<T> Line<T> {
    /// How many promises are remembered; the oldest is forgotten for a new one.
    pub const MOST_PROMISES: usize = 4096;

    /// Creates a line in which nobody waits.
    pub const fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            backlog: Backlog { requests: Requests::ZERO, tokens: Tokens::ZERO },
            promised: VecDeque::new(),
        }
    }

    /// Lets a request wait at `place`.
    ///
    /// Places are unique; should one be taken, whoever held it is returned and waits no more.
    pub fn join(&mut self, place: Place, waiter: Waiter<T>) -> Option<Waiter<T>> {
        self.backlog = self.backlog.plus(waiter.cost);
        let displaced = self.waiting.insert(place, waiter)?;
        self.backlog = self.backlog.minus(displaced.cost);
        Some(displaced)
    }

    /// Returns who goes next.
    pub fn head(&self) -> Option<&Waiter<T>> {
        self.waiting.first_key_value().map(|(_, waiter)| waiter)
    }

    /// Takes out who goes next.
    pub fn pop(&mut self) -> Option<Waiter<T>> {
        let (_, waiter) = self.waiting.pop_first()?;
        self.backlog = self.backlog.minus(waiter.cost);
        Some(waiter)
    }

    /// Takes out whoever waits at `place`: it hung up, or its time is over.
    pub fn withdraw(&mut self, place: Place) -> Option<Waiter<T>> {
        let waiter = self.waiting.remove(&place)?;
        self.backlog = self.backlog.minus(waiter.cost);
        Some(waiter)
    }

    /// Tells whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns how many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns what all who wait will be charged.
    pub const fn backlog(&self) -> Backlog {
        self.backlog
    }

    /// Returns what stands before `place`: those who wait there, and those from there who were told
    /// to come back at a time that is still to come.
    ///
    /// Costs one step for each that stands before it.
    pub fn ahead_of(&mut self, place: Place, now: Instant) -> Backlog {
        self.forget_kept_promises(now);
        let waiting = self.waiting.range(..place).map(|(_, waiter)| waiter.cost);
        let before = self.promised.iter().filter(|promise| promise.place < place);
        let promised = before.map(|promise| promise.cost);
        waiting.chain(promised).fold(Backlog::default(), Backlog::plus)
    }

    /// Remembers that the request at `place` was told to come back at `until`, so that those behind
    /// it are told later times.
    pub fn promise(&mut self, place: Place, cost: Backlog, until: Instant) {
        if self.promised.len() >= Self::MOST_PROMISES {
            self.promised.pop_front();
        }
        self.promised.push_back(Promise { place, until, cost });
    }

    /// Returns the cost of whoever waits at `place`.
    pub fn cost_at(&self, place: Place) -> Option<Backlog> {
        self.waiting.get(&place).map(|waiter| waiter.cost)
    }

    /// Returns the waiting costs in order, for display.
    pub fn costs(&self) -> impl Iterator<Item = (&Waiter<T>, Backlog)> {
        let mut ahead = Backlog::default();
        self.waiting.values().map(move |waiter| {
            let before = ahead;
            ahead = ahead.plus(waiter.cost);
            (waiter, before)
        })
    }

    fn forget_kept_promises(&mut self, now: Instant) {
        self.promised.retain(|promise| promise.until > now);
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cost(tokens: u64) -> Backlog {
        Backlog { requests: Requests::ONE, tokens: Tokens::new(tokens) }
    }

    fn line(tokens: &[u64]) -> Line<u64> {
        let mut line = Line::new();
        for (&tokens, arrival) in tokens.iter().zip(0..) {
            line.join(Place::new(arrival), Waiter { cost: cost(tokens), ticket: arrival });
        }
        line
    }

    #[test]
    fn the_first_to_come_is_the_first_to_go() {
        let mut line = line(&[10, 20, 30]);
        let order: Vec<u64> = std::iter::from_fn(|| line.pop()).map(|w| w.ticket).collect();
        assert_eq!(order, [0, 1, 2]);
        assert_eq!(line.backlog(), Backlog::default());
    }

    #[test]
    fn a_retry_takes_its_old_place() {
        let mut line = line(&[10, 20, 30]);
        let first = line.pop().expect("three wait");
        line.join(Place::new(0), first);
        assert_eq!(line.head().map(|waiter| waiter.ticket), Some(0));
    }

    #[test]
    fn what_stands_before_a_place_is_the_sum_of_all_before_it() {
        let mut line = line(&[10, 20, 30]);
        let now = Instant::now();
        assert_eq!(line.ahead_of(Place::new(0), now), Backlog::default());
        let before_last = line.ahead_of(Place::new(2), now);
        assert_eq!((before_last.requests.count(), before_last.tokens.count()), (2, 30));
    }

    #[test]
    fn whoever_was_told_to_come_back_stands_before_the_next_until_then() {
        let mut line = line(&[]);
        let now = Instant::now();
        line.promise(Place::new(3), cost(50), now + Duration::from_secs(5));
        assert_eq!(line.ahead_of(Place::new(9), now).tokens.count(), 50);
        assert_eq!(line.ahead_of(Place::new(2), now).tokens.count(), 0, "it stood behind");
        let later = now + Duration::from_secs(5);
        assert_eq!(line.ahead_of(Place::new(9), later).tokens.count(), 0);
    }

    #[test]
    fn a_withdrawn_waiter_leaves_the_backlog() {
        let mut line = line(&[10, 20, 30]);
        assert_eq!(line.withdraw(Place::new(1)).map(|waiter| waiter.ticket), Some(1));
        assert!(line.withdraw(Place::new(1)).is_none(), "it left twice");
        assert_eq!((line.backlog().tokens.count(), line.len()), (40, 2));
    }

    #[test]
    fn promises_are_bounded() {
        let mut line = line(&[]);
        let until = Instant::now() + Duration::from_secs(60);
        for place in 0..=Line::<u64>::MOST_PROMISES as u64 {
            line.promise(Place::new(place), cost(1), until);
        }
        let kept = line.ahead_of(Place::new(u64::MAX), Instant::now()).requests.count();
        assert_eq!(kept, Line::<u64>::MOST_PROMISES as u64);
    }
}

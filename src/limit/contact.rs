//! How many requests may be under way before the provider's first answer, and how late one may get
//! there.
//!
//! # What this module owns
//!
//! [`Contact`], the caution of the first moments, and [`Grace`], the bound on one-way delays that is
//! learned from answers.

use super::moment::Moment;

/// The caution before something is known: so many at first, twice as many every five seconds, so
/// that a slow first answer blocks nobody.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Contact {
    met: bool,
    since: Option<Moment>,
}

impl Contact {
    /// Notes that what was not known is known.
    pub(super) fn make(&mut self) {
        self.met = true;
    }

    /// Returns whether it is.
    pub(super) fn is_made(&self) -> bool {
        self.met
    }

    /// Notes that a first request is on its way.
    pub(super) fn begin(&mut self, now: Moment) {
        self.since.get_or_insert(now);
    }

    /// Begins anew after a refusal.
    pub(super) fn refused(&mut self, now: Moment) {
        self.since = Some(now);
    }

    /// Returns how much may be under way where `first` may be at the beginning, and when that
    /// doubles.
    pub(super) fn allowance(&self, first: u64, now: Moment) -> (u64, Moment) {
        let since = self.since.unwrap_or(now);
        let steps = now.since(since) / STEP;
        let factor = 1_u64.checked_shl(u32::try_from(steps).unwrap_or(u32::MAX));
        let allowed = first.saturating_mul(factor.unwrap_or(u64::MAX));
        (allowed, since.plus((steps + 1).saturating_mul(STEP)))
    }
}

/// How long the first caution lasts before it is halved, in nanoseconds.
const STEP: u64 = 5_000_000_000;

/// The most that one request may take longer than another from here to the provider.
///
/// The greatest network time seen in this epoch or the one before, and a quarter more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grace {
    most: u64,
    present: u64,
    before: u64,
    epoch: Moment,
    length: u64,
    answers: u32,
    /// The shortest network time seen.
    shortest: u64,
}

impl Grace {
    /// Begins with a guess, for a lane whose minute has `minute` nanoseconds.
    pub(super) fn new(minute: u64, now: Moment) -> Self {
        let most = (minute / 60).max(1);
        let guess = GUESS.min(most);
        Self {
            most,
            present: guess,
            before: guess,
            epoch: now,
            length: minute.max(1),
            answers: 0,
            shortest: u64::MAX,
        }
    }

    /// Takes in that an answer's way there and back took `network` nanoseconds.
    pub(super) fn learn(&mut self, network: u64, now: Moment) {
        let least = LEAST.min(self.most);
        if self.answers == 0 {
            self.present = least; // The guess stays until it is outvoted, as what was before.
        } else if now.since(self.epoch) >= self.length || self.answers == ENOUGH {
            self.before = self.present;
            self.present = least;
            self.epoch = now;
        }
        self.answers = self.answers.saturating_add(1);
        self.shortest = self.shortest.min(network);
        let bound = network.saturating_add(network / 4).clamp(least, self.most);
        self.present = self.present.max(bound);
    }

    /// Takes over a bound that was learned before, as what was before this epoch.
    pub(super) fn recall(&mut self, bound: u64, now: Moment) {
        if bound > 0 {
            let least = LEAST.min(self.most);
            self.before = bound.clamp(least, self.most);
            self.present = least;
            self.epoch = now;
            self.answers = ENOUGH + 1;
        }
    }

    /// Returns by how much one way may take longer for one request than for another: half of what
    /// both ways together differ, and a little.
    pub(super) fn jitter(&self) -> u64 {
        let longest = self.nanos() / 5 * 4;
        let spread = longest.saturating_sub(self.shortest.min(longest));
        spread / 2 + spread / 20
    }

    /// Returns the bound in nanoseconds.
    pub(super) fn nanos(&self) -> u64 {
        self.present.max(self.before)
    }
}

/// Believed before the first answer: a slow line within a continent.
const GUESS: u64 = 50_000_000;
/// So many answers outvote the guess.
const ENOUGH: u32 = 16;
/// The least that is ever believed.
const LEAST: u64 = 2_000_000;

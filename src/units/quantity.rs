//! Counts and money, as integers that saturate.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::time::Duration;

/// A number of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tokens(u64);

impl Tokens {
    /// No tokens.
    pub const ZERO: Self = Self(0);

    /// Creates a count of `count` tokens.
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// Returns the plain number.
    pub const fn count(self) -> u64 {
        self.0
    }

    /// Returns the difference, or zero where `other` is larger.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns `self` times `factor`, or the largest count where that is too large.
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A number of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requests(u64);

impl Requests {
    /// No requests.
    pub const ZERO: Self = Self(0);
    /// One request, which is what a call usually costs.
    pub const ONE: Self = Self(1);

    /// Creates a count of `count` requests.
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// Returns the plain number.
    pub const fn count(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An amount of money in pico-dollars (1e-12 USD).
///
/// Prices per token are whole numbers of it, so that sums never drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PicoUsd(u64);

impl PicoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Creates an amount of `pico` pico-dollars.
    pub const fn new(pico: u64) -> Self {
        Self(pico)
    }

    /// Returns the plain number of pico-dollars.
    pub const fn pico(self) -> u64 {
        self.0
    }

    /// Returns the price of `tokens` at `self` per token, or the largest amount where that is too
    /// large.
    pub const fn times(self, tokens: Tokens) -> Self {
        Self(self.0.saturating_mul(tokens.count()))
    }
}

impl Add for PicoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for PicoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for PicoUsd {
    /// Writes dollars with six digits behind the point, rounded to nearest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micro = self.0.saturating_add(500_000) / 1_000_000;
        write!(f, "{}.{:06}", micro / 1_000_000, micro % 1_000_000)
    }
}

/// What a response reports that it used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: Tokens,
    /// The part of `input` that came from the provider's prompt cache.
    pub cached: Tokens,
    /// All output tokens, hidden reasoning included.
    pub output: Tokens,
    /// The part of `output` that was reasoning.
    pub reasoning: Tokens,
    /// The part of `input` that was written into the provider's prompt cache.
    pub cache_write: Tokens,
    /// The part of `input` that was sound.
    pub input_audio: Tokens,
    /// The part of `input` that was images.
    pub input_image: Tokens,
    /// The part of `output` that was sound.
    pub output_audio: Tokens,
    /// The part of `output` that was images.
    pub output_image: Tokens,
    /// How much sound was heard, where that is what is paid.
    pub heard: Duration,
}

impl Usage {
    /// Nothing was used.
    pub const NONE: Self = Self {
        input: Tokens::ZERO,
        cached: Tokens::ZERO,
        output: Tokens::ZERO,
        reasoning: Tokens::ZERO,
        cache_write: Tokens::ZERO,
        input_audio: Tokens::ZERO,
        input_image: Tokens::ZERO,
        output_audio: Tokens::ZERO,
        output_image: Tokens::ZERO,
        heard: Duration::ZERO,
    };

    /// Returns input and output together.
    pub fn total(&self) -> Tokens {
        self.input + self.output
    }
}

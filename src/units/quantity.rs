//! Counts and money, as integers that saturate.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

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

    /// Returns the amount in dollars, to its last digit.
    pub fn exact(self) -> String {
        const DOLLAR: u64 = 1_000_000_000_000;
        let mut text = String::with_capacity(24);
        text.push_str(itoa::Buffer::new().format(self.0 / DOLLAR));
        let part = self.0 % DOLLAR;
        if part > 0 {
            // The leading one keeps the zeros in front.
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(DOLLAR + part).trim_end_matches('0');
            text.push('.');
            text.push_str(digits.get(1..).unwrap_or_default());
        }
        text
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

#[cfg(test)]
mod tests {
    use super::PicoUsd;

    #[test]
    fn an_amount_is_written_to_its_last_digit() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (0, "0"), (1, "0.000000000001"), (630_000, "0.00000063"), (1_000_000_000_000, "1"),
            (2_500_000_000_000, "2.5"), (u64::MAX, "18446744.073709551615"),
        ];
        for (pico, written) in cases {
            assert_eq!(PicoUsd::new(pico).exact(), written);
        }
    }
}

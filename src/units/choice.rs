//! Why a request was sent with the key that it was sent with.

use std::fmt;
use std::str::FromStr;

/// Why a request went to its account, and why with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Choice {
    /// The account among those that could have served it.
    pub account: Pick,
    /// The key among those of the account.
    pub key: Pick,
}

/// One that was taken of several. Its text is `cache 1/3`: what spoke for it, its rank, and of how many that
/// could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pick {
    /// What spoke for it.
    pub why: Why,
    /// Its rank, counted from 1.
    pub rank: u16,
    /// How many could be used.
    pub of: u16,
}

/// What spoke for the one that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// There is no other.
    Only,
    /// What the request names lies there, or its client or its websocket asked for it.
    Bound,
    /// It is the client's own.
    Own,
    /// The others had just failed the request.
    Untried,
    /// It was healthier, or the others could not be used at all.
    Health,
    /// More of the prompt was in its cache.
    Cache,
    /// More of its quotas was free.
    Room,
    /// It had fewer requests under way.
    Idle,
    /// All was equal: the first in order.
    Order,
    /// Those before it had no room, and behind it there was none.
    Left,
    /// The request waited in line, and this was the first to have room when its turn came.
    Turn,
}

impl Choice {
    /// What is bound to one account, whose key nobody chose.
    pub const BOUND: Self =
        Self { account: Pick { why: Why::Bound, ..Pick::ONLY }, key: Pick::ONLY };
}

impl Pick {
    /// The only one that there is.
    pub const ONLY: Self = Self { why: Why::Only, rank: 1, of: 1 };

    /// Takes the one of `rank`, of so many; counts beyond 65,535 are told as that.
    pub fn new(why: Why, rank: usize, of: usize) -> Self {
        let count = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        Self { why, rank: count(rank), of: count(of) }
    }
}

impl Default for Pick {
    fn default() -> Self {
        Self::ONLY
    }
}

impl Why {
    const ALL: [Self; 11] = [
        Self::Only,
        Self::Bound,
        Self::Own,
        Self::Untried,
        Self::Health,
        Self::Cache,
        Self::Room,
        Self::Idle,
        Self::Order,
        Self::Left,
        Self::Turn,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Bound => "bound",
            Self::Own => "own",
            Self::Untried => "untried",
            Self::Health => "health",
            Self::Cache => "cache",
            Self::Room => "room",
            Self::Idle => "idle",
            Self::Order => "order",
            Self::Left => "left",
            Self::Turn => "turn",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.account, self.key)
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.why.label(), self.rank, self.of)
    }
}

/// The text is no [`Choice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoChoice;

impl FromStr for Choice {
    type Err = NoChoice;

    fn from_str(text: &str) -> Result<Self, NoChoice> {
        let (account, key) = text.split_once(", ").ok_or(NoChoice)?;
        let pick = |text: &str| -> Option<Pick> {
            let (label, ranks) = text.split_once(' ')?;
            let why = Why::ALL.into_iter().find(|why| why.label() == label)?;
            let (rank, of) = ranks.split_once('/')?;
            Some(Pick { why, rank: rank.parse().ok()?, of: of.parse().ok()? })
        };
        let (account, key) = (pick(account).ok_or(NoChoice)?, pick(key).ok_or(NoChoice)?);
        Ok(Self { account, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_read_as_it_is_written() {
        for (at, why) in Why::ALL.into_iter().enumerate() {
            let choice = Choice { account: Pick::new(why, at, 70_000), key: Pick::ONLY };
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        let cache =
            Choice { account: Pick::new(Why::Cache, 1, 3), key: Pick::new(Why::Idle, 1, 2) };
        assert_eq!(cache.to_string(), "cache 1/3, idle 1/2");
        for foreign in ["", "cache 1/3", "luck 1/3, idle 1/2", "cache 1/x, idle 1/2", "cache, idle"]
        {
            assert_eq!(foreign.parse::<Choice>(), Err(NoChoice), "{foreign}");
        }
    }
}

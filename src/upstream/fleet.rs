//! The accounts of one upstream, their keys, and the health of both.
//!
//! # What this module owns
//!
//! Which key the next request of an account is sent with, and what an answer means for the key and
//! for its account: rejected keys and empty accounts are taken out, failing ones rest; each has its
//! own way back.
//!
//! # What this module does not do
//!
//! It reads no clock, waits for nothing and knows no quota: rate limits are the lane's
//! ([`crate::limit`]), and choosing among accounts by headroom is its caller's.
//!
//! # Invariants
//!
//! 1. The last usable key is never taken out: [`Change::LastUsable`] says that its answers are to
//!    be passed on.
//! 2. A client's own key is used for that client only; its refusals take nothing out.

mod lending;

use thiserror::Error;
use tokio::time::Instant;

pub(super) use self::lending::Key;
pub use self::lending::Lent;
use super::affinity::Affinity;
use super::credential::ClientKey;
use super::guests::Guests;
use super::health::{Fitness, Health};
use super::trouble::{News, Note, Trouble};
use crate::config::UpstreamSettings;
use crate::units::{AccountName, KeyLabel, UpstreamName};

/// Accounts, keys and their health.
#[derive(Debug)]
pub struct Fleet {
    pub(super) upstream: UpstreamName,
    pub(super) accounts: Vec<Account>,
    pub(super) keys: Vec<Key>,
    pub(super) guests: Guests,
    pub(super) affinity: Affinity,
    /// Whether the provider of clients' own keys can be reached, and what is wrong where not.
    pub(super) reached: Health,
    pub(super) reach: Note,
    /// What nobody was told yet.
    pub(super) news: Vec<News>,
    /// How many keys were lent so far.
    lent: u64,
    /// How many accounts, and how many keys, were there so far.
    pub(super) numbered: (u64, u64),
}

/// An account, configured or a client's own. Ids are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(u64);

/// A key; a client's own key has the number of its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u64);

/// What a client's own key got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The account, held until [`Fleet::leave`].
    pub account: AccountId,
    /// An idle account that is forgotten to make room; its lanes can go.
    pub evicted: Option<AccountId>,
}

/// How an account stands; the better, the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It can be used.
    Ready,
    /// It can be used, for want of another; it failed before.
    Doubtful,
    /// It rested; one request may try it.
    Trial,
    /// It rests until then.
    Resting(Instant),
    /// A trial or a probe is awaited.
    Out,
}

/// What a report changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing that anybody has to know.
    Unchanged,
    /// Nothing is left to use instead: the key stays, pass the provider's answer on.
    LastUsable,
    /// The key is out until a probe succeeds; others may be used.
    KeyOut(KeyId),
    /// The account has no quota left; it is tried again later.
    AccountOut(AccountId),
    /// The account rests.
    Resting {
        /// Which account.
        account: AccountId,
        /// When one request may try it.
        until: Instant,
    },
    /// The account can be used again: ring the line.
    Back(AccountId),
    /// The keys of `from` turned out to be another account's: their requests draw from the lanes
    /// of `into`, and `from` lends no more.
    Merged {
        /// The account that ends.
        from: AccountId,
        /// The account that goes on.
        into: AccountId,
    },
}

impl Change {
    /// Tells whether the line has to look again: other keys than before can be lent.
    pub fn opens_or_closes(self) -> bool {
        !matches!(self, Self::Unchanged | Self::LastUsable)
    }
}

/// Why a fleet cannot be made.
#[derive(Debug, Error)]
pub enum FleetError {
    /// A key, organisation or project holds a character that no header may have.
    #[error("key `{0}`, or its account's organization or project, does not fit into a header")]
    Credential(KeyLabel),
}

/// Why a client's key cannot be an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AdoptError {
    /// All accounts that can be remembered have requests here.
    #[error("too many keys are in use at one time")]
    Full,
    /// The key is far longer than any provider's.
    #[error("the key is too long")]
    TooLong,
}

impl Fleet {
    /// Creates the fleet of `upstream`, all ready.
    ///
    /// Without accounts it is in client's-key mode: see [`adopt`](Self::adopt).
    ///
    /// # Errors
    ///
    /// Returns [`FleetError::Credential`] where a key cannot stand in a header.
    pub fn new(upstream: &UpstreamSettings) -> Result<Self, FleetError> {
        let mut fleet = Self {
            upstream: upstream.name.clone(),
            accounts: Vec::new(),
            keys: Vec::new(),
            guests: Guests::new(),
            affinity: Affinity::new(),
            reached: Health::ready(),
            reach: Note::default(),
            news: Vec::new(),
            lent: 0,
            numbered: (0, 0),
        };
        fleet.take_over(upstream)?;
        Ok(fleet)
    }

    /// Tells whether each client brings its own key.
    pub fn is_clients_own(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Returns the configured accounts, in the order of the configuration.
    pub fn accounts(&self) -> Vec<AccountId> {
        self.accounts.iter().map(|account| account.id).collect()
    }

    /// Returns the name of an account; a client's account is named by its label.
    pub fn name(&self, account: AccountId) -> Option<AccountName> {
        if let Some(own) = self.account(account) {
            return Some(own.name.clone());
        }
        self.guests.label(account).map(|label| AccountName::new(label.as_str()))
    }

    /// Returns the configured account of that name, or the one that pays for it.
    pub fn named(&self, name: &AccountName) -> Option<AccountId> {
        let own = self.accounts.iter().find(|account| account.name == *name)?;
        Some(own.merged_into.unwrap_or(own.id))
    }

    /// Returns the account that pays for `account`: itself, unless it turned out to be another.
    pub fn payer(&self, account: AccountId) -> AccountId {
        self.account(account).and_then(|own| own.merged_into).unwrap_or(account)
    }

    /// Returns how `account` stands at `now`.
    pub fn standing(&self, account: AccountId, now: Instant) -> Standing {
        let Some(own) = self.account(account) else {
            return self.guests.label(account).map_or(Standing::Out, |_| Standing::Ready);
        };
        let keys = self.keys.iter().filter(|key| key.account == account && key.health.is_in());
        let Some(key) = keys.map(|key| key.health.fitness(now)).min() else {
            return Standing::Out;
        };
        match key.max(own.quota.fitness(now)).max(own.service.fitness(now)) {
            Fitness::Ready => Standing::Ready,
            Fitness::Doubtful => Standing::Doubtful,
            Fitness::Due => Standing::Trial,
            Fitness::Later(until) => Standing::Resting(until),
            Fitness::OnTrial => Standing::Out,
        }
    }

    /// Finds or makes the account of a client's own key, and holds it for one request, from before
    /// it waits until after its answer: then call [`leave`](Self::leave), once.
    ///
    /// At most 1,000 are remembered; the idle one that came longest ago makes room.
    ///
    /// # Errors
    ///
    /// Returns [`AdoptError::Full`] when none of them is idle, [`AdoptError::TooLong`] for a key of
    /// more than 4 KiB. Nothing is held then.
    pub fn adopt(&mut self, key: &ClientKey) -> Result<Adopted, AdoptError> {
        self.guests.adopt(key)
    }

    /// Returns the account of a client's own key, if it has one; it is not held.
    pub fn guest(&self, key: &ClientKey) -> Option<AccountId> {
        self.guests.find(key)
    }

    /// Ends a hold of [`adopt`](Self::adopt). A configured account is left alone.
    pub fn leave(&mut self, account: AccountId) {
        self.guests.leave(account);
    }

    /// Returns how many keys are lent, and how many holds of clients' accounts are open.
    pub fn outstanding(&self) -> (u64, u64) {
        (self.keys.iter().map(|key| key.in_flight).sum(), self.guests.visits())
    }

    pub(super) fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    pub(super) fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.id == id)
    }

    pub(super) fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub(super) fn key_mut(&mut self, id: KeyId) -> Option<&mut Key> {
        self.keys.iter_mut().find(|key| key.id == id)
    }
}

impl AccountId {
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Tells whether it is or was a configured account, and no client's own.
    pub const fn is_ours(self) -> bool {
        self.0 < super::guests::FIRST_GUEST
    }
}

impl KeyId {
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }
}

/// A configured account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: AccountId,
    pub(super) name: AccountName,
    /// The organisation and the project that the configuration names.
    pub(super) owner: [Option<String>; 2],
    /// Hashes of its keys.
    pub(super) holders: String,
    /// Whether it has quota.
    pub(super) quota: Health,
    pub(super) quota_note: Note,
    /// Whether it answers.
    pub(super) service: Health,
    pub(super) service_note: Note,
    /// As the provider's answers name it: organisation and project.
    pub(super) seen_as: Option<Identity>,
    /// The account that it turned out to be, which pays for its keys.
    pub(super) merged_into: Option<AccountId>,
}

impl Account {
    /// Tells whether the configuration names its project.
    pub(super) fn has_project(&self) -> bool {
        let [_, project] = &self.owner;
        project.is_some()
    }

    /// Returns what is wrong with it as a whole.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.quota_note.trouble().or_else(|| self.service_note.trouble())
    }
}

/// An organisation and project, as a provider's answers name them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) organization: String,
    pub(super) project: Option<String>,
}

#[cfg(test)]
mod tests;

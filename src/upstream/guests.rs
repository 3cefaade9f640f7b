//! The accounts of clients that bring their own key, bounded.

use std::collections::HashMap;

use lru::LruCache;

use super::credential::ClientKey;
use super::fleet::{AccountId, AdoptError, Adopted};
use crate::units::KeyLabel;

/// The most clients' accounts that are remembered at one time.
const MOST_GUESTS: usize = 1_000;
/// The most bytes that a client's key, organisation and project may have together: keys have
/// about 200.
const LONGEST_KEY: usize = 4_096;

/// Clients that bring their own key; who came longest ago goes first, but never one that is here.
#[derive(Debug)]
pub(super) struct Guests {
    by_key: LruCache<ClientKey, AccountId>,
    by_account: HashMap<AccountId, Guest>,
    next: u64,
}

#[derive(Debug)]
struct Guest {
    label: KeyLabel,
    /// Requests that are here: waiting or under way.
    visits: u64,
}

impl Guests {
    pub(super) fn new() -> Self {
        Self { by_key: LruCache::unbounded(), by_account: HashMap::new(), next: FIRST_GUEST }
    }

    /// Finds or makes the account of `key` and holds it for one request.
    pub(super) fn adopt(&mut self, key: &ClientKey) -> Result<Adopted, AdoptError> {
        if let Some(&account) = self.by_key.get(key) {
            if let Some(guest) = self.by_account.get_mut(&account) {
                guest.visits += 1;
            }
            return Ok(Adopted { account, evicted: None });
        }
        if key.length() > LONGEST_KEY {
            return Err(AdoptError::TooLong);
        }
        let evicted = self.make_room()?;
        let account = AccountId::new(self.next);
        self.next += 1;
        self.by_key.put(key.clone(), account);
        self.by_account.insert(account, Guest { label: key.label(), visits: 1 });
        Ok(Adopted { account, evicted })
    }

    /// Returns the account of `key`, if it has one.
    pub(super) fn find(&self, key: &ClientKey) -> Option<AccountId> {
        self.by_key.peek(key).copied()
    }

    /// Holds the account once more, for a request that goes along with another.
    pub(super) fn stay(&mut self, account: AccountId) {
        if let Some(guest) = self.by_account.get_mut(&account) {
            guest.visits += 1;
        }
    }

    pub(super) fn leave(&mut self, account: AccountId) {
        if let Some(guest) = self.by_account.get_mut(&account) {
            guest.visits = guest.visits.saturating_sub(1);
        }
    }

    /// Returns how many requests are here.
    pub(super) fn visits(&self) -> u64 {
        self.by_account.values().map(|guest| guest.visits).sum()
    }

    pub(super) fn label(&self, account: AccountId) -> Option<&KeyLabel> {
        self.by_account.get(&account).map(|guest| &guest.label)
    }

    fn make_room(&mut self) -> Result<Option<AccountId>, AdoptError> {
        if self.by_key.len() < MOST_GUESTS {
            return Ok(None);
        }
        let is_idle = |account: &AccountId| {
            self.by_account.get(account).is_none_or(|guest| guest.visits == 0)
        };
        let idle = self.by_key.iter().rev().find(|(_, account)| is_idle(account));
        let (key, account) =
            idle.map(|(key, account)| (key.clone(), *account)).ok_or(AdoptError::Full)?;
        self.by_key.pop(&key);
        self.by_account.remove(&account);
        Ok(Some(account))
    }
}

/// Ids below are configured accounts.
pub(super) const FIRST_GUEST: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::AUTHORIZATION;

    use super::*;

    fn key(number: usize) -> ClientKey {
        let mut headers = HeaderMap::new();
        let value = format!("Bearer sk-{number}").parse().expect("a header value");
        headers.insert(AUTHORIZATION, value);
        ClientKey::from_headers(&headers)
    }

    #[test]
    fn the_same_key_is_the_same_account() {
        let mut guests = Guests::new();
        let first = guests.adopt(&key(1)).expect("room");
        assert_eq!(guests.adopt(&key(1)).expect("room"), first);
        assert_ne!(guests.adopt(&key(2)).expect("room").account, first.account);
    }

    #[test]
    fn the_idle_one_that_came_longest_ago_makes_room() {
        let mut guests = Guests::new();
        let all: Vec<AccountId> =
            (0..MOST_GUESTS).map(|n| guests.adopt(&key(n)).expect("room").account).collect();
        assert_eq!(guests.adopt(&key(MOST_GUESTS)), Err(AdoptError::Full));
        guests.leave(all[7]);
        guests.leave(all[3]);
        let adopted = guests.adopt(&key(MOST_GUESTS)).expect("room");
        assert_eq!(adopted.evicted, Some(all[3]));
        assert_eq!(guests.label(all[3]), None);
    }

    #[test]
    fn an_endless_key_is_not_remembered() {
        let mut headers = HeaderMap::new();
        let value = "x".repeat(LONGEST_KEY + 1).parse().expect("a header value");
        headers.insert(AUTHORIZATION, value);
        let refused = Guests::new().adopt(&ClientKey::from_headers(&headers));
        assert_eq!(refused, Err(AdoptError::TooLong));
    }
}

//! Takes over other accounts and keys while those that are there are in use.
//!
//! An account is the same as before if it has its name, organisation and project, and a key in common;
//! a key, if it is sent in the same words for the same account. What is the same keeps its id and its
//! health. All else is new: behind another key there may be another organisation, as after a restart.

use tokio::time::Instant;

use super::credential::{Authorization, Credential};
use super::fingerprint::fingerprints;
use super::fleet::{Account, AccountId, Fleet, FleetError, Key, KeyId};
use super::health::Health;
use super::trouble::Note;
use crate::config::{AccountSettings, UpstreamSettings};

impl Fleet {
    /// Holds a client's account once more; a configured one is left alone.
    pub fn stay(&mut self, account: AccountId) {
        self.guests.stay(account);
    }

    /// Takes over the accounts and keys of `upstream`. Of those that it does not name nothing is lent
    /// any more; what is lent is used to its end.
    ///
    /// # Errors
    ///
    /// Returns [`FleetError::Credential`] where a key cannot stand in a header; nothing changes then.
    pub fn renew(&mut self, upstream: &UpstreamSettings, now: Instant) -> Result<(), FleetError> {
        self.take_over(upstream)?;
        self.use_the_last(now);
        Ok(())
    }

    /// Returns hashes of the keys of `account`, with a space between them; `None` where the configuration
    /// does not name it.
    pub fn holders(&self, account: AccountId) -> Option<&str> {
        self.account(account).map(|account| account.holders.as_str())
    }

    pub(super) fn take_over(&mut self, upstream: &UpstreamSettings) -> Result<(), FleetError> {
        // All of them, before anything changes.
        let named = upstream.accounts.iter().map(credentials);
        let named: Vec<Vec<Credential>> = named.collect::<Result<_, _>>()?;
        let (mut accounts, mut keys) = (Vec::new(), Vec::new());
        for (settings, credentials) in upstream.accounts.iter().zip(named) {
            let mut account = self.account_of(settings, &credentials);
            account.holders = fingerprints(upstream, settings).join(" ");
            keys.extend(credentials.into_iter().map(|known| self.key_of(account.id, known)));
            accounts.push(account);
        }
        (self.accounts, self.keys) = (accounts, keys);
        self.assign_keys();
        Ok(())
    }

    /// Lets every key be paid for by its account, or by the one that this turned out to be.
    pub(super) fn assign_keys(&mut self) {
        let present = self.accounts();
        for account in &mut self.accounts {
            if account.merged_into.take_if(|into| !present.contains(into)).is_some() {
                // Whose it is, its next answer tells anew.
                account.seen_as = None;
            }
        }
        for key in &mut self.keys {
            let home = self.accounts.iter().find(|account| account.id == key.home);
            key.account = home.and_then(|home| home.merged_into).unwrap_or(key.home);
        }
    }

    /// Takes out the account that `settings` name, or makes it.
    fn account_of(&mut self, settings: &AccountSettings, credentials: &[Credential]) -> Account {
        let AccountSettings { name, organization, project, .. } = settings;
        let owner = [organization.clone(), project.clone()];
        let has_one = |account: &Account| {
            let mut own = self.keys.iter().filter(|key| key.home == account.id);
            own.any(|key| credentials.iter().any(|known| is_same(known, &key.credential)))
        };
        let is_known =
            |known: &Account| known.name == *name && known.owner == owner && has_one(known);
        if let Some(place) = self.accounts.iter().position(is_known) {
            return self.accounts.swap_remove(place);
        }
        let id = AccountId::new(self.numbered.0);
        self.numbered.0 += 1;
        Account {
            id,
            name: name.clone(),
            owner,
            holders: String::new(),
            quota: Health::ready(),
            quota_note: Note::default(),
            service: Health::ready(),
            service_note: Note::default(),
            seen_as: None,
            merged_into: None,
        }
    }

    /// Takes out the key of `home` that is sent with `credential`, or makes it.
    fn key_of(&mut self, home: AccountId, credential: Credential) -> Key {
        let is_known = |known: &Key| known.home == home && is_same(&known.credential, &credential);
        if let Some(place) = self.keys.iter().position(is_known) {
            let mut known = self.keys.swap_remove(place);
            known.credential = credential;
            return known;
        }
        let id = KeyId::new(self.numbered.1);
        self.numbered.1 += 1;
        Key::new(id, home, credential)
    }

    /// Lets those be used that failed, where no other is left: their answers are passed on.
    fn use_the_last(&mut self, now: Instant) {
        let has_quota = |key: &Key| self.account(key.account).is_some_and(|it| it.quota.is_in());
        if self.keys.iter().any(|key| key.health.is_in() && has_quota(key)) {
            return;
        }
        let keys = self.keys.iter_mut().map(|key| &mut key.health);
        let accounts = self.accounts.iter_mut().map(|account| &mut account.quota);
        for health in keys.chain(accounts).filter(|health| !health.is_in()) {
            health.doubt(now, now);
        }
    }
}

/// Returns what the keys of an account are sent with.
fn credentials(settings: &AccountSettings) -> Result<Vec<Credential>, FleetError> {
    let (organization, project) = (settings.organization.as_deref(), settings.project.as_deref());
    let keys = settings.keys.iter().map(|key| {
        let authorization = Authorization::ours(&key.secret, organization, project)
            .ok_or_else(|| FleetError::Credential(key.label.clone()))?;
        Ok(Credential { label: key.label.clone(), authorization })
    });
    keys.collect()
}

/// Tells whether two keys are sent in the same words; their labels may differ.
fn is_same(one: &Credential, other: &Credential) -> bool {
    one.authorization == other.authorization
}

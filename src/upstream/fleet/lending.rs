//! Lends keys: which one of an account is next, and why.

use tokio::time::Instant;

use super::{AccountId, Fleet, KeyId, Standing};
use crate::units::{Pick, Why};
use crate::upstream::classify::Finding;
use crate::upstream::credential::{Authorization, Credential};
use crate::upstream::health::{Fitness, Health};
use crate::upstream::trouble::{Note, Trouble};

/// A key on loan for one request.
#[derive(Debug)]
#[must_use = "a key that is never released counts as busy"]
pub struct Lent {
    account: AccountId,
    key: KeyId,
    credential: Credential,
    at: Instant,
    /// Why it is this one of the account's keys.
    pick: Pick,
}

impl Fleet {
    /// Lends a key of `account` for one request: a healthy one with the fewest requests in flight,
    /// among these the one lent longest ago. `None` where [`standing`](Self::standing) says so.
    ///
    /// Each loan ends with [`release`](Self::release); what the answer's head says goes to
    /// [`report`](Self::report) before.
    pub fn lend(&mut self, account: AccountId, now: Instant) -> Option<Lent> {
        if !matches!(
            self.standing(account, now),
            Standing::Ready | Standing::Doubtful | Standing::Trial
        ) {
            return None;
        }
        if let Some(label) = self.guests.label(account) {
            let credential =
                Credential { label: label.clone(), authorization: Authorization::Client };
            let key = KeyId(account.0);
            return Some(Lent { account, key, credential, at: now, pick: Pick::ONLY });
        }
        let pick = self.pick(account, now);
        let keys = self.keys.iter_mut();
        let fit = keys.filter(|key| key.account == account && key.health.is_in());
        let key = fit.min_by_key(|key| key.order(now))?;
        self.lent += 1;
        key.last_lent = self.lent;
        key.in_flight += 1;
        let (id, credential) = (key.id, key.credential.clone());
        if let Some(own) = self.account_mut(account) {
            own.quota.begin(now);
            own.service.begin(now);
        }
        Some(Lent { account, key: id, credential, at: now, pick })
    }

    /// Returns why the key of `account` is lent that is next.
    fn pick(&self, account: AccountId, now: Instant) -> Pick {
        let all = || self.keys.iter().filter(|key| key.account == account);
        let fit = || all().filter(|key| key.health.is_in() && key.health.fitness(now).can_go());
        let Some(best) = fit().min_by_key(|key| key.order(now)) else { return Pick::ONLY };
        let others = fit().filter(|key| key.id != best.id);
        let why = match others.min_by_key(|key| key.order(now)) {
            Some(next) if next.health.fitness(now) != best.health.fitness(now) => Why::Health,
            Some(next) if next.in_flight != best.in_flight => Why::Idle,
            Some(_) => Why::Order,
            None if all().nth(1).is_some() => Why::Health,
            None => Why::Only,
        };
        let of = fit().count();
        Pick::new(why, 1, of)
    }

    /// Takes back a key whose request has ended, or was never sent.
    pub fn release(&mut self, lent: Lent, now: Instant) {
        let mut account = lent.account;
        if let Some(key) = self.key_mut(lent.key) {
            key.in_flight = key.in_flight.saturating_sub(1);
            account = key.account;
        }
        if let Some(account) = self.account_mut(account) {
            account.quota.abandon(lent.at, now);
            account.service.abandon(lent.at, now);
        }
    }
}

impl Lent {
    /// Returns the account that pays. A merge may have moved the key since.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Returns the key.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Returns what the request is to be sent with.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Returns what `finding` tells of it, without the key.
    pub fn trouble(&self, finding: &Finding) -> Trouble {
        Trouble::of(finding, Some(&self.credential))
    }

    /// Returns why it is this one of the account's keys.
    pub const fn pick(&self) -> Pick {
        self.pick
    }

    /// Returns when the key was lent.
    pub(in crate::upstream) fn at(&self) -> Instant {
        self.at
    }
}

/// A configured key.
#[derive(Debug)]
pub(in crate::upstream) struct Key {
    pub(in crate::upstream) id: KeyId,
    /// The account that it is configured for.
    pub(in crate::upstream) home: AccountId,
    /// The account that pays.
    pub(in crate::upstream) account: AccountId,
    pub(in crate::upstream) credential: Credential,
    /// Whether the provider accepts it.
    pub(in crate::upstream) health: Health,
    /// What is wrong with it.
    pub(in crate::upstream) note: Note,
    /// Whether a probe of it is under way.
    pub(in crate::upstream) is_probed: bool,
    pub(in crate::upstream) in_flight: u64,
    /// The higher, the later it was lent.
    last_lent: u64,
}

impl Key {
    pub(in crate::upstream) fn new(id: KeyId, home: AccountId, credential: Credential) -> Self {
        let (health, note, account) = (Health::ready(), Note::default(), home);
        let (is_probed, in_flight, last_lent) = (false, 0, 0);
        Self { id, home, account, credential, health, note, is_probed, in_flight, last_lent }
    }

    /// Returns by what keys of one account are lent, the least first.
    fn order(&self, now: Instant) -> (Fitness, u64, u64) {
        (self.health.fitness(now), self.in_flight, self.last_lent)
    }
}

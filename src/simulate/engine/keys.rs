//! Keys: whose they are, whether they work, and when they die.

use std::collections::HashMap;
use std::sync::Arc;

use super::meter::nanos;
use super::rules::{Key, KeyState, Rules};

/// All keys of all organisations.
#[derive(Debug)]
pub(super) struct Keys {
    by_secret: HashMap<Arc<str>, KeyId>,
    organisations: Vec<Vec<KeyLife>>,
    oracle: Option<Arc<str>>,
}

/// Which key of which organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId {
    pub(super) organisation: usize,
    key: usize,
}

/// Whom a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// An organisation.
    Organisation(KeyId),
    /// The oracle.
    Oracle,
}

/// Why a key is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    Invalid,
    OutOfQuota { organisation: usize },
}

#[derive(Debug)]
struct KeyLife {
    key: Key,
    admitted: u64,
}

impl Keys {
    pub(super) fn new(rules: &Rules) -> Self {
        let mut by_secret = HashMap::new();
        let mut organisations = Vec::new();
        for (organisation, owner) in rules.organisations.iter().enumerate() {
            for (key, settings) in owner.keys.iter().enumerate() {
                by_secret.insert(Arc::clone(&settings.secret), KeyId { organisation, key });
            }
            let lives = owner.keys.iter().map(|key| KeyLife { key: key.clone(), admitted: 0 });
            organisations.push(lives.collect());
        }
        Self { by_secret, organisations, oracle: rules.oracle_key.clone() }
    }

    /// Returns whom `secret` belongs to, if it works at `now`.
    pub(super) fn holder(&self, secret: &str, now: u64) -> Result<Holder, Denial> {
        if self.oracle.as_deref() == Some(secret) {
            return Ok(Holder::Oracle);
        }
        let id = *self.by_secret.get(secret).ok_or(Denial::Invalid)?;
        match self.life(id).map_or(KeyState::Invalid, |life| life.state(now)) {
            KeyState::Valid => Ok(Holder::Organisation(id)),
            KeyState::Invalid => Err(Denial::Invalid),
            KeyState::OutOfQuota => Err(Denial::OutOfQuota { organisation: id.organisation }),
        }
    }

    /// Returns the first key of an organisation that works at `now`.
    pub(super) fn first_live(&self, organisation: usize, now: u64) -> Option<KeyId> {
        let lives = self.organisations.get(organisation)?;
        let key = lives.iter().position(|life| life.state(now) == KeyState::Valid)?;
        Some(KeyId { organisation, key })
    }

    /// Counts an admitted request.
    pub(super) fn admitted(&mut self, id: KeyId) {
        let lives = self.organisations.get_mut(id.organisation);
        if let Some(life) = lives.and_then(|lives| lives.get_mut(id.key)) {
            life.admitted += 1;
        }
    }

    fn life(&self, id: KeyId) -> Option<&KeyLife> {
        self.organisations.get(id.organisation)?.get(id.key)
    }
}

impl KeyLife {
    fn state(&self, now: u64) -> KeyState {
        let too_old = self.key.dies_at.is_some_and(|at| nanos(at) <= now);
        let worn_out = self.key.dies_after.is_some_and(|most| self.admitted >= most);
        if self.key.state == KeyState::Valid && (too_old || worn_out) {
            self.key.dies_as
        } else {
            self.key.state
        }
    }
}

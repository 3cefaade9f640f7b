//! Which keys are to be probed, and when.

use tokio::time::Instant;

use super::credential::Credential;
use super::fleet::{Account, Fleet, Key, KeyId};

impl Fleet {
    /// Returns the keys that are to be probed now, and counts them as being probed: each is to be
    /// answered with [`probed`](Self::probed).
    pub fn probes_due(&mut self, now: Instant) -> Vec<(KeyId, Credential)> {
        let accounts = &self.accounts;
        let due = self.keys.iter_mut().filter(|key| {
            !key.is_probed && probe_at(accounts, key).is_some_and(|probe_at| probe_at <= now)
        });
        due.map(|key| {
            key.is_probed = true;
            (key.id, key.credential.clone())
        })
        .collect()
    }

    /// Returns when [`probes_due`](Self::probes_due) should be asked next; `None` while no key is
    /// out. Look again after every [`Change`](super::fleet::Change).
    pub fn next_probe_at(&self) -> Option<Instant> {
        let waiting = self.keys.iter().filter(|key| !key.is_probed);
        waiting.filter_map(|key| probe_at(&self.accounts, key)).min()
    }
}

/// Returns when `key` is to be probed: for its own sake, or to see whether its account can be reached.
fn probe_at(accounts: &[Account], key: &Key) -> Option<Instant> {
    let account = accounts.iter().find(|account| account.id == key.account);
    let reached = account.filter(|own| own.is_unreachable()).and_then(|own| own.service.probe_at());
    [key.health.probe_at(), reached].into_iter().flatten().min()
}

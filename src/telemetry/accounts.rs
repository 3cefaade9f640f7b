//! What each account was charged, and what it had in its prompt cache.

use dashmap::DashMap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::bounds::OTHER;
use crate::units::{AccountName, Usage};

/// The counters of all accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) tokens: Family<AccountLabels, Counter>,
    known: DashMap<AccountName, Tokens>,
}

/// The counters of one account.
#[derive(Debug)]
struct Tokens {
    input: Counter,
    cached: Counter,
    output: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AccountLabels {
    account: String,
    kind: &'static str,
}

impl Accounts {
    /// Counts what a request of `account` was settled with. When too many are known, as clients
    /// bring keys of their own, all others are one.
    pub(super) fn settled(&self, account: &AccountName, usage: &Usage) {
        if let Some(tokens) = self.known.get(account) {
            return tokens.add(usage);
        }
        let other = AccountName::new(OTHER);
        let account = if self.known.len() < MOST_ACCOUNTS { account } else { &other };
        let counter = |kind| {
            let account = account.to_string();
            self.tokens.get_or_create(&AccountLabels { account, kind }).clone()
        };
        let make = || Tokens {
            input: counter("input"),
            cached: counter("cached"),
            output: counter("output"),
        };
        self.known.entry(account.clone()).or_insert_with(make).add(usage);
    }
}

impl Tokens {
    fn add(&self, usage: &Usage) {
        self.input.inc_by(usage.input.count());
        self.cached.inc_by(usage.cached.count());
        self.output.inc_by(usage.output.count());
    }
}

/// How many accounts get a series of their own.
const MOST_ACCOUNTS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_bounded() {
        let accounts = Accounts::default();
        for n in 0..2 * MOST_ACCOUNTS {
            accounts.settled(&AccountName::new(format!("client-{n}")), &Usage::default());
        }
        assert!(accounts.known.len() <= MOST_ACCOUNTS + 1, "the series grew without bound");
    }
}

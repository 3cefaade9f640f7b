//! What each account was charged, and what it had in its prompt cache; and what went elsewhere than it was
//! asked for.

use dashmap::DashMap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::bounds::OTHER;
use crate::units::{AccountName, ModelName, UpstreamName, Usage};

/// The counters of all accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) tokens: Family<AccountLabels, Counter>,
    known: DashMap<(UpstreamName, AccountName), Tokens>,
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
    upstream: String,
    account: String,
    kind: &'static str,
}

impl Accounts {
    /// Counts what a request of `account` at `upstream` was settled with. When too many are known, as
    /// clients bring keys of their own, all others are one.
    pub(super) fn settled(&self, upstream: &UpstreamName, account: &AccountName, usage: &Usage) {
        let mut key = (upstream.clone(), account.clone());
        if let Some(tokens) = self.known.get(&key) {
            return tokens.add(usage);
        }
        if self.known.len() >= MOST_ACCOUNTS {
            key.1 = AccountName::new(OTHER);
        }
        let counter = |kind| {
            let (upstream, account) = (key.0.to_string(), key.1.to_string());
            self.tokens.get_or_create(&AccountLabels { upstream, account, kind }).clone()
        };
        let make = || Tokens {
            input: counter("input"),
            cached: counter("cached"),
            output: counter("output"),
        };
        self.known.entry(key.clone()).or_insert_with(make).add(usage);
    }
}

impl Tokens {
    fn add(&self, usage: &Usage) {
        self.input.inc_by(usage.input.count());
        self.cached.inc_by(usage.cached.count());
        self.output.inc_by(usage.output.count());
    }
}

/// The requests that went under another name or elsewhere.
#[derive(Debug, Default)]
pub(super) struct Diverted {
    pub(super) requests: Family<DivertedLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DivertedLabels {
    model: String,
    upstream: String,
    sent_model: String,
}

impl Diverted {
    /// Counts one; both models are among those that are told apart.
    pub(super) fn note(&self, model: &ModelName, upstream: &UpstreamName, sent: &ModelName) {
        let [model, sent_model] = [model, sent].map(ToString::to_string);
        let labels = DivertedLabels { model, upstream: upstream.to_string(), sent_model };
        self.requests.get_or_create(&labels).inc();
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
            accounts.settled(
                &"openai".into(),
                &AccountName::new(format!("client-{n}")),
                &Usage::default(),
            );
        }
        assert!(accounts.known.len() <= MOST_ACCOUNTS + 1, "the series grew without bound");
    }
}

//! What is known of the provider by people who write its limits into a configuration.

use std::time::Duration;

use super::super::scenario::{Account, Scenario};

/// A key and the part of its account's limits that it may use.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The key's secret.
    pub(super) key: String,
    /// Requests in a window.
    pub(super) requests: f64,
    /// Tokens in a window: of input and output together where these are limited apart.
    pub(super) tokens: f64,
    /// The window of both.
    pub(super) window: Duration,
}

/// Returns every key of a scenario. Keys of one account share its limits evenly, as people who know that they
/// count together would write it. Limits that sluicegate is not told are the real ones here: none of these
/// recipes works without.
pub(super) fn accounts(scenario: &Scenario) -> Vec<Known> {
    scenario.accounts.iter().flat_map(of_account).collect()
}

fn of_account(account: &Account) -> impl Iterator<Item = Known> {
    let (told, real) = (&account.told, &account.limits);
    // These recipes know one window: where there are limits by the day, those are scarce.
    let by_day = real.requests_per_day.is_some() || real.tokens_per_day.is_some();
    let (requests, tokens, window) = if by_day {
        let requests = told.requests_per_day.or(real.requests_per_day);
        (requests, told.tokens_per_day.or(real.tokens_per_day), real.day)
    } else {
        let apart = |input: Option<u64>, output: Option<u64>| Some(input? + output?);
        let tokens = told
            .tokens_per_minute
            .or_else(|| apart(told.input_tokens_per_minute, told.output_tokens_per_minute))
            .or(real.tokens_per_minute)
            .or_else(|| apart(real.input_per_minute, real.output_per_minute));
        (told.requests_per_minute.or(real.requests_per_minute), tokens, real.minute)
    };
    #[expect(clippy::cast_precision_loss, reason = "millions at most")]
    let part = |limit: Option<u64>| {
        limit.map_or(f64::INFINITY, |limit| limit as f64 / account.keys.len() as f64)
    };
    let (requests, tokens) = (part(requests), part(tokens));
    let known = move |key: &str| Known { key: key.to_owned(), requests, tokens, window };
    account.keys.iter().map(move |key| known(&key.secret))
}

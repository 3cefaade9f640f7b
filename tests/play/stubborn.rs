//! A client that asks the provider directly and tries again: what SDKs do by themselves.

use std::time::Duration;

use tokio::time::sleep;

use super::diary::Fate;
use super::dice::Dice;
use super::provider::{Provider, Reply};
use super::run::System;
use super::scenario::Scenario;
use super::work::Job;

/// Sends at once; after a refusal or failure it stays away as long as it was told, else half a second
/// doubled each time up to eight, less up to a quarter; ten tries, on each key in turn.
#[derive(Debug)]
pub(crate) struct Stubborn {
    provider: Provider,
    keys: Vec<String>,
    seed: u64,
}

impl System for Stubborn {
    fn open(scenario: &Scenario, provider: Provider, seed: u64) -> Self {
        let keys = scenario.accounts.iter().flat_map(|account| &account.keys);
        Self { provider, keys: keys.map(|key| key.secret.to_string()).collect(), seed }
    }

    async fn serve(&self, job: &Job) -> Fate {
        let mut dice = Dice::new(self.seed, 2_000_000 + job.number as u64);
        for number in 0..TRIES {
            let key = &self.keys[(job.number + number) % self.keys.len()];
            let own = Duration::from_millis(500 << number.min(4)).mul_f64(dice.between(0.75, 1.0));
            let told = match self.provider.send(key, job).await {
                Reply::Answer(head, rest) if head.status.is_success() => {
                    return if rest.read().await.is_ok() { Fate::Served } else { Fate::Cut };
                }
                Reply::Answer(head, _) => head
                    .headers
                    .get("retry-after-ms")
                    .and_then(|value| value.to_str().ok()?.parse().ok())
                    .map(Duration::from_millis)
                    .filter(|told| *told <= Duration::from_secs(60)),
                Reply::Broken => None,
            };
            sleep(told.unwrap_or(own)).await;
        }
        Fate::Failed
    }
}

const TRIES: usize = 10;

//! What OpenAI's SDKs do by themselves, before a provider or behind somebody's limiter.
//!
//! Everybody sends at once. What is refused (429), failed (408, 409, 5xx) or broken off before an answer is sent
//! again, twice by default. Before that the client sleeps: as long as `retry-after-ms`, else `retry-after`, says
//! where that is above zero and at most 120 s (beyond that it gives up at once); otherwise half a second,
//! doubled with each try up to eight, less up to a quarter by chance. 401 and the like go to the caller at once.
//! A stream that breaks off in the middle does, too. A client has one key; where there are several, the
//! programs are spread over them in proportion to what each may use. They know nothing of each other, so all
//! that can be tuned is the number of retries: 2 and 10 have a column each. More of them mostly make more
//! refusals, as everybody who was told the same instant comes back together.
//!
//! (openai-python 3.54, read in its source on 2026-11-21.)

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use sluicegate::units::Usage;
use tokio::time::sleep;

use super::super::diary::Fate;
use super::super::dice::Dice;
use super::super::provider::{Provider, Reply};
use super::super::run::System;
use super::super::scenario::Scenario;
use super::super::work::Job;
use super::known::{Known, accounts};

/// Programs that ask the provider directly.
#[derive(Debug)]
pub(crate) struct Sdk {
    client: Client,
    keys: Vec<Known>,
}

impl Sdk {
    /// Creates clients that send so many times again.
    pub(super) fn new(provider: Provider, keys: Vec<Known>, retries: u32, seed: u64) -> Self {
        Self { client: Client { provider, retries, seed }, keys }
    }

    /// Returns the key of the program that a request comes from.
    fn key(&self, job: &Job) -> &str {
        let all: f64 = self.keys.iter().map(|key| key.tokens).sum();
        let mut draw = Dice::new(self.client.seed, 4_000_000 + job.number as u64).part() * all;
        let found = self.keys.iter().find(|key| {
            draw -= key.tokens;
            draw < 0.0
        });
        &found.unwrap_or(&self.keys[0]).key
    }
}

impl System for Sdk {
    fn open(scenario: &Scenario, provider: Provider, seed: u64) -> Self {
        Self::new(provider, accounts(scenario), 10, seed)
    }

    async fn serve(&self, job: &Job) -> Fate {
        self.client.ask(self.key(job), job).await.0
    }
}

/// An SDK's client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) provider: Provider,
    pub(super) retries: u32,
    pub(super) seed: u64,
}

impl Client {
    /// Asks until there is an answer or the retries are used up; returns what was used, where it is known.
    pub(super) async fn ask(&self, key: &str, job: &Job) -> (Fate, Option<Usage>) {
        let mut dice = Dice::new(self.seed, 2_000_000 + job.number as u64);
        for number in 0..=self.retries {
            let told = match try_once(&self.provider, key, job).await {
                Tried::Answered(fate, usage) => return (fate, Some(usage)),
                Tried::Again(told) => told,
                Tried::Never => break,
            };
            if number == self.retries || told.is_some_and(|told| told > LONGEST) {
                break;
            }
            let doubled = Duration::from_millis(500 << number.min(4));
            sleep(told.unwrap_or_else(|| doubled.mul_f64(dice.between(0.75, 1.0)))).await;
        }
        (Fate::Failed, None)
    }
}

/// The longest that an SDK lets itself be told to wait.
const LONGEST: Duration = Duration::from_secs(120);

/// What one try leads to.
pub(super) enum Tried {
    /// An answer was read, if not to its end.
    Answered(Fate, Usage),
    /// It may be tried again: after so long, where the provider says it.
    Again(Option<Duration>),
    /// Trying again is useless.
    Never,
}

/// Sends a request once and reads what comes back.
pub(super) async fn try_once(provider: &Provider, key: &str, job: &Job) -> Tried {
    match provider.send(key, job).await {
        Reply::Answer(head, rest) if head.status.is_success() => match rest.read().await {
            Ok(used) => Tried::Answered(Fate::Served, used),
            Err(used) if job.stream => Tried::Answered(Fate::Cut, used),
            Err(_) => Tried::Again(None),
        },
        Reply::Answer(head, _) if is_retried(head.status) => Tried::Again(told(&head.headers)),
        Reply::Answer(..) => Tried::Never,
        Reply::Broken => Tried::Again(None),
    }
}

fn is_retried(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 429) || status.is_server_error()
}

/// Returns how long the provider says that a client should stay away.
fn told(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| headers.get(name)?.to_str().ok()?.parse::<f64>().ok();
    let millis = number("retry-after-ms").map(|millis| millis / 1_000.0);
    let seconds = millis.or_else(|| number("retry-after"))?;
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
}

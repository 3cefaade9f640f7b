//! A bucket of tokens for each model, from which the worst case is taken for good.
//!
//! The recipe that most articles give. A bucket holds a minute's tokens and refills evenly. Before a request is
//! sent, its prompt is counted and `max_tokens` added; so much is taken from the bucket, and where it does not
//! hold it, the request sleeps until it will, first come, first served. What the answer turns out to have
//! used is looked at by nobody: most of what was taken was never used, so the bucket is empty while the
//! provider's quota is not. Requests are not counted, as the recipe is about tokens. Where there are several
//! keys, each has a bucket, and a request goes to the one that lets it go first. Behind the bucket is an SDK
//! with its two retries.
//!
//! Tried: a bucket of a whole minute and of a second (then nothing larger than a second's worth goes at once;
//! it waits for the debt), filled by all of the limit and by nine tenths of it.

use std::cell::RefCell;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::diary::Fate;
use super::super::provider::Provider;
use super::super::run::System;
use super::super::scenario::Scenario;
use super::super::work::Job;
use super::known::{Known, accounts};
use super::sdk::Client;

/// What can be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// Which part of the limit is used.
    part: f64,
    /// Which part of a window's tokens the bucket holds.
    burst: f64,
}

/// What is tried.
pub(super) const SETTINGS: [Setting; 4] = [
    Setting { part: 1.0, burst: 1.0 },
    Setting { part: 0.9, burst: 1.0 },
    Setting { part: 1.0, burst: 1.0 / 60.0 },
    Setting { part: 0.9, burst: 1.0 / 60.0 },
];

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let holds = if self.burst < 1.0 { "a second's worth" } else { "a window's" };
        write!(f, "{:.0} % of the limit, holds {holds}", self.part * 100.0)
    }
}

/// Buckets before SDKs.
#[derive(Debug)]
pub(super) struct Bucket {
    client: Client,
    keys: Vec<Known>,
    levels: RefCell<Vec<Level>>,
}

/// What a bucket holds; below zero while requests wait for it.
#[derive(Debug, Clone, Copy)]
struct Level {
    tokens: f64,
    at: Instant,
    most: f64,
    per_second: f64,
}

impl Bucket {
    /// Creates full buckets.
    pub(super) fn new(provider: Provider, keys: Vec<Known>, setting: Setting, seed: u64) -> Self {
        let level = |known: &Known| {
            let tokens = known.tokens * setting.part;
            Level {
                tokens: tokens * setting.burst,
                at: Instant::now(),
                most: tokens * setting.burst,
                per_second: tokens / known.window.as_secs_f64(),
            }
        };
        let levels = RefCell::new(keys.iter().map(level).collect());
        Self { client: Client { provider, retries: 2, seed }, keys, levels }
    }

    /// Takes tokens from the bucket that has them first; returns which one, and when that is.
    fn take(&self, tokens: f64) -> (usize, Duration) {
        let now = Instant::now();
        let mut levels = self.levels.borrow_mut();
        let waits = levels.iter().enumerate();
        let waits = waits.map(|(number, level)| (number, level.wait(tokens, now)));
        let (first, wait) = waits.min_by_key(|(_, wait)| *wait).expect("a key");
        let level = &mut levels[first];
        *level = Level { tokens: level.tokens_at(now) - tokens, at: now, ..*level };
        (first, wait)
    }
}

impl Level {
    fn tokens_at(&self, now: Instant) -> f64 {
        let refilled = (now - self.at).as_secs_f64() * self.per_second;
        (self.tokens + refilled).min(self.most)
    }

    fn wait(&self, tokens: f64, now: Instant) -> Duration {
        let short = (tokens - self.tokens_at(now)).max(0.0);
        Duration::from_secs_f64(short / self.per_second)
    }
}

impl System for Bucket {
    fn open(scenario: &Scenario, provider: Provider, seed: u64) -> Self {
        Self::new(provider, accounts(scenario), SETTINGS[0], seed)
    }

    async fn serve(&self, job: &Job) -> Fate {
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let worst = (job.cost.prompt + job.cost.bound.unwrap_or(job.cost.model_max)) as f64;
        let (number, wait) = self.take(worst);
        sleep(wait).await;
        self.client.ask(&self.keys[number].key, job).await.0
    }
}

//! Counters of requests and tokens behind a semaphore.
//!
//! What gateways and routers commonly do. A semaphore lets so many requests be under way at one time, first
//! come, first served. Whoever has a permit looks at two counters of the key: the requests sent and the
//! tokens used. While one of them is at its limit, it waits for the next minute (or for the oldest to be a
//! minute ago); otherwise it goes, to the key that is used least. A request is counted when it is sent, its
//! tokens when its answer has told them: so long the counter knows nothing of them, and as many requests
//! pass as the semaphore lets through. What is refused is tried again as an SDK with ten retries does it, with the
//! permit in its hand.
//!
//! Tried: 4, 16, 64 and 256 requests at one time; counters that start anew each minute of the calendar, and
//! counters over the last minute.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

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
    at_once: usize,
    span: Span,
}

/// Over which time is counted.
#[derive(Debug, Clone, Copy)]
enum Span {
    /// The minute of the calendar.
    Calendar,
    /// The last sixty seconds.
    Last,
}

/// What is tried.
pub(super) const SETTINGS: [Setting; 8] = [
    Setting { at_once: 4, span: Span::Calendar },
    Setting { at_once: 16, span: Span::Calendar },
    Setting { at_once: 64, span: Span::Calendar },
    Setting { at_once: 256, span: Span::Calendar },
    Setting { at_once: 4, span: Span::Last },
    Setting { at_once: 16, span: Span::Last },
    Setting { at_once: 64, span: Span::Last },
    Setting { at_once: 256, span: Span::Last },
];

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let span = match self.span {
            Span::Calendar => "by calendar minutes",
            Span::Last => "over the last minute",
        };
        write!(f, "{} at once, {span}", self.at_once)
    }
}

/// Counters before SDKs.
#[derive(Debug)]
pub(super) struct Counters {
    client: Client,
    permits: Semaphore,
    span: Span,
    counted: RefCell<Vec<Counted>>,
}

/// What was counted for one key.
#[derive(Debug)]
struct Counted {
    known: Known,
    /// When, how many requests, how many tokens.
    entries: VecDeque<(Duration, f64, f64)>,
    requests: f64,
    tokens: f64,
}

impl Counters {
    /// Creates counters at zero.
    pub(super) fn new(provider: Provider, keys: Vec<Known>, setting: Setting, seed: u64) -> Self {
        let counted =
            |known| Counted { known, entries: VecDeque::new(), requests: 0.0, tokens: 0.0 };
        Self {
            client: Client { provider, retries: 10, seed },
            permits: Semaphore::new(setting.at_once),
            span: setting.span,
            counted: RefCell::new(keys.into_iter().map(counted).collect()),
        }
    }

    /// Counts a request for the key that is used least; `Err` with when to look again where all are full.
    fn pick(&self) -> Result<(usize, String), Duration> {
        let now = self.client.provider.date();
        let mut keys = self.counted.borrow_mut();
        for key in keys.iter_mut() {
            key.forget(self.span, now);
        }
        let free = keys.iter_mut().enumerate().filter(|(_, key)| key.used() < 1.0);
        if let Some((number, key)) = free.min_by(|(_, a), (_, b)| a.used().total_cmp(&b.used())) {
            key.count(now, 1.0, 0.0);
            return Ok((number, key.known.key.clone()));
        }
        let frees = keys.iter().map(|key| key.frees(self.span, now)).min();
        Err(frees.unwrap_or_default().saturating_sub(now).max(Duration::from_millis(1)))
    }
}

impl Counted {
    /// Returns which part of the nearer limit is used.
    fn used(&self) -> f64 {
        (self.requests / self.known.requests).max(self.tokens / self.known.tokens)
    }

    fn count(&mut self, now: Duration, requests: f64, tokens: f64) {
        self.entries.push_back((now, requests, tokens));
        self.requests += requests;
        self.tokens += tokens;
    }

    fn forget(&mut self, span: Span, now: Duration) {
        let from = match span {
            Span::Calendar => self.minute(now),
            Span::Last => now.saturating_sub(self.known.window),
        };
        while let Some((_, requests, tokens)) = self.entries.pop_front_if(|(at, ..)| *at < from) {
            self.requests -= requests;
            self.tokens -= tokens;
        }
    }

    /// Returns when something of it is forgotten.
    fn frees(&self, span: Span, now: Duration) -> Duration {
        match (span, self.entries.front()) {
            (Span::Last, Some((oldest, ..))) => *oldest + self.known.window,
            _ => self.minute(now) + self.known.window,
        }
    }

    /// Returns when the minute of the calendar began.
    fn minute(&self, now: Duration) -> Duration {
        let past = now.as_nanos() % self.known.window.as_nanos().max(1);
        now.saturating_sub(Duration::from_nanos(u64::try_from(past).unwrap_or(0)))
    }
}

impl System for Counters {
    fn open(scenario: &Scenario, provider: Provider, seed: u64) -> Self {
        Self::new(provider, accounts(scenario), SETTINGS[0], seed)
    }

    async fn serve(&self, job: &Job) -> Fate {
        let _permit = self.permits.acquire().await.expect("it is never closed");
        let (number, key) = loop {
            match self.pick() {
                Ok(picked) => break picked,
                Err(wait) => sleep(wait).await,
            }
        };
        let (fate, used) = self.client.ask(&key, job).await;
        if let Some(used) = used {
            #[expect(clippy::cast_precision_loss, reason = "thousands")]
            let tokens = (used.input.count() + used.output.count()) as f64;
            let now = self.client.provider.date();
            self.counted.borrow_mut()[number].count(now, 0.0, tokens);
        }
        fate
    }
}

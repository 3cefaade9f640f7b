//! What people do today to stay within a quota, written in our own words.
//!
//! # What this module owns
//!
//! Four ways that programs commonly go, each a [`System`](super::run::System) like sluicegate: what SDKs do by
//! themselves ([`sdk`], with 2 and with 10 retries), a bucket from which the worst case is taken for good
//! ([`bucket`]), counters of requests and tokens behind a semaphore ([`counters`]), and a log of the last minute
//! whose workers put back what does not fit ([`log`]).
//!
//! # What this module does not do
//!
//! It copies nobody's code and stands for no product. Where such recipes differ, the better choice is taken;
//! what people tune are [settings](Peer::settings), and the bench shows the best of them for each cell.
//!
//! # Invariants
//!
//! 1. They know the limits: where sluicegate is told none, they are told the real ones.
//! 2. Arrivals, provider and network are those that sluicegate gets.

mod bucket;
mod counters;
mod known;
mod log;
mod sdk;

use std::time::Duration;

pub(crate) use self::sdk::Sdk;

use self::bucket::Bucket;
use self::counters::Counters;
use self::log::Log;
use super::run::{Run, play_until};
use super::scenario::Scenario;
use super::work::jobs;

/// One of the ways that people go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// An SDK with its usual two retries.
    Sdk2,
    /// An SDK with ten retries.
    Sdk10,
    /// A bucket of tokens from which input and `max_tokens` are taken and never given back.
    Bucket,
    /// Counters of requests and tokens behind a semaphore.
    Counters,
    /// A log of what was sent in the last minute, with putting back and sleeping.
    Log,
}

impl Peer {
    /// All of them, as the table shows them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Sdk2, Self::Sdk10, Self::Bucket, Self::Counters, Self::Log];

    /// Returns the head of its column.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sdk2 => "SDK, 2 retries",
            Self::Sdk10 => "SDK, 10 retries",
            Self::Bucket => "bucket without refund",
            Self::Counters => "counters, semaphore",
            Self::Log => "log, requeue and sleep",
        }
    }

    /// Returns the settings that are tried, in words.
    pub(crate) fn settings(self) -> Vec<String> {
        match self {
            Self::Sdk2 | Self::Sdk10 => vec!["as it comes".to_owned()],
            Self::Bucket => bucket::SETTINGS.iter().map(ToString::to_string).collect(),
            Self::Counters => counters::SETTINGS.iter().map(ToString::to_string).collect(),
            Self::Log => log::SETTINGS.iter().map(ToString::to_string).collect(),
        }
    }

    /// Plays a scenario with the `setting`-th of its settings; what is not done after `longest` is left.
    pub(crate) fn play(
        self,
        setting: usize,
        (scenario, seed): (&Scenario, u64),
        longest: Duration,
    ) -> Run {
        let (known, part) = (known::accounts(scenario), (scenario, seed));
        let jobs = jobs(scenario, seed);
        match self {
            Self::Sdk2 => {
                play_until(part, jobs, longest, |provider| Sdk::new(provider, known, 2, seed))
            }
            Self::Sdk10 => {
                play_until(part, jobs, longest, |provider| Sdk::new(provider, known, 10, seed))
            }
            Self::Bucket => {
                let setting = bucket::SETTINGS[setting];
                play_until(part, jobs, longest, |provider| {
                    Bucket::new(provider, known, setting, seed)
                })
            }
            Self::Counters => {
                let setting = counters::SETTINGS[setting];
                play_until(part, jobs, longest, |provider| {
                    Counters::new(provider, known, setting, seed)
                })
            }
            Self::Log => {
                let setting = log::SETTINGS[setting];
                play_until(part, jobs, longest, |provider| Log::new(provider, known, setting))
            }
        }
    }
}

//! One attempt as it stands in the ledger.

use std::sync::Arc;
use std::time::Duration;

use super::facet::Facet;
use crate::units::{Choice, PicoUsd, Usage};

/// One attempt at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The id under which the client was answered.
    pub request: Arc<str>,
    /// Which try of that request it is, counted from 1.
    pub attempt: u64,
    /// The id that the provider gave it.
    pub provider_id: Option<Arc<str>>,
    /// On whose behalf, for what and where.
    pub facet: Arc<Facet>,
    /// When it was sent, since 1970-01-01 UTC.
    pub sent: Duration,
    /// How long it had waited in line.
    pub queued: Duration,
    /// The quota that it had waited for.
    pub waited_for: Option<Arc<str>>,
    /// Why its account and its key were taken; `None`: not booked then.
    pub chosen: Option<Choice>,
    /// Its tokens of input by the count before it was sent.
    pub est_input: u64,
    /// The most output that it could have; `None`: as much as the model gives.
    pub est_output: Option<u64>,
    /// How that count was made.
    pub est_method: Arc<str>,
    /// What it came to; `None` while it is under way.
    pub booking: Option<Booking>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// When it was booked, since 1970-01-01 UTC.
    pub at: Duration,
    /// How long after it was sent the head of its answer came.
    pub first: Option<Duration>,
    /// How long after the request's arrival it was over.
    pub total: Option<Duration>,
    /// The status that the client got.
    pub status: u64,
    /// How it ended.
    pub ending: Arc<str>,
    /// How it is known what it used.
    pub method: Arc<str>,
    /// What it used.
    pub usage: Usage,
    /// What that cost; `None`: nobody knows.
    pub cost: Option<PicoUsd>,
}

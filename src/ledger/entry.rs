//! One line of the ledger: an attempt when it is sent, and what it came to.

use std::time::Duration;

use http::{HeaderValue, Uri};
use tokio::time::Instant;

use crate::count::{Demand, Method};
use crate::limit::QuotaKind;
use crate::units::{
    AccountName, Choice, KeyLabel, ModelName, Party, PicoUsd, RequestId, Served, UpstreamName,
    Usage,
};

/// What is known of an attempt when it is sent.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The id under which the client is answered.
    pub request: RequestId,
    /// Which try of that request it is, counted from 1.
    pub attempt: u32,
    /// When it was sent.
    pub sent: Instant,
    /// When the request arrived.
    pub arrived: Instant,
    /// How long it waited in line.
    pub queued: Duration,
    /// The quota that it waited for.
    pub waited_for: Option<QuotaKind>,
    /// Why its account and its key were taken.
    pub chosen: Choice,
    /// On whose behalf.
    pub party: Party,
    /// What was asked for; only the front of its path is written down.
    pub uri: Uri,
    /// How many bytes of its path lead to the upstream, and say nothing of what is asked for there.
    pub led: usize,
    /// The name of its endpoint, if that is a metered one.
    pub endpoint: Option<&'static str>,
    /// The model as the client names it.
    pub model: ModelName,
    /// The model as the upstream was asked for it.
    pub sent_model: ModelName,
    /// The upstream.
    pub upstream: Option<UpstreamName>,
    /// The account that pays.
    pub account: Option<AccountName>,
    /// The label of the key.
    pub key: Option<KeyLabel>,
    /// What it was expected to cost.
    pub demand: Demand,
    /// What that is in money, with all of its output bound; `None` where a price is not known. It stands for the
    /// cost until that is booked, and for ever where the program is killed before.
    pub expected: Option<PicoUsd>,
}

/// What an attempt came to.
#[derive(Debug, Clone)]
pub struct Closing {
    /// When it was over.
    pub at: Instant,
    /// When its answer's head was there.
    pub head_at: Option<Instant>,
    /// The status that the client got.
    pub status: u16,
    /// How it ended.
    pub fate: Fate,
    /// What was used.
    pub usage: Usage,
    /// How that is known.
    pub method: Method,
    /// What it cost; `None` where a price is not known.
    pub cost: Option<PicoUsd>,
    /// As what it was served.
    pub served: Served,
    /// The id that the provider gave it.
    pub provider_id: Option<HeaderValue>,
}

/// How an attempt ended, as it stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The whole answer came.
    Complete,
    /// The client hung up.
    ClientGone,
    /// The provider broke off in the middle of its answer.
    ProviderCut,
    /// The program stopped in the middle of its answer.
    Stopped,
    /// It went on at the provider when it was answered, and nothing told what it used.
    Untold,
    /// The provider refused it, or said that it failed.
    Refused,
    /// There was no answer; what was used is not known.
    Failed,
    /// The provider cannot have seen it.
    Unsent,
    /// Nobody knows: the program ended before.
    Lost,
}

impl Fate {
    /// Returns the word that is written down.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::ProviderCut => "provider_cut",
            Self::Stopped => "stopped",
            Self::Untold => "untold",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unsent => "unsent",
            Self::Lost => "lost",
        }
    }
}

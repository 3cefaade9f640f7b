//! What the engine answers.

use std::sync::Arc;
use std::time::Duration;

use super::charge::{Cost, Metric};
use super::lane::{Debits, Lane, Shortage, Shown};

/// A request that was admitted and is under way.
///
/// To be handed to [`Engine::finish`](super::Engine::finish); dropped instead, it stays charged and in flight for ever.
#[derive(Debug)]
#[must_use = "a request that is never finished stays in flight"]
pub struct Ticket {
    pub(super) lane: usize,
    pub(super) cost: Cost,
    pub(super) debits: Debits,
    pub(super) life: u64,
}

/// An admitted request and what the headers of its answer say.
#[derive(Debug)]
pub struct Admission {
    /// To be handed back when the request is over.
    pub ticket: Ticket,
    /// Whose quota it took.
    pub organisation: Arc<str>,
    /// All quotas just after the debit.
    pub shown: Vec<Shown>,
}

/// Why a request was not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The key is unknown, invalid or dead.
    InvalidKey,
    /// The organisation's credit is used up.
    OutOfQuota {
        /// Whose.
        organisation: Arc<str>,
    },
    /// The model does not exist.
    NoModel,
    /// A limit has no room at present.
    RateLimited {
        /// Which limit of whom.
        lane: Refused429,
        /// What is used of it, rounded up.
        used: u64,
        /// When it will have room, if nothing else happens.
        wait: Duration,
    },
    /// The request is larger than a limit.
    TooLarge {
        /// Which limit of whom.
        lane: Refused429,
    },
    /// Too many requests are under way.
    Concurrency {
        /// Whose limit.
        organisation: Arc<str>,
        /// The limit.
        limit: u64,
        /// The quotas at the refusal.
        shown: Vec<Shown>,
    },
}

/// Which limit refused a request, and what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused429 {
    /// Whose limit.
    pub organisation: Arc<str>,
    /// What it counts.
    pub metric: Metric,
    /// The limit of a window.
    pub limit: u64,
    /// What the request would have been debited.
    pub requested: u64,
    /// The quotas at the refusal.
    pub shown: Vec<Shown>,
}

/// What became of requests that waited for the oracle.
#[derive(Debug, Default)]
pub struct Grants {
    /// Who goes now, in order of arrival, or is refused after all because no key is left.
    pub decided: Vec<Decided>,
    /// When to ask again if nobody finishes before; `None`: when somebody finishes or arrives.
    pub look_again: Option<Duration>,
}

/// What became of one request that waited.
#[derive(Debug)]
pub struct Decided {
    /// Its number.
    pub number: u64,
    /// Whether it goes.
    pub outcome: Result<Admission, Refusal>,
}

/// Who a key belongs to, for what needs a key but draws on no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A member of an organisation.
    Organisation(Arc<str>),
    /// The oracle.
    Oracle,
}

/// Puts a lane's shortage into the words of the answer.
pub(super) fn refusal(lane: &mut Lane, shortage: Shortage, now: u64) -> Refusal {
    let organisation = Arc::clone(&lane.organisation);
    let shown = lane.shown(now);
    match shortage {
        Shortage::Later { metric, limit, used, requested, wait } => {
            let lane = Refused429 { organisation, metric, limit, requested, shown };
            Refusal::RateLimited { lane, used, wait }
        }
        Shortage::TooLarge { metric, limit, requested } => {
            let lane = Refused429 { organisation, metric, limit, requested, shown };
            Refusal::TooLarge { lane }
        }
        Shortage::Concurrency { limit } => Refusal::Concurrency { organisation, limit, shown },
    }
}

//! What an answer owes when it is over.

use crate::count::Method;
use crate::ledger::Booked;
use crate::settle::{Ending, Pass, Settlement, Unsettled};
use crate::units::{Receipt, Tokens};

/// The request that an answer settles, once.
#[derive(Debug)]
#[must_use = "dropping it books the request as lost"]
pub(super) enum Due {
    /// A request whose debit is open.
    Request(Unsettled),
    /// A request that is answered with what another one asked for, which is awaited under this id.
    Overheard(Unsettled, Box<str>),
    /// A request that goes on with what another one began, which is awaited under this id: what is told at the end
    /// is told of both.
    Joined(Unsettled, Box<str>),
    /// A test that wants to know.
    #[cfg(test)]
    Watched(super::tests::Watch),
}

impl Due {
    /// Returns the tokens of the prompt, as counted.
    pub(super) fn input(&self) -> Tokens {
        match self {
            Self::Request(unsettled)
            | Self::Overheard(unsettled, _)
            | Self::Joined(unsettled, _) => unsettled.demand().input,
            #[cfg(test)]
            Self::Watched(watch) => watch.input(),
        }
    }

    /// Returns what tells when the program stops.
    pub(super) fn pass(&self) -> Option<&Pass> {
        match self {
            Self::Request(unsettled)
            | Self::Overheard(unsettled, _)
            | Self::Joined(unsettled, _) => Some(unsettled.pass()),
            #[cfg(test)]
            Self::Watched(_) => None,
        }
    }

    /// Replaces the estimate by what `receipt` says, which is known by `method`; returns what was settled, and what
    /// the end of the answer waits for.
    pub(super) fn settle(self, receipt: &Receipt, method: Method, ending: Ending) -> Settled {
        match self {
            Self::Request(unsettled) => unsettled.settle(receipt, method, ending),
            Self::Overheard(own, id) => {
                if method == Method::Exact {
                    own.tell(&id, receipt);
                }
                own.settle(&Receipt::default(), Method::Exact, Ending::Counted)
            }
            Self::Joined(own, id) if method == Method::Exact => {
                own.tell(&id, receipt);
                own.settle(&Receipt::default(), Method::Exact, ending)
            }
            Self::Joined(own, _) => own.settle(receipt, method, ending),
            #[cfg(test)]
            Self::Watched(watch) => {
                let booked = watch.settle(Some((receipt.usage, method)), ending);
                let cost = crate::catalog::Cost::Unknown(crate::catalog::Missing::Model);
                (Settlement { usage: receipt.usage, cost }, booked)
            }
        }
    }

    /// Leaves the estimate as it is. Returns what the end of the answer waits for.
    pub(super) fn keep(self, ending: Ending) -> Booked {
        match self {
            Self::Request(unsettled)
            | Self::Overheard(unsettled, _)
            | Self::Joined(unsettled, _) => unsettled.keep(ending),
            #[cfg(test)]
            Self::Watched(watch) => watch.settle(None, ending),
        }
    }
}

impl Due {
    /// Leaves the request open, whose answer is still being made as `id`.
    pub(super) fn defer(self, id: &str) {
        match self {
            Self::Request(unsettled) | Self::Joined(unsettled, _) => unsettled.defer(id),
            Self::Overheard(unsettled, _) => {
                let _booked = unsettled.keep(Ending::Counted);
            }
            #[cfg(test)]
            Self::Watched(watch) => {
                let _booked = watch.settle(None, Ending::Untold);
            }
        }
    }
}

/// What a request was settled with, and what the end of its answer waits for.
pub(super) type Settled = (Settlement, Booked);

impl From<Unsettled> for Due {
    fn from(unsettled: Unsettled) -> Self {
        Self::Request(unsettled)
    }
}

impl Due {
    /// Takes a request that is a part of `run`, if it is of one; that may be awaited.
    pub(super) fn of_run(unsettled: Unsettled, run: Option<&str>) -> Self {
        match run.filter(|run| unsettled.awaits(run)) {
            Some(run) => Self::Joined(unsettled, run.into()),
            None => Self::Request(unsettled),
        }
    }
}

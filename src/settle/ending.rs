//! The ways in which a request ends.

use crate::ledger::Fate;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The whole answer came, and told its usage.
    Reported,
    /// The whole answer came without usage; it was counted.
    Counted,
    /// The provider refused or failed the request; nothing was used.
    Refused,
    /// The client hung up in the middle.
    ClientGone,
    /// The provider could not be reached, or broke off before its answer.
    Unreachable,
    /// The provider did not answer in time.
    TimedOut,
    /// The provider broke off in the middle.
    UpstreamCut,
    /// The program stopped in the middle.
    Stopped,
    /// It went on at the provider when it was answered, and nothing told what it used.
    Untold,
    /// Nobody knows.
    Lost,
}

impl Ending {
    /// Returns the word for logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Counted => "counted",
            Self::Refused => "refused",
            Self::ClientGone => "client_gone",
            Self::Unreachable => "upstream_unreachable",
            Self::TimedOut => "upstream_timeout",
            Self::UpstreamCut => "upstream_cut",
            Self::Stopped => "stopped",
            Self::Untold => "untold",
            Self::Lost => "lost",
        }
    }

    /// Tells whether the request was broken off from here while the provider was at it.
    pub(super) const fn is_from_here(self) -> bool {
        matches!(self, Self::ClientGone | Self::TimedOut | Self::Stopped | Self::Lost)
    }

    /// Returns how the ledger calls it.
    pub(super) const fn fate(self) -> Fate {
        match self {
            Self::Reported | Self::Counted => Fate::Complete,
            Self::Refused => Fate::Refused,
            Self::ClientGone => Fate::ClientGone,
            Self::Unreachable | Self::TimedOut => Fate::Failed,
            Self::UpstreamCut => Fate::ProviderCut,
            Self::Stopped => Fate::Stopped,
            Self::Untold => Fate::Untold,
            Self::Lost => Fate::Lost,
        }
    }
}

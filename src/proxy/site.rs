//! One upstream, with all that is its own.

use tokio::time::Instant;

use super::legs::Misses;
use super::times::AnswerTimes;
use crate::admit::{Admission, Allotments};
use crate::config::{LineSettings, UpstreamSettings};
use crate::units::{ModelName, UpstreamName};
use crate::upstream::{Address, Client, FleetError};

/// An upstream that requests are sent to: where it is and how it speaks, its lanes, lines and keys, and
/// the connections to it.
#[derive(Debug)]
pub struct Site {
    pub(super) name: UpstreamName,
    pub(super) address: Address,
    pub(super) admission: Admission,
    pub(super) client: Client,
    pub(super) times: AnswerTimes,
    pub(super) misses: Misses,
}

impl Site {
    /// Opens the upstream that `settings` describe; connects nowhere yet. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// Returns a [`FleetError`] where a key cannot be used.
    pub(super) fn open(
        settings: &UpstreamSettings,
        (line, allotments): (&LineSettings, &Allotments),
        client: Client,
    ) -> Result<Self, FleetError> {
        Ok(Self {
            name: settings.name.clone(),
            address: Address::of_upstream(settings),
            admission: Admission::start(settings, line, allotments)?,
            client,
            times: AnswerTimes::new(),
            misses: Misses::new(),
        })
    }

    /// Tells whether a request for `model` may be served there, as far as is known.
    pub(super) fn is_open(&self, model: &ModelName) -> bool {
        !self.misses.has(model, Instant::now()) && self.admission.is_open()
    }

    /// Returns its name.
    pub const fn name(&self) -> &UpstreamName {
        &self.name
    }

    /// Returns where it is.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Returns its lanes, lines and keys.
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Returns the connections to it.
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

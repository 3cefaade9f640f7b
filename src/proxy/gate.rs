//! Lets clients in, for what their apps may ask for.

use std::net::SocketAddr;

use super::errand::Errand;
use super::visit::Visit;
use super::{Failure, Proxy};
use crate::auth::{AuthError, Client};
use crate::units::{Party, is_straight};
use crate::upstream::RequestError;

impl Proxy {
    /// Returns who asks, and notes it for log and books.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::Auth`] for whom it does not know, [`Failure::Forbidden`] for a path that is not its
    /// app's, and [`Failure::Request`] for one that can be read in two ways; of the body nothing is read then.
    pub(super) fn let_in(&self, visit: &mut Visit, peer: SocketAddr) -> Result<Client, Failure> {
        if !is_straight(visit.record.uri.path()) {
            return Err(RequestError::Winding.into());
        }
        let now = self.inner.clock.since_epoch(visit.arrived);
        let client = self.terms().gate.authenticate(&visit.head.headers, peer.ip(), now)?;
        visit.record.party = Party::usual(client.app.clone());
        visit.key_of = client.has_key.then(|| client.app.clone());
        if let Some(left) = client.warning(now) {
            let hours = left.as_secs() / 3600;
            tracing::warn!(app = %client.app, hours, "the keys of an app expire soon");
        }
        client.permit(visit.head.uri.path(), None)?;
        Ok(client)
    }

    /// Tells whether who was let in would be let in now: keys may have been taken away while it waited.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::Auth`] if not.
    pub(super) fn let_in_still(&self, visit: &Visit) -> Result<(), Failure> {
        match &visit.key_of {
            Some(app) if !self.terms().gate.open_to().contains(app) => {
                Err(AuthError::Revoked.into())
            }
            _ => Ok(()),
        }
    }
}

/// Tells whether a request that names no model may be for any.
fn is_of_any_model(errand: &Errand) -> bool {
    let is_run = || errand.call().is_some_and(|call| call.endpoint.is_of_thread());
    matches!(errand, Errand::Socket(_)) || is_run()
}

/// Tells whether a client may ask for the model that its request names.
///
/// # Errors
///
/// Returns [`Failure::Forbidden`] if not.
pub(super) fn permit(client: &Client, visit: &Visit, errand: &Errand) -> Result<(), Failure> {
    let model = &visit.record.model;
    if !model.as_str().is_empty() {
        client.permit(visit.head.uri.path(), Some(model))?;
    } else if is_of_any_model(errand) {
        client.permit_any_model()?;
    }
    Ok(())
}

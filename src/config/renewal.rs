//! What a program that runs can take over of another configuration.

use std::net::SocketAddr;

use thiserror::Error;

use super::settings::{ServerSettings, Settings, UpstreamSettings};
use crate::units::UpstreamName;

/// Settings that a program which runs can go by.
#[derive(Debug)]
pub struct Renewed {
    /// The settings.
    pub settings: Settings,
    /// What differs and stays as it was until a restart.
    pub left: Vec<&'static str>,
}

/// Why a configuration that holds together cannot be taken over while the program runs.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RenewError {
    /// Clients' own keys are used now and ours then, or the other way round.
    #[error(
        "`upstreams.accounts`: whether clients bring their own keys cannot change while sluicegate \
         runs: restart it"
    )]
    Keys,
    /// All that is led nowhere else would go to another provider.
    #[error(
        "the first of `upstreams`, where all goes that is led nowhere else, is `{now}` and would be \
         `{then}`: restart sluicegate"
    )]
    First {
        /// The first upstream now.
        now: UpstreamName,
        /// The first upstream of the other settings.
        then: UpstreamName,
    },
    /// Requests are led to an upstream that is there only after a restart.
    #[error(
        "`{upstream}` is a new upstream, and `routes` or `models` lead there: it is there after a restart"
    )]
    Upstream {
        /// The upstream.
        upstream: UpstreamName,
    },
    /// The listener stays open to other machines, and nobody would be asked for a key.
    #[error(
        "there is no app left, but sluicegate listens on {listen} until a restart, where other machines could \
         spend your quota: give each program a key, or restart it on 127.0.0.1"
    )]
    Open {
        /// Where it listens.
        listen: SocketAddr,
    },
}

impl Settings {
    /// Returns what a program that runs by these settings takes over of `next`.
    ///
    /// # Errors
    ///
    /// Returns a [`RenewError`] where that would not be safe.
    pub fn renewed(&self, next: Self) -> Result<Renewed, RenewError> {
        let mut left = Vec::new();
        let mut stays = |name, is_same: bool| {
            if !is_same {
                left.push(name);
            }
        };
        let (server, other) = (&self.server, &next.server);
        stays("server.listen", server.listen == other.listen);
        stays("server.admin", server.admin == other.admin);
        stays("server.max_connections", server.max_connections == other.max_connections);
        stays("server.cors_origins", server.cors_origins == other.cors_origins);
        stays("data_dir", self.data_dir == next.data_dir);
        stays("ledger", self.ledger == next.ledger);
        stays("log", self.log == next.log);
        stays("timeouts", self.timeouts == next.timeouts);
        let names = |settings: &Self| -> Vec<UpstreamName> {
            settings.upstreams.iter().map(|upstream| upstream.name.clone()).collect()
        };
        stays("upstreams", names(self) == names(&next));
        let same = |one: &UpstreamSettings| next.upstreams.iter().find(|it| it.name == one.name);
        let pairs = || self.upstreams.iter().filter_map(|one| Some((one, same(one)?)));
        stays("upstreams.base_url", pairs().all(|(one, other)| one.base_url == other.base_url));
        stays("upstreams.dialect", pairs().all(|(one, other)| one.dialect == other.dialect));
        stays("upstreams.deployments", pairs().all(|(one, other)| one.azure == other.azure));
        // A key for another place is not sent to where requests go until the restart.
        let pairs = || pairs().filter(|(one, other)| one.base_url == other.base_url);
        if pairs().any(|(one, other)| one.accounts.is_empty() != other.accounts.is_empty()) {
            return Err(RenewError::Keys);
        }
        let first = |settings: &Self| settings.upstreams.first().map(|first| first.name.clone());
        if let (Some(now), Some(then)) = (first(self), first(&next))
            && now != then
        {
            return Err(RenewError::First { now, then });
        }
        let is_new = |name: &&UpstreamName| self.upstreams.iter().all(|one| one.name != **name);
        if let Some(upstream) = next.upstreams_led_to().find(is_new) {
            return Err(RenewError::Upstream { upstream: upstream.clone() });
        }
        let taken = |one: &UpstreamSettings| taken_over(one, same(one));
        let upstreams = self.upstreams.iter().map(taken).collect();
        let settings = Self {
            server: ServerSettings { max_body: other.max_body, ..server.clone() },
            data_dir: self.data_dir.clone(),
            ledger: self.ledger.clone(),
            log: self.log,
            upstreams,
            timeouts: self.timeouts.clone(),
            ..next
        };
        Ok(Renewed { settings, left })
    }
}

/// Returns an upstream as it goes on, where it is `other` in other settings: a key for another place is not taken
/// over.
fn taken_over(one: &UpstreamSettings, other: Option<&UpstreamSettings>) -> UpstreamSettings {
    match other {
        Some(other) if other.base_url == one.base_url => UpstreamSettings {
            accounts: other.accounts.clone(),
            limits: other.limits.clone(),
            ..one.clone()
        },
        _ => one.clone(),
    }
}

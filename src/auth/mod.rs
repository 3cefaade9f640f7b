//! Tells who is asking.
//!
//! # What this module owns
//!
//! The [`Gate`], which turns a request's headers into a [`Client`]: one of the configured apps by its
//! key, or, where no apps are configured, whatever name the program gives itself; and which tells
//! on whose behalf a request is sent ([`Party`](crate::units::Party)): by its client, by the configured rules, and by the
//! class that it asks for.
//!
//! # What this module does not do
//!
//! It does not pass keys on: what a client's own key pays for is [`crate::upstream`]'s matter. It
//! keeps no count of clients, so that names come from outside: whoever remembers them bounds them.
//!
//! # Invariants
//!
//! 1. Where there are apps, or other machines can connect, nobody gets in without the key of an app, however close.
//! 2. No key is held or named: of an app's key its SHA-256 is kept, and a name that may be a key is
//!    replaced by 8 hexadecimal digits of its SHA-256.
//! 3. Nothing that a client sends lifts its request above the class that its key, or the rule that
//!    matches it, allows.
//! 4. A key is found by its digest, at the same cost with one app and with thousands. What that takes may tell of
//!    digests, which nobody can choose: who sends keys learns nothing of those that open the gate.

mod party;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName};
use thiserror::Error;

pub use self::party::{Client, Forbidden, Looks};
use crate::config::{RuleSettings, Settings};
use crate::units::{AppName, KeyDigest};

/// Lets clients in.
#[derive(Debug)]
pub struct Gate {
    keys: HashMap<KeyDigest, Known>,
    apps: HashMap<AppName, Client>,
    /// The apps that have a key.
    open_to: HashSet<AppName>,
    rules: Vec<RuleSettings>,
    bearer: Bearer,
    /// Whether only programs on this machine can connect.
    is_local: bool,
}

/// Whose a key is.
#[derive(Debug)]
struct Known {
    app: AppName,
    /// Until when it works, as time since 1970-01-01 UTC.
    until: Option<Duration>,
}

/// Why a client is not let in; every variant is answered with 401.
///
/// The messages are for the client's programmer and end up in the body of the answer.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum AuthError {
    /// No key came.
    #[error(
        "You didn't provide an API key. sluicegate asks for the key of one of its apps, as \
         `Authorization: Bearer KEY`."
    )]
    NoKey,

    /// No app has this key.
    #[error(
        "Incorrect API key provided: none of sluicegate's apps has it. Send the key of an app, not \
         the provider's."
    )]
    WrongKey,

    /// The key has worked until now.
    #[error("The API key provided has expired: ask who runs sluicegate for another one.")]
    Expired,

    /// The key of an app, where clients bring their provider's: it must not get there.
    #[error(
        "This is the key of an app of sluicegate's, but here each program sends its provider's key, and \
         apps do not count."
    )]
    NotForwarded,

    /// A client on another machine, where no apps are configured.
    #[error("sluicegate serves other machines only for apps with keys, and none is configured.")]
    NotHere,

    /// Nobody has a key, where other machines can connect.
    #[error(
        "sluicegate listens to other machines here, so it serves only apps with keys, and there is none: \
         `sluicegate apps add NAME` makes one."
    )]
    NoApps,

    /// Its app's keys were taken away while the request waited.
    #[error("The keys of this app were revoked while its request waited; it was not sent.")]
    Revoked,
}

impl AuthError {
    /// Returns the `code` of an error in OpenAI's shape; its `type` is `invalid_request_error`.
    pub const fn code(self) -> &'static str {
        "invalid_api_key"
    }
}

impl Gate {
    /// Creates the gate that `settings` describe.
    pub fn new(settings: &Settings) -> Self {
        let ours = settings.upstreams.iter().all(|upstream| !upstream.accounts.is_empty());
        let keys = settings.apps.iter().flat_map(|app| {
            app.keys.iter().map(|key| {
                let until = key.until.into_iter().chain(app.expires).min();
                (key.digest, Known { app: app.name.clone(), until })
            })
        });
        let apps = settings.apps.iter().map(|app| (app.name.clone(), Client::of_app(app)));
        let keyed = settings.apps.iter().filter(|app| !app.keys.is_empty());
        Self {
            keys: keys.collect(),
            apps: apps.collect(),
            open_to: keyed.map(|app| app.name.clone()).collect(),
            rules: settings.rules.clone(),
            bearer: if ours { Bearer::MayBeName } else { Bearer::IsKey },
            is_local: settings.server.listen.ip().is_loopback(),
        }
    }

    /// Returns the apps that have a key.
    pub const fn open_to(&self) -> &HashSet<AppName> {
        &self.open_to
    }

    /// Tells who sent `headers` from `peer` at `now`, the time since 1970-01-01 UTC.
    ///
    /// The key is `Authorization: Bearer`, else `x-api-key`, else `api-key`. Without configured
    /// apps, the header `x-sluicegate-app` names the program, else the key does (if it cannot be a
    /// real one), else its `User-Agent`, else it is `anonymous`.
    ///
    /// # Errors
    ///
    /// Returns an [`AuthError`] that is fit to be answered as it is.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Duration,
    ) -> Result<Client, AuthError> {
        let key = key(headers);
        if self.bearer == Bearer::IsKey && every_key(headers).any(|key| key.starts_with(KEY_PREFIX))
        {
            return Err(AuthError::NotForwarded);
        }
        if self.apps.is_empty() {
            let here = peer.to_canonical().is_loopback();
            return match (self.is_local, here) {
                (true, true) => Ok(self.by_name(headers, key)),
                (true, false) => Err(AuthError::NotHere),
                // Whoever forwards a connection to here would look like a program on this machine.
                (false, _) => Err(AuthError::NoApps),
            };
        }
        let sent = KeyDigest::of(key.ok_or(AuthError::NoKey)?);
        let known = self.keys.get(&sent).ok_or(AuthError::WrongKey)?;
        if known.until.is_some_and(|until| until <= now) {
            return Err(AuthError::Expired);
        }
        self.apps.get(&known.app).cloned().ok_or(AuthError::WrongKey)
    }

    fn by_name(&self, headers: &HeaderMap, key: Option<&str>) -> Client {
        let given = headers.get(APP).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let name = given.as_deref().map(printable).filter(|name| !name.is_empty());
        let name = name.or_else(|| key.map(|key| self.bearer.name(key)));
        let name = name.or_else(|| product(headers.get(USER_AGENT)?.to_str().ok()?));
        Client::named(AppName::new(name.unwrap_or_else(|| "anonymous".to_owned())))
    }
}

/// The header by which a program names itself; never passed on.
pub const APP: HeaderName = HeaderName::from_static("x-sluicegate-app");

/// What the keys begin with that are made here, so that they are never taken for those of a provider.
pub const KEY_PREFIX: &str = "sg-";

/// What the key of a client can be where no apps are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bearer {
    /// A name, as the real key is ours; or a real key that the program need not have sent.
    MayBeName,
    /// A real key, passed on to the provider.
    IsKey,
}

impl Bearer {
    /// Makes a name out of a key, without giving a real one away.
    fn name(self, key: &str) -> String {
        // Real keys have 32 characters and more, or their provider's mark.
        let real = key.len() > 30 || key.starts_with("sk-") || key.starts_with("gsk_");
        if self == Self::MayBeName && !real {
            return printable(key);
        }
        format!("key-{}", KeyDigest::of(key).short())
    }
}

/// Returns the name of the program that a `User-Agent` begins with: `curl` of `curl/8.5.0`, but
/// `OpenAI/Python` of `OpenAI/Python 1.52.0`.
fn product(agent: &str) -> Option<String> {
    let first = agent.split_ascii_whitespace().next()?;
    let name = match first.split_once('/') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => name,
        _ => first,
    };
    Some(printable(name)).filter(|name| !name.is_empty())
}

/// Returns the key that a client sent; what is empty or no text is none.
fn key(headers: &HeaderMap) -> Option<&str> {
    every_key(headers).next().filter(|key| !key.is_empty())
}

/// Returns what may be a key in the headers that keys come in.
fn every_key(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let bearer = text(&AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim_start())
    });
    bearer.into_iter().chain(text(&X_API_KEY)).chain(text(&API_KEY))
}

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Returns at most 64 characters that can stand in a log line and in a metric.
fn printable(name: &str) -> String {
    let character = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    name.trim().chars().take(64).map(character).collect()
}

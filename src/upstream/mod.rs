//! Reaches the provider: who pays, with which key, in what words, over which connection.
//!
//! # What this module owns
//!
//! - [`Fleet`]: accounts, their keys and the health of both; says which key a request is sent with.
//! - [`Address`]: where a request goes, and where its key stands.
//! - [`outgoing`] and [`returning`]: the request's head as the provider gets it, the answer's head as
//!   the client gets it.
//! - [`rank`]: which account is asked first; [`Warm`], which have the prompt in their cache.
//! - [`hint`] and [`classify`]: what a provider's headers and error bodies say of its limits.
//! - [`Client`]: connections to the provider, TLS, forward proxies; [`probe`] tries one key.
//!
//! # What this module does not do
//!
//! It counts no tokens and holds no quota ([`crate::limit`]), lets nobody wait ([`crate::admit`])
//! and repeats no request: [`SendError`] says what may be repeated, its caller decides.
//!
//! # Invariants
//!
//! 1. All but [`Client`] and [`probe`] is pure: `now`, the date and randomness are arguments.
//! 2. A client's own credential never goes to a provider beside ours, and no key of ours is sent
//!    for a client that brings its own.
//! 3. The last usable key is never taken out: its answers are passed on, and it is probed.
//! 4. No `Debug` or `Display` shows a secret.

mod address;
mod affinity;
mod body;
mod classify;
mod client;
mod connect;
mod credential;
mod departure;
mod dialect;
mod duration;
mod environment;
mod fingerprint;
mod fleet;
mod glance;
mod guests;
mod health;
mod hint;
mod message;
mod probe;
mod probes;
mod ranking;
mod renewal;
mod request;
mod shards;
mod spool;
mod trouble;
mod verdicts;

pub use self::address::{Address, KeyHeader};
pub use self::affinity::Warm;
pub use self::body::{Body, BodyError};
pub use self::classify::{Finding, Verdict, classify};
pub use self::client::{Client, ClientError, SendError};
pub use self::credential::{Authorization, ClientKey, Credential};
pub use self::departure::Departure;
pub use self::environment::NetworkEnvironment;
pub use self::fingerprint::share_one;
pub use self::fleet::{
    AccountId, AdoptError, Adopted, Change, Fleet, FleetError, KeyId, Lent, Standing,
};
pub use self::glance::{Inside, Shape};
pub use self::hint::{Came, hint};
pub use self::probe::{ANTHROPIC_VERSION, probe, try_key};
pub use self::ranking::{Merit, picked, rank};
pub use self::request::{Reading, RequestError, outgoing, returning};
pub use self::shards::Answer;
pub use self::spool::{MOST_HELD, Spool};
pub use self::trouble::{Ail, Condition, KeyCondition, News, Trouble};

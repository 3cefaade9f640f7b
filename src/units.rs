//! Names the quantities and identities that every other module speaks of.
//!
//! # What this module owns
//!
//! Counts ([`Tokens`], [`Requests`]), money ([`PicoUsd`]), what an answer tells of its cost
//! ([`Receipt`]), how urgent a request is ([`Class`]), why it went where it went ([`Choice`]), names that must not be mixed up ([`AccountName`], [`ModelName`], ...), what a path asks for ([`below_base`]) and
//! [`Secret`], a text that cannot be printed by accident.
//!
//! # What this module does not do
//!
//! It holds no state, reads no clock and knows no provider.
//!
//! # Invariants
//!
//! 1. Sums saturate: no count ever wraps around.
//! 2. No `Debug` or `Display` shows a secret.

mod choice;
mod class;
mod decimal;
mod digest;
mod name;
mod path;
mod quantity;
mod secret;
mod usage;

pub use self::choice::{Choice, NoChoice, Pick, Why};
pub use self::class::{Class, Party};
pub use self::decimal::{Rounding, scaled};
pub use self::digest::KeyDigest;
pub use self::name::{
    AccountName, AppName, KeyLabel, ModelName, Name, RequestId, TierName, UpstreamName, kind,
};
pub use self::path::{DEPLOYMENTS, below_base, deployment, is_straight, unversioned};
pub use self::quantity::{PicoUsd, Requests, Tokens};
pub use self::secret::Secret;
pub use self::usage::{Receipt, Served, Usage};

//! Keeps on disk what must outlive the program.
//!
//! # What this module owns
//!
//! [`Store`]: one SQLite file `sluicegate.db` in the data folder, or a PostgreSQL, its schema (`migrations/`), and
//! in it what was learned of each lane ([`Lesson`]), which account made what ([`Pins`], the latest of them
//! also in memory), the apps ([`KeptApp`]), and one entry for each attempt at a provider ([`Ledger`], which a
//! [`Clerk`] keeps), with its sums by hour and day ([`Reading`]).
//!
//! # What this module does not do
//!
//! It decides nothing: [`crate::server`] reads at the start and lets it write in the background. No key, body or
//! header value is ever written but the ids of objects; of keys only a hash too short to tell them.
//!
//! # Invariants
//!
//! 1. A batch is written as a whole or not at all, and survives the death of the process.
//! 2. Several instances may share the database: who writes waits for the other.
//! 3. A file that is damaged, foreign or from a newer program is left as it is.
//! 4. Who leaves something to be booked waits for nothing but its receipt, and nobody waits for a store that
//!    hangs: what it does not take in time lies beside it until it does.
//! 5. Every statement is one text for both databases, with `$n` for numbers and texts; only migrations differ.

mod app_terms;
mod apps;
mod aside;
mod base;
mod beside;
mod catching_up;
mod clerk;
mod desk;
mod entry;
mod fault;
mod found;
mod job;
mod journal;
mod lessons;
mod link;
mod pace;
mod pen;
mod pins;
mod postgres;
mod reread;
mod ring;
mod rollup;
mod row;
mod runs;
mod sent;
mod snapshot;
mod spending;
mod spill;
mod sqlite;
mod store;
mod trouble;
mod usage;

pub use self::app_terms::AppTerms;
pub use self::apps::{KeptApp, KeptApps};
pub use self::catching_up::catch_up;
pub use self::clerk::{Clerk, Terms};
pub use self::desk::{Booked, Ledger, Opened, State};
pub use self::entry::{Closing, Fate, Opening};
pub use self::fault::{Place, StoreError};
pub use self::lessons::{Lesson, OLDEST};
pub use self::pins::{Pin, Pins, Term};
pub use self::sent::{AppUse, Sent};
pub use self::spending::Spent;
pub use self::spill::SPILL_BYTES;
pub use self::store::Store;
pub use self::usage::Reading;

#[cfg(test)]
mod tests;

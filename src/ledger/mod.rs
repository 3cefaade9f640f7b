//! Keeps on disk what must outlive the program.
//!
//! # What this module owns
//!
//! [`Store`]: one SQLite file `sluicegate.db` in the data folder, its schema (`migrations/`), and in it
//! what was learned of each lane ([`Lesson`]) and which account made what ([`Pins`], the latest of them
//! also in memory).
//!
//! # What this module does not do
//!
//! It decides nothing and runs no task: [`crate::server`] reads at the start and writes in the
//! background. No key, body or header value is ever written but the ids of objects; of keys only a hash
//! too short to tell them.
//!
//! # Invariants
//!
//! 1. A batch is written as a whole or not at all, and survives the death of the process.
//! 2. Several instances may share the file: who writes waits for the other.
//! 3. A file that is damaged, foreign or from a newer program is left as it is.
//! 4. The statements are such that another SQL database understands them, too.

mod lessons;
mod pins;
mod store;

pub use self::lessons::{Lesson, OLDEST};
pub use self::pins::{Pin, Pins, Term};
pub use self::store::{Store, StoreError};

#[cfg(test)]
mod tests;

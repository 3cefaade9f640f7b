//! Tells what was used: sums by time and by whom, and how they are written.
//!
//! # What this module owns
//!
//! The figures of a report ([`Sums`]), what they can be cut by ([`By`]), from when until when ([`Range`]), and
//! the forms in which a [`Report`] is written: a table for people, JSON, CSV. What a provider's own [`Export`] says,
//! and where that [differs](compare). The arithmetic of a request, told line by line ([`explain`]).
//!
//! # What this module does not do
//!
//! It reads no database and no clock: [`crate::ledger`] hands it [`Line`]s, [`crate::cli`] the range.
//!
//! # Invariants
//!
//! 1. Every line counts once in the total, whatever the rows are by.
//! 2. Costs that nobody knows are never zero: they are counted apart, with their tokens.

mod against;
mod by;
mod csv;
mod data;
mod entry;
mod explain;
mod export;
mod facet;
mod range;
mod sums;
mod tally;
mod words;

pub use self::against::{Comparison, Difference, compare};
pub use self::by::By;
pub use self::entry::{Booking, Entry};
pub use self::explain::explain;
pub use self::export::{Bucket, Export, ExportError, Told, Use, UsedFor};
pub use self::facet::Facet;
pub use self::range::{DayPart, Piece, Range, RangeError, Wanted, days};
pub use self::sums::{Line, Sums};
pub use self::tally::{Cell, Remarks, Report, Row, Tally, Unpriced};
pub use self::words::grouped;

#[cfg(test)]
mod tests;

//! Tells people and monitors what happens: log lines and metrics.
//!
//! # What this module owns
//!
//! The log's formats ([`init`]), the one line that every request leaves ([`RequestLine`]), and every
//! metric with its name ([`Metrics`]).
//!
//! # What this module does not do
//!
//! It decides nothing. No body, no key and no header value is ever written; texts that come from
//! clients are quoted, so that none of them can forge a line.

mod accounts;
mod bounds;
mod lines;
mod logs;
mod metrics;

pub use self::lines::flush;
pub use self::logs::{RequestLine, init};
pub use self::metrics::{Metrics, Series, Totals};

//! Plays whole days of traffic against the simulated provider in simulated time.
//!
//! # What this module owns
//!
//! A [`Scenario`](scenario::Scenario) says as data who sends what, what the provider grants, and what sluicegate is told of
//! it. [`play`](run::play) runs it: every request is a task on a paused clock, which goes through a [`System`](run::System)
//! (sluicegate itself: [`Sluicegate`](gate::Sluicegate)) to a [`Provider`](provider::Provider) (the simulator's engine, with delays on the way).
//! The [`oracle`](oracle::oracle) tells how fast it could have been at best, [`Figures`](figures::Figures) what
//! came of it.
//!
//! # What this module does not do
//!
//! No sockets and no HTTP: heads of answers are made by the simulator and read by `upstream::hint` and
//! `upstream::classify`, everything else of the wire is left out.
//!
//! # Invariants
//!
//! 1. Arrivals, sizes, delays and faults depend on scenario and seed alone: every system gets the same.
//! 2. The engine shares no code with what is measured; nor does the [`checker`] with either.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

pub(crate) mod checker;
pub(crate) mod diary;
pub(crate) mod dice;
mod fair;
pub(crate) mod figures;
pub(crate) mod gate;
pub(crate) mod oracle;
pub(crate) mod peers;
pub(crate) mod provider;
pub(crate) mod run;
pub(crate) mod scenario;
pub(crate) mod scenarios;
pub(crate) mod slots;
pub(crate) mod work;

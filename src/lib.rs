//! A local rate-limiting reverse proxy for LLM APIs.
//!
//! Programs point their SDK at it and share one organisation's quota: each request is counted, admitted
//! or made to wait, sent with the best key, and settled with what the provider reported.
//!
//! # The path of a request
//!
//! ```text
//! accept --> authenticate --> parse --> count --> admit (wait in line + pick key, one atomic step)
//!   Request      Client        Call     Demand        |
//!                                                     v
//!                                   Reservation --commit--> InFlight
//!                                                     |
//!                     forward, relay the answer, meter it
//!                                                     v
//!                                   Usage --settle--> Settlement
//! ```
//!
//! # The modules, low to high
//!
//! | layer | modules |
//! |---|---|
//! | vocabulary | [`units`], [`clock`] |
//! | pure cores | [`config`], [`catalog`], [`packing`], [`call`], [`count`], [`limit`], [`auth`], [`line`](mod@line), [`budget`], [`report`] |
//! | effects | [`upstream`], [`admit`], [`settle`], [`relay`], [`telemetry`], [`ledger`] |
//! | spine | [`proxy`] |
//! | shells | [`server`], [`admin`], [`cli`], [`simulate`], [`demo`] |
//!
//! A module imports from lower layers only; `tests/architecture.rs` holds the arrows.

pub mod admin;
pub mod admit;
pub mod auth;
pub mod budget;
pub mod call;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod count;
pub mod demo;
pub mod ledger;
pub mod limit;
pub mod line;
pub mod packing;
pub mod proxy;
pub mod relay;
pub mod report;
pub mod server;
pub mod settle;
pub mod simulate;
pub mod telemetry;
pub mod units;
pub mod upstream;

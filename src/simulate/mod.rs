//! The simulated provider: the wire of OpenAI and others with real limits, for demos, tests and dry runs.
//!
//! # What this module owns
//!
//! [`engine`], the provider as a state machine in simulated time; [`Provider`], the same behind
//! sockets: chat completions, messages, completions, responses, embeddings, moderations, images, sound and videos
//! with JSON, forms and event streams, runs of threads, models, files, batches and what else lies at a provider, websockets of
//! responses and realtime conversations, `GET /sim/stats` and `POST /sim/reset`;
//! [`HeadStyle`], the heads of answers for those who play with the engine without sockets.
//!
//! # What this module does not do
//!
//! It shares no code with [`crate::limit`]: it is the independent model that the limits are checked
//! against. It understands no request well enough to answer it: texts are words drawn by a seed.
//!
//! # Invariants
//!
//! 1. Usage is true: prompts are counted by the published formulas, and a text has exactly as many
//!    tokens as its usage says.
//! 2. Every admitted request is settled once: answered, cut short by either side, or failed.
//! 3. The same request is answered the same for the same seed, streamed or not, but for the cached
//!    tokens in its usage: prompts that begin as one before are cached.

mod args;
mod batches;
mod cache;
mod config;
mod dialect;
pub mod engine;
mod files;
mod flow;
mod form;
mod habits;
mod head;
mod multipart;
mod objects;
mod patient;
mod plan;
mod provider;
mod raw;
mod raw_limits;
mod report;
mod service;
mod shared;
mod sockets;
mod talk;
mod threads;
mod usual;
mod wire;
mod writing;

pub use self::args::{Args, SimulateError};
pub use self::config::{Config, Faults, Frames, Language, Latency, Outputs, RateHeaders};
pub use self::dialect::Dialect;
pub use self::head::{Head, HeadStyle};
pub use self::provider::Provider;
pub use self::raw::BadSetting;

//! The simulated provider: OpenAI's wire with real limits, for demos, tests and dry runs.
pub mod engine;

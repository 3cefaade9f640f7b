//! The joined parts: the real program and its listeners.

#![expect(clippy::expect_used, reason = "a test binary: helpers outside test functions fail so")]

mod cli;
mod demo;
mod house;
mod quota;
mod simulate;
mod upstream;

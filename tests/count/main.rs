//! Counts against `tiktoken-rs`, the reference, and against what OpenAI publishes.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod golden;
mod large;
mod memory;
mod oracle;
mod shapes;

use bytes::Bytes;
use serde_json::Value;
use sluicegate::call::{Call, Endpoint};
use sluicegate::catalog::Catalog;
use sluicegate::count::{Counter, Demand};

/// Counts `body` as its `model` does.
fn count(endpoint: Endpoint, body: &Value) -> Demand {
    count_bytes(&Counter::new(), endpoint, body.to_string().as_bytes())
}

/// Counts the bytes of a body with `counter`.
fn count_bytes(counter: &Counter, endpoint: Endpoint, body: &[u8]) -> Demand {
    let call = Call::parse(endpoint, Bytes::copy_from_slice(body)).expect("a call");
    let facts = Catalog::embedded().facts(call.model.as_str());
    counter.count(&call, &facts)
}

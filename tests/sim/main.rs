//! Tests of `sim`: whole runs on a clock that jumps from event to event.

mod laws;
mod limits;
mod limits_law;
mod outputs;
mod peers;
#[expect(dead_code, reason = "the bench uses the rest")]
#[path = "../play/mod.rs"]
mod play;
mod quota;
mod truth;
mod unresolved;

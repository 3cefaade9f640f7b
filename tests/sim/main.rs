//! Tests of `sim`.

mod limits;
mod limits_law;

//! Tests of `sim`.

mod limits;

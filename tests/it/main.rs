//! Tests of `it`.

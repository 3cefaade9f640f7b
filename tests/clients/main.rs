//! Tests of `clients`.

//! Tests of `count`.

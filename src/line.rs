//! Placeholder of `line`.

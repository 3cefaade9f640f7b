//! Placeholder of `demo`.

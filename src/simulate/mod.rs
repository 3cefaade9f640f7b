//! Placeholder of `simulate`.

//! Placeholder of `upstream`.

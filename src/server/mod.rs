//! Placeholder of `server`.

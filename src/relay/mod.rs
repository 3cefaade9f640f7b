//! Placeholder of `relay`.

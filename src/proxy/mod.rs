//! Placeholder of `proxy`.

//! Placeholder of `admit`.

//! Placeholder of `auth`.

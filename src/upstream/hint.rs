//! What an answer's headers say of the provider's counters.

use http::HeaderMap;

use crate::config::Dialect;
use crate::limit::Hint;

/// Reads the headers of any answer, refused or not. What is absent, negative or unreadable is left
/// out.
pub fn hint(_headers: &HeaderMap, dialect: Dialect) -> Hint {
    match dialect {
        Dialect::OpenAi => Hint::default(),
    }
}

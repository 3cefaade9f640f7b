//! OpenAI's wire: what requests ask, and what answers look like.
//!
//! # What this module owns
//!
//! Reading bodies ([`Reader`]), measuring prompts by the published formulas, writing texts of an
//! exactly known number of tokens, and the JSON objects, event streams, headers and errors that
//! OpenAI's SDKs parse.
//!
//! # What this module does not do
//!
//! It holds no connection and no limit, and reads no clock.

mod ask;
mod chat;
mod completions;
mod draft;
mod embeddings;
mod error;
mod gauge;
mod headers;
mod responses;
mod script;
mod tools;
mod words;

use serde_json::Value;

pub(super) use self::ask::{Ask, Endpoint, Reader};
pub(super) use self::draft::{Draft, Ending, Pace};
pub(super) use self::error::WireError;
pub(super) use self::gauge::TextCounts;
pub(super) use self::headers::{add, add_rate_limits};
pub(super) use self::script::Script;
pub(super) use self::words::mix;

/// Returns the answer to `ask` as one object.
pub(super) fn object(ask: &Ask, draft: &Draft) -> Result<Value, WireError> {
    match ask.endpoint {
        Endpoint::Chat => Ok(chat::object(ask, draft)),
        Endpoint::Completions => Ok(completions::object(ask, draft)),
        Endpoint::Responses => Ok(responses::object(ask, draft)),
        Endpoint::Embeddings => embeddings::object(ask),
    }
}

/// Returns the answer to `ask` as an event stream.
pub(super) fn script(ask: &Ask, draft: Draft) -> Script {
    match ask.endpoint {
        Endpoint::Completions => completions::script(ask, draft),
        Endpoint::Responses => responses::script(ask, draft),
        Endpoint::Chat | Endpoint::Embeddings => chat::script(ask, draft),
    }
}

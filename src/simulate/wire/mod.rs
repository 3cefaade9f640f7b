//! The wire: what requests ask, and what answers look like.
//!
//! # What this module owns
//!
//! Reading bodies ([`Reader`]), measuring prompts by the published formulas, writing texts of an
//! exactly known number of tokens, and the JSON objects, event streams, headers and errors that
//! the SDKs of each [`Dialect`](super::Dialect) parse.
//!
//! # What this module does not do
//!
//! It holds no connection and no limit, and reads no clock.

mod anthropic;
mod ask;
mod audio;
mod calls;
mod chat;
mod completions;
mod draft;
mod embeddings;
mod endpoint;
mod error;
mod gauge;
mod headers;
mod images;
mod language;
mod measures;
mod moderations;
mod quotas;
mod responses;
pub(super) mod runs;
mod script;
mod thoughts;
mod told;
mod tools;
mod words;

use serde_json::Value;

pub(super) use self::anthropic::counted;
pub(super) use self::ask::{Ask, Attached, Reader, UsageAt};
pub(super) use self::audio::raw;
pub(super) use self::draft::{Draft, Ending, Pace};
pub(super) use self::endpoint::Endpoint;
pub(super) use self::error::WireError;
pub(super) use self::gauge::{Measure, TextCounts, tokens_of_item};
pub(super) use self::headers::{Identity, add};
pub(super) use self::quotas::add_rate_limits;
pub(super) use self::script::{Script, put};
pub(super) use self::told::Told;
pub(super) use self::words::mix;

/// Returns the answer to `ask` as one object.
pub(super) fn object(ask: &Ask, draft: &Draft) -> Result<Value, WireError> {
    match ask.endpoint {
        Endpoint::Chat => Ok(chat::object(ask, draft)),
        Endpoint::Completions => Ok(completions::object(ask, draft)),
        Endpoint::Responses => Ok(responses::object(ask, draft)),
        Endpoint::Compaction => Ok(responses::compacted(ask, draft)),
        Endpoint::InputTokens => Ok(responses::counted(ask)),
        Endpoint::Embeddings => embeddings::object(ask),
        Endpoint::Moderations => Ok(moderations::object(ask, draft)),
        Endpoint::ImageGenerations | Endpoint::ImageEdits | Endpoint::ImageVariations => {
            Ok(images::object(ask, draft))
        }
        Endpoint::Speech | Endpoint::Transcriptions | Endpoint::Translations => {
            Ok(audio::object(ask, draft))
        }
        Endpoint::Videos => Ok(moderations::video(ask, draft)),
        Endpoint::Messages => Ok(anthropic::object(ask, draft)),
        Endpoint::MessageTokens => Ok(anthropic::counted(ask)),
    }
}

/// Returns the answer to `ask` as an event stream.
pub(super) fn script(ask: &Ask, draft: Draft) -> Script {
    match ask.endpoint {
        Endpoint::Completions => completions::script(ask, draft),
        Endpoint::Responses => responses::script(ask, draft),
        Endpoint::ImageGenerations | Endpoint::ImageEdits => images::script(ask, draft),
        Endpoint::Speech | Endpoint::Transcriptions => audio::script(ask, draft),
        Endpoint::Messages => anthropic::script(ask, draft),
        _ => chat::script(ask, draft),
    }
}

//! Reads out of a request body what admission needs, and leaves the body as it is.
//!
//! # What this module owns
//!
//! [`Endpoint`], the paths that are metered; [`Call`], what a body asks for, beside its untouched
//! bytes; [`FormReader`], which finds the same in a form; [`Prompt`], a borrowed view of the parts that
//! cost input tokens; [`spliced`], the only changes that are ever made to what the client sent; and
//! [`IdScan`], which finds what a body names that lies at the provider.
//!
//! # What this module does not do
//!
//! It counts nothing (that is [`crate::count`]) and does not check a request: a field of the wrong
//! type is the provider's to refuse, with the provider's own words.
//!
//! # Invariants
//!
//! 1. The body is never copied and never altered.
//! 2. Of equal keys the last one counts, as in every JSON reader that providers use.
//! 3. Nesting costs no stack and size no more than time: no input makes it panic.

mod endpoint;
mod form;
mod ids;
mod json;
mod parse;
mod prompt;
mod runs;
mod splice;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use crate::units::{ModelName, Tokens};

pub use self::endpoint::{Endpoint, Product};
pub use self::form::FormReader;
pub use self::ids::{IdScan, ids_of_target, is_kept_under};
pub use self::json::Text;
pub use self::parse::CallError;
pub use self::prompt::{Image, Piece, Prompt, ToolChoice};
pub use self::runs::RunPath;
pub use self::splice::spliced;

use self::parse::{Parts, Span};
use self::runs::InThread;
use self::splice::Splice;

/// How the answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As one JSON body.
    Whole,
    /// As server-sent events.
    Stream {
        /// Whether the usage event comes unasked.
        usage: StreamUsage,
    },
}

/// What a stream says of its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamUsage {
    /// The client asked for it, or the endpoint always tells.
    Told,
    /// The client did not ask: `include_usage` is spliced in on the way there, and what it adds is
    /// taken out on the way back.
    Spliced,
}

/// The files of a form, of which nothing is known but their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attached {
    /// Bytes of sound.
    pub sound: u64,
    /// How many images.
    pub images: u64,
}

/// A parsed request beside its untouched body, made by [`Call::parse`]. Cloning it copies pointers.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which endpoint it is for.
    pub endpoint: Endpoint,
    /// The model, as the client wrote it.
    pub model: ModelName,
    /// Whether the path says so, and not the body.
    pub is_named_by_path: bool,
    /// How the answer comes; read from the body, never from `Accept`.
    pub delivery: Delivery,
    /// The most output tokens that one generation may have; `None` where the client did not say.
    pub max_output: Option<Tokens>,
    /// The most input tokens that it may use, where the client says that (`max_prompt_tokens` of a run).
    pub max_input: Option<Tokens>,
    /// How many generations or images the request asks for, at least 1: `n` or `best_of`, times the
    /// number of prompts.
    pub choices: u64,
    /// The client's bytes; of a form, its texts as JSON.
    pub body: Bytes,
    /// What comes with a form beside its texts.
    pub attached: Attached,
    /// Where in the body the parts of the prompt stand.
    parts: Parts,
    /// Where its model's name stands, quotes included; of two, the last.
    model_at: Option<Span>,
    /// The change that asks for usage, where it is needed.
    splice: Option<Splice>,
    /// The thread in which it runs, if it does. Boxed, for few do.
    in_thread: Option<Box<InThread>>,
    /// What the client sent, where `body` is what that unpacks to.
    packed: Option<Bytes>,
}

impl Call {
    /// Says that the client sent the body as `packed`. Nothing can be spliced into that, so that a
    /// stream tells its usage only to who asked.
    #[must_use]
    pub fn sent_as(self, packed: Bytes) -> Self {
        let delivery = match self.delivery {
            Delivery::Whole => Delivery::Whole,
            Delivery::Stream { .. } => Delivery::Stream { usage: StreamUsage::Told },
        };
        Self { delivery, splice: None, packed: Some(packed), ..self }
    }

    /// Says whether the stream may be asked for its usage, where its client does not ask.
    pub const fn ask_usage(&mut self, may: bool) {
        if self.splice.is_some() {
            let usage = if may { StreamUsage::Spliced } else { StreamUsage::Told };
            self.delivery = Delivery::Stream { usage };
        }
    }

    /// Tells whether the client sent the body packed.
    pub const fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// Returns the form of the images that it asks for, as prices name it: quality and size, such as
    /// `high/1024x1024`, or the size alone; `None` where it names no size, or makes none.
    pub fn image_form(&self) -> Option<Box<str>> {
        /// What of the body tells the form.
        #[derive(Deserialize)]
        struct Form<'a> {
            #[serde(borrow)]
            size: Option<Cow<'a, str>>,
            #[serde(borrow)]
            quality: Option<Cow<'a, str>>,
        }
        /// Longer words name no form.
        const LONGEST: usize = 32;
        if self.endpoint.product() != Product::Images && self.endpoint != Endpoint::ImageVariations
        {
            return None;
        }
        let Form { size, quality } = serde_json::from_slice(&self.body).ok()?;
        let size = size.filter(|size| size.len() <= LONGEST)?;
        let quality = quality.filter(|quality| quality.len() <= LONGEST);
        let form = quality.map_or_else(|| size.to_string(), |quality| format!("{quality}/{size}"));
        Some(form.into_boxed_str())
    }

    /// Returns how many bytes it holds.
    pub fn bytes_held(&self) -> usize {
        self.body.len() + self.packed.as_ref().map_or(0, Bytes::len)
    }
}

//! Reads out of a request body what admission needs, and leaves the body as it is.

use bytes::Bytes;

use crate::units::{ModelName, Tokens};

/// A metered endpoint; every other path passes through uncounted but for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/embeddings`.
    Embeddings,
}

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

/// A parsed request beside its untouched body. Cloning it copies pointers.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which endpoint it is for.
    pub endpoint: Endpoint,
    /// The model, as the client wrote it.
    pub model: ModelName,
    /// How the answer comes; read from the body, never from `Accept`.
    pub delivery: Delivery,
    /// The most output tokens that one generation may have; `None` where the client did not say.
    pub max_output: Option<Tokens>,
    /// How many generations the request asks for: `n` or `best_of`, times the number of prompts.
    pub choices: u64,
    /// The client's bytes.
    pub body: Bytes,
}

//! Makes a [`Call`] of a body.

use bytes::Bytes;
use serde_json::value::RawValue;
use thiserror::Error;

use super::json::{Text, each, is_given, members};
use super::splice::Splice;
use super::{Attached, Call, Delivery, Endpoint, Product, StreamUsage};
use crate::units::{ModelName, Tokens};

/// Why a body is no call. The provider would refuse it too, so it is refused without spending quota.
///
/// The messages are fit to stand in an OpenAI-shaped error of type `invalid_request_error`, whose
/// `param` is [`CallError::param`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// The body is not JSON.
    #[error("could not parse the JSON body of the request (line {line}, column {column})")]
    NotJson {
        /// The line where reading ended, from 1.
        line: usize,
        /// The column where reading ended.
        column: usize,
    },
    /// The body is JSON, but not an object.
    #[error("the JSON body of the request must be an object")]
    NotAnObject,
    /// The body is not the form that its head announces.
    #[error("could not parse the form of the request")]
    NotAForm,
    /// There is no model.
    #[error("you must provide a model parameter")]
    ModelMissing,
    /// The model is not a string.
    #[error("the model parameter must be a string")]
    ModelNotAString,
}

impl CallError {
    /// Returns the parameter at fault, for the `param` of the answer.
    pub const fn param(&self) -> Option<&'static str> {
        match self {
            Self::NotJson { .. } | Self::NotAnObject | Self::NotAForm => None,
            Self::ModelMissing | Self::ModelNotAString => Some("model"),
        }
    }

    fn of_body(error: &serde_json::Error) -> Self {
        if error.is_data() {
            return Self::NotAnObject;
        }
        Self::NotJson { line: error.line(), column: error.column() }
    }
}

impl Call {
    /// Reads `body` as a request for `endpoint`.
    ///
    /// # Errors
    ///
    /// Only where no provider could serve the body: it is not a JSON object, or does not name its
    /// model. Anything else that may be wrong with it is the provider's to say.
    pub fn parse(endpoint: Endpoint, body: Bytes) -> Result<Self, CallError> {
        Self::parse_named(endpoint, body, None)
    }

    /// Does the same where the path may name the model, as Azure's do: what the body says of it does not
    /// count then.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_named(
        endpoint: Endpoint,
        body: Bytes,
        named: Option<&str>,
    ) -> Result<Self, CallError> {
        let fields = Fields::read(&body).map_err(|error| CallError::of_body(&error))?;
        let model = match named {
            Some(named) => ModelName::new(named),
            None => fields.model(endpoint)?,
        };
        let splice = fields.splice(endpoint, &body);
        Ok(Self {
            endpoint,
            model,
            is_named_by_path: named.is_some(),
            model_at: fields.model.map(|raw| Span::of(raw.get(), &body)),
            delivery: fields.delivery(endpoint, splice),
            max_output: fields.max_output(endpoint),
            max_input: number(fields.max_prompt_tokens).map(Tokens::new),
            choices: fields.choices(endpoint),
            parts: fields.parts(endpoint, &body),
            attached: Attached::default(),
            splice,
            in_thread: None,
            packed: None,
            body,
        })
    }

    /// Returns the bytes of a part of the prompt.
    pub(super) fn part(&self, span: Option<Span>) -> Option<&[u8]> {
        span.and_then(|span| self.body.get(span.start..span.end))
    }

    /// Returns the id of the answer or conversation that it goes on with, which lies at the provider.
    pub(super) fn history(&self) -> Option<Text<'_>> {
        let json = self.part(self.parts.history)?;
        if let Some(id) = serde_json::from_slice(json).ok().and_then(Text::of) {
            return Some(id);
        }
        let [id] = members(json, ["id"]).ok()?;
        id.and_then(Text::of)
    }

    /// Returns where the parts of the prompt stand.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }
}

/// A stretch of the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// Returns where `part`, a slice of `body`, stands in it.
    pub(super) fn of(part: &str, body: &[u8]) -> Self {
        let start = part.as_ptr().addr().saturating_sub(body.as_ptr().addr());
        Self { start, end: start + part.len() }
    }
}

/// Where the parts of the prompt stand, so that counting need not look for them again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts {
    /// `messages`, `prompt`, `input` or `tool_outputs`: the prompt itself.
    pub(super) input: Option<Span>,
    /// `tools`.
    pub(super) tools: Option<Span>,
    /// `functions`, which came before `tools`.
    pub(super) functions: Option<Span>,
    /// `tool_choice` or `function_call`.
    pub(super) tool_choice: Option<Span>,
    /// `response_format` or `text`.
    pub(super) format: Option<Span>,
    /// `instructions`, `system`, `suffix`, `questions`, or the `images` of an edit.
    pub(super) beside: Option<Span>,
    /// `additional_instructions`.
    pub(super) more: Option<Span>,
    /// Whether a part of the prompt lies at the provider: an earlier response, a conversation, a
    /// stored prompt.
    pub(super) elsewhere: bool,
    /// `previous_response_id` or `conversation`: what it goes on with.
    pub(super) history: Option<Span>,
}

/// The fields of a body, whatever the endpoint.
struct Fields<'a> {
    model: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    stream_options: Option<&'a RawValue>,
    max_completion_tokens: Option<&'a RawValue>,
    max_tokens: Option<&'a RawValue>,
    max_output_tokens: Option<&'a RawValue>,
    n: Option<&'a RawValue>,
    best_of: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    prompt: Option<&'a RawValue>,
    input: Option<&'a RawValue>,
    tools: Option<&'a RawValue>,
    functions: Option<&'a RawValue>,
    tool_choice: Option<&'a RawValue>,
    function_call: Option<&'a RawValue>,
    response_format: Option<&'a RawValue>,
    text: Option<&'a RawValue>,
    instructions: Option<&'a RawValue>,
    suffix: Option<&'a RawValue>,
    previous_response_id: Option<&'a RawValue>,
    conversation: Option<&'a RawValue>,
    stream_format: Option<&'a RawValue>,
    images: Option<&'a RawValue>,
    questions: Option<&'a RawValue>,
    system: Option<&'a RawValue>,
    additional_messages: Option<&'a RawValue>,
    additional_instructions: Option<&'a RawValue>,
    thread: Option<&'a RawValue>,
    tool_outputs: Option<&'a RawValue>,
    max_prompt_tokens: Option<&'a RawValue>,
}

#[rustfmt::skip] // Names above values: the two lists are read by columns.
const NAMES: [&str; 30] = [
    "model", "stream", "stream_options",
    "max_completion_tokens", "max_tokens", "max_output_tokens", "n", "best_of",
    "messages", "prompt", "input",
    "tools", "functions", "tool_choice", "function_call", "response_format", "text",
    "instructions", "suffix", "previous_response_id", "conversation",
    "stream_format", "images", "questions", "system",
    "additional_messages", "additional_instructions", "thread", "tool_outputs", "max_prompt_tokens",
];

impl<'a> Fields<'a> {
    #[rustfmt::skip] // Names above values: the two lists are read by columns.
    fn read(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        let [
            model, stream, stream_options,
            max_completion_tokens, max_tokens, max_output_tokens, n, best_of,
            messages, prompt, input,
            tools, functions, tool_choice, function_call, response_format, text,
            instructions, suffix, previous_response_id, conversation,
            stream_format, images, questions, system,
            additional_messages, additional_instructions, thread, tool_outputs, max_prompt_tokens,
        ] = members(body, NAMES)?;
        Ok(Self {
            model, stream, stream_options,
            max_completion_tokens, max_tokens, max_output_tokens, n, best_of,
            messages, prompt, input,
            tools, functions, tool_choice, function_call, response_format, text,
            instructions, suffix, previous_response_id, conversation,
            stream_format, images, questions, system,
            additional_messages, additional_instructions, thread, tool_outputs, max_prompt_tokens,
        })
    }

    fn model(&self, endpoint: Endpoint) -> Result<ModelName, CallError> {
        match (self.model.filter(|raw| is_given(Some(raw))), endpoint.usual_model()) {
            (Some(model), _) => {
                let model = Text::of(model).ok_or(CallError::ModelNotAString)?;
                Ok(ModelName::new(&*model.decode()))
            }
            (None, Some(usual)) => Ok(ModelName::new(usual)),
            (None, None) => Err(CallError::ModelMissing),
        }
    }

    fn streams(&self, endpoint: Endpoint) -> bool {
        match endpoint.product() {
            Product::Text | Product::Images => self.stream.is_some_and(|raw| raw.get() == "true"),
            Product::Sound => self.stream_format.is_some_and(|raw| raw.get() == "\"sse\""),
            Product::Figures | Product::NoTokens => false,
        }
    }

    fn splice(&self, endpoint: Endpoint, body: &[u8]) -> Option<Splice> {
        let asks = matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
        (asks && self.streams(endpoint)).then(|| Splice::find(self.stream_options, body)).flatten()
    }

    fn delivery(&self, endpoint: Endpoint, splice: Option<Splice>) -> Delivery {
        match (self.streams(endpoint), splice) {
            (false, _) => Delivery::Whole,
            (true, None) => Delivery::Stream { usage: StreamUsage::Told },
            (true, Some(_)) => Delivery::Stream { usage: StreamUsage::Spliced },
        }
    }

    fn max_output(&self, endpoint: Endpoint) -> Option<Tokens> {
        let said = match endpoint {
            Endpoint::Runs => number(self.max_completion_tokens),
            Endpoint::ChatCompletions => {
                number(self.max_completion_tokens).or_else(|| number(self.max_tokens))
            }
            Endpoint::Completions | Endpoint::Messages => number(self.max_tokens),
            Endpoint::Responses => number(self.max_output_tokens),
            _ => None,
        };
        said.map(Tokens::new)
    }

    fn choices(&self, endpoint: Endpoint) -> u64 {
        let n = number(self.n).unwrap_or(1);
        let choices = match endpoint {
            Endpoint::ChatCompletions
            | Endpoint::ImageGenerations
            | Endpoint::ImageEdits
            | Endpoint::ImageVariations => n,
            Endpoint::Completions => {
                n.max(number(self.best_of).unwrap_or(1)).saturating_mul(prompts(self.prompt))
            }
            _ => 1,
        };
        choices.max(1)
    }

    /// Returns the messages of the thread that a run makes.
    fn messages_of_thread(&self) -> Option<&'a RawValue> {
        let [messages] = members(self.thread?.get().as_bytes(), ["messages"]).ok()?;
        messages
    }

    fn parts(&self, endpoint: Endpoint, body: &[u8]) -> Parts {
        let at = |raw: Option<&RawValue>| {
            raw.filter(|raw| is_given(Some(raw))).map(|raw| Span::of(raw.get(), body))
        };
        let mut parts = Parts {
            tools: at(self.tools),
            functions: at(self.functions),
            tool_choice: at(self.tool_choice.or(self.function_call)),
            format: at(self.response_format),
            ..Parts::default()
        };
        match endpoint {
            Endpoint::ChatCompletions => parts.input = at(self.messages),
            Endpoint::Messages | Endpoint::MessageTokens => {
                parts.input = at(self.messages);
                parts.beside = at(self.system);
            }
            Endpoint::Completions => {
                parts.input = at(self.prompt);
                parts.beside = at(self.suffix);
            }
            Endpoint::Responses
            | Endpoint::Compaction
            | Endpoint::InputTokens
            | Endpoint::Decisions => {
                parts.input = at(self.input);
                parts.format = at(self.text);
                parts.beside = at(self.instructions.or(self.questions));
                let stored = [self.previous_response_id, self.conversation, self.prompt];
                parts.elsewhere = stored.into_iter().any(is_given);
                let before = [self.previous_response_id, self.conversation];
                parts.history = before.into_iter().find_map(at);
            }
            Endpoint::Runs => {
                parts.input = at(self.additional_messages.or_else(|| self.messages_of_thread()));
                parts.beside = at(self.instructions);
                parts.more = at(self.additional_instructions);
                parts.elsewhere = true;
            }
            Endpoint::RunOutputs => {
                parts.input = at(self.tool_outputs);
                parts.elsewhere = true;
            }
            Endpoint::Embeddings | Endpoint::Moderations => parts.input = at(self.input),
            Endpoint::Speech => {
                parts.input = at(self.input);
                parts.beside = at(self.instructions);
            }
            Endpoint::ImageGenerations
            | Endpoint::ImageEdits
            | Endpoint::ImageVariations
            | Endpoint::Transcriptions
            | Endpoint::Translations
            | Endpoint::Videos => {
                parts.input = at(self.prompt);
                parts.beside = at(self.images);
            }
        }
        parts
    }
}

/// Returns a whole number, or `None` where it is absent, null or anything else.
fn number(raw: Option<&RawValue>) -> Option<u64> {
    let text = raw?.get();
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// Returns how many prompts there are: a string or an array of numbers is one.
fn prompts(raw: Option<&RawValue>) -> u64 {
    let Some(array) = raw.map(RawValue::get).filter(|text| text.starts_with('[')) else { return 1 };
    let mut prompts: u64 = 0;
    let walked = each(array.as_bytes(), |element| {
        prompts += u64::from(element.get().starts_with(['"', '[']));
        Ok(())
    });
    if walked.is_ok() { prompts.max(1) } else { 1 }
}

//! What a request asks for, read from its body.

use serde_json::Value;

use crate::catalog::{Catalog, Encoding, ModelFacts};
use crate::simulate::Language;
use crate::simulate::cache::Front;

use super::calls::Choice;
use super::endpoint::Endpoint;
use super::error::WireError;
use super::gauge::{Gauge, Measure, TextCounts, items};
use super::{anthropic, embeddings, measures};

/// What comes with a form beside its texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::simulate) struct Attached {
    /// Bytes of sound.
    pub sound: u64,
    /// How many images.
    pub images: u64,
    /// What the files have in them, as a number.
    pub digest: u64,
}

/// A request that was understood.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Ask {
    pub endpoint: Endpoint,
    pub model: String,
    pub stream: bool,
    /// Where a stream of chat or completions tells its usage.
    pub usage_at: UsageAt,
    /// The output bound of one generation, where stated.
    pub bound: Option<u64>,
    /// Answers shown.
    pub choices: u64,
    /// Answers generated: `best_of` may be more than `n`.
    pub generations: u64,
    /// The most that the model can write in one generation.
    pub model_max: u64,
    pub prompt: Measure,
    /// Where the prompt may be equal to another one up to.
    pub fronts: Vec<Front>,
    /// How many tokens of the prompt came from the cache.
    pub cached: u64,
    /// How many were put there, where that is told.
    pub cache_written: u64,
    pub shape: Shape,
    /// The body itself, for what answers repeat.
    pub body: Value,
    pub attached: Attached,
    /// What its answer is written in.
    pub language: Language,
    /// What its model counts with.
    pub encoding: Encoding,
    /// As what of a message a chat tells what is thought, where it does.
    pub thinks_as: Option<&'static str>,
}

/// Where a stream tells its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) enum UsageAt {
    /// Nowhere.
    Never,
    /// Behind the last piece, in a chunk of its own.
    Apart,
    /// With the last piece.
    Last,
    /// With every piece, as far as it has come.
    Each,
}

/// What the answer has to look like.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::simulate) enum Shape {
    /// Any text.
    Text,
    /// JSON that fits a schema.
    Json(Value),
    /// A call of a function, with arguments that fit a schema.
    Call { name: String, schema: Value, named: bool },
    /// Bytes of no picture in base64.
    Bytes,
    /// Bytes of no sound in base64.
    Sound,
}

/// What reading needs.
#[derive(Debug)]
pub(in crate::simulate) struct Reader {
    pub catalog: Catalog,
    pub counts: TextCounts,
    /// What answers are written in.
    pub language: Language,
}

impl Reader {
    /// Reads the body of a request for `endpoint`, and what comes with it.
    ///
    /// # Errors
    ///
    /// A 400 in OpenAI's shape.
    pub(in crate::simulate) fn understand(
        &self,
        endpoint: Endpoint,
        (body, attached): (Value, Attached),
    ) -> Result<Ask, WireError> {
        let named = text_of(&body, "model").filter(|name| !name.is_empty());
        let Some(model) = named.or(endpoint.usual_model()) else {
            let message = "you must provide a model parameter";
            return Err(WireError::bad_request(message, Some("model")));
        };
        let model = model.to_owned();
        let facts = self.catalog.facts(&model);
        let mut gauge = Gauge::new(&self.counts, facts.encoding);
        gauge.digest(model.as_bytes());
        let shape = match endpoint {
            Endpoint::Chat => measure_chat(&mut gauge, &body)?,
            Endpoint::Completions => measures::prompts(&mut gauge, &body)?,
            Endpoint::Responses | Endpoint::Compaction | Endpoint::InputTokens => {
                measure_response(&mut gauge, &body)?
            }
            Endpoint::Embeddings => measures::inputs(&mut gauge, &body)?,
            Endpoint::Moderations => measures::judged(&mut gauge, &body)?,
            _ if endpoint.is_anthropics() => anthropic::measure(&mut gauge, &body)?,
            _ => measures::media(&mut gauge, endpoint, (&body, &attached))?,
        };
        let bound = bound(endpoint, &body, &facts)?;
        let (choices, generations) = generations(endpoint, &body)?;
        gauge.digest(&bound.unwrap_or_default().to_le_bytes());
        gauge.digest(&choices.to_le_bytes());
        let flag = |object: &Value, key| object.get(key).and_then(Value::as_bool).unwrap_or(false);
        let options = body.get("stream_options").unwrap_or(&Value::Null);
        let ask = Ask {
            endpoint,
            stream: (flag(&body, "stream") && endpoint.streams())
                || (endpoint == Endpoint::Speech && text_of(&body, "stream_format") == Some("sse")),
            usage_at: if flag(options, "include_usage") { UsageAt::Apart } else { UsageAt::Never },
            bound,
            choices,
            generations,
            model_max: facts.max_output.map_or(USUAL_MAX_OUTPUT, |tokens| tokens.count()),
            prompt: gauge.measure(),
            fronts: gauge.fronts(),
            cached: 0,
            cache_written: 0,
            shape,
            model,
            body,
            attached,
            language: self.language,
            encoding: facts.encoding,
            thinks_as: None,
        };
        fits_window(&ask, &facts)?;
        if endpoint == Endpoint::Embeddings {
            embeddings::check(&ask)?;
        }
        Ok(ask)
    }
}

impl Ask {
    /// Tells whether the answer is an object that can be asked for later.
    pub(in crate::simulate) fn leaves_object(&self) -> bool {
        match self.endpoint {
            Endpoint::Responses => self.body.get("store") != Some(&Value::Bool(false)),
            Endpoint::Videos => true,
            _ => false,
        }
    }
}

/// What a model can write where nobody knows it.
const USUAL_MAX_OUTPUT: u64 = 16_384;

fn measure_chat(gauge: &mut Gauge<'_>, body: &Value) -> Result<Shape, WireError> {
    let messages = items(body.get("messages"));
    if messages.is_empty() {
        return Err(missing("messages"));
    }
    // What can be called is shown to the model first.
    for key in ["tools", "functions"] {
        if let Some(given) = body.get(key) {
            gauge.digest(given.to_string().as_bytes());
        }
    }
    gauge.messages(messages);
    let tools = items(body.get("tools")).iter().filter_map(|tool| tool.get("function"));
    // `functions` is what tools were called before 2023-11; SDKs still send it.
    let functions: Vec<&Value> = tools.chain(items(body.get("functions"))).collect();
    let system = messages.iter().any(|message| message.get("role") == Some(&"system".into()));
    let asked = body.get("tool_choice");
    gauge.functions(&functions, asked, system);
    let format = body.get("response_format").unwrap_or(&Value::Null);
    let schema = format.get("json_schema").and_then(|format| format.get("schema"));
    if let Some(schema) = schema {
        gauge.schema(schema);
    }
    let said = body.get("messages").unwrap_or(&Value::Null);
    Ok(Choice { functions: &functions, asked, said }.shape(format, schema))
}

fn measure_response(gauge: &mut Gauge<'_>, body: &Value) -> Result<Shape, WireError> {
    let Some(input) = body.get("input").filter(|input| input.is_string() || input.is_array())
    else {
        return Err(missing("input"));
    };
    let instructions = body.get("instructions").and_then(Value::as_str);
    gauge.input_items(input, instructions);
    let is_function = |tool: &&Value| tool.get("type").and_then(Value::as_str) == Some("function");
    let functions: Vec<&Value> = items(body.get("tools")).iter().filter(is_function).collect();
    let asked = body.get("tool_choice");
    gauge.functions(&functions, asked, instructions.is_some());
    let format = body.get("text").and_then(|text| text.get("format")).unwrap_or(&Value::Null);
    let schema = format.get("schema");
    if let Some(schema) = schema {
        gauge.schema(schema);
    }
    Ok(Choice { functions: &functions, asked, said: input }.shape(format, schema))
}

/// Returns a text of an object.
pub(in crate::simulate) fn text_of<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

pub(super) fn missing(param: &'static str) -> WireError {
    WireError::bad_request(format!("Missing required parameter: '{param}'."), Some(param))
}

fn bound(endpoint: Endpoint, body: &Value, facts: &ModelFacts) -> Result<Option<u64>, WireError> {
    let names: &[&'static str] = match endpoint {
        Endpoint::Chat => &["max_completion_tokens", "max_tokens"],
        Endpoint::Completions => &["max_tokens"],
        Endpoint::Responses => &["max_output_tokens"],
        Endpoint::Messages => return anthropic::bound(body).map(Some),
        _ => &[],
    };
    for name in names {
        match body.get(name) {
            None | Some(Value::Null) => {}
            Some(value) => {
                let least = if endpoint == Endpoint::Completions { 0 } else { 1 };
                let Some(bound) = value.as_u64().filter(|bound| *bound >= least) else {
                    let message = format!("Invalid '{name}': expected a positive integer.");
                    return Err(WireError::bad_request(message, Some(name)));
                };
                if let Some(most) = facts.max_output.map(|tokens| tokens.count())
                    && bound > most
                {
                    let message = format!(
                        "{name} is too large: {bound}. This model supports at most {most} \
                         completion tokens, whereas you provided {bound}."
                    );
                    return Err(WireError::bad_request(message, Some(name)));
                }
                return Ok(Some(bound));
            }
        }
    }
    // The default of the completions endpoint (OpenAI's specification v2.3.0).
    Ok((endpoint == Endpoint::Completions).then_some(16))
}

fn generations(endpoint: Endpoint, body: &Value) -> Result<(u64, u64), WireError> {
    let number = |name: &'static str| match body.get(name) {
        None | Some(Value::Null) => Ok(1),
        Some(value) => value.as_u64().filter(|n| (1..=MOST_CHOICES).contains(n)).ok_or_else(|| {
            let message = format!("Invalid '{name}': expected 1 to {MOST_CHOICES}.");
            WireError::bad_request(message, Some(name))
        }),
    };
    match endpoint {
        Endpoint::Chat => number("n").map(|n| (n, n)),
        Endpoint::Completions => {
            let prompts = measures::texts_in(body.get("prompt"));
            let n = number("n")?;
            let best_of = number("best_of")?.max(n);
            Ok((n.saturating_mul(prompts), best_of.saturating_mul(prompts)))
        }
        endpoint if endpoint.generates_nothing() => Ok((0, 0)),
        endpoint if endpoint.makes_images() => number("n").map(|n| (n, n)),
        _ => Ok((1, 1)),
    }
}

/// The most answers of one request (OpenAI's specification v2.3.0).
const MOST_CHOICES: u64 = 128;

fn fits_window(ask: &Ask, facts: &ModelFacts) -> Result<(), WireError> {
    let window = facts.context_window.filter(|_| !ask.endpoint.generates_nothing());
    let Some(window) = window.map(|tokens| tokens.count()) else {
        return Ok(());
    };
    let prompt = ask.prompt.tokens;
    let bound = ask.bound.filter(|_| ask.endpoint == Endpoint::Completions).unwrap_or(0);
    if prompt.saturating_add(bound) <= window {
        return Ok(());
    }
    if ask.endpoint == Endpoint::Messages {
        return Err(anthropic::too_long(prompt, window));
    }
    Err(WireError::too_long(format!(
        "This model's maximum context length is {window} tokens. However, your messages resulted \
         in {prompt} tokens. Please reduce the length of the messages."
    )))
}

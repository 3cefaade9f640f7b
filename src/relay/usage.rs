//! Reads what an answer reports that it used.
//!
//! # What this module owns
//!
//! The shapes of `usage`: chat and completions (`prompt_tokens`, `completion_tokens`), responses, images,
//! sound and realtime (`input_tokens`, `output_tokens`), Anthropic's messages (the same, without what the
//! cache gave or took), embeddings (`prompt_tokens` alone), and seconds of
//! sound; with their details. Source: OpenAI's OpenAPI specification 2.3.0,
//! <https://github.com/openai/openai-openapi>, read 2026-08-21; `input_token_details` (singular) is what
//! transcriptions and realtime say.
//!
//! # What this module does not do
//!
//! It never guesses: where nothing is reported it returns `None`.
//!
//! # Invariants
//!
//! 1. Whatever the bytes are, nothing panics and no depth of nesting overflows the stack.
//! 2. A part (cached, reasoning) is never larger than its whole.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::call::{Endpoint, Product};
use crate::relay::json::{is_empty_array, members, usage_member};
use crate::units::{Tokens, Usage};

/// Returns the usage that a whole JSON answer reports; `None` where it does not.
///
/// A number that is no whole number below 2^32 counts as not reported. Of a key that comes twice
/// the last counts. What stands before `usage` is not parsed, so that an answer with megabytes of
/// embeddings is read at the speed of its last hundred bytes.
pub fn usage_of_body(endpoint: Endpoint, body: &[u8]) -> Option<Usage> {
    let member = usage_member(body.trim_ascii())?;
    let usage = parse(body.trim_ascii().get(member.value)?)?;
    // What only looks at its input has no output, whatever a server may call one.
    Some(match endpoint.product() {
        Product::Figures => Usage { output: Tokens::ZERO, reasoning: Tokens::ZERO, ..usage },
        Product::Text | Product::Images | Product::Sound | Product::NoTokens => usage,
    })
}

/// What a response tells of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// What was used; `None` where it does not tell.
    pub usage: Option<Usage>,
    /// Its own id and that of its conversation.
    pub ids: Vec<Box<str>>,
}

/// Reads what the JSON of a response tells of itself.
pub fn answered(response: &[u8]) -> Answered {
    let mut answered = Answered::default();
    // What is no object tells nothing.
    let _read = members(response, |key, value| match key {
        "usage" => answered.usage = parse(value.get().as_bytes()),
        "id" => answered.ids.extend(text(value)),
        "conversation" => {
            let _read = members(value.get().as_bytes(), |key, value| {
                if key == "id" {
                    answered.ids.extend(text(value));
                }
            });
        }
        _ => {}
    });
    answered
}

fn text(json: &RawValue) -> Option<Box<str>> {
    serde_json::from_str(json.get()).ok()
}

/// What one event of a stream reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventUsage {
    /// What was used, as of this event.
    pub(super) usage: Usage,
    /// The ids of the answer that it ends.
    pub(super) ids: Vec<Box<str>>,
    /// What the event is for.
    pub(super) event: EventKind,
}

/// What an event that reports usage is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    /// It came for its usage alone: `choices` is empty.
    UsageOnly,
    /// It ends the answer.
    Terminal,
    /// More output may follow.
    Partial,
}

/// Returns the usage that one event of a stream reports; `None` where it does not.
pub(super) fn usage_of_event(json: &[u8]) -> Option<EventUsage> {
    let mut usage = None;
    let mut response = None;
    let mut message = None;
    let mut has_choices = false;
    let mut has_error = false;
    members(json, |key, value| match key {
        "usage" => usage = Some(value),
        "response" => response = Some(value),
        "message" => message = Some(value),
        "choices" => has_choices = !is_empty_array(value),
        "error" => has_error = value.get() != "null",
        _ => {}
    })?;
    if let Some(usage) = usage.and_then(|value| parse(value.get().as_bytes())) {
        let more = has_choices || has_error;
        let event = if more { EventKind::Partial } else { EventKind::UsageOnly };
        return Some(EventUsage { usage, ids: Vec::new(), event });
    }
    // Anthropic begins with what it has read.
    let event = if response.is_some() { EventKind::Terminal } else { EventKind::Partial };
    let Answered { usage, ids } = answered(response.or(message)?.get().as_bytes());
    let ids = if event == EventKind::Terminal { ids } else { Vec::new() };
    Some(EventUsage { usage: usage?, ids, event })
}

impl EventUsage {
    /// Adds what `earlier` told of the input, if this one tells nothing of it: Anthropic tells the one at the
    /// beginning and the output at the end.
    pub(super) fn after(self, earlier: Option<&Self>) -> Self {
        match earlier {
            Some(Self { usage, .. }) if self.usage.input == Tokens::ZERO => {
                let usage =
                    Usage { output: self.usage.output, reasoning: self.usage.reasoning, ..*usage };
                Self { usage, ..self }
            }
            _ => self,
        }
    }
}

/// Reads a `usage` object of whichever shape; `None` where it tells neither input nor output.
pub(super) fn parse(json: &[u8]) -> Option<Usage> {
    let mut input = None;
    let mut output = None;
    let mut of_input = Details::default();
    let mut of_output = Details::default();
    let mut heard = None;
    let mut is_inclusive = false;
    let (mut read, mut written) = (None, None);
    members(json, |key, value| match key {
        "prompt_tokens" | "input_tokens" => {
            is_inclusive |= key == "prompt_tokens";
            input = input.max(number(value));
        }
        "cache_read_input_tokens" => read = number(value),
        "cache_creation_input_tokens" => written = number(value),
        "completion_tokens" | "output_tokens" => output = output.max(number(value)),
        "prompt_tokens_details" | "input_tokens_details" | "input_token_details" => {
            of_input.read(value);
        }
        "completion_tokens_details" | "output_tokens_details" | "output_token_details" => {
            of_output.read(value);
        }
        // DeepSeek's name for it.
        "prompt_cache_hit_tokens" => of_input.cached = of_input.cached.max(number(value)),
        "seconds" => heard = seconds(value),
        _ => {}
    })?;
    if input.or(output).is_none() && heard.is_none() {
        return None;
    }
    let mut input = input.unwrap_or_default();
    if !is_inclusive && let Some(cached) = read.max(written).and(Some((read, written))) {
        // Anthropic tells beside its input what came from the cache, and what went there.
        (of_input.cached, of_input.cache_write) = cached;
        input += read.unwrap_or_default() + written.unwrap_or_default();
    }
    let output = output.unwrap_or_default();
    let part = |part: Option<Tokens>, whole: Tokens| part.unwrap_or_default().min(whole);
    Some(Usage {
        input,
        cached: part(of_input.cached, input),
        cache_write: part(of_input.cache_write, input),
        input_audio: part(of_input.audio, input),
        input_image: part(of_input.image, input),
        output,
        reasoning: part(of_output.reasoning, output),
        output_audio: part(of_output.audio, output),
        output_image: part(of_output.image, output),
        heard: heard.unwrap_or_default(),
    })
}

/// The parts of a number of tokens.
#[derive(Debug, Default)]
struct Details {
    cached: Option<Tokens>,
    cache_write: Option<Tokens>,
    reasoning: Option<Tokens>,
    audio: Option<Tokens>,
    image: Option<Tokens>,
}

impl Details {
    fn read(&mut self, details: &RawValue) {
        // Details that are null or no object tell nothing.
        let _read = members(details.get().as_bytes(), |key, value| {
            let part = match key {
                "cached_tokens" => &mut self.cached,
                "cache_write_tokens" => &mut self.cache_write,
                "reasoning_tokens" => &mut self.reasoning,
                "audio_tokens" => &mut self.audio,
                "image_tokens" => &mut self.image,
                _ => return,
            };
            *part = number(value).max(*part);
        });
    }
}

/// Reads a number of seconds, which may have a fraction.
fn seconds(json: &RawValue) -> Option<Duration> {
    Duration::try_from_secs_f64(json.get().parse().ok()?).ok()
}

/// Reads a number of tokens; `None` for what no answer can have used.
fn number(json: &RawValue) -> Option<Tokens> {
    /// More than any answer has: such a number would block a quota for ages.
    const INCREDIBLE: u64 = 1 << 32;
    let digits = json.get();
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    digits.parse().ok().filter(|count| *count < INCREDIBLE).map(Tokens::new)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{EventKind, usage_of_body, usage_of_event};
    use crate::call::Endpoint;
    use crate::units::{Tokens, Usage};

    fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> Usage {
        let [input, cached, output, reasoning] =
            [input, cached, output, reasoning].map(Tokens::new);
        Usage { input, cached, output, reasoning, ..Usage::default() }
    }

    #[test]
    fn reads_every_shape_of_usage() {
        struct Case {
            name: &'static str,
            usage: &'static str,
            read: Option<Usage>,
        }
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            Case { name: "chat", usage: r#"{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":5,"accepted_prediction_tokens":0}}"#, read: Some(usage(9, 4, 12, 5)) },
            Case { name: "responses", usage: r#"{"input_tokens":36,"input_tokens_details":{"cached_tokens":1},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":123}"#, read: Some(usage(36, 1, 87, 2)) },
            Case { name: "embeddings",      usage: r#"{"prompt_tokens":8,"total_tokens":8}"#,                 read: Some(usage(8, 0, 0, 0)) },
            Case { name: "another's cache", usage: r#"{"prompt_tokens":8,"prompt_cache_hit_tokens":6}"#,      read: Some(usage(8, 6, 0, 0)) },
            Case { name: "both spellings",  usage: r#"{"prompt_tokens":8,"input_tokens":0,"completion_tokens":2,"output_tokens":0}"#, read: Some(usage(8, 0, 2, 0)) },
            Case { name: "a key twice",     usage: r#"{"prompt_tokens":8,"x":1,"x":2,"completion_tokens":2}"#, read: Some(usage(8, 0, 2, 0)) },
            Case { name: "floats",          usage: r#"{"prompt_tokens":8.0,"completion_tokens":2.5}"#,        read: Some(usage(8, 0, 0, 0)) },
            Case { name: "huge",            usage: r#"{"prompt_tokens":8,"completion_tokens":99999999999999999999999}"#, read: Some(usage(8, 0, 0, 0)) },
            Case { name: "negative",        usage: r#"{"prompt_tokens":-8,"completion_tokens":2}"#,           read: Some(usage(0, 0, 2, 0)) },
            Case { name: "part above whole", usage: r#"{"prompt_tokens":8,"prompt_tokens_details":{"cached_tokens":9}}"#, read: Some(usage(8, 8, 0, 0)) },
            Case { name: "null details",    usage: r#"{"prompt_tokens":8,"prompt_tokens_details":null}"#,     read: Some(usage(8, 0, 0, 0)) },
            Case { name: "null",            usage: "null",                                                    read: None },
            Case { name: "empty",           usage: "{}",                                                      read: None },
            Case { name: "of another kind", usage: r#"{"type":"bytes","bytes":3}"#,                           read: None },
            Case { name: "seconds",         usage: r#"{"type":"duration","seconds":3.5}"#,                    read: Some(Usage { heard: Duration::from_millis(3_500), ..Usage::default() }) },
            Case { name: "sound",           usage: r#"{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":4,"audio_tokens":10},"output_tokens":5,"total_tokens":19}"#, read: Some(Usage { input_audio: Tokens::new(10), ..usage(14, 0, 5, 0) }) },
            Case { name: "images",          usage: r#"{"input_tokens":50,"output_tokens":272,"total_tokens":322,"input_tokens_details":{"text_tokens":10,"image_tokens":40},"output_tokens_details":{"image_tokens":272,"text_tokens":0}}"#, read: Some(Usage { input_image: Tokens::new(40), output_image: Tokens::new(272), ..usage(50, 0, 272, 0) }) },
            Case { name: "written to cache", usage: r#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":7},"output_tokens":1}"#, read: Some(Usage { cache_write: Tokens::new(7), ..usage(9, 2, 1, 0) }) },
            Case { name: "realtime",        usage: r#"{"total_tokens":30,"input_tokens":20,"output_tokens":10,"input_token_details":{"text_tokens":5,"audio_tokens":15,"cached_tokens":6,"cached_tokens_details":{"audio_tokens":1}},"output_token_details":{"text_tokens":2,"audio_tokens":8}}"#, read: Some(Usage { input_audio: Tokens::new(15), output_audio: Tokens::new(8), ..usage(20, 6, 10, 0) }) },
            Case { name: "texts",           usage: r#"{"prompt_tokens":"8"}"#,                                read: None },
        ];
        for case in cases {
            let body = format!(" {{\"id\":\"x\",\"usage\":{},\"tail\":[1]}}\n", case.usage);
            let read = usage_of_body(Endpoint::ChatCompletions, body.as_bytes());
            assert_eq!(read, case.read, "{}", case.name);
        }
    }

    #[test]
    fn a_text_that_speaks_of_usage_is_not_usage() {
        let body = br#"{"choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":1}}"}}]}"#;
        assert_eq!(usage_of_body(Endpoint::ChatCompletions, body), None);
    }

    #[test]
    fn tells_what_an_event_is_for() {
        struct Case {
            json: &'static str,
            event: Option<EventKind>,
        }
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            Case { json: r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,                 event: Some(EventKind::UsageOnly) },
            Case { json: r#"{"usage":{"prompt_tokens":1}}"#,                              event: Some(EventKind::UsageOnly) },
            Case { json: r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#,     event: Some(EventKind::Partial) },
            Case { json: r#"{"error":{"message":"x"},"usage":{"prompt_tokens":1}}"#,      event: Some(EventKind::Partial) },
            Case { json: r#"{"choices":[{"usage":{"prompt_tokens":1}}],"usage":null}"#,   event: None },
            Case { json: r#"{"type":"response.completed","response":{"usage":{"input_tokens":1}}}"#, event: Some(EventKind::Terminal) },
            Case { json: r#"{"type":"response.created","response":{"usage":null}}"#,      event: None },
            Case { json: r#"{"type":"x","item":{"usage":{"input_tokens":1}}}"#,           event: None },
            Case { json: r#"[{"usage":{"input_tokens":1}}]"#,                             event: None },
        ];
        for case in cases {
            let event = usage_of_event(case.json.as_bytes()).map(|found| found.event);
            assert_eq!(event, case.event, "{}", case.json);
        }
    }
}

//! Remembers what a stream has said, to count it if its usage never comes.
//!
//! # What this module owns
//!
//! [`Heard`]: the raw bytes of a stream so far, and the texts taken out of them when they become
//! too many. Remembering costs one copy; parsing is left for the stream that needs it.
//!
//! # What this module does not do
//!
//! It sees nothing of what a provider hides: reasoning that is not sent is not counted, so that a
//! stream which was cut is counted at its visible output.
//!
//! # Invariants
//!
//! 1. It holds at most [`RAW_LIMIT`] + [`TEXT_LIMIT`] bytes and the length of one piece.

use std::collections::BTreeMap;

use serde_json::Value;

use super::sound::Sound;
use super::usage::goes_on_as;
use crate::catalog::Encoding;
use crate::count::Counter;
use crate::units::{Served, Tokens};

/// How many raw bytes are held before the texts are taken out of them.
const RAW_LIMIT: usize = 1 << 20;

/// How many bytes of text are held before they are only estimated.
const TEXT_LIMIT: usize = 1 << 20;

/// What a stream has said so far.
#[derive(Debug, Default)]
pub struct Heard {
    raw: Vec<u8>,
    texts: Texts,
}

impl Heard {
    /// Takes the next piece of the stream, as it came.
    pub(super) fn hear(&mut self, piece: &[u8]) {
        if self.raw.len() + piece.len() > RAW_LIMIT {
            self.compact();
        }
        self.raw.extend_from_slice(piece);
    }

    /// Takes the next event of a stream that is not made of lines.
    pub fn hear_event(&mut self, json: &[u8]) {
        self.hear(b"data:");
        self.hear(json);
        self.hear(b"\n");
    }

    /// Tells whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.texts.is_empty()
    }

    /// Returns the run that was told of last, if more is to come of it. Takes as long as reading all that was heard.
    pub(super) fn unfinished_run(&mut self) -> Option<&str> {
        let raw = std::mem::take(&mut self.raw);
        self.texts.read_events(&raw);
        self.texts.run.as_ref().filter(|run| run.goes_on).map(|run| &*run.id)
    }

    /// Counts all output that was heard; returns it with what was told of how it was served. May take as long as a
    /// megabyte of text takes to count: not fit for an async thread.
    pub fn count(mut self, counter: &Counter, encoding: Encoding) -> (Tokens, Served) {
        self.texts.read_events(&self.raw);
        (self.texts.count(counter, encoding), self.texts.served)
    }

    /// Takes the texts out of the events that are complete.
    fn compact(&mut self) {
        // Where no line ends within the limit there is nothing that could be read.
        let complete =
            memchr::memrchr2(b'\n', b'\r', &self.raw).map_or(self.raw.len(), |at| at + 1);
        self.texts.read_events(self.raw.get(..complete).unwrap_or_default());
        self.raw.drain(..complete);
    }
}

/// Counts the output in a whole answer that does not report its usage: JSON, or a plain text.
pub(super) fn count_body(body: &[u8], counter: &Counter, encoding: Encoding) -> Tokens {
    let mut texts = Texts::default();
    match serde_json::from_slice(body) {
        Ok(answer) => texts.read(&answer),
        Err(_) => texts.add_text(Channel::ONLY, &String::from_utf8_lossy(body)),
    }
    texts.count(counter, encoding)
}

/// The texts of an answer, each channel on its own: pieces of two choices make no common tokens.
#[derive(Debug, Default)]
struct Texts {
    channels: BTreeMap<Channel, String>,
    sound: Sound,
    held: usize,
    estimated: u64,
    served: Served,
    /// The run that was told of last, and whether more is to come of it.
    run: Option<Run>,
}

/// A run that was told of.
#[derive(Debug)]
struct Run {
    id: Box<str>,
    goes_on: bool,
}

/// One text of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Channel {
    /// The choice, or the output item.
    item: u64,
    /// The tool call, or the part of the item.
    part: u64,
    kind: Kind,
}

impl Channel {
    /// The one text of an answer that has no others.
    const ONLY: Self = Self { item: 0, part: 0, kind: Kind::Content };
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Content,
    Refusal,
    Reasoning,
    Name,
    Arguments,
}

impl Texts {
    fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.estimated == 0 && self.sound.is_empty()
    }

    fn count(&self, counter: &Counter, encoding: Encoding) -> Tokens {
        let texts = self.channels.values();
        let counted: Tokens = texts.map(|text| counter.count_text(text, encoding)).sum();
        counted + Tokens::new(self.estimated) + self.sound.tokens()
    }

    fn read_events(&mut self, raw: &[u8]) {
        for line in raw.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let Some(json) = line.strip_prefix(b"data:") else { continue };
            if let Ok(event) = serde_json::from_slice(json) {
                self.read(&event);
            }
        }
    }

    /// Reads an answer, or an event of one, of any endpoint.
    fn read(&mut self, answer: &Value) {
        self.note_served(answer);
        if let Some(Value::String(object)) = answer.get("object")
            && let Some(kind) = object.strip_prefix("thread.")
        {
            return self.read_thread(kind, answer);
        }
        for choice in elements(answer, "choices") {
            self.read_choice(choice);
        }
        for (item, output) in elements(answer, "output").enumerate() {
            self.read_item(index(item), output);
        }
        for (item, block) in elements(answer, "content").enumerate() {
            self.read_block(index(item), block);
        }
        self.read_delta(answer);
        // What was heard in a sound.
        if answer.get("type").is_none() {
            self.add(Channel::ONLY, answer.get("text"));
        }
    }

    /// Notes what an event tells of how the answer is served; of responses and messages within.
    fn note_served(&mut self, event: &Value) {
        for event in
            [Some(event), event.get("response"), event.get("message")].into_iter().flatten()
        {
            let told = |name| event.get(name).and_then(Value::as_str);
            self.served.note("model", told("model"));
            self.served.note("service_tier", told("service_tier"));
        }
    }

    /// Reads a choice of chat or completions, whole or a delta.
    fn read_choice(&mut self, choice: &Value) {
        let item = number(choice, "index");
        let channel = |kind| Channel { item, part: 0, kind };
        self.add(channel(Kind::Content), choice.get("text"));
        let Some(said) = choice.get("delta").or_else(|| choice.get("message")) else { return };
        self.add(channel(Kind::Content), said.get("content"));
        self.add(channel(Kind::Refusal), said.get("refusal"));
        let reasoning = said.get("reasoning_content").or_else(|| said.get("reasoning"));
        self.add(channel(Kind::Reasoning), reasoning);
        if let Some(audio) = said.get("audio") {
            self.hear(audio.get("data"));
            self.add(channel(Kind::Content), audio.get("transcript"));
        }
        self.read_function(item, 0, said.get("function_call"));
        for (position, call) in elements(said, "tool_calls").enumerate() {
            let part = call.get("index").and_then(Value::as_u64).unwrap_or(index(position));
            self.read_function(item, part + 1, call.get("function"));
            self.read_function(item, part + 1, call.get("custom"));
        }
    }

    fn read_function(&mut self, item: u64, part: u64, function: Option<&Value>) {
        let Some(function) = function else { return };
        self.add(Channel { item, part, kind: Kind::Name }, function.get("name"));
        let arguments = function.get("arguments").or_else(|| function.get("input"));
        self.add(Channel { item, part, kind: Kind::Arguments }, arguments);
    }

    /// Reads an output item of a whole answer of responses.
    fn read_item(&mut self, item: u64, output: &Value) {
        self.read_function(item, 0, Some(output));
        for (part, content) in elements(output, "content").enumerate() {
            let channel = |kind| Channel { item, part: index(part), kind };
            self.add(channel(Kind::Content), content.get("text"));
            self.add(channel(Kind::Refusal), content.get("refusal"));
        }
        for (part, summary) in elements(output, "summary").enumerate() {
            let channel = Channel { item, part: index(part), kind: Kind::Reasoning };
            self.add(channel, summary.get("text"));
        }
    }

    /// Reads a block of Anthropic's messages, whole or a delta.
    fn read_block(&mut self, item: u64, block: &Value) {
        let channel = |kind| Channel { item, part: 0, kind };
        self.add(channel(Kind::Content), block.get("text"));
        self.add(channel(Kind::Reasoning), block.get("thinking"));
        self.add(channel(Kind::Name), block.get("name"));
        self.add(channel(Kind::Arguments), block.get("partial_json"));
        // It is a text only in pieces.
        if let Some(input) =
            block.get("input").filter(|input| input.as_object().is_some_and(|it| !it.is_empty()))
        {
            self.add_text(channel(Kind::Arguments), &input.to_string());
        }
    }

    /// Reads a delta event of responses, realtime, speech or transcriptions.
    fn read_delta(&mut self, event: &Value) {
        let Some(kind) = event.get("type").and_then(Value::as_str) else { return };
        if let Some(block) = match kind {
            "content_block_start" => event.get("content_block"),
            "content_block_delta" => event.get("delta"),
            _ => None,
        } {
            return self.read_block(number(event, "index"), block);
        }
        if kind == "transcript.text.delta" {
            return self.add(Channel::ONLY, event.get("delta"));
        }
        if kind == "speech.audio.delta" {
            return self.hear(event.get("audio"));
        }
        let Some(of) = kind.strip_prefix("response.").and_then(|kind| kind.strip_suffix(".delta"))
        else {
            return;
        };
        let kind = match of {
            "audio" | "output_audio" => return self.hear(event.get("delta")),
            "refusal" => Kind::Refusal,
            _ if of.starts_with("reasoning") => Kind::Reasoning,
            "output_text" => Kind::Content,
            _ => Kind::Arguments,
        };
        let part = ["content_index", "summary_index"].map(|name| number(event, name));
        let item = number(event, "output_index");
        self.add(Channel { item, part: part.into_iter().sum(), kind }, event.get("delta"));
    }

    /// Reads an event of a run.
    fn read_thread(&mut self, kind: &str, event: &Value) {
        let delta = event.get("delta").unwrap_or(&Value::Null);
        match kind {
            "run" => {
                let told = |name| event.get(name).and_then(Value::as_str);
                let goes_on = told("status").is_some_and(goes_on_as);
                self.run = told("id").map(|id| Run { id: id.into(), goes_on });
            }
            "message.delta" => {
                for content in elements(delta, "content") {
                    let part = number(content, "index");
                    let channel = Channel { item: 0, part, kind: Kind::Content };
                    self.add(channel, content.get("text").and_then(|text| text.get("value")));
                }
            }
            "run.step.delta" => {
                let details = delta.get("step_details").unwrap_or(&Value::Null);
                for call in elements(details, "tool_calls") {
                    let part = number(call, "index") + 1;
                    self.read_function(0, part, call.get("function"));
                    self.read_function(0, part, call.get("code_interpreter"));
                }
            }
            // What is told in pieces is told once more at its end.
            _ => {}
        }
    }

    fn hear(&mut self, sound: Option<&Value>) {
        if let Some(sound) = sound.and_then(Value::as_str) {
            self.sound.hear(sound);
        }
    }

    fn add(&mut self, channel: Channel, text: Option<&Value>) {
        match text {
            Some(Value::String(text)) => self.add_text(channel, text),
            Some(Value::Array(parts)) => {
                for part in parts {
                    self.add(channel, part.get("text"));
                }
            }
            _ => {}
        }
    }

    fn add_text(&mut self, channel: Channel, text: &str) {
        /// What a channel costs beside its text.
        const CHANNEL: usize = 64;
        /// How many bytes of text make a token, roughly.
        const BYTES_PER_TOKEN: u64 = 4;
        if text.is_empty() {
            return;
        }
        if self.held + text.len() > TEXT_LIMIT {
            self.estimated += index(text.len()).div_ceil(BYTES_PER_TOKEN);
            return;
        }
        let channel = self.channels.entry(channel).or_default();
        self.held += text.len() + if channel.is_empty() { CHANNEL } else { 0 };
        channel.push_str(text);
    }
}

fn elements<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn index(position: usize) -> u64 {
    u64::try_from(position).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

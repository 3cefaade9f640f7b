//! Reads a `usage` object, of whichever shape.

use std::time::Duration;

use serde_json::value::RawValue;

use super::note_served;
use crate::relay::json::members;
use crate::units::{Receipt, Served, Tokens, Usage};

/// Reads a `usage` object of whichever shape; `None` where it tells neither input nor output.
///
/// Anthropic's tells the service tier, too.
pub(super) fn parse(json: &[u8]) -> Option<Receipt> {
    let mut figures = Figures::default();
    members(json, |key, value| figures.note(key, value))?;
    figures.receipt()
}

/// What a `usage` object says, in whichever words.
#[derive(Debug, Default)]
struct Figures {
    input: Option<Tokens>,
    /// Whether `input` has in it what came from the cache and what went there.
    is_inclusive: bool,
    /// What came from the cache and what went there, where that is told beside the input.
    read: Option<Tokens>,
    written: Option<Tokens>,
    written_long: Option<Tokens>,
    output: Option<Tokens>,
    of_input: Details,
    of_output: Details,
    heard: Option<Duration>,
    searches: u64,
    served: Served,
}

impl Figures {
    fn note(&mut self, key: &str, value: &RawValue) {
        match key {
            "prompt_tokens" | "input_tokens" => {
                self.is_inclusive |= key == "prompt_tokens";
                self.input = self.input.max(number(value));
            }
            "completion_tokens" | "output_tokens" => self.output = self.output.max(number(value)),
            "cache_read_input_tokens" => self.read = number(value),
            "cache_creation_input_tokens" => self.written = number(value),
            "cache_creation" => self.written_long = member(value, "ephemeral_1h_input_tokens"),
            "prompt_tokens_details" | "input_tokens_details" | "input_token_details" => {
                self.of_input.read(value);
            }
            "completion_tokens_details" | "output_tokens_details" | "output_token_details" => {
                self.of_output.read(value);
            }
            // DeepSeek's name for it.
            "prompt_cache_hit_tokens" => {
                self.of_input.cached = self.of_input.cached.max(number(value));
            }
            "seconds" => self.heard = seconds(value),
            "server_tool_use" => {
                let searches = member(value, "web_search_requests");
                self.searches = searches.unwrap_or_default().count();
            }
            "service_tier" | "inference_geo" | "speed" => note_served(&mut self.served, key, value),
            _ => {}
        }
    }

    fn receipt(self) -> Option<Receipt> {
        if self.input.or(self.output).is_none() && self.heard.is_none() {
            return None;
        }
        let Self { of_input, of_output, read, written, .. } = &self;
        let (mut cached, mut cache_write) = (of_input.cached, of_input.cache_write);
        let mut input = self.input.unwrap_or_default();
        if !self.is_inclusive && read.or(*written).is_some() {
            // Anthropic tells beside its input what came from the cache, and what went there.
            (cached, cache_write) = (*read, *written);
            input += read.unwrap_or_default() + written.unwrap_or_default();
        }
        let output = self.output.unwrap_or_default();
        let part = |part: Option<Tokens>, whole: Tokens| part.unwrap_or_default().min(whole);
        let (cached, input_audio) = (part(cached, input), part(of_input.audio, input));
        let (cache_write, input_image) = (part(cache_write, input), part(of_input.image, input));
        let usage = Usage {
            input,
            cached,
            cached_audio: part(of_input.cached_audio, cached.min(input_audio)),
            cached_image: part(of_input.cached_image, cached.min(input_image)),
            cache_write,
            cache_write_long: part(self.written_long.or(of_input.cache_write_long), cache_write),
            input_audio,
            input_image,
            output,
            reasoning: part(of_output.reasoning, output),
            output_audio: part(of_output.audio, output),
            output_image: part(of_output.image, output),
            heard: self.heard.unwrap_or_default(),
            searches: self.searches,
            ..Usage::NONE
        };
        Some(Receipt { usage, served: self.served })
    }
}

/// The parts of a number of tokens.
#[derive(Debug, Default)]
struct Details {
    cached: Option<Tokens>,
    cached_audio: Option<Tokens>,
    cached_image: Option<Tokens>,
    cache_write: Option<Tokens>,
    cache_write_long: Option<Tokens>,
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
                "cache_write_tokens_details" => {
                    self.cache_write_long = member(value, "ttl_12h_tokens");
                    return;
                }
                "cached_tokens_details" => {
                    self.cached_audio = member(value, "audio_tokens");
                    self.cached_image = member(value, "image_tokens");
                    return;
                }
                _ => return,
            };
            *part = number(value).max(*part);
        });
    }
}

/// Reads the number `name` of an object; `None` where it is not there.
fn member(object: &RawValue, name: &str) -> Option<Tokens> {
    let mut found = None;
    // What is null or no object tells nothing.
    let _read = members(object.get().as_bytes(), |key, value| {
        if key == name {
            found = number(value);
        }
    });
    found
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

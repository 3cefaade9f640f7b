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

mod figures;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::figures::parse;
use crate::call::{Endpoint, Product};
use crate::relay::json::{MODEL_KEY, TIER_KEY, is_empty_array, last_member, members, usage_member};
use crate::units::{Receipt, Served, Tokens, Usage};

/// What an answer tells of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// What was used; `None` where it does not tell.
    pub usage: Option<Usage>,
    /// As what it was served, as far as it tells.
    pub served: Served,
    /// Its own id and that of its conversation, where others may go on with it.
    pub ids: Vec<Box<str>>,
}

/// Reads what a whole JSON answer of `endpoint` tells of itself.
///
/// A number that is no whole number below 2^32 counts as not reported. Of a key that comes twice
/// the last counts. Unless others may go on with the answer only its ends are parsed, so that one
/// with megabytes of embeddings is read at the speed of its last hundred bytes.
pub fn answered_body(endpoint: Endpoint, body: &[u8]) -> Answered {
    let body = body.trim_ascii();
    if endpoint.is_gone_on_with() {
        return answered(body);
    }
    let member = usage_member(body);
    let at_usage = member.as_ref().map_or(body.len(), |member| member.key);
    let told = member.and_then(|member| parse(body.get(member.value)?));
    let mut answered = Answered { served: served_of_ends(body, at_usage), ..Answered::default() };
    if let Some(Receipt { usage, served }) = told {
        // What only looks at its input has no output, whatever a server may call one.
        answered.usage = Some(match endpoint.product() {
            Product::Figures => Usage { output: Tokens::ZERO, reasoning: Tokens::ZERO, ..usage },
            Product::Text | Product::Images | Product::Sound | Product::NoTokens => usage,
        });
        answered.served = answered.served.or(served);
    }
    answered
}

/// Returns as what an answer was served, which it tells in its first members or around its usage.
fn served_of_ends(body: &[u8], at_usage: usize) -> Served {
    /// Before its usage an answer may tell its model, but no embedding.
    const BEFORE_USAGE: usize = 256;
    /// Behind it come a few words; some servers have it before all else.
    const TAIL: usize = 4096;
    /// In front come id, kind, time and model.
    const FRONT: usize = 512;
    let from = at_usage.saturating_sub(BEFORE_USAGE).max(body.len().saturating_sub(TAIL));
    let mut served = Served::default();
    for (key, name) in [(&*MODEL_KEY, "model"), (&*TIER_KEY, "service_tier")] {
        let value = last_member(body, key, from).and_then(|member| body.get(member.value));
        let text = value.and_then(|value| serde_json::from_slice::<Cow<'_, str>>(value).ok());
        served.note(name, text.as_deref());
    }
    if served.model.is_none() {
        // What is cut off there ends the reading, after the members before it.
        let _read = members(body.get(..FRONT).unwrap_or(body), |key, value| {
            note_served(&mut served, key, value);
        });
    }
    served
}

/// Notes as what an answer was served, if `key` tells that.
fn note_served(served: &mut Served, key: &str, value: &RawValue) {
    if matches!(key, "model" | "service_tier" | "inference_geo" | "speed") {
        served.note(key, text(value).as_deref());
    }
}

/// Reads what the JSON of a response tells of itself.
pub fn answered(response: &[u8]) -> Answered {
    let mut answered = Answered::default();
    let mut told = None;
    let mut searches = 0;
    // What is no object tells nothing.
    let _read = members(response, |key, value| match key {
        "usage" => told = parse(value.get().as_bytes()),
        // A run goes on in its thread, and is as its assistant is.
        "id" | "thread_id" | "assistant_id" => answered.ids.extend(id(value)),
        "conversation" => {
            let _read = members(value.get().as_bytes(), |key, value| {
                if key == "id" {
                    answered.ids.extend(id(value));
                }
            });
        }
        "output" => searches = searches_of(value),
        _ => note_served(&mut answered.served, key, value),
    });
    if let Some(Receipt { usage, served }) = told {
        let searches = searches.max(usage.searches);
        answered.usage = Some(Usage { searches, ..usage });
        answered.served = answered.served.or(served);
    }
    answered
}

/// Tells whether more is to come of a response or run of this status, quotes included.
pub(super) fn goes_on_as(status: &str) -> bool {
    let status = status.trim_matches('"');
    matches!(status, "queued" | "in_progress" | "requires_action" | "cancelling")
}

/// Returns the id of a response that is still being made when its request is answered (`background`), or of a
/// run; `None` where that is all.
pub(super) fn unfinished(endpoint: Endpoint, body: &[u8]) -> Option<Box<str>> {
    let (mut name, mut goes_on) = (None, false);
    if endpoint.is_gone_on_with() {
        // What is no object tells nothing.
        let _read = members(body, |key, value| match key {
            "id" => name = id(value),
            "status" => goes_on = goes_on_as(value.get()),
            _ => {}
        });
    }
    name.filter(|_| goes_on)
}

/// Counts the searches of the web among the items of a response. What else is done there, opening a page
/// and looking for words in it, is not paid by the call
/// (<https://developers.openai.com/api/docs/guides/tools-web-search>, read 2026-11-22).
fn searches_of(output: &RawValue) -> u64 {
    const SEARCH: &str = "web_search_call";
    /// An item of a response.
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(rename = "type", borrow)]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow)]
        action: Option<Action<'a>>,
    }
    /// What is done on the web.
    #[derive(Deserialize)]
    struct Action<'a> {
        #[serde(rename = "type", borrow)]
        kind: Option<Cow<'a, str>>,
    }
    if !output.get().contains(SEARCH) {
        return 0;
    }
    let items: Vec<&RawValue> = serde_json::from_str(output.get()).unwrap_or_default();
    let is_search = |item: &&&RawValue| {
        serde_json::from_str::<Item<'_>>(item.get()).is_ok_and(|item| {
            let action = item.action.and_then(|action| action.kind);
            item.kind.as_deref() == Some(SEARCH) && action.is_none_or(|kind| kind == "search")
        })
    };
    u64::try_from(items.iter().filter(is_search).count()).unwrap_or(u64::MAX)
}

fn text(json: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str(json.get()).ok()
}

fn id(json: &RawValue) -> Option<Box<str>> {
    text(json).map(|id| id.into_owned().into_boxed_str())
}

/// What one event of a stream reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventUsage {
    /// What was used, as of this event.
    pub(super) usage: Usage,
    /// As what it was served, as far as it was told.
    pub(super) served: Served,
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
    /// It begins the answer, and tells of what that was made of.
    Opening,
}

/// Returns the usage that one event of a stream reports; `None` where it does not.
pub(super) fn usage_of_event(json: &[u8]) -> Option<EventUsage> {
    let mut usage = None;
    let mut response = None;
    let mut message = None;
    let mut has_choices = false;
    let mut has_error = false;
    let mut served = Served::default();
    let (mut is_done, mut is_step) = (false, false);
    let mut ids = Vec::new();
    members(json, |key, value| match key {
        // What each of its steps used is told again of the whole run.
        "object" => is_step = value.get() == "\"thread.run.step\"",
        "thread_id" | "assistant_id" => ids.extend(id(value)),
        "usage" => usage = Some(value),
        "type" => is_done = ends(value.get()),
        "response" => response = Some(value),
        "message" => message = Some(value),
        "choices" => has_choices = !is_empty_array(value),
        "error" => has_error = value.get() != "null",
        _ => note_served(&mut served, key, value),
    })?;
    if is_step {
        return None;
    }
    if let Some(told) = usage.and_then(|value| parse(value.get().as_bytes())) {
        let more = has_choices || has_error;
        let event = match (more, is_done) {
            (true, _) => EventKind::Partial,
            (false, true) => EventKind::Terminal,
            (false, false) => EventKind::UsageOnly,
        };
        let served = served.or(told.served);
        return Some(EventUsage { usage: told.usage, served, ids, event });
    }
    // Anthropic begins with what it has read.
    let event = if response.is_some() { EventKind::Terminal } else { EventKind::Opening };
    let Answered { usage, served, ids } = answered(response.or(message)?.get().as_bytes());
    let ids: Vec<_> = if event == EventKind::Terminal { ids } else { Vec::new() };
    Some(EventUsage { usage: usage?, served, ids, event })
}

/// Tells whether a `type` is that of an event which ends an answer, such as `transcript.text.done` and
/// `image_generation.completed` (OpenAI's OpenAPI specification 2.3.0).
fn ends(kind: &str) -> bool {
    kind.ends_with(".done\"") || kind.ends_with(".completed\"")
}

impl EventUsage {
    /// Adds what `earlier` told and this one does not: Anthropic tells of the input at the beginning, most of
    /// it only there, and of the output at the end.
    pub(super) fn after(self, earlier: Option<&Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        let (mut usage, before) = (self.usage, &earlier.usage);
        if usage.input == Tokens::ZERO {
            let Usage { output, reasoning, output_audio, output_image, .. } = usage;
            let searches = usage.searches.max(before.searches);
            usage = Usage { output, reasoning, output_audio, output_image, searches, ..*before };
        }
        usage.cache_write_long =
            usage.cache_write_long.max(before.cache_write_long).min(usage.cache_write);
        Self { usage, served: self.served.or(earlier.served.clone()), ..self }
    }
}

#[cfg(test)]
mod tests;

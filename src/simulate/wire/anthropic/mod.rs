//! Anthropic's messages, as one object and as named events.
//!
//! Shapes: <https://docs.claude.com/en/api/messages>, <https://docs.claude.com/en/docs/build-with-claude/streaming>;
//! read 2026-11-21.

mod ask;
mod told;

use serde_json::{Value, json};

pub(super) use self::ask::{bound, measure, too_long};
pub(super) use self::told::told;

use super::ask::{Ask, Shape};
use super::chat::PLACE;
use super::draft::{Draft, Ending};
use super::script::{Frame, Script, Thinking, event};

/// Returns the answer as one object.
pub(in crate::simulate) fn object(ask: &Ask, draft: &Draft) -> Value {
    let mut content = Vec::new();
    if let Some(thought) = &draft.thought {
        content.push(json!({
            "type": "thinking",
            "thinking": thought.whole(),
            "signature": signature(draft),
        }));
    }
    for choice in &draft.choices {
        let text = choice.text.whole();
        content.push(match &ask.shape {
            Shape::Call { name, .. } => {
                // What the bound has cut is no JSON.
                let input = serde_json::from_str(&text).unwrap_or_else(|_| json!({}));
                json!({"type": "tool_use", "id": tool_id(draft), "name": name, "input": input})
            }
            _ => json!({"type": "text", "text": text}),
        });
    }
    let mut message = message(ask, draft, draft.tokens());
    super::put(&mut message, "content", content);
    super::put(&mut message, "stop_reason", stop_reason(ask, draft));
    message
}

/// Returns how many tokens a prompt has.
pub(in crate::simulate) fn counted(ask: &Ask) -> Value {
    json!({"input_tokens": ask.prompt.tokens})
}

/// Returns the answer as a stream of events.
pub(in crate::simulate) fn script(ask: &Ask, draft: Draft) -> Script {
    let mut preface = Vec::new();
    let begun = message(ask, &draft, 1);
    event(&mut preface, "message_start", json!({"message": begun}));
    let mut opening = Vec::new();
    let block = u64::from(draft.thought.is_some());
    let mut thinking = draft.thought.is_some().then(|| think(&mut opening, &draft));
    let (first, delta) = match &ask.shape {
        Shape::Call { name, .. } => (
            json!({"type": "tool_use", "id": tool_id(&draft), "name": name, "input": {}}),
            json!({"type": "input_json_delta", "partial_json": PLACE}),
        ),
        _ => (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": PLACE})),
    };
    let out = thinking.as_mut().map_or(&mut opening, |thinking| &mut thinking.after);
    event(out, "content_block_start", json!({"index": block, "content_block": first}));
    event(out, "ping", json!({}));
    let tracks = vec![frame(block, &delta)];
    let mut closing = Vec::new();
    event(&mut closing, "content_block_stop", json!({"index": block}));
    let end = json!({
        "delta": {"stop_reason": stop_reason(ask, &draft), "stop_sequence": null},
        "usage": {"output_tokens": draft.tokens()},
    });
    event(&mut closing, "message_delta", end);
    event(&mut closing, "message_stop", json!({}));
    Script { preface, opening, thinking, tracks, closing, draft }
}

/// Begins the block of what is thought, and returns how it goes on.
fn think(out: &mut Vec<u8>, draft: &Draft) -> Thinking {
    let block = json!({"type": "thinking", "thinking": "", "signature": ""});
    event(out, "content_block_start", json!({"index": 0, "content_block": block}));
    let mut after = Vec::new();
    let delta = json!({"type": "signature_delta", "signature": signature(draft)});
    event(&mut after, "content_block_delta", json!({"index": 0, "delta": delta}));
    event(&mut after, "content_block_stop", json!({"index": 0}));
    Thinking { frame: frame(0, &json!({"type": "thinking_delta", "thinking": PLACE})), after }
}

fn frame(block: u64, delta: &Value) -> Frame {
    let mut written = Vec::new();
    event(&mut written, "content_block_delta", json!({"index": block, "delta": delta}));
    let text = String::from_utf8_lossy(&written).into_owned();
    let (before, after) = text.split_once(PLACE).unwrap_or((&text, ""));
    Frame { before: before.to_owned(), after: after.to_owned(), numbered: None }
}

/// Returns a message that is not yet written, whose usage tells `output` tokens.
fn message(ask: &Ask, draft: &Draft, output: u64) -> Value {
    let new = ask.prompt.tokens.saturating_sub(ask.cached).saturating_sub(ask.cache_written);
    json!({
        "id": format!("msg_{}", draft.id),
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": new,
            "cache_creation_input_tokens": ask.cache_written,
            "cache_read_input_tokens": ask.cached,
            "cache_creation": {
                "ephemeral_5m_input_tokens": ask.cache_written,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": output,
            "service_tier": "standard",
        },
    })
}

fn stop_reason(ask: &Ask, draft: &Draft) -> &'static str {
    let ending = draft.choices.first().map_or(Ending::Stop, |choice| choice.ending);
    match (ending, &ask.shape) {
        (Ending::Length, _) => "max_tokens",
        (Ending::Stop, Shape::Call { .. }) => "tool_use",
        (Ending::Stop, _) => "end_turn",
    }
}

fn tool_id(draft: &Draft) -> String {
    format!("toolu_{}", draft.id)
}

fn signature(draft: &Draft) -> String {
    format!("sig{}", draft.id)
}

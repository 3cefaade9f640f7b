//! The summary of what was thought before a response.
//!
//! Shapes: OpenAI's OpenAPI specification 2.3.0, <https://github.com/openai/openai-openapi>, read 2026-08-21.

use serde_json::{Value, json};

use super::{Events, numbered};
use crate::simulate::wire::chat::PLACE;
use crate::simulate::wire::draft::Draft;
use crate::simulate::wire::script::Frame;

/// Writes the events before its first piece.
pub(super) fn begin(out: &mut Events, draft: &Draft) {
    let item = json!({"id": id(draft), "type": "reasoning", "summary": []});
    out.push("response.output_item.added", json!({"output_index": 0, "item": item}));
    out.push("response.reasoning_summary_part.added", part(draft, ""));
}

/// Writes the events behind its last piece.
pub(super) fn end(out: &mut Events, draft: &Draft) {
    let text = draft.thought.as_ref().map(|thought| thought.whole()).unwrap_or_default();
    let done = json!({"item_id": id(draft), "output_index": 0, "summary_index": 0, "text": text});
    out.push("response.reasoning_summary_text.done", done);
    out.push("response.reasoning_summary_part.done", part(draft, &text));
    let item = item(draft, &text);
    out.push("response.output_item.done", json!({"output_index": 0, "item": item}));
}

/// Returns what stands around its pieces, the first of which has this number.
pub(super) fn frame(draft: &Draft, first: u64) -> Frame {
    let kind = "response.reasoning_summary_text.delta";
    let event = json!({
        "type": kind,
        "item_id": id(draft),
        "output_index": 0,
        "summary_index": 0,
        "delta": PLACE,
    });
    numbered(kind, &event, first)
}

/// Returns it as an item of the response.
pub(super) fn item(draft: &Draft, text: &str) -> Value {
    json!({"id": id(draft), "type": "reasoning", "summary": [summary(text)]})
}

fn part(draft: &Draft, text: &str) -> Value {
    json!({"item_id": id(draft), "output_index": 0, "summary_index": 0, "part": summary(text)})
}

fn summary(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

fn id(draft: &Draft) -> String {
    format!("rs_{}", draft.id)
}

//! Judgements of texts and images, and what a video is before it is made.

use serde_json::{Map, Value, json};

use super::ask::{Ask, text_of};
use super::draft::Draft;
use super::gauge::items;

/// Returns a judgement for each text, or one for all parts of a message: nothing is ever flagged.
pub(in crate::simulate) fn object(ask: &Ask, draft: &Draft) -> Value {
    let inputs = items(ask.body.get("input"));
    let texts = inputs.iter().filter(|input| input.is_string()).count();
    let all = |value: fn(&str) -> Value| -> Map<String, Value> {
        CATEGORIES.iter().map(|name| ((*name).to_owned(), value(name))).collect()
    };
    let result = json!({
        "flagged": false,
        "categories": all(|_| false.into()),
        "category_scores": all(|name| (name.len() as f64 * 1e-6).into()),
        "category_applied_input_types": all(|_| json!(["text"])),
    });
    json!({
        "id": format!("modr-{}", draft.id),
        "model": ask.model,
        "results": vec![result; texts.max(1)],
    })
}

/// Returns a video that waits to be made.
pub(in crate::simulate) fn video(ask: &Ask, draft: &Draft) -> Value {
    let said = |name, usual: &str| text_of(&ask.body, name).unwrap_or(usual).to_owned();
    json!({
        "id": format!("video_{}", draft.id),
        "object": "video",
        "created_at": draft.created,
        "completed_at": null,
        "expires_at": null,
        "error": null,
        "model": ask.model,
        "progress": 0,
        "prompt": ask.body.get("prompt"),
        "remixed_from_video_id": null,
        "seconds": said("seconds", "4"),
        "size": said("size", "720x1280"),
        "status": "queued",
    })
}

/// OpenAI's OpenAPI specification 2.3.0, <https://github.com/openai/openai-openapi>, read 2026-08-21.
const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

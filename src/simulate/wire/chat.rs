//! Chat completions.

use serde_json::{Value, json};

use super::ask::{Ask, Shape, UsageAt};
use super::draft::{Draft, Ending};
use super::script::{Frame, Script, Thinking, data, put};
use super::words::Text;

/// Returns the answer as one object.
pub(in crate::simulate) fn object(ask: &Ask, draft: &Draft) -> Value {
    let choices = draft.choices.iter().enumerate().map(|(index, choice)| {
        let text = choice.text.whole();
        json!({
            "index": index,
            "message": message(ask, draft, index, &text),
            "logprobs": null,
            "finish_reason": finish(ask, choice.ending),
        })
    });
    json!({
        "id": format!("chatcmpl-{}", draft.id),
        "object": "chat.completion",
        "created": draft.created,
        "model": ask.model,
        "choices": choices.collect::<Vec<_>>(),
        "usage": usage(ask, draft),
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    })
}

/// Returns the answer as a stream of chunks.
pub(in crate::simulate) fn script(ask: &Ask, draft: Draft) -> Script {
    let mut opening = Vec::new();
    let mut closing = Vec::new();
    let mut tracks = Vec::new();
    for (index, choice) in draft.choices.iter().enumerate() {
        let first = match &ask.shape {
            Shape::Call { name, .. } => json!({
                "role": "assistant",
                "content": null,
                "tool_calls": [{
                    "index": 0,
                    "id": call_id(&draft, index),
                    "type": "function",
                    "function": {"name": name, "arguments": ""},
                }],
                "refusal": null,
            }),
            _ => json!({"role": "assistant", "content": "", "refusal": null}),
        };
        data(&mut opening, &chunk(ask, &draft, index, &first, None));
        let last = finish(ask, choice.ending);
        let mut last = chunk(ask, &draft, index, &json!({}), Some(last));
        if matches!(ask.usage_at, UsageAt::Last | UsageAt::Each) {
            put(&mut last, "usage", usage(ask, &draft));
        }
        data(&mut closing, &last);
        tracks.push(frame(ask, &draft, index));
    }
    if ask.usage_at == UsageAt::Apart {
        let mut last = head(ask, &draft);
        if let Value::Object(fields) = &mut last {
            fields.insert("choices".into(), json!([]));
            fields.insert("usage".into(), usage(ask, &draft));
        }
        data(&mut closing, &last);
    }
    closing.extend_from_slice(b"data: [DONE]\n\n");
    // What is thought is told once, of the first choice.
    let thinking = ask.thinks_as.filter(|_| draft.thought.is_some()).map(|name| {
        let frame = around_piece(&chunk(ask, &draft, 0, &json!({name: PLACE}), None));
        Thinking { frame, after: Vec::new() }
    });
    Script { preface: Vec::new(), opening, thinking, tracks, closing, draft }
}

/// Returns the usage of a chat or text completion.
pub(in crate::simulate) fn usage(ask: &Ask, draft: &Draft) -> Value {
    let (prompt, output) = (ask.prompt.tokens, draft.tokens());
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": ask.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": draft.thought.as_ref().map_or(0, Text::tokens),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// Cuts an event in two where its piece of text belongs.
pub(in crate::simulate) fn around_piece(event: &Value) -> Frame {
    let text = event.to_string();
    let (before, after) = text.split_once(PLACE).unwrap_or((&text, ""));
    Frame { before: format!("data: {before}"), after: format!("{after}\n\n"), numbered: None }
}

/// Stands in an event where its piece of text belongs.
pub(in crate::simulate) const PLACE: &str = "@@piece@@";

pub(in crate::simulate) const FINGERPRINT: &str = "fp_sluicegate";

fn frame(ask: &Ask, draft: &Draft, index: usize) -> Frame {
    let delta = match ask.shape {
        Shape::Call { .. } => {
            json!({"tool_calls": [{"index": 0, "function": {"arguments": PLACE}}]})
        }
        _ => json!({"content": PLACE}),
    };
    let frame = around_piece(&chunk(ask, draft, index, &delta, None));
    if ask.usage_at != UsageAt::Each {
        return frame;
    }
    // How far it has come goes in as the last field.
    let after = frame.after.strip_suffix("}\n\n").unwrap_or_default();
    let prompt = ask.prompt.tokens;
    let after = format!("{after},\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":");
    Frame { after, numbered: Some((1, "}}\n\n")), ..frame }
}

fn chunk(ask: &Ask, draft: &Draft, index: usize, delta: &Value, finish: Option<&str>) -> Value {
    let mut chunk = head(ask, draft);
    if let Value::Object(fields) = &mut chunk {
        let choice = json!({
            "index": index,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish,
        });
        fields.insert("choices".into(), Value::Array(vec![choice]));
        if ask.usage_at == UsageAt::Apart {
            fields.insert("usage".into(), Value::Null);
        }
    }
    chunk
}

fn head(ask: &Ask, draft: &Draft) -> Value {
    json!({
        "id": format!("chatcmpl-{}", draft.id),
        "object": "chat.completion.chunk",
        "created": draft.created,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    })
}

fn message(ask: &Ask, draft: &Draft, index: usize, text: &str) -> Value {
    let mut message = said(ask, draft, index, text);
    if let (Some(name), Some(thought), 0) = (ask.thinks_as, &draft.thought, index) {
        put(&mut message, name, thought.whole());
    }
    message
}

fn said(ask: &Ask, draft: &Draft, index: usize, text: &str) -> Value {
    let Shape::Call { name, .. } = &ask.shape else {
        return json!({
            "role": "assistant",
            "content": text,
            "refusal": null,
            "annotations": [],
        });
    };
    json!({
        "role": "assistant",
        "content": null,
        "tool_calls": [{
            "id": call_id(draft, index),
            "type": "function",
            "function": {"name": name, "arguments": text},
        }],
        "refusal": null,
        "annotations": [],
    })
}

fn call_id(draft: &Draft, index: usize) -> String {
    format!("call_{}{index}", draft.id)
}

/// A call of a function that was named ends with `stop`, one that was merely required does not
/// (OpenAI's function calling guide, read 2026-11).
fn finish(ask: &Ask, ending: Ending) -> &'static str {
    match (ending, &ask.shape) {
        (Ending::Length, _) => "length",
        (Ending::Stop, Shape::Call { named: false, .. }) => "tool_calls",
        (Ending::Stop, _) => "stop",
    }
}

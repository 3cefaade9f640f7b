//! Responses, as one object and as numbered events.

mod reasoning;

use serde_json::{Value, json};

use super::ask::{Ask, Shape};
use super::chat::PLACE;
use super::draft::{Draft, Ending};
use super::gauge::items;
use super::script::{Frame, Script, Thinking};
use super::words::Text;

/// Returns the answer as one object.
pub(in crate::simulate) fn object(ask: &Ask, draft: &Draft) -> Value {
    response(ask, draft, State::Done)
}

/// Returns what an input is compacted to: itself, and one item that stands for what went before.
pub(in crate::simulate) fn compacted(ask: &Ask, draft: &Draft) -> Value {
    let item = json!({
        "id": format!("cmp_{}", draft.id),
        "type": "compaction",
        "encrypted_content": whole(draft),
    });
    json!({
        "id": format!("resp_{}", draft.id),
        "object": "response.compaction",
        "created_at": draft.created,
        "output": [item],
        "usage": usage(ask, draft),
    })
}

/// Returns how many tokens an input has.
pub(in crate::simulate) fn counted(ask: &Ask) -> Value {
    json!({"object": "response.input_tokens", "input_tokens": ask.prompt.tokens})
}

/// Returns the answer as a stream of events.
pub(in crate::simulate) fn script(ask: &Ask, draft: Draft) -> Script {
    let mut preface = Events::default();
    for kind in ["response.created", "response.in_progress"] {
        preface.push(kind, json!({"response": response(ask, &draft, State::Writing)}));
    }
    let mut opening = Events { out: Vec::new(), number: preface.number };
    let thinking = draft.thought.as_ref().map(|_thought| {
        reasoning::begin(&mut opening, &draft);
        let first = opening.number;
        let mut after = Events { out: Vec::new(), number: first + draft.thought_len() };
        reasoning::end(&mut after, &draft);
        (reasoning::frame(&draft, first), after)
    });
    let (frame_of_thought, mut begun) = match thinking {
        Some((frame, after)) => (Some(frame), after),
        None => (None, std::mem::take(&mut opening)),
    };
    let (at, is_call) = (index(&draft), matches!(ask.shape, Shape::Call { .. }));
    let writing = item(ask, &draft, State::Writing);
    begun.push("response.output_item.added", json!({"output_index": at, "item": writing}));
    if !is_call {
        begun.push("response.content_part.added", part(&draft, State::Writing));
    }
    let track = frame(&draft, is_call, begun.number);
    let mut closing = Events { out: Vec::new(), number: begun.number + said_len(&draft) };
    close(&mut closing, ask, &draft);
    let (opening, thinking) = match frame_of_thought {
        Some(frame) => (opening.out, Some(Thinking { frame, after: begun.out })),
        None => (begun.out, None),
    };
    let tracks = vec![track];
    Script { preface: preface.out, opening, thinking, tracks, closing: closing.out, draft }
}

/// Writes the events that end a response.
fn close(closing: &mut Events, ask: &Ask, draft: &Draft) {
    let (at, text) = (index(draft), whole(draft));
    if matches!(ask.shape, Shape::Call { .. }) {
        let done = json!({"item_id": item_id(ask, draft), "output_index": at, "arguments": text});
        closing.push("response.function_call_arguments.done", done);
    } else {
        let done = json!({
            "item_id": item_id(ask, draft),
            "output_index": at,
            "content_index": 0,
            "text": text,
            "logprobs": [],
        });
        closing.push("response.output_text.done", done);
        closing.push("response.content_part.done", part(draft, State::Done));
    }
    let item = item(ask, draft, State::Done);
    closing.push("response.output_item.done", json!({"output_index": at, "item": item}));
    let last = if ending(draft) == Ending::Stop { "completed" } else { "incomplete" };
    let whole = response(ask, draft, State::Done);
    closing.push(&format!("response.{last}"), json!({"response": whole}));
}

/// Returns the place of what is said among the items of a response: behind what is thought.
fn index(draft: &Draft) -> u64 {
    u64::from(draft.thought.is_some())
}

fn said_len(draft: &Draft) -> u64 {
    draft.len() - draft.thought_len()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Writing,
    Done,
}

#[derive(Debug, Default)]
struct Events {
    out: Vec<u8>,
    number: u64,
}

impl Events {
    fn push(&mut self, kind: &str, mut value: Value) {
        if let Value::Object(fields) = &mut value {
            fields.insert("type".into(), kind.into());
            fields.insert("sequence_number".into(), self.number.into());
        }
        self.number += 1;
        self.out.extend_from_slice(format!("event: {kind}\ndata: {value}\n\n").as_bytes());
    }
}

fn frame(draft: &Draft, is_call: bool, first: u64) -> Frame {
    let kind = if is_call {
        "response.function_call_arguments.delta"
    } else {
        "response.output_text.delta"
    };
    let event = if is_call {
        let id = format!("fc_{}", draft.id);
        json!({"type": kind, "item_id": id, "output_index": index(draft), "delta": PLACE})
    } else {
        json!({
            "type": kind,
            "item_id": format!("msg_{}", draft.id),
            "output_index": index(draft),
            "content_index": 0,
            "logprobs": [],
            "delta": PLACE,
        })
    };
    numbered(kind, &event, first)
}

/// Cuts an event in two where its piece of text belongs; its number goes in as the last field.
fn numbered(kind: &str, event: &Value, first: u64) -> Frame {
    let text = event.to_string();
    let (before, after) = text.split_once(PLACE).unwrap_or((&text, "\"}"));
    let after = after.strip_suffix('}').unwrap_or(after);
    Frame {
        before: format!("event: {kind}\ndata: {before}"),
        after: format!("{after},\"sequence_number\":"),
        numbered: Some((first, "}\n\n")),
    }
}

fn response(ask: &Ask, draft: &Draft, state: State) -> Value {
    let field = |name: &str, default: Value| match ask.body.get(name) {
        None | Some(Value::Null) => default,
        Some(value) => value.clone(),
    };
    let done = state == State::Done;
    let cut = done && ending(draft) == Ending::Length;
    let status = match (done, cut) {
        (false, _) => "in_progress",
        (true, true) => "incomplete",
        (true, false) => "completed",
    };
    let thought = draft.thought.as_ref().map(|thought| reasoning::item(draft, &thought.whole()));
    let output: Vec<Value> = match done {
        true => thought.into_iter().chain([item(ask, draft, state)]).collect(),
        false => Vec::new(),
    };
    json!({
        "id": format!("resp_{}", draft.id),
        "object": "response",
        "created_at": draft.created,
        "status": status,
        "background": false,
        "error": null,
        "incomplete_details": cut.then(|| json!({"reason": "max_output_tokens"})),
        "instructions": field("instructions", Value::Null),
        "max_output_tokens": field("max_output_tokens", Value::Null),
        "max_tool_calls": field("max_tool_calls", Value::Null),
        "metadata": field("metadata", json!({})),
        "model": ask.model,
        "output": output,
        "parallel_tool_calls": field("parallel_tool_calls", true.into()),
        "previous_response_id": field("previous_response_id", Value::Null),
        "reasoning": field("reasoning", json!({"effort": null, "summary": null})),
        "service_tier": "default",
        "store": field("store", true.into()),
        "temperature": field("temperature", 1.0.into()),
        "text": field("text", json!({"format": {"type": "text"}})),
        "tool_choice": field("tool_choice", "auto".into()),
        "tools": items(ask.body.get("tools")),
        "top_logprobs": 0,
        "top_p": field("top_p", 1.0.into()),
        "truncation": field("truncation", "disabled".into()),
        "usage": done.then(|| usage(ask, draft)),
        "user": field("user", Value::Null),
    })
}

fn usage(ask: &Ask, draft: &Draft) -> Value {
    let (input, output) = (ask.prompt.tokens, draft.tokens());
    json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": ask.cached},
        "output_tokens": output,
        "output_tokens_details": {
            "reasoning_tokens": draft.thought.as_ref().map_or(0, Text::tokens),
        },
        "total_tokens": input + output,
    })
}

fn item(ask: &Ask, draft: &Draft, state: State) -> Value {
    let text = if state == State::Done { whole(draft) } else { String::new() };
    let status = match (state, ending(draft)) {
        (State::Writing, _) => "in_progress",
        (State::Done, Ending::Stop) => "completed",
        (State::Done, Ending::Length) => "incomplete",
    };
    if let Shape::Call { name, .. } = &ask.shape {
        return json!({
            "id": item_id(ask, draft),
            "type": "function_call",
            "status": status,
            "arguments": text,
            "call_id": format!("call_{}", draft.id),
            "name": name,
        });
    }
    let content = match state {
        State::Writing => json!([]),
        State::Done => json!([output_text(&text)]),
    };
    json!({
        "id": item_id(ask, draft),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    })
}

fn part(draft: &Draft, state: State) -> Value {
    let text = if state == State::Done { whole(draft) } else { String::new() };
    json!({
        "item_id": format!("msg_{}", draft.id),
        "output_index": index(draft),
        "content_index": 0,
        "part": output_text(&text),
    })
}

fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn item_id(ask: &Ask, draft: &Draft) -> String {
    let kind = if matches!(ask.shape, Shape::Call { .. }) { "fc" } else { "msg" };
    format!("{kind}_{}", draft.id)
}

fn whole(draft: &Draft) -> String {
    draft.choices.first().map(|choice| choice.text.whole()).unwrap_or_default()
}

fn ending(draft: &Draft) -> Ending {
    draft.choices.first().map_or(Ending::Stop, |choice| choice.ending)
}

//! Runs of threads, as objects and as streams of events.
//!
//! Shapes: OpenAI's OpenAPI specification 2.3.0, <https://github.com/openai/openai-openapi>, read 2026-08-21.

use serde_json::{Value, json};

use super::ask::{Ask, Shape};
use super::chat::PLACE;
use super::draft::{Draft, Ending};
use super::script::{Frame, Script, put};

/// A run, and as far as it has come.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Run {
    pub id: String,
    pub thread: String,
    /// What was asked for.
    pub asked: Value,
    pub model: String,
    pub created: u64,
    /// What its parts have used so far: prompts, and outputs.
    pub used: (u64, u64),
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) enum Status {
    Queued,
    Running,
    /// It waits for what its tools say.
    Waiting,
    Completed,
    /// Its bound was reached.
    Incomplete,
    Cancelled,
}

impl Status {
    /// Returns how a run ends with what was written.
    pub(in crate::simulate) fn behind(ask: &Ask, draft: &Draft) -> Self {
        let ending = draft.choices.first().map_or(Ending::Stop, |choice| choice.ending);
        match (&ask.shape, ending) {
            (_, Ending::Length) => Self::Incomplete,
            (Shape::Call { .. }, Ending::Stop) => Self::Waiting,
            (_, Ending::Stop) => Self::Completed,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "in_progress",
            Self::Waiting => "requires_action",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
        }
    }

    const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Incomplete | Self::Cancelled)
    }
}

impl Run {
    /// Returns the run as one object; `called` are the calls that it waits for.
    pub(in crate::simulate) fn object(&self, status: Status, called: Option<&Value>) -> Value {
        let said = |name: &str| self.asked.get(name).cloned().unwrap_or_default();
        let (prompt, output) = self.used;
        let usage = status.is_end().then(|| {
            json!({"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output})
        });
        let action = called.filter(|_| status == Status::Waiting).map(|calls| {
            json!({"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}})
        });
        json!({
            "id": self.id,
            "object": "thread.run",
            "created_at": self.created,
            "assistant_id": said("assistant_id"),
            "thread_id": self.thread,
            "status": status.name(),
            "required_action": action,
            "last_error": null,
            "model": self.model,
            "instructions": said("instructions"),
            "tools": said("tools"),
            "metadata": {},
            "max_prompt_tokens": said("max_prompt_tokens"),
            "max_completion_tokens": said("max_completion_tokens"),
            "usage": usage,
        })
    }
}

/// Returns the calls that an answer makes.
pub(in crate::simulate) fn calls(ask: &Ask, draft: &Draft) -> Option<Value> {
    let Shape::Call { name, .. } = &ask.shape else { return None };
    let function = json!({"name": name, "arguments": whole(draft)});
    Some(json!([{"id": format!("call_{}", draft.id), "type": "function", "function": function}]))
}

/// Returns the message that an answer leaves in its thread.
pub(in crate::simulate) fn message(run: &Run, draft: &Draft) -> Value {
    let text = json!({"value": whole(draft), "annotations": []});
    json!({
        "id": format!("msg_{}", draft.id),
        "object": "thread.message",
        "created_at": run.created,
        "thread_id": run.thread,
        "run_id": run.id,
        "assistant_id": run.asked.get("assistant_id"),
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
    })
}

/// Returns a part of a run as a stream of events; `run` has used what it will have used behind it.
pub(in crate::simulate) fn script(run: &Run, ask: &Ask, draft: Draft) -> Script {
    let mut preface = Vec::new();
    for (kind, status) in
        [("created", Status::Queued), ("queued", Status::Queued), ("in_progress", Status::Running)]
    {
        event(&mut preface, &format!("run.{kind}"), &run.object(status, None));
    }
    let is_call = matches!(ask.shape, Shape::Call { .. });
    let mut opening = Vec::new();
    event(&mut opening, "run.step.created", &step(run, &draft, None));
    if let Shape::Call { name, .. } = &ask.shape {
        let first = json!({"name": name, "arguments": "", "output": null});
        event(&mut opening, "run.step.delta", &call_delta(&draft, &first));
    }
    let delta = match is_call {
        true => call_delta(&draft, &json!({"arguments": PLACE})),
        false => json!({
            "id": format!("msg_{}", draft.id),
            "object": "thread.message.delta",
            "delta": {"content": [{"index": 0, "type": "text", "text": {"value": PLACE}}]},
        }),
    };
    let kind = if is_call { "run.step.delta" } else { "message.delta" };
    let tracks = vec![frame(kind, &delta)];
    let mut closing = Vec::new();
    if !is_call {
        event(&mut closing, "message.completed", &message(run, &draft));
    }
    let used = (ask.prompt.tokens, draft.tokens());
    event(&mut closing, "run.step.completed", &step(run, &draft, Some(used)));
    let status = Status::behind(ask, &draft);
    let object = run.object(status, calls(ask, &draft).as_ref());
    event(&mut closing, &format!("run.{}", status.name()), &object);
    closing.extend_from_slice(b"event: done\ndata: [DONE]\n\n");
    Script { preface, opening, thinking: None, tracks, closing, draft }
}

fn event(out: &mut Vec<u8>, kind: &str, value: &Value) {
    out.extend_from_slice(format!("event: thread.{kind}\ndata: {value}\n\n").as_bytes());
}

fn frame(kind: &str, event_of_piece: &Value) -> Frame {
    let mut written = Vec::new();
    event(&mut written, kind, event_of_piece);
    let text = String::from_utf8_lossy(&written).into_owned();
    let (before, after) = text.split_once(PLACE).unwrap_or((&text, ""));
    Frame { before: before.to_owned(), after: after.to_owned(), numbered: None }
}

fn call_delta(draft: &Draft, function: &Value) -> Value {
    let call = json!({"index": 0, "type": "function", "function": function});
    json!({
        "id": format!("step_{}", draft.id),
        "object": "thread.run.step.delta",
        "delta": {"step_details": {"type": "tool_calls", "tool_calls": [call]}},
    })
}

fn step(run: &Run, draft: &Draft, used: Option<(u64, u64)>) -> Value {
    let mut step = json!({
        "id": format!("step_{}", draft.id),
        "object": "thread.run.step",
        "run_id": run.id,
        "thread_id": run.thread,
        "status": if used.is_some() { "completed" } else { "in_progress" },
    });
    if let Some((prompt, output)) = used {
        let usage = json!({"prompt_tokens": prompt, "completion_tokens": output,
                           "total_tokens": prompt + output});
        put(&mut step, "usage", usage);
    }
    step
}

fn whole(draft: &Draft) -> String {
    draft.choices.first().map(|choice| choice.text.whole()).unwrap_or_default()
}

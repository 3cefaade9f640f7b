//! Threads: their messages, and runs that go on in them, streamed or behind the answer.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::engine::{Caller, Cost, Outcome};
use super::files::{self, page};
use super::flow::{id_of, json as json_answer, refused};
use super::plan::{Fault, Plan};
use super::shared::{Admitted, Shared};
use super::talk::{Body, Talk};
use super::wire::runs::{self, Run, Status};
use super::wire::{Ask, Attached, Draft, Endpoint, WireError};
use super::writing;

/// What is in all threads.
#[derive(Debug, Default)]
pub(super) struct Threads {
    messages: BTreeMap<String, Vec<Value>>,
    runs: BTreeMap<String, Kept>,
}

/// A run, where it stands, and what it has called.
#[derive(Debug, Clone)]
struct Kept {
    run: Run,
    status: Status,
    called: Option<Value>,
}

/// What of a thread is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'p> {
    /// Its messages.
    Messages(&'p str),
    /// A new run, in a new thread where none is named.
    Run(Option<&'p str>),
    /// A run.
    Look(&'p str),
    /// The end of a run.
    Cancel(&'p str),
    /// That a run goes on.
    Outputs(&'p str),
}

/// Returns what of a thread a request is for; `None` for threads themselves, and for all else.
pub(super) fn wanted<'p>(method: &Method, path: &'p str) -> Option<Wanted<'p>> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, segments.as_slice()) {
        (&(Method::GET | Method::POST), ["threads", thread, "messages"]) => {
            Some(Wanted::Messages(thread))
        }
        (&Method::POST, ["threads", "runs"]) => Some(Wanted::Run(None)),
        (&Method::POST, ["threads", thread, "runs"]) => Some(Wanted::Run(Some(thread))),
        (&Method::GET, ["threads", _, "runs", run]) => Some(Wanted::Look(run)),
        (&Method::POST, ["threads", _, "runs", run, "cancel"]) => Some(Wanted::Cancel(run)),
        (&Method::POST, ["threads", _, "runs", run, "submit_tool_outputs"]) => {
            Some(Wanted::Outputs(run))
        }
        _ => None,
    }
}

/// Answers it.
///
/// # Errors
///
/// An injected reset: the connection is to be closed without an answer.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    wanted: Wanted<'_>,
    (key, caller): (&str, &Caller),
    (method, bytes): (&Method, Bytes),
) -> io::Result<Response<Body>> {
    let arrival = shared.arrival();
    let body = match bytes.is_empty() {
        true => Ok(json!({})),
        false => serde_json::from_slice(&bytes)
            .map_err(|_| WireError::bad_request("The body is not JSON.", None)),
    };
    let owner = files::owner(caller);
    let found = body.and_then(|body: Value| match wanted {
        Wanted::Messages(thread) => {
            messages(shared, &owner, (method, thread), body).map(Found::Whole)
        }
        Wanted::Run(thread) => begin(shared, &owner, thread, body).map(Box::new).map(Found::Part),
        Wanted::Outputs(run) => go_on(shared, run, &body).map(Box::new).map(Found::Part),
        Wanted::Look(run) => look(shared, run, None).map(Found::Whole),
        Wanted::Cancel(run) => look(shared, run, Some(Status::Cancelled)).map(Found::Whole),
    });
    match found {
        Ok(Found::Whole(value)) => Ok(json_answer(StatusCode::OK, &value)),
        Ok(Found::Part(part)) => write(shared, (key, caller), *part, arrival).await,
        Err(error) => Ok(refused(shared, &error, arrival)),
    }
}

/// What is answered.
enum Found {
    Whole(Value),
    Part(Box<Part>),
}

/// A part of a run that is to be written.
struct Part {
    run: Run,
    ask: Ask,
}

fn messages(
    shared: &Shared,
    owner: &str,
    (method, thread): (&Method, &str),
    body: Value,
) -> Result<Value, WireError> {
    let mut files = files::lock(shared);
    if files.objects.owner(thread) != Some(owner) {
        return Err(no("thread", thread));
    }
    if *method == Method::GET {
        let all = files.threads.messages.get(thread).into_iter().flatten();
        let id = |message: &Value| message["id"].as_str().unwrap_or_default().to_owned();
        let all = all.map(|message| (id(message), message.clone())).collect();
        return Ok(page(all, None));
    }
    let id = files.next_id("msg_");
    let text = json!({"value": body.get("content"), "annotations": []});
    let message = json!({"id": id, "object": "thread.message", "created_at": shared.date(),
                         "thread_id": thread, "role": body.get("role"),
                         "content": [{"type": "text", "text": text}]});
    files.threads.messages.entry(thread.to_owned()).or_default().push(message.clone());
    Ok(message)
}

/// Begins a run.
fn begin(
    shared: &Shared,
    owner: &Arc<str>,
    thread: Option<&str>,
    body: Value,
) -> Result<Part, WireError> {
    let said =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let run = {
        let mut files = files::lock(shared);
        let assistant = said(&body, "assistant_id").unwrap_or_default();
        let assistant =
            files.objects.value(&assistant, owner).ok_or_else(|| no("assistant", &assistant))?;
        let model = said(&body, "model").or_else(|| said(&assistant, "model"));
        let model = model.ok_or_else(|| WireError::bad_request("No model.", Some("model")))?;
        let thread = match thread {
            Some(thread) if files.objects.owner(thread) != Some(owner) => {
                return Err(no("thread", thread));
            }
            Some(thread) => thread.to_owned(),
            None => {
                let thread = files.next_id("thread_");
                files.objects.keep(Arc::clone(owner), &json!({"id": thread, "object": "thread"}));
                thread
            }
        };
        let mut asked = body;
        for name in ["instructions", "tools"] {
            if asked.get(name).is_none_or(Value::is_null)
                && let Some(value) = assistant.get(name)
            {
                super::wire::put(&mut asked, name, value.clone());
            }
        }
        let new = asked.get("additional_messages").or_else(|| asked.get("thread")?.get("messages"));
        let new = new.and_then(Value::as_array).cloned().unwrap_or_default();
        files.threads.messages.entry(thread.clone()).or_default().extend(new);
        let id = files.next_id("run_");
        Run { id, thread, asked, model, created: shared.date(), used: (0, 0) }
    };
    part(shared, run, Vec::new())
}

/// Lets a run go on with what its tools say.
fn go_on(shared: &Shared, run: &str, body: &Value) -> Result<Part, WireError> {
    let (mut run, called) = {
        let files = files::lock(shared);
        let kept = files.threads.runs.get(run).ok_or_else(|| no("run", run))?;
        if kept.status != Status::Waiting {
            return Err(WireError::bad_request(
                "Runs in this status do not accept tool outputs.",
                None,
            ));
        }
        (kept.run.clone(), kept.called.clone())
    };
    let outputs = body.get("tool_outputs").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut said = vec![json!({"role": "assistant", "tool_calls": called})];
    said.extend(
        outputs.iter().map(|output| json!({"role": "tool", "content": output.get("output")})),
    );
    for name in ["stream", "tools"] {
        super::wire::put(&mut run.asked, name, body.get(name).cloned().unwrap_or_default());
    }
    part(shared, run, said)
}

/// Measures what a part of a run puts before the model.
fn part(shared: &Shared, run: Run, more: Vec<Value>) -> Result<Part, WireError> {
    let mut messages = Vec::new();
    for name in ["instructions", "additional_instructions"] {
        if let Some(text) = run.asked.get(name).filter(|text| text.is_string()) {
            messages.push(json!({"role": "system", "content": text}));
        }
    }
    let said = files::lock(shared).threads.messages.get(&run.thread).cloned().unwrap_or_default();
    messages.extend(said.into_iter().map(|message| {
        let text = message.pointer("/content/0/text/value").or_else(|| message.get("content"));
        json!({"role": message.get("role"), "content": text})
    }));
    messages.extend(more);
    let tools = run.asked.get("tools").filter(|tools| tools.is_array()).cloned();
    let body = json!({
        "model": run.model,
        "messages": messages,
        "tools": tools.unwrap_or_else(|| json!([])),
        "max_completion_tokens": run.asked.get("max_completion_tokens"),
    });
    let ask = shared.reader.understand(Endpoint::Chat, (body, Attached::default()))?;
    Ok(Part { run, ask })
}

fn look(shared: &Shared, run: &str, to: Option<Status>) -> Result<Value, WireError> {
    let mut files = files::lock(shared);
    let kept = files.threads.runs.get_mut(run).ok_or_else(|| no("run", run))?;
    kept.status = to.unwrap_or(kept.status);
    Ok(kept.run.object(kept.status, kept.called.as_ref()))
}

/// Writes a part of a run: as events, or behind the answer.
async fn write(
    shared: &Arc<Shared>,
    (key, caller): (&str, &Caller),
    Part { mut run, ask }: Part,
    arrival: u64,
) -> io::Result<Response<Body>> {
    let plan = shared.planner.plan(&ask, arrival);
    let draft = Draft::new(&ask, &plan.lengths, (arrival, shared.date()));
    let cost = Cost {
        prompt: ask.prompt.tokens,
        characters: ask.prompt.characters,
        bound: ask.bound,
        generations: ask.generations,
        model_max: ask.model_max,
        output: draft.tokens(),
    };
    let admitted = match shared.admit((key, caller), &ask.model, &cost).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            return Ok(refused(shared, &WireError::refusal(refusal, key, &ask.model), arrival));
        }
    };
    let queued = run.object(Status::Queued, None);
    run.used = (run.used.0 + cost.prompt, run.used.1 + cost.output);
    let streams = run.asked.get("stream") == Some(&Value::Bool(true));
    let status = Status::behind(&ask, &draft);
    let kept = Kept { run: run.clone(), status, called: runs::calls(&ask, &draft) };
    let message = (status != Status::Waiting).then(|| runs::message(&run, &draft));
    if streams {
        keep(shared, kept, message);
        let (begin, cut) = (Instant::now(), cut_of(&plan));
        let Admitted { work, shown, organisation } = admitted;
        let script = runs::script(&run, &ask, draft);
        let talk = Talk::new(script, plan.pace, begin, work, cut).with_frames(shared.frames);
        let desk = writing::Desk { shared, begin, shown, organisation, id: id_of(arrival) };
        return Ok(desk.stream(talk));
    }
    keep(shared, Kept { status: Status::Running, ..kept.clone() }, None);
    let (begin, behind) = (Instant::now(), Arc::clone(shared));
    tokio::spawn(async move {
        sleep_until(begin + plan.pace.until(draft.len())).await;
        admitted.work.done(Outcome::Answered { output: draft.tokens() });
        keep(&behind, kept, message);
    });
    Ok(json_answer(StatusCode::OK, &queued))
}

fn cut_of(plan: &Plan) -> Option<super::plan::Cut> {
    match plan.fault {
        Some(Fault::Cut(cut)) => Some(cut),
        _ => None,
    }
}

fn keep(shared: &Shared, kept: Kept, message: Option<Value>) {
    let mut files = files::lock(shared);
    let all = files.threads.messages.entry(kept.run.thread.clone()).or_default();
    all.extend(message);
    files.threads.runs.insert(kept.run.id.clone(), kept);
}

fn no(kind: &str, id: &str) -> WireError {
    WireError::not_found(format!("No {kind} found with id '{id}'."))
}

//! Batches: lines of a file, answered inside the simulator without limits.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::files::{MOST_OBJECTS, StoredFile, lock, page};
use super::service::Asked;
use super::shared::Shared;
use super::wire::{self, Attached, Draft, Endpoint, WireError};

/// One batch.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) owner: Arc<str>,
    endpoint: String,
    input: String,
    metadata: Value,
    status: Status,
    created: u64,
    ended: Option<u64>,
    output: Option<String>,
    errors: Option<String>,
    problem: Option<String>,
    total: u64,
    completed: u64,
    failed: u64,
    tokens_in: u64,
    tokens_out: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Validating,
    Failed,
    InProgress,
    Completed,
    Cancelling,
    Cancelled,
}

/// Answers a request under `/batches`.
pub(super) fn serve(
    shared: &Arc<Shared>,
    method: &Method,
    parts: &[&str],
    (asked, owner): (&Asked<'_>, &Arc<str>),
) -> Result<Value, WireError> {
    match (method, parts) {
        (&Method::POST, []) => create(shared, asked, owner),
        (&Method::GET, []) => {
            let files = lock(shared);
            let own = files.batches.iter().filter(|(_, batch)| batch.owner == *owner);
            Ok(page(own.map(|(id, batch)| (id.clone(), object(id, batch))).collect(), asked.query))
        }
        (&Method::GET, [id]) => with(shared, id, owner, |_| {}),
        (&Method::POST, [id, "cancel"]) => with(shared, id, owner, |batch| {
            if matches!(batch.status, Status::Validating | Status::InProgress) {
                batch.status = Status::Cancelling;
            }
        }),
        _ => Err(WireError::not_found(format!("Invalid URL ({method} /v1{})", asked.path))),
    }
}

fn create(shared: &Arc<Shared>, asked: &Asked<'_>, owner: &Arc<str>) -> Result<Value, WireError> {
    let body: Value = serde_json::from_slice(&asked.bytes)
        .map_err(|_| WireError::bad_request("The body is not JSON.", None))?;
    let text = |name: &'static str| {
        let found = body.get(name).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| {
            let message = format!("Missing required parameter: '{name}'.");
            WireError::bad_request(message, Some(name))
        })
    };
    let (endpoint, input) = (text("endpoint")?, text("input_file_id")?);
    if text("completion_window")? != "24h" {
        let message = "Invalid value for 'completion_window': expected '24h'.";
        return Err(WireError::bad_request(message, Some("completion_window")));
    }
    if endpoint.strip_prefix("/v1").and_then(Endpoint::at).is_none() {
        let message = format!("Invalid value for 'endpoint': {endpoint}.");
        return Err(WireError::bad_request(message, Some("endpoint")));
    }
    let mut files = lock(shared);
    let content = files.file(&input, owner)?.content.clone();
    if files.batches.len() >= MOST_OBJECTS {
        let message = "The simulated provider holds no more batches.";
        return Err(WireError::bad_request(message, None));
    }
    let batch = Batch {
        owner: Arc::clone(owner),
        endpoint,
        input,
        metadata: body.get("metadata").cloned().unwrap_or(Value::Null),
        status: Status::Validating,
        created: shared.date(),
        ended: None,
        output: None,
        errors: None,
        problem: None,
        total: 0,
        completed: 0,
        failed: 0,
        tokens_in: 0,
        tokens_out: 0,
    };
    let id = files.next_id("batch_");
    let answer = object(&id, &batch);
    files.batches.insert(id.clone(), batch);
    drop(files);
    tokio::spawn(run(Arc::clone(shared), id, content));
    Ok(answer)
}

/// Works a batch off, one line after the other, each after the time of a first token.
async fn run(shared: Arc<Shared>, id: String, content: Bytes) {
    let lines = match validate(&content) {
        Ok(lines) => lines,
        Err(problem) => {
            let ended = Some(shared.date());
            edit(&shared, &id, |batch| {
                *batch = Batch {
                    status: Status::Failed,
                    problem: Some(problem),
                    ended,
                    ..batch.clone()
                };
            });
            return;
        }
    };
    edit(&shared, &id, |batch| {
        batch.total = lines.len() as u64;
        if batch.status == Status::Validating {
            batch.status = Status::InProgress;
        }
    });
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    sleep(shared.planner.latency.first_token).await;
    for line in &lines {
        if edit(&shared, &id, |batch| batch.status == Status::Cancelling) != Some(false) {
            break;
        }
        answer_line(&shared, &id, line, (&mut output, &mut errors));
        tokio::task::yield_now().await;
    }
    finalize(&shared, &id, (output, errors));
}

fn answer_line(
    shared: &Shared,
    id: &str,
    line: &Value,
    (output, errors): (&mut Vec<u8>, &mut Vec<u8>),
) {
    let endpoint = line.get("url").and_then(Value::as_str).and_then(|url| url.strip_prefix("/v1"));
    let endpoint = endpoint.and_then(Endpoint::at);
    let body = line.get("body").cloned().unwrap_or(Value::Null);
    let (status, body) = match line_answer(shared, endpoint, body) {
        Ok(done) => {
            edit(shared, id, |batch| {
                batch.completed += 1;
                batch.tokens_in += done.tokens_in;
                batch.tokens_out += done.tokens_out;
            });
            (200, done.body)
        }
        Err(error) => {
            edit(shared, id, |batch| batch.failed += 1);
            (error.status.as_u16(), error.envelope())
        }
    };
    let number = shared.arrival();
    let result = json!({
        "id": format!("batch_req_{number:012x}"),
        "custom_id": line.get("custom_id"),
        "response": {
            "status_code": status,
            "request_id": format!("req_{number:012x}"),
            "body": body,
        },
        "error": null,
    });
    let out = if status == 200 { output } else { errors };
    out.extend_from_slice(result.to_string().as_bytes());
    out.push(b'\n');
}

/// A line that was answered.
struct LineDone {
    body: Value,
    tokens_in: u64,
    tokens_out: u64,
}

fn line_answer(
    shared: &Shared,
    endpoint: Option<Endpoint>,
    body: Value,
) -> Result<LineDone, WireError> {
    let endpoint = endpoint.ok_or_else(|| WireError::bad_request("Invalid 'url'.", Some("url")))?;
    let ask = shared.reader.understand(endpoint, (body, Attached::default()))?;
    if !shared.has_model(&ask.model) {
        return Err(WireError::no_model(&ask.model));
    }
    let number = shared.arrival();
    let plan = shared.planner.plan(&ask, number);
    let draft = Draft::new(&ask, &plan.lengths, (number, shared.date()));
    let body = wire::object(&ask, &draft)?;
    Ok(LineDone { body, tokens_in: ask.prompt.tokens, tokens_out: draft.tokens() })
}

fn finalize(shared: &Shared, id: &str, (output, errors): (Vec<u8>, Vec<u8>)) {
    let ended = shared.date();
    let mut files = lock(shared);
    let Some(owner) = files.batches.get(id).map(|batch| Arc::clone(&batch.owner)) else {
        return;
    };
    let mut keep = |content: Vec<u8>, kind: &str| {
        let file = StoredFile {
            owner: Arc::clone(&owner),
            name: format!("{id}_{kind}.jsonl"),
            purpose: "batch_output".to_owned(),
            content: content.into(),
            created: ended,
        };
        if file.content.is_empty() { None } else { files.keep(file).ok() }
    };
    let (output, errors) = (keep(output, "output"), keep(errors, "error"));
    if let Some(batch) = files.batches.get_mut(id) {
        batch.output = output;
        batch.errors = errors;
        batch.ended = Some(ended);
        batch.status = match batch.status {
            Status::Cancelling => Status::Cancelled,
            _ => Status::Completed,
        };
    }
}

/// Reads the lines of an input file.
fn validate(content: &[u8]) -> Result<Vec<Value>, String> {
    let mut lines = Vec::new();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let parsed: Value = serde_json::from_slice(line)
            .map_err(|_| format!("Line {} is not valid JSON.", index + 1))?;
        if !parsed.get("custom_id").is_some_and(Value::is_string) {
            return Err(format!("Line {} has no 'custom_id'.", index + 1));
        }
        if lines.len() >= MOST_LINES {
            return Err(format!("The file has more than {MOST_LINES} lines."));
        }
        lines.push(parsed);
    }
    if lines.is_empty() { Err("The file is empty.".to_owned()) } else { Ok(lines) }
}

/// The most lines of a batch (OpenAI's batch guide, read 2026-11).
const MOST_LINES: usize = 50_000;

fn edit<T>(shared: &Shared, id: &str, change: impl FnOnce(&mut Batch) -> T) -> Option<T> {
    lock(shared).batches.get_mut(id).map(change)
}

fn with(
    shared: &Shared,
    id: &str,
    owner: &Arc<str>,
    change: impl FnOnce(&mut Batch),
) -> Result<Value, WireError> {
    let mut files = lock(shared);
    let batch = files.batches.get_mut(id).filter(|batch| batch.owner == *owner);
    let batch =
        batch.ok_or_else(|| WireError::not_found(format!("No batch found with id '{id}'.")))?;
    change(batch);
    Ok(object(id, batch))
}

fn object(id: &str, batch: &Batch) -> Value {
    let ended = |status: Status| batch.ended.filter(|_| batch.status == status);
    let errors = batch.problem.as_ref().map(|message| {
        let error =
            json!({"code": "invalid_file", "message": message, "param": null, "line": null});
        json!({"object": "list", "data": [error]})
    });
    let started = batch.status != Status::Validating && batch.status != Status::Failed;
    json!({
        "id": id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": errors,
        "input_file_id": batch.input,
        "completion_window": "24h",
        "status": match batch.status {
            Status::Validating => "validating",
            Status::Failed => "failed",
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Cancelling => "cancelling",
            Status::Cancelled => "cancelled",
        },
        "output_file_id": batch.output,
        "error_file_id": batch.errors,
        "created_at": batch.created,
        "in_progress_at": started.then_some(batch.created),
        "expires_at": batch.created + 86_400,
        "finalizing_at": ended(Status::Completed),
        "completed_at": ended(Status::Completed),
        "failed_at": ended(Status::Failed),
        "expired_at": null,
        "cancelling_at": ended(Status::Cancelled),
        "cancelled_at": ended(Status::Cancelled),
        "request_counts": {
            "total": batch.total,
            "completed": batch.completed,
            "failed": batch.failed,
        },
        "usage": {
            "input_tokens": batch.tokens_in,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": batch.tokens_out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": batch.tokens_in + batch.tokens_out,
        },
        "metadata": batch.metadata,
    })
}

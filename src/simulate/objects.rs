//! What else an organisation keeps at the provider: responses, conversations, vector stores and the like,
//! as they were asked for, and nobody else's business.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};

use super::files::{Files, MOST_OBJECTS, lock, page};
use super::service::Asked;
use super::shared::Shared;
use super::wire::WireError;

/// The objects of all organisations, by id.
#[derive(Debug, Default)]
pub(super) struct Objects(BTreeMap<String, Object>);

#[derive(Debug)]
struct Object {
    owner: Arc<str>,
    kind: &'static Kind,
    value: Value,
}

/// A kind of object: where it is found, how its ids begin, and what it says that it is.
#[derive(Debug, PartialEq)]
struct Kind {
    path: &'static [&'static str],
    prefix: &'static str,
    name: &'static str,
}

const KINDS: [Kind; 9] = [
    Kind { path: &["responses"], prefix: "resp_", name: "response" },
    Kind { path: &["conversations"], prefix: "conv_", name: "conversation" },
    Kind { path: &["vector_stores"], prefix: "vs_", name: "vector_store" },
    Kind { path: &["assistants"], prefix: "asst_", name: "assistant" },
    Kind { path: &["threads"], prefix: "thread_", name: "thread" },
    Kind { path: &["containers"], prefix: "cntr_", name: "container" },
    Kind { path: &["uploads"], prefix: "upload_", name: "upload" },
    Kind { path: &["videos"], prefix: "video_", name: "video" },
    Kind { path: &["fine_tuning", "jobs"], prefix: "ftjob-", name: "fine_tuning.job" },
];

impl Objects {
    /// Keeps an object that was generated, by its own id; the oldest go where there are too many.
    pub(super) fn keep(&mut self, owner: Arc<str>, value: &Value) {
        let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
        let Some(kind) = KINDS.iter().find(|kind| id.starts_with(kind.prefix)) else { return };
        if self.0.len() >= MOST_OBJECTS {
            self.0.pop_first();
        }
        self.0.insert(id.to_owned(), Object { owner, kind, value: value.clone() });
    }

    /// Returns an object of `owner`.
    pub(super) fn value(&self, id: &str, owner: &str) -> Option<Value> {
        let own = self.0.get(id).filter(|object| &*object.owner == owner);
        own.map(|object| object.value.clone())
    }

    /// Returns whose an object is.
    pub(super) fn owner(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(|object| &*object.owner)
    }

    fn find(
        &mut self,
        kind: &'static Kind,
        id: &str,
        owner: &str,
    ) -> Result<&mut Value, WireError> {
        let found = self.0.get_mut(id);
        let own = found.filter(|object| &*object.owner == owner && object.kind == kind);
        own.map(|object| &mut object.value).ok_or_else(|| no_such(kind.name, id))
    }
}

/// Tells whether objects of this kind lie under a path.
pub(super) fn are_under(parts: &[&str]) -> bool {
    KINDS.iter().any(|kind| parts.starts_with(kind.path))
}

/// Answers a request for objects.
pub(super) fn serve(
    shared: &Shared,
    asked: &Asked<'_>,
    owner: &Arc<str>,
    parts: &[&str],
) -> Result<Value, WireError> {
    let unknown = || WireError::not_found(format!("Invalid URL (/v1{})", asked.path));
    let kind = KINDS.iter().find(|kind| parts.starts_with(kind.path)).ok_or_else(unknown)?;
    let body = match asked.bytes.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&asked.bytes)
            .map_err(|_| WireError::bad_request("The body is not JSON.", None))?,
    };
    let mut files = lock(shared);
    check(&files, &body, owner)?;
    let rest = parts.get(kind.path.len()..).unwrap_or_default();
    match (asked.method, rest) {
        (&Method::GET, []) => {
            let all = files.objects.0.iter();
            let own = all.filter(|(_, object)| object.owner == *owner && object.kind == kind);
            let own = own.map(|(id, object)| (id.clone(), object.value.clone())).collect();
            Ok(page(own, asked.query))
        }
        (&Method::POST, []) => {
            let id = files.next_id(kind.prefix);
            let value = made(&body, &id, kind, shared.date());
            files.objects.keep(Arc::clone(owner), &value);
            Ok(value)
        }
        (&Method::DELETE, [id]) => {
            files.objects.find(kind, id, owner)?;
            files.objects.0.remove(*id);
            Ok(json!({"id": id, "object": format!("{}.deleted", kind.name), "deleted": true}))
        }
        (&Method::GET, [id]) => files.objects.find(kind, id, owner).cloned(),
        (&Method::POST, [id] | [id, "cancel"]) => {
            let value = files.objects.find(kind, id, owner)?;
            if let (Value::Object(fields), Value::Object(changes)) = (&mut *value, body) {
                fields.extend(changes);
            }
            Ok(value.clone())
        }
        (&Method::GET, [id, ..]) => {
            files.objects.find(kind, id, owner)?;
            Ok(page(Vec::new(), asked.query))
        }
        (&Method::POST, [id, part]) => {
            files.objects.find(kind, id, owner)?;
            let id = files.next_id("item_");
            Ok(json!({"id": id, "object": format!("{}.{part}", kind.name), "data": []}))
        }
        _ => Err(unknown()),
    }
}

fn made(body: &Value, id: &str, kind: &Kind, now: u64) -> Value {
    let mut fields = Map::new();
    fields.insert("id".into(), id.into());
    fields.insert("object".into(), kind.name.into());
    fields.insert("created_at".into(), now.into());
    if let Value::Object(asked) = body {
        for (name, value) in asked {
            fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    Value::Object(fields)
}

/// Checks that a body refers to nothing of another organisation, and to nothing that is not there.
///
/// # Errors
///
/// A 404; a 400 for an earlier response
/// (<https://github.com/maximhq/bifrost/issues/2441>, read 2026-11-22).
pub(super) fn check(files: &Files, body: &Value, owner: &str) -> Result<(), WireError> {
    match body {
        Value::String(text) => match files.owner(text).or_else(|| files.objects.owner(text)) {
            Some(its) if its != owner => Err(no_such("File", text)),
            _ => Ok(()),
        },
        Value::Array(elements) => elements.iter().try_for_each(|it| check(files, it, owner)),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let id = value.as_str().or_else(|| value.get("id").and_then(Value::as_str));
            match (name.as_str(), id) {
                ("previous_response_id", Some(id)) if files.objects.owner(id) != Some(owner) => {
                    let message = format!("Previous response with id '{id}' not found.");
                    let error = WireError::bad_request(message, Some("previous_response_id"));
                    Err(WireError { code: Some("previous_response_not_found"), ..error })
                }
                ("conversation", Some(id)) if files.objects.owner(id) != Some(owner) => {
                    Err(no_such("conversation", id))
                }
                _ => check(files, value, owner),
            }
        }),
        _ => Ok(()),
    }
}

fn no_such(kind: &str, id: &str) -> WireError {
    WireError::not_found(format!("No such {kind} object: {id}"))
}

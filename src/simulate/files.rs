//! Files and their routes.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::batches::{self, Batch};
use super::engine::Caller;
use super::flow::json as json_answer;
use super::multipart;
use super::objects::{self, Objects};
use super::service::Asked;
use super::shared::Shared;
use super::talk::{Body, whole};
use super::threads::Threads;
use super::wire::WireError;

/// Files, batches and other objects of all organisations, in memory.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: BTreeMap<String, StoredFile>,
    pub(super) batches: BTreeMap<String, Batch>,
    pub(super) objects: Objects,
    pub(super) threads: Threads,
    bytes: usize,
    made: u64,
}

/// One file.
#[derive(Debug, Clone)]
pub(super) struct StoredFile {
    pub owner: Arc<str>,
    pub name: String,
    pub purpose: String,
    pub content: Bytes,
    pub created: u64,
}

impl Files {
    /// Returns an id that was not given before; ids sort by age.
    pub(super) fn next_id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{:012x}", self.made)
    }

    /// Keeps a file and returns its id.
    ///
    /// # Errors
    ///
    /// A 400 where all files together would be too large.
    pub(super) fn keep(&mut self, file: StoredFile) -> Result<String, WireError> {
        let bytes = self.bytes.saturating_add(file.content.len());
        if bytes > MOST_BYTES || self.files.len() >= MOST_OBJECTS {
            let message = "The simulated provider holds no more files. Delete some.";
            return Err(WireError::bad_request(message, Some("file")));
        }
        self.bytes = bytes;
        let id = self.next_id("file-");
        self.files.insert(id.clone(), file);
        Ok(id)
    }

    /// Returns a file of `owner`.
    pub(super) fn file(&self, id: &str, owner: &str) -> Result<&StoredFile, WireError> {
        let found = self.files.get(id).filter(|file| &*file.owner == owner);
        found.ok_or_else(|| WireError::not_found(format!("No such File object: {id}")))
    }

    /// Returns whose a file or a batch is.
    pub(super) fn owner(&self, id: &str) -> Option<&str> {
        let file = self.files.get(id).map(|file| &*file.owner);
        file.or_else(|| self.batches.get(id).map(|batch| &*batch.owner))
    }

    fn delete(&mut self, id: &str, owner: &str) -> Result<(), WireError> {
        let size = self.file(id, owner)?.content.len();
        self.bytes = self.bytes.saturating_sub(size);
        self.files.remove(id);
        Ok(())
    }
}

/// The most bytes of all files.
const MOST_BYTES: usize = 512 * 1024 * 1024;
/// The most files, and the most batches.
pub(super) const MOST_OBJECTS: usize = 10_000;

/// Returns whose objects a caller has.
pub(super) fn owner(caller: &Caller) -> Arc<str> {
    match caller {
        Caller::Organisation(name) => Arc::clone(name),
        Caller::Oracle => "oracle".into(),
    }
}

/// Answers a request for files, batches and other objects.
pub(super) fn serve(
    shared: &Arc<Shared>,
    asked: &Asked<'_>,
    caller: &Caller,
    (parts, headers): (&[&str], &HeaderMap),
) -> Result<Response<Body>, WireError> {
    let owner = owner(caller);
    let found = match (asked.method, parts) {
        (&Method::POST, ["files"]) => upload(shared, asked, owner, headers)?,
        (&Method::GET, ["files"]) => list(shared, asked, &owner),
        (&Method::GET, ["files", id]) => file_object(id, lock(shared).file(id, &owner)?),
        (&Method::DELETE, ["files", id]) => {
            lock(shared).delete(id, &owner)?;
            json!({"id": id, "object": "file", "deleted": true})
        }
        (&Method::GET, ["files", id, "content"]) => {
            let content = lock(shared).file(id, &owner)?.content.clone();
            let mut response = Response::new(whole(content));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            return Ok(response);
        }
        (method, ["batches", rest @ ..]) => batches::serve(shared, method, rest, (asked, &owner))?,
        _ => objects::serve(shared, asked, &owner, parts)?,
    };
    Ok(json_answer(StatusCode::OK, &found))
}

/// Returns the files and batches, locked.
pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, Files> {
    shared.files.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a page of objects, newest first: `limit` of them, those behind `after`.
pub(super) fn page(objects: Vec<(String, Value)>, query: Option<&str>) -> Value {
    let parameter = |name: &str| {
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let after = parameter("after");
    let mut rest = objects.into_iter().rev().peekable();
    if let Some(after) = after {
        while rest.peek().is_some_and(|(id, _)| *id >= after) {
            rest.next();
        }
    }
    let (ids, page): (Vec<String>, Vec<Value>) = rest.by_ref().take(limit).unzip();
    json!({
        "object": "list",
        "data": page,
        "first_id": ids.first(),
        "last_id": ids.last(),
        "has_more": rest.peek().is_some(),
    })
}

fn upload(
    shared: &Shared,
    asked: &Asked<'_>,
    owner: Arc<str>,
    headers: &HeaderMap,
) -> Result<Value, WireError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let parts = multipart::parts(kind, &asked.bytes).ok_or_else(|| {
        WireError::bad_request("The body is not multipart/form-data.", Some("file"))
    })?;
    let file = parts.iter().find(|part| part.name == "file").ok_or_else(|| {
        WireError::bad_request("Missing required parameter: 'file'.", Some("file"))
    })?;
    let purpose = parts.iter().find(|part| part.name == "purpose").ok_or_else(|| {
        WireError::bad_request("Missing required parameter: 'purpose'.", Some("purpose"))
    })?;
    let stored = StoredFile {
        owner,
        name: file.file_name.clone().unwrap_or_else(|| "file".to_owned()),
        purpose: String::from_utf8_lossy(&purpose.content).into_owned(),
        content: file.content.clone(),
        created: shared.date(),
    };
    let object = stored.clone();
    let id = lock(shared).keep(stored)?;
    Ok(file_object(&id, &object))
}

fn list(shared: &Shared, asked: &Asked<'_>, owner: &str) -> Value {
    let files = lock(shared);
    let own = files.files.iter().filter(|(_, file)| &*file.owner == owner);
    page(own.map(|(id, file)| (id.clone(), file_object(id, file))).collect(), asked.query)
}

fn file_object(id: &str, file: &StoredFile) -> Value {
    json!({
        "id": id,
        "object": "file",
        "bytes": file.content.len(),
        "created_at": file.created,
        "expires_at": null,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": null,
    })
}

//! Finds the names of what lies at a provider: files, batches, responses, conversations and the like.
//!
//! What is found is only a candidate: whoever looks for pins knows which of them are ids.

use memchr::{memchr3, memmem};

use super::json::members;
use super::{Call, Endpoint};

/// Returns what in a path and its query may be the id of an object.
///
/// In a path any segment behind the first may be one; in a query any value (`after` names where a page
/// begins).
pub fn ids_of_target<'a>(path: &'a str, query: Option<&'a str>) -> impl Iterator<Item = &'a str> {
    let path = path.trim_start_matches('/');
    let path = path.strip_prefix("v1/").unwrap_or(path);
    let values = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let all = path.split('/').skip(1).chain(values.map(|(_, value)| value));
    all.filter(|id| !id.is_empty() && id.len() <= LONGEST)
}

/// Tells whether what lies under a path belongs to one account: lists, objects and what is made there.
///
/// Azure's have `openai` in front. OpenAI's: its OpenAPI specification 2.3.0,
/// <https://github.com/openai/openai-openapi>, and openai-python 3.54.0, read 2026-08-21.
pub fn is_kept_under(path: &str) -> bool {
    let mut segments = path.split('/').filter(|it| !matches!(*it, "" | "openai" | "v1"));
    let first = segments.next().unwrap_or_default();
    // Anthropic's batches are those of its messages.
    segments.next() == Some("batches")
        || matches!(
            first,
            "agents"
                | "assistants"
                | "batches"
                | "chat"
                | "chatkit"
                | "containers"
                | "conversations"
                | "evals"
                | "files"
                | "fine_tuning"
                | "organization"
                | "projects"
                | "responses"
                | "safety"
                | "skills"
                | "threads"
                | "uploads"
                | "vaults"
                | "vector_stores"
                | "videos"
                | "webhook_endpoints"
        )
}

impl Call {
    /// Tells whether its answer is an object that the provider keeps.
    pub fn leaves_object(&self) -> bool {
        match self.endpoint {
            Endpoint::Responses => self.store() != Some(false),
            Endpoint::ChatCompletions => self.store() == Some(true),
            Endpoint::Videos => true,
            _ => false,
        }
    }

    /// Returns what the client says of keeping the answer.
    fn store(&self) -> Option<bool> {
        memmem::find(&self.body, b"\"store\"")?;
        let [store] = members(&self.body, ["store"]).ok()?;
        serde_json::from_str(store?.get()).ok()
    }
}

/// Finds ids in JSON, or in events whose data is JSON, as it comes in pieces.
///
/// The work is linear, the memory constant: the text of the present string, if it may be an id, and the
/// keys of the containers around it. What is no JSON gives nothing, or something that is no id.
#[derive(Debug, Clone)]
pub struct IdScan {
    side: Side,
    place: Place,
    /// What encloses the present place, the outermost first; deeper ones are only counted.
    around: Vec<Frame>,
    deeper: usize,
    /// What the present value is called.
    key: Key,
    /// The present string, or the one that ended last.
    text: Vec<u8>,
    /// Whether the present string is too long or has escapes: then it is no id, and no key of ours.
    is_other: bool,
}

/// Who names the ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    String,
    /// Behind a backslash.
    Escape,
    /// Behind a string: a colon tells that it was a key.
    Behind,
}

/// An object or an array, and what it is called; what is in an array is called as the array is.
#[derive(Debug, Clone, Copy)]
struct Frame {
    key: Key,
    is_array: bool,
}

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// Its text, or each text of its array, is an id.
    Named,
    /// So is the `id` of its object.
    Holder,
    /// The `id` of its object is one, but not its text.
    Wrapper,
    /// `id` itself.
    Id,
    /// A list of objects, where it is at the top.
    Data,
    /// A model: a fine-tuned one is its organisation's.
    Model,
    /// The user's own words.
    Own,
    Other,
}

impl IdScan {
    /// Creates a scan of a request: what it refers to.
    pub const fn of_request() -> Self {
        Self::new(Side::Request)
    }

    /// Creates a scan of an answer: the object that it is or has, each object of a list, and what they
    /// refer to.
    pub const fn of_answer() -> Self {
        Self::new(Side::Answer)
    }

    const fn new(side: Side) -> Self {
        Self {
            side,
            place: Place::Outside,
            around: Vec::new(),
            deeper: 0,
            key: Key::Other,
            text: Vec::new(),
            is_other: false,
        }
    }

    /// Takes the next piece, and calls `found` with each id whose end is in it.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(&str)) {
        let mut rest = piece;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = match self.place {
                Place::String => self.string(rest),
                Place::Escape => {
                    self.place = Place::String;
                    behind
                }
                Place::Outside => {
                    self.outside(byte);
                    behind
                }
                Place::Behind => {
                    self.behind(byte, &mut found);
                    behind
                }
            };
        }
    }

    /// Reads on in a string and returns what is behind the part that was read.
    fn string<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let end = memchr3(b'"', b'\\', b'\n', rest);
        let (part, behind) =
            rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
        if self.text.len() + part.len() > LONGEST {
            self.is_other = true;
        } else {
            self.text.extend_from_slice(part);
        }
        match behind.split_first() {
            Some((b'"', behind)) => {
                self.place = Place::Behind;
                behind
            }
            Some((b'\n', behind)) => {
                // No JSON string has one: it was a quote in something else, such as a comment.
                self.around.clear();
                (self.deeper, self.place) = (0, Place::Outside);
                behind
            }
            Some((_, behind)) => {
                self.is_other = true;
                self.place = Place::Escape;
                behind
            }
            None => behind,
        }
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.text.clear();
                self.is_other = false;
                self.place = Place::String;
            }
            b'{' | b'[' => self.open(byte == b'['),
            b'}' | b']' => self.close(),
            b',' => self.key = Key::Other,
            _ => {}
        }
    }

    fn behind(&mut self, byte: u8, found: &mut impl FnMut(&str)) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b':' => {
                self.place = Place::Outside;
                self.key = if self.is_other { Key::Other } else { self.meaning() };
            }
            _ => {
                self.place = Place::Outside;
                if !self.is_other
                    && !self.text.is_empty()
                    && let Ok(text) = std::str::from_utf8(&self.text)
                    && self.is_id(text)
                {
                    found(text);
                }
                self.outside(byte);
            }
        }
    }

    fn open(&mut self, is_array: bool) {
        let outer = self.around.last();
        let inherited = outer.filter(|outer| outer.is_array || outer.key == Key::Own);
        let key = inherited.map_or(self.key, |outer| outer.key);
        if self.deeper == 0 && self.around.len() < DEEPEST {
            self.around.push(Frame { key, is_array });
        } else {
            self.deeper += 1;
        }
        self.key = Key::Other;
    }

    fn close(&mut self) {
        match self.deeper.checked_sub(1) {
            Some(deeper) => self.deeper = deeper,
            None => drop(self.around.pop()),
        }
        self.key = Key::Other;
    }

    /// Tells whether a text that stands here is an id.
    fn is_id(&self, text: &str) -> bool {
        let Some(frame) = self.around.last().filter(|_| self.deeper == 0) else { return false };
        if frame.key == Key::Own {
            return false;
        }
        let key = if frame.is_array { frame.key } else { self.key };
        match key {
            Key::Named | Key::Holder => true,
            Key::Model => text.starts_with("ft:"),
            Key::Id => match frame.key {
                Key::Holder => true,
                Key::Wrapper => self.side == Side::Answer,
                Key::Data => self.side == Side::Answer && self.around.len() == 3,
                _ => self.side == Side::Answer && self.around.len() == 1,
            },
            Key::Wrapper | Key::Data | Key::Own | Key::Other => false,
        }
    }

    /// Tells what the key that was just read means.
    ///
    /// Names: OpenAI's OpenAPI specification 2.3.0, <https://github.com/openai/openai-openapi>, read
    /// 2026-08-21.
    fn meaning(&self) -> Key {
        match self.text.as_slice() {
            b"id" => Key::Id,
            b"conversation" | b"container" | b"video" | b"source" => Key::Holder,
            b"previous_response_id"
            | b"response_id"
            | b"conversation_id"
            | b"batch_id"
            | b"file_id"
            | b"file_ids"
            | b"input_file_id"
            | b"output_file_id"
            | b"error_file_id"
            | b"training_file"
            | b"validation_file"
            | b"result_files"
            | b"upload_id"
            | b"vector_store_id"
            | b"vector_store_ids"
            | b"container_id"
            | b"assistant_id"
            | b"thread_id"
            | b"run_id"
            | b"video_id"
            | b"fine_tuned_model" => Key::Named,
            b"response" | b"file" => Key::Wrapper,
            b"data" => Key::Data,
            b"model" => Key::Model,
            b"metadata" | b"variables" => Key::Own,
            _ => Key::Other,
        }
    }
}

/// The longest id: OpenAI's have up to about 60 characters, names of fine-tuned models somewhat more.
const LONGEST: usize = 200;

/// How deep ids stand at most: a file of an item of a message of a request is in the sixth.
const DEEPEST: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mut scan: IdScan, json: &str, size: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for piece in json.as_bytes().chunks(size) {
            scan.feed(piece, |id| ids.push(id.to_owned()));
        }
        ids
    }

    fn check(scan: &IdScan, json: &str, ids: &[&str]) {
        for size in [1, 2, 3, 7, json.len()] {
            assert_eq!(found(scan.clone(), json, size), ids, "{json} in pieces of {size}");
        }
    }

    #[test]
    fn a_request_names_what_it_refers_to() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (r#"{"previous_response_id":"resp_1","id":"no"}"#,                              &["resp_1"][..]),
            (r#"{"conversation":"conv_1"}"#,                                                &["conv_1"]),
            (r#"{"conversation" : { "x":1, "id" : "conv_2" } }"#,                           &["conv_2"]),
            (r#"{"tools":[{"type":"file_search","vector_store_ids":["vs_1","vs_2"]}]}"#,    &["vs_1", "vs_2"]),
            (r#"{"input":[{"content":[{"type":"input_file","file_id":"file-1"}]}]}"#,       &["file-1"]),
            (r#"{"messages":[{"content":[{"file":{"file_id":"file-2"}}]}]}"#,               &["file-2"]),
            (r#"{"tools":[{"container":{"type":"auto","file_ids":["file-3"]}}]}"#,          &["file-3"]),
            (r#"{"training_file":"file-4","model":"gpt-4o"}"#,                              &["file-4"]),
            (r#"{"model":"ft:gpt-4o:org::1"}"#,                                             &["ft:gpt-4o:org::1"]),
            (r#"{"metadata":{"file_id":"mine","a":{"file_id":"mine"}},"file_id":"f"}"#,     &["f"]),
            (r#"{"input":"\"file_id\":\"file-5\",","x":["file_id","file-6"]}"#,             &[]),
            (r#"{"file_id":null,"a":"file-7","file_ids":[],"b":["file-8"]}"#,               &[]),
            (r#"{"file_id":"a\u0062","file_id":"c"}"#,                                      &["c"]),
            (r#"{"parameters":{"properties":{"file_id":{"type":"string"}}}}"#,              &[]),
        ];
        for (json, ids) in cases {
            check(&IdScan::of_request(), json, ids);
        }
    }

    #[test]
    fn an_answer_has_objects_and_what_they_refer_to() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (r#"{"id":"file-1","object":"file"}"#,                                          &["file-1"][..]),
            (r#"{"object":"list","data":[{"id":"a"},{"x":{"id":"no"},"id":"b"}],"id":3}"#,  &["a", "b"]),
            (r#"{"id":"batch_1","output_file_id":"file-2","error_file_id":null}"#,          &["batch_1", "file-2"]),
            (r#"{"id":"upload_1","file":{"id":"file-3"}}"#,                                 &["upload_1", "file-3"]),
            (r#"{"id":"resp_1","output":[{"id":"msg_1"},{"container_id":"cntr_1"}]}"#,      &["resp_1", "cntr_1"]),
            (r#"{"id":"ftjob-1","result_files":["file-4"],"fine_tuned_model":"ft:m:o"}"#,   &["ftjob-1", "file-4", "ft:m:o"]),
            ("event: response.created\ndata: {\"type\":\"t\",\"response\":{\"id\":\"resp_2\"}}\n\n", &["resp_2"]),
            (": it's \"\n\ndata: {\"response\":{\"id\":\"s\"}}\n\n",                             &["s"]),
            ("data: {\"delta\":\"id\"}\n\ndata: {\"response\":{\"id\":\"r\"}}\n\ndata: [DONE]\n\n",  &["r"]),
        ];
        for (json, ids) in cases {
            check(&IdScan::of_answer(), json, ids);
        }
    }

    #[test]
    fn nothing_makes_it_grow_or_panic() {
        let mut scan = IdScan::of_answer();
        scan.feed("[".repeat(100_000).as_bytes(), |_| panic!("no id"));
        scan.feed(b"\"", |_| panic!("no id"));
        scan.feed("x".repeat(100_000).as_bytes(), |_| panic!("no id"));
        assert!(scan.around.len() <= DEEPEST && scan.text.len() <= LONGEST);
        scan.feed(b"\",]]}}\"", |_| panic!("no id"));
    }

    #[test]
    fn a_target_names_ids_in_its_path_and_query() {
        let named = |path, query| ids_of_target(path, query).collect::<Vec<_>>();
        assert_eq!(named("/v1/files/file-1/content", None), ["file-1", "content"]);
        assert_eq!(named("/batches", Some("limit=2&after=batch_1&x")), ["2", "batch_1"]);
        assert!(named("/v1/files", None).is_empty() && named("/", None).is_empty());
        for path in
            ["/v1/files", "/files/x", "/openai/files", "/openai/v1/batches", "/v1/messages/batches"]
        {
            assert!(is_kept_under(path), "{path}");
        }
        for path in ["/v1/models", "/", "/v1/messages", "/v1/rerank", "/v1/messages/count_tokens"] {
            assert!(!is_kept_under(path), "{path}");
        }
    }
}

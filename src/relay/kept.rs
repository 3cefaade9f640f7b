//! Keeps the stream of a request alive while the request waits.
//!
//! # What this module owns
//!
//! [`Kept`]: a request being served, whose client may be told meanwhile that it waits. With the first
//! [`Notes`] that are left the head of the answer has to leave, and what comes of the request comes as
//! events from then on: its own stream as it is, anything else in the endpoint's shape.
//!
//! # Invariants
//!
//! 1. What is sent before the answer are comments only: all SDKs skip them (measured 2026-11-21 with
//!    openai-python 1.109, 2.54, 3.54 and openai-node 4.104, 5.23, 6.49), while events without data,
//!    `id:` and `retry:` break some.
//! 2. Dropping it drops the request: its client hung up.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use serde_json::{Value, json};

use super::Body;
use crate::call::Endpoint;

/// Where a request that is served leaves a word for its client. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    last: Arc<Mutex<Option<Bytes>>>,
}

/// A request being served.
pub struct Kept {
    serving: Serving,
    notes: Notes,
    /// What is said before all else.
    first: Option<Bytes>,
}

/// How an answer begins.
#[derive(Debug)]
pub enum Begun {
    /// With all that it is.
    Answer(Box<Response<Body>>),
    /// As a stream of events that begins with a comment.
    Stream(Body),
}

/// What a client gets next of a stream that is kept alive.
pub(super) enum Next {
    Comment(Frame<Bytes>),
    /// The body of the answer, which takes over.
    Answer(Body),
}

type Serving = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

impl Notes {
    /// Leaves a comment, in place of one that was not sent yet. It is sent when the future that
    /// serves the request rests next.
    pub fn leave(&self, comment: &str) {
        let note = Bytes::from(format!(": {comment}\n\n"));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
    }

    fn take(&self) -> Option<Bytes> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Kept {
    /// Takes over `serving`, which leaves its `notes` while it waits.
    pub fn new(
        serving: impl Future<Output = Response<Body>> + Send + 'static,
        notes: Notes,
    ) -> Self {
        Self { serving: Box::pin(serving), notes, first: None }
    }

    /// Waits for the answer, or for a first note: then returns the body of an event stream that goes on
    /// serving, for `endpoint`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the request.
    pub async fn head(mut self, endpoint: Endpoint) -> Begun {
        match std::future::poll_fn(|context| self.poll(context)).await {
            News::Answer(answer) => Begun::Answer(answer),
            News::Note(note) => {
                let Self { serving, notes, .. } = self;
                let serving = Box::pin(async move {
                    let answer = serving.await;
                    Response::new(as_events(answer, endpoint).await)
                });
                Begun::Stream(Body::kept(Self { serving, notes, first: Some(note) }))
            }
        }
    }

    /// Polls for what the client gets next.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if let Some(note) = self.first.take() {
            return Poll::Ready(Next::Comment(Frame::data(note)));
        }
        self.poll(context).map(|news| match news {
            News::Answer(answer) => Next::Answer(answer.into_body()),
            News::Note(note) => Next::Comment(Frame::data(note)),
        })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<News> {
        match self.serving.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(News::Answer(Box::new(answer))),
            Poll::Pending => {
                self.notes.take().map_or(Poll::Pending, |n| Poll::Ready(News::Note(n)))
            }
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

enum News {
    Note(Bytes),
    Answer(Box<Response<Body>>),
}

/// Tells whether the head announces an answer of server-sent events.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    kind(headers).is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// Tells whether the head announces an answer that is neither JSON nor another text.
pub fn is_binary(headers: &HeaderMap) -> bool {
    kind(headers).is_some_and(|kind| {
        ["audio/", "image/", "video/", "application/octet-stream"]
            .iter()
            .any(|binary| kind.starts_with(binary))
    })
}

fn kind(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(kind.trim_start().to_ascii_lowercase())
}

/// Makes events of an answer whose head has left already as that of a stream.
async fn as_events(answer: Response<Body>, endpoint: Endpoint) -> Body {
    let (head, body) = answer.into_parts();
    if head.status.is_success() && is_event_stream(&head.headers) {
        return body;
    }
    let text = collect(body).await;
    let event = match &text {
        // What answers a stream with a whole body is one event.
        Some(text) if head.status.is_success() => data_lines(text),
        _ => error_event(head.status, text.as_deref().unwrap_or_default(), endpoint),
    };
    Body::full(event)
}

/// Reads a body; `None` if it breaks off or is larger than any error.
async fn collect(mut body: Body) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            whole.extend_from_slice(&data);
        }
        if whole.len() > MOST_COLLECTED {
            return None;
        }
    }
    Some(whole.freeze())
}

/// Writes an event whose data may have several lines.
fn data_lines(text: &[u8]) -> Vec<u8> {
    let mut event = Vec::with_capacity(text.len() + 32);
    for line in text.split(|byte| *byte == b'\n') {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        event.push(b'\n');
    }
    event.push(b'\n');
    event
}

/// Writes the error of an answer as the endpoint's streams tell errors.
///
/// Responses have an `error` event with flat fields (OpenAI's API reference, "Streaming events", read
/// 2026-11-21); the nested `error` beside them is what makes SDKs raise it.
fn error_event(status: StatusCode, body: &[u8], endpoint: Endpoint) -> Vec<u8> {
    let told = serde_json::from_slice::<Value>(body).ok();
    let told = told.as_ref().and_then(|body| body.get("error")).filter(|error| error.is_object());
    if endpoint.is_anthropics() && told.is_some() {
        return [b"event: error\n", &data_lines(body)[..]].concat();
    }
    if let Some(error) = told.filter(|_| endpoint.is_of_thread()) {
        return format!("event: error\ndata: {error}\n\n").into_bytes();
    }
    if endpoint != Endpoint::Responses && told.is_some() {
        // The very words.
        return [&data_lines(body)[..], DONE].concat();
    }
    let error = told.cloned().unwrap_or_else(|| {
        let message = format!("The request failed with status {}.", status.as_u16());
        json!({ "message": message, "type": "server_error", "param": null, "code": null })
    });
    if endpoint.is_anthropics() {
        let error = json!({ "type": "api_error", "message": error.get("message") });
        let event = json!({ "type": "error", "error": error });
        return format!("event: error\ndata: {event}\n\n").into_bytes();
    }
    if endpoint != Endpoint::Responses {
        return [&data_lines(json!({ "error": error }).to_string().as_bytes())[..], DONE].concat();
    }
    let event = json!({
        "type": "error",
        "code": error.get("code"),
        "message": error.get("message"),
        "param": error.get("param"),
        "sequence_number": 0,
        "error": error,
    });
    format!("event: error\ndata: {event}\n\n").into_bytes()
}

const DONE: &[u8] = b"data: [DONE]\n\n";

/// The most of an answer that is made into one event.
const MOST_COLLECTED: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> Vec<u8> {
        let error = json!({ "message": message, "type": "tokens", "param": null, "code": "c" });
        json!({ "error": error }).to_string().into_bytes()
    }

    fn text(event: Vec<u8>) -> String {
        String::from_utf8(event).expect("a text")
    }

    #[test]
    fn an_error_keeps_its_words_in_the_shape_of_each_endpoint() {
        let body = error("Rate limit\nreached");
        let limited = StatusCode::TOO_MANY_REQUESTS;
        let chat = text(error_event(limited, &body, Endpoint::ChatCompletions));
        let (event, done) = chat.split_once("\n\n").expect("two events");
        assert_eq!(done, "data: [DONE]\n\n");
        let told: Value =
            serde_json::from_str(event.strip_prefix("data: ").expect("data")).unwrap();
        assert_eq!(told.to_string().into_bytes(), body);

        let response = text(error_event(limited, &body, Endpoint::Responses));
        let data = response.strip_prefix("event: error\ndata: ").expect("an error event");
        let told: Value = serde_json::from_str(data.trim_end()).unwrap();
        assert_eq!(told["type"], "error");
        assert_eq!(told["message"], "Rate limit\nreached");
        assert_eq!((&told["code"], &told["error"]["type"]), (&"c".into(), &"tokens".into()));
        assert_eq!(response.matches("\n\n").count(), 1, "{response}");
    }

    #[test]
    fn what_is_no_error_in_json_is_told_by_its_status() {
        for body in [&b"<html>\n\nbad gateway"[..], b"", b"{\"error\":\"text\"}"] {
            let event = text(error_event(StatusCode::BAD_GATEWAY, body, Endpoint::Completions));
            assert!(event.contains("status 502"), "{event}");
            assert!(!event.contains("html"), "{event}");
        }
    }

    #[tokio::test]
    async fn a_whole_answer_is_one_event_and_a_stream_stays_as_it_is() {
        let whole = Response::new(Body::full("{\n\"a\":1\r\n}"));
        let event = collect(as_events(whole, Endpoint::ChatCompletions).await).await;
        assert_eq!(event.expect("a body"), "data: {\ndata: \"a\":1\ndata: }\n\n");
        let mut stream = Response::new(Body::full("data: x\n\n"));
        stream.headers_mut().insert(header::CONTENT_TYPE, "Text/Event-Stream".parse().unwrap());
        let event = collect(as_events(stream, Endpoint::ChatCompletions).await).await;
        assert_eq!(event.expect("a body"), "data: x\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_note_makes_the_head_leave_and_the_answer_comes_behind_the_notes() {
        let notes = Notes::default();
        let told = notes.clone();
        let serving = async move {
            for n in 1..=2 {
                tokio::time::sleep(std::time::Duration::from_secs(15)).await;
                told.leave(&format!("queued position={n}"));
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let mut answer = Response::new(Body::full(error("too late")));
            *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            answer
        };
        let kept = Kept::new(serving, notes).head(Endpoint::Completions).await;
        let Begun::Stream(body) = kept else { panic!("it was answered before its note") };
        let body = collect(body).await.expect("a body");
        let body = text(body.to_vec());
        let expected = ": queued position=1\n\n: queued position=2\n\ndata: {\"error\":";
        assert!(body.starts_with(expected), "{body}");
        assert!(body.ends_with("data: [DONE]\n\n") && body.contains("too late"), "{body}");
    }

    #[tokio::test]
    async fn who_is_answered_before_any_note_gets_the_answer_itself() {
        let serving = async {
            let mut answer = Response::new(Body::full(error("no")));
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            answer
        };
        let answer = Kept::new(serving, Notes::default()).head(Endpoint::Responses).await;
        let Begun::Answer(answer) = answer else { panic!("there was no note") };
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(collect(answer.into_body()).await.expect("a body"), error("no"));
    }
}

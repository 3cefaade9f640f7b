//! Streams that are told their place while they wait, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use sluicegate::server::Running;
use tokio::sync::Notify;

use crate::house::{one_account, proxy};
use crate::path::CHAT;
use crate::recorder::{End, Recorder, Reply};

const ASKS: &str = r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}"#;
const RESPONDS: &str = r#"{"model":"gpt-4o","stream":true,"input":"hi"}"#;
const EVENT: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const FORBIDDEN: &str = r#"{"error":{"message":"not for you","type":"invalid_request_error","param":null,"code":"nope"}}"#;

/// A proxy with one slot, which somebody holds until `go_on` is notified.
struct Queue {
    recorder: Recorder,
    proxy: Running,
    go_on: Arc<Notify>,
    _holds: Incoming,
}

impl Queue {
    /// Opens it with these settings of the line; who comes after the first is answered with `then`.
    async fn open(line: &str, then: Reply) -> Self {
        let go_on = Arc::new(Notify::new());
        let end = End::Later(Arc::clone(&go_on), &[DONE]);
        let recorder = Recorder::start(move |n, _| match n {
            0 => Reply::Events(&[EVENT], end.clone()),
            _ => then.clone(),
        })
        .await;
        let more = format!(
            "[line]\n{line}\n[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\n[timeouts]\ndrain = \"50ms\"\n"
        );
        let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", &more)).await;
        let first = ask(&proxy, CHAT, ASKS, &[]).await;
        assert_eq!(first.status(), 200);
        Self { recorder, proxy, go_on, _holds: first.into_body() }
    }

    async fn ask(&self, path: &str, body: &'static str) -> Response<Incoming> {
        ask(&self.proxy, path, body, &[]).await
    }

    /// Waits until nobody waits any more.
    async fn is_left(&self) {
        while self.proxy.proxy().admission().snapshot().waiting > 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn ask(
    proxy: &Running,
    path: &str,
    body: &'static str,
    headers: &[(&str, &str)],
) -> Response<Incoming> {
    let mut request = Request::post(format!("http://{}{path}", proxy.listen()))
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::from(body)).expect("a request");
    Client::builder(TokioExecutor::new()).build_http().request(request).await.expect("a head")
}

/// Reads comments until there are so many.
async fn comments(body: &mut Incoming, count: usize) -> String {
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let frame = body.frame().await.expect("a comment").expect("an open stream");
        text.push_str(&String::from_utf8_lossy(&frame.into_data().expect("data")));
    }
    text
}

async fn rest(body: Incoming) -> String {
    let whole = body.collect().await.expect("a whole stream").to_bytes();
    String::from_utf8_lossy(&whole).into_owned()
}

/// Returns the events of a stream, without its comments.
fn events(text: &str) -> String {
    let events = text.split_inclusive("\n\n").filter(|event| !event.starts_with(':'));
    events.collect()
}

#[tokio::test]
async fn a_stream_hears_its_place_until_its_turn_comes_and_is_then_itself() {
    let queue =
        Queue::open("keep_alive = \"30ms\"", Reply::Events(&[EVENT, DONE], End::Clean)).await;
    let answer = queue.ask(CHAT, ASKS).await;
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert!(header("x-sluicegate-request-id").is_some());
    let mut body = answer.into_body();
    let heard = comments(&mut body, 3).await;
    assert_eq!(queue.recorder.seen().len(), 1, "it was sent before its turn");
    for comment in heard.split_inclusive("\n\n") {
        let place = comment.strip_prefix(": queued position=1 eta=");
        let seconds = place.and_then(|rest| rest.strip_suffix("s\n\n"));
        assert!(seconds.is_some_and(|text| text.parse::<u64>().is_ok()), "{comment:?}");
    }
    queue.go_on.notify_one();
    assert_eq!(events(&rest(body).await), format!("{EVENT}{DONE}"));
    let metrics = queue.proxy.proxy().metrics().render();
    let kept = r#"sluicegate_kept_alive_total{app="anonymous",model="gpt-4o",class="standard"} 1"#;
    assert!(metrics.contains(kept), "{metrics}");
}

#[tokio::test]
async fn whose_time_is_up_hears_so_as_an_event_of_its_endpoint() {
    let line = "keep_alive = \"20ms\"\nmax_wait = \"150ms\"";
    let queue = Queue::open(line, Reply::Silence).await;
    let chat = rest(queue.ask(CHAT, ASKS).await.into_body()).await;
    assert!(chat.starts_with(": queued position=1 "), "{chat}");
    let chat = events(&chat);
    let error =
        chat.strip_suffix(&format!("\n\n{DONE}")).and_then(|event| event.strip_prefix("data: "));
    let error: Value = serde_json::from_str(error.expect("an error, then the end")).expect("JSON");
    assert_eq!(error.pointer("/error/code"), Some(&"rate_limit_exceeded".into()), "{error}");

    let responses = rest(queue.ask("/v1/responses", RESPONDS).await.into_body()).await;
    let event = events(&responses);
    let data = event.strip_prefix("event: error\ndata: ").expect("an error event");
    let error: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!((&error["type"], &error["code"]), (&"error".into(), &"rate_limit_exceeded".into()));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("Please try again in")));
    queue.is_left().await;
}

#[tokio::test]
async fn an_error_of_the_provider_after_the_head_comes_as_an_event() {
    let queue = Queue::open("keep_alive = \"20ms\"", Reply::Json(403, FORBIDDEN)).await;
    let mut body = queue.ask(CHAT, ASKS).await.into_body();
    comments(&mut body, 1).await;
    queue.go_on.notify_one();
    assert_eq!(events(&rest(body).await), format!("data: {FORBIDDEN}\n\n{DONE}"));
}

#[tokio::test]
async fn a_client_may_ask_for_comments_or_decline_them() {
    let patience = ("x-stainless-read-timeout", "0.25");
    let queue = Queue::open("keep_alive = \"20ms\"", Reply::Silence).await;
    let silent =
        ask(&queue.proxy, CHAT, ASKS, &[("x-sluicegate-keep-alive", "off"), patience]).await;
    assert_eq!(silent.status(), 429, "it was kept alive");

    let queue = Queue::open("max_wait = \"900ms\"", Reply::Silence).await;
    let kept = ask(&queue.proxy, CHAT, ASKS, &[("x-sluicegate-keep-alive", "1"), patience]).await;
    assert_eq!(kept.status(), 200, "it was not kept alive");
    let text = rest(kept.into_body()).await;
    assert!(text.matches(": queued").count() >= 3, "its own patience ended the wait: {text}");
}

#[tokio::test]
async fn what_is_no_stream_or_does_not_wait_hears_no_comment() {
    let line = "keep_alive = \"20ms\"\nmax_wait = \"150ms\"";
    let queue = Queue::open(line, Reply::Events(&[EVENT, DONE], End::Clean)).await;
    let whole = queue.ask(CHAT, crate::path::HELLO).await;
    assert_eq!(whole.status(), 429, "a whole answer cannot be kept alive");
    queue.go_on.notify_one();
    while queue.proxy.proxy().admission().snapshot().lanes.iter().any(|lane| lane.open > 0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(rest(queue.ask(CHAT, ASKS).await.into_body()).await, format!("{EVENT}{DONE}"));
}

#[tokio::test]
async fn who_hangs_up_between_two_comments_leaves_the_line() {
    let queue = Queue::open("keep_alive = \"20ms\"", Reply::Silence).await;
    let mut body = queue.ask(CHAT, ASKS).await.into_body();
    comments(&mut body, 1).await;
    assert_eq!(queue.proxy.proxy().admission().snapshot().waiting, 1);
    drop(body);
    let left = tokio::time::timeout(Duration::from_secs(10), queue.is_left()).await;
    assert!(left.is_ok(), "it still waits");
    assert_eq!(queue.recorder.seen().len(), 1, "it was sent for nobody");
}

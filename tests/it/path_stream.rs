//! What streams through: byte for byte, to its end or to where it broke, and what is settled then.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use sluicegate::server::Running;
use tokio::sync::Notify;

use crate::house::{App, one_account, proxy};
use crate::path::{CHAT, SAID};
use crate::recorder::{End, Recorder, Reply};

const ASKS: &str =
    r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const HEAD: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
const SHOWN: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,\"total_tokens\":9}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

async fn streamed(end: End) -> (Recorder, Running) {
    let recorder = Recorder::start(move |_, _| Reply::Events(&[HEAD], end.clone())).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    (recorder, proxy)
}

/// Waits until the proxy has nothing open at the provider.
async fn settled(proxy: &Running) {
    let open = || {
        let lanes = proxy.proxy().admission().snapshot().lanes;
        lanes.iter().map(|lane| lane.open).sum::<usize>()
    };
    while open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn usage_is_asked_for_and_hidden_from_who_did_not_ask() {
    let recorder = Recorder::start(|_, _| Reply::Events(&[HEAD, USAGE, DONE], End::Clean)).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let answer = app.post(CHAT, ASKS).await;
    assert_eq!(answer.text(), format!("{SHOWN}{DONE}"));
    let sent = recorder.seen()[0].text();
    let spliced = ASKS.replacen('{', "{\"stream_options\":{\"include_usage\":true},", 1);
    assert_eq!(sent, spliced, "all else is byte for byte the client's");
    let totals = proxy.proxy().metrics().totals();
    assert_eq!(totals.settled.count(), 9, "what was reported is settled");

    let asked = spliced.as_str();
    let answer = app.post(CHAT, asked).await;
    assert_eq!(answer.text(), format!("{HEAD}{USAGE}{DONE}"), "who asks gets it");
    assert_eq!(recorder.seen()[1].text(), asked);
}

#[tokio::test]
async fn a_request_is_sent_as_it_came_and_no_max_tokens_is_written() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let body = "{ \"model\" : \"gpt-4o\",\n\t\"x\":1.0e5, \"messages\":[{\"role\":\"user\",\"content\":\"\\u00e9\"}] }\n";
    let answer =
        App::new(proxy.listen(), "notebook").post("/v1/chat/completions?a=%2F", body).await;
    assert_eq!(answer.text(), SAID);
    let seen = recorder.seen();
    assert_eq!(seen[0].text(), body);
    assert_eq!(seen[0].path, "/v1/chat/completions?a=%2F");
    assert_eq!(seen[0].header("content-length"), Some(body.len().to_string().as_str()));
    assert_eq!(seen[0].header("authorization"), Some("Bearer sk-1"));
}

#[tokio::test]
async fn a_stream_that_the_provider_cuts_is_a_broken_stream_for_the_client() {
    let breaks = Arc::new(Notify::new());
    let (_recorder, proxy) = streamed(End::Broken(Arc::clone(&breaks))).await;
    let request = request(&proxy);
    let answer = client().request(request).await.expect("a head");
    assert_eq!(answer.status(), 200);
    breaks.notify_one();
    let read = answer.into_body().collect().await;
    assert!(read.is_err(), "it ended as if it were whole");
    settled(&proxy).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_ends_the_call_at_the_provider() {
    let (recorder, proxy) = streamed(End::Never).await;
    let answer = client().request(request(&proxy)).await.expect("a head");
    let mut body = answer.into_body();
    assert!(body.frame().await.is_some(), "the first event");
    drop(body);
    recorder.given_up().await;
    settled(&proxy).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_before_the_head_ends_the_call_too() {
    let recorder = Recorder::start(|_, _| Reply::Silence).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let asking = tokio::spawn(client().request(request(&proxy)));
    recorder.asked(1).await;
    asking.abort();
    recorder.given_up().await;
    settled(&proxy).await;
    assert_eq!(proxy.proxy().metrics().totals().requests, 1, "it is counted as a request");
}

#[tokio::test]
async fn with_drain_the_call_goes_on_and_is_settled_with_what_it_reports() {
    let go_on = Arc::new(Notify::new());
    let end = End::Later(Arc::clone(&go_on), &[USAGE, DONE]);
    let recorder = Recorder::start(move |_, _| Reply::Events(&[HEAD], end.clone())).await;
    let drain = "[line]\non_disconnect = \"drain\"\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", drain)).await;
    let answer = client().request(request(&proxy)).await.expect("a head");
    let mut body = answer.into_body();
    assert!(body.frame().await.is_some(), "the first event");
    drop(body);
    go_on.notify_one();
    settled(&proxy).await;
    assert!(!recorder.is_given_up(), "the call was cancelled");
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), 9);
}

#[tokio::test]
async fn who_hangs_up_in_line_leaves_it() {
    let go_on = Arc::new(Notify::new());
    let end = End::Later(Arc::clone(&go_on), &[USAGE, DONE]);
    let recorder = Recorder::start(move |_, _| Reply::Events(&[HEAD], end.clone())).await;
    let one = "[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", one)).await;
    let first = client().request(request(&proxy)).await.expect("a head");
    let second = tokio::spawn(client().request(request(&proxy)));
    let waiting = || proxy.proxy().admission().snapshot().waiting;
    while waiting() == 0 {
        tokio::task::yield_now().await;
    }
    second.abort();
    while waiting() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(recorder.seen().len(), 1, "nothing of it was sent");
    go_on.notify_one();
    let rest = first.into_body().collect().await.expect("a whole stream").to_bytes();
    assert!(rest.ends_with(DONE.as_bytes()));
    settled(&proxy).await;
}

type Client = hyper_util::client::legacy::Client<
    hyper_util::client::legacy::connect::HttpConnector,
    Full<Bytes>,
>;

/// A client of its own, whose connection closes with what it waits for.
fn client() -> Client {
    hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http()
}

fn request(proxy: &Running) -> Request<Full<Bytes>> {
    Request::post(format!("http://{}{CHAT}", proxy.listen()))
        .header("content-type", "application/json")
        .body(Full::from(ASKS))
        .expect("a request")
}

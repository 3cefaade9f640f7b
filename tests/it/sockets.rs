//! Websockets through the proxy: admitted as one request, and each answer on them settled by what it tells.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sluicegate::server::{self, Running};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::cuts::cut_short;
use crate::endpoints::{charged, provider, proxy_of, slow_provider};
use crate::house::{one_account, proxy, settings};
use crate::upstream::{tls_server_that, trusting};

/// Far longer than anything takes that goes right.
const SOON: Duration = Duration::from_secs(10);

pub(crate) type Socket = WebSocketStream<TcpStream>;

pub(crate) async fn connect(proxy: &Running, path: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://{}{path}", proxy.listen()).into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("authorization", "Bearer notebook".parse().expect("a value"));
    headers.insert("sec-websocket-extensions", "permessage-deflate".parse().expect("a value"));
    let stream = TcpStream::connect(proxy.listen()).await.expect("the proxy listens");
    tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
}

pub(crate) async fn say(socket: &mut Socket, event: Value) {
    socket.send(Message::text(event.to_string())).await.expect("it is open");
}

/// Reads events up to one of that kind.
pub(crate) async fn until(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let message = socket.next().await.expect("it is open").expect("a message");
        let Message::Text(text) = message else { continue };
        let event: Value = serde_json::from_str(&text).expect("an event");
        if event.get("type").and_then(Value::as_str) == Some(kind) {
            return event;
        }
    }
}

/// Returns how many requests are under way, websockets included.
fn open(proxy: &Running) -> usize {
    let lanes = proxy.proxy().admission().snapshot().lanes;
    lanes.iter().map(|lane| lane.open).sum()
}

/// Closes a websocket and waits until nothing is open.
pub(crate) async fn close(proxy: &Running, mut socket: Socket) {
    assert!(open(proxy) >= 1, "it holds no slot");
    socket.close(None).await.expect("it is open");
    while let Some(Ok(_)) = socket.next().await {}
    while open(proxy) > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn each_response_on_a_websocket_is_settled_by_what_it_tells() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let mut socket = connect(&proxy, "/v1/responses").await.expect("a websocket");
    let mut previous = Value::Null;
    for n in 1..=3 {
        let ask = json!({"type": "response.create", "model": "gpt-4o", "input": "tell me a story",
                         "previous_response_id": previous});
        say(&mut socket, ask).await;
        let done = until(&mut socket, "response.completed").await;
        let usage = &done["response"]["usage"];
        assert!(usage["total_tokens"].as_u64() > Some(10), "answer {n}: {usage}");
        previous = done["response"]["id"].clone();
    }
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), charged(&provider));
    close(&proxy, socket).await;
    let totals = proxy.proxy().metrics().totals();
    assert_eq!((totals.requests, totals.settled.count()), (4, charged(&provider)));
}

#[tokio::test]
async fn a_websocket_goes_over_tls_although_http_2_is_offered_there() {
    let provider = provider().await;
    let behind = provider.addr();
    let tls = tls_server_that(&[b"h2", b"http/1.1"], move |mut stream| async move {
        let mut plain = TcpStream::connect(behind).await.expect("it listens");
        // Whoever ends first ends it.
        let _copied = copy_bidirectional(&mut stream, &mut plain).await;
    })
    .await;
    let base = format!("https://localhost:{}/v1", tls.port);
    let settings = settings(&one_account(&base, "sk-sim", ""));
    let proxy = server::start(settings, trusting(&tls)).await.expect("a proxy");
    let mut socket = connect(&proxy, "/v1/responses").await.expect("a websocket");
    say(&mut socket, json!({"type": "response.create", "model": "gpt-4o", "input": "hi"})).await;
    until(&mut socket, "response.completed").await;
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), charged(&provider));
    close(&proxy, socket).await;
}

#[tokio::test]
async fn a_realtime_conversation_grows_and_is_settled() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let path = "/v1/realtime?model=gpt-realtime";
    let mut socket = connect(&proxy, path).await.expect("a websocket");
    let created = until(&mut socket, "session.created").await;
    assert_eq!(created["session"]["model"], "gpt-realtime");
    for _ in 0..2 {
        let item = json!({"type": "message", "role": "user",
                          "content": [{"type": "input_text", "text": "tell me a story"}]});
        say(&mut socket, json!({"type": "conversation.item.create", "item": item})).await;
        say(&mut socket, json!({"type": "response.create"})).await;
        until(&mut socket, "response.done").await;
    }
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), charged(&provider));
    close(&proxy, socket).await;
}

#[tokio::test]
async fn on_which_nothing_was_asked_is_closed_at_once_when_the_program_stops() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let mut socket = connect(&proxy, "/v1/responses").await.expect("a websocket");
    // Without `timeouts.drain`, which is far longer than the test may take.
    assert_eq!(timeout(SOON, proxy.stop()).await.expect("it stops"), 0);
    let Some(Ok(Message::Close(Some(close)))) = socket.next().await else { panic!("not closed") };
    assert_eq!(close.code, CloseCode::Away);
}

#[tokio::test]
async fn an_answer_on_a_websocket_comes_to_its_end_when_the_program_stops() {
    let provider = slow_provider(0.0).await;
    let running = proxy_of(&provider).await;
    let proxy = running.proxy().clone();
    let mut socket = connect(&running, "/v1/responses").await.expect("a websocket");
    let ask = json!({"type": "response.create", "model": "gpt-4o", "input": "tell me a story"});
    say(&mut socket, ask).await;
    until(&mut socket, "response.output_text.delta").await;
    let stopping = tokio::spawn(running.stop());
    let done = until(&mut socket, "response.completed").await;
    assert!(done["response"]["usage"]["output_tokens"].as_u64() > Some(100), "{done}");
    assert_eq!(stopping.await.expect("it stops"), 0);
    assert_eq!(proxy.metrics().totals().settled.count(), charged(&provider));
}

#[tokio::test]
async fn what_is_cut_on_a_websocket_when_the_program_stops_is_settled_by_what_was_written() {
    let provider = slow_provider(0.0).await;
    let drain = "[timeouts]\ndrain = \"50ms\"\n";
    let running =
        proxy(&format!("{drain}{}", one_account(&provider.base_url(), "sk-sim", ""))).await;
    let proxy = running.proxy().clone();
    let mut socket = connect(&running, "/v1/responses").await.expect("a websocket");
    let ask = json!({"type": "response.create", "model": "gpt-4o", "input": "tell me a story"});
    say(&mut socket, ask).await;
    for _ in 0..300 {
        until(&mut socket, "response.output_text.delta").await;
    }
    running.stop().await;
    let written = cut_short(&provider).await.cut_output;
    let totals = proxy.metrics().totals();
    let settled = totals.settled.count() - totals.counted.count();
    assert!(settled.abs_diff(written) * 20 <= written, "{settled} settled of {written}");
}

#[tokio::test]
async fn what_is_refused_on_a_websocket_costs_no_tokens() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let mut socket = connect(&proxy, "/v1/responses").await.expect("a websocket");
    let ask = json!({"type": "response.create", "model": "gpt-4o", "input": "hi",
                     "previous_response_id": "resp_of_nobody"});
    say(&mut socket, ask).await;
    let error = until(&mut socket, "error").await;
    assert_eq!(error["error"]["code"], "previous_response_not_found");
    close(&proxy, socket).await;
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), 0);
}

#[tokio::test]
async fn a_websocket_that_the_provider_refuses_is_refused_in_its_words() {
    let provider = provider().await;
    let keys = [("sk-wrong", 502), ("", 401)];
    for (key, status) in keys {
        let toml = match key {
            "" => format!("[[upstreams]]\nbase_url = \"{}\"\n", provider.base_url()),
            key => one_account(&provider.base_url(), key, ""),
        };
        let proxy = proxy(&toml).await;
        let refused = connect(&proxy, "/v1/responses").await;
        let Err(Error::Http(answer)) = refused else { panic!("it was not refused") };
        assert_eq!(answer.status(), status, "a key of ours is told to be ours: {key}");
        assert_eq!(open(&proxy), 0);
    }
}

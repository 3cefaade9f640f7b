//! Other names of models on websockets.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use sluicegate::server::Running;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::endpoints::{charged, provider};
use crate::house::{one_account, proxy};
use crate::sockets::{close, connect, say, until};

const FAST: &str = "[[models]]\nname = \"fast\"\nmodel = \"gpt-4o\"\n\
    [[models]]\nname = \"aloud\"\nmodel = \"gpt-realtime\"\n";

#[tokio::test]
async fn a_response_that_is_asked_for_by_another_name_is_made_by_its_model() {
    let provider = provider().await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-sim", FAST)).await;
    let mut socket = connect(&proxy, "/v1/responses").await.expect("a websocket");
    for model in ["fast", "gpt-4o"] {
        let ask = json!({"type": "response.create", "model": model, "input": "tell me a story"});
        say(&mut socket, ask).await;
        let done = until(&mut socket, "response.completed").await;
        assert_eq!(done.pointer("/response/model"), Some(&"gpt-4o".into()), "{model}");
    }
    let lanes = proxy.proxy().admission().snapshot().lanes;
    assert!(lanes.iter().any(|lane| lane.group == "gpt-4o"), "it is not debited as that");
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), charged(&provider));
    close(&proxy, socket).await;
}

#[tokio::test]
async fn a_conversation_by_another_name_is_held_with_its_model() {
    let provider = provider().await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-sim", FAST)).await;
    let path = "/v1/realtime?intent=talk&model=aloud&x=1";
    let mut socket = connect(&proxy, path).await.expect("a websocket");
    let created = until(&mut socket, "session.created").await;
    assert_eq!(created.pointer("/session/model"), Some(&"gpt-realtime".into()), "{created}");
    close(&proxy, socket).await;
}

/// A provider that agrees to speak, and writes down all that it hears.
async fn listener() -> (String, JoinHandle<()>, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}/v1", listener.local_addr().expect("bound"));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a proxy");
        agree(&mut stream).await;
        let mut buffer = [0; 4_096];
        while let Ok(size @ 1..) = stream.read(&mut buffer).await {
            notes
                .lock()
                .expect("not poisoned")
                .extend_from_slice(buffer.get(..size).expect("read"));
        }
    });
    (base, task, heard)
}

/// Reads the head of a request and agrees to speak.
async fn agree(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let agreed =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(agreed.as_bytes()).await.expect("it listens");
}

/// Speaks as a client that has its own way to frame.
async fn plain(proxy: &Running, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.listen()).await.expect("it listens");
    let ask = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         authorization: Bearer notebook\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        proxy.listen()
    );
    stream.write_all(ask.as_bytes()).await.expect("it listens");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

fn frame(first: u8, text: &[u8]) -> Vec<u8> {
    let mask = [9, 8, 7, 6];
    let size = u8::try_from(text.len()).ok().filter(|size| *size < 126).expect("a short text");
    let masked = text.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key);
    [first, 0x80 | size].into_iter().chain(mask).chain(masked).collect()
}

#[tokio::test]
async fn what_names_no_other_model_goes_on_byte_for_byte_however_it_is_cut() {
    let old = br#"{"type":"response.create", "model":"fast","input":"x"}"#;
    let new = br#"{"type":"response.create", "model":"gpt-4o","input":"x"}"#;
    let other = br#"{"type":"response.cancel","model":"fast"}"#;
    let parts = |text: &[u8]| [frame(0x01, &text[..9]), frame(0x80, &text[9..])].concat();
    let before = [frame(0x82, b"\x00fast"), parts(other), frame(0x89, b"ping")].concat();
    let behind = [frame(0x81, b"{no JSON"), frame(0x81, new), frame(0x88, b"\x03\xe8")].concat();
    let sent = [&before[..], &parts(old), &behind].concat();
    let expected = [&before[..], &frame(0x81, new), &behind].concat();
    for size in [1, 5, sent.len()] {
        let (base, provider, heard) = listener().await;
        let proxy = proxy(&one_account(&base, "sk-sim", FAST)).await;
        let mut client = plain(&proxy, "/v1/responses").await;
        client.set_nodelay(true).expect("a socket");
        for piece in sent.chunks(size) {
            client.write_all(piece).await.expect("it listens");
            tokio::task::yield_now().await;
        }
        client.shutdown().await.expect("it listens");
        provider.await.expect("it has heard all");
        assert!(*heard.lock().expect("not poisoned") == expected, "in pieces of {size}");
    }
}

#[tokio::test]
async fn a_message_that_is_larger_than_can_be_held_goes_on_as_it_is() {
    let provider = provider().await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-sim", FAST)).await;
    let mut socket = connect(&proxy, "/v1/responses").await.expect("a websocket");
    let large = json!({"type": "other", "pad": "x".repeat(9 << 20)});
    say(&mut socket, large).await;
    let ask = json!({"type": "response.create", "model": "fast", "input": "hi"});
    socket.send(Message::text(ask.to_string())).await.expect("it is open");
    let mut kinds = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        let event: serde_json::Value = serde_json::from_slice(&message.into_data()).expect("JSON");
        let kind = event.get("type").and_then(|it| it.as_str()).unwrap_or_default().to_owned();
        let is_over = kind == "response.completed";
        kinds.push(kind);
        if is_over {
            break;
        }
    }
    assert!(kinds.iter().any(|kind| kind == "response.completed"), "{kinds:?}");
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), charged(&provider));
}

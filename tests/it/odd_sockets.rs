//! Websockets whose ends do not behave: whatever comes, they end, and all that was asked on them is settled.

use std::time::Duration;

use sluicegate::server::Running;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::books::Books;
use crate::cuts::booked;
use crate::house::{one_account, proxy};

/// Far longer than anything takes that goes right.
const SOON: Duration = Duration::from_secs(20);

const ASK: &[u8] = br#"{"type":"response.create","model":"gpt-4o","input":"hi"}"#;
const AGREED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
/// Another name makes clients' texts be held until they are whole.
const FAST: &str = "[[models]]\nname = \"fast\"\nmodel = \"gpt-4o\"\n";

/// Starts a provider that says `bytes` to each who connects, its head included; where that is all, it closes.
async fn saying(bytes: Vec<u8>, closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}/v1", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                read_head(&mut stream).await;
                // Who is cut off cannot be told more.
                let (head, rest) = bytes.split_at(bytes.len().min(AGREED.len()));
                let _told = stream.write_all(head).await;
                let mut buffer = [0; 4_096];
                if !rest.is_empty() && head == AGREED {
                    // What was asked is answered.
                    let _asked = stream.read(&mut buffer).await;
                    let _told = stream.write_all(rest).await;
                }
                while !closes && matches!(stream.read(&mut buffer).await, Ok(1..)) {}
            });
        }
    });
    base
}

/// Reads a head up to its end, or to that of the connection.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn hello(proxy: &Running) -> Vec<u8> {
    let head = format!(
        "GET /v1/responses HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         authorization: Bearer notebook\r\nsec-websocket-version: 13\r\n\
         sec-websocket-extensions: permessage-deflate\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        proxy.listen()
    );
    head.into_bytes()
}

async fn connect(proxy: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.listen()).await.expect("it listens");
    stream.write_all(&hello(proxy)).await.expect("it listens");
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream
}

fn framed(first: u8, text: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match u8::try_from(text.len()) {
        Ok(size @ 0..126) => frame.push(masked | size),
        _ => {
            frame.push(masked | 126);
            frame.extend(u16::try_from(text.len()).expect("a short text").to_be_bytes());
        }
    }
    frame.extend(mask.iter().flatten());
    let key = mask.unwrap_or_default();
    frame.extend(text.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn by_client(first: u8, text: &[u8]) -> Vec<u8> {
    framed(first, text, Some([7, 0, 255, 3]))
}

/// Waits until nothing is open.
async fn quiet(proxy: &Running, case: &str) {
    let open = || -> usize {
        proxy.proxy().admission().snapshot().lanes.iter().map(|lane| lane.open).sum()
    };
    let quiet = timeout(SOON, async {
        while open() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(quiet.await.is_ok(), "{case}: {} are still open", open());
}

#[tokio::test]
async fn a_client_may_go_at_each_byte() {
    for names in ["", FAST] {
        let base = saying(AGREED.to_vec(), false).await;
        let proxy = proxy(&one_account(&base, "sk-sim", names)).await;
        let sent = [
            by_client(0x89, b"ping"),
            by_client(0x01, &ASK[..20]),
            by_client(0x80, &ASK[20..]),
            by_client(0x82, &[0; 130]),
            by_client(0x88, b"\x03\xe8"),
        ]
        .concat();
        for at in 0..=sent.len() {
            let mut client = connect(&proxy).await;
            client.write_all(&sent[..at]).await.expect("it listens");
        }
        quiet(&proxy, names).await;
        let head = hello(&proxy);
        for at in (0..head.len()).step_by(7) {
            let mut client = TcpStream::connect(proxy.listen()).await.expect("it listens");
            client.write_all(&head[..at]).await.expect("it listens");
        }
        quiet(&proxy, "half a head").await;
    }
}

#[tokio::test]
async fn a_provider_may_go_at_each_byte_and_what_it_told_counts() {
    let told = |text: &str| framed(0x81, text.as_bytes(), None);
    let said = [
        told(r#"{"type":"response.created","response":{"id":"resp_1"}}"#),
        told(r#"{"type":"response.output_text.delta","delta":"Hello"}"#),
        told(r#"{"type":"response.completed","response":{"id":"resp_1","usage":{"input_tokens":900,"output_tokens":100}}}"#),
    ]
    .concat();
    for at in 0..=said.len() {
        let base = saying([AGREED, &said[..at]].concat(), true).await;
        let proxy = proxy(&one_account(&base, "sk-sim", "")).await;
        let mut client = connect(&proxy).await;
        client.write_all(&by_client(0x81, ASK)).await.expect("it listens");
        let mut heard = Vec::new();
        // It may end with a reset.
        let _ended = timeout(SOON, client.read_to_end(&mut heard)).await.expect("it ends");
        drop(client);
        quiet(&proxy, &format!("at byte {at}")).await;
        let settled = proxy.proxy().metrics().totals().settled.count();
        if at == said.len() {
            assert_eq!((heard.len(), settled), (at, 1_000), "all was told");
        } else if !heard.is_empty() {
            assert!(settled < 1_000, "at byte {at}: {settled}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_breaks_off_in_its_head_is_told_of_in_words() {
    for at in (1..AGREED.len()).step_by(5) {
        let base = saying(AGREED[..at].to_vec(), true).await;
        let proxy = proxy(&one_account(&base, "sk-sim", "")).await;
        let mut client = TcpStream::connect(proxy.listen()).await.expect("it listens");
        client.write_all(&hello(&proxy)).await.expect("it listens");
        let head = timeout(SOON, read_head(&mut client)).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 502"), "at byte {at}: {head}");
        quiet(&proxy, "half a head").await;
    }
}

#[tokio::test]
async fn a_frame_without_end_and_other_oddities_harm_nobody() {
    let giant = |opcode: u8| {
        let mut head = vec![opcode, 0xff];
        head.extend((1_u64 << 62).to_be_bytes());
        head.extend([1, 2, 3, 4]);
        head.extend(vec![b'x'; 12 << 20]);
        head
    };
    let packed = [0x78, 0x9c, 0xab, 0x56, 0x2a, 0xa9, 0x2c, 0x48];
    let oddities = [
        ("a text without end", giant(0x81)),
        ("bytes without end", giant(0x82)),
        ("a ping without end", giant(0x89)),
        ("a part of nothing", by_client(0x80, ASK)),
        ("parts without number", by_client(0x01, b"").repeat(5_000)),
        ("what is packed", by_client(0xc1, &packed)),
        ("an unknown kind", by_client(0x83, ASK)),
        ("no mask", framed(0x81, ASK, None)),
        ("no text", by_client(0x81, &[0xff, 0xfe, b'{'])),
        ("deep JSON", by_client(0x81, "[".repeat(60_000).as_bytes())),
        ("a close in the middle", [by_client(0x01, &ASK[..9]), by_client(0x88, b"")].concat()),
    ];
    for names in ["", FAST] {
        let base = saying(AGREED.to_vec(), false).await;
        let proxy = proxy(&one_account(&base, "sk-sim", names)).await;
        for (case, bytes) in &oddities {
            let mut client = connect(&proxy).await;
            client.write_all(bytes).await.unwrap_or_else(|error| panic!("{case}: {error}"));
            drop(client);
            quiet(&proxy, case).await;
        }
        // It serves on.
        drop(connect(&proxy).await);
        quiet(&proxy, "the last").await;
    }
}

#[tokio::test]
async fn who_goes_between_asking_and_the_answer_leaves_an_estimate() {
    let base = saying(AGREED.to_vec(), false).await;
    let books = Books::new().await;
    let toml = format!("{}{}", books.settings(), one_account(&base, "sk-sim", ""));
    let running = proxy(&toml).await;
    let mut client = connect(&running).await;
    client.write_all(&by_client(0x81, ASK)).await.expect("it listens");
    let asked = || {
        running
            .proxy()
            .admission()
            .snapshot()
            .lanes
            .iter()
            .any(|lane| lane.group == "gpt-4o" && lane.open == 1)
    };
    while !asked() {
        tokio::task::yield_now().await;
    }
    drop(client);
    quiet(&running, "it has gone").await;
    running.stop().await;
    let case = "nothing was begun";
    let booked = booked(&books, &toml, case).await;
    assert_eq!((&*booked.ending, &*booked.method), ("client_gone", "assumed"));
    assert_eq!((booked.input, booked.output), booked.estimated);
}

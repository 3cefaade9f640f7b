//! Large bodies and slow readers cost no memory: what one side does not take, the other does not send.

#![cfg(target_os = "linux")]

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::path::CHAT;
use crate::path_process::Program;
use crate::wire::Wire;

const LARGE: usize = 200 << 20;
/// What a program may grow by, in kB.
const LITTLE: u64 = 16 * 1024;
static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

async fn house() -> (TcpListener, Program) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}/v1", listener.local_addr().expect("bound"));
    (listener, Program::start(&base, "text"))
}

/// Accepts the request of the program and reads its head.
async fn accept(listener: &TcpListener) -> Wire {
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut wire = Wire::of(stream);
    wire.heard_head().await;
    wire
}

async fn write(stream: &mut TcpStream, mut left: usize) {
    while left > 0 {
        let piece = PIECE.get(..left.min(PIECE.len())).expect("a part");
        stream.write_all(piece).await.expect("taken");
        left -= piece.len();
    }
}

async fn read(stream: &mut TcpStream, mut left: usize) {
    let mut piece = vec![0; PIECE.len()];
    while left > 0 {
        let room = left.min(piece.len());
        let read = stream.read(piece.get_mut(..room).expect("a part")).await.expect("readable");
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_and_a_large_download_take_no_memory() {
    let (listener, program) = house().await;
    let mut client = Wire::to(program.listen()).await;
    let before = program.kilobytes("VmHWM");
    client
        .say(format!(
            "POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LARGE}\r\n\r\n"
        ))
        .await;
    let upload = async {
        let mut provider = accept(&listener).await;
        let already = provider.taken();
        read(provider.stream(), LARGE - already).await;
        provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        provider
    };
    let (mut provider, ()) = tokio::join!(upload, write(client.stream(), LARGE));
    assert_eq!(client.answer().await.status(), 200);
    let uploaded = program.kilobytes("VmHWM");

    client.say("GET /v1/files/f1/content HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let download = async {
        provider.heard_head().await;
        provider.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
        write(provider.stream(), LARGE).await;
    };
    let taking = async {
        assert_eq!(client.bare_answer().await.status(), 200);
        let already = client.taken();
        read(client.stream(), LARGE - already).await;
    };
    tokio::join!(download, taking);
    let downloaded = program.kilobytes("VmHWM");
    assert!(uploaded - before < LITTLE, "{} kB for the upload", uploaded - before);
    assert!(downloaded - uploaded < LITTLE, "{} kB for the download", downloaded - uploaded);
}

/// Returns a request for a stream.
fn streamed() -> String {
    let body = r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let length = body.len();
    format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Writes `piece` again and again until nobody takes any more for a while; returns how much that was.
async fn write_until_full(stream: &mut TcpStream, piece: &[u8]) -> usize {
    let mut written = 0;
    loop {
        let rest = piece.get(written % piece.len()..).expect("a part");
        // Half a second is for the buffers of two connections to fill.
        let Ok(taken) = timeout(Duration::from_millis(500), stream.write(rest)).await else {
            return written;
        };
        written += taken.expect("it is open");
        assert!(written < LARGE, "nobody reads it, and it is taken nevertheless");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_slows_the_provider_down() {
    let (listener, program) = house().await;
    let event = format!("data: {{\"choices\":[],\"x\":\"{}\"}}\n\n", "y".repeat(4_000));
    let mut client = Wire::to(program.listen()).await;
    client.say(streamed()).await;
    let mut provider = accept(&listener).await;
    // It was counted by now, and the vocabulary for that is there.
    let before = program.kilobytes("VmRSS");
    provider.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
    let written = write_until_full(provider.stream(), event.as_bytes()).await;
    let grown = program.kilobytes("VmRSS").saturating_sub(before);
    assert!(grown < LITTLE, "{grown} kB for {written} bytes that nobody reads");
    assert_eq!(client.bare_answer().await.status(), 200);
    // Once it reads, it goes on.
    let go_on = write(provider.stream(), 1 << 20);
    tokio::join!(read(client.stream(), written / 2), go_on);
}

/// Returns the most that lies in the buffers of the two connections of a stream, by what the system lets
/// them grow to, and a little that is in the program.
fn most_under_way() -> usize {
    let largest = |name: &str| -> usize {
        let sizes = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}"));
        let sizes = sizes.expect("the system tells");
        sizes.split_ascii_whitespace().last().and_then(|it| it.parse().ok()).expect("a size")
    };
    2 * (largest("tcp_wmem") + largest("tcp_rmem")) + (1 << 20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_a_little_at_a_time_gets_it_and_the_provider_is_never_far_ahead() {
    /// More than could ever be under way.
    const TAKEN: usize = 2_048;
    let (listener, program) = house().await;
    let event = format!("data: {{\"choices\":[],\"x\":\"{}\"}}\n\n", "y".repeat(4_000));
    let mut client = Wire::to(program.listen()).await;
    client.say(streamed()).await;
    let mut provider = accept(&listener).await;
    let before = program.kilobytes("VmRSS");
    provider.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
    assert_eq!(client.bare_answer().await.status(), 200);
    let most = most_under_way();
    let (mut written, mut taken) = (0, client.taken());
    let mut piece = [0; 1024];
    for _ in 0..TAKEN {
        // The provider writes as much as is taken of it at all; only then does the client take a little.
        while let Ok(more) = provider
            .stream()
            .try_write(event.as_bytes().get(written % event.len()..).expect("a part"))
        {
            written += more;
            assert!(written <= taken + most, "{written} were written when {taken} were read");
        }
        client.stream().read_exact(&mut piece).await.expect("more to come");
        taken += piece.len();
    }
    let grown = program.kilobytes("VmRSS").saturating_sub(before);
    assert!(grown < LITTLE, "{grown} kB, {written} bytes written and {taken} read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_read_slows_the_client_down() {
    let (listener, program) = house().await;
    let before = program.kilobytes("VmRSS");
    let mut client = Wire::to(program.listen()).await;
    client
        .say(format!(
            "POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
            2 * LARGE
        ))
        .await;
    let _provider = accept(&listener).await;
    let written = write_until_full(client.stream(), &PIECE).await;
    let grown = program.kilobytes("VmRSS").saturating_sub(before);
    assert!(grown < LITTLE, "{grown} kB for {written} bytes that nobody reads");
}

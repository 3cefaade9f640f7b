//! Many streams take little more memory than a relay that does nothing takes for them.

#![cfg(target_os = "linux")]

use std::env;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpListener;

use crate::path::CHAT;
use crate::path_process::{Program, kilobytes};
use crate::wire::Wire;

#[path = "../../benches/proxy/bare.rs"]
mod bare;

const STREAMS: usize = 2_000;

/// Names the provider to this program when it is started once more, as the bare relay.
const PROVIDER_OF_BARE: &str = "SLUICEGATE_TEST_PROVIDER_OF_BARE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_streams_take_at_most_half_as_much_again_as_of_a_relay_that_does_nothing() {
    if let Ok(provider) = env::var(PROVIDER_OF_BARE) {
        bare::serve(&provider).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let provider = listener.local_addr().expect("bound");
    tokio::spawn(endless(listener));
    let program = Program::start(&format!("http://{provider}/v1"), "text");
    let ours = growth(program.listen(), program.id()).await;
    drop(program);
    let relay = Bare::start(provider);
    let bare = growth(relay.address, relay.process.id()).await;
    println!("each stream takes {ours} bytes here, {bare} in the bare relay");
    assert!(ours < 64 * 1024, "{ours} bytes for each stream");
    assert!(2 * ours <= 3 * bare, "{ours} bytes for each stream, {bare} in the bare relay");
}

/// Opens all streams through a process, holds them, and returns by how many bytes it grew for each.
async fn growth(address: SocketAddr, id: u32) -> u64 {
    let mut first = ask(address).await;
    assert_eq!(first.bare_answer().await.status(), 200);
    let before = kilobytes(id, "VmRSS");
    let mut clients = Vec::new();
    for _ in 0..STREAMS {
        clients.push(ask(address).await);
    }
    for client in &mut clients {
        assert_eq!(client.bare_answer().await.status(), 200);
    }
    1024 * (kilobytes(id, "VmRSS") - before) / STREAMS as u64
}

async fn ask(address: SocketAddr) -> Wire {
    const BODY: &str =
        r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut client = Wire::to(address).await;
    let length = BODY.len();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n");
    client.say(format!("{head}\r\n{BODY}")).await;
    client
}

/// A provider of streams that never end; it tells limits that are no hindrance.
async fn endless(listener: TcpListener) {
    const BEGUN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
        x-ratelimit-limit-requests: 1000000\r\nx-ratelimit-remaining-requests: 999999\r\n\
        x-ratelimit-limit-tokens: 1000000000\r\nx-ratelimit-remaining-tokens: 999999999\r\n\r\n\
        data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(async move {
            let mut wire = Wire::of(stream);
            wire.heard_head().await;
            wire.say(BEGUN).await;
            wire.is_closed().await;
        });
    }
}

/// The bare relay: this very program, which begins the same test as another process.
struct Bare {
    process: Child,
    address: SocketAddr,
}

impl Bare {
    fn start(provider: SocketAddr) -> Self {
        let this = env::current_exe().expect("the path of this program");
        let name =
            "two_thousand_streams_take_at_most_half_as_much_again_as_of_a_relay_that_does_nothing";
        let mut process = Command::new(this)
            .args(["--exact", "--nocapture", &format!("wire_memory::{name}")])
            .env(PROVIDER_OF_BARE, provider.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let said = BufReader::new(process.stderr.take().expect("a pipe"));
        let address = said.lines().map_while(Result::ok).find_map(|line| {
            line.strip_prefix("listening on http://").and_then(|address| address.parse().ok())
        });
        Self { process, address: address.expect("it said where it listens") }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It serves until it is ended.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

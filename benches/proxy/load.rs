//! The load: a fixed number of connections, each sending its next request when it has its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::prompts;
use super::upstream::{BURST, EVENTS, STAMP, nanos};

/// A kind of request, and how many of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Small,
    LargeSeen,
    LargeUnseen,
    Streams,
    /// Streams that send all they have at once.
    Bursts,
}

impl Work {
    pub(crate) const ALL: [Self; 4] =
        [Self::Small, Self::LargeSeen, Self::LargeUnseen, Self::Streams];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "300-byte prompt",
            Self::LargeSeen => "100 KB prompt, seen before",
            Self::LargeUnseen => "100 KB prompt, not seen",
            Self::Streams => "200 streams of 200 events",
            Self::Bursts => "streams of 50 events at once",
        }
    }

    /// What is counted: a request, or an event of a stream.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Streams | Self::Bursts => "event",
            _ => "request",
        }
    }

    /// Requests of one measured round: enough for the kernel's clock ticks of 10 ms.
    pub(crate) fn per_round(self) -> usize {
        match self {
            Self::Small => 6_000,
            Self::LargeSeen => 1_500,
            Self::LargeUnseen => 200,
            Self::Streams => 200,
            Self::Bursts => 1_000,
        }
    }

    /// Requests before the first measured round.
    pub(crate) fn warm_up(self) -> usize {
        match self {
            Self::Small => 500,
            Self::LargeSeen | Self::LargeUnseen => 10,
            Self::Streams | Self::Bursts => 10,
        }
    }

    fn connections(self) -> usize {
        match self {
            Self::Small | Self::Bursts => 16,
            Self::LargeSeen | Self::LargeUnseen => 4,
            Self::Streams => 200,
        }
    }
}

/// What was done in one go.
#[derive(Debug)]
pub(crate) struct Played {
    /// Requests, or events of streams.
    pub(crate) units: usize,
    pub(crate) wall: Duration,
    /// From sending to arrival of each event, sorted.
    pub(crate) held: Vec<Duration>,
    /// From the start of each request to the end of its answer, sorted.
    pub(crate) took: Vec<Duration>,
}

/// Sends `count` requests of `work` to `address`.
pub(crate) async fn play(address: &str, work: Work, count: usize) -> Played {
    play_over(work.connections(), address, work, count).await
}

/// Does the same over so many connections.
pub(crate) async fn play_over(
    connections: usize,
    address: &str,
    work: Work,
    count: usize,
) -> Played {
    let bodies = bodies(work, count);
    let mut senders = Vec::new();
    for _ in 0..connections.min(count) {
        senders.push(connect(address).await);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for sender in senders {
        let (bodies, next, host) = (Arc::clone(&bodies), Arc::clone(&next), address.to_owned());
        workers.spawn(async move { worker(sender, &host, &bodies, &next, count).await });
    }
    let (mut held, mut took) = (Vec::new(), Vec::new());
    for (events, requests) in workers.join_all().await {
        held.extend(events);
        took.extend(requests);
    }
    let wall = start.elapsed();
    held.sort_unstable();
    took.sort_unstable();
    match work {
        Work::Streams => assert_eq!(held.len(), count * EVENTS, "every event arrives"),
        Work::Bursts => assert_eq!(held.len(), count * BURST, "every event arrives"),
        _ => {}
    }
    Played { units: if held.is_empty() { count } else { held.len() }, wall, held, took }
}

/// Makes the bodies before the clock starts; one is used again and again unless it must be new.
fn bodies(work: Work, count: usize) -> Arc<Vec<Bytes>> {
    /// Counts up, so that no prompt comes twice in a run.
    static SEED: AtomicU64 = AtomicU64::new(1_000);
    Arc::new(match work {
        Work::Small => vec![prompts::small()],
        Work::LargeSeen => vec![prompts::large(1)],
        Work::LargeUnseen => {
            (0..count).map(|_| prompts::large(SEED.fetch_add(1, Ordering::Relaxed))).collect()
        }
        Work::Streams => vec![prompts::streamed()],
        Work::Bursts => vec![prompts::at_once()],
    })
}

pub(super) async fn connect(address: &str) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("the target listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

async fn worker(
    mut sender: SendRequest<Full<Bytes>>,
    host: &str,
    bodies: &[Bytes],
    next: &AtomicUsize,
    count: usize,
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut held, mut took) = (Vec::new(), Vec::new());
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= count {
            return (held, took);
        }
        let body = bodies.get(at % bodies.len()).expect("at least one body").clone();
        let request = Request::post("/v1/chat/completions")
            .header("host", host)
            .header("authorization", "Bearer sk-bench")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .expect("a valid request");
        sender.ready().await.expect("the connection is kept");
        let start = Instant::now();
        let response = sender.send_request(request).await.expect("an answer");
        let status = response.status();
        let body = received(response.into_body(), &mut held).await;
        took.push(start.elapsed());
        let words = String::from_utf8_lossy(&body);
        assert_eq!(status, StatusCode::OK, "{words}");
    }
}

/// Reads a body to its end; notes how long each event that has a stamp was on its way.
async fn received(mut body: Incoming, held: &mut Vec<Duration>) -> Vec<u8> {
    let mut unread = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.expect("a whole body").into_data() else { continue };
        let now = nanos();
        unread.extend_from_slice(&part);
        while let Some(end) = memchr::memmem::find(&unread, b"\n\n") {
            let event: Vec<u8> = unread.drain(..end + 2).collect();
            held.extend(sent_at(&event).map(|at| Duration::from_nanos(now.saturating_sub(at))));
        }
    }
    unread
}

fn sent_at(event: &[u8]) -> Option<u64> {
    let start = memchr::memmem::find(event, STAMP.as_bytes())? + STAMP.len();
    let digits = event.get(start..)?.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

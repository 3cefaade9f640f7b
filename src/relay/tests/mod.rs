//! Tests over real sockets: a provider that is scripted, a server that relays, a client that reads.

mod booked;
mod ends;
mod wholes;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::due::Due;
use super::live::Live;
use super::meter::Meter;
use super::whole::gather;
use super::{Body, Metering, Unpacking};
use crate::call::{Endpoint, StreamUsage};
use crate::catalog::Encoding;
use crate::config::{Disconnect, TimeoutSettings};
use crate::count::{Counter, Method};
use crate::ledger::Booked;
use crate::settle::Ending;
use crate::units::{Tokens, Usage};
use crate::upstream::{self, Answer, Client, NetworkEnvironment};

/// What was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// `None` if the estimate was kept.
    usage: Option<Usage>,
    ending: Ending,
    /// How the usage is known.
    method: Method,
}

/// Stands for a request: tells how it was settled, also when it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    outcomes: Option<UnboundedSender<Outcome>>,
    /// What stands for the entry of the request.
    entry: Option<Booked>,
}

/// Tokens of the prompt of a watched request.
const INPUT: Tokens = Tokens::new(17);

impl Watch {
    pub(super) fn input(&self) -> Tokens {
        INPUT
    }

    pub(super) fn settle(mut self, told: Option<(Usage, Method)>, ending: Ending) -> Booked {
        if let Some(outcomes) = self.outcomes.take() {
            let usage = told.map(|(usage, _)| usage);
            let method = told.map_or(Method::Assumed, |(_, method)| method);
            outcomes.send(Outcome { usage, ending, method }).expect("the test waits for it");
        }
        self.entry.take().unwrap_or(Booked::there())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(outcomes) = self.outcomes.take() {
            // A test that ended first does not care.
            outcomes
                .send(Outcome { usage: None, ending: Ending::Lost, method: Method::Assumed })
                .unwrap_or_default();
        }
    }
}

/// How the answer of a test is relayed.
#[derive(Debug, Clone, Copy)]
enum Way {
    Stream(StreamUsage, Disconnect),
    /// Read ahead, up to so many bytes.
    Whole(usize, Disconnect),
    Pass,
}

/// The longest silence: under a clock that stands still it passes when nothing else can happen.
const IDLE: Duration = Duration::from_secs(3600);

/// A request under way, in the hands of both its ends.
struct Path {
    provider: TcpStream,
    client: TcpStream,
    outcomes: UnboundedReceiver<Outcome>,
    /// What was read of the client's answer.
    has_head: bool,
    is_chunked: bool,
    chunk_left: usize,
}

impl Path {
    /// Sends a request; it has arrived at the provider.
    async fn open(way: Way) -> Self {
        Self::open_with(way, None).await
    }

    /// The same, where the entry is stored when the second half says so.
    async fn open_booked(way: Way) -> (Self, oneshot::Sender<Booked>) {
        let (store, receipt) = Booked::later();
        (Self::open_with(way, Some(receipt)).await, store)
    }

    async fn open_with(way: Way, receipt: Option<Booked>) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let (sender, outcomes) = unbounded_channel();
        let mut client =
            TcpStream::connect(server.local_addr().expect("bound")).await.expect("it listens");
        let (connection, _) = server.accept().await.expect("the client connects");
        let address = upstream.local_addr().expect("bound");
        let watch = Watch { outcomes: Some(sender), entry: receipt };
        tokio::spawn(serve(connection, address, way, watch));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("connected");
        let (mut provider, _) = upstream.accept().await.expect("the server connects");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(provider.read_u8().await.expect("a request comes"));
        }
        let (has_head, is_chunked, chunk_left) = (false, false, 0);
        Self { provider, client, outcomes, has_head, is_chunked, chunk_left }
    }

    /// Sends the head of a chunked answer.
    async fn answer(&mut self) {
        self.provide("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    }

    async fn provide(&mut self, bytes: &str) {
        self.provider.write_all(bytes.as_bytes()).await.expect("the server reads");
    }

    async fn chunk(&mut self, bytes: &str) {
        self.provide(&format!("{:x}\r\n{bytes}\r\n", bytes.len())).await;
    }

    /// Reads until `text` has come.
    async fn read_until(&mut self, text: &str) {
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(text) {
            read.push(self.client.read_u8().await.expect("more is to come"));
        }
    }

    /// Reads so many bytes of the body, the head and the frames of its chunks left out.
    async fn read_body(&mut self, length: usize) -> String {
        if !self.has_head {
            self.has_head = true;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.client.read_u8().await.expect("a head comes"));
            }
            self.is_chunked = String::from_utf8_lossy(&head).contains("chunked");
        }
        let mut body = Vec::new();
        while body.len() < length {
            if self.is_chunked && self.chunk_left == 0 {
                self.chunk_left = self.chunk_head().await;
            }
            body.push(self.client.read_u8().await.expect("more is to come"));
            self.chunk_left = self.chunk_left.saturating_sub(1);
            if self.is_chunked && self.chunk_left == 0 {
                self.client.read_u16().await.expect("a chunk ends with a line end");
            }
        }
        String::from_utf8(body).expect("UTF-8")
    }

    async fn chunk_head(&mut self) -> usize {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(char::from(self.client.read_u8().await.expect("a chunk comes")));
        }
        usize::from_str_radix(line.trim(), 16).expect("a length")
    }

    /// Checks that nothing comes however long one waits: the clock, which stands still, goes on when nothing
    /// else can happen.
    async fn nothing_comes(&mut self) {
        let byte = timeout(IDLE / 2, self.client.read_u8()).await;
        assert!(byte.is_err(), "{byte:?} came before the entry was stored");
    }

    /// Reads to the end of the connection, and returns the body with its chunks' frames.
    async fn read_to_end(&mut self) -> String {
        let mut read = Vec::new();
        self.client.read_to_end(&mut read).await.expect("it is closed, not reset");
        let read = String::from_utf8(read).expect("UTF-8");
        read.split_once("\r\n\r\n").expect("there is a head").1.to_owned()
    }

    /// Closes the client's socket.
    async fn hang_up(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let other = TcpStream::connect(listener.local_addr().expect("bound")).await;
        drop(std::mem::replace(&mut self.client, other.expect("it listens")));
    }

    async fn outcome(&mut self) -> Outcome {
        let outcome = self.outcomes.recv().await.expect("it is settled");
        let again = self.outcomes.recv().await;
        assert_eq!(again, None, "it is settled once, and the request is gone");
        outcome
    }
}

/// Serves one request by relaying the answer of `upstream`.
async fn serve(connection: TcpStream, upstream: SocketAddr, way: Way, watch: Watch) {
    let watch = Mutex::new(Some(watch));
    let service = service_fn(move |_request| {
        let watch = watch.lock().expect("no panic").take();
        let due = Due::Watched(watch.expect("one request"));
        async move {
            let request = Request::get(format!("http://{upstream}/"));
            let request = request.body(upstream::Body::empty()).expect("it is valid");
            let answer = client().send(request).await.expect("the provider answers");
            let length = answer.headers().get(http::header::CONTENT_LENGTH).cloned();
            let mut response = Response::new(relay(answer.into_body(), way, due).await);
            if let Some(length) = length {
                response.headers_mut().insert(http::header::CONTENT_LENGTH, length);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // A client that is gone, or an answer that broke off, ends the connection with an error.
    http.keep_alive(false).serve_connection(TokioIo::new(connection), service).await.unwrap_or(());
}

async fn relay(answer: Answer, way: Way, due: Due) -> Body {
    match way {
        Way::Stream(usage, on_disconnect) => {
            let meter = Meter::of_stream(due, usage, metering(on_disconnect));
            Body::live(Live::new(answer.into(), IDLE, meter))
        }
        Way::Whole(limit, on_disconnect) => {
            let meter = Meter::of_whole(due, metering(on_disconnect));
            match gather(Live::new(answer.into(), IDLE, meter), limit).await {
                Ok(whole) => whole.body,
                Err(error) => Body::full(error.to_string()),
            }
        }
        Way::Pass => Body::live(Live::new(answer.into(), IDLE, Meter::blind(due))),
    }
}

fn metering(on_disconnect: Disconnect) -> Metering {
    Metering {
        endpoint: Endpoint::ChatCompletions,
        encoding: Encoding::O200k,
        counter: Counter::new(),
        idle: IDLE,
        on_disconnect,
        unpacking: Unpacking::Needless,
        run: None,
        models: crate::relay::KnownModels::new(),
    }
}

fn client() -> Client {
    let timeouts =
        TimeoutSettings { connect: IDLE, response: IDLE, idle: IDLE, drain: IDLE, client: IDLE };
    Client::new(&timeouts, NetworkEnvironment::read(|_| None)).expect("no proxy, no roots")
}

fn settled(input: Tokens, output: u64, ending: Ending) -> Outcome {
    let usage = Usage { input, output: Tokens::new(output), ..Usage::default() };
    // Only who counts takes the input as it was counted.
    let method = if input == INPUT { Method::Approximate } else { Method::Exact };
    Outcome { usage: Some(usage), ending, method }
}

fn kept(ending: Ending) -> Outcome {
    Outcome { usage: None, ending, method: Method::Assumed }
}

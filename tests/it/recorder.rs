//! A provider that does what a test tells it, and remembers what it was asked.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

/// What the provider was asked.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What the provider does.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers with a JSON body.
    Json(u16, &'static str),
    /// Answers so with more headers.
    With(u16, &'static str, Vec<(&'static str, &'static str)>),
    /// Answers with events, then does as `End` says.
    Events(&'static [&'static str], End),
    /// Closes the connection without an answer.
    Reset,
    /// Never answers.
    Silence,
}

#[derive(Debug, Clone)]
pub(crate) enum End {
    Clean,
    /// Breaks off when it is told to.
    Broken(Arc<Notify>),
    Never,
    /// Goes on when it is told to, with these.
    Later(Arc<Notify>, &'static [&'static str]),
}

type Body = UnsyncBoxBody<Bytes, io::Error>;
type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

/// The provider. It listens until the test ends.
pub(crate) struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// How many requests came, and how many answers were given up before their end.
    counts: watch::Sender<(usize, usize)>,
}

impl Recorder {
    /// Starts a provider that asks `script` what to do with each request, counted from 0.
    pub(crate) async fn start(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let counts = watch::Sender::new((0, 0));
        let script: Arc<Script> = Arc::new(script);
        let (log, told) = (Arc::clone(&seen), counts.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log, told) = (Arc::clone(&script), Arc::clone(&log), told.clone());
                let service = service_fn(move |request| {
                    serve(request, Arc::clone(&script), Arc::clone(&log), told.clone())
                });
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    // Resets are what some tests are about.
                    let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen, counts }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// Waits until `count` requests have come.
    pub(crate) async fn asked(&self, count: usize) {
        let mut counts = self.counts.subscribe();
        counts.wait_for(|(asked, _)| *asked >= count).await.expect("the provider lives");
    }

    /// Waits until an answer was given up before its end.
    pub(crate) async fn given_up(&self) {
        let mut counts = self.counts.subscribe();
        counts.wait_for(|(_, given_up)| *given_up > 0).await.expect("the provider lives");
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.counts.borrow().1 > 0
    }
}

async fn serve(
    request: Request<Incoming>,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<Seen>>>,
    counts: watch::Sender<(usize, usize)>,
) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let seen = Seen { method: head.method, path, headers: head.headers, body };
    let reply = {
        let mut log = log.lock().expect("not poisoned");
        let reply = script(log.len(), &seen);
        log.push(seen);
        reply
    };
    counts.send_modify(|counts| counts.0 += 1);
    let guard = GiveUp { counts, is_over: false };
    Ok(match reply {
        Reply::Json(status, body) => json(status, body, &[], guard),
        Reply::With(status, body, headers) => json(status, body, &headers, guard),
        Reply::Events(events, end) => {
            let body = Watched { inner: events_body(events, end), guard }.boxed_unsync();
            let answer = Response::builder().header("content-type", "text/event-stream");
            answer.body(body).expect("an answer")
        }
        Reply::Reset => {
            guard.over();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Reply::Silence => {
            let _held = guard;
            std::future::pending().await
        }
    })
}

fn json(status: u16, body: &str, headers: &[(&str, &str)], guard: GiveUp) -> Response<Body> {
    guard.over();
    let body = Full::from(body.to_owned()).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(body).expect("an answer")
}

fn events_body(events: &'static [&'static str], end: End) -> Body {
    let frames = |events: &'static [&'static str]| {
        stream::iter(events).map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
    };
    let first = frames(events);
    match end {
        End::Clean => StreamBody::new(first).boxed_unsync(),
        End::Broken(notify) => {
            let broken = stream::once(async move {
                notify.notified().await;
                Err(io::ErrorKind::ConnectionReset.into())
            });
            StreamBody::new(first.chain(broken)).boxed_unsync()
        }
        End::Never => StreamBody::new(first.chain(stream::pending())).boxed_unsync(),
        End::Later(notify, rest) => {
            let rest = stream::once(async move { notify.notified().await })
                .flat_map(move |()| frames(rest));
            StreamBody::new(first.chain(rest)).boxed_unsync()
        }
    }
}

/// Counts an answer as given up unless it came to its end.
struct GiveUp {
    counts: watch::Sender<(usize, usize)>,
    is_over: bool,
}

impl GiveUp {
    fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for GiveUp {
    fn drop(&mut self) {
        if !self.is_over {
            self.counts.send_modify(|counts| counts.1 += 1);
        }
    }
}

struct Watched {
    inner: Body,
    guard: GiveUp,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.guard.is_over = true;
        }
        polled
    }
}

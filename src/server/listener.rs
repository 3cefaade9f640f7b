//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them until told to stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// What bounds the connections of one listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most connections at one time; more wait to be accepted.
    pub(super) connections: usize,
    /// How long a client may take to send its request's head.
    pub(super) head: Duration,
    /// How long requests under way may take once the listener stops.
    pub(super) drain: Duration,
}

/// Serves `answer` to every request on `listener` until `stop` says so, then finishes what is under
/// way, for at most [`Bounds::drain`].
///
/// Returns how many connections were still open when the time was up; they are closed.
pub(super) async fn serve<A, F, B>(
    listener: TcpListener,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
    answer: A,
) -> usize
where
    A: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(bounds.connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let builder = builder(bounds);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _stopped = stop.wait_for(|stop| *stop) => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answered = answer(request, peer);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let connection = builder.serve_connection_with_upgrades(io(stream), service).into_owned();
        let watched = graceful.watch(connection);
        connections.spawn(async move {
            let _permit = permit;
            // A client that goes away in the middle is its own affair.
            if let Err(error) = watched.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(bounds.drain, graceful.shutdown()).await.is_ok() {
        return 0;
    }
    while connections.try_join_next().is_some() {}
    let open = connections.len();
    connections.shutdown().await;
    open
}

/// Accepts the next connection as soon as there may be one more; `None` where that failed.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // Nobody closes it.
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            // Such as too many open files: others must close first.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

fn io(stream: TcpStream) -> TokioIo<TcpStream> {
    // Small events must leave at once; without the option they wait for an acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    TokioIo::new(stream)
}

fn builder(bounds: Bounds) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(bounds.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_header_list_size(MOST_OF_A_HEAD)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}

/// The most that the head of a request over HTTP/2 may have, in bytes; over HTTP/1.1 it is 400 KiB.
const MOST_OF_A_HEAD: u32 = 256 * 1024;

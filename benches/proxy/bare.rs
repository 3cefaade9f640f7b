//! The least that a reverse proxy can be on the stack that sluicegate uses: it parses nothing.
//!
//! Same server, client, pool and socket options; bodies stream through in both directions.

use std::process::ExitCode;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

type Upstream = Client<HttpConnector, Incoming>;

/// Forwards everything to `upstream` (host and port) until the process is ended.
pub(crate) async fn serve(upstream: &str) -> ExitCode {
    let authority: Authority = upstream.parse().expect("a host and a port");
    let client = client();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    eprintln!("listening on http://{address}");
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        let (server, client, authority) = (server.clone(), client.clone(), authority.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| forward(&client, &authority, request));
            // A client that goes away ends its connection, and that is all.
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

fn client() -> Upstream {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(60))
        .pool_max_idle_per_host(4_096)
        .build(connector)
}

fn forward(
    client: &Upstream,
    authority: &Authority,
    mut request: Request<Incoming>,
) -> ResponseFuture {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority.clone());
    *request.uri_mut() = Uri::from_parts(parts).expect("a path that was a valid one before");
    client.request(request)
}

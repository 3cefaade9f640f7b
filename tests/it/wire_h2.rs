//! HTTP/2 on both sides of the proxy.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluicegate::server::{self, Running};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::house::{one_account, settings};
use crate::path::{CHAT, HELLO, SAID};
use crate::upstream::{TlsServer, tls_server_that, trusting};

type Body = BoxBody<Bytes, Infallible>;

/// Answers in two pieces with trailers, and repeats some headers of the request.
async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2, "the provider is spoken to in HTTP/2");
    let (head, body) = request.into_parts();
    let sent = body.collect().await.expect("a body").to_bytes().len();
    let mut answer = Response::builder().header("content-type", "application/json");
    for name in ["x-long", "te", "connection", "x-client-request-id"] {
        if let Some(value) = head.headers.get(name) {
            answer = answer.header(format!("seen-{name}"), value);
        }
    }
    if head.method == Method::HEAD {
        let answer = answer.header("content-length", "1234");
        return Ok(answer.body(Full::default().boxed()).expect("an answer"));
    }
    let (first, second) = SAID.split_at(SAID.len() / 2);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from(sent));
    let frames = [
        Ok(Frame::data(Bytes::from_static(first.as_bytes()))),
        Ok(Frame::data(Bytes::from_static(second.as_bytes()))),
        Ok(Frame::trailers(trailers)),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Ok(answer.body(BoxBody::new(body)).expect("an answer"))
}

async fn serve(stream: TlsStream<TcpStream>) {
    let mut builder = Builder::new(TokioExecutor::new());
    let connection = builder
        .max_header_list_size(1 << 20)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // It ends when the proxy does.
    connection.await.ok();
}

async fn house() -> (TlsServer, Running, SendRequest<Full<Bytes>>) {
    let provider = tls_server_that(&[b"h2", b"http/1.1"], serve).await;
    let base = format!("https://localhost:{}/v1", provider.port);
    let settings = settings(&one_account(&base, "sk-1", ""));
    let proxy = server::start(settings, trusting(&provider)).await.expect("a proxy");
    let stream = TcpStream::connect(proxy.listen()).await.expect("a connection");
    let (client, connection) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(1 << 20)
        .handshake(TokioIo::new(stream))
        .await
        .expect("HTTP/2 is spoken without asking first");
    tokio::spawn(connection);
    (provider, proxy, client)
}

fn request(method: &str, path: &str, body: &'static str) -> http::request::Builder {
    let request = Request::builder().method(method).uri(format!("http://localhost{path}"));
    if body.is_empty() { request } else { request.header("content-length", body.len()) }
}

#[tokio::test]
async fn calls_and_other_paths_go_over_http_2_with_their_trailers() {
    let (_provider, proxy, mut client) = house().await;
    for (method, path, body) in [("POST", CHAT, HELLO), ("GET", "/v1/files/f1/content", "")] {
        let request = request(method, path, body)
            .header("te", "trailers")
            .header("x-client-request-id", "mine")
            .body(Full::from(body))
            .expect("a request");
        let answer = client.send_request(request).await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        assert_eq!(answer.headers()["seen-te"], "trailers", "the provider is told of it");
        assert_eq!(answer.headers().get("seen-connection"), None);
        assert_eq!(answer.headers()["seen-x-client-request-id"], "mine");
        let whole = answer.into_body().collect().await.expect("a whole body");
        let trailers = whole.trailers().expect("trailers").clone();
        assert_eq!(trailers["x-sum"], body.len().to_string());
        assert_eq!(whole.to_bytes(), SAID);
    }
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), 9);
}

#[tokio::test]
async fn long_headers_pass_http_2_as_well() {
    let (_provider, _proxy, mut client) = house().await;
    let long = "v".repeat(60_000);
    let request = request("POST", CHAT, HELLO)
        .header("x-long", &long)
        .body(Full::from(HELLO))
        .expect("a request");
    let answer = client.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["seen-x-long"], long);
}

#[tokio::test]
async fn a_head_request_over_http_2_gets_the_head() {
    let (_provider, _proxy, mut client) = house().await;
    let head =
        request("HEAD", "/v1/files/f1/content", "").body(Full::default()).expect("a request");
    let answer = client.send_request(head).await.expect("an answer");
    assert_eq!(answer.headers()["content-length"], "1234");
    assert!(answer.into_body().collect().await.expect("no body").to_bytes().is_empty());
}

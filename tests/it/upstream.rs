//! The client over real sockets: plain, TLS, through forward proxies, and with everything that can
//! break.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sluicegate::config::{AzureSettings, Dialect, TimeoutSettings};
use sluicegate::units::KeyLabel;
use sluicegate::upstream::{
    Address, Authorization, Body, Client, ClientError, Credential, NetworkEnvironment, SendError,
    Verdict, probe,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

type Answer = BoxBody<Bytes, Infallible>;

/// Far longer than any test takes: reached only where something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

fn timeouts(response: Duration) -> TimeoutSettings {
    TimeoutSettings {
        connect: PATIENCE,
        response,
        idle: PATIENCE,
        drain: PATIENCE,
        client: PATIENCE,
    }
}

fn client(environment: NetworkEnvironment) -> Client {
    Client::new(&timeouts(PATIENCE), environment).expect("a client")
}

fn post(uri: &str, body: Body) -> Request<Body> {
    Request::post(uri).body(body).expect("a request")
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

/// Answers each request with what it was: version, target, headers, body. An answer of `/endless`
/// begins and never ends.
async fn echo(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/endless" {
        return Ok(Response::new(StreamBody::new(stream::pending()).boxed()));
    }
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = format!(
        "{:?} {} {}\n{:?}\n{}",
        head.version,
        head.method,
        head.uri,
        head.headers,
        String::from_utf8_lossy(&body)
    );
    Ok(Response::new(Full::new(Bytes::from(text)).boxed()))
}

async fn serve<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = auto::Builder::new(TokioExecutor::new());
    // A client that goes away is no failure of the server's.
    let _result = builder.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
}

async fn plain_server() -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// A server with a certificate of its own for `localhost`, and the file that holds it.
pub(crate) struct TlsServer {
    pub(crate) port: u16,
    certificate: PathBuf,
    _folder: tempfile::TempDir,
}

async fn tls_server(alpn: &[&[u8]]) -> TlsServer {
    tls_server_that(alpn, serve).await
}

pub(crate) async fn tls_server_that<F>(
    alpn: &[&[u8]],
    serve: impl Fn(TlsStream<TcpStream>) -> F + Copy + Send + 'static,
) -> TlsServer
where
    F: Future<Output = ()> + Send,
{
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = folder.path().join("extra.pem");
    std::fs::write(&certificate, own.cert.pem()).expect("written");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate");
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await;
                }
            });
        }
    });
    TlsServer { port, certificate, _folder: folder }
}

/// A forward proxy for `CONNECT`, which tells each head it gets. With `password` it wants one.
async fn connect_proxy(password: Option<&'static str>) -> (u16, mpsc::UnboundedReceiver<String>) {
    let (listener, port) = listen().await;
    let (tell, heads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tunnel(stream, tell.clone(), password));
        }
    });
    (port, heads)
}

async fn tunnel(
    mut stream: TcpStream,
    tell: mpsc::UnboundedSender<String>,
    password: Option<&'static str>,
) {
    let head = read_head(&mut stream).await;
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let is_let_in = password.is_none_or(|password| head.contains(password));
    let _sent = tell.send(head);
    if !is_let_in {
        let _written = stream.write_all(b"HTTP/1.1 407 Who are you\r\n\r\n").await;
        return;
    }
    let port = target.rsplit(':').next().unwrap_or_default();
    let Ok(mut upstream) = TcpStream::connect(format!("127.0.0.1:{port}")).await else { return };
    let _written = stream.write_all(b"HTTP/1.1 200 Established\r\n\r\n").await;
    let _copied = copy_bidirectional(&mut stream, &mut upstream).await;
}

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

async fn text<B>(answer: Response<B>) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let bytes = answer.into_body().collect().await.expect("the whole answer").to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn trusting(server: &TlsServer) -> NetworkEnvironment {
    NetworkEnvironment { cert_file: Some(server.certificate.clone()), ..Default::default() }
}

#[tokio::test]
async fn pieces_arrive_as_one_body_with_its_length() {
    let port = plain_server().await;
    let body = Body::pieces(["{\"a\":", "", "1}", "", ""].map(Bytes::from));
    let request = post(&format!("http://127.0.0.1:{port}/v1/x?y=%20"), body);
    let seen = text(client(Default::default()).send(request).await.expect("an answer")).await;
    assert!(seen.starts_with("HTTP/1.1 POST /v1/x?y=%20\n"), "{seen}");
    assert!(seen.contains("\"content-length\": \"7\""), "{seen}");
    assert!(seen.contains(&format!("\"host\": \"127.0.0.1:{port}\"")), "{seen}");
    assert!(seen.ends_with("\n{\"a\":1}"), "{seen}");
}

#[tokio::test]
async fn an_extra_root_is_trusted_and_without_it_nothing_is_sent() {
    let server = tls_server(&[b"h2", b"http/1.1"]).await;
    let uri = format!("https://localhost:{}/v1/x", server.port);
    let answer = client(trusting(&server)).send(post(&uri, Body::full("x".into()))).await;
    let seen = text(answer.expect("trusted")).await;
    assert!(seen.starts_with("HTTP/2.0 POST https://localhost"), "{seen}");
    assert!(seen.ends_with("\nx"), "{seen}");

    let refused = client(Default::default()).send(post(&uri, Body::empty())).await;
    assert!(matches!(refused, Err(SendError::NotSent(_))), "{refused:?}");
}

#[tokio::test]
async fn a_provider_without_http2_is_spoken_to_in_http1() {
    let server = tls_server(&[b"http/1.1"]).await;
    let uri = format!("https://localhost:{}/v1/x", server.port);
    let answer = client(trusting(&server)).send(post(&uri, Body::empty())).await;
    let seen = text(answer.expect("trusted")).await;
    assert!(seen.starts_with("HTTP/1.1 POST /v1/x\n"), "{seen}");
}

#[tokio::test]
async fn more_requests_than_one_http2_connection_takes_are_all_under_way_at_once() {
    let server = tls_server(&[b"h2"]).await;
    let client = client(trusting(&server));
    let uri = format!("https://localhost:{}/endless", server.port);
    let mut answers = Vec::new();
    for sent in 0..350 {
        let answer = tokio::time::timeout(PATIENCE, client.send(post(&uri, Body::empty()))).await;
        let answer = answer.unwrap_or_else(|_| panic!("held back behind {sent} others"));
        answers.push(answer.expect("an answer"));
    }
}

#[tokio::test]
async fn https_goes_through_the_proxy_by_a_tunnel_with_its_password() {
    let server = tls_server(&[b"h2"]).await;
    let (proxy, mut heads) = connect_proxy(Some("Basic dXNlcjpodW50ZXIy")).await;
    let environment = NetworkEnvironment {
        https_proxy: format!("http://user:hunter2@127.0.0.1:{proxy}"),
        ..trusting(&server)
    };
    let uri = format!("https://localhost:{}/v1/x", server.port);
    let answer = client(environment).send(post(&uri, Body::empty())).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let head = heads.recv().await.expect("the proxy was asked");
    assert!(head.starts_with(&format!("CONNECT localhost:{} HTTP/1.1", server.port)), "{head}");
    assert!(!text(answer).await.contains("proxy-authorization"), "not for the provider");
}

#[tokio::test]
async fn a_proxy_that_says_no_is_a_request_never_sent_and_its_password_is_not_shown() {
    let (proxy, _heads) = connect_proxy(Some("another")).await;
    let environment = NetworkEnvironment {
        https_proxy: format!("http://user:hunter2@127.0.0.1:{proxy}"),
        ..Default::default()
    };
    let refused = client(environment).send(post("https://localhost:1/x", Body::empty())).await;
    let error = refused.expect_err("the proxy wants another password");
    assert!(error.is_never_sent(), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn hosts_of_no_proxy_are_reached_directly() {
    let server = tls_server(&[b"h2"]).await;
    let (proxy, mut heads) = connect_proxy(None).await;
    let environment = NetworkEnvironment {
        https_proxy: format!("http://127.0.0.1:{proxy}"),
        no_proxy: "example.com, localhost".to_owned(),
        ..trusting(&server)
    };
    let uri = format!("https://localhost:{}/v1/x", server.port);
    let answer = client(environment).send(post(&uri, Body::empty())).await;
    assert_eq!(answer.expect("an answer").status(), StatusCode::OK);
    assert!(heads.try_recv().is_err(), "the proxy was not asked");
}

#[tokio::test]
async fn plain_http_is_asked_of_the_proxy_by_its_whole_url() {
    let proxy = plain_server().await;
    let environment = NetworkEnvironment {
        http_proxy: format!("http://user:pw@127.0.0.1:{proxy}"),
        ..Default::default()
    };
    let request = post("http://provider.invalid/v1/x", Body::empty());
    let seen = text(client(environment).send(request).await.expect("an answer")).await;
    assert!(seen.starts_with("HTTP/1.1 POST http://provider.invalid/v1/x"), "{seen}");
    assert!(seen.contains("proxy-authorization"), "{seen}");
}

#[tokio::test]
async fn a_refused_connection_is_a_request_never_sent() {
    let (listener, port) = listen().await;
    drop(listener);
    let uri = format!("http://127.0.0.1:{port}/v1/x");
    let refused = client(Default::default()).send(post(&uri, Body::empty())).await;
    assert!(matches!(refused, Err(SendError::NotSent(_))), "{refused:?}");
}

#[tokio::test]
async fn a_stream_that_the_provider_refuses_unread_is_a_request_never_sent() {
    let server = tls_server_that(&[b"h2"], |stream| async move {
        let mut connection = h2::server::handshake(stream).await.expect("a client");
        while let Some(Ok((_, mut answer))) = connection.accept().await {
            answer.send_reset(h2::Reason::REFUSED_STREAM);
        }
    })
    .await;
    let uri = format!("https://localhost:{}/v1/x", server.port);
    let refused = client(trusting(&server)).send(post(&uri, Body::full("x".into()))).await;
    assert!(matches!(refused, Err(SendError::NotSent(_))), "{refused:?}");
}

#[tokio::test]
async fn a_connection_cut_before_the_answer_leaves_open_whether_it_was_seen() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_head(&mut stream).await;
    });
    let uri = format!("http://127.0.0.1:{port}/v1/x");
    let cut = client(Default::default()).send(post(&uri, Body::empty())).await;
    assert!(matches!(cut, Err(SendError::NoAnswer(_))), "{cut:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_says_nothing_runs_out_of_time() {
    let (listener, port) = listen().await;
    let client = Client::new(&timeouts(Duration::from_secs(5)), Default::default());
    let uri = format!("http://127.0.0.1:{port}/v1/x");
    let silent = client.expect("a client").send(post(&uri, Body::empty())).await;
    assert!(matches!(silent, Err(SendError::TimedOut)), "{silent:?}");
    drop(listener);
}

#[tokio::test]
async fn a_proxy_or_roots_that_cannot_be_used_are_told_at_the_start() {
    for address in ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "not a proxy:"] {
        let environment =
            NetworkEnvironment { https_proxy: address.to_owned(), ..Default::default() };
        let made = Client::new(&timeouts(PATIENCE), environment);
        assert!(matches!(made, Err(ClientError::Proxy { .. })), "{address}");
    }
    let missing =
        NetworkEnvironment { cert_file: Some("/nowhere.pem".into()), ..Default::default() };
    let made = Client::new(&timeouts(PATIENCE), missing);
    assert!(matches!(made, Err(ClientError::Roots { .. })), "{made:?}");
}

#[tokio::test]
async fn a_probe_lists_the_models_and_says_what_it_learned() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("GET /v1/models HTTP/1.1\r\n"), "{head}");
        let body = r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#;
        let answer = format!("HTTP/1.1 401 No\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.expect("written");
    });
    let base: Uri = format!("http://127.0.0.1:{port}/v1").parse().expect("a URL");
    let credential =
        Credential { label: KeyLabel::new("main"), authorization: Authorization::Client };
    let finding = probe(
        &client(Default::default()),
        &Address::new(base, Dialect::OpenAi, AzureSettings::default()),
        &credential,
    )
    .await;
    assert_eq!(finding.verdict, Verdict::KeyRejected);
}

//! Connects to the provider: directly or through a forward proxy, in plain or over TLS.
//!
//! Roots are loaded when the first `https` connection is made, off the async threads: a start, and
//! an upstream without TLS, do not pay for them.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tower_service::Service;

use super::client::ClientError;
use super::environment::NetworkEnvironment;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections for the pool. Cloning it shares the roots.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: HttpConnector,
    timeout: Duration,
    /// Whether HTTP/2 is not offered: no websocket begins there.
    is_plain: bool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    matcher: Matcher,
    environment: NetworkEnvironment,
    tls: OnceCell<Arc<ClientConfig>>,
}

impl Connector {
    /// Creates a connector; connects nowhere and loads no roots.
    pub(super) fn new(
        timeout: Duration,
        environment: NetworkEnvironment,
    ) -> Result<Self, ClientError> {
        check_proxy("HTTPS_PROXY", &environment.https_proxy)?;
        check_proxy("HTTP_PROXY", &environment.http_proxy)?;
        let certificates = [environment.cert_file.as_deref(), environment.cert_dir.as_deref()];
        for path in certificates.into_iter().flatten() {
            check_readable(path)?;
        }
        let matcher = Matcher::builder()
            .https(environment.https_proxy.clone())
            .http(environment.http_proxy.clone())
            .no(environment.no_proxy.clone())
            .build();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_connect_timeout(Some(timeout));
        let shared = Shared { matcher, environment, tls: OnceCell::new() };
        Ok(Self { tcp, timeout, is_plain: false, shared: Arc::new(shared) })
    }

    /// Returns the same connector for connections that become something else than HTTP.
    pub(super) fn for_sockets(&self) -> Self {
        Self { is_plain: true, ..self.clone() }
    }

    /// Returns what a forward proxy of plain `http` wants to see with each request.
    pub(super) fn proxy_authorization(&self, destination: &Uri) -> Option<HeaderValue> {
        if destination.scheme() != Some(&Scheme::HTTP)
            || self.shared.environment.http_proxy.is_empty()
        {
            return None;
        }
        self.shared.matcher.intercept(destination)?.basic_auth().cloned()
    }

    async fn connect(mut self, destination: Uri) -> Result<Line, BoxError> {
        let proxy = self.shared.matcher.intercept(&destination);
        if destination.scheme() == Some(&Scheme::HTTPS) {
            let config = self.shared.tls(self.is_plain).await?;
            let stream = match proxy {
                None => HttpsConnector::from((self.tcp, config)).call(destination).await?,
                Some(proxy) => {
                    HttpsConnector::from((tunnel(&proxy, self.tcp), config))
                        .call(destination)
                        .await?
                }
            };
            return Ok(Line { stream, is_proxied: false });
        }
        let is_proxied = proxy.is_some();
        let target = proxy.map_or(destination, |proxy| proxy.uri().clone());
        let stream = MaybeHttpsStream::Http(self.tcp.call(target).await?);
        Ok(Line { stream, is_proxied })
    }
}

impl Service<Uri> for Connector {
    type Response = Line;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Line, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let timeout = connector.timeout;
            tokio::time::timeout(timeout, connector.connect(destination))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        })
    }
}

impl Shared {
    async fn tls(&self, is_plain: bool) -> Result<Arc<ClientConfig>, BoxError> {
        let load = || async {
            let environment = self.environment.clone();
            let loaded = tokio::task::spawn_blocking(move || tls_config(&environment)).await;
            Ok::<_, BoxError>(Arc::new(loaded??))
        };
        let config = self.tls.get_or_try_init(load).await?;
        if !is_plain {
            return Ok(Arc::clone(config));
        }
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Trusts the built-in roots, the system's, and those that the environment adds.
fn tls_config(environment: &NetworkEnvironment) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let (file, dir) = (environment.cert_file.as_deref(), environment.cert_dir.as_deref());
    for found in [
        rustls_native_certs::load_native_certs(),
        rustls_native_certs::load_certs_from_paths(file, dir),
    ] {
        for error in found.errors {
            tracing::warn!(%error, "some roots cannot be read");
        }
        let (_, unfit) = roots.add_parsable_certificates(found.certs);
        if unfit > 0 {
            tracing::debug!(unfit, "some roots are of no use to TLS");
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn tunnel(proxy: &Intercept, tcp: HttpConnector) -> Tunnel<HttpConnector> {
    let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
    match proxy.basic_auth() {
        Some(authorization) => tunnel.with_auth(authorization.clone()),
        None => tunnel,
    }
}

/// A proxy that cannot be used is an error: going past it could be what the user must not do.
fn check_proxy(variable: &'static str, value: &str) -> Result<(), ClientError> {
    if value.is_empty() {
        return Ok(());
    }
    let probe = Uri::from_static("http://upstream.invalid/");
    let matcher = Matcher::builder().all(value.to_owned()).build();
    let intercept = matcher.intercept(&probe);
    let is_http = |proxy: Intercept| proxy.uri().scheme() == Some(&Scheme::HTTP);
    if intercept.is_some_and(is_http) { Ok(()) } else { Err(ClientError::Proxy { variable }) }
}

fn check_readable(path: &Path) -> Result<(), ClientError> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(source) => Err(ClientError::Roots { path: path.to_owned(), source }),
    }
}

/// A connection to the provider, or to a proxy that is asked for plain `http`.
#[derive(Debug)]
pub(super) struct Line {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    is_proxied: bool,
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.is_proxied)
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

/// Keeps middleboxes from forgetting a connection on which an answer is awaited for minutes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

//! Sends requests to the provider and says what may be done when no answer comes.

use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{PROXY_AUTHORIZATION, UPGRADE};
use http::uri::Scheme;
use http::{Request, Response};
use hyper_util::client::legacy::{self, Builder, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use thiserror::Error;
use tokio::time::timeout;

use super::body::{Body, Progress};
use super::connect::Connector;
use super::environment::NetworkEnvironment;
use super::shards::{Answer, Shards};
use crate::config::TimeoutSettings;

/// Connections to the provider, kept alive and shared. Cloning it copies pointers.
#[derive(Clone)]
pub struct Client {
    pools: Arc<[Pool]>,
    connector: Connector,
    /// For what becomes a websocket.
    sockets: Pool,
    shards: Shards,
    response: Duration,
}

type Pool = legacy::Client<Connector, Body>;

impl Client {
    /// Creates a client that reaches the provider as `environment` says; connects nowhere yet.
    ///
    /// # Errors
    ///
    /// Returns [`ClientError::Proxy`] for a forward proxy that cannot be used, and
    /// [`ClientError::Roots`] where the named extra roots cannot be opened.
    pub fn new(
        timeouts: &TimeoutSettings,
        environment: NetworkEnvironment,
    ) -> Result<Self, ClientError> {
        let connector = Connector::new(timeouts.connect, environment)?;
        Ok(Self::through(connector, timeouts.response))
    }

    /// Creates a client for another upstream, which it reaches in the same way: no connection is shared.
    pub fn another(&self) -> Self {
        Self::through(self.connector.clone(), self.response)
    }

    fn through(connector: Connector, response: Duration) -> Self {
        let builder = builder();
        let pools = (0..POOLS).map(|_| builder.build(connector.clone())).collect();
        let sockets = builder.build(connector.for_sockets());
        Self { pools, sockets, connector, shards: Shards::new(POOLS), response }
    }

    /// Sends `request`; the future waits for the head of its answer.
    ///
    /// Dropping the future, or the answer's body, cancels the request.
    ///
    /// # Errors
    ///
    /// Returns a [`SendError`], which says whether the provider may have seen the request.
    pub fn send(
        &self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Answer>, SendError>> {
        if let Some(value) = self.connector.proxy_authorization(request.uri()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        let upload = request.body().progress();
        let is_socket = request.headers().contains_key(UPGRADE);
        let is_tls = request.uri().scheme() == Some(&Scheme::HTTPS);
        let place = (is_tls && !is_socket).then(|| self.shards.take());
        let index = place.as_ref().map_or(0, |place| place.index());
        let pool = if is_socket { Some(&self.sockets) } else { self.pools.get(index) };
        let sent = pool.map(|pool| pool.request(request));
        // The request is not held by the future, which would be copied with it.
        async move {
            let answer = self.answer(sent.ok_or(SendError::NotSent(None))?, upload).await?;
            Ok(answer.map(|incoming| Answer::new(incoming, place)))
        }
    }

    /// Returns how long an answer is waited for.
    pub(super) fn patience(&self) -> Duration {
        self.response
    }

    /// Waits for the head of an answer; while an upload moves, the time does not run out.
    async fn answer(
        &self,
        mut sent: ResponseFuture,
        upload: Option<Progress>,
    ) -> Result<Response<hyper::body::Incoming>, SendError> {
        let mut mark = None;
        loop {
            match timeout(self.response, &mut sent).await {
                Ok(answered) => {
                    return answered.map_err(|error| SendError::from_hyper(error, upload.as_ref()));
                }
                Err(_) => {
                    let seen = upload.as_ref().map(Progress::mark);
                    if seen.is_none() || seen == mark {
                        return Err(SendError::TimedOut);
                    }
                    mark = seen;
                }
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("response", &self.response).finish_non_exhaustive()
    }
}

/// Why a client cannot be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The forward proxy cannot be used. Its address may hold a password and is not shown.
    #[error("`{variable}` is not the address of an `http` proxy, such as `http://host:3128`")]
    Proxy {
        /// The environment variable.
        variable: &'static str,
    },

    /// The extra roots cannot be opened.
    #[error("cannot open the extra roots {}", path.display())]
    Roots {
        /// What `SSL_CERT_FILE` or `SSL_CERT_DIR` names.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

/// Why no answer came, by what the caller may do.
///
/// What is kept of the cause is where it broke, never a header or a body.
#[derive(Debug, Error)]
pub enum SendError {
    /// The provider never saw the request: it may go again, anywhere.
    #[error("the provider cannot be reached")]
    NotSent(#[source] Option<BoxError>),

    /// The provider may have seen the request and broke off: it may go again if doing it twice does
    /// no harm.
    #[error("the provider broke off before its answer")]
    NoAnswer(#[source] BoxError),

    /// The provider did not answer in time; it may still be at work on the request.
    #[error("the provider did not answer in time")]
    TimedOut,

    /// The client broke off its upload: there is nobody to answer.
    #[error("the client broke off its upload")]
    Upload,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl SendError {
    /// Tells whether the provider cannot have seen the request.
    pub fn is_never_sent(&self) -> bool {
        matches!(self, Self::NotSent(_))
    }

    /// Returns the innermost cause in the words of whoever found it, such as `Connection refused (os error 111)`;
    /// `None` where nothing is known but what happened.
    pub fn cause(&self) -> Option<String> {
        let mut cause = std::error::Error::source(self)?;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Some(cause.to_string())
    }

    fn from_hyper(error: legacy::Error, upload: Option<&Progress>) -> Self {
        if upload.is_some_and(Progress::is_broken) {
            return Self::Upload;
        }
        if error.is_connect() || is_refused(&error) {
            return Self::NotSent(Some(Box::new(error)));
        }
        Self::NoAnswer(Box::new(error))
    }
}

/// Tells whether the connection was closed before the request went out on it, or the provider
/// turned the stream away unread (RFC 9113 section 8.7, read 2026-11-21).
fn is_refused(error: &legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(this) = cause {
        let is_canceled = this.downcast_ref().is_some_and(hyper::Error::is_canceled);
        let reason = this.downcast_ref().and_then(h2::Error::reason);
        if is_canceled || reason == Some(h2::Reason::REFUSED_STREAM) {
            return true;
        }
        cause = this.source();
    }
    false
}

fn builder() -> Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MOST_OF_A_HEAD)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Pools of an `https` upstream: with 100 streams each, enough for thousands at one time.
const POOLS: usize = 32;
/// Idle connections that are kept: as many as a burst of thousands of requests leaves behind.
const MOST_IDLE: usize = 4_096;
/// Below the time after which front ends commonly close (75 s in nginx, read 2026-11-21).
const IDLE: Duration = Duration::from_secs(60);
/// What one answer may have under way. All streams of a connection together stay below the
/// connection's window, so that clients which read slowly hold up nobody else's answer.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
/// The most that the head of an answer may have; hyper's own bound is a sixteenth of it.
const MOST_OF_A_HEAD: u32 = 256 * 1024;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

//! The listening provider and the handle that holds it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::config::Config;
use super::engine::Stats;
use super::service::serve;
use super::shared::Shared;

/// A simulated provider that listens. Dropping it closes everything at once.
#[derive(Debug)]
pub struct Provider {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    conducting: JoinHandle<()>,
}

impl Provider {
    /// Starts a provider.
    ///
    /// # Errors
    ///
    /// What the operating system says where the address cannot be had.
    pub async fn bind(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(config));
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), stopped));
        let conducting = tokio::spawn(Arc::clone(&shared).conduct());
        Ok(Self { addr, shared, stop, accepting, conducting })
    }

    /// Returns where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns what stands before `/chat/completions`.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.addr, self.shared.dialect.base())
    }

    /// Returns what has happened.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Starts again with full meters and nothing counted; requests under way are forgotten.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Stops accepting, lets requests under way end, and returns when all connections are closed.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // It ends by itself; a panic in it has been reported by tokio.
        drop((&mut self.accepting).await);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
        self.conducting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, Arc::clone(&shared), stopped.clone()));
                }
                // Out of file descriptors or memory: others may end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_ended) = connections.join_next() => {}
            _changed = stopped.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(socket: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    // Without it small events wait for the client's acknowledgement.
    drop(socket.set_nodelay(true));
    let service = service_fn(move |request| serve(Arc::clone(&shared), request));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
    tokio::pin!(serving);
    // Clients that break off and injected faults end a connection with an error.
    tokio::select! {
        _ended = serving.as_mut() => {}
        _changed = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            drop(serving.await);
        }
    }
}

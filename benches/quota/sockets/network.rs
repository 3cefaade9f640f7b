//! A network between sluicegate and the provider: every byte is on its way for a while.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

/// A relay of connections. Dropping it cuts them.
#[derive(Debug)]
pub(super) struct Network {
    addr: SocketAddr,
    relaying: JoinHandle<()>,
}

impl Network {
    /// Creates a network before `provider`; connections take their delays from `ways`, in turn.
    pub(super) async fn before(provider: SocketAddr, ways: Vec<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("its address");
        let relaying = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut ways = ways.into_iter().cycle();
            loop {
                let near = match listener.accept().await {
                    Ok((near, _)) => near,
                    // One connection that cannot be taken now must not end all that come later.
                    Err(error) => {
                        eprintln!("the network takes no connection for now: {error}");
                        sleep(PAUSE).await;
                        continue;
                    }
                };
                let (there, back) = (ways.next().expect("one"), ways.next().expect("another"));
                connections.spawn(relay(near, provider, (there, back)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { addr, relaying }
    }

    /// Returns where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.relaying.abort();
    }
}

/// What goes by before a connection is taken again after one could not be.
const PAUSE: Duration = Duration::from_millis(10);

async fn relay(near: TcpStream, provider: SocketAddr, (there, back): (Duration, Duration)) {
    let far = match TcpStream::connect(provider).await {
        Ok(far) => far,
        Err(error) => return eprintln!("the network cannot reach the provider: {error}"),
    };
    for stream in [&near, &far] {
        drop(stream.set_nodelay(true));
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    // Whichever side closes, the other is told after its delay.
    tokio::join!(one_way(near_read, far_write, there), one_way(far_read, near_write, back));
}

/// Carries bytes in one direction, each piece so much later than it came.
async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, BytesMut)>(1_024);
    let reading = async move {
        let mut bytes = BytesMut::with_capacity(16 * 1_024);
        while from.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
            if sender.send((Instant::now() + delay, bytes.split())).await.is_err() {
                break;
            }
            bytes.reserve(4 * 1_024);
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        drop(to.shutdown().await);
    };
    tokio::join!(reading, writing);
}

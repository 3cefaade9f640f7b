//! Listens, serves the proxy and the admin pages, and stops gracefully.
//!
//! # What this module owns
//!
//! Both listeners, the bounds of their connections, and the tasks that live as long as they do: the one that
//! probes keys which were taken out, the one that loads the vocabularies, and the one that keeps what is learned.
//!
//! # What this module does not do
//!
//! It knows nothing of what it serves: [`crate::proxy`] and [`crate::admin`] answer.
//!
//! # Invariants
//!
//! 1. After a stop nothing new is accepted, and what is under way may end, for as long as
//!    `timeouts.drain` says.

mod apps;
mod cors;
mod guard;
mod herald;
mod keeping;
mod listener;
mod probing;
mod pruning;
mod recalling;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request};
use http_body_util::Full;
use hyper::body::Incoming;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::apps::Follower;
use self::cors::{Cors, Wish, permit, show};
use self::guard::OTHER_SITE;
use self::keeping::Keeper;
use self::listener::Bounds;
use self::recalling::recall_late;
use crate::admin::Admin;
use crate::config::Settings;
use crate::ledger::{Place, StoreError};
use crate::proxy::{Proxy, ProxyError, RenewalError};
use crate::upstream::NetworkEnvironment;

/// A server that runs. Dropping it begins to stop it, without waiting; see [`stop`](Self::stop).
#[derive(Debug)]
pub struct Running {
    listen: SocketAddr,
    admin: SocketAddr,
    proxy: Proxy,
    drain: Duration,
    stop: watch::Sender<bool>,
    served: JoinHandle<usize>,
    admin_served: JoinHandle<usize>,
    keeper: Option<Keeper>,
}

/// Why a server cannot start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({setting}): is another program there?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Other machines could spend the quota, as nobody would need a key.
    #[error(
        "`server.listen` is {address}, where other machines can connect, but there is no app: give each program a \
         key (`sluicegate apps add NAME`), or listen on 127.0.0.1"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The proxy cannot be made.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The place that somebody named for what is learned and booked cannot be used.
    #[error(
        "what is learned and booked cannot be kept (`data_dir = \"\"` without `ledger.url` keeps nothing)"
    )]
    Store(#[from] StoreError),
}

/// Starts serving as `settings` say, on both listeners.
///
/// # Errors
///
/// Returns a [`ServeError`] if an address is taken, or if upstream or `data_dir` cannot be used;
/// nothing runs then.
pub async fn start(
    settings: Settings,
    environment: NetworkEnvironment,
) -> Result<Running, ServeError> {
    let server = settings.server.clone();
    let timeouts = settings.timeouts.clone();
    let booking = settings.ledger.clone();
    let upstreams = settings.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    // Both take some milliseconds: the one reads files while the other finds roots of trust.
    let past = tokio::spawn(keeping::open((settings.data_dir.clone(), booking.clone()), upstreams));
    let (listener, listen) = bind(server.listen, "server.listen").await?;
    let (admin_listener, admin) = bind(server.admin, "server.admin").await?;
    let (alarms, told) = mpsc::channel(herald::MOST_WAITING);
    let proxy = Proxy::new(settings, environment, Some(alarms))?;
    if let Some(site) = proxy.sites().next() {
        tokio::spawn(herald::run(told, site.client().another()));
    }
    let past = past.await.unwrap_or(Ok(None))?;
    let named: Vec<_> =
        proxy.sites().map(|site| (site.name().clone(), site.admission().clone())).collect();
    let mut version = 0;
    if let Some(past) = &past {
        version = past.apps().version;
        apps::serve_with(&proxy, past.apps());
        past.recall_apps(proxy.purse(), proxy.allotments()).await?;
    }
    if !listen.ip().is_loopback() && !proxy.has_apps() {
        return Err(ServeError::Open { address: listen });
    }
    let booking = (proxy.ledger(), &booking);
    let keeper = past.map(|past| past.keep_on(&named, proxy.pins(), booking));
    let (stop, stopped) = watch::channel(false);
    let follower =
        keeper.as_ref().map(|it| Follower::begin(it.store(), &proxy, version, stopped.clone()));
    let bounds = Bounds {
        connections: server.max_connections,
        head: timeouts.client,
        drain: timeouts.drain + LAST_WORD,
    };
    let served = tokio::spawn(listener::serve(
        listener,
        bounds,
        stopped.clone(),
        answers(proxy.clone(), listen, Cors::new(&server.cors_origins)),
    ));
    let counted = (proxy.metrics().clone(), proxy.ledger().clone(), proxy.purse().clone());
    let pages = Admin::new(named, proxy.allotments().clone(), counted);
    // Monitors are few, and are served until the proxy has drained.
    let admin_bounds = Bounds { connections: 64, drain: Duration::from_secs(1), ..bounds };
    let page = shown(pages, follower, admin, stopped.clone());
    let (admin_stop, admin_stopped) = watch::channel(false);
    let admin_task = listener::serve(admin_listener, admin_bounds, admin_stopped, page);
    let admin_served = tokio::spawn(async move {
        let _until_the_end = admin_stop;
        admin_task.await
    });
    for site in proxy.sites() {
        tokio::spawn(probing::run(Arc::clone(site), stopped.clone()));
    }
    let drain = timeouts.drain;
    Ok(Running { listen, admin, proxy, drain, stop, served, admin_served, keeper })
}

impl Running {
    /// Returns where clients connect.
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Returns where people and monitors connect.
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Returns what serves.
    pub const fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Returns where what is learned and booked is kept; `None` where nothing is.
    pub fn kept_in(&self) -> Option<&Place> {
        self.keeper.as_ref().map(Keeper::whereabouts)
    }

    /// Serves by other settings from now on, as far as that needs no restart; returns the names of what
    /// does.
    ///
    /// # Errors
    ///
    /// Returns a [`RenewalError`] where a part of them cannot be taken over; nothing changes then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave new budgets without what was spent before they were configured; all else is
    /// taken over at once.
    pub async fn renew(&self, settings: Settings) -> Result<Vec<&'static str>, RenewalError> {
        let left = self.proxy.renew(settings)?;
        if let Some(keeper) = &self.keeper {
            recall_late(keeper.store(), self.proxy.ledger(), self.proxy.purse()).await;
        }
        Ok(left)
    }

    /// Stops taking requests and waits for those under way, for at most `timeouts.drain`. Whoever
    /// waits in line then is told so. A websocket goes on until what was asked on it is answered.
    ///
    /// Returns how many connections were still open a second later; they are closed. What was under way
    /// is settled by what came of it.
    pub async fn stop(mut self) -> usize {
        // Nobody listens any more only if serving has ended already.
        let _told = self.stop.send(true);
        let under_way = self.proxy.under_way().clone();
        under_way.drain();
        let all_over = async {
            let served = (&mut self.served).await;
            // Websockets, and what goes on although its client has gone.
            under_way.over().await;
            served
        };
        let open = match timeout(self.drain, all_over).await {
            Ok(served) => served.unwrap_or_default(),
            Err(_) => self.cut().await,
        };
        self.admin_served.abort();
        if let Some(keeper) = self.keeper {
            keeper.finish().await;
        }
        open
    }

    /// Ends what is still under way; returns how many connections were open to the last.
    async fn cut(&mut self) -> usize {
        self.proxy.sites().for_each(|site| site.admission().close());
        let under_way = self.proxy.under_way();
        under_way.cut();
        let open = match self.served.is_finished() {
            true => 0,
            false => (&mut self.served).await.unwrap_or_default(),
        };
        if timeout(LAST_WORD, under_way.over()).await.is_err() {
            tracing::warn!("something was still under way at the end, and keeps its estimate");
        }
        open
    }
}

/// Returns the proxy's answers, without those for web pages of others.
fn answers(
    proxy: Proxy,
    listen: SocketAddr,
    cors: Cors,
) -> impl Fn(Request<Incoming>, SocketAddr) -> Answering + Clone + Send + 'static {
    let guarded = listen.ip().is_loopback();
    move |request, peer| {
        let (proxy, cors) = (proxy.clone(), cors.clone());
        Box::pin(async move {
            let origin = cors.origin(request.headers());
            if let Some(objection) = objection(guarded, &request, |origin| cors.lets_in(origin)) {
                return proxy.turn_away(request, objection);
            }
            let mut answer = match (Wish::of(&request), origin.clone()) {
                (Wish::Answer, _) => proxy.answer(request, peer).await,
                (Wish::Permission, Some(origin)) => return permit(request.headers(), origin),
                (Wish::Permission, None) => proxy.turn_away(request, OTHER_SITE),
            };
            show(answer.headers_mut(), origin);
            answer
        })
    }
}

/// Returns the answers of the admin listener, without those for web pages of others.
fn shown(
    pages: Admin,
    follower: Option<Arc<Follower>>,
    admin: SocketAddr,
    stopped: watch::Receiver<bool>,
) -> impl Fn(Request<Incoming>, SocketAddr) -> Showing + Clone + Send + 'static {
    let guarded = admin.ip().is_loopback();
    move |request, _peer| {
        let (pages, follower, stopped) = (pages.clone(), follower.clone(), stopped.clone());
        Box::pin(async move {
            if let Some(objection) = objection(guarded, &request, |_| false) {
                return pages.turn_away(objection);
            }
            let changed = apps::answer(follower, &request).await;
            changed.unwrap_or_else(|| pages.answer(&request, *stopped.borrow()))
        })
    }
}

/// Tells what is wrong with a request that comes from a web page whose origin is not `known`; only
/// listeners on loopback are guarded, others ask for keys.
fn objection(
    guarded: bool,
    request: &Request<Incoming>,
    known: impl Fn(&HeaderValue) -> bool,
) -> Option<&'static str> {
    if guarded { guard::objection(request.headers(), request.uri(), known) } else { None }
}

/// How long those who wait have to hear that the program stops.
const LAST_WORD: Duration = Duration::from_secs(1);

type Showing =
    std::pin::Pin<Box<dyn Future<Output = http::Response<Full<bytes::Bytes>>> + Send + 'static>>;

type Answering =
    std::pin::Pin<Box<dyn Future<Output = http::Response<crate::relay::Body>> + Send + 'static>>;

async fn bind(
    address: SocketAddr,
    setting: &'static str,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Bind { address, setting, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

//! The order in which a request is served, and nothing else.
//!
//! # What this module owns
//!
//! [`Proxy`]: authenticate, read, count, admit, send, relay. Each stage takes what the stage before it
//! returned, so the order cannot be mixed up; a retry goes through admission again, with its old place.
//!
//! # What this module does not do
//!
//! It holds no socket and no state of its own: limits are behind [`Admission`], connections behind
//! [`Site::client`], and what is unsettled travels with the answer's body.
//!
//! # Invariants
//!
//! 1. There is one way upstream.
//! 2. Nothing is repeated after the first byte went to the client.
//! 3. Every request ends in one answer, and leaves one log line; a list of all accounts one for each.

mod again;
mod answer;
mod anthropic;
mod attempt;
mod binding;
mod errand;
mod failure;
mod form;
mod gate;
mod intake;
mod later;
mod legs;
mod listing;
mod models;
mod patience;
mod pinning;
mod pulse;
mod refused;
mod routes;
mod shape;
mod site;
mod socket;
mod spending;
mod terms;
mod times;
mod vigil;
mod visit;
mod wishes;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use self::answer::limits;
use self::attempt::{Outcome, Try};
use self::errand::Errand;
pub use self::failure::Failure;
use self::gate::permit;
use self::legs::turn;
use self::pulse::Pulse;
use self::routes::Sites;
pub use self::site::Site;
use self::spending::may_go;
pub use self::terms::RenewalError;
use self::terms::Terms;
use self::vigil::Vigil;
use self::visit::Visit;
pub use self::wishes::WishError;
use self::wishes::Wishes;
use crate::admit::{Admission, Allotments, Ask, Entered};
use crate::budget::Alarm;
use crate::call::Endpoint;
use crate::catalog::Catalog;
use crate::clock::WallClock;
use crate::config::{Additions, Disconnect, Settings};
use crate::count::Counter;
use crate::ledger::{Ledger, Pins};
use crate::relay::{Begun, Body, Kept, KnownModels};
use crate::settle::{Books, NOTHING, Purse, Record, UnderWay};
use crate::telemetry::Metrics;
use crate::upstream::{ClientError, FleetError, NetworkEnvironment};

/// Serves requests. Cloning it shares everything.
#[derive(Debug, Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    terms: ArcSwap<Terms>,
    /// What the store adds to what is configured; held while terms are changed.
    added: Mutex<Additions>,
    /// Where requests go: the first, where nothing leads them elsewhere.
    sites: Sites,
    catalog: Catalog,
    counter: Counter,
    /// The models of runs that do not say theirs.
    models: KnownModels,
    /// Turns to count what takes long.
    counting: Arc<Semaphore>,
    metrics: Metrics,
    clock: WallClock,
    /// What is not settled.
    under_way: UnderWay,
    /// Which account has what requests name.
    pins: Pins,
    /// Where each try is booked.
    ledger: Ledger,
    /// What may be spent.
    purse: Purse,
    /// What the apps may use.
    allotments: Allotments,
    /// Keeps outsiders from making requests that look alike.
    seed: u64,
}

/// Why a proxy cannot be made.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The settings name no upstream.
    #[error("no upstream is configured")]
    NoUpstream,
    /// A key cannot be used.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The provider cannot be reached as configured.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Proxy {
    /// Creates a proxy; connects nowhere yet. Must be called within a tokio runtime. Budgets that warn are told to
    /// `alarms`, beside the log.
    ///
    /// # Errors
    ///
    /// Returns a [`ProxyError`] where keys, forward proxies or roots cannot be used.
    pub fn new(
        settings: Settings,
        environment: NetworkEnvironment,
        alarms: Option<mpsc::Sender<Alarm>>,
    ) -> Result<Self, ProxyError> {
        let terms = Terms::new(settings, &Additions::default());
        let settings = &terms.settings;
        let clock = WallClock::from_system();
        let allotments = Allotments::default();
        allotments.renew(settings.app_limits(), Instant::now());
        let inner = Inner {
            sites: Sites::open(settings, &allotments, environment)?,
            allotments,
            catalog: Catalog::embedded(),
            counter: Counter::new(),
            models: KnownModels::new(),
            counting: Arc::new(Semaphore::new(cores())),
            metrics: Metrics::new(settings.named_apps()),
            clock,
            under_way: UnderWay::new(),
            pins: Pins::new(rand::random()),
            ledger: Ledger::default(),
            purse: Purse::new(settings.budgets.clone(), clock, alarms),
            seed: rand::random(),
            added: Mutex::default(),
            terms: ArcSwap::from_pointee(terms),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the upstreams, in the order of the configuration; at least one.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.inner.sites.iter()
    }

    /// Returns the lanes, lines and keys of the first upstream.
    pub fn admission(&self) -> &Admission {
        self.inner.sites.first().admission()
    }

    /// Returns the counters.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Returns what may be spent.
    pub fn purse(&self) -> &Purse {
        &self.inner.purse
    }

    /// Returns what the apps may use.
    pub fn allotments(&self) -> &Allotments {
        &self.inner.allotments
    }

    /// Returns what is remembered of whose what is.
    pub fn pins(&self) -> &Pins {
        &self.inner.pins
    }

    /// Returns what is not settled, to be told when the program stops.
    pub fn under_way(&self) -> &UnderWay {
        &self.inner.under_way
    }

    /// Returns where each try is booked.
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// Answers one request, whatever becomes of it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future means that the client hung up: waiting ends at once, and a call that is
    /// under way is cancelled or finished, as `line.on_disconnect` says.
    pub async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut vigil = Vigil::new(self.clone(), self.visit(head));
        let errand = match self.receive(&mut vigil.visit, body, peer).await {
            Ok(errand) => errand,
            Err(failure) => return vigil.fail(&failure),
        };
        if let Some(listing) = vigil.visit.listing {
            return Box::pin(self.list(vigil, listing)).await;
        }
        let Some((pace, endpoint)) = vigil.visit.keep_alive else {
            return serve(vigil, errand, None).await;
        };
        let (pulse, visit) = (Pulse::new(pace), vigil.visit.clone());
        let notes = pulse.notes();
        let kept = Kept::new(serve(vigil, errand, Some(pulse)), notes);
        match kept.head(endpoint).await {
            Begun::Answer(answer) => *answer,
            Begun::Stream(body) => self.kept_alive(&visit, body),
        }
    }

    /// Answers a request that is not let in, for the reason given.
    pub fn turn_away(&self, request: Request<Incoming>, objection: &'static str) -> Response<Body> {
        let visit = self.visit(request.into_parts().0);
        self.fail(&visit, &Failure::Foreign(objection))
    }

    /// Lets a client in and takes its request.
    async fn receive(
        &self,
        visit: &mut Visit,
        body: Incoming,
        peer: SocketAddr,
    ) -> Result<Errand, Failure> {
        if matches!(visit.head.method, Method::CONNECT | Method::TRACE) {
            return Err(Failure::Method);
        }
        let client = self.let_in(visit, peer)?;
        visit.wishes = Wishes::read(&visit.head.headers, &self.inner.clock, visit.arrived)?;
        let mut errand = self.read(visit, body).await?;
        permit(&client, visit, &errand)?;
        self.bind(visit, &client, &mut errand).await?;
        self.classify(visit, &client, &errand);
        Ok(errand)
    }

    fn fail(&self, visit: &Visit, failure: &Failure) -> Response<Body> {
        let now = Instant::now();
        let endpoint = Endpoint::of(&visit.head.method, visit.head.uri.path());
        let is_late = visit.wishes.deadline.is_some_and(|wanted_by| wanted_by <= now);
        let mut answer = failure.answer(&visit.record, endpoint, is_late);
        if failure.is_logged() {
            return answer;
        }
        if matches!(failure, Failure::Refused(_)) {
            limits(answer.headers_mut(), &self.levels(visit));
            let books = self.books(&visit.record);
            books.metrics.refused(&books.series);
        }
        let status = answer.status().as_u16();
        visit.record.log(status, NOTHING, failure.label(), now);
        self.count(visit, status, now);
        answer
    }

    /// Tells a client whose time is up, and which the provider refused, when its turn would come: its
    /// place is remembered as that of one who waited in line.
    async fn say_when(&self, visit: &Visit, ask: Ask, headers: &mut HeaderMap) {
        let refusal = match visit.site.admission.enter(ask) {
            Ok(Entered::Waiting(mut waiting)) => waiting.outcome().await.err(),
            // There is room again; the provider's own words have to do.
            Ok(Entered::Granted(_)) => None,
            Err(refusal) => Some(refusal),
        };
        match refusal {
            Some(refusal) => failure::say_when(&refusal, headers),
            None => failure::say_soon(headers),
        }
    }

    /// Counts a request of which nothing was sent, or whose answer is ours.
    fn count(&self, visit: &Visit, status: u16, now: Instant) {
        let books = self.books(&visit.record);
        let total = now.saturating_duration_since(visit.arrived);
        books.metrics.answered(&books.series, status, visit.record.queued, total);
    }

    fn books(&self, record: &Record) -> Books {
        let metrics = self.inner.metrics.clone();
        let series = metrics.series(&record.party, &record.model);
        let prices = Arc::clone(&self.terms().settings.prices);
        let (pass, ledger) = (self.inner.under_way.pass(), self.inner.ledger.clone());
        Books { metrics, series, prices, pass, ledger }
    }

    fn drains(&self) -> bool {
        self.terms().settings.line.on_disconnect == Disconnect::Drain
    }
}

/// Serves a request until it has an answer.
async fn serve(mut vigil: Vigil, errand: Errand, pulse: Option<Pulse>) -> Response<Body> {
    match lead(&mut vigil, errand, pulse).await {
        Ok(answer) => answer,
        Err(failure) => vigil.fail(&failure),
    }
}

/// Leads a request through admission to the provider, again where it has to be, and elsewhere where it
/// may be.
async fn lead(
    vigil: &mut Vigil,
    mut errand: Errand,
    mut pulse: Option<Pulse>,
) -> Result<Response<Body>, Failure> {
    if !vigil.proxy.inner.ledger.may_open() {
        // Nobody waits in line for that.
        return Err(Failure::Unbooked);
    }
    vigil.proxy.turn_to_open(&mut vigil.visit, &mut errand, 0).await;
    let proxy = vigil.proxy.clone();
    vigil.wait();
    let afforded = proxy.afford(&mut vigil.visit, &mut errand).await;
    vigil.go();
    afforded?;
    let mut ask = proxy.ask(&vigil.visit, &errand);
    let mut going = Try { errand, backoff: vigil.visit.backoff() };
    vigil.wait();
    loop {
        let reserved = turn(vigil, &mut going.errand, &mut ask, pulse.as_mut()).await;
        vigil.go();
        let reservation = reserved?;
        vigil.note(&reservation);
        let reserved = may_go(vigil, &mut going.errand, (&mut ask, reservation)).await?;
        let Some(reservation) = reserved else {
            vigil.wait();
            continue;
        };
        vigil.visit.record.attempt += 1;
        vigil.end();
        // Boxed: what is awaited is copied into what awaits it, level by level.
        let attempt = Box::pin(vigil.proxy.attempt(&vigil.visit, going, reservation));
        let (outcome, after) = match &mut pulse {
            Some(pulse) => pulse.sent(attempt).await?,
            None => attempt.await?,
        };
        going = after;
        match outcome {
            Outcome::Answered(answer) => return Ok(*answer),
            Outcome::Limited(mut answer, place) => {
                let ask = Ask { place: Some(place), deadline: Instant::now(), ..ask };
                let told = vigil.proxy.say_when(&vigil.visit, ask, answer.headers_mut());
                Box::pin(told).await;
                return Ok(*answer);
            }
            Outcome::Again(retry) => {
                vigil.wait();
                sleep(retry.after).await;
                ask.place = Some(retry.place);
                ask.avoid = retry.avoid;
            }
            Outcome::Elsewhere => {
                vigil.wait();
                let next = vigil.visit.at + 1;
                vigil.proxy.turn_to_open(&mut vigil.visit, &mut going.errand, next).await;
                ask = vigil.proxy.ask(&vigil.visit, &going.errand);
                going.backoff = vigil.visit.backoff();
            }
        }
    }
}

/// Returns how many threads can work at a time.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

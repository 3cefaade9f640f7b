//! One run: a provider, a network, sluicegate's server, and clients that send what the jobs say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sluicegate::config::{DataDir, Settings};
use sluicegate::server::{self, Running};
use sluicegate::simulate::engine::Stats;
use sluicegate::simulate::{Config, Faults, Latency, Provider};
use sluicegate::units::Class;
use sluicegate::upstream::NetworkEnvironment;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::network::Network;
use super::scout::OUTPUTS;
use crate::play::gate::settings;
use crate::play::scenario::Scenario;
use crate::play::work::Job;

/// What came of a run.
#[derive(Debug)]
pub(super) struct Live {
    /// From the start to the last byte of the last answer.
    pub(super) makespan: Duration,
    /// Tries that the provider did not take in.
    pub(super) refused: u64,
    /// Requests that failed for their client, those not counted whose answers broke off.
    pub(super) failed: usize,
    /// By how much one timer in a hundred was late.
    pub(super) late: Duration,
}

/// What one request came to: when, and how.
type End = (Duration, Result<(), String>);

/// Plays these jobs with these bodies.
pub(super) async fn live(
    scenario: &Scenario,
    seed: u64,
    (jobs, bodies): (&[Job], &[Bytes]),
) -> Live {
    let provider = Provider::bind(provider_config(scenario, seed)).await.expect("a port");
    let ways = jobs.iter().take(1_000).flat_map(|job| job.ways).collect();
    let network = Network::before(provider.addr(), ways).await;
    let running = start(scenario, &network).await;
    let clients = Clients::new(&running, jobs);
    let late = Lateness::watch();
    provider.reset();
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for (job, body) in jobs.iter().zip(bodies) {
        let asking = clients.ask(job, body.clone());
        let at = begin + job.arrives;
        tasks.spawn(async move {
            sleep_until(at).await;
            let told = asking.await;
            (begin.elapsed(), told)
        });
    }
    let ends: Vec<End> = tasks.join_all().await;
    let stats = provider.stats();
    let failures: Vec<&String> = ends.iter().filter_map(|(_, told)| told.as_ref().err()).collect();
    for failure in failures.iter().take(3) {
        eprintln!("{} {} over sockets: {failure}", scenario.name, scenario.cell);
    }
    let live = Live {
        makespan: ends.iter().map(|(at, _)| *at).max().unwrap_or_default(),
        refused: refused(&stats),
        failed: failures.len(),
        late: late.worst_hundredth(),
    };
    drop(clients);
    running.stop().await;
    live
}

fn provider_config(scenario: &Scenario, seed: u64) -> Config {
    let flow = &scenario.flows[0];
    let part = scenario.window().as_secs_f64() / 60.0;
    let faults = scenario.faults;
    Config {
        dialect: scenario.speaks,
        rules: scenario.rules(seed),
        outputs: OUTPUTS,
        latency: Latency {
            first_token: Duration::from_millis(200).mul_f64(part),
            per_token: flow.per_token.mul_f64(part),
            jitter: 0.1,
        },
        faults: Faults {
            server_error: faults.error + faults.overloaded,
            reset: faults.reset,
            cut: faults.cut,
            ..Faults::default()
        },
        headers: scenario.headers,
        seed,
        ..Config::default()
    }
}

/// Starts sluicegate with the settings that it has in simulated time.
async fn start(scenario: &Scenario, network: &Network) -> Running {
    let mut settings: Settings = settings(scenario);
    settings.server.listen = ([127, 0, 0, 1], 0).into();
    settings.server.admin = ([127, 0, 0, 1], 0).into();
    settings.data_dir = DataDir::Nowhere;
    for upstream in &mut settings.upstreams {
        upstream.dialect = scenario.dialect();
        upstream.base_url = format!("http://{}/v1", network.addr()).parse().expect("a URL");
    }
    let environment = NetworkEnvironment::read(|_| None);
    server::start(settings, environment).await.expect("a proxy that runs")
}

/// Counts what the provider did not take in, as the notes of simulated time do.
fn refused(stats: &Stats) -> u64 {
    let lanes: u64 = stats.lanes.iter().map(|lane| lane.tally.refused.total()).sum();
    lanes + stats.denied.invalid_key + stats.denied.out_of_quota
}

/// The programs: HTTP/2 clients, several for an app that asks much, as one connection carries 200 streams.
struct Clients {
    url: String,
    by_app: HashMap<String, Vec<Arc<Http>>>,
}

type Http = Client<HttpConnector, Full<Bytes>>;

impl Clients {
    fn new(running: &Running, jobs: &[Job]) -> Self {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for job in jobs {
            *counts.entry(job.app.as_str().to_owned()).or_default() += 1;
        }
        let client =
            || Arc::new(Client::builder(TokioExecutor::new()).http2_only(true).build_http());
        let several = |count: usize| (0..count.div_ceil(STREAMS)).map(|_| client()).collect();
        let by_app = counts.into_iter().map(|(app, count)| (app, several(count)));
        Self {
            url: format!("http://{}/v1/chat/completions", running.listen()),
            by_app: by_app.collect(),
        }
    }

    /// Sends a request and reads its answer. A stream that breaks off was served as far as anybody can.
    fn ask(&self, job: &Job, body: Bytes) -> impl Future<Output = Result<(), String>> + use<> {
        let clients = &self.by_app[job.app.as_str()];
        let client = Arc::clone(&clients[job.number % clients.len()]);
        let class = match job.class {
            Class::Interactive => "interactive",
            Class::Standard => "standard",
            Class::Batch => "batch",
        };
        let streams = job.stream;
        let request = Request::post(&self.url)
            .header("authorization", format!("Bearer {}", job.app.as_str()))
            .header("content-type", "application/json")
            .header("x-sluicegate-class", class)
            .body(Full::from(body))
            .expect("a request");
        async move {
            let answer = client.request(request).await.map_err(|error| chain(&error))?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await;
            if head.status == StatusCode::OK && (streams || body.is_ok()) {
                return Ok(());
            }
            let text = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Err(format!("{}: {}", head.status, String::from_utf8_lossy(&text)))
        }
    }
}

/// Returns what an error says, and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The streams of a connection.
const STREAMS: usize = 150;

/// Watches how late timers are.
struct Lateness {
    watching: AbortHandle,
    seen: Arc<std::sync::Mutex<Vec<Duration>>>,
}

impl Lateness {
    fn watch() -> Self {
        let seen: Arc<std::sync::Mutex<Vec<Duration>>> = Arc::default();
        let notes = Arc::clone(&seen);
        let watching = tokio::spawn(async move {
            loop {
                let due = Instant::now() + TICK;
                sleep(TICK).await;
                notes.lock().expect("no panic").push(due.elapsed());
            }
        });
        Self { watching: watching.abort_handle(), seen }
    }

    fn worst_hundredth(self) -> Duration {
        self.watching.abort();
        let mut seen = self.seen.lock().expect("no panic");
        seen.sort_unstable();
        let rank = seen.len() * 99 / 100;
        seen.get(rank).copied().unwrap_or_default()
    }
}

const TICK: Duration = Duration::from_millis(5);

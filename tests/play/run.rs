//! Runs a scenario: one task for each request, on a clock that jumps from event to event.

use std::rc::Rc;
use std::time::Duration;

use sluicegate::simulate::engine::Stats;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

use super::diary::{Diary, Fate};
use super::provider::Provider;
use super::scenario::Scenario;
use super::work::{Job, jobs};

/// What stands between clients and provider: sluicegate, or what people use today.
///
/// To plug in another one: keep shared state in `Self` (tasks run on one thread: `RefCell` will do), send
/// with [`Provider::send`], return what became of the request. Arrivals, provider and notes are the same.
pub(crate) trait System: Sized + 'static {
    /// Makes it ready for a scenario. Runs within the runtime, whose clock is paused.
    fn open(scenario: &Scenario, provider: Provider, seed: u64) -> Self;

    /// Serves one request to its end, from the moment at which its client sends it.
    async fn serve(&self, job: &Job) -> Fate;
}

/// What happened.
#[derive(Debug)]
pub(crate) struct Run {
    /// The seed.
    pub(crate) seed: u64,
    /// The requests, by number.
    pub(crate) jobs: Vec<Rc<Job>>,
    /// What happened to them.
    pub(crate) diary: Diary,
    /// What the engine counted up to the end.
    pub(crate) stats: Stats,
}

/// Plays `scenario` with the seed's traffic through a system.
///
/// # Panics
///
/// Where a request is still on its way after a month.
pub(crate) fn play<S: System>(scenario: &Scenario, seed: u64) -> Run {
    let open = |provider| S::open(scenario, provider, seed);
    let run = play_until((scenario, seed), jobs(scenario, seed), LONGEST, open);
    let ended = run.diary.trips.iter().all(|trip| trip.fate.is_some());
    assert!(ended, "{} {}: it never ends", scenario.name, scenario.cell);
    run
}

/// Plays `jobs` through the system that `open` makes; what is not done after `longest` is left, its fate open.
pub(crate) fn play_until<S: System>(
    (scenario, seed): (&Scenario, u64),
    jobs: Vec<Job>,
    longest: Duration,
    open: impl FnOnce(Provider) -> S,
) -> Run {
    let jobs: Vec<Rc<Job>> = jobs.into_iter().map(Rc::new).collect();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets");
    let local = LocalSet::new();
    let (diary, stats) = local.block_on(&runtime, async {
        let begin = Instant::now();
        let provider = Provider::new(scenario, seed, jobs.len());
        let system = Rc::new(open(provider.clone()));
        let mut tasks = JoinSet::new();
        for job in &jobs {
            let (job, system, provider) = (Rc::clone(job), Rc::clone(&system), provider.clone());
            tasks.spawn_local(async move {
                sleep_until(begin + job.arrives).await;
                let fate = system.serve(&job).await;
                let now = provider.now();
                provider.diary().ends(job.number, fate, now);
            });
        }
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                ended.expect("no task panics");
            }
        };
        if tokio::time::timeout(longest, all).await.is_err() {
            provider.diary().breaks_off(provider.now());
        }
        let diary = std::mem::take(&mut *provider.diary());
        (diary, provider.stats())
    });
    Run { seed, jobs, diary, stats }
}

/// No scenario is longer.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

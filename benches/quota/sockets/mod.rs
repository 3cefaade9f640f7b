//! A few cells once more over real sockets: clients, sluicegate's server and the simulated provider, all HTTP.
//!
//! # What this module owns
//!
//! A run lasts a minute: windows and everything else that takes time are a fifth of the cell's. (Shorter ones were
//! tried: with 4 s, timers that are 10 ms late and pauses after faults that are not scaled decide.) Its requests are the cell's with the same seed, but for the lengths of the answers, which the listening
//! provider draws from the same distribution: they are asked of it beforehand ([`scout`]) and put into the jobs. The
//! same jobs then are played in simulated time with windows just as short, and by the oracle, so that both
//! makespans are divided by the same.
//!
//! # What this module does not do
//!
//! Faults and the pace of single answers are drawn by the listening provider for itself. Streams are fewer where there
//! is much traffic: writing events a few microseconds apart would measure the machine.
//!
//! # Invariants
//!
//! 1. Nothing else of the bench runs meanwhile, but for cells of little traffic, which run side by side.
//! 2. What the machine adds is measured beside it: by how much timers are late.

mod clients;
mod network;
mod scout;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::cell::{Cell, median};
use crate::play::figures::Figures;
use crate::play::gate::Sluicegate;
use crate::play::oracle::oracle_of;
use crate::play::run::{System as _, play_until};
use crate::play::scenario::Scenario;
use crate::play::work::{Job, jobs};

/// A cell's name, which cell it is, of how many streams one stays a stream, in which group it is played, and
/// when.
type Entry = (&'static str, &'static str, usize, Group, When);

/// What is played side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Cells of little traffic.
    Small,
    /// S4.
    People,
    /// S14.
    Many,
}

/// When a cell is played over sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    InFull,
}

/// The cells that are played.
#[rustfmt::skip] // One cell a line: the table is read by columns.
const CELLS: [Entry; 8] = [
    ("S1",  "bucket/refund",        1, Group::Small,  When::Always),
    ("S1",  "bucket/max",           1, Group::Small,  When::InFull),
    ("S1",  "bucket/later",         1, Group::Small,  When::InFull),
    ("S1",  "bucket/split",         1, Group::Small,  When::InFull),
    ("S4",  "a tenth",              5, Group::People, When::Always),
    ("S5",  "a key and an account", 1, Group::Small,  When::Always),
    ("S7",  "5 % faults",           1, Group::Small,  When::Always),
    ("S14", "500 equal apps",       5, Group::Many,   When::Always),
];

/// How long windows are, in seconds.
const WINDOW: u32 = 12;

/// How much later one of several that are played side by side begins than the one before.
const STAGGER: Duration = Duration::from_secs(5);

/// By how much the ratio over sockets may differ from the simulated one (issue 3).
const ALLOWED: f64 = 0.03;

/// What came of one cell.
#[derive(Debug)]
pub(crate) struct Compared {
    /// Which one.
    pub(crate) name: String,
    /// Makespan / oracle of each run over sockets.
    pub(crate) ratios: Vec<f64>,
    /// The same in simulated time.
    pub(crate) simulated: f64,
    /// Tries refused by the provider, per 1,000 requests, of each run.
    pub(crate) refused: Vec<f64>,
    /// Requests that failed for their clients in all runs.
    pub(crate) failed: usize,
    /// By how much one timer in a hundred was late, of each run.
    pub(crate) late: Vec<Duration>,
}

impl Compared {
    /// Returns by how much the least ratio over sockets is above the simulated one. The least, as others that need
    /// the machine meanwhile only make it longer; all are printed.
    pub(crate) fn difference(&self) -> f64 {
        self.ratios.iter().copied().fold(f64::INFINITY, f64::min) - self.simulated
    }

    /// Tells whether it is not what it should be; a figure that is no number is missed, too.
    pub(crate) fn is_missed(&self) -> bool {
        let near = self.difference().abs() <= ALLOWED;
        !near || self.failed > 0
    }
}

/// How often, and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// How often each cell is played at most.
    pub(crate) times: usize,
    /// Whether all cells are played, not only one of each scenario.
    pub(crate) full: bool,
    /// The seed of them all.
    pub(crate) seed: u64,
    /// How long windows are, in seconds, if not as usual.
    pub(crate) window: Option<u32>,
}

/// A cell with everything that its runs need.
#[derive(Debug)]
struct Prepared {
    scaled: Scenario,
    seed: u64,
    jobs: Vec<Job>,
    bodies: Vec<Bytes>,
    best: Duration,
    group: Group,
    compared: Compared,
}

/// Plays those of `cells` that are played over sockets. A cell is played again only where it was not near.
pub(crate) fn play(cells: &[Cell], extent: Extent) -> Vec<Compared> {
    let runtime = Runtime::new().expect("sockets");
    let entries = CELLS.into_iter().filter(|(.., when)| extent.full || *when == When::Always);
    let prepared = |entry: Entry| {
        let mut found = cells.iter().map(|cell| &cell.scenario);
        let scenario = found.find(|one| one.name == entry.0 && one.cell == entry.1)?;
        Some(prepare(&runtime, scenario, entry, extent))
    };
    let mut all: Vec<Prepared> = entries.filter_map(prepared).collect();
    for _ in 0..extent.times {
        for group in [Group::Small, Group::People, Group::Many] {
            let those = all.iter_mut().filter(|one| one.group == group && one.compared.is_missed());
            // Thousands of requests at once keep the machine busy for a while: one such start at a time.
            let starts = (0..).map(|place| STAGGER * place);
            let runs = those.zip(starts).map(|(one, start)| async move {
                sleep(start).await;
                one.run().await;
            });
            runtime.block_on(join_all(runs));
        }
    }
    all.into_iter().map(|one| one.compared).collect()
}

fn prepare(
    runtime: &Runtime,
    scenario: &Scenario,
    (.., streams, group, _): Entry,
    extent: Extent,
) -> Prepared {
    let (seed, window) = (extent.seed, extent.window.unwrap_or(WINDOW));
    let part = f64::from(window) / scenario.window().as_secs_f64();
    let scaled = scenario.scaled(part);
    let mut planned: Vec<Job> =
        jobs(scenario, seed).into_iter().map(|job| job.scaled(part)).collect();
    for job in &mut planned {
        job.stream &= job.number % streams == 0;
    }
    let bodies = runtime.block_on(scout::scout(seed, &mut planned));
    let best = oracle_of((&scaled, seed), &planned);
    let open = |provider| Sluicegate::open(&scaled, provider, seed);
    let run = play_until((&scaled, seed), planned.clone(), best * 3, open);
    let compared = Compared {
        name: format!("{} {}, windows of {window} s", scenario.name, scenario.cell),
        simulated: Figures::of(&run, &scaled, Some(best)).ratio,
        ratios: Vec::new(),
        refused: Vec::new(),
        failed: 0,
        late: Vec::new(),
    };
    Prepared { scaled, seed, jobs: planned, bodies, best, group, compared }
}

impl Prepared {
    /// Plays it once.
    async fn run(&mut self) {
        let live = clients::live(&self.scaled, self.seed, (&self.jobs, &self.bodies)).await;
        let compared = &mut self.compared;
        compared.ratios.push(live.makespan.as_secs_f64() / self.best.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        compared.refused.push(live.refused as f64 * 1_000.0 / self.jobs.len() as f64);
        compared.failed += live.failed;
        compared.late.push(live.late);
    }
}

/// Returns the table.
pub(crate) fn table(compared: &[Compared]) -> String {
    let mut text = "| over sockets | makespan / oracle, least (others) | in simulated time | difference | refused per 1,000 | failed | timers late by |\n".to_owned();
    text += "|---|---|---|---|---|---|---|\n";
    for one in compared {
        let mut ratios = one.ratios.clone();
        ratios.sort_by(f64::total_cmp);
        let others: Vec<String> =
            ratios.iter().skip(1).map(|ratio| format!("{ratio:.3}")).collect();
        let others =
            if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
        let late = one.late.iter().map(|late| late.as_secs_f64() * 1_000.0).collect();
        text += &format!(
            "| {} | {:.3}{others} | {:.3} | {:+.3} | {:.1} | {} | {:.1} ms |\n",
            one.name,
            ratios.first().copied().unwrap_or(f64::NAN),
            one.simulated,
            one.difference(),
            median(one.refused.clone()),
            one.failed,
            median(late),
        );
    }
    text
}

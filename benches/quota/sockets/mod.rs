//! A few cells once more over real sockets: clients, sluicegate's server and the simulated provider, all HTTP.
//!
//! # What this module owns
//!
//! A run lasts seconds: windows and everything else that takes time are a fifteenth of the cell's, or more where
//! there is much traffic ([`CELLS`]). Its requests are the cell's with the same seed, but for the lengths of the answers, which the listening
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
//! 1. Nothing else of the bench runs meanwhile.
//! 2. What the machine adds is measured beside it: by how much timers are late.

mod clients;
mod network;
mod scout;

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::cell::{Cell, median};
use crate::play::figures::Figures;
use crate::play::gate::Sluicegate;
use crate::play::oracle::oracle_of;
use crate::play::run::{System as _, play_until};
use crate::play::scenario::Scenario;
use crate::play::work::{Job, jobs};
use clients::Live;

/// A cell's name, which cell it is, how long its windows are in seconds, of how many streams one stays a stream,
/// and when it is played.
type Entry = (&'static str, &'static str, u32, usize, Played);

/// When a cell is played over sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Played {
    Always,
    InFull,
}

/// The cells that are played.
#[rustfmt::skip] // One cell a line: the table is read by columns.
const CELLS: [Entry; 8] = [
    ("S1",  "bucket/refund",        4, 1, Played::Always),
    ("S1",  "bucket/max",           4, 1, Played::InFull),
    ("S1",  "bucket/later",         4, 1, Played::InFull),
    ("S1",  "bucket/split",         4, 1, Played::InFull),
    ("S4",  "a tenth",              6, 5, Played::Always),
    ("S5",  "a key and an account", 4, 1, Played::Always),
    ("S7",  "5 % faults",           4, 1, Played::Always),
    ("S14", "500 equal apps",       8, 5, Played::Always),
];

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
    /// How often each cell is played.
    pub(crate) times: usize,
    /// Whether all cells are played, not only one of each scenario.
    pub(crate) full: bool,
    /// The seed of them all.
    pub(crate) seed: u64,
}

/// Plays those of `cells` that are played over sockets.
pub(crate) fn play(cells: &[Cell], extent: Extent) -> Vec<Compared> {
    let runtime = Runtime::new().expect("sockets");
    let entries = CELLS.into_iter().filter(|(.., when)| extent.full || *when == Played::Always);
    let played = |entry: Entry| {
        let mut found = cells.iter().map(|cell| &cell.scenario);
        let scenario = found.find(|one| one.name == entry.0 && one.cell == entry.1)?;
        Some(compare(&runtime, scenario, entry, extent))
    };
    entries.filter_map(played).collect()
}

fn compare(
    runtime: &Runtime,
    scenario: &Scenario,
    (.., window, streams, _): Entry,
    Extent { times, seed, .. }: Extent,
) -> Compared {
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
    let simulated = Figures::of(&run, &scaled, Some(best));
    let play = |_| runtime.block_on(clients::live(&scaled, seed, (&planned, &bodies)));
    let runs: Vec<Live> = (0..times).map(play).collect();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let refused = |live: &Live| live.refused as f64 * 1_000.0 / planned.len() as f64;
    let ratio = |live: &Live| live.makespan.as_secs_f64() / best.as_secs_f64();
    Compared {
        name: format!("{} {}, windows of {window} s", scenario.name, scenario.cell),
        ratios: runs.iter().map(ratio).collect(),
        simulated: simulated.ratio,
        refused: runs.iter().map(refused).collect(),
        failed: runs.iter().map(|live| live.failed).sum(),
        late: runs.iter().map(|live| live.late).collect(),
    }
}

/// Prints the table.
pub(crate) fn print(compared: &[Compared]) {
    println!(
        "| over sockets | makespan / oracle, least (others) | in simulated time | difference | refused per 1,000 | failed | timers late by |"
    );
    println!("|---|---|---|---|---|---|---|");
    for one in compared {
        let mut ratios = one.ratios.clone();
        ratios.sort_by(f64::total_cmp);
        let others: Vec<String> =
            ratios.iter().skip(1).map(|ratio| format!("{ratio:.3}")).collect();
        let late = one.late.iter().map(|late| late.as_secs_f64() * 1_000.0).collect();
        println!(
            "| {} | {:.3} ({}) | {:.3} | {:+.3} | {:.1} | {} | {:.1} ms |",
            one.name,
            ratios.first().copied().unwrap_or(f64::NAN),
            others.join(", "),
            one.simulated,
            one.difference(),
            median(one.refused.clone()),
            one.failed,
            median(late),
        );
    }
}

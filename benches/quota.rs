//! Plays every scenario against the simulated provider in simulated time, and judges the figures.
//!
//! `cargo bench --bench quota` plays all of it with ten seeds, five of them unseen while tuning (medians
//! are judged, the worst are printed), three in vendors' dialects, and fails where a figure is missed. Beside it stands what people do
//! today, in one cell of each scenario, at its best setting and with three seeds; at the end five cells are played
//! over sockets. `--full` plays three times as long, and the others with more seeds in all cells. `--markdown`
//! prints the tables of README and ARCHITECTURE, `--write` puts them there. Fewer cells, to tune: `cargo bench
//! --profile tune --bench quota -- S1 S15 --seeds 3 --cell sliding`, a line for each seed; `--peers` adds the others.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on has failed"
)]

#[path = "quota/args.rs"]
mod args;
#[path = "quota/cell.rs"]
mod cell;
#[path = "quota/papers.rs"]
mod papers;
#[path = "../tests/play/mod.rs"]
mod play;
#[path = "quota/rivals.rs"]
mod rivals;
#[path = "quota/sockets/mod.rs"]
mod sockets;
#[path = "quota/table.rs"]
mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use tokio::time::Instant;

use args::{Args, Style};
use cell::{Cell, Played};
use play::scenarios;
use rivals::Rival;

/// What came of each cell.
#[derive(Debug, Default)]
struct Outcome {
    /// sluicegate, by seed.
    ours: Vec<Played>,
    /// What people do today, in the order of the columns; nothing where it was not played.
    rivals: Vec<Rival>,
}

/// What came of it all, by cell.
type Results = BTreeMap<usize, Outcome>;

fn main() -> ExitCode {
    let args = match Args::read(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let scenarios = scenarios::all(args.size()).into_iter().filter(|one| args.wants(one));
    let cells: Vec<Cell> = scenarios.map(Cell::new).collect();
    let results = if args.is_simulated() { simulated(&cells, &args) } else { Results::new() };
    let missed = if args.is_simulated() { table::missing(&cells, &results).len() } else { 0 };
    // Nothing else runs meanwhile.
    let compared = args.sockets().map(|extent| sockets::play(&cells, extent)).unwrap_or_default();
    match args.style() {
        Style::Judged if !compared.is_empty() => println!("\n{}", sockets::table(&compared)),
        Style::Judged => {}
        Style::Papers => papers::all_of_them(&cells, &results, &compared)
            .iter()
            .for_each(|(name, text)| println!("{name}:\n\n{text}")),
        Style::Written => {
            papers::all_of_them(&cells, &results, &compared).iter().for_each(papers::write);
        }
    }
    println!("{} cells, {:.0} s", cells.len(), began.elapsed().as_secs_f64());
    let missed = missed + compared.iter().filter(|one| one.is_missed()).count();
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays the cells in simulated time, and prints what came of it where people read it.
fn simulated(cells: &[Cell], args: &Args) -> Results {
    if args.is_detailed() {
        println!("{}", table::DETAILS);
    }
    let results = play_all(cells, args);
    if args.style() == Style::Judged {
        println!("{}", table::judged(cells, &results));
    }
    results
}

/// A piece of work.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// One seed of a cell.
    Ours(usize, u64),
    /// What people do today, with all its seeds.
    Rivals(usize),
}

/// Plays every cell with every seed, on all cores.
fn play_all(cells: &[Cell], args: &Args) -> Results {
    let (seeds, peer_seeds) = (args.seeds(), args.peer_seeds());
    let rivals = args.rival_cells(cells).into_iter().map(Task::Rivals);
    let ours = (0..cells.len()).flat_map(|cell| {
        let most = cells[cell].scenario.seeds.filter(|_| !args.has_seeds()).unwrap_or(usize::MAX);
        seeds.iter().take(most).map(move |seed| Task::Ours(cell, *seed))
    });
    // Those take longest.
    let work = Mutex::new(rivals.chain(ours).collect::<Vec<_>>().into_iter());
    let results: Mutex<Results> = Mutex::default();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let next = work.lock().expect("no panic").next();
                    let Some(task) = next else { break };
                    let outcome = perform(task, cells, &peer_seeds, args);
                    let mut results = results.lock().expect("no panic");
                    let (cell, Outcome { ours, rivals }) = outcome;
                    let known: &mut Outcome = results.entry(cell).or_default();
                    known.ours.extend(ours);
                    known.rivals.extend(rivals);
                }
            });
        }
    });
    results.into_inner().expect("no panic")
}

/// Does a piece of work, and returns what came of which cell.
fn perform(task: Task, cells: &[Cell], peer_seeds: &[u64], args: &Args) -> (usize, Outcome) {
    match task {
        Task::Ours(cell, seed) => {
            let played = cells[cell].play(seed);
            if args.is_detailed() {
                println!("{}", table::details(&cells[cell], &played));
            }
            (cell, Outcome { ours: vec![played], rivals: Vec::new() })
        }
        Task::Rivals(cell) => {
            let rivals = rivals::play(&cells[cell], peer_seeds);
            if args.is_detailed() {
                let lines = rivals.iter().map(|rival| table::rival_details(&cells[cell], rival));
                println!("{}", lines.collect::<Vec<_>>().join("\n"));
            }
            (cell, Outcome { ours: Vec::new(), rivals })
        }
    }
}

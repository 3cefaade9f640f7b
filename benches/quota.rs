//! Plays every scenario against the simulated provider in simulated time, and judges the figures.
//!
//! `cargo bench --bench quota` plays all of it with ten seeds, five of them unseen while tuning (medians
//! are judged, the worst are printed), and fails where a figure is missed. Fewer cells, to tune:
//! `cargo bench --profile tune --bench quota -- S1 S15 --seeds 3 --cell sliding`, a line for each seed.
//! `--full` plays three times as long, `--direct` lets clients ask the provider and try again by themselves.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on has failed"
)]

#[path = "quota/args.rs"]
mod args;
#[path = "quota/cell.rs"]
mod cell;
#[path = "../tests/play/mod.rs"]
mod play;
#[path = "quota/table.rs"]
mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use tokio::time::Instant;

use args::{Args, Through};
use cell::{Cell, Played};
use play::gate::Sluicegate;
use play::scenarios;
use play::stubborn::Stubborn;

/// What came of each seed, by cell.
type Results = BTreeMap<usize, Vec<Played>>;

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
    if args.is_detailed() {
        println!("{}", table::DETAILS);
    }
    let results = play_all(&cells, &args);
    let missed = table::print(&cells, &results);
    println!("{} cells, {:.0} s", cells.len(), began.elapsed().as_secs_f64());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays every cell with every seed, on all cores, and returns the figures by cell.
fn play_all(cells: &[Cell], args: &Args) -> Results {
    let seeds = args.seeds();
    let work = (0..cells.len()).flat_map(|cell| seeds.iter().map(move |seed| (cell, *seed)));
    let work = Mutex::new(work.collect::<Vec<_>>().into_iter());
    let results: Mutex<Results> = Mutex::default();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let next = work.lock().expect("no panic").next();
                    let Some((cell, seed)) = next else { break };
                    let played = match args.through() {
                        Through::Sluicegate => cells[cell].play::<Sluicegate>(seed),
                        Through::Nothing => cells[cell].play::<Stubborn>(seed),
                    };
                    if args.is_detailed() {
                        println!("{}", table::details(&cells[cell], &played));
                    }
                    results.lock().expect("no panic").entry(cell).or_default().push(played);
                }
            });
        }
    });
    results.into_inner().expect("no panic")
}

//! What it costs to stand in between: sluicegate beside nginx and a proxy that parses nothing.
//!
//! `cargo bench --bench proxy` prints tables and exits with 1 when an aim is missed. All
//! processes run on loopback in one run, the targets of a round one after the other, so that
//! what else the machine does falls on all of them. The load is bounded by counts.
//!
//! CPU is what the kernel booked on a target's processes; the load and the provider are
//! processes of their own. `-- ledger` measures what booking costs (`ledger.rs`). Ratios are to the bare proxy (`bare.rs`), round by round; the median
//! of the rounds counts.

#![expect(clippy::expect_used, reason = "a bench: what is not as expected ends it")]

use std::env;
use std::process::ExitCode;

use tokio::runtime::Runtime;

#[path = "proxy/bare.rs"]
mod bare;
#[path = "proxy/crowd.rs"]
mod crowd;
#[path = "proxy/ledger.rs"]
mod ledger;
#[path = "proxy/load.rs"]
mod load;
#[path = "proxy/process.rs"]
mod process;
#[path = "proxy/prompts.rs"]
mod prompts;
#[path = "proxy/report.rs"]
mod report;
#[path = "proxy/upstream.rs"]
mod upstream;

use load::Work;
use process::Target;
use report::{Report, Sample};

/// Rounds of each work; each round visits every target.
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let runtime = Runtime::new().expect("a runtime");
    // Cargo adds its own word.
    let arguments: Vec<String> = env::args().skip(1).filter(|it| it != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["upstream"] => runtime.block_on(upstream::serve()),
        ["bare", upstream] => runtime.block_on(bare::serve(upstream)),
        ["ledger"] => runtime.block_on(ledger::compare()),
        _ => runtime.block_on(compare()),
    }
}

async fn compare() -> ExitCode {
    let upstream = process::upstream();
    let mut report = Report::default();
    for _ in 0..ROUNDS {
        report.started(process::start_of_sluicegate(&upstream).await);
    }
    let targets = process::targets(&upstream);
    for target in &targets {
        // Connections, caches and learned limits are there before anything is measured.
        for work in Work::ALL {
            load::play(target.address(), work, work.warm_up()).await;
        }
    }
    for work in Work::ALL {
        for _ in 0..ROUNDS {
            for target in &targets {
                report.measured(work, target.name(), measure(target, work).await);
            }
        }
    }
    // New processes: what earlier streams left would be used again.
    for target in &process::targets(&upstream) {
        if let Some(bytes) = crowd::growth(target).await {
            report.held(target.name(), bytes);
        }
    }
    print!("{report}");
    match report.missed().as_slice() {
        [] => ExitCode::SUCCESS,
        missed => {
            println!("\nMissed:\n- {}", missed.join("\n- "));
            ExitCode::FAILURE
        }
    }
}

async fn measure(target: &Target, work: Work) -> Sample {
    let cpu = target.cpu();
    let played = load::play(target.address(), work, work.per_round()).await;
    Sample { units: played.units, wall: played.wall, cpu: target.cpu() - cpu, held: played.held }
}

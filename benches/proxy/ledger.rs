//! What it costs to book every request: sluicegate with a strict ledger beside a relaxed one and the bare proxy.
//!
//! `cargo bench --bench proxy -- ledger` prints its figures and exits with 1 when an aim is missed. All of them are ratios or
//! differences of one run; targets take turns within a round, and the median of the rounds counts.
//!
//! What a commit of the store costs by itself is measured in this process, over the same driver, with rows of the same
//! size, and on the same disk.

use std::process::ExitCode;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::Instant;

use super::load::{self, Work};
use super::process::{self, Target};

const ROUNDS: usize = 7;
/// CPU of a small request to the bare proxy's.
const MOST_CPU: f64 = 1.8;
/// What a strict ledger adds to the slowest hundredth of requests, in commits of the store by itself.
const MOST_COMMITS: f64 = 3.0;
/// The least throughput of short streams with a strict ledger, to that with a relaxed one.
const LEAST_THROUGHPUT: f64 = 0.95;
/// So many requests at a time, where it is measured how long each takes: the machine is not busy then.
const FEW: usize = 2;

/// What one target did in one round.
struct Round {
    cpu_micros: f64,
    slowest_micros: f64,
    events_per_second: f64,
}

/// One round at the bare proxy, with a strict and with a relaxed ledger, and what a commit took by itself.
struct Together {
    bare: Round,
    strict: Round,
    relaxed: Round,
    commit_micros: f64,
}

/// Measures, and tells.
pub(crate) async fn compare() -> ExitCode {
    let upstream = process::upstream();
    let targets = process::with_ledgers(&upstream, &["strict", "relaxed"]);
    let [bare, strict, relaxed] = targets.as_slice() else { panic!("three targets") };
    for target in &targets {
        for work in [Work::Small, Work::Bursts] {
            load::play(target.address(), work, 500).await;
        }
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(Together {
            bare: measure(bare).await,
            strict: measure(strict).await,
            relaxed: measure(relaxed).await,
            commit_micros: commit_micros().await,
        });
    }
    tell(&rounds)
}

/// Which of the rounds is meant.
type Of = fn(&Together) -> &Round;

fn tell(rounds: &[Together]) -> ExitCode {
    println!(
        "| target | CPU of a small request, µs | slowest hundredth of requests, µs | events per second |"
    );
    println!("|---|---|---|---|");
    let targets: [(&str, Of); 3] = [
        ("bare hyper proxy", |it| &it.bare),
        ("sluicegate, strict", |it| &it.strict),
        ("sluicegate, relaxed", |it| &it.relaxed),
    ];
    for (name, of) in targets {
        let cpu = median_of(rounds, |it| of(it).cpu_micros);
        let slowest = median_of(rounds, |it| of(it).slowest_micros);
        let events = median_of(rounds, |it| of(it).events_per_second);
        println!("| {name} | {cpu:.1} | {slowest:.0} | {events:.0} |");
    }
    let commit = median_of(rounds, |it| it.commit_micros);
    println!("\nA commit of the store by itself: {commit:.0} µs (slowest hundredth).");
    let cpu = median_of(rounds, |it| it.strict.cpu_micros / it.bare.cpu_micros);
    let added = median_of(rounds, |it| {
        (it.strict.slowest_micros - it.relaxed.slowest_micros) / it.commit_micros
    });
    let throughput =
        median_of(rounds, |it| it.strict.events_per_second / it.relaxed.events_per_second);
    println!("CPU of a small request to the bare proxy's: {cpu:.2}, at most {MOST_CPU}.");
    println!(
        "A strict ledger adds {added:.2} commits to the slowest hundredth, at most {MOST_COMMITS}."
    );
    println!(
        "Throughput of streams of 50 events to a relaxed ledger's: {throughput:.3}, at least \
         {LEAST_THROUGHPUT}."
    );
    if cpu > MOST_CPU || added > MOST_COMMITS || throughput < LEAST_THROUGHPUT {
        println!("\nMissed.");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn measure(target: &Target) -> Round {
    let cpu = target.cpu();
    let small = load::play(target.address(), Work::Small, 4_000).await;
    let cpu = (target.cpu() - cpu).as_secs_f64() * 1e6 / count(small.units);
    let few = load::play_over(FEW, target.address(), Work::Small, 3_000).await;
    let bursts = load::play(target.address(), Work::Bursts, Work::Bursts.per_round()).await;
    Round {
        cpu_micros: cpu,
        slowest_micros: slowest(&few.took),
        events_per_second: count(bursts.units) / bursts.wall.as_secs_f64(),
    }
}

/// Returns what the slowest hundredth of commits takes of as many rows as requests are under way, in microseconds.
async fn commit_micros() -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut connection = SqliteConnectOptions::new()
        .filename(folder.path().join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .connect()
        .await
        .expect("a database");
    let table = "CREATE TABLE entries (run BIGINT, seq BIGINT, rest TEXT, PRIMARY KEY (run, seq)) WITHOUT ROWID";
    sqlx::query(table).execute(&mut connection).await.expect("a table");
    let rest = "x".repeat(300);
    let mut took = Vec::new();
    for pair in 0..1_500_i64 {
        let start = Instant::now();
        let rows = "INSERT INTO entries VALUES (1, ?, ?), (1, ?, ?)";
        let bound = sqlx::query(rows).bind(2 * pair).bind(&rest).bind(2 * pair + 1).bind(&rest);
        bound.execute(&mut connection).await.expect("a commit");
        took.push(start.elapsed());
    }
    connection.close().await.expect("a closed database");
    took.sort_unstable();
    slowest(&took)
}

/// Returns what the slowest hundredth takes at least, in microseconds.
fn slowest(sorted: &[Duration]) -> f64 {
    let place = sorted.len().saturating_sub(1 + sorted.len() / 100);
    sorted.get(place).map_or(f64::NAN, |it| it.as_secs_f64() * 1e6)
}

fn median_of(rounds: &[Together], figure: impl Fn(&Together) -> f64) -> f64 {
    median(rounds.iter().map(figure).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

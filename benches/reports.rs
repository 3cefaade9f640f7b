//! How long a report on a month of ten million entries takes.
//!
//! `cargo bench --bench reports` makes the month once below `target` (about 3 GB, two minutes;
//! `SLUICEGATE_REPORT_ENTRIES` says how many entries instead), runs the program on it, prints how long each
//! report took, and fails where the median takes a second. What the same sums take from the entries themselves is
//! printed beside.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sluicegate::ledger::Store;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::runtime::Builder;
use tokio::time::Instant;

/// The reports that are timed. Of zones, one that is not UTC: its days are put together from hours.
const REPORTS: [&str; 4] = ["", "app,model", "day", "day,app,model"];
const MONTH: &str = "2026-10";
const ZONE: &str = "Europe/Berlin";
/// 2026-09-30T22:00:00Z, when that month begins there; it has an hour more than 31 days.
const BEGIN_MS: i64 = 1_790_805_600_000;
const MONTH_MS: i64 = (31 * 24 + 1) * 3_600_000;
/// How many apps, models and accounts there are together.
const FACETS: i64 = 200;
const ROUNDS: usize = 5;
const MOST: Duration = Duration::from_secs(1);

fn main() {
    let entries = std::env::var("SLUICEGATE_REPORT_ENTRIES").ok();
    let entries = entries.map_or(10_000_000, |text| text.parse().expect("a number"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reports-{entries}"));
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let begun = Instant::now();
    if !folder.join("ready").exists() {
        runtime.block_on(make(&folder, entries));
        println!("made {entries} entries in {:.0} s", begun.elapsed().as_secs_f64());
    }
    let mut slow = Vec::new();
    println!("a month of {entries} entries | median of {ROUNDS} runs of the program");
    for by in REPORTS {
        let mut taken: Vec<_> = (0..ROUNDS).map(|_| report(&folder, by, entries)).collect();
        taken.sort_unstable();
        let taken = *taken.get(ROUNDS / 2).expect("some");
        println!("by {by:?} | {:.0} ms", taken.as_secs_f64() * 1e3);
        if taken >= MOST {
            slow.push(by);
        }
    }
    let from_entries = runtime.block_on(sum_of_entries(&folder));
    println!("the total from the entries | {:.0} ms", from_entries.as_secs_f64() * 1e3);
    assert!(slow.is_empty(), "a second or more: {}", slow.join(" and "));
}

/// Runs the program, checks what it says, and returns how long it took.
fn report(folder: &Path, by: &str, entries: i64) -> Duration {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_sluicegate"))
        .args(["usage", "--json", "--month", MONTH, "--time-zone", ZONE, "--data-dir"])
        .arg(folder)
        .args(["--by", by])
        .output()
        .expect("the program runs");
    let taken = begun.elapsed();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let attempts = told.pointer("/total/attempts").and_then(serde_json::Value::as_i64);
    assert_eq!(attempts, Some(entries), "not all of it is told");
    taken
}

/// Makes a database in which `entries` are spread over the month.
async fn make(folder: &PathBuf, entries: i64) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("half a database can be removed");
    }
    let store = Store::place(folder).expect("a file");
    store.update().await.expect("a schema");
    store.close().await;
    let mut connection = connect(folder).await;
    for statement in statements(entries) {
        let query = sqlx::query(AssertSqlSafe(statement));
        query.execute(&mut connection).await.expect("it is right");
    }
    connection.close().await.expect("closed");
    fs::write(folder.join("ready"), "").expect("noted");
}

async fn connect(folder: &Path) -> SqliteConnection {
    let file = SqliteConnectOptions::new()
        .filename(folder.join("sluicegate.db"))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .pragma("temp_store", "2");
    file.connect().await.expect("the file opens")
}

/// Returns what fills the tables.
fn statements(entries: i64) -> Vec<String> {
    let count = |most: i64| {
        format!(
            "WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n + 1 < {most})"
        )
    };
    let facets = format!(
        "INSERT INTO facets {} SELECT n, 'app-' || (n % 10), 'standard', NULL, 'openai', 'team-' || (n % 4), \
         'first', '/chat/completions', 'model-' || (n / 10), 'model-' || (n / 10), NULL, NULL FROM c",
        count(FACETS)
    );
    let at = format!("{BEGIN_MS} + n * {MONTH_MS} / {entries}");
    let booked = format!(
        "INSERT INTO entries {} SELECT 1, n, n % {FACETS}, 'sg_' || n, 1, NULL, {at}, 0, NULL, 100, 64, 'exact', \
         {at}, 300, 900, 200, 'complete', 'exact', 100, 40, 0, 50, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
         CASE WHEN n % 100 = 0 THEN NULL ELSE 700000000 END FROM c",
        count(entries)
    );
    let sums = "COUNT(*), COUNT(*), SUM(input), SUM(cached), SUM(cache_write), SUM(output), SUM(reasoning), \
                SUM(input_audio), SUM(input_image), SUM(output_audio), SUM(output_image), SUM(cached_audio), \
                SUM(cached_image), SUM(cache_write_long), SUM(heard_ms), SUM(spoken), SUM(images), \
                SUM(searches), COALESCE(SUM(cost_pico), 0), COUNT(*) - COUNT(cost_pico), 0";
    let rolled = |span: i64| {
        let first = format!("booked_ms / {} * {span}", span * 3_600_000);
        format!(
            "INSERT INTO rollups SELECT {span}, {first}, facet, ending, {sums} FROM entries \
             GROUP BY {first}, facet, ending"
        )
    };
    vec![facets, booked, rolled(1), rolled(24)]
}

async fn sum_of_entries(folder: &Path) -> Duration {
    let mut connection = connect(folder).await;
    let begun = Instant::now();
    let sum = "SELECT COUNT(*), SUM(input), SUM(output), SUM(cost_pico) FROM entries";
    sqlx::query(sum).fetch_one(&mut connection).await.expect("it is right");
    begun.elapsed()
}

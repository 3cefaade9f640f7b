//! The tables of README and ARCHITECTURE, exactly as they stand there.

use crate::cell::{Cell, Played, median};
use crate::play::peers::Peer;
use crate::table::{print_all, settings};
use crate::{Outcome, Results};

/// A scenario's name, what it is about, and which of its cells stands for it.
type Entry = (&'static str, &'static str, &'static str);

#[rustfmt::skip] // One scenario a line: the table is read by columns.
const SCENARIOS: [Entry; 18] = [
    ("S1",  "one key, short of tokens",                     "bucket/refund"),
    ("S2",  "three accounts of unequal limits",             ""),
    ("S3",  "short of requests",                            ""),
    ("S4",  "people beside batch work",                     ""),
    ("S5",  "a key dies, an account runs out of money",     ""),
    ("S6",  "limits believed twice too high",               ""),
    ("S7",  "one try in twenty fails",                      ""),
    ("S8",  "very large requests among small ones",         ""),
    ("S9",  "no limits configured",                         "bucket/refund"),
    ("S10", "a sliding window, its kind not configured",    "sliding/refund"),
    ("S11", "a limit that changes in the middle",           ""),
    ("S12", "the day's limit is scarce",                    "tokens, bucket, configured"),
    ("S13", "streams of a minute",                          ""),
    ("S14", "500 apps, 20,000 requests waiting",            "500 equal apps"),
    ("S15", "nine tenths used at the start",                "bucket/refund"),
    ("S16", "a foreign program takes a third",              ""),
    ("S17", "limits enforced per second, too",              ""),
    ("S18", "no rate-limit headers",                        "bucket/refund"),
];

/// Returns which of `cells` stands for each scenario, and what the scenario is about.
pub(crate) fn standing(cells: &[Cell]) -> Vec<(usize, &'static str)> {
    let of = |(name, about, shown): Entry| {
        let stands = |cell: &Cell| {
            let it = cell.scenario.name == name && cell.has_oracle();
            it && (shown.is_empty() || cell.scenario.cell == shown)
        };
        Some((cells.iter().position(stands)?, about))
    };
    SCENARIOS.into_iter().filter_map(of).collect()
}

/// Prints both tables; returns how many cells miss a figure.
pub(crate) fn print(cells: &[Cell], results: &Results) -> usize {
    println!("README:\n");
    short(cells, results);
    println!("\nARCHITECTURE:\n");
    print_all(cells, results);
    println!("\n{}", settings(results));
    let nothing = Outcome::default();
    let missed = |(index, cell): &(usize, &Cell)| {
        !cell.missed(&results.get(index).unwrap_or(&nothing).ours).is_empty()
    };
    cells.iter().enumerate().filter(missed).count()
}

/// Prints a line for each scenario, with a column for each system.
fn short(cells: &[Cell], results: &Results) {
    let names = Peer::ALL.map(|peer| format!(" {} |", peer.name())).concat();
    println!("| | sluicegate |{names}");
    println!("|---|---|{}", "---|".repeat(Peer::ALL.len()));
    for (index, about) in standing(cells) {
        let (Some(cell), Some(outcome)) = (cells.get(index), results.get(&index)) else { continue };
        let rivals = outcome.rivals.iter().map(|rival| format!(" {} |", rival.text(cell)));
        let rivals: String = rivals.collect();
        println!("| {about} | {} |{rivals}", ours(cell, &outcome.ours));
    }
}

/// Returns sluicegate's text, in the form of the others'.
fn ours(cell: &Cell, played: &[Played]) -> String {
    let middle = |figure: fn(&Played) -> f64| median(played.iter().map(figure).collect::<Vec<_>>());
    let failed: usize = played.iter().map(|one| one.figures.failed).sum();
    let ratio = middle(|one| one.figures.ratio);
    let mut text = format!("{ratio:.2} / {:.1} / {failed}", middle(|one| one.figures.refused));
    if cell.scenario.judged.latency_of.is_some() {
        let most = middle(|one| one.figures.served_most.as_secs_f64());
        text += &format!(", p99 {most:.1} s");
    }
    if cell.scenario.judged.jain.is_some() {
        let jain = middle(|one| one.figures.jain.unwrap_or(f64::NAN));
        text += &format!(", Jain {jain:.2}");
    }
    text
}

//! The tables of README and ARCHITECTURE, exactly as they stand there: between two marks, which are comments.

use std::fs;

use crate::Results;
use crate::cell::{Cell, Played, median};
use crate::play::peers::Peer;
use crate::sockets::{self, Compared};
use crate::table::{all, settings, summary};

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

/// A paper, and what stands in it.
pub(crate) type Paper = (&'static str, String);

/// Returns what both papers say.
pub(crate) fn all_of_them(cells: &[Cell], results: &Results, compared: &[Compared]) -> [Paper; 2] {
    let kept = summary(cells, results);
    let mut full = format!("{kept}\n{}\n{}\n", all(cells, results), settings(results));
    if !compared.is_empty() {
        full += &format!("\n{}", sockets::table(compared));
    }
    let short = format!("{}\n{kept}", short(cells, results));
    [("README.md", short), ("ARCHITECTURE.md", full)]
}

/// Puts a text where the paper has the marks.
///
/// # Panics
///
/// Where the paper has no marks, or cannot be written.
pub(crate) fn write((name, text): &Paper) {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    let paper = fs::read_to_string(&path).expect("a paper");
    let (before, rest) = paper.split_once(BEGIN).expect("the first mark");
    let (_, after) = rest.split_once(END).expect("the last mark");
    fs::write(&path, format!("{before}{BEGIN}\n{text}{END}{after}")).expect("a paper to write in");
    println!("{name} is up to date");
}

const BEGIN: &str = "<!-- cargo bench --bench quota -- --write -->";
const END: &str = "<!-- end -->";

/// Returns a line for each scenario, with a column for each system.
fn short(cells: &[Cell], results: &Results) -> String {
    let names = Peer::ALL.map(|peer| format!(" {} |", peer.name())).concat();
    let mut text =
        format!("| | sluicegate |{names}\n|---|---|{}\n", "---|".repeat(Peer::ALL.len()));
    for (index, about) in standing(cells) {
        let (Some(cell), Some(outcome)) = (cells.get(index), results.get(&index)) else { continue };
        let rivals = outcome.rivals.iter().map(|rival| format!(" {} |", rival.text(cell)));
        let rivals: String = rivals.collect();
        text += &format!("| {about} | {} |{rivals}\n", ours(cell, &outcome.ours));
    }
    text
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

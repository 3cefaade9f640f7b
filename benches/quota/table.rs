//! The table, and the lines for tuning.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cell::{Cell, Figure, Played, median};
use crate::play::figures::Figures;
use crate::play::peers::Peer;
use crate::rivals::Rival;
use crate::{Outcome, Results};

/// The head of the lines for each seed.
pub(crate) const DETAILS: &str = "scenario cell                      seed  ratio   ref/1k failed  used %   p50 s   p99 s   jain requests   makespan  took s";

/// Returns the line of one seed.
pub(crate) fn details(cell: &Cell, played: &Played) -> String {
    let figures = &played.figures;
    let mut line = format!(
        "{:<8} {:<25} {:>5} {:>6.3} {:>8.2} {:>6} {:>7.2} {:>7.2} {:>7.2} {:>6} {:>8} {:>10.1} {:>7.2}",
        cell.scenario.name,
        cell.scenario.cell,
        played.seed,
        figures.ratio,
        figures.refused,
        figures.failed,
        figures.used * 100.0,
        figures.wait_half.as_secs_f64(),
        figures.wait_most.as_secs_f64(),
        figures.jain.map_or_else(|| "-".to_owned(), |jain| format!("{jain:.3}")),
        figures.requests,
        figures.makespan.as_secs_f64(),
        played.took.as_secs_f64(),
    );
    if let Some(late) = played.too_late {
        line += &format!("  p99 to the last byte {late:.3} of what it may be");
    }
    if cell.scenario.judged.weights.is_some() {
        line += &format!("  off its weight {:.2} points", figures.off_weights.unwrap_or(f64::NAN));
    }
    if let Some(excess) = figures.excess {
        line += &format!("  worst window {:.2} % over", excess * 100.0);
    }
    if cell.scenario.judged.paces {
        line += &format!("  hasty {}", figures.hasty);
    }
    line
}

/// Returns the line of what people do today.
pub(crate) fn rival_details(cell: &Cell, rival: &Rival) -> String {
    format!(
        "{:<8} {:<25} {}: {} ({})",
        cell.scenario.name,
        cell.scenario.cell,
        rival.peer.name(),
        rival.text(cell),
        rival.setting,
    )
}

/// Prints the table and what was missed; returns how many cells miss a figure.
pub(crate) fn print(cells: &[Cell], results: &Results) -> usize {
    println!();
    print_all(cells, results);
    println!();
    let nothing = Outcome::default();
    let mut missing = 0;
    for (index, cell) in cells.iter().enumerate() {
        let missed = cell.missed(&results.get(&index).unwrap_or(&nothing).ours);
        if !missed.is_empty() {
            missing += 1;
            println!("{} {} misses: {}", cell.scenario.name, cell.scenario.cell, missed.join(", "));
        }
    }
    println!("{missing} of {} cells miss a figure", cells.len());
    missing
}

/// Prints a row for every cell, and which settings of the others were best.
pub(crate) fn print_all(cells: &[Cell], results: &Results) {
    let others = results.values().any(|outcome| !outcome.rivals.is_empty());
    let names = Peer::ALL.into_iter().filter(|_| others).map(|peer| format!(" {} |", peer.name()));
    let names: String = names.collect();
    println!(
        "| scenario | makespan / oracle, median (worst) | refused per 1,000 | failed | quota used | wait p50, p99 | fairness |{names}"
    );
    println!("|---|---|---|---|---|---|---|{}", "---|".repeat(names.matches('|').count()));
    let nothing = Outcome::default();
    for (index, cell) in cells.iter().enumerate() {
        let outcome = results.get(&index).unwrap_or(&nothing);
        let rivals = outcome.rivals.iter().map(|rival| format!(" {} |", rival.text(cell)));
        println!("{}{}", row(cell, &outcome.ours), rivals.collect::<String>());
    }
    if others {
        println!();
        println!("{}", settings(results));
    }
}

/// Says in how many cells each setting was best.
fn settings(results: &Results) -> String {
    let mut counts: BTreeMap<(Peer, &str), usize> = BTreeMap::new();
    for rival in results.values().flat_map(|outcome| &outcome.rivals) {
        *counts.entry((rival.peer, &rival.setting)).or_default() += 1;
    }
    let of = |peer: Peer| {
        let these = counts.iter().filter(move |((other, _), _)| *other == peer);
        let these = these.map(|((_, setting), count)| format!("{setting}: {count}"));
        format!("{}: {}.", peer.name(), these.collect::<Vec<_>>().join("; "))
    };
    let tuned = Peer::ALL.into_iter().filter(|peer| peer.settings().len() > 1);
    let each: Vec<String> = tuned.map(of).collect();
    format!("The settings that were best, and in how many cells. {}", each.join(" "))
}

fn row(cell: &Cell, played: &[Played]) -> String {
    let all = |figure: &Figure<'_>| played.iter().map(figure).collect::<Vec<_>>();
    let pair = |values: Vec<f64>, digits: usize| {
        let worst = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{:.digits$} ({worst:.digits$})", median(values))
    };
    let excesses = played.iter().filter_map(|one| one.figures.excess);
    let against = match excesses.max_by(f64::total_cmp) {
        // Without enforcement there is no oracle, and the worst window tells.
        Some(excess) => format!("worst window {:+.2} %", excess * 100.0),
        None => pair(all(&|one| one.figures.ratio), 3),
    };
    let failed: usize = played.iter().map(|one| one.figures.failed).sum();
    let seconds = |of: fn(&Figures) -> Duration| median(all(&|one| of(&one.figures).as_secs_f64()));
    let fairness =
        match (cell.scenario.judged.weights, played.first().and_then(|one| one.figures.jain)) {
            (Some(_), _) => {
                let off = median(all(&|one| one.figures.off_weights.unwrap_or(f64::NAN)));
                format!("{off:.2} points off")
            }
            (None, Some(_)) => {
                format!("{:.3}", median(all(&|one| one.figures.jain.unwrap_or(f64::NAN))))
            }
            (None, None) => String::new(),
        };
    format!(
        "| {} {} | {} | {} | {failed} | {:.1} % | {:.1}, {:.1} s | {fairness} |",
        cell.scenario.name,
        cell.scenario.cell,
        against,
        pair(all(&|one| one.figures.refused), 1),
        median(all(&|one| one.figures.used)) * 100.0,
        seconds(|figures| figures.wait_half),
        seconds(|figures| figures.wait_most),
    )
}

//! The table, and the lines for tuning.

use std::collections::BTreeMap;

use crate::cell::{Cell, Played, median};
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
    if cell.scenario.judged.again {
        line += &format!(
            "  refused again {}, {:.1} % used since the first",
            figures.again,
            figures.used_since * 100.0
        );
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

/// Returns the table and what was missed, for people at a terminal.
pub(crate) fn judged(cells: &[Cell], results: &Results) -> String {
    let mut text = format!("\n{}\n", all(cells, results));
    if results.values().any(|outcome| !outcome.rivals.is_empty()) {
        text += &format!("{}\n\n", settings(results));
    }
    for (cell, missed) in missing(cells, results) {
        text += &format!("{} {} misses: {missed}\n", cell.scenario.name, cell.scenario.cell);
    }
    text + &summary(cells, results)
}

/// Returns the cells that miss a figure, and which.
pub(crate) fn missing<'a>(cells: &'a [Cell], results: &Results) -> Vec<(&'a Cell, String)> {
    let nothing = Outcome::default();
    let each = cells.iter().enumerate().map(|(index, cell)| {
        (cell, cell.missed(&results.get(&index).unwrap_or(&nothing).ours).join(", "))
    });
    each.filter(|(_, missed)| !missed.is_empty()).collect()
}

/// Says how many cells keep their figures.
pub(crate) fn summary(cells: &[Cell], results: &Results) -> String {
    let seeds = results.values().map(|outcome| outcome.ours.len()).max().unwrap_or(0);
    let kept = cells.len() - missing(cells, results).len();
    format!("{kept} of {} cells keep their figures, with up to {seeds} seeds each.\n", cells.len())
}

/// Returns a row for every cell, and below it one for each of the others that was played in it.
pub(crate) fn all(cells: &[Cell], results: &Results) -> String {
    let mut text = "| scenario | | makespan / oracle, median (worst) | refused per 1,000 | failed | quota used | wait p50, p99 | fairness |\n".to_owned();
    text += "|---|---|---|---|---|---|---|---|\n";
    let nothing = Outcome::default();
    for (index, cell) in cells.iter().enumerate() {
        let outcome = results.get(&index).unwrap_or(&nothing);
        text += &row(cell, &outcome.ours);
        for rival in &outcome.rivals {
            text += &rival_row(cell, rival);
        }
    }
    text
}

/// Says in how many cells each setting of the others was best.
pub(crate) fn settings(results: &Results) -> String {
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
    let figures: Vec<&Figures> = played.iter().map(|one| &one.figures).collect();
    let excesses = figures.iter().filter_map(|one| one.excess);
    let against = match excesses.max_by(f64::total_cmp) {
        // Without enforcement there is no oracle, and the worst window tells.
        Some(excess) => format!("worst window {:+.2} %", excess * 100.0),
        None => pair(&figures, |one| one.ratio, 3),
    };
    let failed: usize = figures.iter().map(|one| one.failed).sum();
    let missed = if cell.missed(played).is_empty() { "" } else { " **misses**" };
    let name = format!("{} {}{missed}", cell.scenario.name, cell.scenario.cell);
    let others = others(cell, &figures, &failed.to_string());
    format!("| {name} | sluicegate | {against} | {others} |\n")
}

fn rival_row(cell: &Cell, rival: &Rival) -> String {
    let figures: Vec<&Figures> = rival.figures.iter().collect();
    let others = others(cell, &figures, &rival.failed());
    format!("| | {} | {} | {others} |\n", rival.peer.name(), rival.makespan())
}

/// Returns the columns that are the same for all systems.
fn others(cell: &Cell, figures: &[&Figures], failed: &str) -> String {
    let of = |figure: fn(&Figures) -> f64| middle(figures, figure);
    let judged = &cell.scenario.judged;
    let fairness = match (judged.weights, judged.jain) {
        (Some(_), _) => {
            number(of(|one| one.off_weights.unwrap_or(f64::NAN)), 2).map(|off| off + " points off")
        }
        (None, Some(_)) => number(of(|one| one.jain.unwrap_or(f64::NAN)), 3),
        (None, None) => None,
    };
    format!(
        "{} | {failed} | {:.1} % | {:.1}, {:.1} s | {}",
        pair(figures, |one| one.refused, 1),
        of(|one| one.used) * 100.0,
        of(|one| one.wait_half.as_secs_f64()),
        of(|one| one.wait_most.as_secs_f64()),
        fairness.unwrap_or_default(),
    )
}

fn middle(figures: &[&Figures], figure: fn(&Figures) -> f64) -> f64 {
    median(figures.iter().map(|one| figure(one)).collect())
}

/// Writes the median and the worst.
fn pair(figures: &[&Figures], figure: fn(&Figures) -> f64, digits: usize) -> String {
    let worst = figures.iter().map(|one| figure(one)).fold(f64::NEG_INFINITY, f64::max);
    format!("{:.digits$} ({worst:.digits$})", middle(figures, figure))
}

/// Writes a number, where it is one.
fn number(value: f64, digits: usize) -> Option<String> {
    (!value.is_nan()).then(|| format!("{value:.digits$}"))
}

//! The table, and the lines for tuning.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cell::{Cell, Figure, Played, median};
use crate::play::figures::Figures;

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

/// Prints the table; returns how many cells miss a figure.
pub(crate) fn print(cells: &[Cell], results: &BTreeMap<usize, Vec<Played>>) -> usize {
    println!();
    println!(
        "| scenario | makespan / oracle, median (worst) | refused per 1,000 | failed | quota used | wait p50, p99 | fairness | missed |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut missing = 0;
    for (index, cell) in cells.iter().enumerate() {
        let played = results.get(&index).map_or(&[][..], Vec::as_slice);
        let missed = cell.missed(played);
        missing += usize::from(!missed.is_empty());
        println!("{}", row(cell, played, &missed));
    }
    println!();
    println!("{missing} of {} cells miss a figure", cells.len());
    missing
}

fn row(cell: &Cell, played: &[Played], missed: &[String]) -> String {
    let all = |figure: &Figure<'_>| played.iter().map(figure).collect::<Vec<_>>();
    let pair = |values: Vec<f64>, digits: usize| {
        let worst = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{:.digits$} ({worst:.digits$})", median(values))
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
        "| {} {} | {} | {} | {failed} | {:.1} % | {:.1}, {:.1} s | {fairness} | {} |",
        cell.scenario.name,
        cell.scenario.cell,
        pair(all(&|one| one.figures.ratio), 3),
        pair(all(&|one| one.figures.refused), 1),
        median(all(&|one| one.figures.used)) * 100.0,
        seconds(|figures| figures.wait_half),
        seconds(|figures| figures.wait_most),
        missed.join(", "),
    )
}

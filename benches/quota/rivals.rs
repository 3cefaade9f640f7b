//! What people do today, in the cells of the table.
//!
//! Every setting of a peer is played with the first seed of a cell; the best one is played with the others,
//! too. So each cell shows a peer as tuned for it as it can be, which is more than people do.

use std::time::Duration;

use crate::cell::{Cell, median};
use crate::play::figures::Figures;
use crate::play::peers::Peer;

/// What came of one peer in one cell.
#[derive(Debug, Clone)]
pub(crate) struct Rival {
    /// Which one.
    pub(crate) peer: Peer,
    /// Its best setting, in words.
    pub(crate) setting: String,
    /// The figures of each seed.
    pub(crate) figures: Vec<Figures>,
}

/// Plays every peer in a cell that has limits, with these seeds.
pub(crate) fn play(cell: &Cell, seeds: &[u64]) -> Vec<Rival> {
    let oracles = seeds.iter().map(|seed| (*seed, cell.oracle(*seed).expect("limits")));
    let oracles: Vec<(u64, Duration)> = oracles.collect();
    Peer::ALL.into_iter().map(|peer| play_one(cell, peer, &oracles)).collect()
}

fn play_one(cell: &Cell, peer: Peer, oracles: &[(u64, Duration)]) -> Rival {
    let figures = |setting: usize, (seed, best): (u64, Duration)| {
        let run = peer.play(setting, (&cell.scenario, seed), best * PATIENCE);
        Figures::of(&run, &cell.scenario, Some(best))
    };
    let (first, others) = oracles.split_first().expect("a seed");
    let settings = peer.settings();
    let tried = (0..settings.len()).map(|setting| (setting, figures(setting, *first)));
    let best = tried.min_by(|(_, a), (_, b)| cost(a).total_cmp(&cost(b)));
    let (setting, first) = best.expect("a setting");
    let others = others.iter().map(|seed| figures(setting, *seed));
    Rival {
        peer,
        setting: settings[setting].clone(),
        figures: std::iter::once(first).chain(others).collect(),
    }
}

/// How many times as long as the oracle a peer may take; what is not done then is told as such.
const PATIENCE: u32 = 3;

/// Returns how bad a run is: requests that are not served weigh most, then the time, then refusals.
fn cost(figures: &Figures) -> f64 {
    unserved(figures) * 1_000.0 + figures.ratio + figures.refused * 1e-4
}

/// Returns the part of the requests that were not served in time.
#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn unserved(figures: &Figures) -> f64 {
    (figures.failed + figures.unfinished) as f64 / figures.requests.max(1) as f64
}

impl Rival {
    /// Returns makespan / oracle; the part that was done where some was not in three times the oracle's
    /// time, and nothing where requests failed: who serves less is done earlier.
    pub(crate) fn makespan(&self) -> String {
        let (failed, unfinished) = (self.part(|one| one.failed), self.part(|one| one.unfinished));
        match (unfinished > 0.0, failed > 0.0) {
            (true, _) => format!("{} % done", floor(100.0 - unfinished - failed)),
            (false, true) => "-".to_owned(),
            (false, false) => format!("{:.2}", self.middle(&|one| one.ratio)),
        }
    }

    /// Returns the part of the requests that failed.
    pub(crate) fn failed(&self) -> String {
        let failed = self.part(|one| one.failed);
        if failed > 0.0 { format!("{} %", ceil(failed)) } else { "0".to_owned() }
    }

    /// Returns the text of its cell in the short table: makespan / oracle, refusals per 1,000, and the part that
    /// failed.
    pub(crate) fn text(&self, cell: &Cell) -> String {
        let refused = self.middle(&|one| one.refused);
        let mut text = format!("{} / {refused:.0} / {}", self.makespan(), self.failed());
        if cell.scenario.judged.latency_of.is_some() {
            text += &format!(", p99 {:.1} s", self.middle(&|one| one.served_most.as_secs_f64()));
        }
        if cell.scenario.judged.jain.is_some() {
            let jain = self.middle(&|one| one.jain.unwrap_or(f64::NAN));
            text += &if jain.is_nan() { String::new() } else { format!(", Jain {jain:.2}") };
        }
        text
    }

    fn middle(&self, figure: &Look<'_>) -> f64 {
        median(self.figures.iter().map(figure).collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    fn part(&self, count: fn(&Figures) -> usize) -> f64 {
        self.middle(&|one| count(one) as f64 / one.requests.max(1) as f64) * 100.0
    }
}

/// What is looked at of a run.
type Look<'a> = dyn Fn(&Figures) -> f64 + 'a;

/// Rounds a percentage down, so that what is not done never looks done.
fn floor(percent: f64) -> String {
    format!("{:.0}", percent.floor())
}

/// Rounds a percentage up, so that what failed never looks served.
fn ceil(percent: f64) -> String {
    format!("{:.0}", percent.ceil())
}

//! Adds lines up to the rows of a report.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::by::By;
use super::sums::{Line, Sums};
use crate::units::Tokens;

/// What stands in a column of a row that tells what the row is of; `None`: nothing is known.
pub type Cell = Option<Arc<str>>;

/// A row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is of, a cell for each column that the report is by.
    pub cells: Vec<Cell>,
    /// What those attempts came to.
    pub sums: Sums,
}

/// Attempts whose cost is unknown for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpriced {
    /// The upstream.
    pub upstream: Arc<str>,
    /// The model that would have to have a price; empty where none was named.
    pub model: Arc<str>,
    /// The service tier, in the provider's word; empty where the answer does not tell.
    pub tier: Arc<str>,
    /// How many attempts.
    pub attempts: u64,
    /// Their input and output.
    pub tokens: Tokens,
}

/// What is to be said beside the figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// From when until when, in words.
    pub range: Arc<str>,
    /// The first moment that counts, as a time of the zone.
    pub from: Option<Arc<str>>,
    /// The first moment that does not.
    pub to: Option<Arc<str>>,
    /// The time zone.
    pub zone: Arc<str>,
    /// Answers that went out while nothing could be booked.
    pub unbooked: u64,
    /// Bytes that told of entries and could not be read.
    pub damaged_bytes: u64,
    /// Hours at the ends of days that count as a whole where they begin, as their entries are gone.
    pub whole_hours: u64,
}

/// What was used, in sum and by rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the rows are by.
    pub by: Vec<By>,
    /// The rows: by day in order, else what costs most first.
    pub rows: Vec<Row>,
    /// All attempts, each once.
    pub total: Sums,
    /// What has no price.
    pub unpriced: Vec<Unpriced>,
    /// Attempts of which nobody knows what they used: tokens and cost are what was expected at most.
    pub lost: (u64, Tokens),
    /// Attempts that count in several rows, as their app has several labels.
    pub repeated: u64,
    /// What is to be said beside the figures.
    pub remarks: Remarks,
}

/// So many attempts, with so many tokens.
type Amount = (u64, Tokens);

/// A report in the making.
#[derive(Debug)]
pub struct Tally {
    by: Vec<By>,
    rows: BTreeMap<Vec<Cell>, Sums>,
    total: Sums,
    /// Attempts and tokens by upstream, model and tier.
    unpriced: BTreeMap<[Arc<str>; 3], Amount>,
    lost: (u64, Tokens),
    repeated: u64,
}

impl Tally {
    /// Begins a report with rows by these; by nothing, it has a total only.
    pub fn new(by: Vec<By>) -> Self {
        let (rows, unpriced) = (BTreeMap::new(), BTreeMap::new());
        Self { by, rows, total: Sums::default(), unpriced, lost: (0, Tokens::ZERO), repeated: 0 }
    }

    /// Tells whether lines have to be told day by day.
    pub fn is_by_day(&self) -> bool {
        self.by.contains(&By::Day)
    }

    /// Adds a line of that day, such as `2026-11-22`; the day may be empty where rows are not by it.
    pub fn add(&mut self, day: &Arc<str>, line: &Line) {
        let Line { facet, ending, sums } = line;
        self.total.add(sums);
        if sums.unknown > 0 {
            let model = Arc::clone(facet.counted_as());
            let key = [Arc::clone(&facet.upstream), model, Arc::clone(&facet.tier)];
            let place = self.unpriced.entry(key).or_insert((0, Tokens::ZERO));
            place.0 = place.0.saturating_add(sums.unknown);
            place.1 += sums.unknown_tokens;
        }
        if &**ending == LOST {
            self.lost.0 = self.lost.0.saturating_add(sums.attempts);
            self.lost.1 += sums.total_tokens();
        }
        if self.by.is_empty() {
            return;
        }
        let mut keys = vec![Vec::with_capacity(self.by.len())];
        for by in &self.by {
            let values = by.values(day, facet, ending);
            keys = extended(&keys, &values);
        }
        if keys.len() > 1 {
            self.repeated = self.repeated.saturating_add(sums.attempts);
        }
        for key in keys {
            self.rows.entry(key).or_default().add(sums);
        }
    }

    /// Returns the report.
    pub fn finish(self, remarks: Remarks) -> Report {
        let Self { by, rows, total, unpriced, lost, repeated } = self;
        let mut rows: Vec<Row> =
            rows.into_iter().map(|(cells, sums)| Row { cells, sums }).collect();
        let day = by.iter().position(|by| *by == By::Day);
        // A stable sort: what costs the same is in the order of its names.
        rows.sort_by(|one, other| {
            let date = |row: &Row| day.and_then(|at| row.cells.get(at).cloned());
            let money = |row: &Row| (row.sums.cost, row.sums.total_tokens(), row.sums.attempts);
            date(one).cmp(&date(other)).then_with(|| money(other).cmp(&money(one)))
        });
        let unpriced = unpriced.into_iter().map(|([upstream, model, tier], (attempts, tokens))| {
            Unpriced { upstream, model, tier, attempts, tokens }
        });
        let mut unpriced: Vec<Unpriced> = unpriced.collect();
        unpriced.sort_by_key(|one| std::cmp::Reverse(one.tokens));
        Report { by, rows, total, unpriced, lost, repeated, remarks }
    }
}

/// Returns each of `keys` with each of `values` behind it, or with nothing if there are none.
fn extended(keys: &[Vec<Cell>], values: &[Arc<str>]) -> Vec<Vec<Cell>> {
    let cells: Vec<Cell> = match values {
        [] => vec![None],
        values => values.iter().cloned().map(Some).collect(),
    };
    let longer = |key: &Vec<Cell>, cell: &Cell| {
        let mut key = key.clone();
        key.push(cell.clone());
        key
    };
    keys.iter().flat_map(|key| cells.iter().map(move |cell| longer(key, cell))).collect()
}

/// How attempts end of which nobody knows what they used.
const LOST: &str = "lost";

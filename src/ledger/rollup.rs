//! Sums of what is booked, by hour and by day, which are there for ever.
//!
//! # What this module owns
//!
//! The table `rollups`: for each hour and each day of UTC, facet and ending one row. Whoever books entries adds
//! them here in the same transaction: no crash comes in between, and what is booked late, as it was spilled or
//! lost, counts in the hour at which it is booked like all else.
//!
//! # Invariants
//!
//! 1. What the rows of an hour say is what its entries say in sum, and a day is its hours.
//! 2. Rows are written in the order of their keys, so that no two instances wait for each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::base::Sum;
use super::row::{Kind, Row, Value};

/// What one row is of: hours that it covers, the first of them since 1970-01-01T00Z, facet and ending.
type Key = (i64, i64, i64, Arc<str>);

/// The figures of one row, in the order of [`ROLLUP`] behind its key.
type Figures = [i64; FIGURES];

/// What entries that are booked together come to.
#[derive(Debug, Default)]
pub(super) struct Rollup {
    sums: BTreeMap<Key, Figures>,
}

impl Rollup {
    /// Adds an entry; what is not booked counts nothing.
    pub(super) fn add(&mut self, row: &Row) {
        let Some(booked) = row.booking() else { return };
        let hour = booked.at_ms.div_euclid(HOUR_MS);
        let used = booked.used;
        let mut figures = [0; FIGURES];
        let head = [1, i64::from(booked.attempt == 1)];
        let input = used.first().copied().unwrap_or_default();
        let output = used.get(OUTPUT).copied().unwrap_or_default();
        let (unknown, tokens) = match booked.cost {
            Some(_) => (0, 0),
            None => (1, input.saturating_add(output)),
        };
        let tail = [booked.cost.unwrap_or_default(), unknown, tokens];
        let all = head.into_iter().chain(used).chain(tail);
        for (place, figure) in figures.iter_mut().zip(all) {
            *place = figure;
        }
        for (span, first) in [(1, hour), (DAY, hour - hour.rem_euclid(DAY))] {
            let key = (span, first, booked.facet, Arc::clone(&booked.ending));
            let sums = self.sums.entry(key).or_insert([0; FIGURES]);
            for (sum, more) in sums.iter_mut().zip(figures) {
                *sum = sum.saturating_add(more);
            }
        }
    }

    /// Returns what its entries come to.
    pub(super) fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for ((span, ..), figures) in &self.sums {
            let [entries, _, input, _, _, output, ..] = *figures;
            if *span == 1 {
                let number = |figure: i64| u64::try_from(figure).unwrap_or_default();
                sum.add(Sum { entries: number(entries), tokens: number(input) + number(output) });
            }
        }
        sum
    }

    /// Returns the rows to be added, in order: so many at most with each statement.
    pub(super) fn into_rows(self) -> Vec<Vec<Value>> {
        let rows = self.sums.into_iter().map(|((span, first, facet, ending), figures)| {
            let key = [span.into(), first.into(), facet.into(), Value::Text(Some(ending))];
            key.into_iter().chain(figures.map(Value::from)).collect()
        });
        rows.collect()
    }
}

/// Returns what adds its values to those that are there, behind an `INSERT` of [`ROLLUP`].
pub(super) fn adding() -> String {
    let mut sql = String::from(" ON CONFLICT (span, hour, facet, ending) DO UPDATE SET ");
    for (at, (column, _)) in ROLLUP.iter().enumerate().skip(KEYS) {
        let comma = if at == KEYS { "" } else { ", " };
        // Money alone may come to more than a column holds, where a provider tells nonsense: it stays at the most.
        let _written = if *column == "cost_pico" {
            write!(
                sql,
                "{comma}cost_pico = CASE WHEN rollups.cost_pico > {most} - excluded.cost_pico THEN {most} \
                 ELSE rollups.cost_pico + excluded.cost_pico END",
                most = i64::MAX
            )
        } else {
            write!(sql, "{comma}{column} = rollups.{column} + excluded.{column}")
        };
    }
    sql
}

/// Returns the statement that adds what `run` (`$1`) left open, as it is booked as lost, to rows of so many hours.
pub(super) fn adding_lost(span: i64) -> String {
    let columns: Vec<&str> = ROLLUP.iter().map(|(column, _)| *column).collect();
    let figures = ROLLUP.iter().skip(KEYS).map(|(column, _)| match *column {
        "attempts" => "COUNT(*)",
        "requests" => "SUM(CASE WHEN attempt = 1 THEN 1 ELSE 0 END)",
        "input" => "SUM(est_input)",
        "output" => "SUM(COALESCE(est_output, 0))",
        "cost_pico" => "COALESCE(SUM(cost_pico), 0)",
        "unknown" => "COUNT(*) - COUNT(cost_pico)",
        "unknown_tokens" => {
            "SUM(CASE WHEN cost_pico IS NULL THEN est_input + COALESCE(est_output, 0) ELSE 0 END)"
        }
        _ => "0",
    });
    let figures: Vec<&str> = figures.collect();
    let first = format!("sent_ms / {ms} * {span}", ms = HOUR_MS * span);
    format!(
        "INSERT INTO rollups ({}) SELECT {span}, {first}, facet, 'lost', {} FROM entries \
         WHERE run = $1 AND booked_ms IS NULL GROUP BY {first}, facet ORDER BY {first}, facet{}",
        columns.join(", "),
        figures.join(", "),
        adding()
    )
}

use Kind::{Number, Text};

/// The columns of `rollups`, its key first.
#[rustfmt::skip] // One line for what belongs together.
pub(super) const ROLLUP: [(&str, Kind); KEYS + FIGURES] = [
    ("span", Number), ("hour", Number), ("facet", Number), ("ending", Text),
    ("attempts", Number), ("requests", Number),
    ("input", Number), ("cached", Number), ("cache_write", Number), ("output", Number), ("reasoning", Number),
    ("input_audio", Number), ("input_image", Number), ("output_audio", Number), ("output_image", Number),
    ("cached_audio", Number), ("cached_image", Number), ("cache_write_long", Number),
    ("heard_ms", Number), ("spoken", Number), ("images", Number), ("searches", Number),
    ("cost_pico", Number), ("unknown", Number), ("unknown_tokens", Number),
];

/// So many columns are the key, and so many are sums.
const KEYS: usize = 4;
const FIGURES: usize = 21;
/// Where the output stands among what was used.
const OUTPUT: usize = 3;
/// A day has so many hours.
pub(super) const DAY: i64 = 24;
pub(super) const HOUR_MS: i64 = 3_600_000;
/// So many rows are added by one statement.
pub(super) const ROLLED_AT_ONCE: usize = 16;

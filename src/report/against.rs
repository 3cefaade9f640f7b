//! Where a provider's own figures differ from what is booked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::export::{Bucket, Export, Told, Use, UsedFor};
use super::range::Range;
use super::sums::{Line, Sums};
use super::words::plain;
use crate::units::PicoUsd;

/// What came of comparing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many figures were compared.
    pub compared: usize,
    /// Those that are apart by more than is allowed.
    pub differences: Vec<Difference>,
    /// How many attempts in the compared times have a cost that nobody knows.
    pub unknown: u64,
}

/// A figure that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In which time.
    pub range: Range,
    /// Of which model; `None`: of all together.
    pub model: Option<Arc<str>>,
    /// Its name.
    pub figure: &'static str,
    /// What the provider says: of costs pico-dollars.
    pub provider: i128,
    /// What is booked.
    pub booked: i128,
}

/// Compares an export with the lines that are booked in the time of each of its buckets.
///
/// Figures may be apart by `per_mille` thousandths of the larger one. What the provider counts as requests are
/// tries that it did not refuse and that reached it. A model that an answer does not name counts as the dated
/// edition of it that the export names.
pub fn compare(export: &Export, booked: &[Vec<Line>], per_mille: u32) -> Comparison {
    let mut comparison = Comparison::default();
    for (bucket, lines) in export.buckets.iter().zip(booked) {
        let mut compared = Compared { bucket, per_mille, comparison: &mut comparison };
        if !bucket.used.is_empty() {
            compared.usage(lines);
        }
        if let Some(cost) = bucket.cost {
            compared.cost(cost, lines);
        }
    }
    comparison
}

impl Comparison {
    /// Returns the differences for people, in a table.
    pub fn words(&self) -> String {
        let mut text = String::new();
        let mut rows =
            vec![["from", "to", "model", "figure", "provider", "booked"].map(str::to_owned)];
        for one in &self.differences {
            let amount =
                |amount| if one.figure == COST { dollars(amount) } else { format!("{amount}") };
            let model = one.model.as_deref().map_or_else(|| "(all)".to_owned(), plain);
            let (from, to) = (moment(one.range.begin), moment(one.range.end));
            let (there, here) = (amount(one.provider), amount(one.booked));
            rows.push([from, to, model, one.figure.to_owned(), there, here]);
        }
        if rows.len() > 1 {
            let width =
                |at: usize| rows.iter().filter_map(|row| row.get(at)).map(String::len).max();
            let widths: Vec<usize> = (0..6).map(|at| width(at).unwrap_or_default()).collect();
            for row in &rows {
                let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
                    if at < 4 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
                });
                let cells: Vec<String> = cells.collect();
                text.push_str(&cells.join("  "));
                text.push('\n');
            }
            text.push('\n');
        }
        let apart = self.differences.len();
        let _written = match self.compared {
            0 => writeln!(text, "nothing was compared: in these times neither has anything"),
            1 => writeln!(text, "1 figure compared, {apart} of them differ"),
            compared => writeln!(text, "{compared} figures compared, {apart} of them differ"),
        };
        if self.unknown > 0 {
            let _written = writeln!(
                text,
                "{} tries in these times have an unknown cost, which is in no sum",
                self.unknown
            );
        }
        text
    }

    /// Returns the differences as one line of JSON; amounts of money are numbers whose text is exact.
    pub fn json(&self) -> String {
        let rows = self.differences.iter().map(|one| {
            let amount = |amount: i128| {
                let text = if one.figure == COST { dollars(amount) } else { amount.to_string() };
                RawValue::from_string(text).unwrap_or_default()
            };
            DifferencePage {
                from: moment(one.range.begin),
                to: moment(one.range.end),
                model: one.model.as_deref(),
                figure: one.figure,
                provider: amount(one.provider),
                booked: amount(one.booked),
            }
        });
        let page = Page {
            compared: self.compared,
            unknown_cost_attempts: self.unknown,
            differences: rows.collect(),
        };
        // Numbers and texts cannot fail to be written.
        serde_json::to_string(&page).unwrap_or_default() + "\n"
    }
}

#[derive(Serialize)]
struct Page<'a> {
    compared: usize,
    unknown_cost_attempts: u64,
    differences: Vec<DifferencePage<'a>>,
}

#[derive(Serialize)]
struct DifferencePage<'a> {
    from: String,
    to: String,
    model: Option<&'a str>,
    figure: &'a str,
    provider: Box<RawValue>,
    booked: Box<RawValue>,
}

/// Returns a moment of UTC in words.
fn moment(at: Duration) -> String {
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + at).to_string()
}

/// Returns an amount of pico-dollars in dollars, to its last digit.
fn dollars(pico: i128) -> String {
    let amount = PicoUsd::new(u64::try_from(pico.unsigned_abs()).unwrap_or(u64::MAX)).exact();
    if pico < 0 { format!("-{amount}") } else { amount }
}

struct Compared<'a> {
    bucket: &'a Bucket,
    per_mille: u32,
    comparison: &'a mut Comparison,
}

/// What is booked by use and model, as the export names it.
type Here = BTreeMap<UsedFor, Booked>;

/// What is booked of what a provider tells.
#[derive(Debug, Default)]
struct Booked {
    sums: Sums,
    /// Tries that reached the provider and were not refused.
    reached: u64,
}

impl Compared<'_> {
    fn usage(&mut self, lines: &[Line]) {
        let here = self.by_model(lines);
        let keys: BTreeSet<_> = self.bucket.used.keys().chain(here.keys()).cloned().collect();
        for key in keys {
            let nothing = (Told::default(), Booked::default());
            let there = self.bucket.used.get(&key);
            let booked = here.get(&key).unwrap_or(&nothing.1);
            // Of a model that the provider does not name, it tells that nothing was used.
            let is_missing = there.is_none();
            let told = there.unwrap_or(&nothing.0);
            for (figure, provider, here) in figures(told, booked) {
                let provider = if is_missing { Some(0) } else { provider };
                if let Some(provider) = provider {
                    self.figure(key.1.clone(), figure, provider.into(), here.into());
                }
            }
        }
    }

    /// Sums up what is booked of the uses that the export tells of.
    fn by_model(&self, lines: &[Line]) -> Here {
        let uses: BTreeSet<Use> = self.bucket.used.keys().map(|(what, _)| *what).collect();
        let mut here = Here::new();
        for line in lines {
            let what = Use::at(&line.facet.endpoint);
            if !uses.contains(&what) || line.facet.counted_as().is_empty() {
                continue;
            }
            let model = self.told_as(what, line.facet.counted_as());
            let booked = here.entry((what, model)).or_default();
            booked.sums.add(&line.sums);
            if !NOT_REACHED.contains(&&*line.ending) {
                booked.reached = booked.reached.saturating_add(line.sums.attempts);
            }
        }
        // Where the provider answered nothing, it has nothing to tell.
        here.retain(|key, it| it.reached > 0 || self.bucket.used.contains_key(key));
        here
    }

    /// Returns the name under which the export tells of `model`: its own, that of its one dated edition, or
    /// none where it tells of all models together.
    fn told_as(&self, what: Use, model: &Arc<str>) -> Option<Arc<str>> {
        let told = || self.bucket.used.keys().filter(|(its, _)| *its == what);
        if told().any(|(_, name)| name.as_ref() == Some(model)) {
            return Some(Arc::clone(model));
        }
        let is_edition = |name: &Arc<str>| {
            let date = name.strip_prefix(&**model).and_then(|rest| rest.strip_prefix('-'));
            date.is_some_and(|date| date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
        };
        let mut editions = told().filter_map(|(_, name)| name.clone()).filter(is_edition);
        match (editions.next(), editions.next()) {
            (Some(edition), None) => Some(edition),
            _ if told().all(|(_, name)| name.is_none()) => None,
            _ => Some(Arc::clone(model)),
        }
    }

    fn cost(&mut self, provider: i128, lines: &[Line]) {
        let mut sums = Sums::default();
        lines.iter().for_each(|line| sums.add(&line.sums));
        self.comparison.unknown = self.comparison.unknown.saturating_add(sums.unknown);
        self.figure(None, COST, provider, sums.cost.pico().into());
    }

    fn figure(
        &mut self,
        model: Option<Arc<str>>,
        figure: &'static str,
        provider: i128,
        booked: i128,
    ) {
        self.comparison.compared += 1;
        let larger = provider.unsigned_abs().max(booked.unsigned_abs());
        let apart = provider.abs_diff(booked);
        if apart.saturating_mul(1_000) > larger.saturating_mul(self.per_mille.into()) {
            let range = self.bucket.range;
            let difference = Difference { range, model, figure, provider, booked };
            self.comparison.differences.push(difference);
        }
    }
}

/// The name of a figure, what the provider tells of it, and what is booked.
type Figure = (&'static str, Option<u64>, u64);

/// Returns what is told and what is booked of each figure.
fn figures(told: &Told, booked: &Booked) -> [Figure; 7] {
    let usage = &booked.sums.usage;
    [
        ("requests", told.requests, booked.reached),
        ("input_tokens", told.input, usage.input.count()),
        ("cached_tokens", told.cached, usage.cached.count()),
        ("output_tokens", told.output, usage.output.count()),
        ("images", told.images, usage.images),
        ("characters", told.characters, usage.spoken),
        ("seconds", told.seconds, usage.heard.as_secs()),
    ]
}

/// The name of the figure that is money.
const COST: &str = "cost_usd";
/// How tries end that a provider does not count.
const NOT_REACHED: [&str; 2] = ["refused", "unsent"];

//! A report as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{Error as _, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use super::by::By;
use super::sums::Sums;
use super::tally::{Cell, Report};
use crate::units::PicoUsd;

impl Report {
    /// Returns the report as one line of JSON. Amounts of money are numbers whose text is exact, to the
    /// pico-dollar: who reads them as binary fractions rounds them.
    pub fn json(&self) -> String {
        let remarks = &self.remarks;
        let unknown = self.unpriced.iter().map(|one| Unpriced {
            upstream: &one.upstream,
            model: &one.model,
            tier: Some(&*one.tier).filter(|tier| !tier.is_empty()),
            attempts: one.attempts,
            tokens: one.tokens.count(),
        });
        let page = Page {
            from: remarks.from.as_deref(),
            to: remarks.to.as_deref(),
            time_zone: &remarks.zone,
            total: Figures { by: &[], cells: &[], sums: &self.total },
            rows: self
                .rows
                .iter()
                .map(|row| Figures { by: &self.by, cells: &row.cells, sums: &row.sums })
                .collect(),
            unknown_cost: unknown.collect(),
            lost: Lost { attempts: self.lost.0, tokens: self.lost.1.count() },
            attempts_in_several_rows: self.repeated,
            unbooked_answers: remarks.unbooked,
            damaged_bytes: remarks.damaged_bytes,
            hours_told_whole: remarks.whole_hours,
        };
        // Numbers and texts cannot fail to be written.
        serde_json::to_string(&page).unwrap_or_default() + "\n"
    }
}

#[derive(Serialize)]
struct Page<'a> {
    /// `null`: since ever.
    from: Option<&'a str>,
    /// `null`: until now.
    to: Option<&'a str>,
    time_zone: &'a str,
    total: Figures<'a>,
    rows: Vec<Figures<'a>>,
    /// What has no price.
    unknown_cost: Vec<Unpriced<'a>>,
    /// What was under way when the program died: its tokens and cost are what was expected at most.
    lost: Lost,
    /// What counts in several rows, as its app has several labels.
    attempts_in_several_rows: u64,
    /// What went out while nothing could be booked.
    unbooked_answers: u64,
    damaged_bytes: u64,
    /// Hours that lie across the ends of days and count where they begin.
    hours_told_whole: u64,
}

#[derive(Serialize)]
struct Unpriced<'a> {
    upstream: &'a str,
    model: &'a str,
    tier: Option<&'a str>,
    attempts: u64,
    tokens: u64,
}

#[derive(Serialize)]
struct Lost {
    attempts: u64,
    tokens: u64,
}

/// What a row is of, and its figures.
struct Figures<'a> {
    by: &'a [By],
    cells: &'a [Cell],
    sums: &'a Sums,
}

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { by, cells, sums } = self;
        let mut map = serializer.serialize_map(None)?;
        for (by, cell) in by.iter().zip(*cells) {
            map.serialize_entry(by.label(), &cell.as_deref())?;
        }
        for (name, figure) in figures(sums) {
            map.serialize_entry(name, &figure)?;
        }
        map.serialize_entry("heard_seconds", &sums.usage.heard.as_secs_f64())?;
        map.serialize_entry("cost_usd", &dollars(sums.cost).map_err(S::Error::custom)?)?;
        let endings: BTreeMap<&str, u64> =
            sums.endings.iter().map(|(ending, count)| (&**ending, *count)).collect();
        map.serialize_entry("endings", &endings)?;
        map.end()
    }
}

/// Returns the whole numbers among the figures of a row, by their names.
pub(super) fn figures(sums: &Sums) -> [(&'static str, u64); 20] {
    let usage = &sums.usage;
    [
        ("requests", sums.requests),
        ("attempts", sums.attempts),
        ("total_tokens", sums.total_tokens().count()),
        ("input_tokens", usage.input.count()),
        ("cached_tokens", usage.cached.count()),
        ("cache_write_tokens", usage.cache_write.count()),
        ("cache_write_long_tokens", usage.cache_write_long.count()),
        ("output_tokens", usage.output.count()),
        ("reasoning_tokens", usage.reasoning.count()),
        ("input_audio_tokens", usage.input_audio.count()),
        ("input_image_tokens", usage.input_image.count()),
        ("cached_audio_tokens", usage.cached_audio.count()),
        ("cached_image_tokens", usage.cached_image.count()),
        ("output_audio_tokens", usage.output_audio.count()),
        ("output_image_tokens", usage.output_image.count()),
        ("spoken_characters", usage.spoken),
        ("images", usage.images),
        ("searches", usage.searches),
        ("unknown_cost_attempts", sums.unknown),
        ("unknown_cost_tokens", sums.unknown_tokens.count()),
    ]
}

/// Returns an amount as a number that is exact.
fn dollars(amount: PicoUsd) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(amount.exact())
}

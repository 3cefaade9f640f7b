//! What one organisation may do with one model: its meters, and what happened to them.

use std::sync::Arc;
use std::time::Duration;

use super::charge::{Cost, Final, Knowledge, Metric, Need, Outcome};
use super::foreign::Foreign;
use super::meter::{Life, Mark, Meter, nanos};
use super::rules::{Charging, Enforcement, Limits, Refusals, Slices};
use super::stats::{LaneStats, MeterStats, Tally};

/// The meters of one organisation for one model, or for several that share a limit.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) organisation: Arc<str>,
    pub(super) name: Arc<str>,
    limits: Limits,
    meters: Vec<(Metric, Meter)>,
    /// The limits of the start, one for each meter.
    first: Vec<u64>,
    /// How many changes were made.
    changed: usize,
    foreign: Option<Foreign>,
    /// The time from 1970-01-01 UTC to the engine's start.
    epoch: Duration,
    /// How many may be under way.
    slots: Option<u64>,
    in_flight: u64,
    held: u64,
    tally: Tally,
}

/// Why a lane has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// It will have.
    Later { metric: Metric, limit: u64, used: u64, requested: u64, wait: Duration },
    /// It never will.
    TooLarge { metric: Metric, limit: u64, requested: u64 },
    /// Too many requests are under way.
    Concurrency { limit: u64 },
}

/// The debits of one request.
#[derive(Debug)]
pub(super) struct Debits {
    marks: Vec<Mark>,
    held: u64,
    knows: Knowledge,
}

/// One quota as the answer's headers show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// What is counted.
    pub metric: Metric,
    /// The limit of a window.
    pub limit: u64,
    /// What is left, in whole units.
    pub remaining: u64,
    /// The time until nothing is used.
    pub reset: Duration,
    /// When that will be, as the time since 1970-01-01 UTC.
    pub full_at: Duration,
}

impl Lane {
    /// Creates the lane `name` of an organisation.
    pub(super) fn new(
        organisation: &Arc<str>,
        name: Arc<str>,
        limits: Limits,
        epoch: Duration,
        seed: u64,
    ) -> Self {
        let meters = meters(&limits, epoch);
        Self {
            organisation: Arc::clone(organisation),
            name,
            first: meters.iter().map(|(_, meter)| meter.limit()).collect(),
            changed: 0,
            meters,
            foreign: Foreign::new(&limits, seed),
            epoch,
            slots: limits.concurrency,
            limits,
            in_flight: 0,
            held: 0,
            tally: Tally::default(),
        }
    }

    /// Plays the traffic of others and changes the limits up to `now`. To be called before anything else
    /// at `now`.
    pub(super) fn advance(&mut self, now: u64, enforcement: Enforcement) {
        while let Some(change) = self.limits.changes.get(self.changed).copied() {
            let at = nanos(change.at);
            if at > now {
                break;
            }
            self.changed += 1;
            self.play_others(at, enforcement);
            self.slots = self.limits.concurrency.map(|slots| scaled(slots, change.factor));
            for (meter, first) in self.meters.iter_mut().map(|(_, meter)| meter).zip(&self.first) {
                meter.change_limit(scaled(*first, change.factor), at);
            }
        }
        self.play_others(now, enforcement);
    }

    fn play_others(&mut self, now: u64, enforcement: Enforcement) {
        while let Some((at, tokens)) = self.foreign.as_mut().and_then(|foreign| foreign.next(now)) {
            let cost =
                Cost { prompt: tokens, characters: tokens.saturating_mul(4), ..Cost::default() };
            if enforcement == Enforcement::On && self.room(&cost, Knowledge::Stated, at).is_err() {
                self.tally.foreign_refused += 1;
                continue;
            }
            self.tally.foreign_admitted += 1;
            self.tally.foreign_tokens += tokens;
            for (metric, meter) in &mut self.meters {
                let (Need::Room(units) | Need::Any(units)) =
                    self.limits.need(*metric, &cost, Knowledge::Stated);
                meter.debit(units, at, Life::Final);
            }
        }
    }

    /// Tells whether `cost` fits now.
    pub(super) fn room(&mut self, cost: &Cost, knows: Knowledge, now: u64) -> Result<(), Shortage> {
        if let Some(limit) = self.slots.filter(|limit| self.in_flight >= *limit) {
            return Err(Shortage::Concurrency { limit });
        }
        let mut worst: Option<(Duration, Shortage)> = None;
        for (metric, meter) in &mut self.meters {
            let Some(shortage) = shortage(*metric, meter, &self.limits, (cost, knows), now) else {
                continue;
            };
            let wait = match shortage {
                Shortage::Later { wait, .. } => wait,
                Shortage::TooLarge { .. } | Shortage::Concurrency { .. } => return Err(shortage),
            };
            if worst.is_none_or(|(longest, _)| wait > longest) {
                worst = Some((wait, shortage));
            }
        }
        worst.map_or(Ok(()), |(_, shortage)| Err(shortage))
    }

    /// Debits `cost` from every meter, whether it fits or not.
    pub(super) fn take(&mut self, cost: &Cost, knows: Knowledge, now: u64) -> Debits {
        let mut marks = Vec::with_capacity(self.meters.len());
        let mut held = 0;
        for (metric, meter) in &mut self.meters {
            let (Need::Room(units) | Need::Any(units)) = self.limits.need(*metric, cost, knows);
            marks.push(meter.debit(units, now, Life::Open));
            if matches!(metric, Metric::TokensPerMinute | Metric::InputPerMinute) {
                held += units;
                self.tally.charge(i128::from(units), now);
            }
        }
        self.in_flight += 1;
        self.held += held;
        self.tally.admit(now);
        Debits { marks, held, knows }
    }

    /// Settles the debits of a request that is over.
    pub(super) fn settle(&mut self, debits: Debits, cost: &Cost, outcome: Outcome, now: u64) {
        for ((metric, meter), mark) in self.meters.iter_mut().zip(debits.marks) {
            let change = match self.limits.settle(*metric, cost, debits.knows, outcome) {
                Final::Keep => meter.keep(mark, now),
                Final::Correct(units) => meter.correct(mark, units, now),
                Final::Add(units) => {
                    meter.debit(units, now, Life::Final);
                    meter.keep(mark, now) + i128::from(units)
                }
            };
            if matches!(metric, Metric::TokensPerMinute | Metric::InputPerMinute) {
                self.tally.charge(change, now);
            }
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.held = self.held.saturating_sub(debits.held);
        self.tally.finish(cost, outcome, now);
    }

    /// Notes a refusal, and counts the request where the rules say so.
    pub(super) fn refuse(&mut self, shortage: Shortage, now: u64) {
        let metric = match shortage {
            Shortage::Later { metric, .. } => Some(metric),
            Shortage::TooLarge { .. } | Shortage::Concurrency { .. } => None,
        };
        self.tally.refuse(&shortage, now);
        if self.limits.refusals == Refusals::Free || metric.is_none_or(Metric::counts_requests) {
            return;
        }
        let requests = self.meters.iter_mut().filter(|(metric, _)| metric.counts_requests());
        let mut requests: Vec<_> = requests.collect();
        if requests.iter_mut().all(|(_, meter)| meter.fits(1, now)) {
            for (_, meter) in requests {
                meter.debit(1, now, Life::Final);
            }
        }
    }

    /// Returns what is left of every quota at `now`, slices of the minute included.
    pub(super) fn shown(&mut self, now: u64) -> Vec<Shown> {
        let date = self.epoch + Duration::from_nanos(now);
        let shown = self.meters.iter_mut().map(|(metric, meter)| {
            let reset = meter.reset(now);
            Shown {
                metric: *metric,
                limit: meter.limit(),
                remaining: meter.remaining(now),
                reset,
                full_at: date + reset,
            }
        });
        shown.collect()
    }

    /// Returns what happened in this lane, and where its meters stand.
    pub(super) fn stats(&mut self, now: u64) -> LaneStats {
        let meters = self.meters.iter_mut();
        let meters = meters
            .map(|(metric, meter)| MeterStats { metric: *metric, reading: meter.reading(now) })
            .collect();
        LaneStats {
            organisation: Arc::clone(&self.organisation),
            lane: Arc::clone(&self.name),
            in_flight: self.in_flight,
            held: self.held,
            meters,
            tally: self.tally.clone(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "`as` saturates, and limits are far below 2^52"
)]
fn scaled(limit: u64, factor: f64) -> u64 {
    (limit as f64 * factor).round() as u64
}

fn shortage(
    metric: Metric,
    meter: &mut Meter,
    limits: &Limits,
    (cost, knows): (&Cost, Knowledge),
    now: u64,
) -> Option<Shortage> {
    let limit = meter.limit();
    if let Need::Room(units) = limits.need(metric, cost, Knowledge::Stated)
        && units > limit
        && metric != Metric::TokensPerSlice
    {
        return Some(Shortage::TooLarge { metric, limit, requested: units });
    }
    let (requested, fits) = match limits.need(metric, cost, knows) {
        Need::Any(_) => (1, meter.has_any(now)),
        Need::Room(units) if metric == Metric::TokensPerSlice => {
            (units, meter.fits(units, now) || meter.is_untouched(now))
        }
        // Output that only the oracle foresees may be larger than the limit: it goes into debt.
        Need::Room(units) => (units.min(limit), meter.fits(units.min(limit), now)),
    };
    if fits {
        return None;
    }
    let wait = meter.wait(requested.min(limit), now);
    Some(Shortage::Later { metric, limit, used: meter.used(now), requested, wait })
}

fn meters(limits: &Limits, epoch: Duration) -> Vec<(Metric, Meter)> {
    let split = limits.charging == Charging::Split;
    let parts = limits.slices_per_minute.max(1);
    let slice = limits.minute / parts;
    let part = |limit: Option<u64>| limit.map(|limit| limit.div_ceil(u64::from(parts)));
    let sliced = |on: bool, limit: Option<u64>| part(limit).filter(|_| on);
    let tokens = limits.tokens_per_minute;
    let requests = limits.requests_per_minute;
    #[rustfmt::skip] // One meter a line: the table is read by columns.
    let table = [
        (Metric::RequestsPerMinute, requests,                                     limits.minute),
        (Metric::RequestsPerDay,    limits.requests_per_day,                      limits.day),
        (Metric::TokensPerMinute,   tokens.filter(|_| !split),                    limits.minute),
        (Metric::TokensPerDay,      limits.tokens_per_day,                        limits.day),
        (Metric::InputPerMinute,    limits.input_per_minute.filter(|_| split),    limits.minute),
        (Metric::OutputPerMinute,   limits.output_per_minute.filter(|_| split),   limits.minute),
        (Metric::RequestsPerSlice,  sliced(limits.slices != Slices::Off, requests), slice),
        (Metric::TokensPerSlice,    sliced(limits.slices == Slices::RequestsAndTokens, tokens), slice),
    ];
    let slice_rules =
        Limits { counting: limits.slice_counting, used_at_start: 0.0, ..limits.clone() };
    let build = |(metric, limit, window): (Metric, Option<u64>, Duration)| {
        let rules = if metric.is_slice() { &slice_rules } else { limits };
        limit.map(|limit| (metric, Meter::new(limit, window, rules, epoch.as_nanos())))
    };
    debug_assert!(nanos(slice) > 0 || limits.slices == Slices::Off);
    table.into_iter().filter_map(build).collect()
}

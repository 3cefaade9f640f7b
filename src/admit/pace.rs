//! How fast the lanes of a pool work off what waits, together.

use std::time::Duration;

use tokio::time::Instant;

use super::state::LaneEntry;
use crate::limit::{Cost, Lane};
use crate::line::Backlog;
use crate::upstream::{Fleet, Standing};

/// The lanes of a pool that can be used.
#[derive(Debug)]
pub(super) struct Ways<'a> {
    ways: Vec<Way<'a>>,
    now: Instant,
}

#[derive(Debug)]
struct Way<'a> {
    lane: &'a Lane,
    /// Nothing goes this way before.
    rests: Duration,
    under_way: u64,
}

impl<'a> Ways<'a> {
    /// Gathers the lanes; those of accounts that are out count only where all are.
    pub(super) fn of(
        lanes: impl Iterator<Item = &'a LaneEntry> + Clone,
        fleet: &Fleet,
        now: Instant,
    ) -> Self {
        let way = |entry: &'a LaneEntry, rests| {
            let under_way = u64::try_from(entry.open).unwrap_or(u64::MAX);
            Way { lane: &entry.lane, rests, under_way }
        };
        let usable = |entry: &'a LaneEntry| match fleet.standing(entry.key.account, now) {
            Standing::Out => None,
            Standing::Resting(until) => Some(way(entry, until.saturating_duration_since(now))),
            _ => Some(way(entry, Duration::ZERO)),
        };
        let mut ways: Vec<Way<'a>> = lanes.clone().filter_map(usable).collect();
        if ways.is_empty() {
            ways = lanes.map(|entry| way(entry, Duration::ZERO)).collect();
        }
        Self { ways, now }
    }

    /// Returns the part of a window that `backlog` takes of the lane that it goes through, on the
    /// average over the lanes, each by its size.
    pub(super) fn share(&self, backlog: Backlog) -> f64 {
        let rates = self.rates(backlog);
        let all: f64 = rates.iter().sum();
        if all > 0.0 { count(&rates) / all } else { 0.0 }
    }

    /// Returns how long it takes until `backlog` has gone: every lane works off its part, by its
    /// size.
    ///
    /// When the last goes, it and those just before it, as many as are under way at a time, hold
    /// more tokens than they will be charged: `held` by each.
    pub(super) fn time(&self, backlog: Backlog, held: u64) -> Duration {
        let rates = self.rates(backlog);
        let all: f64 = rates.iter().sum();
        if all <= 0.0 || !all.is_finite() {
            // No quota minds; but the lane or its account may rest.
            let cost = Cost { requests: backlog.requests, tokens: backlog.tokens };
            let rest = |way: &Way<'_>| {
                let free = way.lane.eta(&cost, self.now).saturating_duration_since(self.now);
                free.max(way.rests)
            };
            return self.ways.iter().map(rest).min().unwrap_or_default();
        }
        let times = self.ways.iter().zip(&rates).map(|(way, rate)| {
            let part = backlog.times(rate / all);
            let holding = part.requests.min(way.under_way).saturating_add(1);
            let tokens = part.tokens.saturating_add(held.saturating_mul(holding));
            let cost = Cost { requests: part.requests, tokens };
            let time = way.lane.eta(&cost, self.now).saturating_duration_since(self.now);
            time.max(way.rests).as_secs_f64() * rate / all
        });
        Duration::try_from_secs_f64(times.sum()).unwrap_or(Duration::MAX)
    }

    /// Returns how often each lane could take `backlog` in a window; infinite where none of its
    /// quotas minds.
    fn rates(&self, backlog: Backlog) -> Vec<f64> {
        let cost = Cost { requests: backlog.requests, tokens: backlog.tokens };
        self.ways.iter().map(|way| 1.0 / way.lane.share(&cost)).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few lanes")]
fn count(rates: &[f64]) -> f64 {
    rates.len() as f64
}

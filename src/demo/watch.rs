//! Looks at provider, line and apps again and again, and keeps what the end needs.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::simulate::engine::Stats;

use super::numbers::ratio;
use super::quota::{Spans, tokens_per_minute};
use super::stage::Stage;
use super::tally::Tally;
use super::worker::Crew;
use super::workload::App;

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    begin: Instant,
    end: Instant,
    seen: Instant,
    spans: Spans,
    stats: Stats,
    waiting: Vec<(String, usize)>,
    pace: Pace,
}

/// Everything that the screen shows.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) elapsed: Duration,
    pub(super) planned: Duration,
    pub(super) lanes: Vec<LaneScene>,
    /// How many wait for each model.
    pub(super) waiting: Vec<(String, usize)>,
    pub(super) apps: Vec<(App, Tally)>,
    pub(super) refused_at_provider: u64,
    pub(super) admitted: u64,
    pub(super) quota_used: Option<f64>,
    pub(super) tokens_proxy: u64,
    pub(super) tokens_provider: u64,
    pub(super) cost: String,
    /// Tokens answered in each of the last seconds.
    pub(super) pace: Vec<u64>,
}

/// One quota of tokens at the provider.
#[derive(Debug)]
pub(super) struct LaneScene {
    pub(super) organisation: String,
    pub(super) model: String,
    pub(super) limit: u64,
    pub(super) window: Duration,
    pub(super) in_flight: u64,
    /// The share of the limit that is used now, 0 to 1.
    pub(super) used: f64,
}

impl Watch {
    /// Begins now and ends after `planned`.
    pub(super) fn new(stage: &Stage, crew: &Crew, planned: Duration) -> Self {
        let begin = Instant::now();
        let mut watch = Self {
            begin,
            end: begin + planned,
            seen: begin,
            spans: Spans::default(),
            stats: Stats::default(),
            waiting: Vec::new(),
            pace: Pace::default(),
        };
        watch.look(stage, crew);
        watch
    }

    /// Returns when the apps stop asking.
    pub(super) const fn end(&self) -> Instant {
        self.end
    }

    /// Returns how much of each lane's quota was used while somebody waited.
    pub(super) const fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Returns the time from the beginning to the last look.
    pub(super) fn elapsed(&self) -> Duration {
        self.seen - self.begin
    }

    /// Returns the tokens that all quotas together grant in so many seconds, the level at the start
    /// included.
    pub(super) fn granted(&self, seconds: u64) -> f64 {
        let readings = self.stats.lanes.iter().filter_map(tokens_per_minute);
        let grants = readings.map(|reading| {
            #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
            let rate = reading.limit as f64 / reading.window.as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
            let time = seconds as f64;
            reading.level_at_start + rate * time
        });
        grants.sum()
    }

    /// Looks at the line, then at the meters.
    pub(super) fn look(&mut self, stage: &Stage, crew: &Crew) {
        self.seen = Instant::now();
        self.waiting = stage.waiting();
        self.stats = stage.stats();
        let waiting = &self.waiting;
        self.spans.look(&self.stats.lanes, |model| waiting.iter().any(|(name, _)| name == model));
        self.pace.note(self.elapsed().as_secs(), || answered(&crew.tallies()));
    }

    /// Returns what there is to be shown.
    pub(super) fn scene(&self, stage: &Stage, crew: &Crew) -> Scene {
        let lanes = self.stats.lanes.iter();
        let total = |count: fn(&crate::simulate::engine::Tally) -> u64| -> u64 {
            self.stats.lanes.iter().map(|lane| count(&lane.tally)).sum()
        };
        let (tokens_proxy, cost) = stage.settled();
        Scene {
            elapsed: self.elapsed(),
            planned: self.end - self.begin,
            lanes: lanes.filter_map(LaneScene::of).collect(),
            waiting: self.waiting.clone(),
            apps: crew.tallies(),
            refused_at_provider: total(|tally| tally.refused.total()),
            admitted: total(|tally| tally.admitted),
            quota_used: self.spans.used(),
            tokens_proxy,
            tokens_provider: total(|tally| tally.prompt + tally.output),
            cost,
            pace: self.pace.seconds.iter().copied().collect(),
        }
    }
}

impl LaneScene {
    fn of(lane: &crate::simulate::engine::LaneStats) -> Option<Self> {
        let reading = tokens_per_minute(lane)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a level is at most a limit, and `as` saturates below zero"
        )]
        let left = reading.level.max(0.0) as u64;
        Some(Self {
            organisation: lane.organisation.to_string(),
            model: lane.lane.to_string(),
            limit: reading.limit,
            window: reading.window,
            in_flight: lane.in_flight,
            used: 1.0 - ratio(left.min(reading.limit), reading.limit),
        })
    }
}

/// Tokens answered second by second.
#[derive(Debug, Default)]
struct Pace {
    seconds: VecDeque<u64>,
    second: u64,
    total: u64,
}

impl Pace {
    /// Closes the seconds before `second`.
    fn note(&mut self, second: u64, total: impl FnOnce() -> u64) {
        if second == self.second {
            return;
        }
        let total = total();
        if self.seconds.len() == SECONDS_SHOWN {
            self.seconds.pop_front();
        }
        self.seconds.push_back(total.saturating_sub(self.total) / (second - self.second).max(1));
        (self.second, self.total) = (second, total);
    }
}

/// More than a terminal is wide.
const SECONDS_SHOWN: usize = 400;

fn answered(tallies: &[(App, Tally)]) -> u64 {
    tallies.iter().map(|(_, tally)| tally.tokens).sum()
}

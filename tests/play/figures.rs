//! What a run comes to, in the figures of the table.

use std::rc::Rc;
use std::time::Duration;

use sluicegate::simulate::engine::Stats;
use sluicegate::units::Class;

use super::checker::worst_excess;
use super::diary::{Fate, Trip};
use super::fair::Shares;
use super::run::Run;
use super::scenario::Scenario;
use super::slots;
use super::work::Job;

/// The figures of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Requests.
    pub(crate) requests: usize,
    /// From the start to the last byte of the last answer.
    pub(crate) makespan: Duration,
    /// Makespan / the oracle's.
    pub(crate) ratio: f64,
    /// Tries that the provider did not take in, per 1,000 requests.
    pub(crate) refused: f64,
    /// Requests that failed for their client though another try could have served them.
    pub(crate) failed: usize,
    /// Requests that were not done when nobody waited any longer.
    pub(crate) unfinished: usize,
    /// The part of the scarcest quota that was used up to the end, others' use included; of slots, the part of their time
    /// as long as anybody waited.
    pub(crate) used: f64,
    /// The same of slots from the first refusal on, from which it can be known how many there are. Who can follow in a slot
    /// comes after two ways, which count.
    pub(crate) used_since: f64,
    /// How long half of the interactive requests (of all, where there are none) waited at most, until they
    /// were sent for the last time.
    pub(crate) wait_half: Duration,
    /// How long 99 of 100 waited at most.
    pub(crate) wait_most: Duration,
    /// Within which time 99 of 100 of them had their last byte.
    pub(crate) served_most: Duration,
    /// The least of Jain's index between the apps, by their weights; where it is looked at.
    pub(crate) jain: Option<f64>,
    /// By how many points an app's part differed from its weight's, at most; where it is looked at.
    pub(crate) off_weights: Option<f64>,
    /// Requests sent in the window's sixtieth after the first refusal came back, above its part of the
    /// limit.
    pub(crate) hasty: u64,
    /// Tries that were refused although they were sent after the first refusal had come back, counted anew where a limit
    /// changes.
    pub(crate) again: u64,
    /// By which part of its limit the worst window was over it, where that is looked at.
    pub(crate) excess: Option<f64>,
}

impl Figures {
    /// Works out the figures of a run whose oracle took `oracle`; without one the ratio is no number.
    pub(crate) fn of(run: &Run, scenario: &Scenario, oracle: Option<Duration>) -> Self {
        let trips = &run.diary.trips;
        let makespan = trips.iter().map(|trip| trip.done).max().unwrap_or_default();
        let refused: u64 = trips.iter().map(|trip| trip.refused).sum();
        let ended_as = |fate| trips.iter().filter(|trip| trip.fate == fate).count();
        let interactive = run.jobs.iter().any(|job| job.class == Class::Interactive);
        let watched = || {
            let both = run.jobs.iter().zip(trips);
            both.filter(move |(job, _)| !interactive || job.class == Class::Interactive)
        };
        let waited = |(job, trip): (&Rc<Job>, &Trip)| {
            let gone = if trip.tries == 0 { trip.done } else { trip.last_sent };
            gone.saturating_sub(job.arrives)
        };
        let waits = sorted(watched().map(waited));
        let served = watched().map(|(job, trip)| trip.done.saturating_sub(job.arrives));
        let served = sorted(served);
        let judged = &scenario.judged;
        let is_shared = judged.jain.is_some() || judged.weights.is_some();
        let shares = is_shared.then(|| Shares::of(run, scenario));
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let refused = refused as f64 * 1_000.0 / trips.len().max(1) as f64;
        Self {
            requests: trips.len(),
            makespan,
            ratio: oracle.map_or(f64::NAN, |best| makespan.as_secs_f64() / best.as_secs_f64()),
            refused,
            failed: ended_as(Some(Fate::Failed)),
            unfinished: ended_as(None),
            used: slots::used(run, scenario).unwrap_or_else(|| used(&run.stats)),
            used_since: slots::used_since(run, scenario).unwrap_or(f64::NAN),
            wait_half: percentile(&waits, 50),
            wait_most: percentile(&waits, 99),
            served_most: percentile(&served, 99),
            jain: shares.as_ref().and_then(Shares::jain),
            off_weights: shares.as_ref().and_then(Shares::off_weights),
            hasty: hasty(run, scenario),
            again: slots::again(run, scenario),
            excess: judged.excess.map(|_| worst_excess(run, scenario, run.seed)),
        }
    }
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times
}

/// Returns the value that `percent` of a hundred do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or_default()
}

/// Returns the part of the scarcest quota that was charged, all accounts together.
fn used(stats: &Stats) -> f64 {
    let meters = || stats.lanes.iter().flat_map(|lane| &lane.meters);
    let of = |metric| {
        let these = meters().filter(|meter| meter.metric == metric).map(|meter| meter.reading);
        let (charged, offered) = these.fold((0.0, 0.0), |(charged, offered), reading| {
            #[expect(clippy::cast_precision_loss, reason = "a part")]
            let own = reading.charged as f64;
            (charged + own, offered + reading.level_at_start + reading.refill)
        });
        charged / offered.max(1.0)
    };
    meters().map(|meter| of(meter.metric)).fold(0.0, f64::max)
}

/// Counts what was sent too fast after it was known that slices of the window are limited.
fn hasty(run: &Run, scenario: &Scenario) -> u64 {
    let Some(known) = run.diary.first_refusal else { return 0 };
    let slice = scenario.window() / 60;
    let limits = scenario.accounts.iter().filter_map(|account| account.limits.requests_per_minute);
    let most: u64 = limits.map(|limit| limit.div_ceil(60)).sum();
    let sent = run.diary.sent.iter().filter(|at| (known..known + slice).contains(*at));
    (sent.count() as u64).saturating_sub(most.max(1))
}

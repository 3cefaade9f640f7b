//! Where only so many may be under way: how many were, and who was refused that could have known.

use std::time::Duration;

use sluicegate::simulate::engine::LimitChange;

use super::diary::Taken;
use super::run::Run;
use super::scenario::Scenario;

/// Returns the part of the time of all slots in which they were taken at the provider, as long as anybody waited; `None`
/// where slots are not limited.
pub(crate) fn used(run: &Run, scenario: &Scenario) -> Option<f64> {
    part(run, scenario, (Duration::ZERO, |_| Duration::ZERO))
}

/// Returns the same from the first refusal on, from which it can be known how many there are. Who can follow in a slot comes
/// after two ways, which count.
pub(crate) fn used_since(run: &Run, scenario: &Scenario) -> Option<f64> {
    part(run, scenario, (run.diary.first_refusal?, |one| one.ways))
}

/// Counts those who were refused although they were sent after the first refusal had come back, or the first one after
/// limits had changed.
pub(crate) fn again(run: &Run, scenario: &Scenario) -> u64 {
    let changes = scenario.accounts.iter().flat_map(|account| &account.limits.changes);
    let begins: Vec<Duration> = changes.map(|change| change.at).chain([Duration::ZERO]).collect();
    let era = |at: Duration| begins.iter().filter(|begin| **begin <= at).max();
    let refusals = &run.diary.refusals;
    let knew = |(sent, came): &&(Duration, Duration)| {
        refusals.iter().any(|(_, first)| era(*first) == era(*came) && first < sent)
    };
    refusals.iter().filter(knew).count() as u64
}

/// Tells how long after a request the next one can be there.
type Ways = fn(&Taken) -> Duration;

/// Returns the part of the time of all slots in which they were taken at the provider, from `begin` until the last of
/// those who waited went; `None` where slots are not limited.
fn part(run: &Run, scenario: &Scenario, (begin, ways): (Duration, Ways)) -> Option<f64> {
    let trips = run.jobs.iter().zip(&run.diary.trips);
    let waited = trips.filter(|(job, trip)| trip.tries == 1 && trip.last_sent > job.arrives);
    let until = waited.map(|(_, trip)| trip.last_sent).max()?;
    let within =
        |from: Duration, to: Duration| to.min(until).saturating_sub(from.max(begin)).as_secs_f64();
    let mut offered = 0.0;
    for account in &scenario.accounts {
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        let slots = account.limits.concurrency? as f64;
        let (mut since, mut factor) = (Duration::ZERO, 1.0);
        let end = LimitChange { at: until, factor };
        for change in account.limits.changes.iter().chain([&end]) {
            offered += (slots * factor).round() * within(since, change.at);
            (since, factor) = (change.at, change.factor);
        }
    }
    let taken = run.diary.taken.iter();
    let taken = taken.map(|one| within(one.at, one.ended.map_or(until, |(at, ..)| at) + ways(one)));
    Some(taken.sum::<f64>() / offered)
}

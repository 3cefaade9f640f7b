//! Who got how much, while everybody had something waiting.

use std::collections::HashMap;
use std::time::Duration;

use sluicegate::simulate::engine::{Charging, Cost, Limits};
use sluicegate::units::AppName;

use super::run::Run;
use super::scenario::Scenario;

/// The part of the quota that each app took, over every two windows in which all had requests waiting.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Per stretch of two windows, per app.
    stretches: Vec<Vec<Part>>,
}

impl Shares {
    /// Adds up a run.
    pub(crate) fn of(run: &Run, scenario: &Scenario) -> Self {
        let stretch = scenario.window() * 2;
        let mut apps: HashMap<&AppName, usize> = HashMap::new();
        for job in &run.jobs {
            let next = apps.len();
            apps.entry(&job.app).or_insert(next);
        }
        let limits = scenario.accounts.first().map(|account| &account.limits);
        let mut grants: Vec<Grant> = Vec::with_capacity(run.jobs.len());
        for (job, trip) in run.jobs.iter().zip(&run.diary.trips) {
            let share = limits.map_or(0.0, |limits| dominant(limits, &job.cost));
            let (app, weight) = (apps[&job.app], f64::from(job.weight));
            grants.push(Grant { app, weight, arrives: job.arrives, at: trip.last_sent, share });
        }
        let busy = busy(&grants, apps.len());
        let starts = busy.into_iter().flat_map(|(from, to)| {
            let step = stretch / 24;
            (0..).map(move |n| from + step * n).take_while(move |at| *at + stretch <= to)
        });
        let stretches = starts.map(|from| sums(&grants, apps.len(), (from, from + stretch)));
        Self { stretches: stretches.collect() }
    }

    /// Returns the least of Jain's index over all stretches; `None` where there is none or one app only.
    pub(crate) fn jain(&self) -> Option<f64> {
        let jain = |apps: &Vec<Part>| {
            let fair: Vec<f64> = apps.iter().map(|(weight, share)| share / weight).collect();
            let (sum, squares): (f64, f64) =
                fair.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
            #[expect(clippy::cast_precision_loss, reason = "hundreds of apps")]
            let count = fair.len() as f64;
            sum * sum / (count * squares)
        };
        let several = self.stretches.iter().filter(|apps| apps.len() > 1);
        several.map(jain).min_by(f64::total_cmp)
    }

    /// Returns by how many points of the whole an app's part differed from its weight's, at most.
    pub(crate) fn off_weights(&self) -> Option<f64> {
        let off = |apps: &Vec<Part>| {
            let weights: f64 = apps.iter().map(|(weight, _)| weight).sum();
            let shares: f64 = apps.iter().map(|(_, share)| share).sum();
            let off = apps.iter().map(|(weight, share)| (share / shares - weight / weights).abs());
            off.max_by(f64::total_cmp).unwrap_or(0.0) * 100.0
        };
        self.stretches.iter().map(off).max_by(f64::total_cmp)
    }
}

/// The weight of an app and the sum of its dominant shares.
type Part = (f64, f64);

/// A request that was let go.
#[derive(Debug, Clone, Copy)]
struct Grant {
    app: usize,
    weight: f64,
    arrives: Duration,
    at: Duration,
    share: f64,
}

/// Returns the times during which every app had a request waiting.
fn busy(grants: &[Grant], apps: usize) -> Vec<(Duration, Duration)> {
    let joins = grants.iter().map(|grant| (grant.arrives, true, grant.app));
    let leaves = grants.iter().map(|grant| (grant.at, false, grant.app));
    let mut events: Vec<(Duration, bool, usize)> = joins.chain(leaves).collect();
    events.sort_by_key(|(at, joins, _)| (*at, !joins));
    let mut waiting = vec![0_u32; apps];
    let mut idle = apps;
    let mut since = None;
    let mut busy = Vec::new();
    for (at, joins, app) in events {
        if joins {
            idle -= usize::from(waiting[app] == 0);
            waiting[app] += 1;
            if idle == 0 {
                since.get_or_insert(at);
            }
        } else {
            waiting[app] -= 1;
            if waiting[app] == 0 {
                idle += 1;
                busy.extend(since.take().map(|from| (from, at)));
            }
        }
    }
    busy
}

fn sums(grants: &[Grant], apps: usize, (from, to): (Duration, Duration)) -> Vec<Part> {
    let mut sums = vec![(0.0, 0.0); apps];
    for grant in grants {
        let within = (from..to).contains(&grant.at);
        let (weight, sum) = &mut sums[grant.app];
        *weight = grant.weight;
        *sum += if within { grant.share } else { 0.0 };
    }
    sums
}

/// Returns the largest part of a window's quota that a request is finally charged.
fn dominant(limits: &Limits, cost: &Cost) -> f64 {
    let quarter = cost.characters.div_ceil(4);
    let charged = match limits.charging {
        Charging::Max => cost.prompt.max(quarter).max(cost.bound.unwrap_or(cost.model_max)),
        _ => cost.prompt + cost.output,
    };
    #[expect(clippy::cast_precision_loss, reason = "a part")]
    let part =
        |amount: u64, limit: Option<u64>| limit.map_or(0.0, |limit| amount as f64 / limit as f64);
    [
        part(1, limits.requests_per_minute),
        part(charged, limits.tokens_per_minute),
        part(cost.prompt, limits.input_per_minute),
        part(cost.output, limits.output_per_minute),
    ]
    .into_iter()
    .fold(0.0, f64::max)
}

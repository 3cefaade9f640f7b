//! A third provider, by brute force: adds up every window anew from the log of what arrived.
//!
//! It shares no code with `limit` nor with the simulator's engine, and knows no slices and no levels: a
//! window's charge at some moment is the sum over what arrived in it, each at what was known of it then.

use std::time::Duration;

use sluicegate::simulate::engine::{Charging, Counting, Estimator, Limits};

use super::diary::Taken;
use super::run::Run;
use super::scenario::Scenario;

/// Returns by which part of its limit the worst window was over it: 0.02 is two hundredths above.
pub(crate) fn worst_excess(run: &Run, scenario: &Scenario, seed: u64) -> f64 {
    let rules = scenario.rules(seed);
    let mut worst = f64::NEG_INFINITY;
    for (account, organisation) in rules.organisations.iter().enumerate() {
        let limits = &organisation.rules[0].limits;
        let taken: Vec<&Taken> =
            run.diary.taken.iter().filter(|taken| taken.account == account).collect();
        for (limit, charges) in quotas(limits, &taken) {
            let check = Check { limits, limit, epoch: rules.epoch, charges };
            worst = worst.max(check.worst());
        }
    }
    worst
}

/// A charge that counts for its moment, and what it became when the request ended.
#[derive(Debug, Clone, Copy)]
struct Charge {
    at: Duration,
    first: u64,
    corrected: Option<(Duration, u64)>,
}

impl Charge {
    /// Returns what is known of it at `now`.
    fn known(&self, now: Duration) -> u64 {
        match self.corrected {
            Some((at, amount)) if at <= now => amount,
            _ => self.first,
        }
    }
}

/// A limit and what is charged to it.
type Quota = (u64, Vec<Charge>);

/// Returns each quota's limit and what is charged to it, in the order of the charges' moments.
fn quotas(limits: &Limits, taken: &[&Taken]) -> Vec<Quota> {
    let requests = taken.iter().map(|taken| Charge { at: taken.at, first: 1, corrected: None });
    let mut quotas = vec![(limits.requests_per_minute, requests.collect::<Vec<_>>())];
    let estimates = |corrects: bool| {
        let charge = move |taken: &&Taken| Charge {
            at: taken.at,
            first: estimate(limits, taken),
            corrected: taken.ended.filter(|_| corrects).map(|(at, input, _)| (at, input)),
        };
        taken.iter().map(charge)
    };
    let outputs = || {
        let ended = taken.iter().filter_map(|taken| taken.ended);
        ended.map(|(at, _, output)| Charge { at, first: output, corrected: None })
    };
    match limits.charging {
        Charging::Max => {
            let larger = |taken: &&Taken| estimate(limits, taken).max(bound(taken));
            let charge = |taken| Charge { first: larger(taken), at: taken.at, corrected: None };
            quotas.push((limits.tokens_per_minute, taken.iter().map(charge).collect()));
        }
        Charging::Refund => {
            let charge = |taken: &&Taken| Charge {
                at: taken.at,
                first: estimate(limits, taken) + bound(taken),
                corrected: taken.ended.map(|(at, input, output)| (at, input + output)),
            };
            quotas.push((limits.tokens_per_minute, taken.iter().map(charge).collect()));
        }
        Charging::Later => {
            let both = estimates(false).chain(outputs()).collect();
            quotas.push((limits.tokens_per_minute, both));
        }
        Charging::Split => {
            quotas.push((limits.input_per_minute, estimates(true).collect()));
            // A request begins a window, though nothing of its output is charged yet.
            let begun =
                taken.iter().map(|taken| Charge { at: taken.at, first: 0, corrected: None });
            quotas.push((limits.output_per_minute, begun.chain(outputs()).collect()));
        }
    }
    let limited = quotas.into_iter().filter_map(|(limit, charges)| Some((limit?, charges)));
    let mut quotas: Vec<Quota> = limited.collect();
    for (_, charges) in &mut quotas {
        charges.sort_by_key(|charge| charge.at);
    }
    quotas
}

fn estimate(limits: &Limits, taken: &Taken) -> u64 {
    let quarter = taken.cost.characters.div_ceil(4);
    match limits.estimator {
        Estimator::Tokens => taken.cost.prompt,
        Estimator::Chars4 => quarter,
        Estimator::Max => quarter.max(taken.cost.prompt),
    }
}

fn bound(taken: &Taken) -> u64 {
    taken.cost.bound.unwrap_or(taken.cost.model_max)
}

/// One quota and all that was charged to it.
struct Check<'a> {
    limits: &'a Limits,
    limit: u64,
    epoch: Duration,
    charges: Vec<Charge>,
}

impl Check<'_> {
    /// Returns the worst excess at any moment at which something was charged.
    fn worst(&self) -> f64 {
        let excess = match self.limits.counting {
            Counting::Bucket => self.worst_span(),
            Counting::Sliding => self.worst_of(|earlier, now| now - earlier < self.limits.minute),
            Counting::Calendar => self.worst_of(|earlier, now| {
                self.calendar_window(earlier) == self.calendar_window(now)
            }),
            Counting::FirstRequest => self.worst_begun(),
        };
        #[expect(clippy::cast_precision_loss, reason = "a part")]
        let limit = self.limit as f64;
        excess / limit
    }

    /// Adds up, at every charge, those before it that `together` says are in one window with it.
    fn worst_of(&self, together: impl Fn(Duration, Duration) -> bool) -> f64 {
        let mut worst = f64::NEG_INFINITY;
        for (number, last) in self.charges.iter().enumerate() {
            let before = self.charges[..=number].iter().rev();
            let those = before.take_while(|charge| together(charge.at, last.at));
            let sum: u64 = those.map(|charge| charge.known(last.at)).sum();
            worst = worst.max(self.over(sum, 1.0));
        }
        worst
    }

    /// A bucket gives in no span more than its capacity and the refill of the span.
    fn worst_span(&self) -> f64 {
        let mut worst = f64::NEG_INFINITY;
        for (number, last) in self.charges.iter().enumerate() {
            let mut sum = 0;
            for charge in self.charges[..=number].iter().rev() {
                sum += charge.known(last.at);
                let span = (last.at - charge.at).as_secs_f64();
                let windows = 1.0 + span / self.limits.minute.as_secs_f64();
                worst = worst.max(self.over(sum, windows));
            }
        }
        worst
    }

    /// Windows that begin with the first charge after the last one has ended.
    fn worst_begun(&self) -> f64 {
        let mut begins: Vec<Duration> = Vec::with_capacity(self.charges.len());
        for charge in &self.charges {
            let last = begins.last().copied();
            let running = last.filter(|begin| charge.at - *begin < self.limits.minute);
            begins.push(running.unwrap_or(charge.at));
        }
        let begin = |at: Duration| {
            let number = self.charges.partition_point(|charge| charge.at < at);
            begins[number]
        };
        self.worst_of(|earlier, now| begin(earlier) == begin(now))
    }

    fn calendar_window(&self, at: Duration) -> u128 {
        (self.epoch + at).as_nanos() / self.limits.minute.as_nanos()
    }

    fn over(&self, sum: u64, windows: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a part")]
        let (sum, limit) = (sum as f64, self.limit as f64);
        // Refill is continuous and sums are whole: less than a unit is none.
        let over = sum - limit * windows;
        if over < 1e-3 { over.min(0.0) } else { over }
    }
}

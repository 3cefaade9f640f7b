//! One cell of the table: playing it, and judging what came of it.

use std::time::Duration;

use sluicegate::simulate::engine::{Counting, Enforcement};
use tokio::time::Instant;

use crate::play::figures::Figures;
use crate::play::gate::Sluicegate;
use crate::play::oracle::oracle;
use crate::play::run::play;
use crate::play::scenario::Scenario;

/// A scenario to be played with several seeds.
#[derive(Debug)]
pub(crate) struct Cell {
    /// What is played.
    pub(crate) scenario: Scenario,
}

/// What came of one seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Played {
    /// The seed.
    pub(crate) seed: u64,
    /// How long it took to play.
    pub(crate) took: Duration,
    /// The figures.
    pub(crate) figures: Figures,
    /// How much longer the watched app's slowest hundredth takes than it may; none where it is not
    /// judged.
    pub(crate) too_late: Option<f64>,
}

impl Cell {
    /// Creates the cell of a scenario.
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self { scenario }
    }

    /// Plays it through sluicegate with one seed.
    pub(crate) fn play(&self, seed: u64) -> Played {
        let began = Instant::now();
        let best = self.oracle(seed);
        let run = play::<Sluicegate>(&self.scenario, seed);
        let figures = Figures::of(&run, &self.scenario, best);
        let too_late = self.alone(seed).map(|alone| {
            let allowed = alone.mul_f64(1.1) + self.refill();
            figures.served_most.as_secs_f64() / allowed.as_secs_f64()
        });
        Played { seed, took: began.elapsed(), figures, too_late }
    }

    /// Tells whether there is a limit to be used up.
    pub(crate) fn has_oracle(&self) -> bool {
        self.scenario.enforcement == Enforcement::On
    }

    /// Returns the oracle's makespan, where there is one.
    pub(crate) fn oracle(&self, seed: u64) -> Option<Duration> {
        self.has_oracle().then(|| oracle(&self.scenario, seed))
    }

    /// Returns the slowest hundredth of the watched app where it is alone.
    fn alone(&self, seed: u64) -> Option<Duration> {
        let app = self.scenario.judged.latency_of?;
        let flows = self.scenario.flows.iter().filter(|flow| flow.app == app);
        let scenario = self.scenario.with_flows(flows.cloned().collect());
        let run = play::<Sluicegate>(&scenario, seed);
        Some(Figures::of(&run, &scenario, None).served_most)
    }

    /// Returns the time in which the quota of one request of the watched app refills; where windows have an end, the
    /// twelfth before it, in which nothing is kept for anybody any more.
    fn refill(&self) -> Duration {
        let limits = &self.scenario.accounts[0].limits;
        if limits.counting != Counting::Bucket {
            return limits.minute / 12;
        }
        let tokens = limits.tokens_per_minute.unwrap_or(u64::MAX);
        let flow = &self.scenario.flows[0];
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let part = (flow.prompt + flow.bound.unwrap_or(0) as f64) / tokens as f64;
        limits.minute.mul_f64(part)
    }

    /// Returns which expectations the median of these misses.
    pub(crate) fn missed(&self, played: &[Played]) -> Vec<String> {
        let judged = &self.scenario.judged;
        let of = |figure: &Figure<'_>| median(played.iter().map(figure).collect());
        let worst =
            |figure: &Figure<'_>| played.iter().map(figure).fold(f64::NEG_INFINITY, f64::max);
        let ratio = of(&|one| one.figures.ratio);
        let used = of(&|one| one.figures.used);
        let jain = of(&|one| one.figures.jain.unwrap_or(f64::NAN));
        let weights = of(&|one| one.figures.off_weights.unwrap_or(f64::NAN));
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let failed = worst(&|one| one.figures.failed as f64);
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let hasty = of(&|one| one.figures.hasty as f64);
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let again = worst(&|one| one.figures.again as f64);
        // Written so that a figure that is no number is missed.
        let checks = [
            ("ratio", judged.ratio.is_none_or(|most| rounded(ratio) <= most)),
            ("refused", of(&|one| one.figures.refused) <= judged.refused),
            ("failed", failed <= 0.0),
            ("used", judged.used.is_none_or(|least| used >= least)),
            ("jain", judged.jain.is_none_or(|least| jain >= least)),
            ("weights", judged.weights.is_none_or(|most| weights <= most)),
            (
                "late",
                judged.latency_of.is_none() || of(&|one| one.too_late.unwrap_or(f64::NAN)) <= 1.0,
            ),
            (
                "excess",
                judged.excess.is_none_or(|most| {
                    worst(&|one| one.figures.excess.unwrap_or(f64::NAN)) <= most
                }),
            ),
            ("hasty", !judged.paces || hasty <= 0.0),
            ("again", !judged.again || again <= 0.0),
            (
                "slots",
                judged.slots.is_none_or(|least| worst(&|one| -one.figures.used_since) <= -least),
            ),
        ];
        checks.into_iter().filter(|(_, kept)| !kept).map(|(name, _)| name.to_owned()).collect()
    }
}

/// What is looked at of a seed.
pub(crate) type Figure<'a> = dyn Fn(&Played) -> f64 + 'a;

/// Returns the middle one, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(value), 1) => *value,
        (Some(upper), _) => f64::midpoint(values[middle - 1], *upper),
        (None, _) => f64::NAN,
    }
}

/// Rounds a ratio to three places, as it is printed.
fn rounded(ratio: f64) -> f64 {
    (ratio * 1_000.0).round() / 1_000.0
}

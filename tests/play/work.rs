//! Requests, as the flows of a scenario and a seed make them.

use std::time::Duration;

use sluicegate::simulate::engine::Cost;
use sluicegate::units::{AppName, Class};

use super::dice::{Dice, whole};
use super::scenario::{Arrivals, Faults, Flow, Scenario};

/// The model that everybody asks.
pub(crate) const MODEL: &str = "gpt-sim";

/// One request of a client.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Which one, by arrival.
    pub(crate) number: usize,
    /// Whose.
    pub(crate) app: AppName,
    /// How urgent it is.
    pub(crate) class: Class,
    /// The app's weight.
    pub(crate) weight: u32,
    /// When it comes, from the start.
    pub(crate) arrives: Duration,
    /// What it costs.
    pub(crate) cost: Cost,
    /// From its admission to the first token.
    pub(crate) first: Duration,
    /// From its admission to the last token.
    pub(crate) total: Duration,
    /// Whether it is answered by a stream.
    pub(crate) stream: bool,
    /// What goes wrong with its first tries.
    pub(crate) mishaps: [Option<Mishap>; TRIES],
    /// How long its tries and their answers are on their way, in turn.
    pub(crate) ways: [Duration; TRIES],
}

/// What goes wrong with a try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mishap {
    /// A 500, or a 503.
    Error { overloaded: bool },
    /// No answer: the connection is closed.
    Reset,
    /// The answer breaks off after this part of it.
    Cut { part: f64 },
}

/// So many tries of a request may go wrong.
const TRIES: usize = 6;
/// The shortest way to the provider, or back.
const NEAR: Duration = Duration::from_millis(5);
/// The longest one.
const FAR: Duration = Duration::from_millis(40);

impl Job {
    /// Returns what goes wrong with this try, the first being 0.
    pub(crate) fn mishap(&self, number: usize) -> Option<Mishap> {
        self.mishaps.get(number).copied().flatten()
    }

    /// Returns the same, in `part` of its time.
    pub(crate) fn scaled(&self, part: f64) -> Self {
        let scaled = |time: Duration| time.mul_f64(part);
        Self {
            arrives: scaled(self.arrives),
            first: scaled(self.first),
            total: scaled(self.total),
            ways: self.ways.map(scaled),
            ..self.clone()
        }
    }

    /// Returns how long the `turn`-th thing of it that goes over the network is on its way.
    pub(crate) fn way(&self, turn: usize) -> Duration {
        self.ways[turn % TRIES]
    }

    /// Returns the tokens written after this part of the answer.
    pub(crate) fn written(&self, part: f64) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
        let output = self.cost.output as f64;
        whole(output * part, 0).min(self.cost.output)
    }
}

/// Returns the requests of a scenario in the order of their arrival.
pub(crate) fn jobs(scenario: &Scenario, seed: u64) -> Vec<Job> {
    // By its name, so that a flow is the same beside others and alone.
    let purpose = |flow: &Flow| flow.app.bytes().fold(10, |sum, byte| sum * 31 + u64::from(byte));
    let mut jobs: Vec<Job> = scenario
        .flows
        .iter()
        .flat_map(|flow| of_flow(flow, &scenario.faults, &mut Dice::new(seed, purpose(flow))))
        .collect();
    jobs.sort_by_key(|job| job.arrives);
    for (number, job) in jobs.iter_mut().enumerate() {
        job.number = number;
    }
    jobs
}

fn of_flow(flow: &Flow, faults: &Faults, dice: &mut Dice) -> Vec<Job> {
    let mut at = Duration::ZERO;
    let apps: Vec<AppName> = (0..flow.apps.max(1))
        .map(|number| match flow.apps {
            0 | 1 => AppName::new(flow.app),
            _ => AppName::new(format!("{}-{number}", flow.app)),
        })
        .collect();
    (0..flow.requests)
        .map(|number| {
            at = match flow.arrivals {
                Arrivals::Within(span) => dice.time(Duration::ZERO, span),
                Arrivals::PerMinute(rate) => {
                    at + Duration::from_secs_f64(dice.exponential(60.0 / rate))
                }
            };
            let app = usize::try_from(number).unwrap_or(0) % apps.len();
            let large = flow.large.filter(|(every, _)| number % every == every / 2);
            job(flow, (apps[app].clone(), at, large.map(|(_, prompt)| prompt)), faults, dice)
        })
        .collect()
}

fn job(
    flow: &Flow,
    (app, arrives, large): (AppName, Duration, Option<u64>),
    faults: &Faults,
    dice: &mut Dice,
) -> Job {
    let prompt = large.unwrap_or_else(|| whole(dice.lognormal(flow.prompt, flow.prompt_sigma), 1));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let characters = whole(prompt as f64 * dice.between(3.4, 4.8), 1);
    let output = whole(dice.lognormal(flow.output, 0.6), 1).min(flow.bound.unwrap_or(u64::MAX));
    let pace = dice.between(0.9, 1.1);
    let first = Duration::from_millis(200).mul_f64(pace);
    let writing = flow.per_token.mul_f64(pace) * u32::try_from(output).unwrap_or(u32::MAX);
    Job {
        number: 0,
        app,
        class: flow.class,
        weight: flow.weight,
        arrives,
        cost: Cost {
            prompt,
            characters,
            bound: flow.bound,
            generations: 1,
            model_max: 4_096,
            output: output.min(4_096),
        },
        first,
        total: first + writing,
        stream: dice.part() < 0.5,
        mishaps: std::array::from_fn(|_| mishap(faults, dice)),
        ways: std::array::from_fn(|_| dice.time(NEAR, FAR)),
    }
}

fn mishap(faults: &Faults, dice: &mut Dice) -> Option<Mishap> {
    let (mut draw, part) = (dice.part(), dice.part());
    let table = [
        (faults.error, Mishap::Error { overloaded: false }),
        (faults.overloaded, Mishap::Error { overloaded: true }),
        (faults.reset, Mishap::Reset),
        (faults.cut, Mishap::Cut { part }),
    ];
    table.into_iter().find_map(|(chance, mishap)| {
        draw -= chance;
        (draw < 0.0).then_some(mishap)
    })
}

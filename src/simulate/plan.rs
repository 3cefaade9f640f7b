//! Decides by a seed how long answers are, how fast they come, and what goes wrong.
//!
//! # Invariants
//!
//! 1. The length and the text of an answer depend on the seed and on the request (model, texts,
//!    bounds, choices, tools) alone: the same request is answered the same, streamed or not, direct
//!    or through a proxy, whatever else goes on.
//! 2. Faults and jitter depend on the seed, the request, and the number of its arrival at the
//!    provider: a retry may succeed where the first try failed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::config::{Faults, Latency, Outputs};
use super::wire::{Ask, Ending, Pace, mix};

/// What will happen to one request, if it is admitted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// The length and ending of every generation.
    pub lengths: Vec<(u64, Ending)>,
    /// How fast it is written.
    pub pace: Pace,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// A 500, or a 503 where `overloaded`.
    ServerError { overloaded: bool },
    /// The connection is closed without an answer.
    Reset,
    /// No answer comes until the client gives up.
    Stall,
    /// The answer ends early.
    Cut(Cut),
}

/// Where and how an answer ends early.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cut {
    /// After this share of it.
    pub share: f64,
    /// Whether the connection stays, and nothing more comes.
    pub hangs: bool,
}

impl Cut {
    /// Tells whether all is said before, and what was used is told.
    pub(super) fn is_behind_usage(self) -> bool {
        self.share >= 1.0
    }
}

/// Makes plans.
#[derive(Debug)]
pub(super) struct Planner {
    pub seed: u64,
    pub outputs: Outputs,
    pub latency: Latency,
    pub faults: Faults,
}

impl Planner {
    /// Plans for `ask`, the arrival number `arrival`.
    pub(super) fn plan(&self, ask: &Ask, arrival: u64) -> Plan {
        let mut random = StdRng::seed_from_u64(mix(self.seed) ^ ask.prompt.digest);
        let lengths = (0..ask.generations).map(|_| self.length(ask, &mut random)).collect();
        let mut chance = StdRng::seed_from_u64(mix(self.seed ^ mix(arrival)) ^ ask.prompt.digest);
        let fault = self.fault(&mut chance);
        let stretch = 1.0 + self.latency.jitter * (2.0 * chance.random::<f64>() - 1.0);
        let pace = Pace {
            first: stretched(self.latency.first_token, stretch),
            token: stretched(self.latency.per_token, stretch),
        };
        Plan { lengths, pace, fault }
    }

    /// Draws a length from the lognormal distribution, cut at the bound.
    fn length(&self, ask: &Ask, random: &mut StdRng) -> (u64, Ending) {
        let (mean, sigma) = (self.outputs.mean.max(1.0), self.outputs.sigma);
        let (one, two) = (1.0 - random.random::<f64>(), random.random::<f64>());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, and the value is positive"
        )]
        let length = (mean.ln() - sigma * sigma / 2.0 + sigma * normal).exp().round() as u64;
        let bound = ask.bound.unwrap_or(ask.model_max).min(ask.model_max);
        if length > bound {
            (bound, Ending::Length)
        } else {
            (length.max(1).min(bound), Ending::Stop)
        }
    }

    fn fault(&self, chance: &mut StdRng) -> Option<Fault> {
        let mut draw = chance.random::<f64>();
        let drawn = chance.random::<f64>();
        let share = self.faults.share.unwrap_or(drawn);
        let faults = [
            (self.faults.server_error, Fault::ServerError { overloaded: drawn < 0.5 }),
            (self.faults.reset, Fault::Reset),
            (self.faults.stall, Fault::Stall),
            (self.faults.cut, Fault::Cut(Cut { share, hangs: false })),
            (self.faults.hang, Fault::Cut(Cut { share, hangs: true })),
        ];
        faults.into_iter().find_map(|(probability, fault)| {
            draw -= probability;
            (draw < 0.0).then_some(fault)
        })
    }
}

fn stretched(time: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * factor.max(0.0)).unwrap_or(time)
}

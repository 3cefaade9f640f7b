//! How fast it could have been: the provider itself lets requests go in the order of their arrival.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sluicegate::simulate::engine::{Engine, Outcome, Ticket};

use super::scenario::Scenario;
use super::work::{Job, MODEL, Mishap, jobs};

/// Returns the makespan of a scenario without a network, by one who knows every output beforehand and
/// debits at the moment at which there is room.
///
/// # Panics
///
/// Where a request could never be served.
pub(crate) fn oracle(scenario: &Scenario, seed: u64) -> Duration {
    oracle_of((scenario, seed), &jobs(scenario, seed))
}

/// Returns the makespan of a scenario whose requests are these.
///
/// # Panics
///
/// Where a request could never be served.
pub(crate) fn oracle_of((scenario, seed): (&Scenario, u64), jobs: &[Job]) -> Duration {
    let mut oracle = Oracle {
        engine: Engine::new(scenario.rules(seed)),
        jobs,
        waiting: HashMap::new(),
        ends: BTreeMap::new(),
        tries: vec![0; jobs.len()],
    };
    let mut arrivals = jobs.iter().peekable();
    let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
    loop {
        while let Some(job) = arrivals.next_if(|job| job.arrives <= now) {
            oracle.queue(job, now);
        }
        let look = oracle.grant(now);
        let arrival = arrivals.peek().map(|job| job.arrives);
        let end = oracle.ends.keys().next().map(|(at, _)| *at);
        let Some(next) = [arrival, end, look].into_iter().flatten().min() else { break };
        now = next;
        while let Some(entry) = oracle.ends.first_entry().filter(|entry| entry.key().0 <= now) {
            let (at, end) = (entry.key().0, entry.remove());
            oracle.end(end, at);
            last = last.max(at);
        }
    }
    assert!(oracle.waiting.is_empty(), "{} {}: never served", scenario.name, scenario.cell);
    last
}

struct Oracle<'a> {
    engine: Engine,
    jobs: &'a [Job],
    /// Which request waits under which number of the engine's.
    waiting: HashMap<u64, usize>,
    ends: BTreeMap<EndsAt, End>,
    tries: Vec<usize>,
}

/// When a request ends, and which.
type EndsAt = (Duration, Reverse<usize>);

struct End {
    job: usize,
    ticket: Ticket,
    outcome: Outcome,
}

impl Oracle<'_> {
    fn queue(&mut self, job: &Job, now: Duration) {
        let number = self.engine.queue(MODEL, &job.cost, now).expect("it can be served");
        self.waiting.insert(number, job.number);
    }

    /// Lets go what has room, and returns when to look again.
    fn grant(&mut self, now: Duration) -> Option<Duration> {
        let grants = self.engine.grant(now);
        for decided in grants.decided {
            let number = self.waiting.remove(&decided.number).expect("it waited");
            let job = &self.jobs[number];
            let before = self.tries[number];
            self.tries[number] += 1;
            let (takes, outcome) = match job.mishap(before) {
                Some(Mishap::Error { .. } | Mishap::Reset) => (job.first, Outcome::Failed),
                Some(Mishap::Cut { part }) => {
                    let output = job.written(part);
                    (job.first + (job.total - job.first).mul_f64(part), Outcome::Cut { output })
                }
                None => (job.total, Outcome::Answered { output: job.cost.output }),
            };
            let ticket = decided.outcome.expect("a key lives").ticket;
            let end = End { job: number, ticket, outcome };
            self.ends.insert((now + takes, Reverse(number)), end);
        }
        grants.look_again.map(|wait| now + wait.max(Duration::from_nanos(1)))
    }

    fn end(&mut self, end: End, at: Duration) {
        self.engine.finish(end.ticket, end.outcome, at);
        let job = &self.jobs[end.job];
        let again = match end.outcome {
            Outcome::Failed => true,
            // Nobody can try a stream again of which its client has a part.
            Outcome::Cut { .. } => !job.stream,
            Outcome::Answered { .. } => false,
        };
        if again {
            self.queue(&job.clone(), at);
        }
    }
}

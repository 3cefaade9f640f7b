//! What happened to every request, as the network saw it: the same notes for every system.

use std::time::Duration;

use sluicegate::simulate::engine::Cost;

/// What became of a request, for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was answered.
    Served,
    /// Its stream broke off after its client had a part of it; nobody can try that again.
    Cut,
    /// It failed for its client.
    Failed,
}

/// The notes of one run.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    /// One for each request, by its number.
    pub(crate) trips: Vec<Trip>,
    /// Every try that the provider took in, in the order of arrival there.
    pub(crate) taken: Vec<Taken>,
    /// When tries were sent.
    pub(crate) sent: Vec<Duration>,
    /// When the first refusal came back.
    pub(crate) first_refusal: Option<Duration>,
    /// When those that were refused were sent, and when they came back.
    pub(crate) refusals: Vec<(Duration, Duration)>,
}

/// What happened to one request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trip {
    /// How often it was sent.
    pub(crate) tries: usize,
    /// When it was sent last.
    pub(crate) last_sent: Duration,
    /// How often the provider refused it.
    pub(crate) refused: u64,
    /// When its client had the last byte, or knew that there will be none.
    pub(crate) done: Duration,
    /// What became of it; `None` while it is on its way, or where it was never done.
    pub(crate) fate: Option<Fate>,
}

/// A try that the provider took in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Whose quota it took.
    pub(crate) account: usize,
    /// When it arrived at the provider.
    pub(crate) at: Duration,
    /// What it asked for.
    pub(crate) cost: Cost,
    /// How long it and the head of its answer were on their way.
    pub(crate) ways: Duration,
    /// When it ended, and with which tokens of input and output.
    pub(crate) ended: Option<(Duration, u64, u64)>,
}

impl Diary {
    /// Creates the empty diary of so many requests.
    pub(crate) fn new(requests: usize) -> Self {
        Self { trips: vec![Trip::default(); requests], ..Self::default() }
    }

    /// Notes that request `number` is sent, and returns how often it was before.
    pub(crate) fn sends(&mut self, number: usize, now: Duration) -> usize {
        self.sent.push(now);
        let trip = &mut self.trips[number];
        trip.last_sent = now;
        trip.tries += 1;
        trip.tries - 1
    }

    /// Notes that the provider takes in a try, and returns where that stands.
    pub(crate) fn takes(&mut self, taken: Taken) -> usize {
        self.taken.push(taken);
        self.taken.len() - 1
    }

    /// Notes that the answer to request `number` is a refusal.
    pub(crate) fn refused(&mut self, number: usize, now: Duration) {
        let trip = &mut self.trips[number];
        trip.refused += 1;
        self.refusals.push((trip.last_sent, now));
        self.first_refusal.get_or_insert(now);
    }

    /// Notes how request `number` ended for its client.
    pub(crate) fn ends(&mut self, number: usize, fate: Fate, now: Duration) {
        let trip = &mut self.trips[number];
        trip.done = now;
        trip.fate = Some(fate);
    }

    /// Notes that nobody waits any longer: what is not done lasted until now, and its fate stays open.
    pub(crate) fn breaks_off(&mut self, now: Duration) {
        for trip in self.trips.iter_mut().filter(|trip| trip.fate.is_none()) {
            trip.done = now;
            if trip.tries == 0 {
                trip.last_sent = now;
            }
        }
    }
}

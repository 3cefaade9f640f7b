//! What happened in a world, line by line.

use std::rc::Rc;
use std::time::Duration;

use sluicegate::admit::{Refusal, Reservation};
use sluicegate::units::Class;

use super::world::{Job, World};

/// What came of asking.
pub(crate) enum Out {
    Granted(Box<Reservation>),
    Refused(Refusal),
    HungUp,
}

/// A stay in the line: from asking until granted, refused or gone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stay {
    pub(crate) job: usize,
    pub(crate) came: Duration,
    pub(crate) left: Option<(Duration, Left)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Left {
    Granted,
    Refused(Refusal),
    HungUp,
}

/// What one grant took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Debit {
    pub(crate) job: usize,
    pub(crate) lane: usize,
    pub(crate) at: Duration,
    /// When the provider got it, and whether it did what it was asked.
    pub(crate) arrived: Option<(Duration, bool)>,
    /// When its headers were heard here.
    pub(crate) heard: Option<Duration>,
    /// When it ended at the provider, and here.
    pub(crate) ended: Option<Duration>,
    pub(crate) closed: Option<(Duration, Close)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    Cancelled,
    Failed,
    Settled,
    Kept,
}

/// Everything that happened.
#[derive(Debug, PartialEq)]
pub(crate) struct Book {
    world: Unread,
    pub(crate) stays: Vec<Stay>,
    pub(crate) debits: Vec<Debit>,
    /// How many waited at the end and how many debits were open; `None` if it never ended.
    pub(crate) ended: Option<(usize, usize)>,
}

/// Equal to all others: two books are compared by what happened.
#[derive(Debug)]
struct Unread(Rc<World>);

impl PartialEq for Unread {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Book {
    pub(crate) fn new(world: Rc<World>) -> Self {
        Self { world: Unread(world), stays: Vec::new(), debits: Vec::new(), ended: None }
    }

    pub(crate) fn world(&self) -> &World {
        &self.world.0
    }

    pub(crate) fn job(&self, number: usize) -> &Job {
        &self.world().jobs[number]
    }

    pub(crate) fn class(&self, number: usize) -> Class {
        self.world().apps[self.job(number).app].class
    }

    /// Returns how many came for the first time before a request: its place, unless it took another's.
    pub(crate) fn order(&self, job: usize) -> usize {
        self.stays.iter().position(|stay| stay.job == job).unwrap_or(usize::MAX)
    }

    /// Returns how many stays there were before the last one of a request.
    pub(crate) fn last_stay(&self, job: usize) -> usize {
        self.stays.iter().rposition(|stay| stay.job == job).unwrap_or(usize::MAX)
    }

    /// Tells whether a request was refused before `at`, with a time to come back at.
    pub(crate) fn has_come_back(&self, job: usize, at: Duration) -> bool {
        let refused =
            |stay: &Stay| matches!(stay.left, Some((left, Left::Refused(_))) if left < at);
        self.stays.iter().any(|stay| stay.job == job && refused(stay))
    }

    /// Tells whether the requests of an app go in the order of their arrival: none of them is like
    /// another, so that it could take its place.
    pub(crate) fn keeps_order(&self, app: usize) -> bool {
        app.is_multiple_of(2)
    }

    pub(crate) fn enters(&mut self, job: usize, at: Duration) {
        self.stays.push(Stay { job, came: at, left: None });
    }

    pub(crate) fn grants(&mut self, job: usize, lane: usize, at: Duration) -> usize {
        self.leave(job, at, Left::Granted);
        self.debits.push(Debit {
            job,
            lane,
            at,
            arrived: None,
            heard: None,
            ended: None,
            closed: None,
        });
        self.debits.len() - 1
    }

    pub(crate) fn leaves(&mut self, job: usize, at: Duration) {
        self.leave(job, at, Left::HungUp);
    }

    pub(crate) fn refuses(&mut self, job: usize, refusal: &Refusal, at: Duration) {
        self.leave(job, at, Left::Refused(refusal.clone()));
    }

    fn leave(&mut self, job: usize, at: Duration, how: Left) {
        let stay = self.stays.iter_mut().rev().find(|stay| stay.job == job).expect("it came");
        assert!(stay.left.is_none(), "{job} left twice");
        stay.left = Some((at, how));
    }

    /// Notes an arrival at the provider, which `does` what it is asked or fails.
    pub(crate) fn arrives(&mut self, debit: usize, does: bool, at: Duration) {
        self.debits[debit].arrived = Some((at, does));
    }

    pub(crate) fn hears(&mut self, debit: usize, at: Duration) {
        self.debits[debit].heard = Some(at);
    }

    pub(crate) fn ends(&mut self, debit: usize, at: Duration) {
        self.debits[debit].ended = Some(at);
    }

    pub(crate) fn closes(&mut self, debit: usize, how: Close, at: Duration) {
        self.debits[debit].closed = Some((at, how));
    }

    /// Returns what is under way through a lane after all that happened at `at`.
    pub(crate) fn open(&self, lane: usize, at: Duration) -> impl Iterator<Item = &Debit> {
        let open = move |debit: &&Debit| {
            debit.at <= at && debit.closed.is_none_or(|(closed, _)| closed > at)
        };
        self.debits.iter().filter(move |debit| debit.lane == lane).filter(open)
    }

    /// Returns how many are under way through a lane after all that happened at `at`.
    pub(crate) fn under_way(&self, lane: usize, at: Duration) -> usize {
        self.open(lane, at).count()
    }

    /// Returns who waits at `at`, but those who come or go at that very moment.
    pub(crate) fn waiting(&self, at: Duration) -> impl Iterator<Item = &Stay> {
        let waits = move |stay: &&Stay| {
            stay.came < at && stay.left.as_ref().is_none_or(|(left, _)| *left > at)
        };
        self.stays.iter().filter(waits)
    }

    /// Returns all moments at which something happened.
    pub(crate) fn moments(&self) -> Vec<Duration> {
        let stays = self.stays.iter();
        let stays =
            stays.flat_map(|stay| [Some(stay.came), stay.left.as_ref().map(|(left, _)| *left)]);
        let debits = self.debits.iter().map(|debit| debit.closed.map(|(closed, _)| closed));
        let mut moments: Vec<Duration> = stays.chain(debits).flatten().collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }
}

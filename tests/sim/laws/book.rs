//! What happened in a world, line by line, and what a naive reader makes of it.
//!
//! Nothing here calls the code under test: each level is added up anew from all debits before it.

use std::rc::Rc;
use std::time::Duration;

use sluicegate::admit::{Refusal, Reservation};
use sluicegate::limit::{Charging, Counting};
use sluicegate::units::Class;

use super::world::{Job, WINDOW, World};

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

/// So many requests and tokens.
pub(crate) type Amount = (u64, u64);

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

    fn world(&self) -> &World {
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
        self.debits.push(Debit { job, lane, at, arrived: None, ended: None, closed: None });
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

    /// Notes an arrival at the provider, and returns what that has left after it.
    pub(crate) fn arrives(&mut self, debit: usize, does: bool, at: Duration) -> Amount {
        self.debits[debit].arrived = Some((at, does));
        let lane = self.debits[debit].lane;
        let account = self.world().account(lane);
        let log = self.provider(lane, at);
        let left = |of: fn(&Amount) -> u64, limit| {
            let left = self.level(&log, of, (limit, at), Duration::ZERO);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let left = left.max(0.0) as u64;
            left
        };
        (left(|a| a.0, account.requests), left(|a| a.1, account.tokens))
    }

    pub(crate) fn ends(&mut self, debit: usize, at: Duration) {
        self.debits[debit].ended = Some(at);
    }

    pub(crate) fn closes(&mut self, debit: usize, how: Close, at: Duration) {
        self.debits[debit].closed = Some((at, how));
    }

    /// Returns what must be free for a request.
    pub(crate) fn need(&self, job: usize) -> Amount {
        let Job { input, bound, .. } = *self.job(job);
        let tokens = match self.world().charging {
            Charging::Max => input.max(bound),
            _ => input + bound,
        };
        (1, tokens)
    }

    pub(crate) fn final_charge(&self, job: usize) -> u64 {
        let Job { input, output, .. } = *self.job(job);
        if self.world().charging == Charging::Max { self.need(job).1 } else { input + output }
    }

    /// Returns what the provider has counted of a lane at `at`, in the order of arrival.
    pub(crate) fn provider(&self, lane: usize, at: Duration) -> Vec<(Duration, Amount)> {
        let of_lane = self.debits.iter().filter(|debit| debit.lane == lane);
        let arrived = of_lane.filter_map(|debit| {
            let (arrived, does) = debit.arrived.filter(|(arrived, _)| *arrived <= at)?;
            let tokens = match debit.ended {
                // What fails is charged until it has.
                Some(ended) if ended <= at && !does => 0,
                Some(ended) if ended <= at => self.final_charge(debit.job),
                _ => self.need(debit.job).1,
            };
            Some((arrived, (1, tokens)))
        });
        sorted(arrived.collect())
    }

    /// Returns what is known of a lane at `at`, in the order of the grants.
    pub(crate) fn known(&self, lane: usize, at: Duration) -> Vec<(Duration, Amount)> {
        let of_lane = self.debits.iter().filter(|debit| debit.lane == lane && debit.at <= at);
        let known = of_lane.map(|debit| {
            let amount = match debit.closed.filter(|(closed, _)| *closed <= at) {
                Some((_, Close::Cancelled)) => (0, 0),
                Some((_, Close::Failed)) => (1, 0),
                Some((_, Close::Settled)) => (1, self.final_charge(debit.job)),
                Some((_, Close::Kept)) | None => self.need(debit.job),
            };
            (debit.at, amount)
        });
        sorted(known.collect())
    }

    /// Returns what may be known of a lane at `at`, in the order of the grants: the provider's headers tell
    /// what it has given back before the answers end, and for those whose answers never come.
    pub(crate) fn told(&self, lane: usize, at: Duration) -> Vec<(Duration, Amount)> {
        let of_lane = self.debits.iter().filter(|debit| debit.lane == lane && debit.at <= at);
        let told = of_lane.map(|debit| {
            let does = debit.arrived.is_some_and(|(_, does)| does);
            let cancelled = debit.closed.filter(|(closed, _)| *closed <= at);
            let amount = match (debit.ended.filter(|ended| *ended <= at), cancelled) {
                (_, Some((_, Close::Cancelled))) => (0, 0),
                (Some(_), _) if does => (1, self.final_charge(debit.job)),
                (Some(_), _) => (1, 0),
                (None, _) => self.need(debit.job),
            };
            (debit.at, amount)
        });
        sorted(told.collect())
    }

    /// Returns how many are under way through a lane after all that happened at `at`.
    pub(crate) fn under_way(&self, lane: usize, at: Duration) -> usize {
        let open =
            |debit: &&Debit| debit.at <= at && debit.closed.is_none_or(|(closed, _)| closed > at);
        self.debits.iter().filter(|debit| debit.lane == lane).filter(open).count()
    }

    /// Returns what is left of a limit of a lane at `at`; `late`: what was debited is forgotten so much
    /// later, what refills comes so much later.
    pub(crate) fn level(
        &self,
        log: &[(Duration, Amount)],
        of: fn(&Amount) -> u64,
        (limit, at): (u64, Duration),
        late: Duration,
    ) -> f64 {
        let limit = float(limit);
        match self.world().counting {
            Counting::Bucket => {
                let rate = limit / WINDOW.as_secs_f64();
                let (mut level, mut last) = (limit, Duration::ZERO);
                for (when, amount) in log {
                    level = limit.min(level + rate * (*when - last).as_secs_f64());
                    level -= float(of(amount));
                    last = *when;
                }
                let level = limit.min(level + rate * (at - last).as_secs_f64());
                level - rate * late.as_secs_f64()
            }
            _ => {
                let stay = log.iter().filter(|(when, _)| *when + WINDOW + late > at);
                limit - stay.map(|(_, amount)| float(of(amount))).sum::<f64>()
            }
        }
    }

    /// Returns when so much will be left of a limit, if nothing else happens.
    fn when(
        &self,
        log: &[(Duration, Amount)],
        of: fn(&Amount) -> u64,
        (limit, at): (u64, Duration),
        need: u64,
    ) -> Duration {
        let level = |at| self.level(log, of, (limit, at), Duration::ZERO);
        let missing = float(need) - level(at);
        if missing <= 0.0 {
            return at;
        }
        if self.world().counting == Counting::Bucket {
            return at + WINDOW.mul_f64(missing / float(limit));
        }
        let mut ends = log.iter().map(|(when, _)| *when + WINDOW).filter(|end| *end > at);
        ends.find(|end| level(*end) >= float(need)).unwrap_or(at)
    }

    /// Returns when `need` will fit a lane, if nothing else happens.
    pub(crate) fn fits_at(
        &self,
        lane: usize,
        log: &[(Duration, Amount)],
        (need, at): (Amount, Duration),
    ) -> Duration {
        let account = self.world().account(lane);
        let requests = self.when(log, |a| a.0, (account.requests, at), need.0);
        let tokens = self.when(log, |a| a.1, (account.tokens, at), need.1);
        requests.max(tokens)
    }

    /// Returns what may have to be left free on a lane: at most and at least.
    pub(crate) fn headroom(&self, lane: usize, at: Duration) -> (Amount, Amount) {
        // Kept for ten minutes, and whoever waits for it to go is looked at within a window.
        let near = Duration::from_secs(675);
        let taken: Vec<(Duration, u64, bool)> = self
            .debits
            .iter()
            .filter(|debit| debit.lane == lane && debit.at <= at)
            .filter(|debit| self.class(debit.job) == Class::Interactive && debit.at + near > at)
            .map(|debit| {
                let Job { input, bound, .. } = *self.job(debit.job);
                (debit.at, input + bound, debit.at + Duration::from_secs(590) > at)
            })
            .collect();
        let spans = taken.iter().map(|(from, ..)| {
            let within = taken
                .iter()
                .filter(|(when, ..)| when >= from && *when <= *from + Duration::from_secs(5));
            within.fold((0, 0), |sum: Amount, (_, tokens, _)| (sum.0 + 1, sum.1 + tokens))
        });
        let most = spans.fold((0, 0), |a: Amount, b| (a.0.max(b.0), a.1.max(b.1)));
        let single = taken.iter().filter(|(.., surely)| *surely).map(|(_, tokens, _)| *tokens);
        let least = single.fold((0, 0), |a: Amount, tokens| (1, a.1.max(tokens)));
        (most, least)
    }

    /// Returns what must be free on a lane for a request with so much headroom.
    pub(crate) fn with_headroom(&self, lane: usize, need: Amount, spare: Amount) -> Amount {
        let account = self.world().account(lane);
        ((need.0 + spare.0).min(account.requests), (need.1 + spare.1).min(account.tokens))
    }

    /// Returns the lanes that a request may use and that are large enough for it.
    pub(crate) fn lanes(&self, job: usize) -> Vec<usize> {
        let need = self.need(job);
        let lanes = self.world().lanes(self.job(job).model).into_iter();
        let fits = |lane: &usize| {
            let account = self.world().account(*lane);
            need.0 <= account.requests && need.1 <= account.tokens
        };
        lanes.filter(fits).collect()
    }

    /// Returns the part of a window of a lane that a request is expected to take: at least and at most.
    pub(crate) fn share(&self, lane: usize, job: usize) -> (f64, f64) {
        let (account, need) = (self.world().account(lane), self.need(job));
        let refunds = self.world().charging != Charging::Max;
        let least = if refunds { self.job(job).input } else { need.1 };
        let share =
            |tokens| (1.0 / float(account.requests)).max(float(tokens) / float(account.tokens));
        (share(least), share(need.1))
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

fn sorted(mut log: Vec<(Duration, Amount)>) -> Vec<(Duration, Amount)> {
    log.sort_by_key(|(when, _)| *when);
    log
}

pub(crate) fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let float = count as f64;
    float
}

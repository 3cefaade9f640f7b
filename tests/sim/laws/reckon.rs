//! What a naive reader makes of a book: who had counted what by when, and what was left.
//!
//! Nothing here calls the code under test: each level is added up anew from all debits before it.

use std::time::Duration;

use sluicegate::limit::{Charging, Counting};
use sluicegate::units::Class;

use super::book::{Book, Close, Debit};
use super::world::{Amount, Job, Mode, Quota};

/// What was debited when, in the order of time.
pub(crate) type Log = Vec<(Duration, Amount)>;

/// Through which eyes a lane is looked at, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) at: Duration,
    pub(crate) mode: Mode,
    /// What was debited is forgotten so much later, what refills comes so much later.
    pub(crate) late: Duration,
    /// Whether the ends of windows are known.
    pub(crate) sees_ends: bool,
}

/// What became of a debit.
#[derive(Debug, Clone, Copy)]
enum Fared {
    Open,
    Done(Duration),
    Undone,
    Gone,
    Kept(Duration),
}

impl Look {
    pub(crate) fn late(self, late: Duration) -> Self {
        Self { late, ..self }
    }
}

impl Book {
    /// Returns how the provider itself sees a lane.
    pub(crate) fn provider_look(&self, at: Duration) -> Look {
        Look { at, mode: self.world().mode, late: Duration::ZERO, sees_ends: true }
    }

    /// Returns how a lane is seen here by who believes in `mode`.
    pub(crate) fn look(&self, lane: usize, mode: Mode, at: Duration) -> Look {
        let world = self.world();
        let told = world.told.levels && world.mode.counting == Counting::Fixed;
        let window = world.quotas(lane).iter().map(|quota| quota.window).min().unwrap_or_default();
        let since = world.begin(at, window).saturating_sub(window);
        let heard = |debit: &Debit| {
            let arrived = debit.arrived.is_some_and(|(arrived, _)| arrived >= since);
            debit.lane == lane && arrived && debit.heard.is_some_and(|heard| heard <= at)
        };
        let sees_ends = told && mode == world.mode && self.debits.iter().any(heard);
        Look { at, mode, late: Duration::ZERO, sees_ends }
    }

    /// Returns what the provider has counted of a lane at `at`.
    pub(crate) fn provider(&self, lane: usize, at: Duration) -> Log {
        self.log(lane, self.world().mode, |debit| {
            let (arrived, does) = debit.arrived.filter(|(arrived, _)| *arrived <= at)?;
            Some((arrived, fared(debit, does, at)))
        })
    }

    /// Returns what is known here of a lane at `at`.
    pub(crate) fn known(&self, lane: usize, mode: Mode, at: Duration) -> Log {
        self.known_by(lane, mode, (at, at))
    }

    /// Returns what is known here of a lane at `at` from the answers that came until `heard`.
    pub(crate) fn known_by(
        &self,
        lane: usize,
        mode: Mode,
        (at, heard): (Duration, Duration),
    ) -> Log {
        self.log(lane, mode, |debit| {
            let fared = match debit.closed.filter(|(closed, _)| *closed <= heard) {
                Some((_, Close::Cancelled)) => Fared::Gone,
                Some((_, Close::Failed)) => Fared::Undone,
                Some((closed, Close::Settled)) => Fared::Done(closed),
                Some((closed, Close::Kept)) => Fared::Kept(closed),
                None => Fared::Open,
            };
            (debit.at <= at).then_some((debit.at, fared))
        })
    }

    /// Returns what may be known here: the provider's headers tell what it has given back before the
    /// answers end, and for those whose answers never come.
    pub(crate) fn told(&self, lane: usize, mode: Mode, at: Duration) -> Log {
        self.log(lane, mode, |debit| {
            let cancelled = debit.closed.is_some_and(|(_, how)| how == Close::Cancelled);
            let fared = match debit.arrived {
                _ if cancelled => Fared::Gone,
                Some((_, does)) => fared(debit, does, at),
                None => Fared::Open,
            };
            (debit.at <= at).then_some((debit.at, fared))
        })
    }

    fn log(
        &self,
        lane: usize,
        mode: Mode,
        fared: impl Fn(&Debit) -> Option<(Duration, Fared)>,
    ) -> Log {
        let of_lane = self.debits.iter().filter(|debit| debit.lane == lane);
        let mut log: Log = of_lane
            .filter_map(|debit| Some((debit, fared(debit)?)))
            .flat_map(|(debit, fared)| charged(self.job(debit.job), fared, mode.charging))
            .collect();
        log.sort_by_key(|(when, _)| *when);
        log
    }

    /// Returns what is left of a quota.
    pub(crate) fn level(&self, log: &[(Duration, Amount)], quota: &Quota, look: Look) -> f64 {
        let Look { at, mode, late, sees_ends } = look;
        let limit = float(quota.limit);
        let debits = log.iter().filter(|(when, _)| *when <= at);
        let debits = debits.map(|(when, amount)| (*when, float((quota.of)(amount))));
        let within = |from: Duration| -> f64 {
            let used = debits.clone().filter(|(when, _)| *when + late >= from);
            used.map(|(_, amount)| amount).sum()
        };
        // The first nanosecond inside a sliding window.
        let slid = (at + Duration::from_nanos(1)).checked_sub(quota.window);
        let sliding = limit - within(slid.unwrap_or_default());
        match mode.counting {
            Counting::Bucket => {
                let rate = limit / quota.window.as_secs_f64();
                let (mut level, mut last) = (limit, Duration::ZERO);
                for (when, amount) in debits {
                    level = limit.min(level + rate * (when - last).as_secs_f64());
                    level -= amount;
                    last = when;
                }
                let level = limit.min(level + rate * (at - last).as_secs_f64());
                level - rate * late.as_secs_f64()
            }
            Counting::Fixed if sees_ends => {
                let begin = self.world().begin(at.saturating_sub(late), quota.window);
                sliding.max(limit - within(begin))
            }
            Counting::Fixed | Counting::Sliding => sliding,
        }
    }

    /// Returns when so much will be left of a quota, if nothing else happens; `None` for never.
    fn when(&self, log: &Log, quota: &Quota, look: Look, need: u64) -> Option<Duration> {
        let level = |at| self.level(log, quota, Look { at, ..look });
        let missing = float(need) - level(look.at);
        if missing <= 0.0 {
            return Some(look.at);
        }
        if need > quota.limit {
            return None;
        }
        if look.mode.counting == Counting::Bucket {
            return Some(look.at + quota.window.mul_f64(missing / float(quota.limit)));
        }
        let next = self.world().end(look.at, quota.window);
        let mut ends: Vec<Duration> = log.iter().map(|(when, _)| *when + quota.window).collect();
        ends.extend(Some(next).filter(|_| look.sees_ends));
        ends.sort_unstable();
        ends.into_iter().find(|end| *end > look.at && level(*end) >= float(need))
    }

    /// Returns when `need` will fit a lane if nothing else happens.
    pub(crate) fn fits_at(
        &self,
        lane: usize,
        (log, look): (&Log, Look),
        need: Amount,
    ) -> Option<Duration> {
        let times = self.world().quotas(lane).into_iter().map(|quota| {
            let wanted = (quota.of)(&need).min(quota.limit);
            // What a quota is not asked for it does not hold up.
            if (quota.of)(&need) == 0 {
                return Some(look.at);
            }
            self.when(log, &quota, look, wanted)
        });
        times.collect::<Option<Vec<_>>>().map(|times| times.into_iter().max().unwrap_or(look.at))
    }

    /// Returns what the provider shows of a quota: what is left, and how long until it is full again.
    pub(crate) fn shown(&self, lane: usize, quota: &Quota, at: Duration) -> (u64, Duration) {
        let (log, look) = (self.provider(lane, at), self.provider_look(at));
        let level = self.level(&log, quota, look);
        let reset = match look.mode.counting {
            Counting::Bucket => {
                quota.window.mul_f64((float(quota.limit) - level) / float(quota.limit))
            }
            Counting::Sliding => {
                let last = log.iter().rev().find(|(_, amount)| (quota.of)(amount) > 0);
                let gone = last.map_or(Duration::ZERO, |(last, _)| *last + quota.window);
                gone.saturating_sub(at)
            }
            Counting::Fixed => self.world().end(at, quota.window) - at,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let left = level.max(0.0) as u64;
        let reset = u64::try_from(reset.as_millis()).unwrap_or(u64::MAX);
        (left, Duration::from_millis(reset))
    }

    /// Returns what may have to be left free on a lane: at most and at least.
    pub(crate) fn headroom(&self, lane: usize, at: Duration) -> (Amount, Amount) {
        // Kept for ten minutes, and whoever waits for it to go is looked at within a window.
        let near = Duration::from_secs(675);
        let taken: Vec<(Duration, Amount, bool)> = self
            .debits
            .iter()
            .filter(|debit| debit.lane == lane && debit.at <= at)
            .filter(|debit| self.class(debit.job) == Class::Interactive && debit.at + near > at)
            .map(|debit| {
                let reserve = self.job(debit.job).need(Charging::Refund);
                (debit.at, reserve, debit.at + Duration::from_secs(590) > at)
            })
            .collect();
        let spans = taken.iter().map(|(from, ..)| {
            let within = taken
                .iter()
                .filter(|(when, ..)| when >= from && *when <= *from + Duration::from_secs(5));
            within.fold(Amount::default(), |sum, (_, amount, _)| sum.plus(*amount))
        });
        // Where windows have an end, as much besides as was taken in a minute.
        let lasts = self.world().mode.counting == Counting::Fixed;
        let lately = |(when, ..): &&(Duration, Amount, bool)| lasts && *when + MINUTE_AND_LOOK > at;
        let minute = taken.iter().filter(lately).map(|(_, amount, _)| *amount);
        let most = spans.fold(Amount::default(), larger);
        let most = most.plus(minute.fold(Amount::default(), Amount::plus));
        let single = taken.iter().filter(|(.., surely)| *surely).map(|(_, amount, _)| *amount);
        (most, single.fold(Amount::default(), larger))
    }

    /// Returns the lanes that a request may use and that are large enough for it.
    pub(crate) fn lanes(&self, job: usize) -> Vec<usize> {
        let (world, need) = (self.world(), self.job(job).need(self.world().mode.charging));
        let fits =
            |lane: &usize| world.quotas(*lane).iter().all(|quota| (quota.of)(&need) <= quota.limit);
        world.lanes(self.job(job).model).into_iter().filter(fits).collect()
    }

    /// Returns the part of a window of a lane that a request is expected to take: at least and at most.
    pub(crate) fn share(&self, lane: usize, job: usize) -> (f64, f64) {
        let (world, job) = (self.world(), self.job(job));
        let is_certain = world.told.mode && world.mode.charging == Charging::Max;
        let most = job.need(if is_certain { Charging::Max } else { Charging::Refund });
        let least = if is_certain { most } else { job.need(Charging::Later) };
        let part = |amount: Amount| {
            let quotas = world.quotas(lane).into_iter();
            quotas.map(|quota| float((quota.of)(&amount)) / float(quota.limit)).fold(0.0, f64::max)
        };
        (part(least), part(most))
    }
}

/// A minute, and the time within which whoever waits is looked at.
const MINUTE_AND_LOOK: Duration = Duration::from_secs(135);

fn fared(debit: &Debit, does: bool, at: Duration) -> Fared {
    match debit.ended.filter(|ended| *ended <= at) {
        Some(ended) if does => Fared::Done(ended),
        // What fails is charged until it has.
        Some(_) => Fared::Undone,
        None => Fared::Open,
    }
}

/// Returns what is debited when for a request that came at `from`.
fn charged(job: &Job, (from, fared): (Duration, Fared), charging: Charging) -> Log {
    let need = job.need(charging);
    match fared {
        Fared::Open => vec![(from, need)],
        Fared::Done(_) if charging == Charging::Refund => vec![(from, job.last(charging))],
        Fared::Done(ended) => vec![(from, need), (ended, job.late(charging))],
        // Who never corrects a charge does not for what failed.
        Fared::Undone if charging == Charging::Max => vec![(from, need)],
        Fared::Undone => vec![(from, Amount { requests: 1, ..Amount::default() })],
        Fared::Gone => Vec::new(),
        Fared::Kept(ended) => {
            vec![(from, need), (ended, Job { output: job.bound, ..job.clone() }.late(charging))]
        }
    }
}

fn larger(a: Amount, b: Amount) -> Amount {
    Amount {
        requests: a.requests.max(b.requests),
        tokens: a.tokens.max(b.tokens),
        output: a.output.max(b.output),
    }
}

pub(crate) fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let float = count as f64;
    float
}

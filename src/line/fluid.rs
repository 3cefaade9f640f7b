//! Tells anybody when its turn is expected, without walking the line.
//!
//! Within its own app the sum of what stands before a request is exact. Between apps the line is
//! taken for a fluid: by the virtual time at which a request goes, every other app of its class has
//! gone as far, or has nothing left; higher classes have gone wholly. To what waits is added what
//! comes in meanwhile, as far as an app's requests both came and went at that pace lately. Those
//! who are away count as if they waited. Where many apps wait, the curve from virtual time to time
//! is drawn once for all who ask in the same moment: the more of them, the longer that moment.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::Line;
use super::flow::{Flow, FlowId};
use super::gate::Gate;
use super::place::{Backlog, LaneId, Place, PoolId};
use crate::units::{Class, Party};

/// Where somebody stands, or would stand.
#[derive(Debug, Clone, Copy)]
pub struct Stand<'a> {
    /// On whose behalf.
    pub party: &'a Party,
    /// The lanes that it may use.
    pub pool: PoolId,
    /// Its place.
    pub place: Place,
    /// What it will be charged.
    pub cost: Backlog,
}

/// What somebody who waits may expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// How many stand before it.
    pub ahead: u64,
    /// How long until its turn.
    pub wait: Duration,
}

/// What the lanes of a pool make of a backlog.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    /// The largest part of a window that it takes of any quota.
    pub share: &'a dyn Fn(Backlog) -> f64,
    /// How long until it has gone, if it all waited now.
    pub time: &'a dyn Fn(Backlog) -> Duration,
}

/// The curve of one pool and class, drawn at one moment.
#[derive(Debug)]
pub(super) struct Curve {
    /// Until when it is good.
    until: Instant,
    /// Virtual time, seconds, requests that have gone; each rising.
    points: Vec<(f64, f64, f64)>,
}

/// One app in the fluid.
#[derive(Debug)]
struct Other {
    /// How far it is, in parts of a window per usual weight.
    tag: f64,
    weight: f64,
    backlog: Backlog,
    per_second: (f64, f64),
}

/// All apps that stand in one another's way.
struct Crowd {
    higher: Vec<Other>,
    equal: Vec<Other>,
    lower: Backlog,
}

impl<T> Line<T> {
    /// Returns what `stand` may expect.
    pub fn expected(&mut self, stand: &Stand<'_>, now: Instant, pace: &Pace<'_>) -> Expected {
        self.forget_places(now);
        let key = (stand.party.app.clone(), stand.party.class);
        let own = self.flow_ids.get(&key).copied();
        let before = self.own_before(own, stand);
        let weight = f64::from(stand.party.weight.max(1)) / USUAL;
        let virtual_time = self.tag(own, stand) + (pace.share)(before.plus(stand.cost)) / weight;
        let apps = self.apps_at(stand.pool);
        if apps > FEW {
            let curve = self.curve((stand, apps), now, pace);
            if let Some((seconds, gone)) = curve.and_then(|curve| curve.at(virtual_time)) {
                let gone = whole(gone - 1.0).max(before.requests);
                return Expected { ahead: gone, wait: seconds_of(seconds) };
            }
        }
        let crowd = self.crowd(stand, own, now);
        let (seconds, gone) = crowd.solve(virtual_time, before.plus(stand.cost), pace);
        let ahead = gone.minus(stand.cost);
        Expected { ahead: ahead.requests, wait: seconds_of(seconds) }
    }

    fn own_before(&self, own: Option<FlowId>, stand: &Stand<'_>) -> Backlog {
        let Some(flow) = own.and_then(|own| self.flows.get(&own)) else { return Backlog::NONE };
        match self.lanes(stand.pool).first().and_then(|lane| self.gates.get(lane)) {
            Some(gate) => flow.before(&gate.pools, stand.place),
            None => Backlog::NONE,
        }
    }

    /// Returns how far the app of `stand` is, or where it would begin.
    fn tag(&self, own: Option<FlowId>, stand: &Stand<'_>) -> f64 {
        let Some(lane) = self.lanes(stand.pool).first() else { return 0.0 };
        let flow = own.and_then(|own| self.flows.get(&own));
        self.lead(flow, *lane, stand.party.class)
    }

    /// Returns how far a flow is ahead of the clock of its class on `lane`.
    fn lead(&self, flow: Option<&Flow>, lane: LaneId, class: Class) -> f64 {
        let Some(gate) = self.gates.get(&lane) else { return 0.0 };
        let rank = gate.rank(class);
        let tag = flow.and_then(|flow| flow.tags.get(&lane)).copied().unwrap_or_default();
        let is_listed = flow.is_some_and(|flow| flow.listed.contains_key(&lane));
        let tag = if is_listed { tag } else { tag.max(rank.begin()) };
        tag.share() - rank.clock.share()
    }

    /// Returns the flows of a class that have somebody, in line or away, for a lane of `pool`, or had.
    fn present(&self, pool: PoolId, class: Class) -> BTreeSet<FlowId> {
        let gates = self.lanes(pool).iter().filter_map(|lane| self.gates.get(lane));
        gates.flat_map(|gate| gate.rank(class).present.iter().copied()).collect()
    }

    /// Gathers all who may stand before `stand`, but those of its own flow.
    fn crowd(&self, stand: &Stand<'_>, own: Option<FlowId>, now: Instant) -> Crowd {
        let others = |class: Class| {
            let present = self.present(stand.pool, class);
            let others = present.into_iter().filter(|flow| Some(*flow) != own);
            others.filter_map(|flow| self.other(flow, stand.pool, now)).collect::<Vec<Other>>()
        };
        let class = stand.party.class;
        let higher = Class::ALL.into_iter().filter(|other| *other > class).flat_map(others);
        let lower = Class::ALL.into_iter().filter(|other| *other < class).flat_map(others);
        Crowd {
            higher: higher.collect(),
            equal: others(class),
            lower: lower.fold(Backlog::NONE, |sum, other| sum.plus(other.backlog)),
        }
    }

    fn other(&self, id: FlowId, pool: PoolId, now: Instant) -> Option<Other> {
        let flow = self.flows.get(&id)?;
        let lanes = self.lanes(pool);
        let mut gates = lanes.iter().filter_map(|lane| Some((lane, self.gates.get(lane)?)));
        let (lane, gate) = gates.find(|(_, gate)| gate.rank(flow.class).present.contains(&id))?;
        let (came, went) = (flow.came.per_second(now), flow.went.per_second(now));
        let other = Other {
            tag: self.lead(Some(flow), *lane, flow.class),
            weight: f64::from(flow.weight.max(1)) / USUAL,
            // Who is short of its own quotas goes on at its pace, whatever waits.
            backlog: if flow.is_held { Backlog::NONE } else { flow.backlog(&gate.pools) },
            // Who has gone at a pace for a while goes on so, unless hardly anything comes any more.
            per_second: (went.0.min(2.0 * came.0), went.1.min(2.0 * came.1)),
        };
        let comes_again = other.per_second.0 * LONG > 0.05;
        (other.backlog.requests > 0 || comes_again).then_some(other)
    }

    /// Draws the curve for the pool and class of `stand`, where so many apps wait, unless it was
    /// drawn just now.
    fn curve(
        &mut self,
        (stand, apps): (&Stand<'_>, usize),
        now: Instant,
        pace: &Pace<'_>,
    ) -> Option<&Curve> {
        let key = (stand.pool, stand.party.class);
        if self.curves.get(&key).is_none_or(|curve| curve.until <= now) {
            self.curves.retain(|_, curve| curve.until > now);
            let points = self.crowd(stand, None, now).draw(pace);
            let apps = u32::try_from(apps).unwrap_or(u32::MAX);
            let until = now + FRESH.max(FRESH_PER_APP * apps);
            self.curves.insert(key, Curve { until, points });
        }
        self.curves.get(&key)
    }

    /// Returns how many apps, class by class, stand before the lanes of `pool`: where they stand
    /// before several, before the lane with the most.
    fn apps_at(&self, pool: PoolId) -> usize {
        let gates = self.lanes(pool).iter().filter_map(|lane| self.gates.get(lane));
        let apps =
            |gate: &Gate| Class::ALL.iter().map(|class| gate.rank(*class).present.len()).sum();
        gates.map(apps).max().unwrap_or(0)
    }
}

impl Crowd {
    /// Returns when, in seconds, an app that is at `virtual_time` when `own` of it has gone will be
    /// there, and all that has gone by then.
    fn solve(&self, virtual_time: f64, own: Backlog, pace: &Pace<'_>) -> (f64, Backlog) {
        let mut seconds = 0.0;
        let mut gone = Backlog::NONE;
        for _ in 0..MOST_STEPS {
            gone = self.gone(virtual_time, own, seconds, pace);
            let next = (pace.time)(gone).as_secs_f64().min(LONGEST);
            let is_near = next <= seconds * 1.005 + 0.001;
            seconds = next.max(seconds);
            if is_near {
                break;
            }
        }
        (seconds, gone)
    }

    /// Returns all that goes before and with `own`, if that takes so many seconds.
    fn gone(&self, virtual_time: f64, own: Backlog, seconds: f64, pace: &Pace<'_>) -> Backlog {
        let equal = self.equal.iter().map(|other| {
            let wants = other.wants(seconds);
            let takes = (pace.share)(wants);
            let may = ((virtual_time - other.tag) * other.weight).max(0.0);
            if takes <= may { wants } else { wants.times(may / takes) }
        });
        let same = equal.fold(own, Backlog::plus);
        let kept = same.times(KEPT_PART / (1.0 - KEPT_PART));
        let lower = Backlog {
            requests: self.lower.requests.min(kept.requests),
            tokens: self.lower.tokens.min(kept.tokens),
        };
        let most = same.times((1.0 - KEPT_PART) / KEPT_PART);
        let higher = self.higher.iter().map(|other| other.wants(seconds));
        let higher = higher.fold(Backlog::NONE, Backlog::plus);
        let higher = Backlog {
            requests: higher.requests.min(most.requests),
            tokens: higher.tokens.min(most.tokens),
        };
        same.plus(lower).plus(higher)
    }

    fn draw(&self, pace: &Pace<'_>) -> Vec<(f64, f64, f64)> {
        let ends = self
            .equal
            .iter()
            .map(|other| (other.tag, other.tag + (pace.share)(other.backlog) / other.weight));
        let range = (f64::INFINITY, f64::NEG_INFINITY);
        let (first, last) = ends.fold(range, |(first, last), (a, b)| (a.min(first), b.max(last)));
        if first >= last {
            return Vec::new();
        }
        let mut points: Vec<(f64, f64, f64)> = Vec::with_capacity(POINTS);
        for step in 0..POINTS {
            #[expect(clippy::cast_precision_loss, reason = "a few steps")]
            let at = first + (last - first) * (step as f64 / (POINTS - 1) as f64);
            let (seconds, gone) = self.solve(at, Backlog::NONE, pace);
            #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more")]
            points.push((at, seconds, gone.requests as f64));
        }
        points
    }
}

impl Curve {
    /// Returns seconds and requests gone at `virtual_time`; beyond the end as before it.
    fn at(&self, virtual_time: f64) -> Option<(f64, f64)> {
        let end = self.points.partition_point(|(at, ..)| *at < virtual_time);
        let upper = end.clamp(1, self.points.len().checked_sub(1)?);
        let (a, b) = (self.points.get(upper - 1)?, self.points.get(upper)?);
        let part = ((virtual_time - a.0) / (b.0 - a.0)).max(0.0);
        Some((a.1 + part * (b.1 - a.1), a.2 + part * (b.2 - a.2)))
    }
}

impl Other {
    /// Returns what of it there is to do within so many seconds.
    fn wants(&self, seconds: f64) -> Backlog {
        let (requests, tokens) = self.per_second;
        self.backlog
            .plus(Backlog { requests: whole(requests * seconds), tokens: whole(tokens * seconds) })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts saturate, and less than nothing is nothing"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

fn seconds_of(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, LONGEST))
}

/// A minute: whoever sends less than a twentieth of a request in it is not expected.
const LONG: f64 = 60.0;
/// With so many apps the sum over them is done for each who asks.
const FEW: usize = 32;
/// How long a curve is good for: at least this, and so much longer for each app that drawing it takes
/// no more of the time however many there are.
const FRESH: Duration = Duration::from_millis(100);
const FRESH_PER_APP: Duration = Duration::from_millis(1);
/// Of so many points a curve is made.
const POINTS: usize = 33;
/// What a lower class keeps of what passes it.
const KEPT_PART: f64 = super::turn::KEPT_PART;
const USUAL: f64 = 100.0;
const MOST_STEPS: usize = 24;
/// A day: nobody is told to wait longer.
const LONGEST: f64 = 86_400.0;

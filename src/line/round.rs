//! One look at a lane: who is tried, in which order, and what the answers mean.
//!
//! A round tries the first who wait before the lane. Those who do not fit, but are saved up for on
//! another lane, are passed; the first other is saved up for here. Then those behind it may go, if
//! that makes it no later: first the smallest of each class is probed, which settles most cases
//! with one try; if it could go, the first few in order are tried, and the smallest at last.

use tokio::time::Instant;

use super::place::{LaneId, Place, PoolId};
use super::tries::{Answer, Left, Purpose, SavedFor, Try};
use super::{Line, Saved};
use crate::units::Class;

/// One look at a lane, under way.
#[derive(Debug)]
pub(super) struct Round {
    lane: LaneId,
    stage: Stage,
    /// Tried here and not to be tried again in this round.
    passed: Vec<Place>,
    /// For whom the lane is saved up.
    blocked: Option<SavedFor>,
    look_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The first of all.
    Heads,
    /// The smallest of this class.
    Probe(Class),
    /// The first few of this class in order, then the smallest.
    Fill {
        class: Class,
        failed: usize,
        smallest: Place,
    },
    Over,
}

impl<T> Line<T> {
    /// Returns who is to be tried next; `None` when no lane is due any more. The outcome is to be
    /// told to [`answer`](Self::answer) before anything else is asked.
    pub fn next_try(&mut self) -> Option<Try> {
        loop {
            let mut round = match self.round.take() {
                Some(round) => round,
                None => self.begin()?,
            };
            if let Some(next) = self.propose(&mut round) {
                self.round = Some(round);
                return Some(next);
            }
            self.finish(&round);
        }
    }

    /// Takes in what came of the last try. Returns who leaves the line by it.
    pub fn answer(&mut self, asked: Try, answer: Answer, now: Instant) -> Option<Left<T>> {
        let mut round = self.round.take()?;
        let left = match answer {
            Answer::Goes { share } => self.goes(&mut round, asked, (share, now)),
            Answer::Never => {
                round.is_one_less();
                self.leave(asked.place).map(|waiter| Left { waiter, turn: None })
            }
            Answer::Elsewhere(pool) => {
                round.is_one_less();
                self.reroute(asked.place, pool);
                None
            }
            Answer::Fits => {
                if let Stage::Probe(class) = round.stage {
                    round.stage = Stage::Fill { class, failed: 0, smallest: asked.place };
                }
                None
            }
            Answer::Shut(at) => {
                self.close(&mut round, asked.place, at);
                None
            }
            Answer::Later(at) => {
                round.look_at = sooner(round.look_at, at);
                self.does_not_fit(&mut round, asked, at);
                None
            }
            Answer::AppShort(until) => {
                self.hold_back(&mut round, asked.place, until);
                None
            }
            Answer::Delays => {
                self.does_not_fit(&mut round, asked, None);
                None
            }
        };
        self.round = Some(round);
        left
    }

    fn begin(&mut self) -> Option<Round> {
        let lane = self.due.pop_front()?;
        self.looked_at = Some(lane);
        let gate = self.gates.get_mut(&lane)?;
        gate.is_due = false;
        gate.unshut();
        if let Some(at) = gate.look_at.take() {
            self.agenda.remove(&(at, lane));
        }
        Some(Round { lane, stage: Stage::Heads, passed: Vec::new(), blocked: None, look_at: None })
    }

    fn finish(&mut self, round: &Round) {
        self.looked_at = None;
        let Some(gate) = self.gates.get_mut(&round.lane) else { return };
        if let Some(at) = round.look_at {
            gate.look_at = Some(at);
            self.agenda.insert((at, round.lane));
        }
    }

    fn propose(&mut self, round: &mut Round) -> Option<Try> {
        let ask = |place, purpose, round: &Round| {
            Some(Try { place, lane: round.lane, before: round.blocked, purpose })
        };
        loop {
            match round.stage {
                Stage::Over => return None,
                Stage::Heads => {
                    if round.passed.len() > MOST_PASSED {
                        return None;
                    }
                    let (place, _) = self.first(round.lane, &round.passed)?;
                    return ask(place, Purpose::Go, round);
                }
                Stage::Probe(class) => match self.worth_probing(round, class) {
                    Some(place) => return ask(place, Purpose::Probe, round),
                    None => round.stage = below(class),
                },
                Stage::Fill { class, failed, smallest } => {
                    let next = self.in_order(round.lane, class, &self.skipped(round));
                    let place = next.filter(|_| failed < MOST_FAILED).unwrap_or(smallest);
                    return ask(place, Purpose::Go, round);
                }
            }
        }
    }

    fn goes(
        &mut self,
        round: &mut Round,
        asked: Try,
        (share, now): (f64, Instant),
    ) -> Option<Left<T>> {
        let class = self.waiters.get(&asked.place)?.request.party.class;
        self.accrue(round.lane, class, share);
        let waiter = self.leave(asked.place)?;
        let pool = waiter.request.pool;
        if let Some(flow) = self.flows.get_mut(&waiter.flow) {
            flow.went.add(waiter.request.cost, now);
        }
        let turn = self.charge(waiter.flow, (pool, round.lane), share);
        // Elsewhere the next of its app may come forward, where nobody holds the class up.
        for lane in self.lanes(pool).to_vec() {
            let gate = self.gates.get(&lane);
            if lane != round.lane && gate.is_some_and(|gate| gate.rank(class).saved_for.is_none()) {
                self.ring(lane);
            }
        }
        round.is_one_less();
        Some(Left { waiter, turn })
    }

    /// Decides what becomes of one who does not fit on the lane of the round before `at`.
    fn does_not_fit(&mut self, round: &mut Round, asked: Try, at: Option<Instant>) {
        let Some(waiter) = self.waiters.get(&asked.place) else { return };
        let (class, size) = (waiter.request.party.class, waiter.request.size);
        match round.stage {
            Stage::Heads => self.save_up(round, asked.place, at),
            Stage::Probe(probed) => {
                self.shut(round.lane, class, size);
                round.stage = below(probed);
            }
            Stage::Fill { class, failed, smallest } => {
                round.stage = if asked.place == smallest {
                    below(class)
                } else {
                    Stage::Fill { class, failed: failed + 1, smallest }
                };
                round.passed.push(asked.place);
            }
            Stage::Over => {}
        }
    }

    /// Saves up for the first of the lane, unless another lane is predicted to fit it sooner.
    fn save_up(&mut self, round: &mut Round, place: Place, at: Option<Instant>) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let (class, size, pool) =
            (waiter.request.party.class, waiter.request.size, waiter.request.pool);
        match waiter.saved {
            Some(saved) if saved.lane != round.lane && !is_sooner(at, saved.at) => {
                round.passed.push(place);
                return;
            }
            Some(saved) if saved.lane != round.lane => self.unsave(place),
            Some(saved) if is_sooner(saved.at, at) => {
                // It moved away: another lane may be the sooner one by now.
                self.ring_others(pool, round.lane);
            }
            _ => {}
        }
        let Some(gate) = self.gates.get_mut(&round.lane) else { return };
        let displaced = gate.rank_mut(class).saved_for.replace(place);
        if let Some(displaced) = displaced.filter(|displaced| *displaced != place)
            && let Some(waiter) = self.waiters.get_mut(&displaced)
        {
            waiter.saved = None;
        }
        if let Some(waiter) = self.waiters.get_mut(&place) {
            waiter.saved = Some(Saved { lane: round.lane, at });
        }
        let by_credit = self.is_covered(round.lane, class, place);
        let closes = if by_credit { Class::Interactive } else { class };
        round.blocked = Some(SavedFor { place, at });
        round.stage = Stage::Probe(closes);
        for class in Class::ALL.into_iter().filter(|class| *class <= closes) {
            self.shut(round.lane, class, size);
        }
    }

    /// Ends the round of a lane that lets nobody go before `at`. Nobody is saved up for there.
    fn close(&mut self, round: &mut Round, place: Place, at: Option<Instant>) {
        round.look_at = sooner(round.look_at, at);
        round.stage = Stage::Over;
        for class in Class::ALL {
            self.shut(round.lane, class, 0);
        }
        let Some(waiter) = self.waiters.get_mut(&place) else { return };
        if waiter.saved.take_if(|saved| saved.lane == round.lane).is_none() {
            return;
        }
        let (class, pool) = (waiter.request.party.class, waiter.request.pool);
        if let Some(gate) = self.gates.get_mut(&round.lane) {
            gate.rank_mut(class).saved_for.take_if(|saved| *saved == place);
        }
        self.ring_others(pool, round.lane);
    }

    /// Holds back the app of `place`. Where the lane was saved up for one of that, it is looked at from the front.
    fn hold_back(&mut self, round: &mut Round, place: Place, until: Option<Instant>) {
        self.hold(place, until);
        round.is_one_less();
        let saved = round.blocked.and_then(|saved| self.waiters.get(&saved.place));
        if saved.is_some_and(|waiter| self.is_held(&waiter.request.party.app)) {
            round.blocked = None;
            round.stage = Stage::Heads;
            if let Some(gate) = self.gates.get_mut(&round.lane) {
                gate.unshut();
            }
        }
    }

    /// Lets one who waits go on waiting for the lanes of another pool, at its place.
    pub fn reroute(&mut self, place: Place, pool: PoolId) {
        self.delist(place);
        let Some(waiter) = self.waiters.get_mut(&place) else { return };
        let before = std::mem::replace(&mut waiter.request.pool, pool);
        let flow = waiter.flow;
        self.enlist(place);
        self.tidy(flow, before);
    }

    fn ring_others(&mut self, pool: PoolId, lane: LaneId) {
        for other in self.lanes(pool).to_vec() {
            if other != lane {
                self.ring(other);
            }
        }
    }

    /// Returns the class by whose rules somebody goes on `lane`: the highest for the first of a lower
    /// one whose credit covers it, which leaves nothing free for those it goes before.
    pub fn goes_as(&self, lane: LaneId, place: Place) -> Option<Class> {
        let class = self.waiters.get(&place)?.request.party.class;
        let by_credit =
            self.is_covered(lane, class, place) && self.leader(lane, class, &[]) == Some(place);
        Some(if by_credit { Class::Interactive } else { class })
    }

    /// Returns the first of all who wait before `lane`, with its class.
    fn first(&self, lane: LaneId, passed: &[Place]) -> Option<(Place, Class)> {
        let lower = [Class::Standard, Class::Batch].into_iter();
        let covered = lower.filter_map(|class| {
            let place = self.leader(lane, class, &[])?;
            let goes = self.is_covered(lane, class, place) && !passed.contains(&place);
            goes.then_some((place, class))
        });
        let mut by_class = Class::ALL
            .into_iter()
            .filter_map(|class| Some((self.leader(lane, class, passed)?, class)));
        covered.into_iter().next().or_else(|| by_class.next())
    }

    /// Returns the first of a class: who came back when its turn was said to come, for whom the lane
    /// is saved up, else by the order of its app.
    pub(super) fn leader(&self, lane: LaneId, class: Class, passed: &[Place]) -> Option<Place> {
        let rank = self.gates.get(&lane)?.rank(class);
        if let Some(due) = rank.due.iter().find(|(_, place)| !passed.contains(place)) {
            return Some(due.1);
        }
        let saved = rank.saved_for;
        let Some(saved) = saved.filter(|place| !passed.contains(place)) else {
            return self.in_order(lane, class, passed);
        };
        // One of the same app may have come back to an earlier place.
        let gate = self.gates.get(&lane)?;
        let flow = self.waiters.get(&saved).and_then(|waiter| self.flows.get(&waiter.flow));
        let head = flow.and_then(|flow| flow.head(&gate.pools, passed));
        Some(head.map_or(saved, |head| head.min(saved)))
    }

    fn in_order(&self, lane: LaneId, class: Class, skip: &[Place]) -> Option<Place> {
        let gate = self.gates.get(&lane)?;
        let mut apps = gate.rank(class).order.iter();
        apps.find_map(|(_, _, flow)| self.flows.get(flow)?.head(&gate.pools, skip))
    }

    /// Tells whether the credit of its class covers a request, so that it goes before all.
    fn is_covered(&self, lane: LaneId, class: Class, place: Place) -> bool {
        let Some(gate) = self.gates.get(&lane) else { return false };
        let Some(waiter) = self.waiters.get(&place) else { return false };
        let needed = super::flow::Tag::of(waiter.request.share);
        class != Class::Interactive && needed.0 > 0 && gate.rank(class).credit >= needed
    }

    /// Returns the smallest of a class, if it may fit although the blocked one does not.
    fn worth_probing(&self, round: &Round, class: Class) -> Option<Place> {
        let rank = self.gates.get(&round.lane)?.rank(class);
        let (size, place) = rank.smallest(&self.skipped(round))?;
        let is_smaller = rank.shut_from.is_none_or(|least| size < least);
        is_smaller.then_some(place)
    }

    fn skipped(&self, round: &Round) -> Vec<Place> {
        let blocked = round.blocked.map(|saved| saved.place);
        round.passed.iter().copied().chain(blocked).collect()
    }

    fn shut(&mut self, lane: LaneId, class: Class, from: u64) {
        let Some(gate) = self.gates.get_mut(&lane) else { return };
        let rank = gate.rank_mut(class);
        rank.shut_from = Some(rank.shut_from.map_or(from, |least| least.min(from)));
    }
}

impl Round {
    /// Goes on after somebody left who was not granted.
    fn is_one_less(&mut self) {
        if let Stage::Fill { class, .. } = self.stage {
            self.stage = Stage::Probe(class);
        }
    }
}

fn below(class: Class) -> Stage {
    match class {
        Class::Interactive => Stage::Probe(Class::Standard),
        Class::Standard => Stage::Probe(Class::Batch),
        Class::Batch => Stage::Over,
    }
}

fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Tells whether `a` comes before `b`; what has no time comes last.
fn is_sooner(a: Option<Instant>, b: Option<Instant>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a < b,
        (a, b) => a.is_some() && b.is_none(),
    }
}

/// So many who are saved up for elsewhere are tried in a round.
const MOST_PASSED: usize = 16;
/// So many are tried in order before the smallest is taken.
const MOST_FAILED: usize = 3;

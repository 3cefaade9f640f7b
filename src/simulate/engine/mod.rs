//! The provider as a state machine: who is admitted, who is refused, and what it costs.
//!
//! # What this module owns
//!
//! Organisations and their keys, the meters of every organisation and model, the traffic of others,
//! and the statistics. [`Engine::admit`] debits a request or refuses it, [`Engine::finish`] settles
//! it. For the oracle's key requests wait instead: [`Engine::queue`], [`Engine::grant`].
//!
//! # What this module does not do
//!
//! It knows no sockets, no JSON and no clock: `now` is the time since the start and an argument of
//! everything, so that the same provider runs over sockets and in simulated time. It shares no code
//! with [`crate::limit`], which is checked against it.
//!
//! # Invariants
//!
//! 1. A request is debited from all meters of its lane or from none.
//! 2. No fixed or sliding window is over its limit, and no bucket gives more than its capacity and
//!    refill, where limits are enforced; what is charged when it is known ([`Charging::Later`],
//!    [`Charging::Split`]) may go into debt, which later requests wait out.
//! 3. Every meter: level = level at the start + refill - charged - cut off.
//! 4. What happens depends on the rules, the seed and the calls alone.

mod answer;
mod bucket;
mod charge;
mod foreign;
mod keys;
mod lane;
mod meter;
mod oracle;
mod path;
mod rules;
mod stats;
#[cfg(test)]
mod tests;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use self::answer::refusal;
use self::charge::Knowledge;
use self::keys::{Denial, Holder, KeyId, Keys};
use self::lane::{Lane, Shortage};
use self::meter::nanos;
use self::oracle::{Head, Lines};

pub use self::answer::{Admission, Caller, Decided, Grants, Refusal, Refused429, Ticket};
pub use self::charge::{Cost, Metric, Outcome};
pub use self::lane::Shown;
pub use self::meter::Reading;
pub use self::rules::{
    AbsentMax, Charging, Counting, Enforcement, Estimator, ForeignFlow, Key, KeyState, LimitChange,
    LimitRule, Limits, Organisation, RefundAt, Refusals, Rules, Slices,
};
pub use self::stats::{Denied, LaneStats, MeterStats, Refused, Second, Stats, Tally};

/// The simulated provider without its sockets.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    keys: Keys,
    lanes: Vec<Lane>,
    /// Per organisation: the lane of each model seen, and of each shared rule.
    places: Vec<Places>,
    lines: Lines,
    denied: Denied,
    now: u64,
    life: u64,
}

#[derive(Debug, Default)]
struct Places {
    by_model: HashMap<String, usize>,
    by_rule: HashMap<usize, usize>,
}

impl Engine {
    /// Creates a provider by its rules, at time zero.
    pub fn new(rules: Rules) -> Self {
        let places = rules.organisations.iter().map(|_| Places::default()).collect();
        Self {
            keys: Keys::new(&rules),
            rules,
            lanes: Vec::new(),
            places,
            lines: Lines::default(),
            denied: Denied::default(),
            now: 0,
            life: 0,
        }
    }

    /// Returns the rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Tells who `key` belongs to.
    ///
    /// # Errors
    ///
    /// [`Refusal::InvalidKey`] or [`Refusal::OutOfQuota`] where it does not work.
    pub fn caller(&mut self, key: &str, now: Duration) -> Result<Caller, Refusal> {
        let now = self.advance(now);
        match self.keys.holder(key, now) {
            Ok(Holder::Oracle) => Ok(Caller::Oracle),
            Ok(Holder::Organisation(id)) => Ok(Caller::Organisation(self.name(id.organisation))),
            Err(denial) => Err(self.deny(denial)),
        }
    }

    /// Debits a request of `key` for `model`.
    ///
    /// # Errors
    ///
    /// Every [`Refusal`]. Nothing is debited then, but for one request where a limit of tokens has
    /// no room and [`Refusals::Counted`] holds. The oracle's key is an invalid one here.
    pub fn admit(
        &mut self,
        key: &str,
        model: &str,
        cost: &Cost,
        now: Duration,
    ) -> Result<Admission, Refusal> {
        let now = self.advance(now);
        let id = match self.keys.holder(key, now) {
            Ok(Holder::Organisation(id)) => id,
            Ok(Holder::Oracle) => return Err(self.deny(Denial::Invalid)),
            Err(denial) => return Err(self.deny(denial)),
        };
        let lane = self.lane(id.organisation, model).ok_or_else(|| self.no_model())?;
        let enforcement = self.rules.enforcement;
        let Some(chosen) = self.lanes.get_mut(lane) else {
            return Err(self.no_model());
        };
        chosen.advance(now, enforcement);
        if enforcement == Enforcement::On
            && let Err(shortage) = chosen.room(cost, Knowledge::Stated, now)
        {
            chosen.refuse(shortage, now);
            return Err(refusal(chosen, shortage, now));
        }
        self.take(id, lane, cost, Knowledge::Stated).ok_or_else(|| self.no_model())
    }

    /// Lets a request wait until a limit of any organisation has room, and returns its number.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`] where it can never fit, [`Refusal::NoModel`] and
    /// [`Refusal::InvalidKey`] where nobody can serve it.
    pub fn queue(&mut self, model: &str, cost: &Cost, now: Duration) -> Result<u64, Refusal> {
        let now = self.advance(now);
        let organisations = 0..self.rules.organisations.len();
        let lanes: Vec<_> = organisations.filter_map(|owner| self.lane(owner, model)).collect();
        if lanes.is_empty() {
            return Err(self.no_model());
        }
        let mut too_large = None;
        for lane in &lanes {
            let Some(lane) = self.lanes.get_mut(*lane) else {
                continue;
            };
            match lane.room(cost, Knowledge::Foreseen, now) {
                Err(shortage @ Shortage::TooLarge { .. }) => {
                    too_large = Some(refusal(lane, shortage, now));
                }
                _ => return Ok(self.lines.join(lanes, *cost)),
            }
        }
        Err(too_large.unwrap_or(Refusal::NoModel))
    }

    /// Takes a waiting request out of the line.
    pub fn leave(&mut self, number: u64) {
        self.lines.leave(number);
    }

    /// Grants every waiting request whose turn it is and for which there is room.
    pub fn grant(&mut self, now: Duration) -> Grants {
        let now = self.advance(now);
        let mut grants = Grants::default();
        let mut heads = self.lines.heads();
        while !heads.is_empty() {
            let mut decided = 0;
            for Head { lanes, number, cost } in heads {
                let outcome = match self.try_grant(&lanes, &cost, now) {
                    Try::Granted(admission) => Ok(*admission),
                    Try::Nobody => Err(Refusal::InvalidKey),
                    Try::Wait(wait) => {
                        let sooner = grants.look_again.into_iter().chain(wait).min();
                        grants.look_again = sooner;
                        continue;
                    }
                };
                self.lines.leave(number);
                grants.decided.push(Decided { number, outcome });
                decided += 1;
            }
            heads = if decided > 0 { self.lines.heads() } else { Vec::new() };
            if decided > 0 {
                grants.look_again = None;
            }
        }
        grants
    }

    /// Settles a request that is over.
    pub fn finish(&mut self, ticket: Ticket, outcome: Outcome, now: Duration) {
        let now = self.advance(now);
        let enforcement = self.rules.enforcement;
        if ticket.life != self.life {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(ticket.lane) {
            lane.advance(now, enforcement);
            lane.settle(ticket.debits, &ticket.cost, outcome, now);
        }
    }

    /// Returns what has happened.
    pub fn stats(&mut self, now: Duration) -> Stats {
        let now = self.advance(now);
        let enforcement = self.rules.enforcement;
        let lanes = self.lanes.iter_mut().map(|lane| {
            lane.advance(now, enforcement);
            lane.stats(now)
        });
        Stats {
            elapsed: Duration::from_nanos(now),
            denied: self.denied,
            oracle_waiting: self.lines.waiting(),
            lanes: lanes.collect(),
        }
    }

    /// Starts again from time zero, which is `now` from here on for the caller: meters full, keys
    /// alive, nothing counted. Requests under way are forgotten and those that wait are let go.
    pub fn reset(&mut self) {
        let life = self.life + 1;
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        *self = Self { life, lines, ..Self::new(self.rules.clone()) };
    }

    fn try_grant(&mut self, lanes: &[usize], cost: &Cost, now: u64) -> Try {
        let enforcement = self.rules.enforcement;
        let mut soonest: Option<Duration> = None;
        let mut anybody = false;
        for index in lanes {
            let owner = self.owner(*index);
            let Some(id) = owner.and_then(|owner| self.keys.first_live(owner, now)) else {
                continue;
            };
            let Some(lane) = self.lanes.get_mut(*index) else {
                continue;
            };
            lane.advance(now, enforcement);
            let room = match enforcement {
                Enforcement::On => lane.room(cost, Knowledge::Foreseen, now),
                Enforcement::Off => Ok(()),
            };
            match room {
                Ok(()) => {
                    let taken = self.take(id, *index, cost, Knowledge::Foreseen);
                    return taken
                        .map_or(Try::Nobody, |admission| Try::Granted(Box::new(admission)));
                }
                Err(Shortage::Later { wait, .. }) => {
                    anybody = true;
                    soonest = Some(soonest.map_or(wait, |other| other.min(wait)));
                }
                Err(Shortage::Concurrency { .. }) => anybody = true,
                Err(Shortage::TooLarge { .. }) => {}
            }
        }
        if anybody { Try::Wait(soonest) } else { Try::Nobody }
    }

    fn take(
        &mut self,
        id: KeyId,
        index: usize,
        cost: &Cost,
        knows: Knowledge,
    ) -> Option<Admission> {
        let now = self.now;
        let lane = self.lanes.get_mut(index)?;
        let debits = lane.take(cost, knows, now);
        self.keys.admitted(id);
        Some(Admission {
            ticket: Ticket { lane: index, cost: *cost, debits, life: self.life },
            organisation: Arc::clone(&lane.organisation),
            shown: lane.shown(now),
        })
    }

    /// Returns the lane of an organisation for `model`; `None` where there is no such model.
    fn lane(&mut self, owner: usize, model: &str) -> Option<usize> {
        if let Some(lane) = self.places.get(owner)?.by_model.get(model) {
            return Some(*lane);
        }
        if !self.rules.has_model(model) || self.places.get(owner)?.by_model.len() >= MOST_MODELS {
            return None;
        }
        let organisation = self.rules.organisations.get(owner)?;
        let mut rules = organisation.rules.iter().enumerate();
        let rule = rules.find(|(_, rule)| rules::matches(&rule.models, model));
        let shared = rule.filter(|(_, rule)| rule.shared).map(|(index, _)| index);
        let places = self.places.get_mut(owner)?;
        let lane = match shared.and_then(|rule| places.by_rule.get(&rule)) {
            Some(lane) => *lane,
            None => {
                let name = rule.filter(|(_, rule)| rule.shared);
                let name = name.map_or(model, |(_, rule)| rule.models.as_str());
                let limits = rule.map(|(_, rule)| rule.limits.clone()).unwrap_or_default();
                let seed = self.rules.seed ^ ((owner as u64) << 32) ^ self.lanes.len() as u64;
                let epoch = self.rules.epoch;
                let lane = Lane::new(&organisation.name, name.into(), limits, epoch, seed);
                self.lanes.push(lane);
                self.lanes.len() - 1
            }
        };
        if let Some(rule) = shared {
            places.by_rule.insert(rule, lane);
        }
        places.by_model.insert(model.to_owned(), lane);
        Some(lane)
    }

    fn owner(&self, lane: usize) -> Option<usize> {
        let name = &self.lanes.get(lane)?.organisation;
        self.rules.organisations.iter().position(|owner| owner.name == *name)
    }

    fn name(&self, organisation: usize) -> Arc<str> {
        let owner = self.rules.organisations.get(organisation);
        owner.map_or_else(|| Arc::from(""), |owner| Arc::clone(&owner.name))
    }

    fn deny(&mut self, denial: Denial) -> Refusal {
        match denial {
            Denial::Invalid => {
                self.denied.invalid_key += 1;
                Refusal::InvalidKey
            }
            Denial::OutOfQuota { organisation } => {
                self.denied.out_of_quota += 1;
                Refusal::OutOfQuota { organisation: self.name(organisation) }
            }
        }
    }

    fn no_model(&mut self) -> Refusal {
        self.denied.no_model += 1;
        Refusal::NoModel
    }

    /// Time never goes back: who read the clock before another but came later counts for the same
    /// instant.
    fn advance(&mut self, now: Duration) -> u64 {
        self.now = self.now.max(nanos(now));
        self.now
    }
}

enum Try {
    Granted(Box<Admission>),
    Wait(Option<Duration>),
    Nobody,
}

/// The most models of one organisation; further names do not exist.
const MOST_MODELS: usize = 1024;

//! What a lane has learned that is worth keeping over a restart, and how it comes back.
//!
//! # What this module owns
//!
//! [`Learned`], the form that is written down: limits that answers told, what is used of each quota
//! as debits of the past, how long outputs were, how late requests get there. A new lane recalls it by
//! replaying these debits at their own times, so whatever has left or refilled meanwhile has.
//!
//! # What this module does not do
//!
//! It writes nothing: who keeps a lane's memory says how old it is, and how its last use ended
//! ([`Absence`]). Limits that are configured come from the configuration, not from here.
//!
//! # Invariants
//!
//! 1. A recalled quota never has more left than the kept one would have now, as long as nothing was
//!    debited beyond the twentieth that [`Lane::has_drifted`] bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::QuotaKind;
use super::bank::Bank;
use super::charge::{Charge, Refunds, Way};
use super::estimate::Estimates;
use super::hold::Hold;
use super::lane::Lane;
use super::meter::End;
use super::moment::{Moment, nanos};
use super::outputs::Outputs;
use super::past_use::PastUse;
use super::score::Score;
use super::settings::{Charging, Counting};

/// What a lane has learned, fit to be written down. It holds numbers only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    quotas: Vec<LearnedQuota>,
    #[serde(default)]
    outputs: Outputs,
    /// Whether an answer was ever seen.
    #[serde(default)]
    met: bool,
    /// What is charged for an absent output bound.
    #[serde(default)]
    absent_max: Option<u64>,
    /// How prompts are estimated.
    #[serde(default)]
    estimates: Estimates,
    /// How much later than another one request may get there, in nanoseconds.
    #[serde(default)]
    grace_ns: u64,
    /// For want of what nothing goes yet, and for how many milliseconds.
    #[serde(default)]
    hold: Option<(QuotaKind, u64)>,
}

impl Learned {
    /// The version of the form. One that reads another version's numbers wrongly must raise it;
    /// fields may be added without, if they have a default.
    pub const VERSION: u32 = 1;
}

/// What is kept of one quota.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LearnedQuota {
    quota: QuotaKind,
    /// The limit that the provider told; `None` where only the configuration says it.
    told: Option<u64>,
    /// What is used, the oldest first.
    #[serde(default)]
    used: Vec<PastDebit>,
    /// When the present window ends, at the earliest and at the latest, in milliseconds.
    #[serde(default)]
    ends_ms: Option<(u64, u64)>,
    /// What was believed of it.
    #[serde(default)]
    beliefs: Vec<LearnedBelief>,
}

/// How well one belief about a quota did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LearnedBelief {
    counting: Counting,
    charging: Option<Charging>,
    refunds: Refunds,
    score: Score,
}

impl LearnedBelief {
    /// Creates what is kept of a belief.
    pub(super) fn new(way: Way, score: Score) -> Self {
        let Way { counting, charging, refunds } = way;
        Self { counting, charging, refunds, score }
    }

    /// Returns the score of the belief in `way`, if it was this one.
    pub(super) fn score_of(&self, way: Way) -> Option<Score> {
        (Self::new(way, self.score) == *self).then(|| self.score.sane())
    }
}

/// What was debited in one span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PastDebit {
    /// How long ago its latest part was, in milliseconds.
    pub(super) ago_ms: u64,
    pub(super) amount: u64,
}

/// How long a lane was not there, and how its last use ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// The time since [`Lane::learned`] was asked.
    pub lasted: Duration,
    /// How its last use ended.
    pub end: LastEnd,
}

/// How the last use of a lane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastEnd {
    /// Nothing was sent after it was kept: its levels are known as well as after an idle spell.
    Clean,
    /// The program was cut off: more may have been sent, but less than makes a lane drift.
    Cut,
}

impl Lane {
    /// Returns what is worth keeping, as of `now`; `None` where nothing was learned or used. What
    /// is debited from now on counts for [`has_drifted`](Self::has_drifted).
    pub fn learned(&mut self, now: Instant) -> Option<Learned> {
        let now = self.time.advance(now);
        self.drift = Charge::default();
        let quotas: Vec<LearnedQuota> =
            self.banks.iter().map(|bank| self.keep_bank(bank, now)).collect();
        let is_empty = quotas.iter().all(|quota| quota.told.is_none() && quota.used.is_empty());
        let learned = Learned {
            quotas,
            outputs: self.outputs.clone(),
            met: self.contact.is_made(),
            absent_max: self.absent_max(),
            estimates: self.estimates,
            grace_ns: self.grace.nanos(),
            hold: self
                .hold
                .map(|hold| hold.end())
                .filter(|(_, at)| *at > now)
                .map(|(kind, at)| (kind, millis(at.since(now)))),
        };
        (!is_empty || self.outputs.is_known()).then_some(learned)
    }

    /// Returns whether more than a twentieth of a quota was debited since [`learned`](Self::learned)
    /// was asked last: then it is time to keep it again.
    pub fn has_drifted(&self) -> bool {
        let over = |bank: &Bank| {
            let debited = self.drift.of(bank.kind, bank.charging(self.leading));
            debited.saturating_mul(UNSURE) > bank.limit()
        };
        self.banks.iter().any(over)
    }

    /// Takes over what was kept. Only for a lane of which nothing was debited yet.
    ///
    /// After a [`LastEnd::Clean`] end the lane goes on as after an idle spell. After a cut one a
    /// twentieth more is taken to be used, and first contact is made with the caution that a
    /// configured limit gets. What is known to have been `sent` since it was kept is debited, too.
    pub fn recall(&mut self, learned: &Learned, absence: Absence, sent: &[PastUse], now: Instant) {
        let lasted = nanos(absence.lasted);
        let debits = learned.quotas.iter().flat_map(|quota| &quota.used);
        let oldest = debits.map(|debit| from_millis(debit.ago_ms)).max().unwrap_or(0);
        let sent_first = sent.iter().map(|sent| nanos(sent.ago)).max().unwrap_or(0);
        self.time.begin_earlier(lasted.saturating_add(oldest).max(sent_first));
        let now = self.time.advance(now);
        let kept = now.minus(lasted);
        self.grace.recall(learned.grace_ns, now);
        for quota in &learned.quotas {
            self.recall_quota(quota, kept);
        }
        self.outputs = learned.outputs.clone().sane();
        self.absent.recall(learned.absent_max);
        self.estimates.recall(&learned.estimates);
        self.leading = self.most_likely_charging();
        self.recall_sent(sent, now);
        let held = learned.hold.map(|(kind, ms)| (kind, kept.plus(from_millis(ms))));
        self.hold = held.filter(|(_, at)| *at > now).map(|(kind, at)| Hold::new(kind, at, now));
        match absence.end {
            LastEnd::Clean if learned.met => self.contact.make(),
            LastEnd::Clean => {}
            LastEnd::Cut => self.doubt(now),
        }
    }

    fn keep_bank(&self, bank: &Bank, now: Moment) -> LearnedQuota {
        let grace = self.grace.nanos();
        let mut used =
            bank.likeliest().map(|belief| belief.meter.past(now, grace)).unwrap_or_default();
        let to_come = self.under_way.reserve(&self.outputs);
        if bank.charging(self.leading).is_later(bank.kind) && to_come > 0 {
            used.push(PastDebit { ago_ms: 0, amount: to_come });
        }
        let mut ends = bank.beliefs.iter().filter_map(|belief| belief.meter.end(now));
        let ends_ms = ends.next().map(|end| {
            (millis(end.earliest.since(now)), millis(end.latest.since(now)).saturating_add(1))
        });
        let beliefs = bank.beliefs.iter();
        let beliefs = beliefs.map(|belief| LearnedBelief::new(belief.way, belief.score)).collect();
        LearnedQuota { quota: bank.kind, told: bank.told(), used, ends_ms, beliefs }
    }

    fn recall_quota(&mut self, learned: &LearnedQuota, kept: Moment) {
        let kind = learned.quota;
        let grace = self.grace.nanos();
        if let Some(told) = learned.told.filter(|told| *told > 0) {
            let begin = Moment::default();
            if !QuotaKind::COUNTED.contains(&kind) {
                return;
            }
            if self.banks.iter().all(|bank| bank.kind != kind) {
                let bank = self.new_bank(kind, told, begin);
                self.banks.push(bank);
            }
            if let Some(bank) = self.bank_mut(kind) {
                bank.learn_limit(told, begin, begin);
            }
        }
        let Some(bank) = self.bank_mut(kind) else { return };
        bank.recall(&learned.beliefs);
        for belief in &mut bank.beliefs {
            for debit in &learned.used {
                let at = kept.minus(from_millis(debit.ago_ms));
                belief.meter.debit(debit.amount, at, grace);
            }
            if let Some((earliest, latest)) = learned.ends_ms {
                let [earliest, latest] = [earliest, latest].map(|ms| kept.plus(from_millis(ms)));
                belief.meter.learn_end(End { earliest, latest }, kept, grace);
            }
        }
    }

    /// Takes as much to be used as may have been since it was kept.
    fn doubt(&mut self, now: Moment) {
        let grace = self.grace.nanos();
        let limit = |kind| self.banks.iter().find(|bank| bank.kind == kind).map(Bank::limit);
        let minutes = (limit(QuotaKind::RequestsPerMinute), limit(QuotaKind::TokensPerMinute));
        for bank in &mut self.banks {
            let of_minute = match bank.kind {
                QuotaKind::RequestsPerDay => minutes.0,
                QuotaKind::TokensPerDay => minutes.1,
                _ => None,
            };
            let limit = bank.limit();
            let unsure = of_minute.map_or(limit, |most| most.min(limit)).div_ceil(UNSURE);
            for belief in &mut bank.beliefs {
                belief.meter.debit(unsure, now, grace);
            }
        }
    }

    fn bank_mut(&mut self, kind: QuotaKind) -> Option<&mut Bank> {
        self.banks.iter_mut().find(|bank| bank.kind == kind)
    }
}

/// What is debited between two keepings is at most so small a part of a quota, or one request.
const UNSURE: u64 = 20;

fn millis(nanos: u64) -> u64 {
    nanos / 1_000_000
}

fn from_millis(millis: u64) -> u64 {
    millis.saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests;

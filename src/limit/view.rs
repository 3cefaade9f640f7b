//! What a lane tells of itself without changing: headroom, levels.

use std::time::Duration;

use tokio::time::Instant;

use super::bank::Bank;
use super::cost::Cost;
use super::hearing::ENOUGH;
use super::hypothesis::Hypothesis;
use super::lane::Lane;
use super::meter::float;
use super::moment::Moment;
use super::{Belief, QuotaKind, QuotaLevel, Sureness};

impl Lane {
    /// Returns the least headroom of all quotas as a share of their limits; 1 is full, negative is
    /// debt.
    pub fn headroom(&self, now: Instant) -> f64 {
        let now = self.time.peek(now);
        let slots = self.slots.most.zip(self.slots.free());
        let slots = slots.map(|(most, free)| float(free) / float(most.max(1)));
        let shares = self.banks.iter().filter(|bank| !bank.kind.is_slice()).map(|bank| {
            #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
            let room = self.room(bank, now) as f64;
            room / float(bank.limit())
        });
        shares.chain(slots).fold(1.0, f64::min)
    }

    /// Returns the state of every quota.
    pub fn levels(&self, now: Instant) -> Vec<QuotaLevel> {
        let now = self.time.peek(now);
        let grace = self.grace.nanos();
        let meters = self.banks.iter().map(|bank| {
            let full = bank.plausible().map(|belief| belief.meter.full_at(now, grace).since(now));
            QuotaLevel {
                quota: bank.kind,
                limit: Some(bank.limit()),
                headroom: self.room(bank, now),
                reset: Duration::from_nanos(full.max().unwrap_or(0)),
            }
        });
        let slots = self.slots.most.zip(self.slots.free()).map(|(most, free)| QuotaLevel {
            quota: QuotaKind::Concurrency,
            limit: Some(most),
            headroom: i64::try_from(free).unwrap_or(i64::MAX),
            reset: Duration::ZERO,
        });
        meters.chain(slots).collect()
    }

    /// Returns the state of every quota as it is for those who come after `waiting`.
    pub fn levels_behind(&self, waiting: &Cost, now: Instant) -> Vec<QuotaLevel> {
        let behind = |level: QuotaLevel| {
            let taken = waiting.of(level.quota).unwrap_or(0);
            QuotaLevel { headroom: level.headroom.saturating_sub_unsigned(taken), ..level }
        };
        self.levels(now).into_iter().map(behind).collect()
    }

    /// Returns what is believed of every quota that is counted over time.
    pub fn beliefs(&self) -> Vec<Belief> {
        let belief = |bank: &Bank| {
            let charging = |belief: &Hypothesis| match bank.kind {
                kind if kind.is_of_tokens() => Some(belief.charging(self.leading)),
                _ => None,
            };
            let way = |belief: &Hypothesis| (belief.way.counting, charging(belief));
            let mut ways: Vec<_> = bank.likeliest().map(way).into_iter().collect();
            for one in bank.plausible().map(way) {
                if !ways.contains(&one) {
                    ways.push(one);
                }
            }
            Belief {
                quota: bank.kind,
                ways,
                sureness: sureness(bank),
                answers: bank.statements,
                configured: bank.ceiling,
                told: bank.told(),
            }
        };
        self.banks.iter().map(belief).collect()
    }

    /// Returns what could be debited by every plausible belief.
    fn room(&self, bank: &Bank, now: Moment) -> i64 {
        let rooms = bank.plausible().map(|belief| self.room_by(bank.kind, belief, now));
        rooms.min().unwrap_or(0)
    }

    /// Returns what is left by one belief less what is reserved for output to come.
    fn room_by(&self, kind: QuotaKind, belief: &Hypothesis, now: Moment) -> i64 {
        let room = belief.meter.room(now, self.grace.nanos());
        if belief.charging(self.leading).is_later(kind) {
            room.saturating_sub_unsigned(self.under_way.reserve(&self.outputs))
        } else {
            room
        }
    }

    /// Returns the length of a quota's window.
    pub(super) fn window(&self, kind: QuotaKind) -> Duration {
        if kind.is_daily() {
            self.settings.day
        } else if kind.is_slice() {
            self.settings.minute / 60
        } else {
            self.settings.minute
        }
    }
}

/// Without headers one way is held to until a refusal, which makes it no surer.
fn sureness(bank: &Bank) -> Sureness {
    match bank.mask.count_ones() {
        _ if bank.beliefs.len() == 1 => Sureness::Configured,
        _ if bank.statements < ENOUGH && !bank.contradicted => Sureness::Assumed,
        1 => Sureness::Likely,
        _ => Sureness::Open,
    }
}

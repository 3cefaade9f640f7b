//! What a provider charges for a request that states no bound of its output.
//!
//! # What this module owns
//!
//! [`Absent`]: between which numbers that lies, so far as answers told. A provider may charge nothing, a
//! fixed amount, or the most that the model can write: it is a fact to be learned, like a limit. Only who
//! reserves bounds charges it.
//!
//! [`super::trial`] says what an answer tells of it. Until it is known few such requests go at a time, and
//! the others go around them. What it may be beside what was debited is part of every prediction, so that
//! no level is moved by it.
//!
//! # Invariants
//!
//! 1. What is debited is the most that it can be, once that is known.
//! 2. An answer that contradicts what is known changes nothing until several in a row say so.

use super::QuotaKind;
use super::charge::Assumed;
use super::contact::Contact;
use super::meter::{Span, float};
use super::moment::Moment;
use super::settings::Charging;

/// What is charged for an absent bound.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Absent {
    /// If it is charged beside the prompt.
    beside: Known,
    /// If the larger of both is charged.
    alone: Known,
    /// How many such requests began.
    begun: u64,
    /// How many of them had begun when the last one did of which nobody knew the level before.
    blind: u64,
    /// How many such are under way.
    blind_open: u64,
    turn: Contact,
    /// So much fits the quota several times.
    little: u64,
}

/// Between which numbers it lies, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    least: u64,
    most: u64,
    /// How many answers told it.
    told: u32,
    /// How many have contradicted it since one last agreed.
    doubts: u32,
}

/// Requests without a bound that the provider had counted when another came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    /// Those that were under way when it was sent, for certain.
    pub(super) surely: Assumed,
    /// The same if some may have been over by then.
    pub(super) open: Assumed,
    /// Those that may have been.
    pub(super) maybe: Assumed,
    /// How many are over since.
    pub(super) over: u64,
}

/// How much more is left than was predicted because of bounds that nobody stated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unstated {
    beside: Span,
    alone: Span,
}

/// What a request without a bound was charged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charged {
    /// At least and at most for good; `None` where that is part of what was told.
    pub(super) for_good: Option<(u64, u64)>,
    /// What may be given back beside what was debited.
    pub(super) back: u64,
}

/// What was debited too little for those under way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Short {
    beside: u64,
    alone: u64,
}

impl Absent {
    /// Returns what is to be debited where it is charged in this way, outputs are `usual` and `guess` is a
    /// part of the quota.
    pub(super) fn assumed(&self, charging: Charging, usual: u64, guess: u64) -> u64 {
        let known = self.of(charging);
        match (self.is_known(charging), known.told) {
            (true, 0) => usual,
            (true, _) => known.most,
            (false, 1..) if known.most <= self.little => known.most,
            (false, _) => guess.max(usual).clamp(known.least, known.most),
        }
    }

    /// Returns how many may be under way before it is known: where it fits several times, twice as
    /// many as were answered.
    pub(super) fn at_once(&self, charging: Charging) -> u64 {
        let known = self.of(charging);
        if known.most <= self.little { (2 * u64::from(known.told)).max(1) } else { 1 }
    }

    /// Returns whether it is known as well as it will be.
    pub(super) fn is_known(&self, charging: Charging) -> bool {
        let known = self.of(charging);
        self.turn.is_made() || known.told > 0 && (known.is_narrow() || known.told >= ENOUGH)
    }

    /// Returns the least and the most that it may be, once any answer told.
    pub(super) fn told(&self, charging: Charging) -> Option<(u64, u64)> {
        let Known { least, most, told, .. } = *self.of(charging);
        (told > 0).then_some((least, most))
    }

    /// Takes over what was learned before.
    pub(super) fn recall(&mut self, most: Option<u64>) {
        let least = |most: u64| most - narrow(most).min(most);
        let recalled = |most| Known { least: least(most), most, told: 1, doubts: 0 };
        let known = most.map(recalled).unwrap_or_default();
        (self.beside, self.alone) = (known, known);
    }

    /// Returns how many may be under way where `first` may be at the beginning, and when that doubles.
    pub(super) fn allowance(&self, first: u64, now: Moment) -> (u64, Moment) {
        self.turn.allowance(first, now)
    }

    /// Takes in what fits the quota several times.
    pub(super) fn measure(&mut self, little: u64) {
        self.little = little;
    }

    /// Returns whether one is under way of which nobody knew the level before.
    pub(super) fn is_blind(&self) -> bool {
        self.blind_open > 0
    }

    /// Gives up the caution: no level will be told.
    pub(super) fn accept(&mut self) {
        self.turn.make();
    }

    /// Takes in that one goes, the level being told or not. Returns its number.
    pub(super) fn goes(&mut self, is_told: bool, now: Moment) -> u64 {
        self.turn.begin(now);
        self.begun += 1;
        if !is_told {
            self.blind = self.begun;
            self.blind_open += 1;
        }
        self.begun
    }

    /// Returns what the one of this number was charged, which was debited `bound`.
    pub(super) fn charged(&self, number: u64, bound: u64) -> Charged {
        let Known { least, most, .. } = self.alone;
        let is_blind = number <= self.blind;
        let each = if self.alone.is_narrow() { most } else { bound.clamp(least, most) };
        let back = if is_blind { self.beside.most.saturating_sub(bound) } else { 0 };
        Charged { for_good: (!is_blind).then_some((least, each)), back }
    }

    /// Takes in that the one of this number is over.
    pub(super) fn ends(&mut self, number: u64) {
        if number <= self.blind {
            self.blind_open = self.blind_open.saturating_sub(1);
        }
    }

    /// Returns how much more may be left than was predicted, as so many were counted.
    pub(super) fn unstated(&self, counted: &Counted) -> Unstated {
        let of = |charging, surely: &Assumed| {
            let Known { least, most, told, .. } = *self.of(charging);
            if self.turn.is_made() && told == 0 {
                return Span { least: 0.0, most: 0.0 };
            }
            let perhaps = counted.maybe.minus(surely);
            let more = |of: &Assumed| float(of.bound) - float(of.count) * float(least);
            let less = |of: &Assumed| float(of.bound) - float(of.count) * float(most);
            // Of a level that nobody knew, all that is missing is taken to be used by others.
            let least = if self.is_blind() { 0.0 } else { less(surely) + less(&perhaps).min(0.0) };
            Span { least, most: more(surely) + more(&perhaps).max(0.0) }
        };
        let beside = of(Charging::Refund, &counted.surely);
        let alone = of(Charging::Max, &counted.open);
        let width = float(self.alone.most - self.alone.least) * float(counted.over);
        let settled = if self.alone.told > 0 { width } else { 0.0 };
        // It stays: of a level that nobody knew it is a part.
        let alone = if self.is_blind() {
            Span { least: 0.0, most: 0.0 }
        } else {
            Span { least: alone.least.min(0.0) - settled, most: alone.most.max(0.0) }
        };
        Unstated { beside, alone }
    }

    /// Returns what was debited for each of those that were counted, and what more was charged for it beside
    /// the prompt, if it was `more` in all.
    pub(super) fn each(&self, counted: &Counted, more: Span) -> (f64, Span) {
        let Counted { surely, maybe, .. } = counted;
        let others = maybe.minus(surely);
        let but = |each: u64| float(others.bound) - float(others.count) * float(each);
        let least = more.least + but(self.beside.most).min(0.0);
        let most = more.most + but(self.beside.least).max(0.0);
        let count = float(surely.count);
        (float(surely.bound) / count, Span { least: least / count, most: most / count })
    }

    /// Returns what was debited too little for these, which are under way.
    pub(super) fn short(&self, open: &Assumed) -> Short {
        let of = |charging| {
            let known = self.of(charging);
            let each = if known.is_narrow() { known.most } else { known.least };
            each.saturating_mul(open.count).saturating_sub(open.bound)
        };
        Short { beside: of(Charging::Refund), alone: of(Charging::Max) }
    }

    /// Takes in what an answer says of it, if it is charged in this way.
    pub(super) fn learn(&mut self, charging: Charging, told: Known, now: Moment) {
        let known = match charging {
            Charging::Max => &mut self.alone,
            _ => &mut self.beside,
        };
        *known = told.within(known);
        if told.told > 0 {
            self.turn.refused(now);
        }
    }

    fn of(&self, charging: Charging) -> &Known {
        if charging == Charging::Max { &self.alone } else { &self.beside }
    }
}

impl Default for Known {
    fn default() -> Self {
        Self { least: 0, most: MOST, told: 0, doubts: 0 }
    }
}

impl Known {
    /// Returns what an answer says that lets it lie between these; it may tell of one request alone.
    pub(super) fn told(least: u64, most: u64, alone: bool) -> Self {
        Self { least, most, told: u32::from(alone), doubts: 0 }
    }

    /// Returns the same as what needs no other answers to say so.
    pub(super) fn for_certain(self) -> Self {
        Self { doubts: DOUBTS, ..self }
    }

    /// Returns what both say. Where they exclude each other, what was known, until several say so: it may
    /// be charged in another way, or others may have used the quota.
    fn within(self, before: &Self) -> Self {
        let (least, most) = (self.least.max(before.least), self.most.min(before.most));
        if least <= most {
            let told = before.told.saturating_add(self.told);
            return Self { least, most, told, doubts: 0 };
        }
        let doubts = before.doubts + 1 + self.doubts;
        if doubts < DOUBTS {
            Self { doubts, ..*before }
        } else {
            Self { told: 1, doubts: 0, ..self }
        }
    }

    fn is_narrow(&self) -> bool {
        self.most - self.least <= narrow(self.most)
    }
}

/// Returns how much of what is at most so much may be left open.
fn narrow(most: u64) -> u64 {
    (most / 8).max(FEW)
}

impl Unstated {
    /// Returns the part of it that a quota of `kind` has by a way of charging.
    pub(super) fn of(&self, kind: QuotaKind, charging: Charging) -> Span {
        match charging {
            Charging::Refund if kind.is_of_tokens() => self.beside,
            Charging::Max if kind.is_of_tokens() => self.alone,
            _ => Span { least: 0.0, most: 0.0 },
        }
    }
}

impl Default for Unstated {
    fn default() -> Self {
        let none = Span { least: 0.0, most: 0.0 };
        Self { beside: none, alone: none }
    }
}

impl Short {
    /// Returns the part of it that is due by a way of charging.
    pub(super) fn of(&self, charging: Charging) -> u64 {
        match charging {
            Charging::Refund => self.beside,
            Charging::Max => self.alone,
            Charging::Later | Charging::Split => 0,
        }
    }
}

/// Nobody charges more for an absent bound.
pub(super) const MOST: u64 = 1 << 21;
/// What is known so well needs no more trials.
const FEW: u64 = 64;
/// So many answers one after the other do not err.
const DOUBTS: u32 = 8;
/// After so many trials it will not be known any better.
const ENOUGH: u32 = 16;

#[cfg(test)]
mod tests;

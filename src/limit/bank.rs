//! One quota, as every belief about it that may be true counts it.
//!
//! # What this module owns
//!
//! [`Bank`]: the hypotheses about one counter of the provider, which of them are plausible, the limit
//! as configured and as told, and the margin after surprises. All hypotheses are debited, each by its
//! own amount; a request has room where every plausible one has. What cannot be told apart stays: the
//! stricter holds.
//!
//! # Invariants
//!
//! 1. At least one hypothesis is plausible at any time.
//! 2. Which are is worked out when an answer was heard, never when a request asks.

use std::cell::OnceCell;

use super::absent::{Charged, Short};
use super::charge::{Charge, Refunds, Way};
use super::debit::Debit;
use super::hypothesis::{Hypothesis, Prediction};
use super::margin::Margin;
use super::meter::{Meter, NEVER, Wanted};
use super::moment::Moment;
use super::outputs::Outputs;
use super::settings::{Charging, Counting, LaneSettings};
use super::traffic::Totals;
use super::under_way::{Back, Dues, UnderWay};
use super::{Needed, QuotaKind};
use crate::units::Usage;

/// The beliefs about one counter.
#[derive(Debug)]
pub(super) struct Bank {
    pub(super) kind: QuotaKind,
    /// The length of its window, in nanoseconds.
    pub(super) window: u64,
    pub(super) beliefs: Vec<Hypothesis>,
    /// The place of the first belief among those of the whole lane.
    pub(super) first: usize,
    pub(super) margin: Margin,
    /// A bit for each belief that may be true.
    pub(super) mask: u32,
    /// The one that misses least.
    pub(super) best: usize,
    /// What somebody configured, which is not exceeded.
    pub(super) ceiling: Option<u64>,
    /// What the provider told last.
    pub(super) told: Option<u64>,
    pub(super) born: Moment,
    /// The usual debit of a request: the measure of misses.
    pub(super) size: f64,
    /// How many answers' headers told of this counter.
    pub(super) statements: u32,
    /// Whether a refusal told of it.
    pub(super) contradicted: bool,
    /// Whether refusals tell when windows end, where headers do not.
    pub(super) has_ends: bool,
}

/// What is asked of a quota for one request.
#[derive(Debug)]
pub(super) struct Need<'a> {
    pub(super) charge: Charge,
    pub(super) leading: Charging,
    /// What its own output may come to, and what it is likely to.
    pub(super) output: (u64, u64),
    /// What others under way are still charged where output is charged when it is known.
    pub(super) under_way: &'a UnderWay,
    pub(super) outputs: &'a Outputs,
    /// When all that falls due, for quotas of the minute and longer, and for slices of it; worked out where it
    /// matters.
    pub(super) dues: [OnceCell<Dues>; 2],
    /// What is to be left for others.
    pub(super) spare: Needed,
    /// What was debited too little for bounds that nobody stated.
    pub(super) short: Short,
    /// What is taken to come back of requests under way, where that is given back.
    pub(super) back: Option<&'a Back>,
    pub(super) minute: u64,
    pub(super) grace: u64,
}

impl Need<'_> {
    /// Returns the most that all under way and the request may be charged for output.
    fn most(&self) -> u64 {
        self.under_way.most().saturating_add(self.output.0)
    }

    /// Returns when all falls due, as finely as a quota needs; `slice` is the length of a slice.
    fn dues(&self, slice: Option<u64>, now: Moment) -> &Dues {
        let [long, short] = &self.dues;
        let (dues, window) = slice.map_or((long, self.minute), |window| (short, window));
        dues.get_or_init(|| self.under_way.dues(self.outputs, self.output.0, (now, window)))
    }
}

impl Bank {
    /// Creates the beliefs about a counter of which nothing is used. `first` is their first place in the lane.
    pub(super) fn new(
        kind: QuotaKind,
        (limit, window): (u64, u64),
        settings: &LaneSettings,
        first: usize,
        now: Moment,
    ) -> Self {
        let ways = Way::all(kind, settings);
        let beliefs: Vec<_> = ways
            .into_iter()
            .map(|way| Hypothesis::new(way, Meter::new(way.counting, limit, window, now)))
            .collect();
        Self {
            kind,
            window,
            beliefs,
            first,
            margin: Margin::default(),
            mask: 1,
            best: 0,
            ceiling: None,
            told: None,
            born: now,
            size: 0.0,
            statements: 0,
            contradicted: false,
            has_ends: false,
        }
    }

    /// Lets the provider lower the limit, and raise it no further.
    pub(super) fn configured(self) -> Self {
        Self { ceiling: Some(self.limit()), ..self }
    }

    /// Returns the limit.
    pub(super) fn limit(&self) -> u64 {
        self.beliefs.first().map_or(1, |belief| belief.meter.limit())
    }

    /// Returns the limit that the provider told last, else the one that is kept.
    pub(super) fn told_limit(&self) -> u64 {
        self.told.unwrap_or_else(|| self.limit())
    }

    /// Returns the limit that the provider told; `None` where only the configuration says it.
    pub(super) fn told(&self) -> Option<u64> {
        self.told.or_else(|| self.ceiling.is_none().then(|| self.limit()))
    }

    /// Returns the belief that missed least so far.
    pub(super) fn likeliest(&self) -> Option<&Hypothesis> {
        self.beliefs.get(self.best)
    }

    /// Returns how tokens are most likely charged.
    pub(super) fn charging(&self, leading: Charging) -> Charging {
        self.likeliest().map_or(leading, |belief| belief.charging(leading))
    }

    /// Returns the beliefs that may be true.
    pub(super) fn plausible(&self) -> impl Iterator<Item = &Hypothesis> {
        let mask = self.mask;
        let all = self.beliefs.iter().enumerate();
        all.filter(move |(i, _)| mask & bit(*i) != 0).map(|(_, belief)| belief)
    }

    /// Returns the least that `charge` would be debited by any plausible belief.
    pub(super) fn least_debit(&self, charge: &Charge, leading: Charging) -> u64 {
        let debits = self.plausible().map(|belief| charge.of(self.kind, belief.charging(leading)));
        debits.min().unwrap_or(0)
    }

    /// Returns the most that `charge` would be debited by any plausible belief.
    pub(super) fn most_debit(&self, charge: &Charge, leading: Charging) -> u64 {
        let debits = self.plausible().map(|belief| charge.of(self.kind, belief.charging(leading)));
        debits.max().unwrap_or(0)
    }

    /// Returns when every plausible belief has room and the margin is left, and when the likeliest has
    /// room at all; `now` if they have, [`NEVER`] where it takes an answer.
    pub(super) fn when(&mut self, need: &Need<'_>, now: Moment) -> (Moment, Moment) {
        let margin = self.margin.at(self.limit(), need.minute, now);
        let surely = self.latest(self.mask, margin, need, now);
        if surely <= now {
            return (now, now);
        }
        let likeliest = self.mask & bit(self.best);
        let likeliest = if likeliest == 0 { self.mask } else { likeliest };
        (surely, self.latest(likeliest, 0, need, now))
    }

    /// Returns when the beliefs of `mask` have room that leaves `margin`.
    fn latest(&mut self, mask: u32, margin: u64, need: &Need<'_>, now: Moment) -> Moment {
        let limit = self.limit();
        let slice = Some(self.window).filter(|_| self.kind.is_slice());
        let mut latest = now;
        for (i, belief) in self.beliefs.iter_mut().enumerate() {
            if mask & bit(i) == 0 {
                continue;
            }
            let charging = belief.charging(need.leading);
            let later = charging.is_later(self.kind);
            // A slice that nobody has touched takes one request of any size.
            let most_debited = if self.kind.is_slice() { limit } else { u64::MAX };
            let debited = need.charge.of(self.kind, charging).min(most_debited);
            let (most, likely) = if later { need.output } else { (0, 0) };
            if debited == 0 && most == 0 {
                continue;
            }
            belief.meter.advance(now, need.grace);
            let short = if self.kind.is_of_tokens() { need.short.of(charging) } else { 0 };
            // What fits an untouched quota fits.
            let output = likely.min(limit.saturating_sub(debited));
            let rest = limit.saturating_sub(debited).saturating_sub(output);
            let spare = belief.meter.spare(need.spare, need.minute, now);
            let certain = margin.saturating_add(short);
            let with_spare = certain.saturating_add(spare);
            let spare = if with_spare > rest { certain.min(rest) } else { with_spare };
            let wanted = Wanted { now: debited, output, spare };
            let at = if later && !belief.meter.fits(&wanted, need.most(), now, need.grace) {
                belief.meter.when_due(&wanted, need.dues(slice, now), now, need.grace)
            } else if debited > limit {
                NEVER
            } else {
                let refunds = self.kind.is_of_tokens() && charging == Charging::Refund;
                let back = need.back.filter(|_| refunds);
                belief.meter.when_back(debited.saturating_add(spare), back, now, need.grace)
            };
            latest = latest.max(at);
        }
        latest
    }

    /// Debits `charge` from every belief.
    pub(super) fn debit(&mut self, charge: &Charge, leading: Charging, now: Moment, grace: u64) {
        for belief in &mut self.beliefs {
            let amount = charge.of(self.kind, belief.charging(leading));
            if amount > 0 {
                belief.meter.debit(amount, now, grace);
            }
        }
    }

    /// Takes back a debit made at `since` as if it had never been, but for those beliefs that have
    /// forgotten it (`left_behind`, a bit for each of the lane).
    pub(super) fn cancel(
        &mut self,
        (charge, leading): (&Charge, Charging),
        left_behind: u64,
        since: Moment,
        now: Moment,
    ) {
        for (i, belief) in self.beliefs.iter_mut().enumerate() {
            if left_behind & lane_bit(self.first + i) == 0 {
                let amount = charge.of(self.kind, belief.charging(leading));
                belief.meter.correct(amount, 0, since.max(self.born), now);
            }
        }
    }

    /// Books what is known of a request's use: `output` where that is charged when it is known, and
    /// `usage` in place of the estimates.
    pub(super) fn account(
        &mut self,
        settled: &Settled<'_>,
        left_behind: u64,
        now: Moment,
        grace: u64,
    ) {
        for (i, belief) in self.beliefs.iter_mut().enumerate() {
            let charging = belief.charging(settled.leading);
            if charging.is_later(self.kind) {
                belief.meter.debit_known(settled.output, now, grace);
                continue;
            }
            if left_behind & lane_bit(self.first + i) != 0 {
                continue;
            }
            let amount = settled.charge.of(self.kind, charging);
            let since = settled.since.max(self.born);
            let actual = settled.usage.and_then(|usage| charging.corrected(self.kind, usage));
            if let Some(actual) = actual {
                let is_now = belief.way.refunds == Refunds::AtPresent && actual < amount;
                belief.meter.correct(amount, actual, if is_now { now } else { since }, now);
                let back = settled.absent.map_or(0, |charged| charged.back);
                belief.widen(if self.kind.is_of_tokens() { back } else { 0 });
            } else if charging == Charging::Max
                && self.kind.is_of_tokens()
                && let Some((least, most)) = settled.absent.and_then(|charged| charged.for_good)
            {
                let sized = |bound: u64| settled.charge.estimate.max(bound);
                belief.fix(amount, (sized(least), sized(most)), [since, now]);
            }
        }
    }

    /// Writes down what the answer to a request sent just now should say is left. `unsent` is debited
    /// already, but not on its way.
    pub(super) fn predict(
        &self,
        guesses: &mut [Prediction],
        (debit, unsent): (&Debit, &Totals),
        now: Moment,
        grace: u64,
    ) {
        for (belief, guess) in self.beliefs.iter().zip(guesses.iter_mut().skip(self.first)) {
            let charging = belief.charging(debit.leading);
            let own = debit.charge.of(self.kind, charging);
            let unsent = unsent.debited(self.kind, charging);
            *guess = belief.predict((own, unsent), now, grace);
        }
    }

    /// Takes in that a request sent at `since` got there at `arrival` at the latest. Returns a bit
    /// for each belief of the lane by which its window has ended since.
    pub(super) fn arrived(
        &mut self,
        (charge, leading): (&Charge, Charging),
        (since, arrival): (Moment, Moment),
        now: Moment,
    ) -> u64 {
        let mut left_behind = 0;
        for (i, belief) in self.beliefs.iter_mut().enumerate() {
            belief.arrived(since, arrival.since(since), now);
            let amount = charge.of(self.kind, belief.charging(leading));
            if belief.meter.leave_behind(amount, since, arrival) {
                left_behind |= lane_bit(self.first + i);
            }
        }
        left_behind
    }

    /// Returns when `amount` will have gone through, if all of it waited now.
    pub(super) fn gone_through(&self, amount: u64, now: Moment, grace: u64) -> Moment {
        let limit = self.limit();
        // The last piece fits an untouched quota; the others take a window each.
        let windows = amount.saturating_sub(1) / limit;
        let rest = amount - windows * limit;
        let Some(likeliest) = self.likeliest() else { return now };
        let period =
            if likeliest.meter.refills() { self.window } else { self.window.saturating_add(grace) };
        likeliest.meter.when(rest, now, grace).plus(windows.saturating_mul(period))
    }

    /// Returns how the counter counts, if that is certain.
    pub(super) fn counting(&self) -> Option<Counting> {
        let counting = self.likeliest()?.way.counting;
        self.plausible().all(|belief| belief.way.counting == counting).then_some(counting)
    }

    /// Debits what was used before the counter was known, and once more what is under way.
    pub(super) fn begin_used(
        &mut self,
        used: u64,
        (others, leading): (&Charge, Charging),
        now: Moment,
        grace: u64,
    ) {
        for belief in &mut self.beliefs {
            let others = others.of(self.kind, belief.charging(leading));
            belief.begin_used(used, others, now, grace);
        }
    }
}

/// What is known of a request that is over.
pub(super) struct Settled<'a> {
    pub(super) charge: &'a Charge,
    pub(super) leading: Charging,
    pub(super) since: Moment,
    pub(super) output: u64,
    /// `None`: the estimates stay.
    pub(super) usage: Option<&'a Usage>,
    /// What was charged for a bound that nobody stated.
    pub(super) absent: Option<Charged>,
}

pub(super) fn bit(place: usize) -> u32 {
    u32::try_from(place).ok().and_then(|place| 1_u32.checked_shl(place)).unwrap_or(0)
}

pub(super) fn lane_bit(place: usize) -> u64 {
    u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place)).unwrap_or(0)
}

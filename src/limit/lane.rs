//! The quotas that one account grants one limit group: all of them are debited, or none.

use tokio::time::Instant;

use super::charge::{Charge, Tariff};
use super::contact::{Contact, Grace};
use super::debit::{Bounded, Debit, Stage};
use super::meter::Meter;
use super::moment::{Moment, Timeline, nanos};
use super::pool::{MODEST, Outputs, Pool};
use super::quota::Quota;
use super::settings::LaneSettings;
use super::{Cost, QuotaKind, Shortfall, Spare};
use crate::count::Demand;
use crate::units::{Tokens, Usage};

/// The quotas that one account grants one limit group.
///
/// It holds one hypothesis about the provider: `tariff` and the meters in `quotas`. A bank of them
/// can stand in its place, each with quotas of its own; the rest of the lane would not change.
#[derive(Debug)]
pub struct Lane {
    pub(super) settings: LaneSettings,
    pub(super) time: Timeline,
    pub(super) tariff: Tariff,
    pub(super) quotas: Vec<Quota>,
    pub(super) grace: Grace,
    pub(super) contact: Contact,
    /// Caution with requests whose output bound had to be guessed.
    pub(super) unbounded: Contact,
    pub(super) outputs: Outputs,
    /// What a refusal showed to be charged for an absent output bound.
    pub(super) told_absent: Option<u64>,
    pub(super) pool: Pool,
    pub(super) open: Open,
    /// After a refusal nothing goes before this, for want of this quota.
    pub(super) hold: Option<(QuotaKind, Moment)>,
    /// When the provider answered last.
    pub(super) heard: Moment,
    /// What was debited since the lane's memory was kept last.
    pub(super) drift: Charge,
}

/// Sums over the debits that are not closed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Open {
    pub(super) count: u64,
    pub(super) charge: Charge,
    guessed: u64,
}

/// What a demand comes to.
pub(super) struct Offer {
    pub(super) charge: Charge,
    /// What is charged even if an absent output bound costs nothing.
    certain: Charge,
    pub(super) bound: Option<u64>,
    bounded: Bounded,
}

impl Lane {
    /// Creates a lane whose quotas are full.
    pub fn new(settings: LaneSettings, now: Instant) -> Self {
        let begin = Moment::default();
        let minute = nanos(settings.minute).max(1);
        let day = nanos(settings.day).max(1);
        let given = [
            (QuotaKind::RequestsPerMinute, minute),
            (QuotaKind::TokensPerMinute, minute),
            (QuotaKind::RequestsPerDay, day),
            (QuotaKind::TokensPerDay, day),
            (QuotaKind::InputTokensPerMinute, minute),
            (QuotaKind::OutputTokensPerMinute, minute),
            (QuotaKind::ImagesPerMinute, minute),
        ];
        let counting = settings.counting.unwrap_or_default();
        let quota = |(kind, window): (QuotaKind, u64)| {
            let limit = settings.limit(kind)?;
            let meter = Meter::new(counting, limit, window, begin);
            Some(Quota::configured(kind, meter, begin))
        };
        Self {
            time: Timeline::new(now),
            tariff: Tariff {
                charging: settings.charging.unwrap_or_default(),
                estimator: settings.estimator.unwrap_or_default(),
            },
            quotas: given.into_iter().filter_map(quota).collect(),
            grace: Grace::new(minute, begin),
            contact: Contact::default(),
            unbounded: Contact::default(),
            outputs: Outputs::default(),
            told_absent: None,
            pool: Pool::default(),
            open: Open::default(),
            hold: None,
            heard: begin,
            drift: Charge::default(),
            settings,
        }
    }

    /// Debits every quota, or none. `spare` is left for others, unless the request is so large that it
    /// could never leave that.
    ///
    /// # Errors
    ///
    /// Returns the [`Shortfall`] that lasts longest; every level is unchanged then.
    pub fn try_reserve(
        &mut self,
        demand: &Demand,
        spare: Spare,
        now: Instant,
    ) -> Result<Debit, Shortfall> {
        let now = self.time.advance(now);
        let offer = self.offer(demand);
        let share = self.outputs.share(offer.bound);
        let pool = self.pool.with(share);
        self.fits_ever(demand, now)?;
        self.fits_slots()?;
        let mut latest = self.first_contact(&offer, now).max(self.unbounded_turn(&offer, now));
        latest = latest.max(self.hold.map(|(quota, at)| Wait { at, quota }));
        if self.exceeded(&offer.certain).is_none() {
            latest = latest.max(self.fits_quotas(&offer.charge, pool.reserve(), spare, now));
        }
        if let Some(Wait { at, quota }) = latest.filter(|wait| wait.at > now) {
            return Err(Shortfall::Later { quota, at: self.time.instant(at) });
        }
        for quota in &mut self.quotas {
            quota.meter.debit(offer.charge.of(quota.kind), now, self.grace.nanos());
        }
        self.hold = None;
        self.pool = pool;
        self.open.add(&offer.charge, offer.bounded);
        self.drift = self.drift.plus(&offer.charge);
        self.contact.begin(now);
        if offer.bounded == Bounded::Guessed {
            self.unbounded.begin(now);
        }
        Ok(Debit::new(now, offer.charge, share, offer.bounded, !self.contact.is_made()))
    }

    /// Takes back a debit whose request was never sent, as if it had not been.
    pub fn cancel(&mut self, debit: Debit) {
        let now = self.time.latest();
        for (i, quota) in self.quotas.iter_mut().enumerate() {
            if !debit.is_left_behind(i) {
                quota.cancel(debit.charge.of(quota.kind), debit.at, now);
            }
        }
        self.close(&debit);
    }

    /// Notes that the request of `debit` is being sent at `now`, and predicts what the provider will
    /// report for it.
    pub fn sent(&mut self, debit: &mut Debit, now: Instant) {
        let now = self.time.advance(now);
        let grace = self.grace.nanos();
        let moves = now.since(debit.at) > PROMPT;
        for quota in &mut self.quotas {
            let amount = debit.charge.of(quota.kind);
            if moves {
                quota.cancel(amount, debit.at, now);
                quota.meter.debit(amount, now, grace);
            }
            if let Some(place) = debit.prediction_mut(quota.kind) {
                *place = Some(quota.predict(now, grace));
            }
        }
        if moves {
            debit.at = now;
        }
        debit.stage = Stage::Sent;
    }

    /// Replaces the estimate by what was truly used, at the debit's own time. Returns what that was
    /// charged in the end.
    pub fn settle(&mut self, debit: Debit, usage: &Usage, now: Instant) -> Cost {
        let now = self.time.advance(now);
        let output = usage.output.count();
        self.account(&debit, now, output, |kind| match kind {
            QuotaKind::InputTokensPerMinute => Some(usage.input.count()),
            QuotaKind::TokensPerMinute | QuotaKind::TokensPerDay => Some(usage.total().count()),
            _ => None,
        });
        if debit.share.may_have_output() {
            self.outputs.learn(output);
            self.unbounded.make();
        }
        self.close(&debit);
        self.charged(&debit.charge, usage)
    }

    /// Closes a debit whose use will never be known: the estimate stays debited.
    pub fn keep(&mut self, debit: Debit, now: Instant) {
        let now = self.time.advance(now);
        self.account(&debit, now, debit.share.mean(), |_| None);
        self.close(&debit);
    }

    /// Takes in that the answer to the request of `debit` has had `tokens` of output so far.
    pub fn seen(&mut self, debit: &mut Debit, tokens: u64) {
        let share = debit.share.seen(tokens);
        self.pool = self.pool.without(debit.share).with(share);
        debit.share = share;
    }

    /// Returns the quota that is too small for `demand` ever to fit, with its limit and what the
    /// demand would be charged; `None` if it can fit.
    ///
    /// A limit that only an answer told may have been raised since: when a minute went by without
    /// an answer and nothing is under way, one request may try it.
    pub fn oversize(&self, demand: &Demand, now: Instant) -> Option<(QuotaKind, u64, u64)> {
        let certain = self.offer(demand).certain;
        let quota = self.exceeded(&certain)?;
        let limit = quota.meter.limit();
        let silent = self.time.peek(now).since(self.heard) >= nanos(self.settings.minute);
        let tries =
            silent && self.open.count == 0 && self.settings.limit(quota.kind) != Some(limit);
        (!tries).then(|| (quota.kind, limit, certain.of(quota.kind)))
    }

    fn exceeded(&self, certain: &Charge) -> Option<&Quota> {
        self.quotas.iter().find(|quota| certain.of(quota.kind) > quota.meter.limit())
    }

    /// Books what is known of a request's use: `output` where that is charged when it is known, and
    /// what `actual` says in place of the estimates.
    fn account(
        &mut self,
        debit: &Debit,
        now: Moment,
        output: u64,
        actual: impl Fn(QuotaKind) -> Option<u64>,
    ) {
        let grace = self.grace.nanos();
        if !self.tariff.reserves_bound() {
            self.drift.tokens = self.drift.tokens.saturating_add(output);
        }
        for (i, quota) in self.quotas.iter_mut().enumerate() {
            if self.tariff.charges_later(quota.kind) {
                quota.debit_output(output, now, grace);
            } else if self.tariff.corrects(quota.kind)
                && !debit.is_left_behind(i)
                && let Some(actual) = actual(quota.kind)
            {
                quota.correct(debit.charge.of(quota.kind), actual, debit.at, now);
            }
        }
    }

    /// Takes a debit out of the sums over what is under way.
    pub(super) fn close(&mut self, debit: &Debit) {
        self.pool = self.pool.without(debit.share);
        self.open.remove(&debit.charge, debit.bounded);
    }

    /// Works out what `demand` is charged. An output bound that the client did not state is assumed,
    /// but never so large that the request could not fit an untouched quota.
    pub(super) fn offer(&self, demand: &Demand) -> Offer {
        let stated = demand.output_bound.map(Tokens::count);
        let known = stated.or(self.settings.absent_max).or(self.told_absent);
        let (assumed, bounded) = match (known, self.outputs.usual()) {
            (Some(bound), _) => (bound, Bounded::Known),
            (None, Some(usual)) => (usual, Bounded::Learned),
            (None, None) => (MODEST, Bounded::Guessed),
        };
        let certain = self.tariff.charge(demand, stated.unwrap_or(0));
        let mut charge = self.tariff.charge(demand, assumed);
        let token_quotas = self.quotas.iter().filter(|quota| quota.kind.is_of_tokens());
        if let Some(least) = token_quotas.map(|quota| quota.meter.limit()).min() {
            charge.tokens = charge.tokens.min(least).max(certain.tokens);
        }
        Offer { charge, certain, bound: known, bounded }
    }

    fn fits_ever(&self, demand: &Demand, now: Moment) -> Result<(), Shortfall> {
        match self.oversize(demand, self.time.instant(now)) {
            None => Ok(()),
            Some((quota, limit, wanted)) => Err(Shortfall::TooLarge { quota, limit, wanted }),
        }
    }

    fn fits_slots(&self) -> Result<(), Shortfall> {
        match self.settings.concurrency {
            Some(0) => {
                Err(Shortfall::TooLarge { quota: QuotaKind::Concurrency, limit: 0, wanted: 1 })
            }
            Some(slots) if self.open.count >= slots => {
                Err(Shortfall::AfterAnswer { quota: QuotaKind::Concurrency })
            }
            _ => Ok(()),
        }
    }

    fn fits_quotas(
        &mut self,
        charge: &Charge,
        reserve: u64,
        spare: Spare,
        now: Moment,
    ) -> Option<Wait> {
        let (grace, minute) = (self.grace.nanos(), nanos(self.settings.minute));
        let mut latest = None;
        for quota in &mut self.quotas {
            let later = if self.tariff.charges_later(quota.kind) { reserve } else { 0 };
            let amount = charge.of(quota.kind).saturating_add(later);
            if amount == 0 {
                continue;
            }
            quota.meter.advance(now, grace);
            let need = quota.need(amount.saturating_add(spare.of(quota.kind)), minute, now);
            let at = quota.meter.when(need, now, grace);
            latest = latest.max(Some(Wait { at, quota: quota.kind }));
        }
        latest
    }

    /// Before the first answer, lets few requests go: a twentieth of what is configured, but one.
    fn first_contact(&self, offer: &Offer, now: Moment) -> Option<Wait> {
        if self.contact.is_made() || self.open.count == 0 {
            return None;
        }
        let quota = QuotaKind::FirstContact;
        if self.quotas.is_empty() {
            let (allowed, at) = self.contact.allowance(FIRST_REQUESTS, now);
            return (self.open.count >= allowed).then_some(Wait { at, quota });
        }
        let over = self.quotas.iter().filter_map(|of| {
            let first = (of.meter.limit() / FIRST_PART).max(1);
            let (allowed, at) = self.contact.allowance(first, now);
            let under_way = self.open.charge.of(of.kind).saturating_add(offer.charge.of(of.kind));
            (under_way > allowed).then_some(Wait { at, quota })
        });
        over.max()
    }

    /// Lets one request with a guessed output bound go at a time, where the bound is reserved.
    fn unbounded_turn(&self, offer: &Offer, now: Moment) -> Option<Wait> {
        let known = offer.bounded != Bounded::Guessed || !self.tariff.reserves_bound();
        if known || !self.quotas.iter().any(|quota| quota.kind.is_of_tokens()) {
            return None;
        }
        let (allowed, at) = self.unbounded.allowance(1, now);
        let quota = QuotaKind::FirstContact;
        (self.open.guessed >= allowed).then_some(Wait { at, quota })
    }
}

impl Open {
    fn add(&mut self, charge: &Charge, bounded: Bounded) {
        self.count += 1;
        self.guessed += u64::from(bounded == Bounded::Guessed);
        self.charge = self.charge.plus(charge);
    }

    fn remove(&mut self, charge: &Charge, bounded: Bounded) {
        self.count = self.count.saturating_sub(1);
        self.guessed = self.guessed.saturating_sub(u64::from(bounded == Bounded::Guessed));
        self.charge = self.charge.minus(charge);
    }
}

/// Until when room is short, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    at: Moment,
    quota: QuotaKind,
}

/// A request that is sent so soon after its reservation counts from there.
const PROMPT: u64 = 2_000_000;
/// So many requests are under way before the first answer where no limit is known.
const FIRST_REQUESTS: u64 = 4;
/// Where one is, so small a part of it.
const FIRST_PART: u64 = 20;

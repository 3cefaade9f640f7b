//! The quotas that one account grants one limit group: all of them are debited, or none.

use tokio::time::Instant;

use super::absent::Absent;
use super::bank::{Bank, Settled};
use super::charge::Charge;
use super::contact::{Contact, Grace};
use super::crowd::Crowd;
use super::debit::{Bounded, Debit, MOST_TOLD, Sent, Stage};
use super::doubt::Doubt;
use super::estimate::Estimates;
use super::hold::Hold;
use super::hypothesis::Prediction;
use super::meter::NEVER;
use super::moment::{Moment, Timeline, nanos};
use super::offer::Offer;
use super::opening::Opening;
use super::outputs::Outputs;
use super::pacing::Pacing;
use super::ramp::Ramp;
use super::reach::Reach;
use super::settings::{Charging, LaneSettings};
use super::slots::Slots;
use super::traffic::Traffic;
use super::under_way::UnderWay;
use super::{Cost, QuotaKind, Shortfall, Spare};
use crate::count::Demand;
use crate::units::Usage;

/// The quotas that one account grants one limit group.
#[derive(Debug)]
pub struct Lane {
    pub(super) settings: LaneSettings,
    pub(super) time: Timeline,
    pub(super) banks: Vec<Bank>,
    /// How tokens of the minute are most likely charged.
    pub(super) leading: Charging,
    pub(super) estimates: Estimates,
    pub(super) grace: Grace,
    pub(super) pacing: Pacing,
    pub(super) ramp: Ramp,
    pub(super) traffic: Traffic,
    pub(super) contact: Contact,
    pub(super) outputs: Outputs,
    pub(super) absent: Absent,
    pub(super) under_way: UnderWay,
    pub(super) open: Open,
    pub(super) slots: Slots,
    pub(super) crowd: Crowd,
    pub(super) opening: Opening,
    pub(super) reach: Reach,
    /// What holds it back after a refusal.
    pub(super) hold: Option<Hold>,
    pub(super) doubt: Doubt,
    /// When the provider answered last.
    pub(super) heard: Moment,
    /// What was debited since the lane's memory was kept last.
    pub(super) drift: Charge,
    /// Whether any answer's headers told its counters.
    pub(super) has_headers: bool,
}

/// Sums over the debits that are not closed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Open {
    pub(super) count: u64,
    pub(super) charge: Charge,
    /// By how much the estimates of prompts may be too large.
    pub(super) slack: u64,
    /// The same of all prompts since a level of tokens was told last.
    pub(super) untold: u64,
}

impl Lane {
    /// Creates a lane whose quotas are full.
    pub fn new(settings: LaneSettings, now: Instant) -> Self {
        let begin = Moment::default();
        let mut lane = Self {
            time: Timeline::new(now),
            banks: Vec::new(),
            leading: settings.charging.unwrap_or_default(),
            estimates: Estimates::new(settings.estimator),
            grace: Grace::new(nanos(settings.minute).max(1), begin),
            pacing: Pacing::default(),
            ramp: Ramp::default(),
            traffic: Traffic::default(),
            contact: Contact::default(),
            outputs: Outputs::default(),
            absent: Absent::default(),
            under_way: UnderWay::default(),
            open: Open::default(),
            slots: Slots::new(settings.concurrency),
            crowd: Crowd::default(),
            opening: Opening::default(),
            reach: Reach::default(),
            hold: None,
            doubt: Doubt::default(),
            heard: begin,
            drift: Charge::default(),
            has_headers: false,
            settings,
        };
        for kind in QuotaKind::COUNTED {
            if let Some(limit) = lane.settings.limit(kind) {
                let bank = lane.new_bank(kind, limit, begin).configured();
                lane.banks.push(bank);
            }
        }
        lane
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
        let exceeded = self.exceeded(&offer.certain);
        if let Some((quota, limit, wanted)) = exceeded.filter(|over| !self.may_be_tried(over, now))
        {
            return Err(Shortfall::TooLarge { quota, limit, wanted });
        }
        self.fits_slots(now)?;
        let mut latest = self.first_contact(&offer, now).max(self.absent_turn(&offer, now));
        latest = latest.max(self.restrained(&offer.charge, now)).max(self.unopened(now));
        latest = latest.max(self.hold.and_then(|hold| hold.wait(now))).max(self.out_of_reach(now));
        let mut dares = false;
        if exceeded.is_none() {
            let (held, tries) = self.held_by_quotas(&offer, spare, now);
            (latest, dares) = (latest.max(held), tries);
        }
        if let Some(Wait { at, quota }) = latest.filter(|wait| wait.at > now) {
            if at == NEVER {
                return Err(Shortfall::AfterAnswer { quota });
            }
            return Err(Shortfall::Later { quota, at: self.time.instant(at) });
        }
        let debit = self.take(&offer, now);
        Ok(Debit { dares, ..debit })
    }

    /// Debits every quota, into debt where there is no room.
    pub fn reserve_anyway(&mut self, demand: &Demand, now: Instant) -> Debit {
        let now = self.time.advance(now);
        let offer = self.offer(demand);
        self.take(&offer, now)
    }

    fn take(&mut self, offer: &Offer, now: Moment) -> Debit {
        for bank in &mut self.banks {
            bank.debit(&offer.charge, self.leading, now, self.grace.nanos());
        }
        let output = self.outputs.most(offer.bound);
        if output > 0 {
            self.under_way.enter(output, now);
        }
        self.traffic.reserved(&offer.charge);
        self.drift = self.drift.plus(&offer.charge);
        self.contact.begin(now);
        self.ramp.debited(&offer.charge);
        let is_told = self.is_told_tokens();
        let is_absent = offer.bounded != Bounded::Known;
        let absent = is_absent.then(|| self.absent.goes(is_told, now));
        let tries = self.hold.as_mut().and_then(|hold| hold.goes(now));
        if tries.is_none() {
            self.hold = None;
        }
        self.slots.take(now);
        let opens = self.opening.begins(self.slots.taken(), now);
        let debit = Debit {
            granted: now,
            at: now,
            charge: offer.charge,
            prompt: offer.prompt,
            slack: u32::try_from(self.estimates.slack(offer.prompt)).unwrap_or(u32::MAX),
            output,
            leading: self.leading,
            bounded: offer.bounded,
            absent,
            probing: !self.contact.is_made(),
            tries,
            opens,
            dares: false,
            broken_off: false,
            stage: Stage::Reserved,
            told: false,
            left_behind: 0,
            sent: None,
            refusal: None,
        };
        self.open.add(&debit);
        debit
    }

    /// Takes back a debit whose request never got to the provider, as if it had not been.
    pub fn cancel(&mut self, debit: Debit) {
        let now = self.time.latest();
        for bank in &mut self.banks {
            bank.cancel((&debit.charge, debit.leading), debit.left_behind, debit.at, now);
        }
        if debit.stage != Stage::Reserved {
            self.traffic.undone(&debit.charge, now);
        }
        self.close(&debit);
    }

    /// Notes that the request of `debit` is being sent at `now`, and predicts what the provider will
    /// report for it.
    pub fn sent(&mut self, debit: &mut Debit, now: Instant) {
        let now = self.time.advance(now);
        let grace = self.grace.nanos();
        let moves = now.since(debit.at) > PROMPT;
        let mut guesses = [Prediction::default(); MOST_TOLD];
        self.traffic.leaves(&debit.charge);
        let unsent = self.traffic.unsent();
        for bank in &mut self.banks {
            if moves {
                bank.cancel((&debit.charge, debit.leading), debit.left_behind, debit.at, now);
                bank.debit(&debit.charge, debit.leading, now, grace);
            }
            bank.predict(&mut guesses, (debit, &unsent), now, grace);
        }
        if moves {
            if debit.output > 0 {
                self.under_way.leave(debit.output, debit.at);
                self.under_way.enter(debit.output, now);
            }
            self.slots.give_back(debit.at);
            self.slots.take(now);
            debit.at = now;
            debit.left_behind = 0;
        }
        let mark = self.traffic.sent(&debit.charge, now);
        let beliefs = self.banks.iter().map(|bank| bank.beliefs.len()).sum();
        let Open { slack, untold, .. } = self.open;
        debit.sent = Some(Box::new(Sent { mark, slack, untold, guesses, beliefs }));
        debit.stage = Stage::Sent;
    }

    /// Replaces the estimate by what was truly used, at the debit's own time. Returns what that was
    /// charged in the end.
    pub fn settle(&mut self, debit: Debit, usage: &Usage, now: Instant) -> Cost {
        let now = self.time.advance(now);
        let output = usage.output.count();
        self.account(&debit, output, Some(usage), now);
        self.traffic.settled(&debit.charge, (usage.input.count(), output), now);
        if debit.output > 0 {
            self.outputs.learn(output, now.since(debit.at));
        }
        if debit.bounded == Bounded::Assumed && !self.is_told_tokens() {
            self.absent.accept();
        }
        self.close(&debit);
        self.charged(&debit.charge, usage)
    }

    /// Closes a debit whose use will never be known: the estimate stays debited.
    pub fn keep(&mut self, debit: Debit, now: Instant) {
        let now = self.time.advance(now);
        let output = self.outputs.mean(debit.output);
        self.account(&debit, output, None, now);
        self.traffic.over(&debit.charge.assumed, now);
        self.close(&debit);
    }

    /// Books what is known of a request's use.
    fn account(&mut self, debit: &Debit, output: u64, usage: Option<&Usage>, now: Moment) {
        if !debit.leading.reserves_bound() {
            self.drift.estimate = self.drift.estimate.saturating_add(output);
        }
        let settled = Settled {
            charge: &debit.charge,
            leading: debit.leading,
            since: debit.at,
            output,
            usage,
            absent: debit.absent.map(|number| self.absent.charged(number, debit.charge.bound)),
        };
        for bank in &mut self.banks {
            bank.account(&settled, debit.left_behind, now, self.grace.nanos());
        }
        self.slots.learn(debit.at, now);
        self.slot_ended(now);
        self.reach.served(debit.at);
    }

    /// Takes a debit out of the sums over what is under way.
    pub(super) fn close(&mut self, debit: &Debit) {
        if debit.stage == Stage::Reserved {
            self.traffic.leaves(&debit.charge);
        }
        if debit.output > 0 {
            self.under_way.leave(debit.output, debit.at);
        }
        if let Some((hold, tried)) = self.hold.as_mut().zip(debit.tries) {
            hold.tried(tried);
        }
        if let Some(number) = debit.absent {
            self.absent.ends(number);
        }
        self.open.remove(debit);
        self.opening.ended();
        self.slots.give_back(debit.at);
        if debit.broken_off {
            self.slots.break_off(self.time.latest().plus(self.refusal_takes()));
        }
    }

    /// Creates the beliefs about a quota of `kind`.
    pub(super) fn new_bank(&self, kind: QuotaKind, limit: u64, now: Moment) -> Bank {
        self.new_bank_of(kind, (limit, nanos(self.window(kind)).max(1)), now)
    }

    /// Creates the beliefs about a quota of `kind`, with its limit in a window of so many nanoseconds.
    pub(super) fn new_bank_of(&self, kind: QuotaKind, quota: (u64, u64), now: Moment) -> Bank {
        let first = self.banks.iter().map(|bank| bank.beliefs.len()).sum();
        Bank::new(kind, quota, &self.settings, first, now)
    }

    fn fits_slots(&mut self, now: Moment) -> Result<(), Shortfall> {
        let quota = QuotaKind::Concurrency;
        let next = self.slots.next_free(now);
        match (self.slots.most, self.slots.free()) {
            (Some(0), _) => Err(Shortfall::TooLarge { quota, limit: 0, wanted: 1 }),
            (_, Some(0)) => Err(match next {
                Some(at) => Shortfall::Later { quota, at: self.time.instant(at) },
                None => Shortfall::AfterAnswer { quota },
            }),
            _ => Ok(()),
        }
    }

    /// Before the first answer, lets few requests go: a twentieth of what is configured, but one.
    fn first_contact(&self, offer: &Offer, now: Moment) -> Option<Wait> {
        if self.contact.is_made() || self.open.count == 0 {
            return None;
        }
        let quota = QuotaKind::FirstContact;
        if self.banks.is_empty() {
            let (allowed, at) = self.contact.allowance(FIRST_REQUESTS, now);
            return (self.open.count >= allowed).then_some(Wait { at, quota });
        }
        let under_way = self.open.charge.plus(&offer.charge);
        // What others used of a slice is gone before anybody can have said so.
        let lasting = self.banks.iter().filter(|bank| !bank.kind.is_slice());
        let over = lasting.filter_map(|bank| {
            let first = (bank.limit() / FIRST_PART).max(1);
            let (allowed, at) = self.contact.allowance(first, now);
            (bank.most_debit(&under_way, self.leading) > allowed).then_some(Wait { at, quota })
        });
        over.max()
    }
}

impl Open {
    fn add(&mut self, debit: &Debit) {
        self.count += 1;
        self.slack = self.slack.saturating_add(u64::from(debit.slack));
        self.untold = self.untold.saturating_add(u64::from(debit.slack));
        self.charge = self.charge.plus(&debit.charge);
    }

    fn remove(&mut self, debit: &Debit) {
        self.count = self.count.saturating_sub(1);
        self.slack = self.slack.saturating_sub(u64::from(debit.slack));
        self.charge = self.charge.minus(&debit.charge);
    }
}

/// Until when room is short, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wait {
    pub(super) at: Moment,
    pub(super) quota: QuotaKind,
}

/// A request that is sent so soon after its reservation counts from there.
const PROMPT: u64 = 2_000_000;
/// So many requests are under way before the first answer where no limit is known.
pub(super) const FIRST_REQUESTS: u64 = 4;
/// Where one is, so small a part of it.
pub(super) const FIRST_PART: u64 = 20;

//! The levels of all budgets, and who may go by them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::answer::{
    Alarm, Answer, Ask, BudgetId, Color, Hold, Objection, Part, Payer, Planned, Ticket, Tint, Why,
};
use super::period::Span;
use super::settings::{Actions, BudgetSettings, Listeners, Reserves, Scope};
use crate::units::{AppName, Class, ModelName, PicoUsd};

/// All budgets, their levels, and who waits for them.
#[derive(Debug, Default)]
pub struct Budgets {
    /// In the order of the settings.
    pub(super) each: Vec<Budget>,
    pub(super) waiting: BTreeMap<Ticket, Ask>,
    tickets: u64,
    /// How many budgets there have been.
    pub(super) ids: u64,
}

#[derive(Debug)]
pub(super) struct Budget {
    pub(super) id: BudgetId,
    pub(super) settings: BudgetSettings,
    pub(super) span: Span,
    /// Since when it counts what is spent; what was booked before has to be [recalled](Budgets::recall).
    pub(super) since: Duration,
    /// Whether that was.
    pub(super) is_recalled: bool,
    pub(super) booked: PicoUsd,
    pub(super) reserved: PicoUsd,
    /// The last that somebody was told of.
    pub(super) told: Color,
    /// Who waits until something of it is given back.
    pub(super) queue: VecDeque<Ticket>,
}

impl Budgets {
    /// Creates budgets of which nothing is booked in the periods around `now`, the time since 1970-01-01 UTC.
    pub fn new(settings: Vec<BudgetSettings>, now: Duration) -> Self {
        let mut budgets = Self::default();
        let _nobody_waits = budgets.renew(settings, now);
        budgets
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Tells whether somebody may go, and reserves what it costs; who comes while others wait for the same budget
    /// waits behind them.
    pub fn ask(&mut self, ask: Ask, now: Duration) -> Answer {
        self.roll(now);
        match self.judge(&ask, Turn::Comes) {
            Judged::Answered(answer) => answer,
            Judged::Lacks(place) if self.waiting.len() >= MOST_WAITING => {
                let named = self.each.get(place).map(|budget| Arc::clone(&budget.settings.name));
                let budget = named.unwrap_or_default();
                Answer::Refused(Objection { budget, why: Why::Crowded })
            }
            Judged::Lacks(place) => {
                let ticket = Ticket(self.tickets);
                self.tickets += 1;
                self.waiting.insert(ticket, ask);
                let until = self.each.get_mut(place).and_then(|budget| budget.join(ticket));
                Answer::Wait { ticket, until }
            }
        }
    }

    /// Gives a place up; returns who of the others has got an answer by that.
    pub fn leave(&mut self, ticket: Ticket, now: Duration) -> Vec<(Ticket, Answer)> {
        self.waiting.remove(&ticket);
        self.look(now)
    }

    /// Returns who of those that wait has got an answer by the time that has passed.
    pub fn look(&mut self, now: Duration) -> Vec<(Ticket, Answer)> {
        self.roll(now);
        let mut called = Vec::new();
        (0..self.each.len()).for_each(|place| self.call(place, &mut called));
        called
    }

    /// Books what was spent of a hold, which goes on, in the present periods of all budgets that it belongs to by
    /// now; where nobody knows how much, what was reserved. Returns who is to be told.
    pub fn spend(&mut self, hold: &Hold, cost: Option<PicoUsd>, now: Duration) -> Vec<Alarm> {
        self.roll(now);
        let mut alarms = Vec::new();
        let payer = &hold.payer;
        for budget in self.each.iter_mut().filter(|it| it.since <= now && it.belongs(payer)) {
            let reserved = || hold.parts.iter().find(|part| part.budget == budget.id);
            let unknown = || reserved().map(|part| part.amount);
            let amount = cost.or_else(unknown).or_else(|| budget.settings.price(&hold.planned));
            budget.booked = budget.booked + amount.unwrap_or(PicoUsd::ZERO);
            alarms.extend(budget.alarm());
        }
        alarms
    }

    /// Gives back what a hold has reserved; returns who of those that wait has got an answer by that.
    pub fn release(&mut self, hold: Hold, now: Duration) -> Vec<(Ticket, Answer)> {
        self.roll(now);
        for part in &hold.parts {
            let Some(budget) = self.get_mut(part.budget) else { continue };
            let left = budget.reserved.pico().saturating_sub(part.amount.pico());
            budget.reserved = PicoUsd::new(left);
        }
        let mut called = Vec::new();
        for part in hold.parts {
            let place = self.each.iter().position(|budget| budget.id == part.budget);
            place.into_iter().for_each(|place| self.call(place, &mut called));
        }
        called
    }

    fn get_mut(&mut self, id: BudgetId) -> Option<&mut Budget> {
        self.each.iter_mut().find(|budget| budget.id == id)
    }

    /// Lets those go who wait for a budget, in their order, until one does not fit.
    fn call(&mut self, place: usize, called: &mut Vec<(Ticket, Answer)>) {
        while let Some(ticket) =
            self.each.get(place).and_then(|budget| budget.queue.front()).copied()
        {
            let judged =
                self.waiting.get(&ticket).cloned().map(|ask| self.judge(&ask, Turn::Is(ticket)));
            match judged {
                Some(Judged::Lacks(other)) if other == place => return,
                Some(Judged::Lacks(other)) => {
                    let _until = self.each.get_mut(other).and_then(|budget| budget.join(ticket));
                }
                Some(Judged::Answered(answer)) => {
                    self.waiting.remove(&ticket);
                    called.push((ticket, answer));
                }
                None => {} // It has left.
            }
            if let Some(budget) = self.each.get_mut(place) {
                budget.queue.pop_front();
            }
        }
    }

    /// Judges a request by every budget that it belongs to, and reserves from all of them if it fits.
    pub(super) fn judge(&mut self, ask: &Ask, turn: Turn) -> Judged {
        let (mut parts, mut tint) = (Vec::new(), None);
        for (place, budget) in self.each.iter().enumerate() {
            if !budget.belongs(&ask.payer) {
                continue;
            }
            let named = || Arc::clone(&budget.settings.name);
            let answer = match budget.judge(ask, turn) {
                Verdict::Fits(amount) => {
                    parts.push(Part { budget: budget.id, amount });
                    let color = budget.color();
                    if color > tint.as_ref().map_or(Color::Green, |worst: &Tint| worst.color) {
                        tint = Some(Tint { budget: named(), color });
                    }
                    continue;
                }
                Verdict::Lacks => return Judged::Lacks(place),
                Verdict::Paused => {
                    let why = Why::Paused { until: budget.span.end };
                    Answer::Paused(Objection { budget: named(), why })
                }
                Verdict::Instead(model) => Answer::Instead { budget: named(), model },
                Verdict::Refused(why) => Answer::Refused(Objection { budget: named(), why }),
            };
            return Judged::Answered(answer);
        }
        for part in &parts {
            if let Some(budget) = self.get_mut(part.budget) {
                budget.reserved = budget.reserved + part.amount;
            }
        }
        let (payer, planned, model) = (ask.payer.clone(), ask.planned, ask.model.clone());
        Judged::Answered(Answer::Go(Hold { payer, planned, model, parts, tint }))
    }

    /// Begins the next period of each budget whose present one is over. What is under way will be booked in it.
    pub(super) fn roll(&mut self, now: Duration) {
        for budget in &mut self.each {
            if budget.span.is_over(now) {
                budget.span = budget.settings.period.around(now, &budget.settings.zone);
                // Nothing was booked in it yet.
                budget.is_recalled = true;
                budget.booked = PicoUsd::ZERO;
                budget.told = Color::Green;
            }
        }
    }
}

/// So many may wait for money at one time.
const MOST_WAITING: usize = 10_000;

/// Whether somebody has waited.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// It comes now, and goes behind all who wait.
    Comes,
    /// It has this place.
    Is(Ticket),
}

/// What becomes of a request.
pub(super) enum Judged {
    Answered(Answer),
    /// Too much of the budget at this place is reserved.
    Lacks(usize),
}

/// What one budget says of it.
pub(super) enum Verdict {
    Fits(PicoUsd),
    Lacks,
    Paused,
    Instead(ModelName),
    Refused(Why),
}

impl Budget {
    /// Puts somebody into the queue, by the time at which it came; returns when the period ends.
    pub(super) fn join(&mut self, ticket: Ticket) -> Option<Duration> {
        let place = self.queue.partition_point(|other| *other < ticket);
        self.queue.insert(place, ticket);
        self.span.end
    }

    /// Tells whether it is this one's money.
    pub(super) fn belongs(&self, payer: &Payer) -> bool {
        self.settings.scope.holds(&payer.app, &payer.labels)
    }

    pub(super) fn judge(&self, ask: &Ask, turn: Turn) -> Verdict {
        let Some(planned) = self.settings.price(&ask.planned) else {
            return Verdict::Refused(Why::Unpriced(ask.model.clone()));
        };
        let ceiling = self.ceiling();
        let actions = self.actions(if self.booked + planned > ceiling {
            Color::Red // Short of what is booked.
        } else {
            self.color()
        });
        if actions.steps_down
            && ask.is_movable
            && let Some(model) = self.settings.cheaper(&ask.model)
        {
            return Verdict::Instead(model);
        }
        if actions.refuses {
            let amount = self.settings.amount;
            return Verdict::Refused(if planned > ceiling && self.color() < Color::Red {
                Why::TooDear { planned, amount: ceiling }
            } else {
                Why::Spent { amount, booked: self.booked, until: self.span.end }
            });
        }
        if actions.pauses_batch && ask.class == Class::Batch {
            return Verdict::Paused;
        }
        let refuses = self.actions(Color::Red).refuses;
        let is_short = refuses && self.booked + self.reserved + planned > ceiling;
        let is_behind = match turn {
            Turn::Comes => !self.queue.is_empty(),
            Turn::Is(ticket) => self.queue.front().is_some_and(|first| *first < ticket),
        };
        if is_short || refuses && is_behind {
            return Verdict::Lacks;
        }
        Verdict::Fits(planned)
    }

    pub(super) fn color(&self) -> Color {
        match self.booked {
            booked if booked >= self.part(self.settings.red) => Color::Red,
            booked if booked >= self.part(self.settings.yellow) => Color::Yellow,
            _ => Color::Green,
        }
    }

    /// Returns what happens at a color.
    fn actions(&self, color: Color) -> Actions {
        match color {
            Color::Green => Actions::default(),
            Color::Yellow => self.settings.on_yellow,
            Color::Red => self.settings.on_yellow.and(self.settings.on_red),
        }
    }

    /// Returns up to what may be booked before it is red.
    fn ceiling(&self) -> PicoUsd {
        self.part(self.settings.red)
    }

    fn part(&self, thousandths: u32) -> PicoUsd {
        let part = u128::from(self.settings.amount.pico()) * u128::from(thousandths) / 1_000;
        PicoUsd::new(u64::try_from(part).unwrap_or(u64::MAX))
    }

    /// Returns what is to be told, once for each color that it comes to.
    fn alarm(&mut self) -> Option<Alarm> {
        let color = self.color();
        if color <= self.told {
            return None;
        }
        self.told = color;
        self.actions(color).warns.then(|| self.state(self.settings.listeners.clone()))
    }

    /// Returns how it stands, for `listeners`.
    pub(super) fn state(&self, listeners: Listeners) -> Alarm {
        Alarm {
            budget: Arc::clone(&self.settings.name),
            color: self.color(),
            booked: self.booked,
            amount: self.settings.amount,
            until: self.span.end,
            listeners,
        }
    }
}

impl Scope {
    fn holds(&self, app: &AppName, labels: &[Arc<str>]) -> bool {
        let is_everybody = self.apps.is_empty() && self.labels.is_empty();
        let has_label = || self.labels.iter().any(|label| labels.contains(label));
        is_everybody || self.apps.contains(app) || has_label()
    }
}

impl BudgetSettings {
    /// Returns what a request reserves; `None` where its model has no price and none is configured.
    fn price(&self, planned: &Planned) -> Option<PicoUsd> {
        let by = |expected, most| match self.reserves {
            Reserves::Expected => expected,
            Reserves::Most => most,
        };
        match *planned {
            Planned::Priced { expected, most } => {
                Some(if self.reserves == Reserves::Most { most } else { expected })
            }
            // A websocket: what is asked on it is priced when it is.
            Planned::Unpriced { most: 0, .. } => Some(PicoUsd::ZERO),
            Planned::Unpriced { expected, most } => {
                let million = u128::from(self.unknown_price?.pico());
                let cost = u128::from(by(expected, most)) * million / 1_000_000;
                Some(PicoUsd::new(u64::try_from(cost).unwrap_or(u64::MAX)))
            }
        }
    }

    fn cheaper(&self, model: &ModelName) -> Option<ModelName> {
        let found = self.step_down.iter().find(|(from, _)| from == model);
        found.map(|(_, to)| to.clone())
    }
}

//! Other settings for budgets that are in use, and what they take over of the past.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{Alarm, Answer, BudgetId, Color, Payer, Ticket};
use super::book::{Budget, Budgets, Judged, Turn};
use super::settings::{BudgetSettings, Listeners};
use crate::units::PicoUsd;

/// What a budget does not know of its present period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Which budget.
    pub budget: BudgetId,
    /// The first moment of it, since 1970-01-01 UTC.
    pub begin: Duration,
    /// The first moment that is not in it.
    pub end: Duration,
}

/// How a budget stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Its settings.
    pub settings: BudgetSettings,
    /// When its period began, since 1970-01-01 UTC.
    pub begin: Duration,
    /// When that ends; `None`: never.
    pub end: Option<Duration>,
    /// How much of it is booked.
    pub booked: PicoUsd,
    /// How much requests under way have reserved.
    pub reserved: PicoUsd,
    /// What that makes of it.
    pub color: Color,
    /// How many wait until something of it is given back.
    pub waiting: usize,
}

impl Budgets {
    /// Goes on with other settings. A budget of the same name, owner and period keeps its level; of others, the past
    /// has to be [recalled](Self::recall). Returns who of those that wait has got an answer by that.
    pub fn renew(&mut self, settings: Vec<BudgetSettings>, now: Duration) -> Vec<(Ticket, Answer)> {
        self.roll(now);
        let mut before = std::mem::take(&mut self.each);
        for settings in settings {
            let known = before.iter().position(|budget| budget.is_continued_by(&settings));
            let budget = match known.map(|place| before.swap_remove(place)) {
                Some(known) => known.with(settings),
                None => {
                    self.ids += 1;
                    Budget::new(BudgetId(self.ids), settings, now)
                }
            };
            self.each.push(budget);
        }
        self.each.iter_mut().for_each(|budget| budget.queue.clear());
        let mut called = Vec::new();
        let waiting: Vec<Ticket> = self.waiting.keys().copied().collect();
        for ticket in waiting {
            let Some(ask) = self.waiting.get(&ticket).cloned() else { continue };
            match self.judge(&ask, Turn::Is(ticket)) {
                Judged::Lacks(place) => {
                    let _until = self.each.get_mut(place).and_then(|budget| budget.join(ticket));
                }
                Judged::Answered(answer) => {
                    self.waiting.remove(&ticket);
                    called.push((ticket, answer));
                }
            }
        }
        called
    }

    /// Returns what budgets do not know of their present periods.
    pub fn gaps(&mut self, now: Duration) -> Vec<Gap> {
        self.roll(now);
        let unknown = self.each.iter().filter(|budget| !budget.is_recalled);
        let gap = |it: &Budget| Gap { budget: it.id, begin: it.span.begin, end: it.since };
        unknown.map(gap).collect()
    }

    /// Takes in what was booked in a gap, by who paid. Returns how the budget stands if it is not green: those who
    /// listen heard it when it came to that.
    pub fn recall(&mut self, gap: Gap, spent: &[(Payer, PicoUsd)]) -> Option<Alarm> {
        let is_of = |it: &&mut Budget| it.id == gap.budget && it.span.begin == gap.begin;
        let budget = self.each.iter_mut().find(is_of).filter(|it| !it.is_recalled)?;
        budget.is_recalled = true;
        let own = spent.iter().filter(|(payer, _)| budget.belongs(payer));
        let sum: PicoUsd = own.map(|(_, cost)| *cost).sum();
        budget.booked = budget.booked + sum;
        budget.told = budget.color();
        (budget.told > Color::Green).then(|| budget.state(Listeners::default()))
    }

    /// Returns how each budget stands, in the order of the settings.
    pub fn levels(&mut self, now: Duration) -> Vec<Level> {
        self.roll(now);
        let level = |budget: &Budget| Level {
            settings: budget.settings.clone(),
            begin: budget.span.begin,
            end: budget.span.end,
            booked: budget.booked,
            reserved: budget.reserved,
            color: budget.color(),
            waiting: budget.queue.len(),
        };
        self.each.iter().map(level).collect()
    }
}

impl Budget {
    fn new(id: BudgetId, settings: BudgetSettings, now: Duration) -> Self {
        Self {
            id,
            span: settings.period.around(now, &settings.zone),
            settings,
            since: now,
            is_recalled: false,
            booked: PicoUsd::ZERO,
            reserved: PicoUsd::ZERO,
            told: Color::Green,
            queue: VecDeque::new(),
        }
    }

    /// Tells whether what was booked by it is booked by these settings, too.
    fn is_continued_by(&self, next: &BudgetSettings) -> bool {
        let BudgetSettings { name, scope, period, zone, .. } = &self.settings;
        Arc::clone(name) == next.name
            && *scope == next.scope
            && *period == next.period
            && *zone == next.zone
    }

    fn with(self, settings: BudgetSettings) -> Self {
        let mut next = Self { settings, ..self };
        // Where it is better off than before, it is told of anew.
        next.told = next.told.min(next.color());
        next
    }
}

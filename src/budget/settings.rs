//! A budget as it is configured.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::period::Period;
use crate::units::{AppName, ModelName, PicoUsd, Secret};

/// A budget as it is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetSettings {
    /// Its name in answers, logs and reports.
    pub name: Arc<str>,
    /// Whose money it is.
    pub scope: Scope,
    /// How much may be spent in a period.
    pub amount: PicoUsd,
    /// How long that has to last.
    pub period: Period,
    /// Whose calendar counts.
    pub zone: TimeZone,
    /// From which part of the amount on it is yellow, in thousandths.
    pub yellow: u32,
    /// From which part on it is red, in thousandths: what would exceed that part is red, too.
    pub red: u32,
    /// What happens while it is yellow or red.
    pub on_yellow: Actions,
    /// What else happens while it is red.
    pub on_red: Actions,
    /// What is asked instead of a model while it is to be stepped down, in the order of looking.
    pub step_down: Vec<(ModelName, ModelName)>,
    /// What a million tokens of a model without prices are taken to cost, input and output alike; `None`: such
    /// a model is refused.
    pub unknown_price: Option<PicoUsd>,
    /// Whether a request reserves all that it may cost, not what it is expected to.
    pub reserves: Reserves,
    /// Who is told, beside the log, when it warns.
    pub listeners: Listeners,
}

/// Who is told of a budget that warns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listeners {
    /// An `http` or `https` address that gets it as JSON; it may hold a password.
    pub webhook: Option<Secret>,
    /// A program and its arguments, which gets it in its environment; empty: none.
    pub command: Vec<Arc<str>>,
}

impl Listeners {
    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.webhook.is_none() && self.command.is_empty()
    }
}

/// Whose money it is: that of all who are named, together; of everybody, where nobody is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// These apps.
    pub apps: Vec<AppName>,
    /// All apps with one of these labels.
    pub labels: Vec<Arc<str>>,
}

/// How much a request reserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reserves {
    /// What it is expected to cost.
    #[default]
    Expected,
    /// The most that it may cost.
    Most,
}

/// What happens when so much is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions {
    /// Somebody is told.
    pub warns: bool,
    /// A cheaper model is asked.
    pub steps_down: bool,
    /// Requests of the class `batch` wait.
    pub pauses_batch: bool,
    /// Requests are refused.
    pub refuses: bool,
}

impl Actions {
    /// Returns what happens by one of both.
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            warns: self.warns || other.warns,
            steps_down: self.steps_down || other.steps_down,
            pauses_batch: self.pauses_batch || other.pauses_batch,
            refuses: self.refuses || other.refuses,
        }
    }
}

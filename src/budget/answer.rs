//! What is asked of budgets, and what they answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::settings::Listeners;
use crate::units::{AppName, Class, ModelName, PicoUsd};

/// What somebody wants to spend, and on what.
#[derive(Debug, Clone)]
pub struct Ask {
    /// On whose behalf.
    pub payer: Payer,
    /// How urgent it is.
    pub class: Class,
    /// The model that is to be asked.
    pub model: ModelName,
    /// Whether another one can be asked instead.
    pub is_movable: bool,
    /// What it costs.
    pub planned: Planned,
}

/// Whose budgets something belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payer {
    /// The app.
    pub app: AppName,
    /// The labels of that app.
    pub labels: Arc<[Arc<str>]>,
}

/// What a request is going to cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// As much as is expected, and the most that it may be.
    Priced {
        /// What it is expected to cost.
        expected: PicoUsd,
        /// The most that it may cost.
        most: PicoUsd,
    },
    /// Its model has no prices: tokens that are expected, and the most that there may be.
    Unpriced {
        /// Expected tokens, input and output.
        expected: u64,
        /// The most that it may be.
        most: u64,
    },
}

/// The place of somebody who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What a request has reserved, of every budget that it belongs to.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is not released stays reserved"]
pub struct Hold {
    pub(super) payer: Payer,
    pub(super) planned: Planned,
    pub(super) model: ModelName,
    pub(super) parts: Vec<Part>,
    pub(super) tint: Option<Tint>,
}

impl Hold {
    /// Returns the first of its budgets that is worst off, if one is not green.
    pub const fn tint(&self) -> Option<&Tint> {
        self.tint.as_ref()
    }
}

/// A budget that is not green.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tint {
    /// Which.
    pub budget: Arc<str>,
    /// What it is.
    pub color: Color,
}

/// A budget, as long as the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BudgetId(pub(super) u64);

/// What was reserved of one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) budget: BudgetId,
    pub(super) amount: PicoUsd,
}

/// Whether a request may go.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may, and this is reserved.
    Go(Hold),
    /// Others have reserved what it needs: it is called.
    Wait {
        /// Its place.
        ticket: Ticket,
        /// When to [look](super::Budgets::look) if nobody calls it before; `None`: never.
        until: Option<Duration>,
    },
    /// Its class is [paused](Why::Paused): nobody calls it.
    Paused(Objection),
    /// It is to ask for this model instead.
    Instead {
        /// By which budget.
        budget: Arc<str>,
        /// The cheaper one.
        model: ModelName,
    },
    /// It may not.
    Refused(Objection),
}

/// Why a request may not go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// By which budget.
    pub budget: Arc<str>,
    /// What is against it.
    pub why: Why,
}

impl Objection {
    /// Returns when to ask again, as time since 1970-01-01 UTC, if that is known.
    pub const fn until(&self) -> Option<Duration> {
        match self.why {
            Why::Spent { until, .. } | Why::Paused { until } => until,
            Why::TooDear { .. } | Why::Unpriced(_) | Why::Crowded => None,
        }
    }

    /// Tells whether coming back soon would be in vain.
    pub const fn is_for_long(&self) -> bool {
        !matches!(self.why, Why::Crowded)
    }
}

/// What is against a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The money is spent.
    Spent {
        /// How much there was.
        amount: PicoUsd,
        /// How much of it is booked.
        booked: PicoUsd,
        /// When there is money again, since 1970-01-01 UTC.
        until: Option<Duration>,
    },
    /// It costs more than there is in a whole period.
    TooDear {
        /// What it may cost.
        planned: PicoUsd,
        /// How much there is.
        amount: PicoUsd,
    },
    /// Nobody knows what its model costs.
    Unpriced(ModelName),
    /// The class `batch` is paused.
    Paused {
        /// When to ask again; `None`: never.
        until: Option<Duration>,
    },
    /// Too many wait for money already.
    Crowded,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budget = &self.budget;
        match &self.why {
            Why::Spent { amount, booked, until } => {
                write!(
                    f,
                    "the budget `{budget}` has not enough left: {booked} of {amount} USD are spent"
                )?;
                match until.and_then(date) {
                    Some(until) => write!(f, "; there is money again at {until}"),
                    None => f.write_str("; it has to be raised"),
                }
            }
            Why::TooDear { planned, amount } => write!(
                f,
                "the request may cost {planned} USD, and the budget `{budget}` has {amount} USD in all: make it \
                 smaller (its prompt, or its max_tokens where it has one), or raise the budget"
            ),
            Why::Unpriced(model) => write!(
                f,
                "nobody knows what the model `{model}` costs, and the budget `{budget}` counts money: add \
                 `[[prices]]` with `model = \"{model}\"`, `input` and `output` (USD for a million tokens) to the \
                 configuration, or give the budget an `unknown_price`"
            ),
            Why::Paused { until } => {
                write!(f, "the budget `{budget}` pauses the class batch")?;
                until.and_then(date).map_or(Ok(()), |until| write!(f, " until {until}"))
            }
            Why::Crowded => {
                write!(
                    f,
                    "too many requests wait for the budget `{budget}`, which others have reserved"
                )
            }
        }
    }
}

/// Writes a time since 1970-01-01 UTC as RFC 3339 does.
fn date(since_epoch: Duration) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(since_epoch.as_secs()).ok()?).ok()
}

/// How much of a budget is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Color {
    /// Enough is left.
    #[default]
    Green,
    /// Somebody should know.
    Yellow,
    /// It is spent.
    Red,
}

impl Color {
    /// Returns the word for logs, headers and reports.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }
}

/// A budget has come to another color, and is to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Which budget.
    pub budget: Arc<str>,
    /// What it has come to.
    pub color: Color,
    /// How much is booked.
    pub booked: PicoUsd,
    /// How much there is.
    pub amount: PicoUsd,
    /// When there is money again.
    pub until: Option<Duration>,
    /// Who is told beside the log.
    pub listeners: Listeners,
}

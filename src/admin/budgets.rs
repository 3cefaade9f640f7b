//! Shows how much of each budget is spent.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::line::escaped;
use crate::budget::Level;
use crate::units::PicoUsd;

/// Returns the page.
pub(super) fn json(levels: &[Level]) -> String {
    let page = Page { budgets: levels.iter().map(View::of).collect() };
    // Numbers and texts cannot fail to be written.
    serde_json::to_string_pretty(&page).unwrap_or_default()
}

/// Returns what is measured of them; nothing where there are none.
pub(super) fn metrics(levels: &[Level]) -> String {
    let mut text = String::new();
    if levels.is_empty() {
        return text;
    }
    let mut write = |name: &str, help: &str, of: fn(&Level) -> PicoUsd| {
        // Writing to a text cannot fail.
        let _written = write!(
            text,
            "# HELP sluicegate_budget_{name}_usd {help}.\n# TYPE sluicegate_budget_{name}_usd gauge\n\
             # UNIT sluicegate_budget_{name}_usd usd\n"
        );
        for level in levels {
            let budget = escaped(&level.settings.name);
            let amount = of(level).exact();
            let _written =
                writeln!(text, "sluicegate_budget_{name}_usd{{budget=\"{budget}\"}} {amount}");
        }
    };
    write("amount", "What a budget has in a period", |level| level.settings.amount);
    write("booked", "What is spent of a budget in its present period", |level| level.booked);
    write("reserved", "What requests under way have reserved of a budget", |level| level.reserved);
    text
}

#[derive(Serialize)]
struct Page<'a> {
    budgets: Vec<View<'a>>,
}

/// Amounts are exact decimals in US dollars, written as texts: numbers would be rounded by those who read them.
#[derive(Serialize)]
struct View<'a> {
    budget: &'a str,
    color: &'static str,
    amount_usd: String,
    booked_usd: String,
    reserved_usd: String,
    /// How many requests wait until something is given back.
    waiting: usize,
    per: &'static str,
    since: Option<String>,
    /// `null` where it never ends.
    until: Option<String>,
    /// Empty, as `labels`, where it is everybody's.
    apps: Vec<&'a str>,
    labels: Vec<&'a str>,
}

impl<'a> View<'a> {
    fn of(level: &'a Level) -> Self {
        let settings = &level.settings;
        Self {
            budget: &settings.name,
            color: level.color.label(),
            amount_usd: settings.amount.exact(),
            booked_usd: level.booked.exact(),
            reserved_usd: level.reserved.exact(),
            waiting: level.waiting,
            per: settings.period.label(),
            since: date(level.begin),
            until: level.end.and_then(date),
            apps: settings.scope.apps.iter().map(|app| app.as_str()).collect(),
            labels: settings.scope.labels.iter().map(|label| &**label).collect(),
        }
    }
}

/// Writes a time since 1970-01-01 UTC as RFC 3339 does.
fn date(since_epoch: Duration) -> Option<String> {
    let seconds = i64::try_from(since_epoch.as_secs()).ok()?;
    Timestamp::from_second(seconds).ok().map(|date| date.to_string())
}

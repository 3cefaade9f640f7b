//! What is said on the command line of what an app is granted.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::AppsError;
use crate::config::{UtcTime, app_budget};
use crate::ledger::AppTerms;
use crate::units::{AppName, Class};

/// What an app may use and ask for; what is not said stays as it is.
#[derive(Debug, Args)]
pub(super) struct Granted {
    /// Requests in any minute, or `none`
    #[arg(long, value_name = "N")]
    rpm: Option<Limit>,
    /// Tokens in any minute, or `none`
    #[arg(long, value_name = "N")]
    tpm: Option<Limit>,
    /// Requests in any day, or `none`
    #[arg(long, value_name = "N")]
    rpd: Option<Limit>,
    /// Tokens in any day, or `none`
    #[arg(long, value_name = "N")]
    tpd: Option<Limit>,
    /// Requests under way at one time, or `none`
    #[arg(long, value_name = "N")]
    concurrency: Option<Limit>,
    /// Reserve the most that a request may write, so that no window holds more than its limit
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    strict: Option<bool>,
    /// The class of its requests
    #[arg(long, value_parser = CLASSES)]
    class: Option<String>,
    /// The highest class that they may ask for [default: its class]
    #[arg(long, value_parser = CLASSES)]
    max_class: Option<String>,
    /// Its part among the apps of its class; 100 is usual
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    weight: Option<u32>,
    /// Let it say which account serves a request
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    choose_account: Option<bool>,
    /// What else it is known by, such as team=search; several times, or `none`
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// A model that it may ask for, such as "gpt-4o*"; several times, or `none` for all
    #[arg(long = "model", value_name = "PATTERN")]
    models: Vec<String>,
    /// A path that it may ask for, such as "/chat/*"; several times, or `none` for all
    #[arg(long = "endpoint", value_name = "PATTERN")]
    endpoints: Vec<String>,
    /// When its keys stop to work: 30d, 2026-12-31, 2026-12-31T18:00:00Z or `none`
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

/// How much money an app may spend.
#[derive(Debug, Args)]
pub(super) struct BudgetArgs {
    /// The amount in US dollars, such as 10usd or 2.50
    #[arg(long, value_name = "USD", required_unless_present = "none", conflicts_with = "none")]
    amount: Option<String>,
    /// How long it has to last
    #[arg(long, value_parser = ["day", "week", "month", "total"], required_unless_present = "none")]
    per: Option<String>,
    /// Whose calendar counts, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// From how many percent on it is yellow [default: 80]
    #[arg(long, value_name = "PERCENT")]
    yellow: Option<u32>,
    /// From how many percent on it is red [default: 100]
    #[arg(long, value_name = "PERCENT")]
    red: Option<u32>,
    /// What happens from yellow on: warn, pause_batch, refuse [default: warn]
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    on_yellow: Vec<String>,
    /// What else happens when it is red [default: warn,refuse]
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    on_red: Vec<String>,
    /// Dollars for a million tokens of models without prices; without it they are refused
    #[arg(long, value_name = "USD")]
    unknown_price: Option<String>,
    /// Reserve all that a request may cost, so that nothing is overspent
    #[arg(long)]
    strict: bool,
    /// Let it spend what it likes
    #[arg(long)]
    none: bool,
}

const CLASSES: [&str; 3] = ["interactive", "standard", "batch"];

/// A limit, or that there is none.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<u64>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.replace('_', "").parse::<u64>().ok().filter(|number| *number > 0);
        match (text, number) {
            ("none", _) => Ok(Self(None)),
            (_, Some(number)) => Ok(Self(Some(number))),
            _ => Err("it must be a whole number of at least 1, or `none`".to_owned()),
        }
    }
}

impl Granted {
    /// Takes over what was said at `now`, as time since 1970-01-01 UTC.
    pub(super) fn apply(&self, terms: &mut AppTerms, now: Duration) -> Result<(), AppsError> {
        for (given, kept) in [
            (&self.rpm, &mut terms.requests_per_minute),
            (&self.tpm, &mut terms.tokens_per_minute),
            (&self.rpd, &mut terms.requests_per_day),
            (&self.tpd, &mut terms.tokens_per_day),
            (&self.concurrency, &mut terms.concurrency),
        ] {
            if let Some(Limit(limit)) = given {
                *kept = *limit;
            }
        }
        terms.strict = self.strict.unwrap_or(terms.strict);
        terms.choose_account = self.choose_account.unwrap_or(terms.choose_account);
        terms.weight = self.weight.or(terms.weight);
        for (given, kept) in
            [(&self.class, &mut terms.class), (&self.max_class, &mut terms.max_class)]
        {
            if given.is_some() {
                kept.clone_from(given);
            }
        }
        for (given, kept) in [
            (&self.labels, &mut terms.labels),
            (&self.models, &mut terms.models),
            (&self.endpoints, &mut terms.endpoints),
        ] {
            match given.as_slice() {
                [] => {}
                [none] if none == "none" => kept.clear(),
                some => *kept = some.to_vec(),
            }
        }
        if let Some(when) = &self.expires {
            terms.expires = expiry(when, now)?;
        }
        check(terms)
    }
}

/// Checks what was taken over.
fn check(terms: &AppTerms) -> Result<(), AppsError> {
    let class = |label: &Option<String>| Class::from_label(label.as_deref().unwrap_or_default());
    let usual = class(&terms.class).unwrap_or_default();
    if let (Some(most), Some(label)) = (class(&terms.max_class), &terms.max_class)
        && most < usual
    {
        let rule = "it must be at least the app's class";
        return Err(AppsError::Wrong { what: "--max-class", found: label.clone(), rule });
    }
    let is_label = |label: &str| {
        (1..=64).contains(&label.len()) && label.bytes().all(|it| it.is_ascii_graphic())
    };
    if let Some(label) = terms.labels.iter().find(|label| !is_label(label)) {
        let rule = "it must have 1 to 64 printable ASCII characters, without blanks";
        return Err(AppsError::Wrong { what: "--label", found: label.clone(), rule });
    }
    let mut patterns = terms.models.iter().chain(&terms.endpoints);
    if let Some(empty) = patterns.find(|pattern| pattern.is_empty()) {
        let rule = "it must not be empty";
        return Err(AppsError::Wrong { what: "a pattern", found: empty.clone(), rule });
    }
    Ok(())
}

/// Reads when keys stop to work, in seconds since 1970-01-01 UTC.
fn expiry(when: &str, now: Duration) -> Result<Option<u64>, AppsError> {
    if when == "none" {
        return Ok(None);
    }
    let from_now = humantime::parse_duration(when).ok().map(|span| now.saturating_add(span));
    let at = from_now.or_else(|| UtcTime::read(when).map(|UtcTime(at)| at));
    match at.filter(|at| *at > now) {
        Some(at) => Ok(Some(at.as_secs())),
        None => {
            let rule = "it must be a time to come, such as 30d, 2026-12-31 or `none`";
            Err(AppsError::Wrong { what: "--expires", found: when.to_owned(), rule })
        }
    }
}

impl BudgetArgs {
    /// Returns the lines of the budget as the configuration would have them; `None` for none.
    pub(super) fn lines(&self, app: &AppName) -> Result<Option<String>, AppsError> {
        let (Some(amount), Some(per)) = (&self.amount, &self.per) else { return Ok(None) };
        let dollars = |text: &str| text.trim_end_matches("usd").trim().to_owned();
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let mut lines = vec![format!("usd = {}", dollars(amount)), format!("per = {}", text(per))];
        lines.extend(self.time_zone.as_ref().map(|zone| format!("time_zone = {}", text(zone))));
        lines.extend(self.yellow.map(|percent| format!("yellow = {percent}")));
        lines.extend(self.red.map(|percent| format!("red = {percent}")));
        for (key, actions) in [("on_yellow", &self.on_yellow), ("on_red", &self.on_red)] {
            if !actions.is_empty() {
                let actions: Vec<String> = actions.iter().map(|action| text(action)).collect();
                lines.push(format!("{key} = [{}]", actions.join(", ")));
            }
        }
        let price = self.unknown_price.as_ref();
        lines.extend(price.map(|price| format!("unknown_price = {}", dollars(price))));
        if self.strict {
            lines.push("strict = true".to_owned());
        }
        let lines = lines.join("\n");
        match app_budget(app, &lines) {
            Ok(_) => Ok(Some(lines)),
            Err(problems) => {
                let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Err(AppsError::Budget(told.join("; ")))
            }
        }
    }
}

//! Shows apps, in a table for people and as JSON for programs; never a key.

use std::time::Duration;

use serde::Serialize;

use crate::config::{AppSettings, ModelPattern, Settings, UtcTime};
use crate::ledger::{KeptApp, KeptApps};

/// An app as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    name: String,
    /// `config` or `store`.
    kept_in: &'static str,
    /// `active`, `revoked`, `expired` or `shadowed`: the configuration has one of its name.
    state: &'static str,
    class: &'static str,
    max_class: &'static str,
    weight: u32,
    labels: Vec<String>,
    requests_per_minute: Option<u64>,
    tokens_per_minute: Option<u64>,
    requests_per_day: Option<u64>,
    tokens_per_day: Option<u64>,
    concurrency: Option<u64>,
    strict: bool,
    models: Vec<String>,
    endpoints: Vec<String>,
    made: Option<String>,
    expires: Option<String>,
    /// The lines of its budget.
    budget: Option<String>,
    keys: Vec<ListedKey>,
}

/// A key as it is shown: it cannot be told from this.
#[derive(Debug, Serialize)]
struct ListedKey {
    /// The first digits of its SHA-256.
    sha256: String,
    until: Option<String>,
}

impl Listed {
    /// Returns all apps of the configuration and of the store.
    pub(super) fn all(settings: &Settings, kept: &KeptApps, now: Duration) -> Vec<Self> {
        let configured = settings.apps.iter().map(|app| Self::of(app, None, now));
        let stored = kept.apps.iter().map(|app| {
            let mut listed = Self::of(&app.settings(), Some(app), now);
            if settings.apps.iter().any(|other| other.name == app.name) {
                listed.state = "shadowed";
            }
            listed
        });
        configured.chain(stored).collect()
    }

    fn of(app: &AppSettings, kept: Option<&KeptApp>, now: Duration) -> Self {
        let limits = &app.limits;
        let texts = |patterns: &[ModelPattern]| {
            patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect()
        };
        let keys = app.keys.iter().filter(|key| key.until.is_none_or(|until| until > now));
        let key = |until: Option<Duration>| until.map(|until| UtcTime(until).text());
        Self {
            name: app.name.to_string(),
            kept_in: if kept.is_some() { "store" } else { "config" },
            state: match app.expires {
                _ if kept.is_some_and(|app| app.revoked_at.is_some()) => "revoked",
                Some(at) if at <= now => "expired",
                _ => "active",
            },
            class: app.class.label(),
            max_class: app.max_class.label(),
            weight: app.weight,
            labels: app.labels.iter().map(|label| label.to_string()).collect(),
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
            requests_per_day: limits.requests_per_day,
            tokens_per_day: limits.tokens_per_day,
            concurrency: limits.concurrency,
            strict: limits.is_strict(),
            models: texts(&app.models),
            endpoints: texts(&app.endpoints),
            made: kept.map(|app| UtcTime(app.made_at).text()),
            expires: key(app.expires),
            budget: kept.and_then(|app| app.terms.budget.clone()),
            keys: keys
                .map(|one| ListedKey { sha256: one.digest.short(), until: key(one.until) })
                .collect(),
        }
    }

    /// Returns what it may use, in a few words.
    fn limits(&self) -> String {
        let limits = [
            ("rpm", self.requests_per_minute),
            ("tpm", self.tokens_per_minute),
            ("rpd", self.requests_per_day),
            ("tpd", self.tokens_per_day),
            ("at once", self.concurrency),
        ];
        let limits =
            limits.iter().filter_map(|(name, limit)| Some(format!("{} {name}", (*limit)?)));
        listed(limits.collect())
    }

    fn row(&self) -> [String; 8] {
        let budget = self.budget.as_deref().map(|lines| lines.replace('\n', ", "));
        [
            self.name.clone(),
            self.state.to_owned(),
            self.kept_in.to_owned(),
            format!("{} {}", self.class, self.weight),
            self.limits(),
            listed([self.models.as_slice(), &self.endpoints].concat()),
            self.expires.clone().unwrap_or_else(|| NOTHING.to_owned()),
            budget.unwrap_or_else(|| NOTHING.to_owned()),
        ]
    }
}

/// Returns apps as JSON.
pub(super) fn json(apps: &[Listed]) -> String {
    // Plain numbers and texts cannot fail to be written.
    format!("{}\n", serde_json::to_string_pretty(apps).unwrap_or_default())
}

/// Returns apps as a table.
pub(super) fn table(apps: &[Listed]) -> String {
    if apps.is_empty() {
        return String::from("there are no apps: programs on this machine need no key\n");
    }
    let titles = ["APP", "STATE", "IN", "CLASS", "LIMITS", "MAY ASK FOR", "EXPIRES", "BUDGET"]
        .map(str::to_owned);
    let rows: Vec<[String; 8]> =
        std::iter::once(titles).chain(apps.iter().map(Listed::row)).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let lines = rows.iter().map(|row| {
        let cells = row.iter().enumerate();
        let cells: Vec<String> =
            cells.map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
        format!("{}\n", cells.join("  ").trim_end())
    });
    lines.collect()
}

fn listed(words: Vec<String>) -> String {
    if words.is_empty() { NOTHING.to_owned() } else { words.join(", ") }
}

/// Stands for what is as usual.
const NOTHING: &str = "-";

//! Puts the environment and the flags above what the files say.
//!
//! # Invariants
//!
//! 1. A key from the environment goes to the default host, or to one that the command line or the
//!    environment names; never to another host that a file names without naming the key.

use std::path::PathBuf;

use http::Uri;

use super::problem::{Origin, Problem, Warning};
use super::raw::{Raw, RawTable, RawValue};
use super::section::Check;

/// What the command line says, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--admin`.
    pub admin: Option<String>,
    /// `--upstream`.
    pub upstream: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<String>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--log`.
    pub log: Option<String>,
    /// Whether the command uses keys.
    pub keys: Keys,
}

/// Whether the keys that a configuration names are read from their variables and files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keys {
    /// They must be there.
    #[default]
    Needed,
    /// They need not: a command that only reads the books runs without them. Each has a stand-in.
    Unused,
}

/// Sets in `root` what environment and flags say, flags above the environment.
pub(super) fn overlay(root: &mut RawTable, flags: &Flags, check: &mut Check<'_>) {
    let settings = [
        ("server", "listen", "SLUICEGATE_LISTEN", "--listen", &flags.listen),
        ("server", "admin", "SLUICEGATE_ADMIN", "--admin", &flags.admin),
        ("log", "format", "SLUICEGATE_LOG", "--log", &flags.log),
        ("ledger", "url", "SLUICEGATE_LEDGER_URL", "", &None),
        ("", "data_dir", "SLUICEGATE_DATA_DIR", "--data-dir", &flags.data_dir),
        ("upstreams", "base_url", "SLUICEGATE_UPSTREAM", "--upstream", &flags.upstream),
    ];
    for (table, key, variable, flag, given) in settings {
        let from_flag = given.as_ref().map(|text| Raw::text(text, Origin::Flag(flag)));
        let raw = from_flag.or_else(|| {
            variable_text(variable, check)
                .map(|text| Raw::text(text, Origin::Environment(variable)))
        });
        let place = match table {
            "" => Some(&mut *root),
            "upstreams" => first_upstream(root),
            _ => table_of(root, table),
        };
        if let (Some(raw), Some(place)) = (raw, place) {
            place.set(key, raw);
        }
    }
}

/// Gives the first upstream the account that the environment describes, if it says nothing of
/// accounts and its host may have that key. `home` is the default base URL.
pub(super) fn add_account(root: &mut RawTable, home: &str, check: &mut Check<'_>) {
    let Some(upstream) = first_upstream(root) else { return };
    let (None, Some(url)) = (upstream.find("accounts"), upstream.find("base_url")) else { return };
    if variable_text(KEY, check).is_none() {
        return;
    }
    let host = |text: &str| text.parse::<Uri>().ok()?.host().map(str::to_owned);
    let from_file = matches!(url.origin, Origin::File { .. });
    if from_file && url.value.as_text().and_then(host) != host(home) {
        check.warnings.push(Warning::UnusedKey { origin: url.origin.clone(), variable: KEY });
        return;
    }
    let mut key = RawTable::default();
    key.set("env", Raw::text(KEY, Origin::Environment(KEY)));
    let mut account = RawTable::default();
    account.set("name", Raw::text("default", Origin::Default));
    for (key, variable) in [("organization", "OPENAI_ORG_ID"), ("project", "OPENAI_PROJECT_ID")] {
        if let Some(text) = variable_text(variable, check) {
            account.set(key, Raw::text(text, Origin::Environment(variable)));
        }
    }
    account.set("keys", Raw::only(key, Origin::Environment(KEY)));
    upstream.set("accounts", Raw::only(account, Origin::Environment(KEY)));
}

/// Returns the text of a variable that is set and not empty; what is not Unicode is a problem.
fn variable_text(variable: &'static str, check: &mut Check<'_>) -> Option<String> {
    match (check.outside.env)(variable)?.into_string() {
        Ok(text) => Some(text).filter(|text| !text.is_empty()),
        Err(_) => {
            check.problem(Problem::Value {
                origin: Origin::Environment(variable),
                key: variable.to_owned(),
                found: "not Unicode".to_owned(),
                rule: "must be a text".into(),
            });
            None
        }
    }
}

/// Returns the table at `key`; the defaults have every table that is asked for.
fn table_of<'a>(root: &'a mut RawTable, key: &str) -> Option<&'a mut RawTable> {
    match &mut root.find_mut(key)?.value {
        RawValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Returns the first upstream, if the list is one.
fn first_upstream(root: &mut RawTable) -> Option<&mut RawTable> {
    match &mut root.find_mut("upstreams")?.value {
        RawValue::List(items) => match &mut items.first_mut()?.value {
            RawValue::Table(table) => Some(table),
            _ => None,
        },
        _ => None,
    }
}

const KEY: &str = "OPENAI_API_KEY";

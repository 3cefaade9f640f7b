//! Reads `[ledger]`.

use std::time::Duration;

use super::check::{check_home, resolve};
use super::problem::Problem;
use super::raw::RawValue;
use super::section::{Check, FromRaw, Section};
use super::settings::{DataDir, Durability, LedgerSettings, WhenFull};
use crate::units::Secret;

/// Reads the section; `None` only if `check` has a problem to show for it.
pub(super) fn ledger(
    mut section: Section,
    data_dir: &DataDir,
    check: &mut Check<'_>,
) -> Option<LedgerSettings> {
    let url = section.take::<ServerUrl>("url", check);
    let durability = section.require("durability", check);
    let when_full = section.require("when_full", check);
    let spill_dir = section.take::<String>("spill_dir", check);
    let keep_entries = section.require::<Keep>("keep_entries", check);
    if let Some(folder) = &spill_dir {
        check_home(folder, section.path_of("spill_dir"), check);
    }
    if let (Some(url), None, DataDir::Nowhere) = (&url, &spill_dir, data_dir) {
        check.problem(Problem::Missing {
            origin: url.origin.clone(),
            key: section.path_of("spill_dir"),
            rule: "without `data_dir` it must name the folder for what the database does not take in time".into(),
        });
    }
    section.finish(check);
    Some(LedgerSettings {
        url: url.map(|url| url.value.0),
        durability: durability?.value,
        when_full: when_full?.value,
        spill_dir: spill_dir.map(|folder| resolve(&folder.value, &folder.origin)),
        keep_entries: keep_entries?.value.0,
    })
}

/// The URL of a PostgreSQL.
struct ServerUrl(Secret);

impl FromRaw for ServerUrl {
    const RULE: &'static str = "must be the URL of a PostgreSQL, \
        \"postgres://user:password@host:5432/database\", with no other parameters than sslmode, sslrootcert, \
        sslcert, sslkey, host, hostaddr, port, dbname, user, password, application_name and options";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let text = value.as_text()?;
        let rest = text.strip_prefix("postgres://").or(text.strip_prefix("postgresql://"))?;
        let (_, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let mut named = parameters.split('&').filter(|parameter| !parameter.is_empty());
        let is_known = |parameter: &str| {
            parameter.split_once('=').is_some_and(|(name, _)| PARAMETERS.contains(&name))
        };
        named.all(is_known).then(|| Self(Secret::new(text)))
    }
}

/// What may stand behind the question mark; the driver writes all others to the log.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// How long entries are kept; `None`: for ever.
#[derive(Debug, Clone, Copy)]
struct Keep(Option<Duration>);

impl FromRaw for Keep {
    const RULE: &'static str = "must be \"forever\", or a duration from \"2d\" to \"366d\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        if value.as_text()? == "forever" {
            return Some(Self(None));
        }
        let least = Duration::from_secs(2 * 86_400);
        Duration::from_raw(value).filter(|keep| *keep >= least).map(|keep| Self(Some(keep)))
    }
}

impl FromRaw for Durability {
    const RULE: &'static str = "must be \"strict\", \"fsync\" or \"relaxed\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "strict" => Some(Self::Strict),
            "fsync" => Some(Self::Fsync),
            "relaxed" => Some(Self::Relaxed),
            _ => None,
        }
    }
}

impl FromRaw for WhenFull {
    const RULE: &'static str = "must be \"refuse\" or \"go_on\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "refuse" => Some(Self::Refuse),
            "go_on" => Some(Self::GoOn),
            _ => None,
        }
    }
}

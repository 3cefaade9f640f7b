//! Reads the configuration and turns it into checked settings.
//!
//! # What this module owns
//!
//! The embedded `config/default.toml`, which is default, reference and template in one; the order of
//! sources (defaults < file < environment < flags); every rule that a setting obeys; what a program that
//! runs can take over of other settings (`renewal`).
//!
//! A configuration is first a tree in which every value knows its origin (`raw`), then it is taken
//! apart key by key (`section`, `values`), and what comes out is [`Settings`]. There are no serde
//! mirrors in between: they would stop at the first mistake and could not say where a value came from.
//!
//! # What this module does not do
//!
//! It has no effects: files and environment variables come through [`Outside`].
//!
//! # Invariants
//!
//! 1. [`Settings`] are consistent: nothing downstream checks them again.
//! 2. Everything that is wrong is reported at once, with file, line, key, what was found and what
//!    would be right.
//! 3. No message and no [`Effective`] value shows a key.

mod additions;
mod apps;
mod azure;
mod budgets;
mod check;
mod clients;
mod dialect;
mod environment;
mod ledger;
mod pattern;
mod prices;
mod problem;
mod raw;
mod renewal;
mod routes;
mod routing;
mod section;
mod settings;
mod upstreams;
mod values;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::additions::Additions;
pub use self::budgets::app_budget;
pub use self::clients::{AppKey, AppSettings, Patterns, RuleSettings, UtcTime};
pub use self::dialect::Dialect;
pub use self::environment::{Flags, Keys};
pub use self::pattern::ModelPattern;
pub use self::problem::{ConfigError, Origin, Problem, Warning};
use self::raw::{RawTable, RawValue};
pub use self::renewal::{RenewError, Renewed};
pub use self::routes::{Leg, ModelSettings, OtherName, Plan, RouteBy, RouteSettings, Target};
use self::section::{Check, Section};
pub use self::settings::{
    AccountSettings, AzureSettings, DataDir, Deployment, Disconnect, Durability, KeySettings,
    LedgerSettings, LimitRule, LineMode, LineSettings, LogFormat, Mode, ServerSettings, Settings,
    TimeoutSettings, UpstreamSettings, WhenFull,
};
use crate::catalog::{NEWER_PRICES, NewerList};

/// Every setting with its default and an explanation.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Returns an environment variable.
pub type Variables<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// Reads a small file.
pub type Files<'a> = dyn Fn(&Path) -> io::Result<FileText> + 'a;

/// What the configuration may look at beyond its own text.
pub struct Outside<'a> {
    /// Returns an environment variable.
    pub env: &'a Variables<'a>,
    /// Reads a small file.
    pub read: &'a Files<'a>,
    /// The folder in which this program's `config.toml` is looked for.
    pub config_dir: Option<PathBuf>,
    /// Where this program keeps what it learns if nobody says otherwise.
    pub data_dir: Option<PathBuf>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileText {
    /// What is in it.
    pub text: String,
    /// Whether others than its owner may read it.
    pub open_to_others: bool,
}

/// A configuration that holds together.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the program goes by.
    pub settings: Settings,
    /// The same as written, with origins, in the order of `config/default.toml`.
    pub effective: Vec<Effective>,
    /// What works but should be changed.
    pub warnings: Vec<Warning>,
    /// The user's file, if there is one.
    pub file: Option<PathBuf>,
}

/// One setting in force, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The dotted path of its key; entries of lists by name.
    pub key: String,
    /// Its value as written; keys are masked.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Reads all sources and checks them.
///
/// # Errors
///
/// Returns [`ConfigError::Read`] if the file that was asked for cannot be read (no file in the user's
/// folder is no error), and [`ConfigError::Invalid`] with everything that is wrong.
pub fn load(flags: &Flags, outside: &Outside<'_>) -> Result<Loaded, ConfigError> {
    let invalid = |problems| ConfigError::Invalid { problems };
    let file = read_file(flags, outside)?;
    let mut root = RawTable::parse(DEFAULTS, None).map_err(invalid)?;
    let upstream = default_upstream(&root);
    let home = upstream.find("base_url").and_then(|url| url.value.as_text()).unwrap_or_default();
    if let Some((path, text)) = &file {
        let mut table = RawTable::parse(text, Some(path)).map_err(invalid)?;
        complete_upstreams(&mut table, &upstream);
        root.overlay(table);
    }
    let mut check = Check::new(outside);
    check.keys = flags.keys;
    environment::overlay(&mut root, flags, &mut check);
    environment::add_account(&mut root, home, &mut check);

    let mut effective = Vec::new();
    list(&root, "", &mut effective);
    let settings = check::settings(Section::root(root), &mut check);
    let (problems, mut warnings) = check.finish();
    match settings {
        Some(mut settings) if problems.is_empty() => {
            warnings.extend(newer_prices(&mut settings, outside));
            list_data_dir(&settings, &mut effective);
            resolve_dialects(&settings, &mut effective);
            let file = file.map(|(path, _)| path.to_path_buf());
            Ok(Loaded { settings, effective, warnings, file })
        }
        _ => Err(invalid(problems)),
    }
}

/// Reads the newer price list in the data folder, if there is one. A damaged one is told, and left as it is.
fn newer_prices(settings: &mut Settings, outside: &Outside<'_>) -> Option<Warning> {
    let (DataDir::Named(folder) | DataDir::Usual(folder)) = &settings.data_dir else { return None };
    let path = folder.join(NEWER_PRICES);
    let read = match (outside.read)(&path) {
        Ok(file) => NewerList::read(&file.text).map_err(|error| told(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(told(&error)),
    };
    match read {
        Ok(newer) => {
            settings.prices = Arc::new((*settings.prices).clone().with_newer(newer));
            None
        }
        Err(reason) => Some(Warning::Prices { path, reason }),
    }
}

/// Tells an error and what caused it.
fn told(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// The path of the user's file, and what is in it.
type UserFile = (Arc<Path>, String);

/// Reads the user's file, if there is one.
fn read_file(flags: &Flags, outside: &Outside<'_>) -> Result<Option<UserFile>, ConfigError> {
    let named = (outside.env)("SLUICEGATE_CONFIG").filter(|text| !text.is_empty());
    let asked = flags.config.clone().or_else(|| named.map(PathBuf::from));
    let must_exist = asked.is_some();
    let usual = || outside.config_dir.as_ref().map(|folder| folder.join("config.toml"));
    let Some(path) = asked.or_else(usual) else { return Ok(None) };
    match (outside.read)(&path) {
        Ok(file) => Ok(Some((path.into(), file.text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(source) => Err(ConfigError::Read { path, source }),
    }
}

/// Returns the upstream of the defaults.
fn default_upstream(defaults: &RawTable) -> RawTable {
    let first = match defaults.find("upstreams").map(|raw| &raw.value) {
        Some(RawValue::List(items)) => items.first().map(|raw| &raw.value),
        _ => None,
    };
    match first {
        Some(RawValue::Table(table)) => table.clone(),
        _ => RawTable::default(),
    }
}

/// Fills in what the upstreams of a file leave out.
fn complete_upstreams(table: &mut RawTable, upstream: &RawTable) {
    let Some(RawValue::List(items)) = table.find_mut("upstreams").map(|raw| &mut raw.value) else {
        return;
    };
    for item in items {
        if let RawValue::Table(given) = &mut item.value {
            let over = std::mem::replace(given, upstream.clone());
            given.overlay(over);
        }
    }
}

/// Lists the data folder first, if no text names it.
fn list_data_dir(settings: &Settings, into: &mut Vec<Effective>) {
    let key = "data_dir".to_owned();
    if into.iter().all(|one| one.key != key) {
        let value = match &settings.data_dir {
            DataDir::Named(path) | DataDir::Usual(path) => format!("{path:?}"),
            DataDir::Nowhere => "\"\"".to_owned(),
        };
        into.insert(0, Effective { key, value, origin: Origin::Default });
    }
}

/// Says which dialects were chosen where that was left open.
fn resolve_dialects(settings: &Settings, listed: &mut [Effective]) {
    for upstream in &settings.upstreams {
        let key = format!("upstreams[{}].dialect", upstream.name);
        let open = listed.iter_mut().filter(|one| one.key == key && one.value == "\"auto\"");
        open.for_each(|one| one.value = format!("\"auto\" ({})", upstream.dialect.name()));
    }
}

/// Lists every value below `table`.
fn list(table: &RawTable, path: &str, into: &mut Vec<Effective>) {
    for (key, raw) in table.iter() {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match &raw.value {
            RawValue::Table(below) => list(below, &path, into),
            RawValue::List(items) if items.iter().any(|item| item.value.is_table()) => {
                for (index, item) in items.iter().enumerate() {
                    if let RawValue::Table(below) = &item.value {
                        list(below, &format!("{path}[{}]", name_of(below, index)), into);
                    }
                }
            }
            RawValue::List(items) => {
                let items: Vec<_> = items.iter().map(|item| item.value.shown(key)).collect();
                let (value, origin) = (format!("[{}]", items.join(", ")), raw.origin.clone());
                into.push(Effective { key: path, value, origin });
            }
            value => {
                let origin = raw.origin.clone();
                into.push(Effective { key: path, value: value.shown(key), origin });
            }
        }
    }
}

/// Returns what people call an entry of a list, else its place in the list, counted from 1.
fn name_of(table: &RawTable, index: usize) -> String {
    let named = ["name", "label", "models"].into_iter().find_map(|key| table.find(key));
    match named.map(|raw| &raw.value) {
        Some(RawValue::Text(text)) => text.clone(),
        _ => (index + 1).to_string(),
    }
}

#[cfg(test)]
mod tests;

//! Reads upstreams with their accounts, keys and limits.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::azure::azure;
use super::check::{check_home, resolve};
use super::dialect::DialectChoice;
use super::environment::Keys;
use super::pattern::ModelPattern;
use super::problem::{Origin, Problem, Warning};
use super::raw::RawValue;
use super::section::{Check, Located, Section};
use super::settings::{AccountSettings, KeySettings, LimitRule, UpstreamSettings};
use super::values::{AtLeastOne, BaseUrl, Label};
use crate::limit::LaneSettings;
use crate::units::{AccountName, KeyLabel, Secret, UpstreamName};

/// An upstream with the places where its name and its URL stand.
pub(super) struct Addressed {
    /// The upstream.
    pub(super) settings: UpstreamSettings,
    /// Its name.
    pub(super) name: Located<Label>,
    /// Its URL.
    pub(super) url: Located<BaseUrl>,
}

/// Reads `[[upstreams]]`.
pub(super) fn upstreams(root: &mut Section, check: &mut Check<'_>) -> Option<Vec<Addressed>> {
    let Located { value: sections, origin } = root.tables("upstreams", check)?;
    if sections.is_empty() {
        let rule = "there must be at least one, `[[upstreams]]`";
        check.problem(value(&origin, "upstreams".to_owned(), "an empty list".to_owned(), rule));
    }
    let mut names = Unique::default();
    let read = |section: Section| {
        let key = section.path_of("name");
        let read = upstream(section, check)?;
        names.add(&read.name.value.0, &key, &read.name.origin, check);
        Some(read)
    };
    // All of them, so that all problems are told.
    sections.into_iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn upstream(mut section: Section, check: &mut Check<'_>) -> Option<Addressed> {
    let mut name = section.require::<Label>("name", check);
    if let Some(name) = name.as_mut().filter(|name| matches!(name.origin, Origin::Default)) {
        // It was left out here.
        name.origin = section.origin().clone();
    }
    let url = section.require::<BaseUrl>("base_url", check);
    let dialect = section.require::<DialectChoice>("dialect", check);
    let mut taken = Taken::default();
    let mut accounts = Vec::new();
    for account_section in sections(&mut section, "accounts", check) {
        accounts.extend(account(account_section, &mut taken, check));
    }
    let limits = limits(&mut section, check);
    let spoken = url.as_ref().zip(dialect.as_ref());
    let spoken = spoken.map(|(url, dialect)| dialect.value.at(&url.value.0));
    let azure = azure(&mut section, spoken, url.as_ref(), check);
    section.finish(check);
    let (name, url) = (name?, url?);
    let settings = UpstreamSettings {
        name: UpstreamName::new(name.value.0.clone()),
        base_url: url.value.0.clone(),
        dialect: spoken?,
        azure,
        accounts,
        limits,
    };
    Some(Addressed { settings, name, url })
}

fn account(
    mut section: Section,
    taken: &mut Taken,
    check: &mut Check<'_>,
) -> Option<AccountSettings> {
    let name = section.require::<Label>("name", check);
    if let Some(name) = &name {
        taken.names.add(&name.value.0, &section.path_of("name"), &name.origin, check);
    }
    let organization = section.take::<Label>("organization", check).map(|given| given.value.0);
    let project = section.take::<Label>("project", check).map(|given| given.value.0);
    let listed = section.tables("keys", check);
    let sections =
        listed.unwrap_or(Located { value: Vec::new(), origin: section.origin().clone() });
    if sections.value.is_empty() {
        check.problem(Problem::Missing {
            origin: sections.origin,
            key: section.path_of("keys"),
            rule: "an account needs at least one key, `[[upstreams.accounts.keys]]`".into(),
        });
    }
    let mut keys = Vec::new();
    for key_section in sections.value {
        let path = key_section.path_of("key");
        let Some((key, origin)) = key(key_section, &mut taken.labels, check) else { continue };
        let text = Some(key.secret.expose().to_owned());
        if !taken.keys.insert([text, organization.clone(), project.clone()]) {
            let rule = "the same key stands above, for the same organisation and project: its quota \
                        would be counted twice";
            check.problem(value(&origin, path, "***".to_owned(), rule));
        }
        keys.push(key);
    }
    let limits = limits(&mut section, check);
    section.finish(check);
    Some(AccountSettings {
        name: AccountName::new(name?.value.0),
        keys,
        organization,
        project,
        limits,
    })
}

/// What the accounts read so far have for themselves.
#[derive(Default)]
struct Taken {
    names: Unique,
    labels: Unique,
    /// Keys, each with the organisation and the project that it is sent with.
    keys: BTreeSet<[Option<String>; 3]>,
}

/// Reads a key, and tells where it stands.
fn key(
    mut section: Section,
    labels: &mut Unique,
    check: &mut Check<'_>,
) -> Option<(KeySettings, Origin)> {
    let label = section.take::<Label>("label", check);
    let path = section.path_of("label");
    let given = secret(&mut section, check);
    section.finish(check);
    let given = given?;
    let (label, origin) = match label {
        Some(Located { value: Label(label), origin }) => (label, origin),
        None => (given.source, given.origin.clone()),
    };
    labels.add(&label, &path, &origin, check);
    Some((KeySettings { label: KeyLabel::new(label), secret: given.secret }, given.origin))
}

fn limits(section: &mut Section, check: &mut Check<'_>) -> Vec<LimitRule> {
    let mut patterns = Unique::default();
    let mut rules = Vec::new();
    for mut section in sections(section, "limits", check) {
        let models = section.require::<ModelPattern>("models", check);
        if let Some(models) = &models {
            patterns.add(models.value.as_str(), &section.path_of("models"), &models.origin, check);
        }
        let shared = section.take("shared", check).is_some_and(|given| given.value);
        let lane = lane(&mut section, check);
        section.finish(check);
        rules.extend(models.map(|models| LimitRule { models: models.value, shared, lane }));
    }
    rules
}

fn lane(section: &mut Section, check: &mut Check<'_>) -> LaneSettings {
    let mut limit = |key| section.take::<AtLeastOne>(key, check).map(|given| given.value.0);
    let base = LaneSettings {
        requests_per_minute: limit("requests_per_minute"),
        tokens_per_minute: limit("tokens_per_minute"),
        requests_per_day: limit("requests_per_day"),
        tokens_per_day: limit("tokens_per_day"),
        input_tokens_per_minute: limit("input_tokens_per_minute"),
        output_tokens_per_minute: limit("output_tokens_per_minute"),
        images_per_minute: limit("images_per_minute"),
        requests_per_second: limit("requests_per_second"),
        tokens_per_second: limit("tokens_per_second"),
        concurrency: limit("concurrency"),
        ..LaneSettings::default()
    };
    let (minute, day) = windows(section, (base.minute, base.day), check);
    LaneSettings {
        minute,
        day,
        counting: section.take("counting", check).map(|given| given.value),
        charging: section.take("charging", check).map(|given| given.value),
        estimator: section.take("estimator", check).map(|given| given.value),
        absent_max: section.take("absent_max", check).map(|given| given.value),
        ..base
    }
}

/// Reads how long a "minute" and a "day" are.
fn windows(
    section: &mut Section,
    usual: (Duration, Duration),
    check: &mut Check<'_>,
) -> (Duration, Duration) {
    let minute = section.take::<Duration>("minute", check);
    let day = section.take::<Duration>("day", check);
    let of = |given: &Option<Located<Duration>>, usual| given.as_ref().map_or(usual, |it| it.value);
    let (long, short) = (of(&day, usual.1), of(&minute, usual.0));
    if let (false, Some(given)) = (short < long, minute.or(day)) {
        let found = format!("{short:?} beside a `day` of {long:?}");
        let rule = "a minute must be shorter than a day";
        check.problem(value(&given.origin, section.path_of("minute"), found, rule));
    }
    (short, long)
}

/// Takes a list of tables out that may be absent.
pub(super) fn sections(section: &mut Section, key: &str, check: &mut Check<'_>) -> Vec<Section> {
    section.tables(key, check).map(|listed| listed.value).unwrap_or_default()
}

/// A key, with the place that names it and words for where it was found.
pub(super) struct Given {
    pub(super) secret: Secret,
    source: String,
    pub(super) origin: Origin,
}

/// Reads one of `env`, `file` and `key`.
pub(super) fn secret(section: &mut Section, check: &mut Check<'_>) -> Option<Given> {
    let env = section.take::<String>("env", check);
    let file = section.take::<String>("file", check);
    let inline = section.take::<String>("key", check);
    let given = match (env, file, inline) {
        (Some(variable), None, None) => from_environment(&variable, section, check),
        (None, Some(path), None) => from_file(&path, section, check),
        (None, None, Some(Located { value: text, origin })) => {
            let key = section.path_of("key");
            check.warnings.push(Warning::InlineKey { origin: origin.clone(), key });
            Some((text, "inline".to_owned(), "key", origin))
        }
        (None, None, None) => {
            check.problem(Problem::Missing {
                origin: section.origin().clone(),
                key: section.path_of("env"),
                rule: "a key comes from one of `env`, `file` and `key`".into(),
            });
            None
        }
        _ => {
            let rule = "a key comes from only one of `env`, `file` and `key`";
            let found = "one of several".to_owned();
            check.problem(value(section.origin(), section.path_of("key"), found, rule));
            None
        }
    };
    let (text, source, key, origin) = given?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let rule = "a key must be one word of printable ASCII characters";
        check.problem(value(&origin, section.path_of(key), "not such a text".to_owned(), rule));
        return None;
    }
    Some(Given { secret: Secret::new(text), source, origin })
}

/// What was found: text, source in words, name of the setting, place.
type Found = (String, String, &'static str, Origin);

fn from_environment(
    variable: &Located<String>,
    section: &Section,
    check: &mut Check<'_>,
) -> Option<Found> {
    let Located { value: name, origin } = variable;
    if check.keys == Keys::Unused {
        return Some((label("env", name), label("env", name), "env", origin.clone()));
    }
    let shown = RawValue::Text(name.clone()).shown("env");
    let usable = !name.contains(['=', '\0']);
    let text = if usable { (check.outside.env)(name) } else { None };
    match text.map(|text| text.into_string()) {
        Some(Ok(text)) if !text.trim().is_empty() => {
            Some((text.trim().to_owned(), label("env", name), "env", origin.clone()))
        }
        Some(Err(_)) => {
            let rule = "this environment variable does not hold a text";
            check.problem(value(origin, section.path_of("env"), shown, rule));
            None
        }
        _ => {
            let rule = "this environment variable is not set, or is empty: it must hold the key";
            check.problem(value(origin, section.path_of("env"), shown, rule));
            None
        }
    }
}

fn from_file(given: &Located<String>, section: &Section, check: &mut Check<'_>) -> Option<Found> {
    check_home(given, section.path_of("file"), check);
    let path = resolve(&given.value, &given.origin);
    if check.keys == Keys::Unused {
        let label = label("file", &given.value);
        return Some((label.clone(), label, "file", given.origin.clone()));
    }
    let shown = RawValue::Text(given.value.clone()).shown("file");
    let file = (check.outside.read)(&path);
    let mut wrong = |rule: String| {
        check.problem(Problem::Value {
            origin: given.origin.clone(),
            key: section.path_of("file"),
            found: shown.clone(),
            rule: rule.into(),
        });
    };
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            wrong(format!("this file cannot be read ({error}): it must hold the key"));
            return None;
        }
    };
    let text = file.text.trim();
    if text.is_empty() {
        wrong("this file is empty: it must hold the key".to_owned());
        return None;
    }
    if file.open_to_others {
        check
            .warnings
            .push(Warning::ReadableKeyFile { origin: given.origin.clone(), path: path.clone() });
    }
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    Some((text.to_owned(), label("file", &name), "file", given.origin.clone()))
}

/// Makes a label out of the place where a key was found.
fn label(kind: &str, name: &str) -> String {
    let name: String = name.chars().filter(|c| matches!(c, '!'..='~')).take(58).collect();
    format!("{kind}:{name}")
}

/// Names that must differ from each other.
#[derive(Default)]
pub(super) struct Unique(BTreeSet<String>);

impl Unique {
    /// Notes a name; one that is there already is a problem.
    pub(super) fn add(&mut self, name: &str, key: &str, origin: &Origin, check: &mut Check<'_>) {
        if !self.0.insert(name.to_owned()) {
            let rule = "another one has the same: they must differ";
            check.problem(value(origin, key.to_owned(), shown(&name), rule));
        }
    }
}

fn shown(name: &dyn fmt::Debug) -> String {
    format!("{name:?}")
}

/// Makes a problem of a value.
pub(super) fn value(origin: &Origin, key: String, found: String, rule: &'static str) -> Problem {
    Problem::Value { origin: origin.clone(), key, found, rule: rule.into() }
}

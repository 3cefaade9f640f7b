//! Reads apps, and the rules that tell them and their classes by what a request looks like.

use std::collections::BTreeSet;

use super::clients::{AppKey, AppSettings, Patterns, RuleSettings, UtcTime};
use super::pattern::ModelPattern;
use super::problem::Problem;
use super::section::{Check, Located, Section};
use super::upstreams::{Unique, secret, sections, value};
use super::values::{AtLeastOne, Label, Labels, Weight};
use crate::limit::{AppLimits, OutputReserve};
use crate::units::{AppName, Class, KeyDigest, Party};

/// Reads `[[apps]]`.
pub(super) fn apps(root: &mut Section, check: &mut Check<'_>) -> Vec<Located<AppSettings>> {
    let mut names = Unique::default();
    let mut keys = BTreeSet::new();
    let mut apps = Vec::new();
    for mut section in sections(root, "apps", check) {
        let origin = section.origin().clone();
        let name = section.require::<Label>("name", check);
        if let Some(name) = &name {
            names.add(&name.value.0, &section.path_of("name"), &name.origin, check);
        }
        let (class, max_class) = classes(&mut section, check);
        let weight = section.take::<Weight>("weight", check);
        let choice = section.take::<bool>("choose_account", check);
        let labels = section.take::<Labels>("labels", check);
        let limits = limits(&mut section, check);
        let models = section.take::<Patterns>("models", check);
        let endpoints = section.take::<Patterns>("endpoints", check);
        let expires = section.take::<UtcTime>("expires", check);
        let given = secret(&mut section, check);
        let path = section.path_of("key");
        section.finish(check);
        let (Some(name), Some(given)) = (name, given) else { continue };
        if !keys.insert(given.secret.expose().to_owned()) {
            let rule = "another app has the same key, so they could not be told apart";
            check.problem(value(&given.origin, path, "***".to_owned(), rule));
        }
        let app = AppSettings {
            name: AppName::new(name.value.0),
            keys: vec![AppKey { digest: KeyDigest::of(given.secret.expose()), until: None }],
            class,
            max_class,
            may_choose_account: choice.is_some_and(|given| given.value),
            weight: weight.map_or(Party::USUAL_WEIGHT, |given| given.value.0),
            labels: labels.map(|given| given.value.0.into()).unwrap_or_default(),
            limits,
            models: models.map(|given| given.value.0).unwrap_or_default(),
            endpoints: endpoints.map(|given| given.value.paths()).unwrap_or_default(),
            expires: expires.map(|given| given.value.0),
        };
        apps.push(Located { value: app, origin });
    }
    apps
}

/// Reads what an app may use.
fn limits(section: &mut Section, check: &mut Check<'_>) -> AppLimits {
    let mut limit = |key| section.take::<AtLeastOne>(key, check).map(|given| given.value.0);
    let limits = AppLimits {
        requests_per_minute: limit("requests_per_minute"),
        tokens_per_minute: limit("tokens_per_minute"),
        requests_per_day: limit("requests_per_day"),
        tokens_per_day: limit("tokens_per_day"),
        concurrency: limit("concurrency"),
        ..AppLimits::default()
    };
    let strict = section.take::<bool>("strict", check).is_some_and(|given| given.value);
    let reserves = if strict { OutputReserve::Most } else { OutputReserve::Expected };
    AppLimits { reserves, ..limits }
}

/// Reads the class of an app's requests, and the highest that they may ask for.
fn classes(section: &mut Section, check: &mut Check<'_>) -> (Class, Class) {
    let class = section.take::<Class>("class", check);
    let max_class = section.take::<Class>("max_class", check);
    let usual = class.map_or(Class::default(), |given| given.value);
    let Some(Located { value: most, origin }) = max_class else { return (usual, usual) };
    if most < usual {
        let rule = format!("the app's `class` is {:?}: it must be at least that", usual.label());
        check.problem(Problem::Value {
            origin,
            key: section.path_of("max_class"),
            found: format!("{:?}", most.label()),
            rule: rule.into(),
        });
    }
    (usual, most)
}

/// Reads `[[rules]]`, which may name these apps.
pub(super) fn rules(
    root: &mut Section,
    apps: &[Located<AppSettings>],
    check: &mut Check<'_>,
) -> Vec<RuleSettings> {
    let mut rules: Vec<RuleSettings> = Vec::new();
    for section in sections(root, "rules", check) {
        let origin = section.origin().clone();
        let (path, rule) = (section.path_of("path"), rule(section, apps, check));
        if rules.iter().any(|earlier| earlier.asks_the_same_as(&rule)) {
            let rule = "an earlier rule asks the same, and the first that matches counts";
            check.problem(value(&origin, path, "a rule that never counts".to_owned(), rule));
        }
        rules.push(rule);
    }
    rules
}

fn rule(
    mut section: Section,
    apps: &[Located<AppSettings>],
    check: &mut Check<'_>,
) -> RuleSettings {
    let asks = ["path", "model", "user_agent"].iter().any(|key| section.has(key));
    let sets = ["app", "class"].iter().any(|key| section.has(key));
    let mut pattern = |key| section.take::<ModelPattern>(key, check).map(|given| given.value);
    let (path, model, user_agent) = (pattern("path"), pattern("model"), pattern("user_agent"));
    let app = section.take::<Label>("app", check);
    let class = section.take::<Class>("class", check);
    let mut missing = |key: &str, rule: &'static str| {
        let origin = section.origin().clone();
        check.problem(Problem::Missing { origin, key: section.path_of(key), rule: rule.into() });
    };
    if !asks {
        missing("path", "a rule asks for at least one of `path`, `model` and `user_agent`");
    }
    if !sets {
        missing("class", "a rule sets `app`, `class` or both");
    }
    if let Some(app) = &app {
        check_app(app, section.path_of("app"), apps, check);
    }
    if let Some(class) = &class {
        check_class(class, section.path_of("class"), apps, check);
    }
    section.finish(check);
    RuleSettings {
        path: path.map(|path| path.of_paths()),
        model,
        user_agent,
        app: app.map(|app| AppName::new(app.value.0)),
        class: class.map(|class| class.value),
    }
}

/// Checks that an app exists where apps have keys: another name is a slip of the pen.
fn check_app(
    app: &Located<Label>,
    key: String,
    apps: &[Located<AppSettings>],
    check: &mut Check<'_>,
) {
    let is_known = apps.iter().any(|known| known.value.name.as_str() == app.value.0);
    if !apps.is_empty() && !is_known {
        let found = format!("{:?}", app.value.0);
        check.problem(value(&app.origin, key, found, "no app under `[[apps]]` has this name"));
    }
}

/// Checks that some app may have the class: a rule never lifts a request above its key's.
fn check_class(
    class: &Located<Class>,
    key: String,
    apps: &[Located<AppSettings>],
    check: &mut Check<'_>,
) {
    let most = apps.iter().map(|app| app.value.max_class).max();
    if most.is_some_and(|most| class.value > most) {
        let found = format!("{:?}", class.value.label());
        let rule = "no app may go so high: raise the `max_class` of one under `[[apps]]`";
        check.problem(value(&class.origin, key, found, rule));
    }
}

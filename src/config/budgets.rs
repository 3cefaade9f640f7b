//! Reads budgets, and checks that what they ask for can be done.

use std::io;
use std::sync::Arc;

use http::Uri;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::Outside;
use super::clients::AppSettings;
use super::problem::Problem;
use super::raw::{RawTable, RawValue};
use super::section::{Check, FromRaw, Located, Section};
use super::upstreams::{Unique, sections, value};
use super::values::{AppNames, Label, Labels};
use crate::budget::{Actions, BudgetSettings, Listeners, Period, Reserves, Scope};
use crate::units::{AppName, ModelName, PicoUsd, Secret};

/// Reads `[[budgets]]`, which may name these apps.
pub(super) fn budgets(
    root: &mut Section,
    apps: &[Located<AppSettings>],
    check: &mut Check<'_>,
) -> Vec<BudgetSettings> {
    let mut names = Unique::default();
    let mut budgets = Vec::new();
    for mut section in sections(root, "budgets", check) {
        let name = section.require::<Label>("name", check);
        if let Some(name) = &name {
            names.add(&name.value.0, &section.path_of("name"), &name.origin, check);
        }
        let scope = scope(&mut section, apps, check);
        let amount = section.require::<Dollars>("usd", check);
        let period = section.require::<Period>("per", check);
        let zone = section.take::<Zone>("time_zone", check);
        let (yellow, red) = marks(&mut section, check);
        let step_down = step_down(&mut section, check);
        let on_yellow = actions(&mut section, "on_yellow", &step_down, check);
        let on_red = actions(&mut section, "on_red", &step_down, check);
        let unknown_price = section.take::<Dollars>("unknown_price", check);
        let listeners = Listeners {
            webhook: section.take::<Webhook>("webhook", check).map(|given| given.value.0),
            command: section.take::<Command>("command", check).map_or(Vec::new(), |it| it.value.0),
        };
        let strict = section.take::<bool>("strict", check).is_some_and(|given| given.value);
        section.finish(check);
        let (Some(name), Some(amount), Some(period)) = (name, amount, period) else { continue };
        budgets.push(BudgetSettings {
            name: name.value.0.into(),
            scope,
            amount: amount.value.0,
            period: period.value,
            zone: zone.map_or(TimeZone::UTC, |given| given.value.0),
            yellow,
            red,
            on_yellow: on_yellow.unwrap_or(Actions { warns: true, ..Actions::default() }),
            on_red: on_red.unwrap_or(Actions { warns: true, refuses: true, ..Actions::default() }),
            step_down,
            unknown_price: unknown_price.map(|given| given.value.0),
            reserves: if strict { Reserves::Most } else { Reserves::Expected },
            listeners,
        });
    }
    budgets
}

/// Reads the budget of one app, written as under `[[budgets]]`, but without its name and its apps.
///
/// # Errors
///
/// Returns all that is wrong with it.
pub fn app_budget(app: &AppName, lines: &str) -> Result<BudgetSettings, Vec<Problem>> {
    // A text of JSON is one of TOML, where it is ASCII.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let (name, app) = (text(&format!("apps/{app}")), text(app.as_str()));
    let table = format!("[[budgets]]\nname = {name}\napps = [{app}]\n{lines}\n");
    let outside = Outside {
        env: &|_| None,
        read: &|_| Err(io::ErrorKind::NotFound.into()),
        config_dir: None,
        data_dir: None,
    };
    let mut check = Check::new(&outside);
    let mut root = Section::root(RawTable::parse(&table, None)?);
    let budgets = budgets(&mut root, &[], &mut check);
    root.finish(&mut check);
    let (problems, _warnings) = check.finish();
    match budgets.into_iter().next() {
        Some(budget) if problems.is_empty() => Ok(budget),
        _ => Err(problems),
    }
}

/// Reads whose money it is.
fn scope(section: &mut Section, apps: &[Located<AppSettings>], check: &mut Check<'_>) -> Scope {
    let (named, labels) =
        (section.take::<AppNames>("apps", check), section.take::<Labels>("labels", check));
    let is_app = |name: &str| apps.iter().any(|known| known.value.name.as_str() == name);
    // Without configured apps, programs name themselves.
    let unknown = |name: &&Arc<str>| !apps.is_empty() && !is_app(name);
    let given = named.as_ref().map(|given| given.value.0.as_slice()).unwrap_or_default();
    if let (Some(named), Some(name)) = (&named, given.iter().find(unknown)) {
        let (found, key) = (format!("{name:?}"), section.path_of("apps"));
        check.problem(value(&named.origin, key, found, "no app has this name"));
    }
    let is_label = |label: &&Arc<str>| apps.iter().any(|app| app.value.labels.contains(label));
    let given = labels.as_ref().map(|given| given.value.0.as_slice()).unwrap_or_default();
    if let (Some(labels), Some(label)) = (&labels, given.iter().find(|label| !is_label(label))) {
        let (found, key) = (format!("{label:?}"), section.path_of("labels"));
        check.problem(value(&labels.origin, key, found, "no app has this label"));
    }
    let names = named.map(|given| given.value.0).unwrap_or_default();
    Scope {
        apps: names.into_iter().map(AppName::new).collect(),
        labels: labels.map(|given| given.value.0).unwrap_or_default(),
    }
}

/// Reads from which parts on it is yellow and red, in thousandths.
fn marks(section: &mut Section, check: &mut Check<'_>) -> (u32, u32) {
    let yellow = section.take::<Percent>("yellow", check);
    let red = section.take::<Percent>("red", check).map_or(100, |given| given.value.0);
    if let Some(yellow) = yellow.as_ref().filter(|yellow| yellow.value.0 > red) {
        let (found, key) = (yellow.value.0.to_string(), section.path_of("yellow"));
        check.problem(value(&yellow.origin, key, found, "it must not be above `red`"));
    }
    let yellow = yellow.map_or(USUAL_YELLOW.min(red), |given| given.value.0);
    (yellow * 10, red * 10)
}

/// Reads which model is asked instead of which; what is cheaper may have something cheaper still, but never
/// itself.
fn step_down(section: &mut Section, check: &mut Check<'_>) -> Vec<(ModelName, ModelName)> {
    let mut table = section.table("step_down", check);
    let mut steps: Vec<(ModelName, ModelName)> = Vec::new();
    for from in table.keys() {
        let Some(to) = table.take::<String>(&from, check) else { continue };
        let (from, mut to_end) = (ModelName::new(from), ModelName::new(to.value));
        let step = (from.clone(), to_end.clone());
        while let Some((_, next)) = steps.iter().find(|(known, _)| *known == to_end) {
            to_end = next.clone();
        }
        if to_end == from {
            let key = table.path_of(from.as_str());
            let rule = "the steps lead in a circle: the last model is to have nothing cheaper";
            check.problem(value(&to.origin, key, format!("{:?}", step.1.as_str()), rule));
            continue;
        }
        steps.push(step);
    }
    table.finish(check);
    steps
}

/// Reads what happens at a color; `None` where nothing is said.
fn actions(
    section: &mut Section,
    key: &str,
    step_down: &[(ModelName, ModelName)],
    check: &mut Check<'_>,
) -> Option<Actions> {
    let given = section.take::<Actions>(key, check)?;
    if given.value.steps_down && step_down.is_empty() {
        let rule = "`step_down` needs a table `[budgets.step_down]` that names a cheaper model";
        check.problem(value(&given.origin, section.path_of(key), "\"step_down\"".to_owned(), rule));
    }
    Some(given.value)
}

/// An amount of money.
#[derive(Debug, Clone, Copy)]
struct Dollars(PicoUsd);

impl FromRaw for Dollars {
    const RULE: &'static str =
        "must be a number of US dollars above zero, such as 25 or 0.5, at most a million";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let text = match value {
            RawValue::Integer(whole) => whole.to_string(),
            RawValue::Decimal(text) => text.replace('_', ""),
            _ => return None,
        };
        dollars(&text).filter(|amount| *amount > PicoUsd::ZERO).map(Self)
    }
}

/// Reads dollars with at most twelve digits behind the point.
fn dollars(text: &str) -> Option<PicoUsd> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > PICO_DIGITS || !is_number(whole) || !is_number(part) {
        return None;
    }
    let whole = whole.parse::<u64>().ok().filter(|whole| *whole <= 1_000_000)?;
    let part = format!("{part:0<PICO_DIGITS$}").parse::<u64>().ok()?;
    Some(PicoUsd::new(whole * 10_u64.pow(12) + part))
}

impl FromRaw for Period {
    const RULE: &'static str = "must be \"day\", \"week\", \"month\" or \"total\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let text = value.as_text()?;
        Self::ALL.into_iter().find(|period| period.label() == text)
    }
}

impl FromRaw for Actions {
    const RULE: &'static str =
        "must be a list of \"warn\", \"step_down\", \"pause_batch\" and \"refuse\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let RawValue::List(items) = value else { return None };
        let mut actions = Self::default();
        for item in items {
            match item.value.as_text()? {
                "warn" => actions.warns = true,
                "step_down" => actions.steps_down = true,
                "pause_batch" => actions.pauses_batch = true,
                "refuse" => actions.refuses = true,
                _ => return None,
            }
        }
        Some(actions)
    }
}

/// A time zone of the IANA database that is built in.
#[derive(Debug, Clone)]
struct Zone(TimeZone);

impl FromRaw for Zone {
    const RULE: &'static str =
        "must be the name of a time zone, such as \"Europe/Berlin\" or \"UTC\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        TimeZoneDatabase::bundled().get(value.as_text()?).ok().map(Self)
    }
}

/// Where a budget's warnings are sent; it may hold a password.
#[derive(Debug, Clone)]
struct Webhook(Secret);

impl FromRaw for Webhook {
    const RULE: &'static str = "must be an address that begins with http:// or https://, such as \"https://chat.example/hook\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let text = value.as_text()?;
        let uri: Uri = text.parse().ok()?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        // What stands before an @ would not be sent.
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        (is_web && !has_user).then(|| Self(Secret::new(text)))
    }
}

/// A program that is run for a budget's warnings, with its arguments.
#[derive(Debug, Clone)]
struct Command(Vec<Arc<str>>);

impl FromRaw for Command {
    const RULE: &'static str =
        "must be a list of a program and its arguments, such as [\"notify-send\", \"budget\"]";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let RawValue::List(items) = value else { return None };
        let words = items.iter().map(|item| item.value.as_text().map(Arc::from));
        let words = words.collect::<Option<Vec<Arc<str>>>>()?;
        let has_program = words.first().is_some_and(|program| !program.is_empty());
        let has_zero = words.iter().any(|word| word.contains('\0'));
        (has_program && !has_zero).then_some(Self(words))
    }
}

/// A part in hundredths.
#[derive(Debug, Clone, Copy)]
struct Percent(u32);

impl FromRaw for Percent {
    const RULE: &'static str = "must be a whole number of percent from 1 to 100";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let number = u64::from_raw(value)?;
        u32::try_from(number).ok().filter(|number| (1..=100).contains(number)).map(Self)
    }
}

/// From how many percent on it is yellow, if nothing is said.
const USUAL_YELLOW: u32 = 80;
/// The digits of a pico-dollar behind the point.
const PICO_DIGITS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_to_the_pico_dollar() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("25",              Some(25_000_000_000_000)),
            ("0.5",             Some(500_000_000_000)),
            ("0.000000000001",  Some(1)),
            ("1000000",         Some(1_000_000_000_000_000_000)),
            ("0.0000000000001", None),
            ("1000001",         None),
            ("-1",              None),
            (".5",              None),
            ("1e3",             None),
        ];
        for (text, pico) in cases {
            assert_eq!(dollars(text).map(PicoUsd::pico), pico, "{text}");
        }
    }
}

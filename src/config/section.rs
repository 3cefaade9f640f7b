//! Takes values out of a table one by one and notes everything that is wrong on the way.
//!
//! # Invariants
//!
//! 1. Whoever reads a table names each key once; what is left over is unknown.
//! 2. A value that is absent although required, or wrong, has left a [`Problem`] behind.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Outside;
use super::environment::Keys;
use super::problem::{Origin, Problem, Warning};
use super::raw::{Raw, RawTable, RawValue};

/// A checked value, with its origin.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    /// The value.
    pub(super) value: T,
    /// Where it was written.
    pub(super) origin: Origin,
}

/// A type that a written value can be read as.
pub(super) trait FromRaw: Sized {
    /// What would be right, as a continuation of "is ..., but ".
    const RULE: &'static str;

    /// Reads `value`; `None` if it breaks the rule.
    fn from_raw(value: &RawValue) -> Option<Self>;
}

/// What was found while a configuration is checked.
pub(super) struct Check<'a> {
    /// What the configuration may look at beyond its own text.
    pub(super) outside: &'a Outside<'a>,
    /// Whether keys are read.
    pub(super) keys: Keys,
    /// What works but should be changed.
    pub(super) warnings: Vec<Warning>,
    problems: Vec<Problem>,
    unknown: Vec<(Origin, String)>,
    asked: BTreeSet<String>,
}

/// A table that is being read, with its dotted path.
#[derive(Debug)]
pub(super) struct Section {
    path: String,
    table: RawTable,
    origin: Origin,
    /// Whether something else stands where the table should: then nothing in it is missed.
    replaced: bool,
}

impl<'a> Check<'a> {
    /// Creates a check that has found nothing yet.
    pub(super) fn new(outside: &'a Outside<'a>) -> Self {
        Self {
            outside,
            keys: Keys::Needed,
            warnings: Vec::new(),
            problems: Vec::new(),
            unknown: Vec::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Notes a problem.
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Returns every key that was asked for, as dotted paths.
    #[cfg(test)]
    pub(super) fn asked(&self) -> &BTreeSet<String> {
        &self.asked
    }

    /// Returns all problems, line by line, unknown keys with what was probably meant; and the
    /// warnings.
    pub(super) fn finish(self) -> (Vec<Problem>, Vec<Warning>) {
        let asked = self.asked;
        let unknown = self.unknown.into_iter().map(|(origin, key)| {
            let meant = closest(&key, &asked);
            Problem::Unknown { origin, key, meant }
        });
        let mut problems: Vec<_> = unknown.collect();
        problems.extend(self.problems);
        problems.sort_by_key(Problem::line);
        (problems, self.warnings)
    }
}

impl Section {
    /// Creates the section of the whole configuration.
    pub(super) fn root(table: RawTable) -> Self {
        Self { path: String::new(), table, origin: Origin::Default, replaced: false }
    }

    /// Returns where the section begins.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the dotted path of `key` in this section.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Takes `key` out; `None` if it is absent or wrong.
    pub(super) fn take<T: FromRaw>(
        &mut self,
        key: &str,
        check: &mut Check<'_>,
    ) -> Option<Located<T>> {
        let raw = self.take_raw(key, check)?;
        match T::from_raw(&raw.value) {
            Some(value) => Some(Located { value, origin: raw.origin }),
            None => {
                match wrong_item::<T>(&raw.value) {
                    Some((place, item)) => check.problem(Problem::Value {
                        origin: item.origin.clone(),
                        key: self.path_of(key),
                        found: shown_item(place, item, key),
                        rule: T::RULE.into(),
                    }),
                    None => self.wrong(key, &raw, T::RULE, check),
                }
                None
            }
        }
    }

    /// Tells whether something stands at `key`, right or wrong, that was not taken out yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.find(key).is_some()
    }

    /// Returns the keys that were not taken out yet.
    pub(super) fn keys(&self) -> Vec<String> {
        self.table.iter().map(|(key, _)| key.to_owned()).collect()
    }

    /// Takes `key` out; its absence is a problem.
    pub(super) fn require<T: FromRaw>(
        &mut self,
        key: &str,
        check: &mut Check<'_>,
    ) -> Option<Located<T>> {
        if !self.has(key) && !self.replaced {
            check.problem(Problem::Missing {
                origin: self.origin.clone(),
                key: self.path_of(key),
                rule: T::RULE.into(),
            });
        }
        self.take(key, check)
    }

    /// Takes the table at `key` out; it is empty if absent.
    pub(super) fn table(&mut self, key: &str, check: &mut Check<'_>) -> Self {
        let path = self.path_of(key);
        let (table, origin, replaced) = match self.take_raw(key, check) {
            Some(Raw { value: RawValue::Table(table), origin }) => (table, origin, false),
            None => (RawTable::default(), self.origin.clone(), false),
            Some(raw) => {
                self.wrong(key, &raw, format!("must be a table, `[{path}]`"), check);
                (RawTable::default(), raw.origin, true)
            }
        };
        Self { path, table, origin, replaced }
    }

    /// Takes the list of tables at `key` out; `None` if it is absent.
    pub(super) fn tables(
        &mut self,
        key: &str,
        check: &mut Check<'_>,
    ) -> Option<Located<Vec<Self>>> {
        let path = self.path_of(key);
        let rule = || format!("must be a list of tables, each under `[[{path}]]`");
        let raw = self.take_raw(key, check)?;
        let RawValue::List(items) = raw.value else {
            self.wrong(key, &raw, rule(), check);
            return None;
        };
        let mut sections = Vec::new();
        for (place, item) in items.into_iter().enumerate() {
            match item.value {
                RawValue::Table(table) => {
                    let (path, origin) = (path.clone(), item.origin);
                    sections.push(Self { path, table, origin, replaced: false });
                }
                _ => check.problem(Problem::Value {
                    found: shown_item(place + 1, &item, key),
                    origin: item.origin,
                    key: path.clone(),
                    rule: rule().into(),
                }),
            }
        }
        Some(Located { value: sections, origin: raw.origin })
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self, check: &mut Check<'_>) {
        for (key, raw) in self.table.iter() {
            check.unknown.push((raw.origin.clone(), self.path_of(key)));
        }
    }

    fn take_raw(&mut self, key: &str, check: &mut Check<'_>) -> Option<Raw> {
        check.asked.insert(self.path_of(key));
        self.table.take(key)
    }

    fn wrong(
        &self,
        key: &str,
        raw: &Raw,
        rule: impl Into<Cow<'static, str>>,
        check: &mut Check<'_>,
    ) {
        check.problem(Problem::Value {
            origin: raw.origin.clone(),
            key: self.path_of(key),
            found: raw.value.shown(key),
            rule: rule.into(),
        });
    }
}

/// Tells which item of a list is wrong, by its place from 1 on.
fn shown_item(place: usize, item: &Raw, key: &str) -> String {
    format!("a list whose item {place} is {}", item.value.shown(key))
}

/// Returns the first item of a list that cannot be read by itself, and its place from 1 on, where another one can, or
/// none is needed.
fn wrong_item<T: FromRaw>(value: &RawValue) -> Option<(usize, &Raw)> {
    let RawValue::List(items) = value else { return None };
    let is_read = |item: &Raw| T::from_raw(&RawValue::List(vec![item.clone()])).is_some();
    let wrong = items.iter().position(|item| !is_read(item))?;
    let may_be_empty = T::from_raw(&RawValue::List(Vec::new())).is_some();
    let is_a_list_of_them = may_be_empty || items.iter().any(is_read);
    items.get(wrong).filter(|_| is_a_list_of_them).map(|item| (wrong + 1, item))
}

/// Returns the known key that was probably meant: the same name in another table, or a name in
/// the same table that differs by a slip of the pen.
fn closest(key: &str, known: &BTreeSet<String>) -> Option<String> {
    let (table, name) = split(key);
    let other_name = OTHER_NAMES.iter().find(|(other, _)| *other == name).map(|(_, ours)| ours);
    if let Some(ours) = other_name
        .map(|ours| if table.is_empty() { (*ours).to_owned() } else { format!("{table}.{ours}") })
        && known.contains(&ours)
    {
        return Some(ours);
    }
    let near = known.iter().filter_map(|candidate| {
        let (its_table, its_name) = split(candidate);
        let distance = match (its_table == table, its_name == name) {
            (_, true) => 1,
            (true, false) => strsim::damerau_levenshtein(its_name, name),
            (false, false) => return None,
        };
        (distance <= 1 + name.len() / 4).then_some((distance, candidate))
    });
    near.min().map(|(_, candidate)| candidate.clone())
}

/// What other programs and providers call what is meant, and how it is called here.
const OTHER_NAMES: [(&str, &str); 12] = [
    ("rpm", "requests_per_minute"),
    ("tpm", "tokens_per_minute"),
    ("rpd", "requests_per_day"),
    ("tpd", "tokens_per_day"),
    ("itpm", "input_tokens_per_minute"),
    ("otpm", "output_tokens_per_minute"),
    ("max_parallel_requests", "concurrency"),
    ("max_concurrency", "concurrency"),
    ("api_key", "key"),
    ("url", "base_url"),
    ("api_base", "base_url"),
    ("model", "models"),
];

/// Splits a dotted path into the path of its table and the name of the key.
fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

//! Judges what the sources say by the table of modules.
//!
//! Owns the meaning of a [`Rule`]. Reads nothing from disk and parses nothing, so that a planted
//! violation can be shown to it.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Segments, SourceFile, Sources};

/// The layers, low to high.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Vocabulary,
    Pure,
    Effects,
    Spine,
    Shells,
}

impl Layer {
    /// Returns how the papers begin the name of this layer.
    fn word(self) -> &'static str {
        match self {
            Self::Vocabulary => "vocabulary",
            Self::Pure => "pure",
            Self::Effects => "effects",
            Self::Spine => "spine",
            Self::Shells => "shells",
        }
    }
}

/// What one top-level module may import and must not say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) layer: Layer,
    pub(crate) module: &'static str,
    pub(crate) may_import: &'static [&'static str],
    /// Paths, or ends and middles of paths; `.await` is one too.
    pub(crate) must_not_say: &'static [&'static str],
}

impl Rule {
    fn allows(&self, module: &str) -> bool {
        module == self.module || self.may_import.contains(&module)
    }

    fn forbids(&self, path: &[String]) -> Option<&'static str> {
        let is_instant = path.len() >= 3
            && path.iter().zip(["tokio", "time", "Instant"]).all(|(said, word)| said == word);
        self.must_not_say.iter().copied().find(|word| {
            let words: Vec<&str> = word.split("::").collect();
            path.windows(words.len()).any(|window| window == words)
                && !(*word == "tokio" && is_instant)
        })
    }
}

/// Returns what the sources import or say against the table.
pub(crate) fn source_problems(rules: &[Rule], sources: &Sources) -> Vec<String> {
    let files = sources.read();
    let passed_on: BTreeMap<&Segments, &Segments> =
        files.iter().flat_map(|file| &file.passed_on).map(|(name, path)| (name, path)).collect();
    let mut problems = BTreeSet::new();
    for file in &files {
        for (line, problem) in &file.opaque {
            problems.insert(format!("{}:{line}: {problem}", file.name));
        }
        // The root declares the modules and has no rule of its own.
        let Some(own) = file.module.get(1) else { continue };
        let Some(rule) = rules.iter().find(|rule| rule.module == own) else { continue };
        for (line, path) in &file.said {
            let found = import_problems(rules, rule, path, &passed_on)
                .into_iter()
                .chain(rule.forbids(path).map(|word| format!("may not say `{word}`")));
            problems.extend(found.map(|problem| format!("{}:{line}: {problem}", file.name)));
        }
    }
    problems.into_iter().collect()
}

/// Returns the arrows of the table that no source uses.
pub(crate) fn unused_arrows(rules: &[Rule], sources: &Sources) -> Vec<String> {
    let files = sources.read();
    let used: BTreeSet<(&str, &str)> = files
        .iter()
        .flat_map(|file| file.said.iter().map(|(_, path)| (file.module.get(1), path)))
        .filter(|(_, path)| path.first().is_some_and(|first| first == "crate"))
        .filter_map(|(own, path)| Some((own?.as_str(), path.get(1)?.as_str())))
        .collect();
    let arrows = rules.iter().flat_map(|rule| rule.may_import.iter().map(|to| (rule.module, *to)));
    let unused = arrows.filter(|arrow| !used.contains(arrow));
    unused.map(|(from, to)| format!("nothing in `{from}` imports `{to}`")).collect()
}

/// Judges one path: where it points, and where what is passed on there comes from.
fn import_problems(
    rules: &[Rule],
    rule: &Rule,
    path: &[String],
    passed_on: &BTreeMap<&Segments, &Segments>,
) -> Vec<String> {
    if path.first().is_none_or(|first| first != "crate") {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut path = path.to_vec();
    // A circle of re-exports does not compile; the bound only keeps a broken tree from hanging.
    for _ in 0..16 {
        match path.get(1).map(String::as_str) {
            None => problems.push("imports the crate's root, which hides arrows".to_owned()),
            Some(module) if rule.allows(module) => {}
            Some(module) if rules.iter().any(|other| other.module == module) => {
                problems.push(format!("`{}` may not import `{module}`", rule.module));
            }
            // A name that the root passes on is followed below.
            Some(_) if followed(&path, passed_on).is_some() => {}
            Some(module) => problems.push(format!("`{module}` is not in the table")),
        }
        match followed(&path, passed_on) {
            Some(next) if next.first().is_some_and(|first| first == "crate") => path = next,
            _ => break,
        }
    }
    problems
}

/// Returns what `path` is where the module it names got it from, if it passes it on.
fn followed(path: &[String], passed_on: &BTreeMap<&Segments, &Segments>) -> Option<Segments> {
    (2..=path.len()).find_map(|length| {
        let (name, rest) = path.split_at(length);
        let target = passed_on.get(&name.to_vec())?;
        (target.as_slice() != name).then(|| target.iter().chain(rest).cloned().collect())
    })
}

/// Returns arrows of the table that go up, to nowhere, or in a circle.
pub(crate) fn layering_problems(rules: &[Rule]) -> Vec<String> {
    let mut problems = Vec::new();
    for rule in rules {
        for target in rule.may_import {
            match rules.iter().find(|other| other.module == *target) {
                None => problems.push(format!("`{}` -> `{target}`: no such module", rule.module)),
                Some(other) if other.layer > rule.layer => {
                    problems.push(format!("`{}` -> `{target}` goes up", rule.module));
                }
                Some(_) => {}
            }
        }
    }
    // What imports nothing that is left can be taken away; what stays is in a circle.
    let mut left: Vec<&Rule> = rules.iter().collect();
    while let Some(at) = left
        .iter()
        .position(|rule| !left.iter().any(|other| rule.may_import.contains(&other.module)))
    {
        left.remove(at);
    }
    problems.extend(left.iter().map(|rule| format!("`{}` is in or above a circle", rule.module)));
    problems
}

/// Returns how the map of modules in a paper differs from the table.
///
/// The map is a Markdown table: a layer (empty: the one above), then modules in backquotes.
/// The modules of `apart` may be missing.
pub(crate) fn table_problems(rules: &[Rule], paper: &str, apart: &[&str]) -> Vec<String> {
    let mut named: BTreeMap<&str, &str> = BTreeMap::new();
    let mut layer = "";
    for row in rows(paper) {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let first = cells.next().unwrap_or_default();
        layer = if first.is_empty() { layer } else { first };
        for module in cells.next().unwrap_or_default().split('`').skip(1).step_by(2) {
            named.insert(module.trim_end_matches('/'), layer);
        }
    }
    let mut problems = Vec::new();
    for rule in rules {
        match named.remove(rule.module) {
            Some(layer) if layer.starts_with(rule.layer.word()) => {}
            Some(layer) => problems.push(format!("`{}` is not in `{layer}`", rule.module)),
            None if apart.contains(&rule.module) => {}
            None => problems.push(format!("`{}` is missing from the map", rule.module)),
        }
    }
    problems.extend(named.keys().map(|name| format!("`{name}` is in the map only")));
    problems
}

/// Returns the rows of the table whose head begins with `| layer`.
fn rows(paper: &str) -> impl Iterator<Item = &str> {
    paper
        .lines()
        .skip_while(|line| !line.starts_with("| layer"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
}

impl Sources {
    /// Returns the files with more than `most` lines outside their test items.
    pub(crate) fn too_long(&self, most: usize) -> Vec<String> {
        let long = |file: &SourceFile| file.lines > most;
        self.read()
            .iter()
            .filter(|file| long(file))
            .map(|file| format!("{}: {} lines, at most {most}", file.name, file.lines))
            .collect()
    }

    /// Returns the top-level modules that have no rule, and the rules that have no module.
    pub(crate) fn unknown_roots(&self, rules: &[Rule]) -> Vec<String> {
        let roots: BTreeSet<String> =
            self.read().iter().filter_map(|file| file.module.get(1).cloned()).collect();
        let ruled: BTreeSet<String> = rules.iter().map(|rule| rule.module.to_owned()).collect();
        let unruled = roots.difference(&ruled).map(|root| format!("`{root}` is not in the table"));
        let empty = ruled.difference(&roots).map(|rule| format!("`{rule}` is in no file"));
        unruled.chain(empty).collect()
    }
}

//! Holds what is known of the programs that ask: apps with their keys, and rules that tell them by their looks.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::pattern::ModelPattern;
use super::raw::RawValue;
use super::section::FromRaw;
use crate::limit::AppLimits;
use crate::units::{AppName, Class, KeyDigest};

/// A program that has keys of its own here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// Its name.
    pub name: AppName,
    /// What it sends as its API key: one of these.
    pub keys: Vec<AppKey>,
    /// The class of its requests, if nothing else is said.
    pub class: Class,
    /// The highest class that its requests may have.
    pub max_class: Class,
    /// Its part of what the apps of a class share.
    pub weight: u32,
    /// Whether it may say which account serves a request.
    pub may_choose_account: bool,
    /// What else it is known by, such as `team=search`; a budget may be that of a label.
    pub labels: Arc<[Arc<str>]>,
    /// What it may use in a minute, in a day and at one time.
    pub limits: AppLimits,
    /// The models that it may ask for; all where none is named.
    pub models: Vec<ModelPattern>,
    /// The paths, without `/v1`, that it may ask for; all where none is named.
    pub endpoints: Vec<ModelPattern>,
    /// When its keys stop to work, as time since 1970-01-01 UTC.
    pub expires: Option<Duration>,
}

/// A key of an app, of which only the digest is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppKey {
    /// The digest of what is sent.
    pub digest: KeyDigest,
    /// Until when it works, as time since 1970-01-01 UTC; `None`: as long as its app.
    pub until: Option<Duration>,
}

/// Patterns of models or of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(pub Vec<ModelPattern>);

impl Patterns {
    /// Returns them as patterns of paths without `/v1`.
    pub fn paths(self) -> Vec<ModelPattern> {
        self.0.iter().map(ModelPattern::of_paths).collect()
    }
}

impl FromRaw for Patterns {
    const RULE: &'static str = "must be a list of texts in which `*` stands for any text, at least one: \
                                [\"gpt-4o*\", \"text-embedding-*\"]";

    fn from_raw(value: &RawValue) -> Option<Self> {
        let RawValue::List(items) = value else { return None };
        let text = |text: &str| (!text.is_empty()).then(|| ModelPattern::new(text));
        let patterns = items.iter().map(|item| item.value.as_text().and_then(text));
        patterns.collect::<Option<Vec<_>>>().filter(|patterns| !patterns.is_empty()).map(Self)
    }
}

/// A moment, as time since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcTime(pub Duration);

impl UtcTime {
    /// Reads `2026-12-31T18:00:00Z`, or `2026-12-31`, which is when that day begins in UTC.
    pub fn read(text: &str) -> Option<Self> {
        let time = text.parse::<Timestamp>().ok().or_else(|| {
            let day = text.parse::<Date>().ok().filter(|_| text.len() == "2026-12-31".len())?;
            Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
        })?;
        let since = Duration::try_from(time.duration_since(Timestamp::UNIX_EPOCH)).ok()?;
        Some(Self(since))
    }

    /// Returns it as `2026-12-31T18:00:00Z`.
    pub fn text(self) -> String {
        let time = Timestamp::from_second(i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX));
        time.map_or_else(|_| String::from("(never)"), |time| time.to_string())
    }
}

impl FromRaw for UtcTime {
    const RULE: &'static str =
        "must be a date or a time, such as \"2026-12-31\" or \"2026-12-31T18:00:00Z\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        Self::read(value.as_text()?)
    }
}

/// Tells the app or the class of a request by what it looks like. It asks for one thing at least,
/// and sets one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSettings {
    /// The path, without `/v1`.
    pub path: Option<ModelPattern>,
    /// The model.
    pub model: Option<ModelPattern>,
    /// The `User-Agent`.
    pub user_agent: Option<ModelPattern>,
    /// The app that such a request belongs to.
    pub app: Option<AppName>,
    /// The class of such a request, and the highest that it may ask for.
    pub class: Option<Class>,
}

impl RuleSettings {
    /// Tells whether a request is meant that asks for `path` and has these, if any.
    pub fn matches(&self, path: &str, model: Option<&str>, user_agent: Option<&str>) -> bool {
        let is_met = |pattern: &Option<ModelPattern>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|wanted| text.is_some_and(|text| wanted.matches(text)))
        };
        self.path.as_ref().is_none_or(|wanted| wanted.matches_path(path))
            && is_met(&self.model, model)
            && is_met(&self.user_agent, user_agent)
    }

    /// Tells whether `other` is never asked where this one comes first.
    pub(super) fn asks_the_same_as(&self, other: &Self) -> bool {
        (&self.path, &self.model, &self.user_agent)
            == (&other.path, &other.model, &other.user_agent)
    }
}

//! Holds a configuration as it was written: a tree in which every value knows its origin.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// A value as written, with its origin.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    /// The value.
    pub(super) value: RawValue,
    /// Where it was written.
    pub(super) origin: Origin,
}

/// What may be written in a configuration.
#[derive(Debug, Clone)]
pub(super) enum RawValue {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a decimal point, as written.
    Decimal(String),
    /// True or false.
    Boolean(bool),
    /// A list.
    List(Vec<Raw>),
    /// A table.
    Table(RawTable),
    /// A kind of value that no setting has, by its name.
    Other(&'static str),
}

/// Keys and their values in the order in which they were written; no key is there twice.
#[derive(Debug, Clone, Default)]
pub(super) struct RawTable {
    entries: Vec<(String, Raw)>,
}

impl RawTable {
    /// Reads TOML; `path` is `None` for the embedded defaults.
    ///
    /// # Errors
    ///
    /// Returns every place at which `text` is not TOML.
    pub(super) fn parse(text: &str, path: Option<&Arc<Path>>) -> Result<Self, Vec<Problem>> {
        let source = Source { text, path };
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(source.table(table.get_ref()));
        }
        let syntax = |error: &toml::de::Error| Problem::Syntax {
            origin: source.origin(error.span().map_or(0, |span| span.start)),
            // Only the first line, and never the line of the file: that may hold a secret.
            reason: error.message().lines().next().unwrap_or_default().to_owned(),
        };
        Err(errors.iter().map(syntax).collect())
    }

    /// Returns the value of `key`.
    pub(super) fn find(&self, key: &str) -> Option<&Raw> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, raw)| raw)
    }

    /// Returns the value of `key`, to be changed.
    pub(super) fn find_mut(&mut self, key: &str) -> Option<&mut Raw> {
        self.entries.iter_mut().find(|(name, _)| name == key).map(|(_, raw)| raw)
    }

    /// Takes the value of `key` out.
    pub(super) fn take(&mut self, key: &str) -> Option<Raw> {
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1)
    }

    /// Sets `key`, at its place if it has one.
    pub(super) fn set(&mut self, key: &str, raw: Raw) {
        match self.find_mut(key) {
            Some(old) => *old = raw,
            None => self.entries.push((key.to_owned(), raw)),
        }
    }

    /// Puts `over` above this table: its values win, tables are merged, lists are replaced.
    pub(super) fn overlay(&mut self, over: Self) {
        for (key, raw) in over.entries {
            match (self.find_mut(&key), raw) {
                (
                    Some(Raw { value: RawValue::Table(base), origin }),
                    Raw { value: RawValue::Table(table), origin: above },
                ) => {
                    base.overlay(table);
                    *origin = above;
                }
                (_, raw) => self.set(&key, raw),
            }
        }
    }

    /// Iterates over the keys and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.entries.iter().map(|(key, raw)| (key.as_str(), raw))
    }
}

impl Raw {
    /// Creates a text.
    pub(super) fn text(text: impl Into<String>, origin: Origin) -> Self {
        Self { value: RawValue::Text(text.into()), origin }
    }

    /// Creates a list that holds one table.
    pub(super) fn only(table: RawTable, origin: Origin) -> Self {
        let entry = Self { value: RawValue::Table(table), origin: origin.clone() };
        Self { value: RawValue::List(vec![entry]), origin }
    }
}

impl RawValue {
    /// Returns the text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Tells whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self, Self::Table(_))
    }

    /// Describes the value for people; what may be a secret is masked.
    pub(super) fn shown(&self, key: &str) -> String {
        match self {
            Self::Text(text) if may_be_secret(key, text) => "***".to_owned(),
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(_) | Self::Decimal(_) | Self::List(_) if key == "key" => "***".to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Decimal(number) => number.clone(),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::List(items) if items.is_empty() => "[]".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }
}

/// Tells whether a text must not be shown: it stands where a key does, or where people put a key
/// by mistake and looks like one.
fn may_be_secret(key: &str, text: &str) -> bool {
    let variable = |text: &str| {
        text.len() <= 64 && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
    };
    key == "key"
        || (key == "env" && !variable(text))
        || text.split(['/', ' ', '"', '=', ':']).any(|word| word.starts_with("sk-"))
        || (text.contains("://") && (text.contains('@') || text.contains("word=")))
}

/// A text that is being read, and where it comes from.
struct Source<'a> {
    text: &'a str,
    path: Option<&'a Arc<Path>>,
}

impl Source<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let Some(path) = self.path else { return Origin::Default };
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Origin::File { path: Arc::clone(path), line }
    }

    fn table(&self, table: &DeTable<'_>) -> RawTable {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            let raw =
                Raw { value: self.value(value.get_ref()), origin: self.origin(key.span().start) };
            (name.clone().into_owned(), raw)
        };
        RawTable { entries: entries.into_iter().map(entry).collect() }
    }

    fn value(&self, value: &DeValue<'_>) -> RawValue {
        match value {
            DeValue::String(text) => RawValue::Text(text.clone().into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(RawValue::Other("a number beyond 64 bits"), RawValue::Integer),
            DeValue::Float(number) => RawValue::Decimal(number.as_str().to_owned()),
            DeValue::Boolean(boolean) => RawValue::Boolean(*boolean),
            DeValue::Datetime(_) => RawValue::Other("a date"),
            DeValue::Array(items) => {
                let item = |item: &Spanned<DeValue<'_>>| Raw {
                    value: self.value(item.get_ref()),
                    origin: self.origin(item.span().start),
                };
                RawValue::List(items.iter().map(item).collect())
            }
            DeValue::Table(table) => RawValue::Table(self.table(table)),
        }
    }
}

//! Looks into JSON text without building a tree of it.
//!
//! # What this module owns
//!
//! Two ways of looking: [`members`] visits the members of one object, and [`last_member`] finds
//! a member that the relay is after by its bytes, so that megabytes before it (embeddings) or
//! a hundred events a second (streams) are not parsed.
//!
//! # What this module does not do
//!
//! [`last_member`] does not validate: it is exact for valid JSON and finds something or nothing in
//! other text. A key spelled with escapes (`"us\u0061ge"`) is not found by it.
//!
//! # Invariants
//!
//! 1. No recursion: depth of nesting costs no stack.
//! 2. Work is linear in the length of the text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::{Finder, FinderRev};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Finds the key that tells of usage, quotes included.
pub(super) static USAGE_KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(USAGE));

static USAGE_KEY_FROM_END: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(USAGE));
/// Finds the key that tells of the model.
pub(super) static MODEL_KEY: LazyLock<FinderRev<'static>> =
    LazyLock::new(|| FinderRev::new(b"\"model\""));
/// Finds the key that tells of the service tier.
pub(super) static TIER_KEY: LazyLock<FinderRev<'static>> =
    LazyLock::new(|| FinderRev::new(b"\"service_tier\""));

const USAGE: &[u8] = b"\"usage\"";

/// Calls `visit` with every member of the object that `json` is, in order; a key that comes twice
/// is visited twice.
///
/// Returns `None` if `json` is not an object or not valid JSON; members before the fault were
/// visited.
pub(super) fn members<'a>(json: &'a [u8], visit: impl FnMut(&str, &'a RawValue)) -> Option<()> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    reader.deserialize_map(Members { visit }).ok()
}

struct Members<F> {
    visit: F,
}

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            (self.visit)(&key, map.next_value::<&'de RawValue>()?);
        }
        Ok(())
    }
}

/// Tells whether `json` is an array without elements.
pub(super) fn is_empty_array(json: &RawValue) -> bool {
    serde_json::from_str::<[IgnoredAny; 0]>(json.get()).is_ok()
}

/// Where a member stands in the text of its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Where its key begins, at the quote.
    pub(super) key: usize,
    /// Its value.
    pub(super) value: Range<usize>,
}

impl Member {
    /// Returns what to cut out of `json` so that the object is as if it had never had this member.
    pub(super) fn with_comma(&self, json: &[u8]) -> Range<usize> {
        let before = json.get(..self.key).unwrap_or_default().trim_ascii_end();
        if let [rest @ .., b','] = before {
            return rest.len()..self.value.end;
        }
        let after = json.get(self.value.end..).unwrap_or_default();
        match after.trim_ascii_start() {
            [b',', rest @ ..] => self.key..json.len() - rest.trim_ascii_start().len(),
            _ => self.key..self.value.end,
        }
    }
}

/// Tells whether some key `usage` in `json`, at any depth, has an object as its value: else there
/// is no need to parse.
pub(super) fn may_report_usage(json: &[u8]) -> bool {
    USAGE_KEY
        .find_iter(json)
        .filter_map(|key| value_of_key(json, key, USAGE.len()))
        .any(|value| json.get(value) == Some(&b'{'))
}

/// Finds the last member `usage` of the object that `json` is; of nested objects none counts.
///
/// Cheap where the member stands near the end, as every known provider has it.
pub(super) fn usage_member(json: &[u8]) -> Option<Member> {
    last_member(json, &USAGE_KEY_FROM_END, 0)
}

/// Finds the last member with this key of the object that `json` is, if it stands at `from` or behind; of
/// nested objects none counts.
///
/// It searches from the end and tells the depth from how much is closed behind a place.
pub(super) fn last_member(json: &[u8], key: &FinderRev<'_>, from: usize) -> Option<Member> {
    let mut search_end = json.len();
    let mut counted_from = json.len();
    let mut closed_behind = 0_i64;
    let length = key.needle().len();
    loop {
        let key = from + key.rfind(json.get(from..search_end)?)?;
        search_end = key;
        let Some(value) = value_of_key(json, key, length) else { continue };
        closed_behind += closed(json.get(key..counted_from)?);
        counted_from = key;
        if closed_behind == 1 {
            return Some(Member { key, value: value..value_end(json, value)? });
        }
    }
}

/// Returns where the value begins if the quoted text of `length` bytes at `key` is a key, not a string or
/// the end of one.
///
/// Inside a string every quote stands behind a backslash, so a quote without one opens a string
/// here, and a string before a colon is a key.
fn value_of_key(json: &[u8], key: usize, length: usize) -> Option<usize> {
    if json.get(..key)?.last() == Some(&b'\\') {
        return None;
    }
    let behind = json.get(key + length..)?.trim_ascii_start();
    let [b':', value @ ..] = behind else { return None };
    Some(json.len() - value.trim_ascii_start().len())
}

/// Returns the end of the value that begins at `start`.
fn value_end(json: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_i64;
    let mut at = start;
    loop {
        match *json.get(at)? {
            b'"' => at = string_end(json, at),
            b'{' | b'[' => (depth, at) = (depth + 1, at + 1),
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => (depth, at) = (depth - 1, at + 1),
            b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return Some(at),
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Returns how many more brackets `json` closes than it opens; it begins outside of a string.
fn closed(json: &[u8]) -> i64 {
    let mut net = 0;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at = string_end(json, at);
                continue;
            }
            b'{' | b'[' => net -= 1,
            b'}' | b']' => net += 1,
            _ => {}
        }
        at += 1;
    }
    net
}

/// Returns the place behind the string that opens at `quote`; the end of `json` if it never closes.
fn string_end(json: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if json.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

#[cfg(test)]
mod tests;

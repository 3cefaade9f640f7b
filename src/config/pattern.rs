//! Matches texts against patterns.

use crate::units::{below_base, unversioned};

/// A text (mostly a model's name) in which `*` stands for any text, also for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPattern(pub(super) String);

impl ModelPattern {
    /// Creates a pattern from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Makes it a pattern of paths: without `/v1`, and with the `/` that each path begins with.
    pub(super) fn of_paths(&self) -> Self {
        let text =
            if self.0.starts_with(['/', '*']) { self.0.clone() } else { format!("/{}", self.0) };
        Self(unversioned(&text).to_owned())
    }

    /// Tells whether what `path` asks for is meant, or `path` itself.
    pub fn matches_path(&self, path: &str) -> bool {
        self.matches(below_base(path)) || self.matches(unversioned(path))
    }

    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether `model` is meant; takes time proportional to the length of `model` and the
    /// number of stars, whatever is in them.
    pub fn matches(&self, model: &str) -> bool {
        let Some((first, tail)) = self.0.split_once('*') else { return self.0 == model };
        let Some(mut rest) = model.strip_prefix(first) else { return false };
        let (middle, last) = tail.rsplit_once('*').unwrap_or(("", tail));
        // Each part at its first place: that leaves the most text for the parts after it.
        for part in middle.split('*') {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }

    /// Tells whether it matches whatever `other` matches: only a star of its own can stand for a star
    /// of the other's.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("gpt-4o", "gpt-4o", true),   ("gpt-4o", "gpt-4o-mini", false), ("gpt-4o*", "gpt-4o-mini", true),
            ("gpt-4o*", "gpt-4o", true),  ("*", "", true),                  ("*", "anything", true),
            ("*mini", "gpt-4o-mini", true), ("*mini", "minimal", false),    ("gpt-*-mini", "gpt-4o-mini", true),
            ("gpt-*-mini", "gpt-mini", false), ("a*a", "a", false),         ("a*b*c", "axbxbxc", true),
            ("a**c", "abc", true),        ("**", "", true),                 ("", "", true), ("", "a", false),
            ("*ab*ab*", "abab", true),    ("*ab*ab*", "aba", false),        ("*é", "café", true),
        ];
        for (pattern, model, matches) in cases {
            assert_eq!(ModelPattern::new(pattern).matches(model), matches, "{pattern} on {model}");
        }
    }

    #[test]
    fn a_path_is_meant_in_whatever_way_it_is_written() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("/embeddings",    "/v1/embeddings", true),        ("/v1/embeddings", "/embeddings", true),
            ("embeddings",     "/v1/embeddings", true),        ("v1/embeddings",  "/embeddings", true),
            ("/embeddings",    "/openai/deployments/e/embeddings", true),
            ("/embeddings",    "/openai/v1/embeddings", true), ("/embeddings", "/v1/embeddings/x", false),
            ("/openai/*",      "/openai/v1/embeddings", true), ("/openai/*", "/v1/embeddings", false),
            ("*",              "/v1/files", true),             ("/v1*", "/files", true),
        ];
        for (pattern, path, matches) in cases {
            let pattern_of_paths = ModelPattern::new(pattern).of_paths();
            assert_eq!(pattern_of_paths.matches_path(path), matches, "{pattern} on {path}");
        }
    }

    /// The definition, word for word; exponential, so only for short texts.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', after @ ..], _) => {
                (0..=text.len()).any(|taken| by_definition(after, &text[taken..]))
            }
            ([p, after @ ..], [t, rest @ ..]) if p == t => by_definition(after, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(pattern in "[ab*]{0,7}", text in "[ab]{0,9}") {
            let matches = ModelPattern::new(pattern.clone()).matches(&text);
            prop_assert_eq!(matches, by_definition(pattern.as_bytes(), text.as_bytes()));
        }
    }
}

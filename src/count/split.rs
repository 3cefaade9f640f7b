//! Cuts ASCII text into the pieces that a vocabulary merges within.
//!
//! Vocabularies define their pieces by a regular expression over Unicode. Most text that is counted
//! is ASCII, for which the same cuts are a few comparisons. Wherever a character beyond ASCII could
//! change the cut, this module declines and the expression decides, so that there is no second
//! opinion on Unicode. The expressions, as in tiktoken 0.14.0
//! (`tiktoken_ext/openai_public.py`, read 2026-11-21), in the order in which they are tried:
//!
//! | | `cl100k_base` | `o200k_base` |
//! |---|---|---|
//! | contraction | `'(?i:s\|t\|re\|ve\|m\|ll\|d)`, a piece of its own | the end of a word |
//! | word | any character but a digit or line end, letters | so, capitals before small letters |
//! | number | up to three digits | so |
//! | marks | a space, marks, line ends | so, line ends and slashes |
//! | space | up to the last line end; else all but the last character; else all | so |

use crate::catalog::Encoding;

/// Returns the length of the piece with which `text` begins, or `None` where this is for the
/// vocabulary's own expression to say.
pub(super) fn first_piece(text: &[u8], encoding: Encoding) -> Option<usize> {
    let (&first, rest) = text.split_first()?;
    match Class::of(first)? {
        Class::Letter => word(text, encoding),
        Class::Digit => number(text),
        // A contraction, or the beginning of a quotation.
        Class::Mark if first == b'\'' => None,
        Class::Mark | Class::Blank if class_at(rest, 0)? == Some(Class::Letter) => {
            word(rest, encoding).map(|length| length + 1)
        }
        Class::Mark => marks(text, encoding),
        Class::Blank if first == b' ' && class_at(rest, 0)? == Some(Class::Mark) => {
            marks(rest, encoding).map(|length| length + 1)
        }
        Class::Blank | Class::LineEnd => space(text),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Mark,
    Blank,
    LineEnd,
}

impl Class {
    /// Returns the class of a byte; none beyond ASCII, nor for control characters.
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => Some(Self::Letter),
            b'0'..=b'9' => Some(Self::Digit),
            b' ' | b'\t' => Some(Self::Blank),
            b'\r' | b'\n' => Some(Self::LineEnd),
            b'!'..=b'~' => Some(Self::Mark),
            _ => None,
        }
    }
}

/// Returns the class of the byte at `place`: `Some(None)` behind the end, `None` where it has none.
fn class_at(text: &[u8], place: usize) -> Option<Option<Class>> {
    text.get(place).map_or(Some(None), |byte| Class::of(*byte).map(Some))
}

/// Returns the first place from `start` whose class is not `class`.
fn end_of(text: &[u8], start: usize, class: Class) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().take_while(|byte| Class::of(**byte) == Some(class)).count()
}

fn word(text: &[u8], encoding: Encoding) -> Option<usize> {
    let end = match encoding {
        Encoding::Cl100k => end_of(text, 0, Class::Letter),
        Encoding::O200k => {
            let capitals = text.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
            let rest = text.get(capitals..).unwrap_or_default();
            capitals + rest.iter().take_while(|byte| byte.is_ascii_lowercase()).count()
        }
    };
    match (class_at(text, end)?, text.get(end)) {
        (_, Some(b'\'')) if encoding == Encoding::O200k => contraction(text, end + 1),
        _ => Some(end),
    }
}

/// Returns the end of the word with the contraction that may begin at `start`, behind the
/// apostrophe.
fn contraction(text: &[u8], start: usize) -> Option<usize> {
    class_at(text, start)?;
    class_at(text, start + 1)?;
    let lower = |place: usize| text.get(place).map(u8::to_ascii_lowercase);
    Some(match (lower(start), lower(start + 1)) {
        (Some(b's' | b't' | b'm' | b'd'), _) => start + 1,
        (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => start + 2,
        _ => start - 1,
    })
}

fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    if digits < 3 {
        class_at(text, digits)?;
    }
    Some(digits)
}

fn marks(text: &[u8], encoding: Encoding) -> Option<usize> {
    let end = end_of(text, 0, Class::Mark);
    class_at(text, end)?;
    let rest = text.get(end..).unwrap_or_default();
    let tail = |byte: &&u8| match **byte {
        b'\r' | b'\n' => true,
        b'/' => encoding == Encoding::O200k,
        _ => false,
    };
    Some(end + rest.iter().take_while(tail).count())
}

/// Cuts white space that is not the beginning of a word or of marks.
fn space(text: &[u8]) -> Option<usize> {
    let blank = |byte: &&u8| matches!(Class::of(**byte), Some(Class::Blank | Class::LineEnd));
    let length = text.iter().take_while(blank).count();
    let next = class_at(text, length)?;
    let run = text.get(..length)?;
    if let Some(line_end) = run.iter().rposition(|byte| matches!(byte, b'\r' | b'\n')) {
        return Some(line_end + 1);
    }
    Some(if next.is_none() || length == 1 { length } else { length - 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the pieces of `text`, separated by `|`.
    fn pieces(mut text: &str, encoding: Encoding) -> String {
        let mut pieces = Vec::new();
        while !text.is_empty() {
            let length = first_piece(text.as_bytes(), encoding).unwrap_or(text.len());
            let (piece, rest) = text.split_at(length);
            pieces.push(piece);
            text = rest;
        }
        pieces.join("|")
    }

    #[test]
    fn text_is_cut_as_the_expressions_say() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("Hello world",     "Hello| world",         "Hello| world"),
            ("camelCaseHTTPx",  "camelCaseHTTPx",       "camel|Case|HTTPx"),
            ("we're a",         "we|'re a",             "we're| a"),
            ("x'Ll, 'y",        "x|'Ll, 'y",            "x'Ll|,| '|y"),
            ("a 1234 (b)",      "a| |123|4| (|b|)",     "a| |123|4| (|b|)"),
            ("a  b\n\n  c ",    "a| | b|\n\n| | c| ",   "a| | b|\n\n| | c| "),
            ("x //\n/y",        "x| //\n|/y",           "x| //\n/|y"),
            ("\t\tif \r\n",     "\t|\tif| \r\n",        "\t|\tif| \r\n"),
        ];
        for (text, cl100k, o200k) in cases {
            // An apostrophe in front is left to the expression, which here takes all.
            assert_eq!(pieces(text, Encoding::Cl100k), cl100k, "{text:?}");
            assert_eq!(pieces(text, Encoding::O200k), o200k, "{text:?}");
        }
    }

    #[test]
    fn what_unicode_could_change_is_declined() {
        for text in ["é", "aé", "a\u{301}", " é", "12٣", "!\u{3000}", "  \u{3000}", "a'ſ", "\u{1f}"]
        {
            assert_eq!(first_piece(text.as_bytes(), Encoding::O200k), None, "{text:?}");
        }
    }
}

//! Looks for an error at the beginning of an answer whose status says that all is well.
//!
//! # What this module owns
//!
//! Some providers say that they take a request and fail afterwards: the error then is the body, or the first
//! event of the stream (<https://openrouter.ai/docs/api-reference/errors>, read 2026-11-21). [`Answer::glance`] reads so
//! much as tells that, and no more; what was read stays a part of the answer.
//!
//! # What this module does not do
//!
//! It judges no error: [`super::classify`] does, as if it had come with the status that it names.

use std::ops::Range;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::time::timeout;

use super::Answer;

/// An error that came with a good status.
#[derive(Debug, Clone, PartialEq)]
pub struct Inside {
    /// The status that it stands for.
    pub status: StatusCode,
    /// The error as JSON.
    pub words: Vec<u8>,
}

/// How an answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As one JSON text.
    Whole,
    /// As server-sent events.
    Events,
}

impl Answer {
    /// Returns the error that this answer begins with, if it does.
    ///
    /// At most 64 KiB are read, for at most ten seconds. Comments of a stream wait here for so long; blanks before a
    /// whole answer do not: they are there to be seen, and with them the answer has begun.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing that was read.
    pub async fn glance(&mut self, shape: Shape) -> Option<Inside> {
        let looking = async {
            loop {
                match look(self.front(), shape) {
                    Look::Error(place) => return inside(self.front().get(place)?),
                    Look::Fine => return None,
                    Look::More if self.front().len() >= MOST => return None,
                    Look::More => {}
                }
                if !self.read_on().await {
                    // An error that is not followed by anything is as whole as it will be.
                    return match look_at_end(self.front(), shape) {
                        Look::Error(place) => inside(self.front().get(place)?),
                        Look::Fine | Look::More => None,
                    };
                }
            }
        };
        timeout(PATIENCE, looking).await.ok().flatten()
    }
}

/// The most of an answer that is looked at.
const MOST: usize = 64 * 1024;
/// For how long it is looked at.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the beginning of an answer tells.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// It is an error: where its JSON stands.
    Error(Range<usize>),
    /// It is none.
    Fine,
    /// More has to be seen.
    More,
}

fn look(seen: &[u8], shape: Shape) -> Look {
    match shape {
        Shape::Events => first_event(seen),
        Shape::Whole if seen.is_empty() => Look::More,
        Shape::Whole => {
            let text = seen.trim_ascii_start();
            // Blanks are let through as they come.
            if text.is_empty() || !may_be_error(text) {
                return Look::Fine;
            }
            match serde_json::from_slice::<Value>(text) {
                Ok(value) if is_error(&value) => Look::Error(seen.len() - text.len()..seen.len()),
                Ok(_) => Look::Fine,
                Err(error) if error.is_eof() => Look::More,
                Err(_) => Look::Fine,
            }
        }
    }
}

fn look_at_end(seen: &[u8], shape: Shape) -> Look {
    match shape {
        Shape::Whole => look(seen, shape),
        Shape::Events => {
            let closed = [seen, b"\n"].concat();
            first_event(&closed)
        }
    }
}

/// Tells whether JSON that begins so may have an error as its first member, or as the only element of an array.
fn may_be_error(text: &[u8]) -> bool {
    let inner = text.strip_prefix(b"[").unwrap_or(text).trim_ascii_start();
    let Some(member) = inner.strip_prefix(b"{") else { return inner.is_empty() };
    let member = member.trim_ascii_start();
    let length = member.len().min(KEY.len());
    member.get(..length) == KEY.get(..length)
}

const KEY: &[u8] = b"\"error\"";

/// Looks for the first event that has data.
fn first_event(seen: &[u8]) -> Look {
    let mut at = 0;
    while let Some(length) = seen.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let line = seen.get(at..at + length).unwrap_or_default();
        if let Some(data) = line.strip_prefix(b"data:") {
            let is_one = serde_json::from_slice(data).is_ok_and(|value: Value| is_error(&value));
            let begin = at + line.len() - data.len();
            return if is_one { Look::Error(begin..at + length) } else { Look::Fine };
        }
        at += length + 1;
    }
    Look::More
}

/// Tells whether an answer is an error and nothing else: nothing of an output stands beside it.
fn is_error(value: &Value) -> bool {
    let value = value.get(0).unwrap_or(value);
    let has_text = |choice: &Value| {
        let part = choice.get("delta").or_else(|| choice.get("message"));
        let content = part.and_then(|part| part.get("content")).and_then(Value::as_str);
        content.is_some_and(|content| !content.is_empty())
    };
    let choices = value.get("choices").and_then(Value::as_array);
    value.get("error").is_some_and(|error| error.is_object() || error.is_string())
        && !choices.is_some_and(|choices| choices.iter().any(has_text))
}

fn inside(words: &[u8]) -> Option<Inside> {
    let value: Value = serde_json::from_slice(words).ok()?;
    let error = value.get(0).unwrap_or(&value).get("error")?;
    let code = error.get("code");
    let number = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let status = number.and_then(|number| u16::try_from(number).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.filter(|status| status.is_client_error() || status.is_server_error());
    Some(Inside { status: status.unwrap_or(StatusCode::BAD_GATEWAY), words: words.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(shape: Shape, seen: &str) -> Option<u16> {
        match look(seen.as_bytes(), shape) {
            Look::Error(place) => {
                inside(seen.as_bytes().get(place)?).map(|inside| inside.status.as_u16())
            }
            Look::Fine => None,
            Look::More => Some(0),
        }
    }

    #[test]
    fn an_error_is_known_by_its_beginning_and_by_nothing_beside_it() {
        #[rustfmt::skip] // One case a line: what was seen; the status it stands for, 0 if more has to be seen.
        let cases = [
            (Shape::Whole,  r#"{"error":{"code":429,"message":"slow"}}"#,                                   Some(429)),
            (Shape::Whole,  r#" { "error" : {"code":"503","message":"busy"}}"#,                             Some(503)),
            (Shape::Whole,  r#"{"error":{"message":"failed"}}"#,                                            Some(502)),
            (Shape::Whole,  r#"{"error":{"code":200,"message":"failed"}}"#,                                 Some(502)),
            (Shape::Whole,  r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#,                    Some(429)),
            (Shape::Whole,  r#"{"error":{"code":429"#,                                                      Some(0)),
            (Shape::Whole,  r#"{"err"#,                                                                     Some(0)),
            (Shape::Whole,  r#"{"error":null,"choices":[]}"#,                                               None),
            (Shape::Whole,  r#"{"id":"x","choices":[]}"#,                                                   None),
            (Shape::Whole,  "\n",                                                                           None),
            (Shape::Whole,  r#"{"error"]"#,                                                                 None),
            (Shape::Events, ": PROCESSING\n\n",                                                             Some(0)),
            (Shape::Events, ": PROCESSING\n\ndata: {\"error\":{\"code\":502},\"choices\":[]}\n",            Some(502)),
            (Shape::Events, "event: x\ndata: {\"error\":{\"code\":502}}\r\n",                               Some(502)),
            (Shape::Events, "data: {\"error\":{\"code\":502},\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n", None),
            (Shape::Events, "data: {\"id\":\"x\"}\n\ndata: {\"error\":{\"code\":502}}\n",                   None),
            (Shape::Events, "data: {\"error\":{\"code\":5",                                                 Some(0)),
            (Shape::Events, "data: [DONE]\n",                                                               None),
        ];
        for (shape, seen, status) in cases {
            assert_eq!(told(shape, seen), status, "{seen}");
        }
    }
}

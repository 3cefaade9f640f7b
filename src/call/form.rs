//! Reads a form as it streams by: its texts, and how large its files are.
//!
//! The format: RFC 7578 and RFC 2046 section 5.1, read 2026-11-22. A reader of ours, as those at hand pull
//! all that a fast client sends into memory, while here the bytes go on untouched.

use bytes::Bytes;
use memchr::memmem;
use serde_json::{Map, Value};

use super::{Attached, Call, CallError, Endpoint};

/// Reads one form, piece by piece; no more of it is held than a part's head and its texts.
#[derive(Debug)]
pub struct FormReader {
    /// A line break, two dashes, and the boundary.
    delimiter: Vec<u8>,
    /// What was not read yet.
    held: Vec<u8>,
    place: Place,
    texts: Vec<Text>,
    attached: Attached,
    /// Bytes of texts that may still come.
    room: usize,
}

/// A text of a form: its name, and what stands there.
type Text = (String, Vec<u8>);

/// Where in a form the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first part.
    Preamble,
    /// Behind a delimiter.
    Delimiter,
    /// In the head of a part.
    Head,
    /// In a text, the last of those that were found.
    Text,
    /// In a file.
    File(Kind),
    /// Behind the last part.
    End,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sound,
    Other,
}

impl FormReader {
    /// Creates a reader of the form that `content_type` announces; `None` where that is no form.
    pub fn of(content_type: &str) -> Option<Self> {
        let (kind, parameters) = content_type.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, "boundary").filter(|it| !it.is_empty())?;
        Some(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first delimiter need not stand behind a line.
            held: b"\r\n".to_vec(),
            place: Place::Preamble,
            texts: Vec::new(),
            attached: Attached::default(),
            room: MOST_TEXT,
        })
    }

    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// [`CallError::NotAForm`] where it is none: the provider could not read it either.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), CallError> {
        self.held.extend_from_slice(piece);
        while self.step()? {}
        Ok(())
    }

    /// Tells whether the model is known, and whole.
    pub fn has_model(&self) -> bool {
        let last = if self.place == Place::Text { 1 } else { 0 };
        let whole = self.texts.iter().rev().skip(last);
        whole.into_iter().any(|(name, _)| name == "model")
    }

    /// Makes a call of what was read. `unread` bytes still come; they belong to the file in which the reader
    /// stopped.
    ///
    /// # Errors
    ///
    /// Where there is no model, and there must be one.
    pub fn call(self, endpoint: Endpoint, unread: u64) -> Result<Call, CallError> {
        let mut attached = self.attached;
        if self.place == Place::File(Kind::Sound) {
            attached.sound = attached.sound.saturating_add(unread);
        }
        let fields = self.texts.into_iter().map(|(name, text)| {
            let value = value(&name, String::from_utf8_lossy(&text).into_owned());
            (name, value)
        });
        let json = Value::Object(fields.collect::<Map<_, _>>()).to_string();
        let call = Call::parse(endpoint, Bytes::from(json))?;
        Ok(Call { attached, ..call })
    }

    /// Reads on; `false` when more is needed for that.
    fn step(&mut self) -> Result<bool, CallError> {
        match self.place {
            Place::Preamble | Place::Text | Place::File(_) => Ok(self.content()),
            Place::Delimiter => self.behind_delimiter(),
            Place::Head => self.head(),
            Place::End => {
                self.held.clear();
                Ok(false)
            }
        }
    }

    /// Passes over content, up to the next delimiter or to where one may begin.
    fn content(&mut self) -> bool {
        let found = memmem::find(&self.held, &self.delimiter);
        let keep = self.delimiter.len() - 1;
        let end = found.unwrap_or_else(|| self.held.len().saturating_sub(keep));
        let content = self.held.get(..end).unwrap_or_default();
        match self.place {
            Place::Text => {
                let content = content.get(..self.room).unwrap_or(content);
                self.room -= content.len();
                if let Some((_, text)) = self.texts.last_mut() {
                    text.extend_from_slice(content);
                }
            }
            Place::File(Kind::Sound) => {
                self.attached.sound = self.attached.sound.saturating_add(end as u64);
            }
            _ => {}
        }
        if found.is_none() {
            self.held.drain(..end);
            return false;
        }
        self.held.drain(..end + self.delimiter.len());
        self.place = Place::Delimiter;
        true
    }

    fn behind_delimiter(&mut self) -> Result<bool, CallError> {
        if self.held.starts_with(b"--") {
            self.place = Place::End;
            return Ok(true);
        }
        let Some(end) = memmem::find(&self.held, b"\r\n") else {
            return if self.held.len() > MOST_PADDING {
                Err(CallError::NotAForm)
            } else {
                Ok(false)
            };
        };
        // The line break stays: it may be the end of an empty head.
        self.held.drain(..end);
        self.place = Place::Head;
        Ok(true)
    }

    fn head(&mut self) -> Result<bool, CallError> {
        let Some(end) = memmem::find(&self.held, b"\r\n\r\n") else {
            return if self.held.len() > MOST_HEAD { Err(CallError::NotAForm) } else { Ok(false) };
        };
        let head = String::from_utf8_lossy(self.held.get(..end).unwrap_or_default()).into_owned();
        self.held.drain(..end + 4);
        let disposition = head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
        });
        let (_, parameters) =
            disposition.and_then(|it| it.split_once(';')).ok_or(CallError::NotAForm)?;
        let name = parameter(parameters, "name").ok_or(CallError::NotAForm)?;
        let is_file =
            ["filename", "filename*"].iter().any(|it| parameter(parameters, it).is_some());
        // Lists have brackets, with or without a number.
        let name = name.split('[').next().unwrap_or_default().to_owned();
        self.place = match (is_file, name.as_str()) {
            (true, "file") => Place::File(Kind::Sound),
            (true, "image" | "mask" | "input_reference") => {
                self.attached.images += 1;
                Place::File(Kind::Other)
            }
            (true, _) => Place::File(Kind::Other),
            (false, _) if self.texts.len() >= MOST_TEXTS => Place::File(Kind::Other),
            (false, _) => {
                self.texts.push((name, Vec::new()));
                Place::Text
            }
        };
        Ok(true)
    }
}

/// Returns what a text stands for: providers read numbers and truths out of them.
fn value(name: &str, text: String) -> Value {
    match text.as_str() {
        _ if matches!(name, "model" | "prompt") => Value::String(text),
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<u64>().map_or(Value::String(text), Value::from),
    }
}

/// Returns the parameter `name` out of those that follow a value, behind semicolons, its quotes undone.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        let (key, value) = rest.split_once('=')?;
        let is_wanted = key.trim().trim_start_matches(';').trim().eq_ignore_ascii_case(name);
        let value = value.trim_start();
        let (found, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted),
            None => {
                let end = value.find(';').unwrap_or(value.len());
                let (token, behind) = value.split_at(end);
                (token.trim().to_owned(), behind)
            }
        };
        if is_wanted {
            return Some(found);
        }
        rest = behind;
    }
}

/// Returns what stands before the closing quote, and what stands behind it.
fn quoted_text(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut escaped = false;
    for (at, character) in quoted.char_indices() {
        match character {
            '"' if !escaped => return (text, quoted.get(at + 1..).unwrap_or_default()),
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            _ => text.push(character),
        }
        escaped = false;
    }
    (text, "")
}

/// The most bytes of all texts that are kept; of what is beyond, providers read 32,000 characters.
const MOST_TEXT: usize = 256 * 1024;
/// The most texts.
const MOST_TEXTS: usize = 64;
/// The longest head of a part.
const MOST_HEAD: usize = 16 * 1024;
/// The most blanks behind a boundary.
const MOST_PADDING: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; charset=\"a;b\"; boundary=\"x y\"";

    fn form() -> Vec<u8> {
        let mut form = b"a preamble\r\n--x y\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"a;\\\"b.mp3\"\r\n\r\n"
            .to_vec();
        form.extend([0, 13, 10, 45, 45, 120].repeat(2_000));
        form.extend_from_slice(
            b"\r\n--x y  \r\nContent-Disposition: form-data; name=model\r\n\r\nwhisper-1\r\n\
              --x y\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n\
              --x y\r\nContent-Disposition: form-data; name=\"timestamp_granularities[]\"\r\n\r\nword\r\n\
              --x y--\r\nan epilogue with --x y in it",
        );
        form
    }

    fn read(form: &[u8], size: usize) -> FormReader {
        let mut reader = FormReader::of(KIND).expect("a form");
        for piece in form.chunks(size) {
            reader.feed(piece).expect("a form");
        }
        reader
    }

    #[test]
    fn a_form_reads_the_same_however_it_is_cut() {
        let form = form();
        for size in [1, 2, 3, 7, 64, 4096, form.len()] {
            let reader = read(&form, size);
            assert!(reader.has_model() && reader.place == Place::End, "in pieces of {size}");
            let call = reader.call(Endpoint::Transcriptions, 0).expect("a call");
            assert_eq!(call.model.as_str(), "whisper-1");
            assert_eq!(call.attached, Attached { sound: 12_000, images: 0 }, "pieces of {size}");
            assert!(matches!(call.delivery, super::super::Delivery::Stream { .. }));
        }
    }

    #[test]
    fn the_model_is_known_when_its_text_has_ended() {
        let form = form();
        let known = (0..form.len()).find(|at| read(&form[..*at], 4096).has_model());
        let stream =
            memmem::find(&form, b"\r\n--x y\r\nContent-Disposition: form-data; name=\"stream\"");
        assert_eq!(known, stream.map(|at| at + "\r\n--x y".len()));
    }

    #[test]
    fn what_is_still_to_come_belongs_to_the_file() {
        let form = form();
        let reader = read(&form[..5_000], 512);
        assert!(!reader.has_model());
        let seen = reader.attached.sound;
        let early = reader.call(Endpoint::Transcriptions, 100_000);
        assert_eq!(early.map(|_| ()), Err(CallError::ModelMissing));
        let reader = read(&form[..5_000], 512);
        let call = reader.call(Endpoint::ImageEdits, 100_000).expect("a call without a model");
        assert_eq!(call.attached.sound, seen + 100_000);
    }

    #[test]
    fn what_is_no_form_is_refused_and_nothing_panics() {
        assert!(FormReader::of("application/json").is_none());
        assert!(FormReader::of("multipart/form-data").is_none());
        assert!(FormReader::of("multipart/form-data; boundary=").is_none());
        let mut reader = FormReader::of(KIND).expect("a form");
        assert_eq!(reader.feed(b"--x y\r\n\r\n\r\n"), Err(CallError::NotAForm));
        let mut reader = FormReader::of(KIND).expect("a form");
        let long = "x".repeat(20_000);
        assert_eq!(reader.feed(format!("--x y\r\n{long}").as_bytes()), Err(CallError::NotAForm));
    }
}

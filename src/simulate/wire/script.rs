//! An event stream, ready to be played: what comes before, between and after its tokens.

use super::draft::Draft;

/// The events of one answer.
#[derive(Debug)]
pub(in crate::simulate) struct Script {
    /// Events sent at once.
    pub preface: Vec<u8>,
    /// Events sent with the first token.
    pub opening: Vec<u8>,
    /// How what is thought is told, before all choices.
    pub thinking: Option<Thinking>,
    /// One per choice: what stands around each of its pieces.
    pub tracks: Vec<Frame>,
    /// The events that end the stream.
    pub closing: Vec<u8>,
    /// The texts.
    pub draft: Draft,
}

/// How what is thought is told.
#[derive(Debug)]
pub(in crate::simulate) struct Thinking {
    /// What stands around each of its pieces.
    pub frame: Frame,
    /// Events sent before the first piece of a choice.
    pub after: Vec<u8>,
}

/// What stands around a piece of text in its event.
#[derive(Debug)]
pub(in crate::simulate) struct Frame {
    /// Everything before the piece, which follows as the inside of a JSON string.
    pub before: String,
    /// Everything after it, where nothing is numbered; else what stands before the number.
    pub after: String,
    /// The number of the first event and what stands after the number.
    pub numbered: Option<(u64, &'static str)>,
}

impl Script {
    /// Appends the events of piece `index`: of the thought, then of every choice that has one.
    pub(in crate::simulate) fn append(&self, index: u64, out: &mut Vec<u8>) {
        let Some(said) = index.checked_sub(self.draft.thought_len()) else {
            if let (Some(thinking), Some(text)) = (&self.thinking, &self.draft.thought) {
                thinking.frame.append((text.piece(index), index), out);
            }
            return;
        };
        if let Some(thinking) = self.thinking.as_ref().filter(|_| said == 0) {
            out.extend_from_slice(&thinking.after);
        }
        for (frame, choice) in self.tracks.iter().zip(&self.draft.choices) {
            if said < choice.text.len() {
                frame.append((choice.text.piece(said), said), out);
            }
        }
    }

    /// Appends the first part of the event of piece `index`, or of what ends the stream.
    pub(in crate::simulate) fn append_torn(&self, index: u64, out: &mut Vec<u8>) {
        let mut event = Vec::new();
        self.append(index, &mut event);
        if event.is_empty() {
            event.extend_from_slice(&self.closing);
        }
        out.extend_from_slice(event.get(..event.len() / 2).unwrap_or_default());
    }

    /// Takes what ends the stream up to the event that tells what was used, all of it where none does.
    pub(in crate::simulate) fn closing_up_to_usage(&mut self) -> Vec<u8> {
        let closing = std::mem::take(&mut self.closing);
        let text = String::from_utf8_lossy(&closing);
        let told = text.find("\"usage\":{").unwrap_or(0);
        let end = text.get(told..).and_then(|rest| rest.find("\n\n"));
        let end = end.filter(|_| told > 0).map_or(text.len(), |end| told + end + 2);
        text.get(..end).unwrap_or_default().as_bytes().to_vec()
    }
}

impl Frame {
    /// Appends the event of a piece, which has this place among those of its text.
    fn append(&self, (piece, place): (&str, u64), out: &mut Vec<u8>) {
        out.extend_from_slice(self.before.as_bytes());
        escape(piece, out);
        out.extend_from_slice(self.after.as_bytes());
        if let Some((first, rest)) = self.numbered {
            let mut digits = itoa::Buffer::new();
            out.extend_from_slice(digits.format(first + place).as_bytes());
            out.extend_from_slice(rest.as_bytes());
        }
    }
}

/// Writes `text` as the inside of a JSON string.
fn escape(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let quoted = serde_json::Value::from(text).to_string();
    out.extend_from_slice(quoted.get(1..quoted.len() - 1).unwrap_or_default().as_bytes());
}

/// Appends a `data:` event.
pub(in crate::simulate) fn data(out: &mut Vec<u8>, value: &serde_json::Value) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(value.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// Sets a field of an object.
pub(in crate::simulate) fn put(
    object: &mut serde_json::Value,
    name: &str,
    value: impl Into<serde_json::Value>,
) {
    if let serde_json::Value::Object(fields) = object {
        fields.insert(name.into(), value.into());
    }
}

/// Appends an event that has its kind as a name, and in its data.
pub(in crate::simulate) fn event(out: &mut Vec<u8>, kind: &str, mut value: serde_json::Value) {
    put(&mut value, "type", kind);
    out.extend_from_slice(format!("event: {kind}\n").as_bytes());
    data(out, &value);
}

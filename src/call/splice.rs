//! Changes a few bytes of a body: asks for usage in a stream whose client did not, and names the model as its
//! upstream does.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::json::members;
use super::parse::Span;
use super::{Call, Delivery, StreamUsage};
use crate::units::ModelName;

/// Returns the body of `call` as pieces to send one after the other, the unused ones empty: with
/// `stream_options.include_usage` set where the client did not ask for usage and the endpoint does not
/// always tell, and with `model` in place of the client's. The client's bytes are shared, not copied; they
/// stay packed where nothing is put into them.
pub fn spliced(call: &Call, model: Option<&ModelName>) -> [Bytes; 5] {
    let usage = call
        .splice
        .filter(|_| call.delivery == Delivery::Stream { usage: StreamUsage::Spliced })
        .map(|Splice { start, end, insert }| (start..end, Bytes::from_static(insert.as_bytes())));
    let model = model.and_then(|model| name_model(call, model));
    let mut changes = [usage, model];
    changes.sort_by_key(|change| change.as_ref().map(|(range, _)| range.start));
    let mut from = 0;
    let mut parts = Vec::with_capacity(2 * changes.len() + 1);
    for (range, insert) in changes.into_iter().flatten() {
        parts.extend([call.body.slice(from..range.start), insert]);
        from = range.end;
    }
    match &call.packed {
        Some(packed) if parts.is_empty() => parts.push(packed.clone()),
        _ => parts.push(call.body.slice(from..)),
    }
    let mut parts = parts.into_iter();
    [(); 5].map(|()| parts.next().unwrap_or_default())
}

/// What of a body is replaced, and by what.
type Change = (Range<usize>, Bytes);

/// Returns the change that makes `call` ask for `model`.
fn name_model(call: &Call, model: &ModelName) -> Option<Change> {
    // A text cannot fail to be written.
    let quoted = serde_json::to_string(model.as_str()).ok()?;
    if let Some(Span { start, end }) = call.model_at {
        return Some((start..end, quoted.into()));
    }
    let start = memchr::memchr(b'{', &call.body)? + 1;
    Some((start..start, format!("\"model\":{quoted},").into()))
}

/// One replacement of bytes in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Splice {
    start: usize,
    end: usize,
    insert: &'static str,
}

impl Splice {
    /// Returns the change that makes `options`, the last `stream_options` of `body`, ask for usage;
    /// `None` where they do, or where they are something only the provider can answer to.
    pub(super) fn find(options: Option<&RawValue>, body: &[u8]) -> Option<Self> {
        let Some(options) = options else {
            // No other `stream_options` follows, so ours need not be the last member.
            let start = memchr::memchr(b'{', body)? + 1;
            return Some(Self::at(start..start, "\"stream_options\":{\"include_usage\":true},"));
        };
        let span = Span::of(options.get(), body);
        if options.get() == "null" {
            return Some(Self::at(span.start..span.end, "{\"include_usage\":true}"));
        }
        let inside = options.get().strip_prefix('{')?;
        let [asked] = members(options.get().as_bytes(), ["include_usage"]).ok()?;
        let start = span.start + 1;
        match asked.map(RawValue::get) {
            None if inside.trim_start().starts_with('}') => {
                Some(Self::at(start..start, "\"include_usage\":true"))
            }
            None => Some(Self::at(start..start, "\"include_usage\":true,")),
            Some(value @ ("false" | "null")) => {
                let value = Span::of(value, body);
                Some(Self::at(value.start..value.end, "true"))
            }
            Some(_) => None,
        }
    }

    fn at(range: Range<usize>, insert: &'static str) -> Self {
        Self { start: range.start, end: range.end, insert }
    }
}

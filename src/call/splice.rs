//! Asks for usage in a stream whose client did not, by adding a few bytes.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Call;
use super::json::members;
use super::parse::Span;

/// Returns the body of `call` with `stream_options.include_usage` set, as pieces to send one after
/// the other; the client's bytes are shared, not copied. Where the client asked itself, or the
/// endpoint always tells, the first piece is the body as it came, packed if it was, and the others are
/// empty.
pub fn splice_include_usage(call: &Call) -> [Bytes; 3] {
    let Some(Splice { start, end, insert }) = call.splice else {
        let as_it_came = call.packed.as_ref().unwrap_or(&call.body);
        return [as_it_came.clone(), Bytes::new(), Bytes::new()];
    };
    [call.body.slice(..start), Bytes::from_static(insert.as_bytes()), call.body.slice(end..)]
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

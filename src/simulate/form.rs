//! Forms as requests: their texts as JSON, their files by size.

use bytes::Bytes;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::multipart;
use super::wire::{Attached, Endpoint, WireError};

/// Returns what a body asks for: the JSON that it is, or what a form's texts come to.
///
/// # Errors
///
/// A 400 where it is neither.
pub(super) fn body(
    endpoint: Endpoint,
    content_type: &str,
    bytes: &Bytes,
) -> Result<(Value, Attached), WireError> {
    let form = endpoint.takes_forms().then(|| multipart::parts(content_type, bytes)).flatten();
    let Some(parts) = form else {
        let value = serde_json::from_slice(bytes).map_err(|_| not_json())?;
        return Ok((value, Attached::default()));
    };
    let mut fields = Map::new();
    let mut attached = Attached::default();
    for part in parts {
        let name = part.name.strip_suffix("[]").unwrap_or(&part.name);
        if part.file_name.is_some() {
            attached.digest = xxh3_64_with_seed(&part.content, attached.digest);
        }
        match (part.file_name, name) {
            (Some(_), "file") => attached.sound += part.content.len() as u64,
            (Some(_), "image" | "mask" | "input_reference") => attached.images += 1,
            (Some(_), _) => {}
            (None, name) => {
                let text = String::from_utf8_lossy(&part.content).into_owned();
                fields.insert(name.to_owned(), value(text));
            }
        }
    }
    Ok((Value::Object(fields), attached))
}

/// Reads a number or a truth where a text is one.
fn value(text: String) -> Value {
    match text.as_str() {
        "true" => true.into(),
        "false" => false.into(),
        _ => text.parse::<u64>().map_or(Value::String(text), Value::from),
    }
}

fn not_json() -> WireError {
    WireError::bad_request(
        "We could not parse the JSON body of your request. (HINT: This likely means you \
         aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, \
         but what was sent was not valid JSON.)",
        None,
    )
}

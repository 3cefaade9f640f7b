//! Embeddings: unit vectors that depend on the text alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::ask::Ask;
use super::error::WireError;
use super::measures::texts_in;
use super::words::mix;

/// Checks `dimensions` and `encoding_format`.
///
/// # Errors
///
/// A 400 where they make no sense.
pub(in crate::simulate) fn check(ask: &Ask) -> Result<(), WireError> {
    dimensions(ask)?;
    if matches!(format(ask), "float" | "base64") {
        return Ok(());
    }
    let message = "Invalid value for 'encoding_format': expected 'float' or 'base64'.";
    Err(WireError::bad_request(message, Some("encoding_format")))
}

/// Returns the answer as one object.
///
/// # Errors
///
/// A 400 where `dimensions` makes no sense.
pub(in crate::simulate) fn object(ask: &Ask) -> Result<Value, WireError> {
    let dimensions = dimensions(ask)?;
    let format = format(ask);
    let input = ask.body.get("input").unwrap_or(&Value::Null);
    let single = texts_in(Some(input)) == 1 && !input.as_array().is_some_and(|l| nested(l));
    let texts = if single { vec![input] } else { input.as_array().into_iter().flatten().collect() };
    let entries = texts.iter().enumerate().map(|(index, text)| {
        let vector = vector(text, dimensions);
        let embedding = if format == "base64" {
            let bytes: Vec<u8> = vector.iter().flat_map(|part| part.to_le_bytes()).collect();
            Value::from(STANDARD.encode(bytes))
        } else {
            Value::from(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    Ok(json!({
        "object": "list",
        "data": entries.collect::<Vec<_>>(),
        "model": ask.model,
        "usage": {"prompt_tokens": ask.prompt.tokens, "total_tokens": ask.prompt.tokens},
    }))
}

fn format(ask: &Ask) -> &str {
    ask.body.get("encoding_format").and_then(Value::as_str).unwrap_or("float")
}

fn nested(list: &[Value]) -> bool {
    list.iter().any(|part| !part.is_u64())
}

fn dimensions(ask: &Ask) -> Result<usize, WireError> {
    // text-embedding-3-large has 3,072, the others 1,536 (OpenAI's embeddings guide, 2026-11).
    let most = if ask.model.contains("-large") { 3072 } else { 1536 };
    let Some(asked) = ask.body.get("dimensions").filter(|asked| !asked.is_null()) else {
        return Ok(most);
    };
    let asked = asked.as_u64().and_then(|asked| usize::try_from(asked).ok());
    asked.filter(|asked| (1..=most).contains(asked)).ok_or_else(|| {
        let message = format!("Invalid value for 'dimensions': expected 1 to {most}.");
        WireError::bad_request(message, Some("dimensions"))
    })
}

fn vector(text: &Value, dimensions: usize) -> Vec<f32> {
    let seed = match text {
        Value::String(text) => xxh3_64(text.as_bytes()),
        other => xxh3_64(other.to_string().as_bytes()),
    };
    #[expect(clippy::cast_precision_loss, reason = "23 random bits fit an f32 exactly")]
    let part = |index: u64| (mix(seed ^ mix(index)) >> 41) as f32 / 4_194_304.0 - 1.0;
    let mut vector: Vec<f32> = (0..dimensions as u64).map(part).collect();
    let length = vector.iter().map(|part| part * part).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    for part in &mut vector {
        *part /= length;
    }
    vector
}

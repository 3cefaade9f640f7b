//! Measures the prompts of endpoints that have no messages.

use serde_json::Value;

use super::ask::{Attached, Shape, missing, text_of};
use super::endpoint::Endpoint;
use super::error::WireError;
use super::gauge::{Gauge, items};
use super::{audio, images};

/// Measures what is to be gone on with.
pub(super) fn prompts(gauge: &mut Gauge<'_>, body: &Value) -> Result<Shape, WireError> {
    texts(gauge, body.get("prompt").unwrap_or(&Value::from("<|endoftext|>")), "prompt")?;
    Ok(Shape::Text)
}

/// Measures what is to be embedded.
pub(super) fn inputs(gauge: &mut Gauge<'_>, body: &Value) -> Result<Shape, WireError> {
    let Some(input) = body.get("input") else {
        return Err(missing("input"));
    };
    texts(gauge, input, "input")?;
    if texts_in(Some(input)) > MOST_INPUTS {
        let message = format!("Invalid 'input': array too long. Expected at most {MOST_INPUTS}.");
        return Err(WireError::bad_request(message, Some("input")));
    }
    Ok(Shape::Text)
}

/// The most inputs of one embeddings request (OpenAI's specification v2.3.0).
const MOST_INPUTS: u64 = 2048;

/// Measures a text, texts, tokens, or lists of tokens.
fn texts(gauge: &mut Gauge<'_>, value: &Value, param: &'static str) -> Result<(), WireError> {
    match value {
        Value::String(text) => gauge.text(text),
        Value::Array(list) if !list.is_empty() => {
            if list.iter().all(Value::is_u64) {
                gauge.digest(value.to_string().as_bytes());
                gauge.tokens(list.len() as u64);
            } else {
                for part in list.iter() {
                    texts(gauge, part, param)?;
                }
            }
        }
        _ => {
            let message = format!("Invalid type for '{param}': expected a string or an array.");
            return Err(WireError::bad_request(message, Some(param)));
        }
    }
    Ok(())
}

/// Returns how many texts a `prompt` or `input` has.
pub(super) fn texts_in(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::Array(list)) if list.iter().any(|part| !part.is_u64()) => list.len() as u64,
        _ => 1,
    }
}

/// Measures what is judged: a text, texts, or the parts of a message.
pub(super) fn judged(gauge: &mut Gauge<'_>, body: &Value) -> Result<Shape, WireError> {
    let Some(input) = body.get("input") else {
        return Err(missing("input"));
    };
    if items(Some(input)).iter().any(Value::is_object) {
        gauge.content(Some(input));
        return Ok(Shape::Text);
    }
    texts(gauge, input, "input")?;
    Ok(Shape::Text)
}

/// Measures what describes an image, a sound or a video, and what comes with it.
pub(super) fn media(
    gauge: &mut Gauge<'_>,
    endpoint: Endpoint,
    (body, attached): (&Value, &Attached),
) -> Result<Shape, WireError> {
    let needed = match endpoint {
        Endpoint::Speech => Some("input"),
        Endpoint::ImageGenerations | Endpoint::ImageEdits | Endpoint::Videos => Some("prompt"),
        _ => None,
    };
    if let Some(needed) = needed.filter(|needed| text_of(body, needed).is_none()) {
        return Err(missing(needed));
    }
    if endpoint.listens() && attached.sound == 0 {
        return Err(missing("file"));
    }
    for text in ["input", "instructions", "prompt"] {
        gauge.text(text_of(body, text).unwrap_or_default());
    }
    if endpoint.makes_images() {
        gauge.tokens((attached.images + items(body.get("images")).len() as u64) * images::IMAGE_IN);
    }
    gauge.tokens(audio::tokens_of(attached.sound));
    gauge.digest(&attached.digest.to_le_bytes());
    let is_text = endpoint.listens() || endpoint == Endpoint::Videos;
    Ok(match endpoint {
        _ if is_text => Shape::Text,
        Endpoint::Speech => Shape::Sound,
        _ => Shape::Bytes,
    })
}

//! What a request for a message asks, read from its body.

use serde_json::{Value, json};

use crate::simulate::wire::ask::{Shape, text_of};
use crate::simulate::wire::calls::Choice;
use crate::simulate::wire::error::WireError;
use crate::simulate::wire::gauge::{Gauge, items};

/// Measures tools, system and messages, in the order in which they are cached; a front of the prompt ends
/// where `cache_control` stands (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching>, read 2026-11-21).
///
/// No formula is published: texts are counted by OpenAI's vocabulary, framed as its messages are.
///
/// # Errors
///
/// A 400 where there is no message, or one of an unknown role.
pub(in crate::simulate::wire) fn measure(
    gauge: &mut Gauge<'_>,
    body: &Value,
) -> Result<Shape, WireError> {
    gauge.goes_by_marks();
    let tools = items(body.get("tools"));
    for tool in tools {
        let rendered = ["name", "description", "input_schema"].map(|name| tool.get(name));
        rendered.into_iter().flatten().for_each(|part| gauge.text(&text(part)));
        mark(gauge, tool);
    }
    if let Some(system) = body.get("system") {
        gauge.tokens(3);
        content(gauge, system);
    }
    let messages = body.get("messages").ok_or_else(|| missing("messages"))?;
    if items(Some(messages)).is_empty() {
        return Err(bad("messages: at least one message is required"));
    }
    for (number, message) in items(Some(messages)).iter().enumerate() {
        let role = text_of(message, "role").unwrap_or_default();
        if !matches!(role, "user" | "assistant") {
            let message = format!("messages.{number}.role: Input should be 'user' or 'assistant'");
            return Err(bad(message));
        }
        gauge.tokens(3);
        gauge.text(role);
        content(gauge, message.get("content").unwrap_or(&Value::Null));
    }
    gauge.tokens(3);
    Ok(shape(body, tools))
}

/// Returns the output bound, which every request has.
///
/// # Errors
///
/// A 400 where it is absent or no number above zero.
pub(in crate::simulate::wire) fn bound(body: &Value) -> Result<u64, WireError> {
    let bound = body.get("max_tokens").ok_or_else(|| missing("max_tokens"))?;
    bound
        .as_u64()
        .filter(|bound| *bound > 0)
        .ok_or_else(|| bad("max_tokens: Input should be greater than or equal to 1"))
}

/// Creates the 400 of a prompt that does not fit the model.
pub(in crate::simulate::wire) fn too_long(prompt: u64, window: u64) -> WireError {
    bad(format!("prompt is too long: {prompt} tokens > {window} maximum"))
}

fn shape(body: &Value, tools: &[Value]) -> Shape {
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    let asked = match text_of(choice, "type") {
        Some("any") => json!("required"),
        Some("none") => json!("none"),
        _ => choice.clone(),
    };
    let functions: Vec<&Value> = tools.iter().collect();
    let said = body.get("messages").unwrap_or(&Value::Null);
    let format = body.get("output_config").and_then(|config| config.get("format"));
    let format = format.or_else(|| body.get("output_format")).unwrap_or(&Value::Null);
    Choice { functions: &functions, asked: Some(&asked), said }.shape(format, format.get("schema"))
}

/// Measures a text, or blocks.
fn content(gauge: &mut Gauge<'_>, value: &Value) {
    if let Some(text) = value.as_str() {
        gauge.text(text);
    }
    for block in items(Some(value)) {
        match text_of(block, "type").unwrap_or_default() {
            // What was thought before is not shown to the model again.
            "thinking" | "redacted_thinking" => {}
            "image" => {
                gauge.digest(block.to_string().as_bytes());
                gauge.tokens(IMAGE);
            }
            "tool_use" => {
                let said = ["name", "input"].map(|name| block.get(name));
                said.into_iter().flatten().for_each(|part| gauge.text(&text(part)));
            }
            "text" => gauge.text(text_of(block, "text").unwrap_or_default()),
            "tool_result" => content(gauge, block.get("content").unwrap_or(&json!(""))),
            _ => gauge.text(&block.to_string()),
        }
        mark(gauge, block);
    }
}

/// An image of 1092 x 1092 pixels, the largest square that is not made smaller
/// (<https://docs.claude.com/en/docs/build-with-claude/vision>, read 2026-11-21).
const IMAGE: u64 = 1_590;

fn mark(gauge: &mut Gauge<'_>, part: &Value) {
    if part.get("cache_control").is_some_and(Value::is_object) {
        gauge.mark();
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn missing(name: &str) -> WireError {
    bad(format!("{name}: Field required"))
}

fn bad(message: impl Into<String>) -> WireError {
    WireError::bad_request(message, None)
}

//! Images that are made: bytes of no picture, as many tokens as were drawn.
//!
//! Shapes: OpenAI's OpenAPI specification 2.3.0, <https://github.com/openai/openai-openapi>, read 2026-08-21.

use serde_json::{Value, json};

use super::ask::{Ask, text_of};
use super::draft::Draft;
use super::endpoint::Endpoint;
use super::script::{Script, event, put};

/// What an image in a prompt comes to: one of 1024 x 1024 pixels, by the rule of GPT Image 1 (shorter side
/// 512, 65 tokens and 129 for each tile; OpenAI's vision guide, read 2026-11).
pub(super) const IMAGE_IN: u64 = 65 + 129;

/// Returns the answer as one object. DALL-E tells no usage and gives addresses.
pub(in crate::simulate) fn object(ask: &Ask, draft: &Draft) -> Value {
    if !counts_tokens(ask) {
        let urls = (0..draft.choices.len()).map(
            |index| json!({"url": format!("https://images.invalid/{}/{index}.png", draft.id)}),
        );
        return json!({"created": draft.created, "data": urls.collect::<Vec<_>>()});
    }
    let images = draft.choices.iter().map(|choice| json!({"b64_json": choice.text.whole()}));
    let mut object = json!({
        "created": draft.created,
        "data": images.collect::<Vec<_>>(),
        "usage": usage(ask, draft),
    });
    look(ask, &mut object);
    object
}

/// Returns the answer as a stream: partial images, and the whole one with its usage.
pub(in crate::simulate) fn script(ask: &Ask, draft: Draft) -> Script {
    let of = if ask.endpoint == Endpoint::ImageEdits { "image_edit" } else { "image_generation" };
    let image = draft.choices.first().map(|choice| choice.text.whole()).unwrap_or_default();
    let mut opening = Vec::new();
    let partial = ask.body.get("partial_images").and_then(Value::as_u64).unwrap_or(0).min(3);
    for index in 0..partial {
        let mut value = json!({"partial_image_index": index, "b64_json": image});
        put(&mut value, "created_at", draft.created);
        look(ask, &mut value);
        event(&mut opening, &format!("{of}.partial_image"), value);
    }
    let mut value = json!({"b64_json": image, "usage": usage(ask, &draft)});
    put(&mut value, "created_at", draft.created);
    look(ask, &mut value);
    let mut closing = Vec::new();
    event(&mut closing, &format!("{of}.completed"), value);
    let (preface, tracks) = (Vec::new(), Vec::new());
    Script { preface, opening, thinking: None, tracks, closing, draft }
}

/// Tells whether the model is one whose images have tokens.
pub(super) fn counts_tokens(ask: &Ask) -> bool {
    !ask.model.starts_with("dall-e")
}

fn look(ask: &Ask, value: &mut Value) {
    let said = |name, usual: &str| text_of(&ask.body, name).unwrap_or(usual).to_owned();
    put(value, "background", said("background", "opaque"));
    put(value, "output_format", said("output_format", "png"));
    put(value, "quality", said("quality", "medium"));
    put(value, "size", said("size", "1024x1024"));
}

fn usage(ask: &Ask, draft: &Draft) -> Value {
    let (input, output) = (ask.prompt.tokens, draft.tokens());
    let images = ask.attached.images * IMAGE_IN;
    json!({
        "input_tokens": input,
        "input_tokens_details": {
            "image_tokens": images,
            "text_tokens": input.saturating_sub(images),
        },
        "output_tokens": output,
        "output_tokens_details": {"image_tokens": output, "text_tokens": 0},
        "total_tokens": input + output,
    })
}

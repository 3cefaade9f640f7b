//! Text completions.

use serde_json::{Value, json};

use super::ask::{Ask, UsageAt};
use super::chat::{FINGERPRINT, PLACE, around_piece, usage};
use super::draft::{Draft, Ending};
use super::gauge::items;
use super::script::{Script, data};

/// Returns the answer as one object.
pub(in crate::simulate) fn object(ask: &Ask, draft: &Draft) -> Value {
    let choices = draft.choices.iter().enumerate().map(|(index, choice)| {
        let text = format!("{}{}", echo(ask, index), choice.text.whole());
        choice_object(&text, index, Some(choice.ending))
    });
    let mut object = head(ask, draft);
    if let Value::Object(fields) = &mut object {
        fields.insert("choices".into(), choices.collect());
        fields.insert("usage".into(), usage(ask, draft));
    }
    object
}

/// Returns the answer as a stream of chunks.
pub(in crate::simulate) fn script(ask: &Ask, draft: Draft) -> Script {
    let mut opening = Vec::new();
    let mut closing = Vec::new();
    let mut tracks = Vec::new();
    for (index, choice) in draft.choices.iter().enumerate() {
        let echoed = echo(ask, index);
        if !echoed.is_empty() {
            data(&mut opening, &chunk(ask, &draft, choice_object(echoed, index, None)));
        }
        let last = choice_object("", index, Some(choice.ending));
        data(&mut closing, &chunk(ask, &draft, last));
        tracks.push(around_piece(&chunk(ask, &draft, choice_object(PLACE, index, None))));
    }
    if ask.usage_at != UsageAt::Never {
        let mut last = head(ask, &draft);
        if let Value::Object(fields) = &mut last {
            fields.insert("choices".into(), json!([]));
            fields.insert("usage".into(), usage(ask, &draft));
        }
        data(&mut closing, &last);
    }
    closing.extend_from_slice(b"data: [DONE]\n\n");
    Script { preface: Vec::new(), opening, thinking: None, tracks, closing, draft }
}

fn head(ask: &Ask, draft: &Draft) -> Value {
    json!({
        "id": format!("cmpl-{}", draft.id),
        "object": "text_completion",
        "created": draft.created,
        "model": ask.model,
        "system_fingerprint": FINGERPRINT,
    })
}

fn chunk(ask: &Ask, draft: &Draft, choice: Value) -> Value {
    let mut chunk = head(ask, draft);
    if let Value::Object(fields) = &mut chunk {
        fields.insert("choices".into(), Value::Array(vec![choice]));
        if ask.usage_at == UsageAt::Apart {
            fields.insert("usage".into(), Value::Null);
        }
    }
    chunk
}

fn choice_object(text: &str, index: usize, ending: Option<Ending>) -> Value {
    let finish = ending.map(|ending| match ending {
        Ending::Stop => "stop",
        Ending::Length => "length",
    });
    json!({"text": text, "index": index, "logprobs": null, "finish_reason": finish})
}

/// Returns what choice `index` repeats of its prompt. Prompts in tokens are not repeated.
fn echo(ask: &Ask, index: usize) -> &str {
    if ask.body.get("echo").and_then(Value::as_bool) != Some(true) {
        return "";
    }
    let prompt = ask.body.get("prompt");
    let list = items(prompt);
    let answers = usize::try_from(ask.choices).unwrap_or(usize::MAX);
    let each = (answers / list.len().max(1)).max(1);
    let one = list.get(index / each).and_then(Value::as_str);
    prompt.and_then(Value::as_str).or(one).unwrap_or_default()
}

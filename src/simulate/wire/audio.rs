//! Sound that is made or listened to: bytes of no sound, as many tokens as were drawn.
//!
//! Shapes: OpenAI's OpenAPI specification 2.3.0, <https://github.com/openai/openai-openapi>, read 2026-08-21.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::{Ask, text_of};
use super::chat::PLACE;
use super::draft::Draft;
use super::endpoint::Endpoint;
use super::script::{Frame, Script, data, put};

/// Bytes of a second of sound: MP3 at 64 kbit/s.
const SECOND: u64 = 8_000;
/// Tokens of a second of sound that is listened to.
const TOKENS_A_SECOND: u64 = 10;

/// Returns the tokens of so many bytes of sound.
pub(super) fn tokens_of(bytes: u64) -> u64 {
    bytes.saturating_mul(TOKENS_A_SECOND).div_ceil(SECOND)
}

/// Returns the answer to a request that listens, as one object.
pub(in crate::simulate) fn object(ask: &Ask, draft: &Draft) -> Value {
    let text = text(draft);
    let mut object = json!({"text": text});
    if text_of(&ask.body, "response_format") == Some("verbose_json") {
        put(
            &mut object,
            "task",
            if ask.endpoint == Endpoint::Translations { "translate" } else { "transcribe" },
        );
        put(&mut object, "language", "english");
        put(&mut object, "duration", seconds(ask));
        put(&mut object, "segments", json!([]));
    }
    if ask.endpoint == Endpoint::Transcriptions {
        put(&mut object, "usage", heard(ask, draft));
    }
    object
}

/// Returns the answer in another form than JSON, with its media type, where that is asked for.
pub(in crate::simulate) fn raw(ask: &Ask, draft: &Draft) -> Option<(&'static str, Bytes)> {
    if ask.endpoint == Endpoint::Speech {
        // What was made of bytes can be read back.
        let sound = STANDARD.decode(text(draft)).unwrap_or_default();
        return Some(("audio/mpeg", sound.into()));
    }
    if !ask.endpoint.listens() {
        return None;
    }
    let text = text(draft);
    let written = match text_of(&ask.body, "response_format")? {
        "text" => format!("{text}\n"),
        "srt" => format!("1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n"),
        "vtt" => format!("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n\n"),
        _ => return None,
    };
    Some(("text/plain; charset=utf-8", written.into()))
}

/// Returns the answer as a stream: pieces of sound or text, and the usage.
pub(in crate::simulate) fn script(ask: &Ask, draft: Draft) -> Script {
    let mut closing = Vec::new();
    let piece = if ask.endpoint == Endpoint::Speech {
        let done = json!({"type": "speech.audio.done", "usage": usage(ask, &draft)});
        data(&mut closing, &done);
        json!({"type": "speech.audio.delta", "audio": PLACE})
    } else {
        let usage = heard(ask, &draft);
        let done = json!({"type": "transcript.text.done", "text": text(&draft), "usage": usage});
        data(&mut closing, &done);
        json!({"type": "transcript.text.delta", "delta": PLACE})
    };
    let tracks: Vec<Frame> = vec![super::chat::around_piece(&piece)];
    let (preface, opening) = (Vec::new(), Vec::new());
    Script { preface, opening, thinking: None, tracks, closing, draft }
}

/// Tells whether the model is one that is paid by the second or by the character.
pub(super) fn knows_no_tokens(ask: &Ask) -> bool {
    ask.model.starts_with("whisper") || ask.model.starts_with("tts-")
}

fn text(draft: &Draft) -> String {
    draft.choices.first().map(|choice| choice.text.whole()).unwrap_or_default()
}

fn seconds(ask: &Ask) -> u64 {
    ask.attached.sound.div_ceil(SECOND)
}

fn heard(ask: &Ask, draft: &Draft) -> Value {
    if knows_no_tokens(ask) {
        return json!({"type": "duration", "seconds": seconds(ask)});
    }
    let sound = tokens_of(ask.attached.sound);
    let mut usage = usage(ask, draft);
    put(&mut usage, "type", "tokens");
    put(
        &mut usage,
        "input_token_details",
        json!({
            "text_tokens": ask.prompt.tokens.saturating_sub(sound),
            "audio_tokens": sound,
        }),
    );
    usage
}

fn usage(ask: &Ask, draft: &Draft) -> Value {
    let (input, output) = (ask.prompt.tokens, draft.tokens());
    json!({"input_tokens": input, "output_tokens": output, "total_tokens": input + output})
}

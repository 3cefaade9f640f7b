//! What streams, and what of each event is output.

use serde_json::{Value, json};
use sluicegate::simulate::{Dialect, Language};

/// An endpoint that streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    pub(super) path: &'static str,
    pub(super) body: fn() -> Ask,
    /// What stands before the output in each event that has some.
    pub(super) output: &'static [&'static str],
    pub(super) dialect: Dialect,
    pub(super) language: Language,
}

/// The kind of a body, and the body.
pub(super) type Ask = (&'static str, Vec<u8>);

impl Streams {
    const fn new(path: &'static str, output: &'static [&'static str], body: fn() -> Ask) -> Self {
        Self { path, body, output, dialect: Dialect::OpenAi, language: Language::Words }
    }

    const fn of(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    const fn written_in(self, language: Language) -> Self {
        Self { language, ..self }
    }

    /// Counts the outputs in a part of a stream; those that are empty are none.
    pub(super) fn outputs_in(&self, text: &str) -> usize {
        let outputs = self.output.iter().map(|before| {
            let behind = text.match_indices(before).map(|(at, _)| text.get(at + before.len()..));
            behind.flatten().filter(|behind| !behind.is_empty() && !behind.starts_with('"')).count()
        });
        outputs.sum()
    }
}

/// Every endpoint that streams, and whether its usage is told to who asks for it.
pub(super) const ENDPOINTS: [Streams; 6] = [CHAT, COMPLETIONS, RESPONSES, MESSAGES, HEARD, SPOKEN];

const CHAT: Streams = Streams::new("/v1/chat/completions", &["\"content\":\""], || {
    plain(&json!({"model": "gpt-4o", "messages": said("tell me a story"), "max_tokens": 1_000}))
});
const COMPLETIONS: Streams = Streams::new("/v1/completions", &["\"text\":\""], || {
    plain(&json!({"model": "gpt-3.5-turbo-instruct", "prompt": "hi", "max_tokens": 1_000}))
});
const RESPONSES: Streams = Streams::new("/v1/responses", &["\"delta\":\""], || {
    plain(&json!({"model": "gpt-4o", "input": "hi", "max_output_tokens": 1_000}))
});
const MESSAGES: Streams = Streams::new("/v1/messages", &["\"text\":\""], || {
    plain(&json!({"model": "claude-sonnet-4-5", "messages": said("hi"), "max_tokens": 1_000}))
})
.of(Dialect::Anthropic);
const HEARD: Streams = Streams::new("/v1/audio/transcriptions", &["\"delta\":\""], recording);
const SPOKEN: Streams = Streams::new("/v1/audio/speech", &["\"audio\":\""], || {
    let ask = json!({"model": "gpt-4o-mini-tts", "input": "hello there", "voice": "alloy",
                     "stream_format": "sse"});
    ("application/json", ask.to_string().into_bytes())
});

/// The same with output of other kinds, and written in other languages.
pub(super) const ODD: [Streams; 17] = [
    Streams::new("/v1/chat/completions", &["\"content\":\""], || {
        plain(&json!({"model": "gpt-4o", "messages": said("three"), "n": 3}))
    }),
    Streams::new("/v1/completions", &["\"text\":\""], || {
        plain(&json!({"model": "gpt-3.5-turbo-instruct", "prompt": ["hi", "ho"], "n": 2,
                      "max_tokens": 1_000}))
    }),
    Streams::new("/v1/chat/completions", &["\"function\":{\"arguments\":\""], || {
        let tool = json!({"type": "function", "function": {"name": "fill", "parameters": form()}});
        plain(&json!({"model": "gpt-4o", "messages": said("use fill"), "tools": [tool]}))
    }),
    Streams::new("/v1/responses", &["\"delta\":\""], || {
        let tool = json!({"type": "function", "name": "fill", "parameters": form()});
        plain(&json!({"model": "gpt-4o", "input": "use fill", "tools": [tool]}))
    }),
    Streams::new("/v1/messages", &["\"partial_json\":\""], || {
        let tool = json!({"name": "fill", "input_schema": form()});
        plain(&json!({"model": "claude-sonnet-4-5", "messages": said("use fill"),
                      "max_tokens": 4_000, "tools": [tool]}))
    })
    .of(Dialect::Anthropic),
    Streams::new("/v1/chat/completions", &["\"reasoning_content\":\"", "\"content\":\""], || {
        plain(&json!({"model": "deepseek-reasoner", "messages": said("why")}))
    })
    .of(Dialect::DeepSeek),
    Streams::new("/v1/chat/completions", &["\"reasoning\":\"", "\"content\":\""], || {
        plain(&json!({"model": "openai/gpt-4o", "messages": said("why"), "reasoning": {}}))
    })
    .of(Dialect::OpenRouter),
    Streams::new("/v1/responses", &["\"delta\":\""], || {
        plain(&json!({"model": "o4-mini", "input": "why", "reasoning": {"summary": "auto"}}))
    }),
    Streams::new("/v1/messages", &["\"thinking\":\"", "\"text\":\""], || {
        plain(&json!({"model": "claude-sonnet-4-5", "messages": said("why"), "max_tokens": 4_000,
                      "thinking": {"type": "enabled", "budget_tokens": 2_000}}))
    })
    .of(Dialect::Anthropic),
    CHAT.written_in(Language::Chinese),
    CHAT.written_in(Language::Emoji),
    CHAT.written_in(Language::Code),
    COMPLETIONS.written_in(Language::Chinese),
    COMPLETIONS.written_in(Language::Emoji),
    RESPONSES.written_in(Language::Emoji),
    MESSAGES.written_in(Language::Code),
    HEARD.written_in(Language::Chinese),
];

/// Pictures, whose tokens nothing tells but their usage.
pub(super) const PICTURES: [Streams; 2] = [
    Streams::new("/v1/images/generations", &["\"partial_image_index\":"], || {
        plain(&json!({"model": "gpt-image-1", "prompt": "a cat", "partial_images": 2,
                      "size": "1024x1024", "quality": "low"}))
    }),
    Streams::new("/v1/images/edits", &["\"partial_image_index\":"], || {
        plain(&json!({"model": "gpt-image-1", "prompt": "a cat", "partial_images": 2,
                      "images": [{"image_url": "https://example.com/a.png"}]}))
    }),
];

/// The schema of many fields.
fn form() -> Value {
    let field = |number: usize| {
        let kind = if number.is_multiple_of(3) { "integer" } else { "string" };
        (format!("field_{number}"), json!({"type": kind}))
    };
    json!({"type": "object", "properties": (0..60).map(field).collect::<serde_json::Map<_, _>>()})
}

fn said(words: &str) -> Value {
    json!([{"role": "user", "content": words}])
}

/// Asks for a stream, and for its usage where that has to be asked for.
fn plain(ask: &Value) -> Ask {
    let body = ask.to_string().replacen('{', "{\"stream\":true,", 1);
    ("application/json", body.into_bytes())
}

fn recording() -> Ask {
    let part = |head: &str, content: &[u8]| -> Vec<u8> {
        let head = format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    };
    let parts = [
        part("name=\"model\"", b"gpt-4o-transcribe"),
        part("name=\"stream\"", b"true"),
        part("name=\"file\"; filename=\"a.mp3\"", &[7; 5_000]),
        b"--edge--\r\n".to_vec(),
    ];
    ("multipart/form-data; boundary=edge", parts.concat())
}

//! The parts of a body that cost input tokens, borrowed from it.

mod messages;
mod runs;

use serde_json::value::RawValue;

use super::json::{Found, Text, each, each_object, is_given, members};
use super::{Attached, Call, Endpoint};

/// What a call puts before the model. Lives as long as a count takes.
#[derive(Debug, Default)]
pub struct Prompt<'a> {
    /// Messages, each of which the chat format frames.
    pub messages: u64,
    /// Messages that carry a name.
    pub names: u64,
    /// Whether one of the messages is the system's.
    pub system: bool,
    /// What is in the messages, inputs and prompts, in the order in which it stands there.
    pub pieces: Vec<Piece<'a>>,
    /// Tokens that the client gave as numbers.
    pub numbers: u64,
    /// `tools` as JSON: an array, if it is what it should be.
    pub tools: Option<&'a [u8]>,
    /// `functions` as JSON, which came before `tools`.
    pub functions: Option<&'a [u8]>,
    /// What the model must call, if something.
    pub tool_choice: ToolChoice<'a>,
    /// The JSON of a schema that the answer must follow.
    pub schema: Option<&'a [u8]>,
    /// Whether there is something for which no formula is published.
    pub unpublished: bool,
    /// Whether a part of the prompt is not in the body: stored at the provider, or fetched by it.
    pub elsewhere: bool,
}

/// A piece of a prompt.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// A text.
    Text(Text<'a>),
    /// JSON that the model is shown in some form.
    Json(&'a str),
    /// An image.
    Image(Image<'a>),
    /// Sound, a document or something encrypted, which nobody but the provider can count.
    Opaque {
        /// How long it is in the body.
        bytes: usize,
        /// How many bytes of its kind make a token, roughly.
        per_token: usize,
    },
}

/// An image in a prompt.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// A `data:` URL with the image itself, or where the provider gets it.
    pub url: Option<Text<'a>>,
    /// `low`, `high`, `original` or `auto`, as the client wrote it.
    pub detail: Option<Text<'a>>,
}

/// Which tool the model is told to call.
#[derive(Debug, Clone, Copy, Default)]
pub enum ToolChoice<'a> {
    /// Any or none, as it likes: it is told nothing.
    #[default]
    Free,
    /// None.
    None,
    /// The one of this name.
    Named(Text<'a>),
}

type Read = Result<(), serde_json::Error>;

impl<'a> Prompt<'a> {
    /// Reads the prompt of `call`.
    ///
    /// # Errors
    ///
    /// Where a part is not of the shape that the endpoint takes, or not UTF-8. The provider will
    /// most likely refuse it.
    pub fn of(call: &'a Call) -> Result<Self, serde_json::Error> {
        let mut prompt = Self::default();
        let parts = call.parts();
        prompt.elsewhere = parts.elsewhere;
        let input = call.part(parts.input);
        let beside = call.part(parts.beside);
        match call.endpoint {
            Endpoint::ChatCompletions => {
                prompt.tools_and_format(call)?;
                prompt.chat(input.unwrap_or(b"[]"))?;
            }
            Endpoint::Responses | Endpoint::Compaction | Endpoint::InputTokens => {
                prompt.tools_and_format(call)?;
                prompt.response(input, beside)?;
            }
            Endpoint::Messages => prompt.anthropic(call)?,
            Endpoint::Runs => prompt.run(call)?,
            Endpoint::RunOutputs => prompt.outputs(input)?,
            Endpoint::Decisions => {
                prompt.response(input, None)?;
                if let Some(questions) = beside {
                    prompt.unknown(serde_json::from_slice(questions)?);
                }
            }
            Endpoint::Completions => {
                // Without a prompt the model starts a new document: one token.
                let Some(input) = input else {
                    prompt.numbers = 1;
                    return Ok(prompt);
                };
                prompt.texts_or_numbers(input)?;
                if let Some(suffix) = beside {
                    prompt.content(serde_json::from_slice(suffix)?)?;
                    prompt.unpublished = true;
                }
            }
            Endpoint::Embeddings => prompt.texts_or_numbers(input.unwrap_or(b"[]"))?,
            Endpoint::Moderations => {
                prompt.content(serde_json::from_slice(input.unwrap_or(b"[]"))?)?;
            }
            Endpoint::Speech
            | Endpoint::Transcriptions
            | Endpoint::Translations
            | Endpoint::ImageGenerations
            | Endpoint::ImageEdits => prompt.media(call)?,
            // Nothing of it counts in tokens.
            Endpoint::ImageVariations | Endpoint::Videos | Endpoint::MessageTokens => {}
        }
        Ok(prompt)
    }

    fn tools_and_format(&mut self, call: &'a Call) -> Read {
        let parts = call.parts();
        self.tools = call.part(parts.tools);
        self.functions = call.part(parts.functions);
        if let Some(tools) = self.tools.filter(|json| json.starts_with(b"[")) {
            // What a hosted tool adds is only known by the provider.
            each_object(tools, ["type"], |[kind]| {
                let kind = kind.and_then(Text::of).map_or("function", Text::escaped);
                self.elsewhere |= !matches!(kind, "function" | "custom");
                Ok(())
            })?;
        }
        if let Some(choice) = call.part(parts.tool_choice) {
            self.tool_choice = ToolChoice::of(serde_json::from_slice(choice)?);
        }
        let Some(format) = call.part(parts.format) else { return Ok(()) };
        let format = if call.endpoint.takes_items() {
            let [format] = members(format, ["format"])?;
            format.map(|raw| raw.get().as_bytes())
        } else {
            Some(format)
        };
        if let Some(format) = format.filter(|json| json.starts_with(b"{")) {
            let [kind, nested] = members(format, ["type", "json_schema"])?;
            if kind.is_some_and(|kind| kind.get() == "\"json_schema\"") {
                self.schema = Some(nested.map_or(format, |raw| raw.get().as_bytes()));
            }
        }
        Ok(())
    }

    /// Adds the texts that describe an image or a sound, and the images and sounds that come with them.
    fn media(&mut self, call: &'a Call) -> Read {
        let parts = call.parts();
        if let Some(text) = call.part(parts.input) {
            self.content(serde_json::from_slice(text)?)?;
        }
        match (call.endpoint, call.part(parts.beside)) {
            (Endpoint::Speech, Some(instructions)) => {
                self.content(serde_json::from_slice(instructions)?)?;
            }
            (_, Some(images)) if images.starts_with(b"[") => {
                each_object(images, ["image_url"], |[url]| self.image(url, None))?;
            }
            _ => {}
        }
        let Attached { sound, images } = call.attached;
        let nowhere = Image { url: None, detail: None };
        self.pieces.extend((0..images).map(|_| Piece::Image(nowhere)));
        if sound > 0 {
            let bytes = usize::try_from(sound).unwrap_or(usize::MAX);
            self.pieces.push(Piece::Opaque { bytes, per_token: RAW_SOUND });
        }
        self.unpublished = true;
        Ok(())
    }

    fn chat(&mut self, messages: &'a [u8]) -> Read {
        each_object(messages, MESSAGE, |message| self.message(message))
    }

    /// Texts without a message around them stand for one of the role that is written here.
    fn response(&mut self, input: Option<&'a [u8]>, instructions: Option<&'a [u8]>) -> Read {
        if let Some(instructions) = instructions {
            self.messages += 1;
            self.system = true;
            self.pieces.push(Piece::Text(Text::implied(r#""system""#)));
            self.content(serde_json::from_slice(instructions)?)?;
        }
        match input {
            Some(items) if items.starts_with(b"[") => each(items, |item| self.item(item)),
            Some(input) => {
                self.messages += 1;
                self.pieces.push(Piece::Text(Text::implied(r#""user""#)));
                self.content(serde_json::from_slice(input)?)
            }
            None => Ok(()),
        }
    }

    fn message(&mut self, message: Found<'a, 7>) -> Read {
        let [role, name, content, refusal, tool_calls, function_call, audio] = message;
        self.messages += 1;
        let role = role.and_then(Text::of);
        self.system |= role.is_some_and(|role| role.escaped() == "system");
        self.pieces.extend(role.map(Piece::Text));
        if let Some(name) = name.and_then(Text::of) {
            self.names += 1;
            self.pieces.push(Piece::Text(name));
        }
        for raw in [content, refusal].into_iter().flatten() {
            self.content(raw)?;
        }
        if let Some(calls) = tool_calls.filter(|raw| is_given(Some(raw))) {
            each_object(calls.get().as_bytes(), ["function", "custom"], |[function, custom]| {
                self.unpublished = true;
                function.or(custom).map_or(Ok(()), |call| self.tool_call(call))
            })?;
        }
        if let Some(call) = function_call.filter(|raw| is_given(Some(raw))) {
            self.tool_call(call)?;
        }
        // What the model said aloud earlier lies at the provider.
        self.elsewhere |= is_given(audio);
        Ok(())
    }

    /// Adds name and arguments of a call that the model made earlier.
    fn tool_call(&mut self, call: &'a RawValue) -> Read {
        self.unpublished = true;
        let called = members(call.get().as_bytes(), ["name", "arguments", "input"])?;
        self.pieces.extend(called.into_iter().flatten().filter_map(Text::of).map(Piece::Text));
        Ok(())
    }

    /// Adds a string, or an array of parts.
    fn content(&mut self, raw: &'a RawValue) -> Read {
        match (Text::of(raw), raw.get()) {
            (Some(text), _) => self.pieces.push(Piece::Text(text)),
            (None, "null") => {}
            (None, parts) if parts.starts_with('[') => {
                return each(parts.as_bytes(), |part| self.part(part));
            }
            (None, _) => self.unknown(raw),
        }
        Ok(())
    }

    fn part(&mut self, raw: &'a RawValue) -> Read {
        if let Some(text) = Text::of(raw) {
            self.pieces.push(Piece::Text(text));
            return Ok(());
        }
        let names = ["type", "text", "refusal", "image_url", "detail"];
        let [kind, text, refusal, image, detail] = members(raw.get().as_bytes(), names)?;
        match kind.and_then(Text::of).map_or("", Text::escaped) {
            "text" | "input_text" | "output_text" | "summary_text" | "reasoning_text" => {
                self.pieces.extend(text.and_then(Text::of).map(Piece::Text));
            }
            "refusal" => self.pieces.extend(refusal.and_then(Text::of).map(Piece::Text)),
            "image_url" | "input_image" => self.image(image, detail)?,
            "input_audio" => self.opaque(raw, SOUND),
            "file" | "input_file" => self.opaque(raw, DOCUMENT),
            _ => self.unknown(raw),
        }
        Ok(())
    }

    /// Adds an image: chat nests its URL and detail in an object, responses do not.
    fn image(&mut self, image: Option<&'a RawValue>, detail: Option<&'a RawValue>) -> Read {
        let (url, detail) = match image {
            Some(object) if object.get().starts_with('{') => {
                let [url, detail] = members(object.get().as_bytes(), ["url", "detail"])?;
                (url, detail)
            }
            url => (url, detail),
        };
        let (url, detail) = (url.and_then(Text::of), detail.and_then(Text::of));
        self.pieces.push(Piece::Image(Image { url, detail }));
        Ok(())
    }

    fn item(&mut self, raw: &'a RawValue) -> Read {
        let names = ["type", "role", "content", "output", "summary", "encrypted_content"];
        let [kind, role, content, output, summary, encrypted] =
            members(raw.get().as_bytes(), names)?;
        match kind.and_then(Text::of).map_or("message", Text::escaped) {
            "message" => return self.message([role, None, content, None, None, None, None]),
            "function_call" | "custom_tool_call" => return self.tool_call(raw),
            "function_call_output" | "custom_tool_call_output" => {
                self.messages += 1;
                return output.map_or(Ok(()), |output| self.content(output));
            }
            "reasoning" | "compaction" => {
                if let Some(encrypted) = encrypted.filter(|raw| is_given(Some(raw))) {
                    self.opaque(encrypted, ENCRYPTED);
                }
                return summary.map_or(Ok(()), |summary| self.content(summary));
            }
            "item_reference" => self.elsewhere = true,
            _ => self.unknown(raw),
        }
        Ok(())
    }

    /// Adds what completions and embeddings take: a string, strings, tokens, or arrays of tokens.
    fn texts_or_numbers(&mut self, json: &'a [u8]) -> Read {
        if !json.starts_with(b"[") {
            return self.content(serde_json::from_slice(json)?);
        }
        if let Some(numbers) = count_numbers(json) {
            self.numbers += numbers;
            return Ok(());
        }
        each(json, |element| {
            match (Text::of(element), count_numbers(element.get().as_bytes())) {
                (Some(text), _) => self.pieces.push(Piece::Text(text)),
                (None, Some(numbers)) => self.numbers += numbers,
                (None, None) => self.unknown(element),
            }
            Ok(())
        })
    }

    fn opaque(&mut self, raw: &RawValue, per_token: usize) {
        self.pieces.push(Piece::Opaque { bytes: raw.get().len(), per_token });
    }

    fn unknown(&mut self, raw: &'a RawValue) {
        self.unpublished = true;
        self.pieces.push(Piece::Json(raw.get()));
    }
}

impl<'a> ToolChoice<'a> {
    fn of(raw: &'a RawValue) -> Self {
        if raw.get() == "\"none\"" {
            return Self::None;
        }
        let Ok([name, nested]) = members(raw.get().as_bytes(), ["name", "function"]) else {
            return Self::Free;
        };
        let nested = nested.and_then(|raw| members(raw.get().as_bytes(), ["name"]).ok());
        let name = nested.map_or(name, |[name]| name);
        name.and_then(Text::of).map_or(Self::Free, Self::Named)
    }
}

/// The members of a chat message that the model is shown.
const MESSAGE: [&str; 7] =
    ["role", "name", "content", "refusal", "tool_calls", "function_call", "audio"];

/// Bytes a token of MP3 at 64 kbit/s, of which OpenAI's models hear ten tokens a second.
const RAW_SOUND: usize = 800;
/// The same in base64.
const SOUND: usize = 1000;
/// Bytes a token of a base64 PDF: some 100 KB and 1,500 tokens a page.
const DOCUMENT: usize = 64;
/// Bytes a token of encrypted reasoning in base64.
const ENCRYPTED: usize = 4;

/// Returns how many whole numbers stand in valid JSON that holds nothing but numbers and arrays of
/// them; `None` where it holds anything else.
fn count_numbers(json: &[u8]) -> Option<u64> {
    let mut numbers: u64 = 0;
    let mut inside = false;
    for byte in json {
        match byte {
            b'0'..=b'9' => {
                numbers += u64::from(!inside);
                inside = true;
            }
            b'[' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' => inside = false,
            _ => return None,
        }
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_through_arrays() {
        assert_eq!(count_numbers(b"[1, 22,\n333]"), Some(3));
        assert_eq!(count_numbers(b"[[1,2],[ ],[3]]"), Some(3));
        assert_eq!(count_numbers(b"[]"), Some(0));
        assert_eq!(count_numbers(b"[1.5]"), None);
        assert_eq!(count_numbers(b"[\"1\"]"), None);
    }
}

//! Anthropic's messages: the system's words beside them, and blocks in them
//! (<https://docs.claude.com/en/api/messages>, read 2026-11-21).

use serde_json::value::RawValue;

use super::{DOCUMENT, Image, Piece, Prompt, Read};
use crate::call::Call;
use crate::call::json::{Text, each, each_object, members};

impl<'a> Prompt<'a> {
    /// Adds all that a call puts before the model. No formula is published for any of it.
    pub(super) fn anthropic(&mut self, call: &'a Call) -> Read {
        let parts = call.parts();
        self.unpublished = true;
        if let Some(system) = call.part(parts.beside) {
            self.messages += 1;
            self.system = true;
            self.blocks(serde_json::from_slice(system)?)?;
        }
        if let Some(tools) = call.part(parts.tools) {
            self.unknown(serde_json::from_slice(tools)?);
        }
        each_object(call.part(parts.input).unwrap_or(b"[]"), ["role", "content"], |message| {
            let [role, content] = message;
            self.messages += 1;
            self.pieces.extend(role.and_then(Text::of).map(Piece::Text));
            content.map_or(Ok(()), |content| self.blocks(content))
        })
    }

    /// Adds a string, or an array of blocks.
    fn blocks(&mut self, raw: &'a RawValue) -> Read {
        if let Some(text) = Text::of(raw) {
            self.pieces.push(Piece::Text(text));
            return Ok(());
        }
        if !raw.get().starts_with('[') {
            self.unknown(raw);
            return Ok(());
        }
        // A result of a tool holds blocks, of which none is a result.
        let mut results = Vec::new();
        each(raw.get().as_bytes(), |block| self.block(block, &mut results))?;
        for result in results.into_iter().filter(|result| result.get().starts_with('[')) {
            each(result.get().as_bytes(), |block| self.block(block, &mut Vec::new()))?;
        }
        Ok(())
    }

    fn block(&mut self, raw: &'a RawValue, results: &mut Vec<&'a RawValue>) -> Read {
        let names = ["type", "text", "thinking", "content", "name", "input"];
        let [kind, text, thinking, content, name, input] = members(raw.get().as_bytes(), names)?;
        let mut say = |raw: Option<&'a RawValue>| {
            self.pieces.extend(raw.and_then(Text::of).map(Piece::Text));
        };
        match kind.and_then(Text::of).map_or("", Text::escaped) {
            "text" => say(text),
            "thinking" => say(thinking),
            "image" => self.pieces.push(Piece::Image(Image { url: None, detail: None })),
            "document" => self.opaque(raw, DOCUMENT),
            "tool_use" => {
                say(name);
                input.into_iter().for_each(|input| self.unknown(input));
            }
            "tool_result" => {
                say(content);
                results.extend(content);
            }
            _ => self.unknown(raw),
        }
        Ok(())
    }
}

//! What runs of threads put before the model, beside what lies at the provider: the thread and the assistant.

use super::{Call, Piece, Prompt, Read, Text, each_object};

impl<'a> Prompt<'a> {
    /// Adds what a run brings along.
    pub(super) fn run(&mut self, call: &'a Call) -> Read {
        self.unpublished = true;
        self.tools_and_format(call)?;
        let parts = call.parts();
        for instructions in [parts.beside, parts.more] {
            let Some(text) = call.part(instructions) else { continue };
            self.messages += 1;
            self.system = true;
            self.pieces.push(Piece::Text(Text::implied(r#""system""#)));
            self.content(serde_json::from_slice(text)?)?;
        }
        call.part(parts.input).map_or(Ok(()), |messages| self.chat(messages))
    }

    /// Adds what tools have answered.
    pub(super) fn outputs(&mut self, outputs: Option<&'a [u8]>) -> Read {
        self.unpublished = true;
        let Some(outputs) = outputs else { return Ok(()) };
        each_object(outputs, ["output"], |[output]| {
            self.messages += 1;
            output.map_or(Ok(()), |output| self.content(output))
        })
    }
}

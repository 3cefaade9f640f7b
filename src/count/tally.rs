//! Adds up a prompt.

use super::image;
use super::memory::{Count, Form, Memory};
use super::vocabulary::{Vocabulary, Words};
use super::{HISTORY, MOST_TEXT, Method, schema, tools};
use crate::call::{Call, Endpoint, Piece, Prompt, Text, ToolChoice};
use crate::catalog::ModelFacts;

/// How long a count may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Not longer than an async thread may be held.
    Cheap,
    /// As long as it takes.
    Any,
}

/// A sum under way. Methods return `None` where going on would be too much effort.
pub(super) struct Tally<'c> {
    memory: &'c Memory,
    vocabulary: Vocabulary,
    words: Words,
    /// Bytes of text that may still be counted, not recalled.
    unseen_left: usize,
    pub(super) tokens: u64,
    pub(super) characters: u64,
    pub(super) method: Method,
}

impl<'c> Tally<'c> {
    pub(super) fn new(
        memory: &'c Memory,
        vocabulary: Vocabulary,
        facts: &ModelFacts,
        effort: Effort,
    ) -> Self {
        Self {
            memory,
            vocabulary,
            words: Words::default(),
            unseen_left: if effort == Effort::Cheap { CHEAP_TEXT } else { usize::MAX },
            tokens: 0,
            characters: 0,
            method: if facts.known { Method::Exact } else { Method::Approximate },
        }
    }

    /// Adds a prompt.
    pub(super) fn prompt(
        &mut self,
        prompt: &Prompt<'_>,
        call: &Call,
        facts: &ModelFacts,
    ) -> Option<()> {
        self.tokens += prompt.numbers;
        self.framing(prompt, call, facts);
        if prompt.unpublished {
            self.at_best(Method::Approximate);
        }
        if prompt.elsewhere {
            self.at_best(Method::Assumed);
        }
        self.history(call);
        let large = text_bytes(prompt) > MOST_TEXT;
        for piece in &prompt.pieces {
            match *piece {
                Piece::Text(text) if large => self.sized(text.escaped()),
                Piece::Json(text) if large => self.sized(text),
                Piece::Text(text) => self.text(text)?,
                Piece::Json(text) => self.plain(text)?,
                Piece::Image(image) => {
                    let (tokens, method) = image::count(&image, facts.image);
                    self.tokens += tokens;
                    self.at_best(method);
                }
                Piece::Opaque { bytes, per_token } => {
                    self.tokens += wide(bytes / per_token.max(1));
                    self.at_best(Method::Assumed);
                }
            }
        }
        self.tools(prompt, large)
    }

    /// Adds a body whose prompt cannot be read, as one text.
    pub(super) fn unreadable(&mut self, body: &[u8]) -> Option<()> {
        self.at_best(Method::Approximate);
        let text = String::from_utf8_lossy(body);
        if body.len() > MOST_TEXT {
            self.sized(&text);
            return Some(());
        }
        self.plain(&text)
    }

    /// Adds what the chat format puts around messages.
    ///
    /// Source: OpenAI's cookbook, "How to count tokens with tiktoken", read 2026-11-21.
    fn framing(&mut self, prompt: &Prompt<'_>, call: &Call, facts: &ModelFacts) {
        if !call.endpoint.is_conversation() {
            return;
        }
        let (messages, names) = (prompt.messages, prompt.names);
        self.tokens += match call.model.as_str() {
            // A name took the place of the role.
            "gpt-3.5-turbo-0301" => (4 * messages).saturating_sub(names),
            _ => 3 * messages + names,
        };
        self.tokens += REPLY_PRIMING;
        // How reasoning models and responses are framed is not published.
        if facts.reasoning || call.endpoint != Endpoint::ChatCompletions {
            self.at_best(Method::Approximate);
        }
    }

    /// Adds what lies at the provider, as the last answer there told it.
    fn history(&mut self, call: &Call) {
        let Some(id) = call.goes_on_with() else { return };
        let key = self.memory.key(id.as_bytes(), Form::History, HISTORY);
        self.tokens += self.memory.recall(key).map_or(0, |count| u64::from(count.tokens));
    }

    fn tools(&mut self, prompt: &Prompt<'_>, large: bool) -> Option<()> {
        let lists = [(prompt.tools, Form::Tools), (prompt.functions, Form::Functions)];
        for (json, form) in lists.into_iter().filter_map(|(json, form)| Some((json?, form))) {
            self.at_best(Method::Approximate);
            if large {
                self.sized(&String::from_utf8_lossy(json));
                continue;
            }
            self.recalled(json, form, || tools::render(json, form))?;
            self.tokens += tools::FRAMING;
            if prompt.system {
                self.tokens = self.tokens.saturating_sub(tools::SAVED_BY_SYSTEM);
            }
        }
        match prompt.tool_choice {
            ToolChoice::Free => {}
            ToolChoice::None => self.tokens += tools::CHOICE_NONE,
            ToolChoice::Named(name) => {
                self.tokens += tools::CHOICE_NAMED;
                self.text(name)?;
            }
        }
        let Some(json) = prompt.schema else { return Some(()) };
        self.at_best(Method::Approximate);
        self.tokens += schema::FRAMING;
        let compact = || schema::compact(&String::from_utf8_lossy(json));
        if large {
            self.sized(&compact());
            return Some(());
        }
        self.recalled(json, Form::Schema, compact)
    }

    fn text(&mut self, text: Text<'_>) -> Option<()> {
        self.recalled(text.escaped().as_bytes(), Form::Quoted, || text.decode())
    }

    fn plain(&mut self, text: &str) -> Option<()> {
        self.recalled(text.as_bytes(), Form::Plain, || text)
    }

    /// Adds the text that `make` makes of `bytes`, by memory where it was counted before.
    fn recalled<T: AsRef<str>>(
        &mut self,
        bytes: &[u8],
        form: Form,
        make: impl FnOnce() -> T,
    ) -> Option<()> {
        if bytes.is_empty() {
            return Some(());
        }
        let key = self.memory.key(bytes, form, self.vocabulary.encoding);
        let count = match self.memory.recall(key) {
            Some(count) => count,
            None => {
                self.unseen_left = self.unseen_left.checked_sub(bytes.len())?;
                let count = self.count(make().as_ref());
                self.memory.remember(key, count);
                count
            }
        };
        self.tokens += u64::from(count.tokens);
        self.characters += u64::from(count.characters);
        Some(())
    }

    fn count(&mut self, text: &str) -> Count {
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let tokens = self.vocabulary.count(text, &mut self.words);
        Count { tokens: narrow(tokens), characters: narrow(text.chars().count()) }
    }

    /// Adds a text by its size.
    fn sized(&mut self, text: &str) {
        self.at_best(Method::Approximate);
        self.tokens += half(text.len());
        self.characters += wide(text.chars().count());
    }

    fn at_best(&mut self, method: Method) {
        self.method = self.method.max(method);
    }
}

/// Returns half of `bytes`, rounded up: a size in tokens that few texts exceed.
pub(super) fn half(bytes: usize) -> u64 {
    wide(bytes.div_ceil(2))
}

/// Returns the bytes of all text in a prompt, escapes included.
fn text_bytes(prompt: &Prompt<'_>) -> usize {
    let json = [prompt.tools, prompt.functions, prompt.schema];
    let json: usize = json.into_iter().flatten().map(<[u8]>::len).sum();
    let pieces = prompt.pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.escaped().len(),
        Piece::Json(text) => text.len(),
        Piece::Image(_) | Piece::Opaque { .. } => 0,
    });
    json + pieces.sum::<usize>()
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// With what every answer begins: `<|start|>assistant<|message|>`.
const REPLY_PRIMING: u64 = 3;

/// How many bytes of new text are counted on an async thread.
const CHEAP_TEXT: usize = 2048;

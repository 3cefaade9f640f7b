//! What an answer will say, decided before its first byte: texts, their lengths, how they end.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ask::{Ask, Shape};
use super::language;
use super::thoughts;
use super::tools;
use super::words::{Text, mix};

/// The texts of an answer.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Draft {
    /// Ends every id of this answer.
    pub id: String,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub created: u64,
    /// One text per choice.
    pub choices: Vec<Choice>,
    /// Tokens of generations that are not shown (`best_of`).
    pub hidden: u64,
    /// What was thought before, where that is told.
    pub thought: Option<Text>,
}

/// One choice of an answer.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Choice {
    pub text: Text,
    pub ending: Ending,
}

/// How a choice ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) enum Ending {
    /// The model had said everything.
    Stop,
    /// The output bound was reached.
    Length,
}

/// How fast an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) struct Pace {
    /// From admission to the first token.
    pub first: Duration,
    /// From one token to the next.
    pub token: Duration,
}

impl Draft {
    /// Writes the texts for `ask`, of `lengths` tokens; JSON and calls are as long as they are.
    pub(in crate::simulate) fn new(
        ask: &Ask,
        lengths: &[(u64, Ending)],
        (number, created): (u64, u64),
    ) -> Self {
        let seed = ask.prompt.digest;
        let shown = usize::try_from(ask.choices).unwrap_or(usize::MAX);
        let choices = lengths.iter().take(shown).enumerate().map(|(index, (length, ending))| {
            let seed = mix(seed ^ index as u64);
            match &ask.shape {
                Shape::Text => {
                    let text = language::text(ask.language, seed, (*length, ask.encoding));
                    Choice { text, ending: *ending }
                }
                Shape::Bytes => Choice { text: bytes(seed, *length), ending: *ending },
                Shape::Sound => Choice { text: sound(seed, *length), ending: *ending },
                Shape::Json(schema) | Shape::Call { schema, .. } => {
                    let value = tools::example(schema, seed).to_string();
                    given(&value, ask)
                }
            }
        });
        let choices: Vec<Choice> = choices.collect();
        let hidden = lengths.iter().skip(shown).map(|(length, _)| length).sum();
        let spoken = choices.iter().map(|choice| choice.text.tokens()).sum();
        let thought = thoughts::thought(ask, spoken);
        Self {
            id: format!("{:016x}{:08x}", mix(seed ^ number), number),
            created,
            choices,
            hidden,
            thought,
        }
    }

    /// Returns the output tokens of the whole answer.
    pub(in crate::simulate) fn tokens(&self) -> u64 {
        let thought = self.thought.as_ref().map_or(0, Text::tokens);
        self.choices.iter().map(|choice| choice.text.tokens()).sum::<u64>() + self.hidden + thought
    }

    /// Returns the output tokens when `pieces` pieces are written: of the thought, and then of every choice.
    pub(in crate::simulate) fn tokens_of(&self, pieces: u64) -> u64 {
        let said = pieces.saturating_sub(self.thought_len());
        let thought = self.thought.as_ref().map_or(0, |thought| thought.tokens_of(pieces));
        thought + self.choices.iter().map(|choice| choice.text.tokens_of(said)).sum::<u64>()
    }

    /// Returns how many pieces the thought and the longest choice have.
    pub(in crate::simulate) fn len(&self) -> u64 {
        let longest = self.choices.iter().map(|choice| choice.text.len()).max();
        self.thought_len() + longest.unwrap_or(0)
    }

    /// Returns how many pieces the thought has.
    pub(in crate::simulate) fn thought_len(&self) -> u64 {
        self.thought.as_ref().map_or(0, Text::len)
    }
}

impl Pace {
    /// Returns the time from admission until piece `index` is written.
    pub(in crate::simulate) fn until(&self, index: u64) -> Duration {
        let nanos = self.token.as_nanos().saturating_mul(u128::from(index));
        self.first.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Returns how many pieces are written `elapsed` after admission, `most` at most.
    pub(in crate::simulate) fn written(&self, elapsed: Duration, most: u64) -> u64 {
        let Some(writing) = elapsed.checked_sub(self.first) else {
            return 0;
        };
        let pieces = writing.as_nanos().checked_div(self.token.as_nanos());
        let pieces = pieces.map_or(most, |pieces| u64::try_from(pieces + 1).unwrap_or(u64::MAX));
        pieces.min(most)
    }
}

/// Writes bytes in base64: three of them are a token, and a piece.
fn bytes(seed: u64, tokens: u64) -> Text {
    let bytes: Vec<u8> = (0..tokens)
        .flat_map(|index| {
            let [first, second, third, ..] = mix(seed ^ mix(index)).to_le_bytes();
            [first, second, third]
        })
        .collect();
    Text::even(&STANDARD.encode(bytes), tokens)
}

/// Writes sound in base64, a token in a piece: 50 ms of MP3 at 128 kbit a second, which begins as MP3 does.
fn sound(seed: u64, tokens: u64) -> Text {
    let piece = |token: u64| {
        // A multiple of three, so that pieces can be put together.
        let mut bytes = [0; 801];
        for (place, byte) in (0_u64..).zip(bytes.iter_mut()) {
            [*byte, ..] = mix(seed ^ mix(token.wrapping_mul(1_024) + place)).to_le_bytes();
        }
        if let (0, [first, second, ..]) = (token, &mut bytes) {
            (*first, *second) = (0xff, 0xfb);
        }
        STANDARD.encode(bytes)
    };
    Text::of_tokens((0..tokens).map(piece))
}

/// Writes a given text, cut where it is longer than its bound.
fn given(text: &str, ask: &Ask) -> Choice {
    let text = Text::given(text, ask.encoding);
    let (text, is_cut) = text.within(ask.bound.unwrap_or(u64::MAX));
    Choice { text, ending: if is_cut { Ending::Length } else { Ending::Stop } }
}

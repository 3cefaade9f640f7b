//! Loads the vocabularies when they are first asked for, and counts with them.
//!
//! The merging is `bpe-openai`'s: its count equals that of `tiktoken-rs`, to which the tests hold
//! us, its time is linear on any input, and it does not overflow the stack as `tiktoken-rs` does on
//! a megabyte of spaces. Around it, ASCII is cut by [`split`] and short pieces are counted once a
//! call. `benches/count.rs` prints what each costs.

use std::sync::OnceLock;

use bpe_openai::Tokenizer;

use super::split;
use crate::catalog::Encoding;

/// The vocabularies of this process. They are shared by all counters; resident
/// memory grows by 66 MB for `o200k` and 29 MB for `cl100k` (`benches/count.rs`).
#[derive(Debug, Default)]
pub(super) struct Vocabularies {
    cl100k: OnceLock<Vocabulary>,
    o200k: OnceLock<Vocabulary>,
}

impl Vocabularies {
    /// Returns a vocabulary if it is there.
    pub(super) fn loaded(&self, encoding: Encoding) -> Option<Vocabulary> {
        self.cell(encoding).get().copied()
    }

    /// Returns a vocabulary, which takes about 100 ms for the first time.
    pub(super) fn load(&self, encoding: Encoding) -> Vocabulary {
        *self.cell(encoding).get_or_init(|| {
            let tokenizer = match encoding {
                Encoding::Cl100k => bpe_openai::cl100k_base(),
                Encoding::O200k => bpe_openai::o200k_base(),
            };
            Vocabulary { encoding, tokenizer }
        })
    }

    fn cell(&self, encoding: Encoding) -> &OnceLock<Vocabulary> {
        match encoding {
            Encoding::Cl100k => &self.cl100k,
            Encoding::O200k => &self.o200k,
        }
    }
}

/// A loaded vocabulary. Copying it copies a pointer.
#[derive(Clone, Copy)]
pub(super) struct Vocabulary {
    pub(super) encoding: Encoding,
    tokenizer: &'static Tokenizer,
}

impl Vocabulary {
    /// Returns the tokens of `text`, special tokens read as text.
    pub(super) fn count(self, text: &str, words: &mut Words) -> usize {
        if text.len() >= WORTH_WORDS {
            words.prepare();
        }
        let mut rest = text;
        let mut tokens = 0;
        while !rest.is_empty() {
            let length = split::first_piece(rest.as_bytes(), self.encoding)
                .or_else(|| self.tokenizer.split(rest).next().map(str::len))
                .unwrap_or(rest.len());
            let Some((piece, after)) = rest.split_at_checked(length.max(1)) else {
                // Pieces end between characters; if one did not, the whole rest still counts.
                return tokens + self.tokenizer.count(rest);
            };
            tokens += words.count(piece, |piece| self.tokenizer.bpe.count(piece.as_bytes()));
            rest = after;
        }
        tokens
    }
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Vocabulary").field(&self.encoding).finish()
    }
}

/// The short pieces that one call has met, each under its own bytes: a word that comes twice is
/// counted once. Good for one vocabulary.
#[derive(Debug, Default)]
pub(super) struct Words {
    slots: Vec<(u128, usize)>,
}

impl Words {
    fn prepare(&mut self) {
        if self.slots.is_empty() {
            self.slots = vec![(0, 0); SLOTS];
        }
    }

    /// Returns the tokens of a piece, by `count` if it is not there.
    fn count(&mut self, piece: &str, count: impl FnOnce(&str) -> usize) -> usize {
        if self.slots.is_empty() {
            return count(piece);
        }
        let Some(name) = name(piece) else { return count(piece) };
        let Some(slot) = self.slots.get_mut(place(name)) else { return count(piece) };
        if slot.0 != name {
            *slot = (name, count(piece));
        }
        slot.1
    }
}

/// Returns the bytes of a short piece and its length as a number: different pieces have different
/// ones, and none is 0.
fn name(piece: &str) -> Option<u128> {
    let mut bytes = [0; 16];
    let (length, text) = bytes.split_last_mut()?;
    text.get_mut(..piece.len())?.copy_from_slice(piece.as_bytes());
    *length = u8::try_from(piece.len()).ok()?;
    Some(u128::from_le_bytes(bytes))
}

fn place(name: u128) -> usize {
    let [low, high] = [name, name >> 64].map(|half| u64::try_from(half & MASK).unwrap_or(0));
    let mixed = (low ^ high.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(mixed >> (u64::BITS - SLOTS.trailing_zeros())).unwrap_or(0)
}

/// The lower half of a name.
const MASK: u128 = 0xFFFF_FFFF_FFFF_FFFF;

/// The bytes of a text in which enough words come twice to make room for them.
const WORTH_WORDS: usize = 1024;

/// How many words are kept: 64 KB, which stay near the processor.
const SLOTS: usize = 2048;

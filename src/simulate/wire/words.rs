//! Text of an exactly known number of tokens.

use bpe_openai::{cl100k_base, o200k_base};

use crate::catalog::Encoding;

/// What a generation writes, piece by piece.
#[derive(Debug, Clone)]
pub(in crate::simulate) enum Text {
    /// Words of one token each, drawn by a seed.
    Words {
        /// Which words.
        seed: u64,
        /// How many.
        count: u64,
    },
    /// A given text in pieces.
    Given(Vec<Piece>),
}

/// A piece of a given text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::simulate) struct Piece {
    text: String,
    /// Tokens of the text up to its end.
    until: u64,
}

impl Text {
    /// Cuts a text into its tokens, as a model would say them: a token that ends within a character is held
    /// until that is whole.
    pub(in crate::simulate) fn given(text: &str, encoding: Encoding) -> Self {
        let tokenizer = match encoding {
            Encoding::Cl100k => cl100k_base(),
            Encoding::O200k => o200k_base(),
        };
        let (mut pieces, mut held) = (Vec::new(), Vec::new());
        for (token, until) in tokenizer.encode(text).into_iter().zip(1..) {
            held.extend_from_slice(tokenizer.bpe.token_bytes(token));
            if let Ok(text) = String::from_utf8(std::mem::take(&mut held)).map_err(|part| {
                held = part.into_bytes();
            }) {
                pieces.push(Piece { text, until });
            }
        }
        Self::Given(pieces)
    }

    /// Cuts a text that is none, of `tokens` tokens, into even pieces.
    pub(in crate::simulate) fn even(text: &str, tokens: u64) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(EVEN).map_or(rest.len(), |(at, _)| at);
            let (piece, tail) = rest.split_at(end);
            pieces.push(piece);
            rest = tail;
        }
        let all = (pieces.len() as u64).max(1);
        let until = |place: u64| tokens.saturating_mul(place).div_ceil(all);
        let pieces = pieces.into_iter().zip(1..);
        let piece =
            |(text, place): (&str, u64)| Piece { text: text.to_owned(), until: until(place) };
        Self::Given(pieces.map(piece).collect())
    }

    /// Makes a text of pieces that are a token each.
    pub(in crate::simulate) fn of_tokens(pieces: impl Iterator<Item = String>) -> Self {
        Self::Given(pieces.zip(1..).map(|(text, until)| Piece { text, until }).collect())
    }

    /// Returns what of the text has at most so many tokens, and whether that is not all of it.
    pub(in crate::simulate) fn within(mut self, bound: u64) -> (Self, bool) {
        let before = self.len();
        match &mut self {
            Self::Words { count, .. } => *count = bound.min(*count),
            Self::Given(pieces) => pieces.retain(|piece| piece.until <= bound),
        }
        let is_cut = self.len() < before;
        (self, is_cut)
    }

    /// Returns how many pieces there are.
    pub(in crate::simulate) fn len(&self) -> u64 {
        match self {
            Self::Words { count, .. } => *count,
            Self::Given(pieces) => pieces.len() as u64,
        }
    }

    /// Returns piece `index`; nothing beyond the end.
    pub(in crate::simulate) fn piece(&self, index: u64) -> &str {
        match self {
            Self::Words { count, .. } if index >= *count => "",
            Self::Words { seed, .. } => word(*seed, index),
            Self::Given(pieces) => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                pieces.get(index).map_or("", |piece| piece.text.as_str())
            }
        }
    }

    /// Returns the tokens of all pieces.
    pub(in crate::simulate) fn tokens(&self) -> u64 {
        self.tokens_of(self.len())
    }

    /// Returns the tokens of the first `pieces` pieces.
    pub(in crate::simulate) fn tokens_of(&self, pieces: u64) -> u64 {
        match self {
            Self::Words { count, .. } => pieces.min(*count),
            Self::Given(all) => {
                let written = usize::try_from(pieces).unwrap_or(usize::MAX).min(all.len());
                written.checked_sub(1).and_then(|last| all.get(last)).map_or(0, |last| last.until)
            }
        }
    }

    /// Returns the whole text.
    pub(in crate::simulate) fn whole(&self) -> String {
        (0..self.len()).map(|index| self.piece(index)).collect()
    }
}

/// Characters of a piece of what is no text.
const EVEN: usize = 4;

/// Returns word `index` of the text of `seed`; each is one token wherever it stands.
fn word(seed: u64, index: u64) -> &'static str {
    if index == 0 {
        return pick(&FIRST, mix(seed));
    }
    if index.is_multiple_of(SENTENCE) {
        return ".";
    }
    pick(&WORDS, mix(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// After how many words a full stop follows.
const SENTENCE: u64 = 14;

fn pick(words: &'static [&'static str], number: u64) -> &'static str {
    let index = usize::try_from(number % words.len() as u64).unwrap_or_default();
    words.get(index).copied().unwrap_or(" the")
}

/// Scatters the bits of `number` (the finaliser of SplitMix64).
pub(in crate::simulate) fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Openings of a text: one token each in every vocabulary.
const FIRST: [&str; 8] = ["The", "This", "When", "Here", "There", "After", "Some", "Most"];

/// Words with the space before them: one token each in every vocabulary.
#[rustfmt::skip] // A list of words, not of lines.
const WORDS: [&str; 128] = [
    " the", " of", " and", " to", " in", " is", " that", " for", " it", " with", " as", " on", " be", " at", " by", " this",
    " had", " not", " are", " but", " from", " or", " have", " an", " they", " which", " one", " you", " were", " all", " her", " she",
    " there", " would", " their", " we", " him", " been", " has", " when", " who", " will", " no", " more", " if", " out", " so", " up",
    " said", " what", " its", " about", " than", " into", " them", " can", " only", " other", " time", " new", " some", " could", " these", " two",
    " may", " first", " then", " do", " any", " like", " my", " now", " over", " such", " our", " man", " me", " even", " most", " made",
    " after", " also", " did", " many", " off", " before", " must", " well", " back", " through", " years", " much", " where", " your", " way", " down",
    " should", " because", " long", " each", " just", " state", " those", " people", " too", " how", " little", " good", " world", " make", " very", " year",
    " still", " see", " work", " life", " men", " being", " here", " both", " between", " under", " never", " day", " same", " another", " know", " last",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_many_tokens_as_they_say() {
        for (name, vocabulary) in
            [("cl100k", tiktoken_rs::cl100k_base()), ("o200k", tiktoken_rs::o200k_base())]
        {
            let vocabulary = vocabulary.expect("an embedded vocabulary");
            for seed in 0..200 {
                let text = Text::Words { seed, count: seed * 7 };
                let tokens = vocabulary.encode_ordinary(&text.whole()).len() as u64;
                assert_eq!(tokens, text.tokens(), "{name}: {}", text.whole());
            }
        }
    }

    #[test]
    fn pieces_of_a_given_text_join_to_the_text() {
        let said = "naïve — 日本語 𓀀𓁶 👩‍🚀 {\"a\": 1}";
        for encoding in [Encoding::O200k, Encoding::Cl100k] {
            let text = Text::given(said, encoding);
            assert_eq!(text.whole(), said);
            let tokens = crate::count::Counter::new().count_text(said, encoding).count();
            assert_eq!((text.tokens_of(0), text.tokens()), (0, tokens));
            assert!(text.len() < tokens, "a character of several tokens is one piece");
        }
        let text = Text::even("abcdefghij", 5);
        assert_eq!((text.len(), text.whole().as_str(), text.tokens()), (3, "abcdefghij", 5));
    }

    #[test]
    fn a_text_is_cut_at_its_bound() {
        let (text, is_cut) = Text::given("one two three four", Encoding::O200k).within(3);
        assert_eq!((text.whole().as_str(), text.tokens(), is_cut), ("one two three", 3, true));
        let (text, is_cut) = text.within(3);
        assert_eq!((text.tokens(), is_cut), (3, false));
    }
}

//! Text of an exactly known number of tokens.

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
    /// A given text in pieces, and how many tokens it has.
    Given {
        /// The pieces.
        pieces: Vec<String>,
        /// Tokens of all of them.
        tokens: u64,
    },
}

impl Text {
    /// Cuts a given text of `tokens` tokens into pieces of about a token.
    pub(in crate::simulate) fn given(text: &str, tokens: u64) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(PIECE).map_or(rest.len(), |(at, _)| at);
            let (piece, tail) = rest.split_at(end);
            pieces.push(piece.to_owned());
            rest = tail;
        }
        Self::Given { pieces, tokens }
    }

    /// Returns how many pieces there are.
    pub(in crate::simulate) fn len(&self) -> u64 {
        match self {
            Self::Words { count, .. } => *count,
            Self::Given { pieces, .. } => pieces.len() as u64,
        }
    }

    /// Returns piece `index`; nothing beyond the end.
    pub(in crate::simulate) fn piece(&self, index: u64) -> &str {
        match self {
            Self::Words { count, .. } if index >= *count => "",
            Self::Words { seed, .. } => word(*seed, index),
            Self::Given { pieces, .. } => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                pieces.get(index).map_or("", String::as_str)
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
            Self::Given { pieces: all, tokens } => {
                let all = (all.len() as u64).max(1);
                tokens.saturating_mul(pieces.min(all)).div_ceil(all)
            }
        }
    }

    /// Returns the whole text.
    pub(in crate::simulate) fn whole(&self) -> String {
        (0..self.len()).map(|index| self.piece(index)).collect()
    }
}

/// Characters of a piece of a given text.
const PIECE: usize = 4;

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
        let text = Text::given("naïve — 日本語 {\"a\": 1}", 12);
        assert_eq!(text.whole(), "naïve — 日本語 {\"a\": 1}");
        assert_eq!((text.tokens_of(0), text.tokens()), (0, 12));
    }
}

//! Every count equals that of `tiktoken-rs`.
//!
//! The oracle overflows its stack on very long runs of white space (its regex backtracks by
//! recursion), so no text here has a run of more than some dozens. `large` has the long ones.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sluicegate::catalog::Encoding;
use sluicegate::count::Counter;
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

const CORPORA: [(&str, &str); 5] = [
    ("prose", include_str!("corpora/prose.txt")),
    ("code", include_str!("corpora/code.txt")),
    ("scripts", include_str!("corpora/scripts.txt")),
    ("chat", include_str!("corpora/chat.txt")),
    ("edges", include_str!("corpora/edges.txt")),
];

fn oracle(encoding: Encoding) -> &'static CoreBPE {
    match encoding {
        Encoding::Cl100k => cl100k_base_singleton(),
        Encoding::O200k => o200k_base_singleton(),
    }
}

fn assert_same(counter: &Counter, text: &str) {
    for encoding in [Encoding::Cl100k, Encoding::O200k] {
        let expected = oracle(encoding).encode_ordinary(text).len() as u64;
        let counted = counter.count_text(text, encoding).count();
        assert_eq!(counted, expected, "{encoding:?}: {text:?}");
    }
}

#[test]
fn corpora_count_the_same_whole_and_by_the_line() {
    let counter = Counter::new();
    for (_, text) in CORPORA {
        assert!(text.len() > 1000);
        assert_same(&counter, text);
        for line in text.split_inclusive('\n') {
            assert_same(&counter, line);
        }
        for paragraph in text.split("\n\n") {
            assert_same(&counter, paragraph);
        }
    }
}

#[test]
fn random_strings_count_the_same() {
    let counter = Counter::new();
    let mut random = StdRng::seed_from_u64(20_261_121);
    for _ in 0..20_000 {
        let pieces = random.random_range(1..24);
        let text: String = (0..pieces).map(|_| piece(&mut random)).collect();
        assert_same(&counter, &text);
    }
}

#[test]
fn white_space_counts_the_same_wherever_it_stands() {
    let counter = Counter::new();
    for length in 1..=6 {
        for number in 0..4_u32.pow(length) {
            let space: String = (0..length)
                .map(|place| [' ', '\n', '\r', '\t'][(number / 4_u32.pow(place) % 4) as usize])
                .collect();
            assert_same(&counter, &format!("a{space}"));
            if length < 5 {
                assert_same(&counter, &format!("{space}b"));
                assert_same(&counter, &format!(".{space}/{space}1"));
            }
        }
    }
}

#[test]
fn short_texts_of_every_class_count_the_same() {
    let counter = Counter::new();
    let alphabet = ["a", "B", "1", " ", "\n", "'", "s", "/", ".", "é", "ſ"];
    for number in 0..alphabet.len().pow(4) {
        let text: String = (0..4)
            .map(|place| alphabet[number / alphabet.len().pow(place) % alphabet.len()])
            .collect();
        assert_same(&counter, &text);
    }
}

/// Returns a little of something.
fn piece(random: &mut StdRng) -> String {
    let kind = random.random_range(0..KINDS.len() + 5);
    let Some(words) = KINDS.get(kind) else { return run(random, kind - KINDS.len()) };
    words[random.random_range(0..words.len())].to_owned()
}

/// Returns a run of random characters of one kind.
fn run(random: &mut StdRng, kind: usize) -> String {
    let length = random.random_range(1..16);
    let mut range = |from: u32, to: u32| -> String {
        (0..length).filter_map(|_| char::from_u32(random.random_range(from..to))).collect()
    };
    match kind {
        0 => range(0x20, 0x7F),
        1 => range(0x00, 0x250),
        2 => range(0x300, 0x3000),
        3 => range(0x3000, 0xFFFF),
        _ => range(0x1_0000, 0x2_0000),
    }
}

#[rustfmt::skip] // Kinds are read by lines.
const KINDS: [&[&str]; 9] = [
    &["the", " quick", "Brown", " fox", "JUMPS", " over", "lazyDog", " naïve", "Straße", "ǅungla"],
    &["'s", "'S", "'t", "'re", "'VE", "'m", "'ll", "'d", "'ſ", "'ſs", "’s", "''s", "I'LL", "don't"],
    &[" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u{a0}", "\u{3000}", "\u{2003} ", "\u{85}", "\u{2028}"],
    &["0", "12", "345", "6789", "1234567", "٣٤٥", "Ⅷ", "½", "１２３４", "१२३"],
    &["東京", "日本語の文章", "中文字符", "한국어", "カタカナ", "ｶﾀｶﾅ", "𠮷野家"],
    &["مرحبا", " العالم", "שלום", "हिन्दी", " नमस्ते", "ไทย", "Ελλάδα", " Привет", "Հայ", "አማርኛ"],
    &["😀", "👩‍👩‍👧‍👦", "🇩🇪", "❤️", "👍🏽", "e\u{301}", "\u{200d}", "\u{feff}", "\u{fffd}"],
    &["<|endoftext|>", "<|im_start|>", "<|fim_prefix|>", "<|endofprompt|>", "<|", "|>", "<|start|>"],
    &["{\"a\": [1, 2]}", "fn main() {", "    return x;\n", "//", "/*", "#include <", "=>", "&&", "!!!", "...", "——", "\\n", "https://"],
];

//! What counting costs: `cargo bench --bench count`.
//!
//! Prints the speed of the tokenizers that were candidates, and the time that the counter takes for
//! calls as they come. Ends with an error where a promised time is missed.

#![expect(clippy::expect_used, reason = "a bench may fail like a test")]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use sluicegate::call::{Call, Endpoint};
use sluicegate::catalog::{Catalog, Encoding, ModelFacts};
use sluicegate::count::Counter;
use tokio::time::Instant;

fn main() {
    let mut missed = Vec::new();
    loading();
    speeds();
    large_texts(&mut missed);
    calls(&mut missed);
    assert!(missed.is_empty(), "missed: {}", missed.join(", "));
}

/// Prints what loading costs, in time and in resident memory.
fn loading() {
    let counter = Counter::new();
    for encoding in [Encoding::O200k, Encoding::Cl100k] {
        let before = resident();
        let time = timed(|| counter.load(encoding));
        let grown = resident().saturating_sub(before) / 1024;
        println!("loading {encoding:?}: {:.0} ms, {grown} MB", time.as_secs_f64() * 1e3);
    }
    println!();
}

/// Returns the resident memory in KB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Prints how fast the candidates are on texts as they come.
fn speeds() {
    let corpora = [
        ("chat", include_str!("../tests/count/corpora/chat.txt")),
        ("prose", include_str!("../tests/count/corpora/prose.txt")),
        ("code", include_str!("../tests/count/corpora/code.txt")),
        ("scripts", include_str!("../tests/count/corpora/scripts.txt")),
    ];
    let counter = Counter::new();
    println!("MB/s, o200k           sluicegate   bpe-openai  tiktoken-rs");
    let texts = corpora.map(|(name, corpus)| (name, shuffled(corpus, 200_000)));
    for (name, text) in texts.into_iter().chain([("English", english(200_000))]) {
        let speed = |time: Duration| text.len() as f64 / 1e6 / time.as_secs_f64();
        let ours = best(40, || counter.count_text(&text, Encoding::O200k));
        let plain = best(40, || bpe_openai::o200k_base().count(text.as_str()));
        let reference = best(20, || tiktoken_rs::o200k_base_singleton().encode_ordinary(&text));
        let [ours, plain, reference] = [ours, plain, reference].map(speed);
        println!("  {name:<18} {ours:>11.1}  {plain:>11.1}  {reference:>11.1}");
    }
}

/// Prints how long a megabyte of the worst takes; `tiktoken-rs` overflows its stack on some.
fn large_texts(missed: &mut Vec<String>) {
    let counter = Counter::new();
    println!("\n1 MB of                  cl100k        o200k   (at most {MEGABYTE_TIME:?})");
    for (name, text) in megabytes() {
        let [cl100k, o200k] = [Encoding::Cl100k, Encoding::O200k].map(|encoding| {
            counter.load(encoding);
            let time = best(3, || counter.count_text(&text, encoding));
            if time > MEGABYTE_TIME {
                missed.push(format!("1 MB of {name} in {time:?}"));
            }
            time.as_secs_f64() * 1e3
        });
        println!("  {name:<18} {cl100k:>8.1} ms  {o200k:>8.1} ms");
    }
}

/// Prints what calls cost, parsing included.
fn calls(missed: &mut Vec<String>) {
    let facts = Catalog::embedded().facts("gpt-4o");
    let counter = Counter::new();
    counter.load(facts.encoding);
    let small = body(1, 220);
    let large = body(80, 1280);
    println!("\nbodies of {} and {} bytes", small.len(), large.len());

    row("small, parse", best(2000, || parse(&small)));
    let call = parse(&small);
    row("small, seen", best(2000, || counter.try_count(&call, &facts)));
    row("small, not seen", fresh(200, &call, &facts));
    row("100 KB, parse", best(200, || parse(&large)));
    let call = parse(&large);
    let unseen = fresh(60, &call, &facts);
    row("100 KB, not seen", unseen);
    counter.count(&call, &facts);
    row("100 KB, seen", best(200, || counter.try_count(&call, &facts).expect("a cheap count")));
    let given_up = best(50, || Counter::clone(&warm(&facts)).try_count(&call, &facts).is_none());
    row("100 KB, not seen, given up", given_up);
    if unseen > CHAT_TIME {
        missed.push(format!("100 KB of chat in {unseen:?}"));
    }
}

/// Returns the time of counting what a counter has never seen.
fn fresh(times: u32, call: &Call, facts: &ModelFacts) -> Duration {
    (0..times)
        .map(|_| {
            let counter = warm(facts);
            timed(|| counter.count(call, facts))
        })
        .min()
        .unwrap_or_default()
}

/// Returns a counter that has its vocabulary and no memory.
fn warm(facts: &ModelFacts) -> Counter {
    let counter = Counter::new();
    counter.load(facts.encoding);
    counter
}

fn parse(body: &Bytes) -> Call {
    Call::parse(Endpoint::ChatCompletions, body.clone()).expect("a call")
}

/// Returns a conversation in English of so many messages of about so many bytes.
fn body(messages: usize, bytes: usize) -> Bytes {
    let prose = english(messages * bytes * 2);
    let mut words = prose.split_inclusive(' ');
    let messages: Vec<_> = (0..messages)
        .map(|turn| {
            let mut text = String::new();
            while text.len() < bytes {
                text.push_str(words.next().unwrap_or("more "));
            }
            json!({"role": if turn % 2 == 0 { "user" } else { "assistant" }, "content": text})
        })
        .collect();
    Bytes::from(json!({"model": "gpt-4o", "messages": messages}).to_string())
}

/// Returns about `bytes` of words, each as often as words of its rank are in English (by Zipf's
/// law). They are the vocabulary's own whole words, which stand in it in the order of frequency.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive rank; `as` saturates"
)]
fn english(bytes: usize) -> String {
    let bpe = &bpe_openai::o200k_base().bpe;
    let ids = 0..u32::try_from(bpe.num_tokens()).expect("a small vocabulary");
    let words: Vec<&str> = ids
        .filter_map(|id| std::str::from_utf8(bpe.token_bytes(id)).ok()?.strip_prefix(' '))
        .filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .collect();
    let mut random = StdRng::seed_from_u64(5);
    let highest = (words.len() as f64).ln();
    let mut text = String::with_capacity(bytes + 64);
    while text.len() < bytes {
        // Equal chances for equal steps of the rank's logarithm: a frequency of 1 / rank.
        let rank = (random.random::<f64>() * highest).exp() as usize - 1;
        text.push_str(words.get(rank).copied().unwrap_or("the"));
        text.push_str(match random.random_range(0..60) {
            0 => ".\n\n",
            1..=3 => ". ",
            4..=6 => ", ",
            7 => "'s ",
            8 => " (2026) ",
            _ => " ",
        });
    }
    text
}

/// Returns about `bytes` of text: the words of `corpus` in some order, so that no line comes twice.
fn shuffled(corpus: &str, bytes: usize) -> String {
    let words: Vec<&str> = corpus.split_inclusive([' ', '\n']).collect();
    let mut random = StdRng::seed_from_u64(7);
    let mut text = String::with_capacity(bytes + 64);
    while text.len() < bytes {
        let from = random.random_range(0..words.len());
        text.extend(words.iter().skip(from).take(random.random_range(3..12)).copied());
    }
    text
}

fn megabytes() -> Vec<(&'static str, String)> {
    const MEGABYTE: usize = 1024 * 1024;
    let mut random = StdRng::seed_from_u64(11);
    let mut pick = |from: &str, length: usize| -> String {
        let characters: Vec<char> = from.chars().collect();
        (0..length).filter_map(|_| characters.choose(&mut random)).collect()
    };
    let letters = "abcdefghijklmnopqrstuvwxyz";
    let base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let cjk: String = ('\u{4E00}'..'\u{9FA0}').collect();
    vec![
        ("spaces", " ".repeat(MEGABYTE)),
        ("one letter", "a".repeat(MEGABYTE)),
        ("random letters", pick(letters, MEGABYTE)),
        ("CJK", pick(&cjk, MEGABYTE / 3)),
        ("newlines", "\n".repeat(MEGABYTE)),
        ("base64", pick(base64, MEGABYTE)),
        ("one emoji", "😀".repeat(MEGABYTE / 4)),
        ("punctuation", pick("!?.,;:-=+*/", MEGABYTE)),
    ]
}

fn row(name: &str, time: Duration) {
    println!("  {name:<28} {:>9.1} µs", time.as_secs_f64() * 1e6);
}

/// Returns the shortest time of several, which is the one that others disturbed least.
fn best<T>(times: u32, mut work: impl FnMut() -> T) -> Duration {
    (0..times).map(|_| timed(&mut work)).min().unwrap_or_default()
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// What a megabyte of anything may take.
const MEGABYTE_TIME: Duration = Duration::from_millis(500);
/// What 100 KB of English chat that was never seen may take.
const CHAT_TIME: Duration = Duration::from_millis(7);

//! Tests of the event reader.

use bytes::Bytes;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert_eq, prop_oneof};
use proptest::proptest;

use super::{MAX_EVENT, Reader};
use crate::call::StreamUsage::{self, Spliced, Told};
use crate::units::{Tokens, Usage};

/// Feeds `pieces` and returns what came out of each, the end last.
fn relay(mode: StreamUsage, pieces: &[&[u8]]) -> (Vec<Bytes>, Reader) {
    let mut reader = Reader::new(mode);
    let mut out: Vec<Bytes> =
        pieces.iter().map(|piece| reader.feed(Bytes::copy_from_slice(piece))).collect();
    out.push(reader.finish());
    (out, reader)
}

fn relayed(mode: StreamUsage, stream: &str) -> String {
    let (out, _) = relay(mode, &[stream.as_bytes()]);
    String::from_utf8(out.concat()).expect("UTF-8 in, UTF-8 out")
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input: Tokens::new(input), output: Tokens::new(output), ..Usage::default() }
}

const CHUNK: &str = r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi \"usage"}}],"usage":null,"obfuscation":"x}"}"#;
const CHUNK_UNASKED: &str = r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi \"usage"}}],"obfuscation":"x}"}"#;
const LAST: &str =
    r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
const DONE: &str = "data: [DONE]";

#[test]
fn a_spliced_stream_shows_nothing_of_the_usage_that_was_not_asked_for() {
    let asked = format!("{CHUNK}\n\n{CHUNK}\n\n{LAST}\n\n{DONE}\n\n");
    let unasked = format!("{CHUNK_UNASKED}\n\n{CHUNK_UNASKED}\n\n{DONE}\n\n");
    let (out, reader) = relay(Spliced, &[asked.as_bytes()]);
    assert_eq!(out.concat(), unasked.as_bytes());
    assert_eq!(reader.usage(), Some(usage(9, 2)));
    assert!(reader.is_final());
}

#[test]
fn a_told_stream_passes_untouched() {
    let stream = format!("{CHUNK}\n\n{LAST}\n\n{DONE}\n\n");
    for cut in 0..stream.len() {
        let (head, tail) = stream.as_bytes().split_at(cut);
        let (out, reader) = relay(Told, &[head, tail]);
        assert_eq!(out, [head, tail, b""].map(Bytes::copy_from_slice), "cut at {cut}");
        assert_eq!(reader.usage(), Some(usage(9, 2)), "cut at {cut}");
    }
}

#[test]
fn only_what_include_usage_adds_is_taken_out() {
    struct Case {
        name: &'static str,
        asked: &'static str,
        unasked: &'static str,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { name: "CRLF",              asked: "data: {\"a\":1,\"usage\":null}\r\n\r\n",             unasked: "data: {\"a\":1}\r\n\r\n" },
        Case { name: "CR",                asked: "data: {\"a\":1,\"usage\":null}\r\r",                 unasked: "data: {\"a\":1}\r\r" },
        Case { name: "no space",          asked: "data:{\"usage\":null,\"a\":1}\n\n",                  unasked: "data:{\"a\":1}\n\n" },
        Case { name: "byte order mark",   asked: "\u{feff}data: {\"a\":1,\"usage\":null}\n\n",         unasked: "\u{feff}data: {\"a\":1}\n\n" },
        Case { name: "other fields",      asked: ": c\nevent: x\ndata: {\"a\":1,\"usage\":null}\nid: 5\n\n", unasked: ": c\nevent: x\ndata: {\"a\":1}\nid: 5\n\n" },
        Case { name: "several lines",     asked: "data: {\"a\":1,\ndata: \"usage\":\ndata: null,\"b\":2}\n\n", unasked: "data: {\"a\":1,\"b\":2}\n\n" },
        Case { name: "no end",            asked: "data: {\"a\":1,\"usage\":null}",                     unasked: "data: {\"a\":1}" },
        Case { name: "usage, no end",     asked: "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", unasked: "" },
        Case { name: "first filter event", asked: "data: {\"choices\":[],\"prompt_filter_results\":[],\"usage\":null}\n\n", unasked: "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n" },
        Case { name: "an error stays",    asked: "data: {\"error\":{\"message\":\"usage\"}}\n\n",      unasked: "data: {\"error\":{\"message\":\"usage\"}}\n\n" },
        Case { name: "a comment stays",   asked: ": {\"usage\":null}\n\n",                             unasked: ": {\"usage\":null}\n\n" },
        Case { name: "nested stays",      asked: "data: {\"choices\":[{\"usage\":null}]}\n\n",         unasked: "data: {\"choices\":[{\"usage\":null}]}\n\n" },
        Case { name: "beside choices",    asked: "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1}}\n\n", unasked: "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1}}\n\n" },
        Case { name: "no data",           asked: "\n\n\r\n: \"usage\":null\n\n",                       unasked: "\n\n\r\n: \"usage\":null\n\n" },
    ];
    for case in cases {
        assert_eq!(relayed(Spliced, case.asked), case.unasked, "{}", case.name);
        assert_eq!(relayed(Told, case.asked), case.asked, "{}", case.name);
    }
}

#[test]
fn a_complete_event_is_never_held_back() {
    let events = [
        "data: {\"a\":1,\"usage\":null}\n\n",
        "data: x\r\n\r\n",
        ": queued\n\n",
        "data: y\r\r",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: [DONE]\n\n",
    ];
    let pieces = events.map(str::as_bytes);
    let (out, _) = relay(Spliced, &pieces);
    let expected = [
        "data: {\"a\":1}\n\n",
        "data: x\r\n\r\n",
        ": queued\n\n",
        "data: y\r\r",
        "",
        "data: [DONE]\n\n",
        "",
    ];
    assert_eq!(out, expected.map(|event| Bytes::from_static(event.as_bytes())));
}

#[test]
fn the_line_feed_behind_a_dropped_event_is_dropped_with_it() {
    let event = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\r\n\r";
    let (out, _) = relay(Spliced, &[event.as_bytes(), b"", b"\n", b"data: [DONE]\r\n\r\n"]);
    assert_eq!(out.concat(), b"data: [DONE]\r\n\r\n");
}

#[test]
fn the_last_usage_counts_and_none_is_summed() {
    let chunk = |output: u64| {
        format!(
            "data: {{\"choices\":[{{}}],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":{output}}}}}\n\n"
        )
    };
    let (_, reader) = relay(Told, &[chunk(1).as_bytes(), chunk(2).as_bytes()]);
    assert_eq!(reader.usage(), Some(usage(5, 2)));
    assert!(!reader.is_final(), "more output may follow");
}

#[test]
fn reads_the_usage_of_every_terminal_event_of_responses() {
    for kind in ["completed", "incomplete", "failed"] {
        let created = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n";
        let end = format!(
            "event: response.{kind}\ndata: {{\"type\":\"response.{kind}\",\"response\":{{\"usage\":{{\"input_tokens\":3,\"output_tokens\":4}}}}}}\n\n"
        );
        let (out, reader) = relay(Told, &[created.as_bytes(), end.as_bytes()]);
        assert_eq!(out.concat(), [created.as_bytes(), end.as_bytes()].concat());
        assert_eq!(reader.usage(), Some(usage(3, 4)), "{kind}");
        assert!(reader.is_final(), "{kind}");
    }
}

#[test]
fn an_event_beyond_the_bound_passes_without_being_held() {
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let mut reader = Reader::new(Spliced);
    let start = Bytes::from_static(b"data: {\"usage\":null,\"a\":\"");
    let mut fed = start.len();
    let mut out = reader.feed(start).len();
    for _ in 0..20 {
        fed += piece.len();
        out += reader.feed(piece.clone()).len();
        assert!(fed - out <= MAX_EVENT, "{} bytes are held", fed - out);
    }
    out += reader.feed(Bytes::from_static(b"\"}\n\n")).len();
    assert_eq!(out, fed + 4, "all of it passed, unchanged");
    let next = reader.feed(Bytes::from_static(b"data: {\"a\":1,\"usage\":null}\n\n"));
    assert_eq!(next, "data: {\"a\":1}\n\n", "the next event is read again");
}

#[test]
fn a_piece_in_which_nothing_changes_is_not_copied() {
    let piece = Bytes::from_static(b"data: {\"a\":1}\n\ndata: {\"b\":2}\n\nda");
    let out = Reader::new(Spliced).feed(piece.clone());
    assert_eq!(out.as_ptr(), piece.as_ptr());
    assert_eq!(out.len(), piece.len() - 2, "the incomplete event is held");
}

/// A stream as a provider sends it without `include_usage`, and with it.
fn stream(events: std::ops::Range<usize>) -> impl Strategy<Value = (String, String)> {
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    (prop::collection::vec(event(), events), end).prop_map(|(events, end)| {
        let (unasked, asked): (Vec<String>, Vec<String>) = events.into_iter().unzip();
        (unasked.concat().replace('\n', end), asked.concat().replace('\n', end))
    })
}

/// An event without `member` and with it; `json` writes its data.
fn with(space: &str, member: &str, json: impl Fn(&str) -> String) -> (String, String) {
    let event = |member| format!("data:{space}{}\n\n", json(member));
    (event(""), event(member))
}

fn event() -> impl Strategy<Value = (String, String)> {
    let space = prop_oneof![Just(""), Just(" ")];
    let text = "[a-z\"\\\\{}:, é\n]{0,12}|\"usage\":null|,\"usage\":null}";
    (text, space, 0..8_u8).prop_map(|(text, space, kind)| {
        let text = serde_json::to_string(&text).expect("a text can be written");
        match kind {
            0 => (format!(": {text}\n\n"), format!(": {text}\n\n")),
            1 => {
                let usage = r#"{"choices":[],"usage":{"prompt_tokens":1}}"#;
                (String::new(), format!("data:{space}{usage}\n\n"))
            }
            2 => ("\n".to_owned(), "\n".to_owned()),
            3 => with(space, "\"usage\":null,", |usage| format!("{{{usage}\"t\":{text}}}")),
            4 => {
                let (unasked, asked) = with(space, ", \"usage\": null", |usage| {
                    format!("{{\"t\":{text}{usage},\"o\":{text}}}")
                });
                (format!("event: x\n{unasked}"), format!("event: x\n{asked}"))
            }
            _ => with(space, ",\"usage\":null", |usage| {
                format!("{{\"choices\":[{{\"delta\":{text}}}]{usage}}}")
            }),
        }
    })
}

/// Splits at every one of `cuts`.
fn pieces<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for cut in cuts {
        pieces.push(&stream[start..cut]);
        start = cut;
    }
    pieces.push(&stream[start..]);
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However it is cut, the client sees what the provider would have sent unasked.
    #[test]
    fn splicing_leaves_no_trace_at_any_chunking(
        (unasked, asked) in stream(0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let (out, reader) = relay(Spliced, &pieces(asked.as_bytes(), &cuts));
        prop_assert_eq!(String::from_utf8(out.concat()).expect("UTF-8"), unasked);
        prop_assert_eq!(reader.usage().is_some(), asked.contains("\"choices\":[],"));
    }

    #[test]
    fn every_byte_position_is_as_good_a_cut_as_another((_, asked) in stream(1..5)) {
        let (whole, at_once) = relay(Spliced, &[asked.as_bytes()]);
        for cut in 0..=asked.len() {
            let (head, tail) = asked.as_bytes().split_at(cut);
            let (out, reader) = relay(Spliced, &[head, tail]);
            prop_assert_eq!(out.concat(), whole.concat());
            prop_assert_eq!(reader.usage(), at_once.usage());
        }
        let single: Vec<&[u8]> = asked.as_bytes().chunks(1).collect();
        prop_assert_eq!(relay(Spliced, &single).0.concat(), whole.concat());
    }

    #[test]
    fn no_bytes_make_it_panic_or_depend_on_the_cuts(
        bytes in prop::collection::vec(prop_oneof![
            Just(b"data:".to_vec()), Just(b"\"usage\":null".to_vec()), Just(b"\"usage\":{".to_vec()),
            Just(b"\n\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"\r".to_vec()), Just(b"\n".to_vec()),
            Just(b"{".to_vec()), Just(b"}".to_vec()), Just(b",".to_vec()), Just(b"\xef\xbb\xbf".to_vec()),
            any::<u8>().prop_map(|byte| vec![byte]),
        ], 0..30),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes = bytes.concat();
        let (told, _) = relay(Told, &pieces(&bytes, &cuts));
        prop_assert_eq!(told.concat(), bytes.clone());
        let (whole, _) = relay(Spliced, &[&bytes]);
        prop_assert_eq!(relay(Spliced, &pieces(&bytes, &cuts)).0.concat(), whole.concat());
    }
}

//! What goes through is the other side's, byte for byte.

use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sluicegate::server::Running;

use crate::house::{one_account, proxy};
use crate::path::SAID;
use crate::wire::{Message, Provider, Says, Then, Wire, json};

/// A body as a client may write it, and as the provider is to get it.
#[derive(Debug, Default)]
struct Written {
    body: String,
    sent: String,
    /// Whether it asks for a stream.
    streams: bool,
}

/// Writes JSON in odd ways: spaces, escapes, numbers of any size, unknown and repeated keys.
struct Writer {
    dice: StdRng,
}

/// A value of `stream_options`, and what becomes of it where usage is to be asked for.
type Options = (&'static str, &'static str);

#[rustfmt::skip] // One case a line.
const OPTIONS: [Options; 8] = [
    ("null",                                               "{\"include_usage\":true}"),
    ("{}",                                                 "{\"include_usage\":true}"),
    ("{ \n}",                                              "{\"include_usage\":true \n}"),
    ("{\"x\" : [1e400]}",                                  "{\"include_usage\":true,\"x\" : [1e400]}"),
    ("{\"include_usage\" :false}",                         "{\"include_usage\" :true}"),
    ("{\"include_usage\":true,\"include_usage\": null }",  "{\"include_usage\":true,\"include_usage\": true }"),
    ("{\"include\\u005fusage\":true}",                     "{\"include\\u005fusage\":true}"),
    ("\"odd\"",                                            "\"odd\""),
];

impl Writer {
    fn one_in(&mut self, n: u32) -> bool {
        self.dice.random_range(0..n) == 0
    }

    fn any<T: Copy>(&mut self, of: &[T]) -> T {
        *of.get(self.dice.random_range(0..of.len())).expect("one of them")
    }

    fn space(&mut self) -> &'static str {
        self.any(&["", "", "", " ", "\n", "\r\n\t", "  "])
    }

    /// Writes `text` as a JSON string, any letter of it maybe as an escape.
    fn quoted(&mut self, text: &str) -> String {
        let mut quoted = String::from("\"");
        for letter in text.chars() {
            match letter {
                '"' | '\\' => write!(quoted, "\\{letter}").expect("written"),
                _ if letter < ' ' || self.one_in(9) => {
                    let mut units = [0; 2];
                    for unit in letter.encode_utf16(&mut units) {
                        write!(quoted, "\\u{unit:04X}").expect("written");
                    }
                }
                _ => quoted.push(letter),
            }
        }
        quoted + "\""
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 12] =
            ['a', 'Z', ' ', '"', '\\', '\n', '\u{1}', 'é', '漢', '😀', '<', '{'];
        let length = if self.one_in(20) { 5_000 } else { self.dice.random_range(0..30) };
        let text: String = (0..length).map(|_| self.any(&LETTERS)).collect();
        self.quoted(&text)
    }

    fn value(&mut self, depth: u32) -> String {
        const NUMBERS: [&str; 8] = [
            "0",
            "-0.0",
            "1e400",
            "123456789012345678901234567890",
            "1E+5",
            "-1.5e-300",
            "2.0",
            "18446744073709551616",
        ];
        match self.dice.random_range(0..if depth > 3 { 4 } else { 6 }) {
            0 => self.any(&["true", "false", "null"]).to_owned(),
            1 => self.any(&NUMBERS).to_owned(),
            2 => self.text(),
            3 => "\"\\ud800 half a pair\"".to_owned(),
            4 => {
                let items: Vec<_> =
                    (0..self.dice.random_range(0..4)).map(|_| self.value(depth + 1)).collect();
                format!("[{}{}]", self.space(), items.join(self.any(&[",", " , "])))
            }
            _ => {
                let members: Vec<_> = (0..self.dice.random_range(0..4))
                    .map(|_| {
                        let key = self.text();
                        format!("{key}{}:{}", self.space(), self.value(depth + 1))
                    })
                    .collect();
                format!("{{{}{}}}", members.join(","), self.space())
            }
        }
    }

    fn messages(&mut self) -> String {
        let said = self.text();
        match self.dice.random_range(0..3) {
            0 => format!("[{{\"role\":\"user\",\"content\":{said}}}]"),
            1 => format!(
                "[{{\"content\" :[{{\"type\":\"text\",\"text\":{said}}}],\"role\": \"user\"}}]"
            ),
            _ => self.value(0),
        }
    }

    /// Puts a member at a place before `most`, and returns that place.
    fn insert(
        &mut self,
        members: &mut Vec<Member>,
        most: usize,
        (key, value): (&str, &str),
        sent: Option<&str>,
    ) -> usize {
        let (at, key) = (self.dice.random_range(0..=most), self.quoted(key));
        let sent = sent.unwrap_or(value).to_owned();
        members.insert(at, Member { key, value: value.to_owned(), sent });
        at
    }

    /// Writes a call; where `asks` its stream is to tell its usage. The last of equal keys counts: others
    /// are before it.
    fn call(&mut self, asks: bool) -> Written {
        let mut members = Vec::new();
        for _ in 0..self.dice.random_range(0..6) {
            let (key, value) = (self.text(), self.value(0));
            members.push(Member { key, sent: value.clone(), value });
        }
        for key in ["messages", "input", "prompt"] {
            let (most, value) = (members.len(), self.messages());
            self.insert(&mut members, most, (key, &value), None);
        }
        let most = members.len();
        let model = format!("\"last-{}\"", self.dice.random_range(0..5));
        let at = self.insert(&mut members, most, ("model", &model), None);
        if self.one_in(3) {
            self.insert(&mut members, at, ("model", "\"first\""), None);
        }
        let streams = self.one_in(2);
        if streams || self.one_in(2) {
            let most = members.len();
            let at = self.insert(&mut members, most, ("stream", &streams.to_string()), None);
            if self.one_in(3) {
                self.insert(&mut members, at, ("stream", &(!streams).to_string()), None);
            }
        }
        let asked = streams && asks;
        let has_options = self.one_in(2);
        if has_options {
            let (given, sent) = self.any(&OPTIONS);
            let (most, sent) = (members.len(), asked.then_some(sent));
            let at = self.insert(&mut members, most, ("stream_options", given), sent);
            if self.one_in(3) {
                let told = "{\"include_usage\":true}";
                self.insert(&mut members, at, ("stream_options", told), None);
            }
        }
        self.join(members, streams, asked && !has_options)
    }

    /// Writes the members with spaces between; `asks` puts the wish for usage in front of what is sent.
    fn join(&mut self, members: Vec<Member>, streams: bool, asks: bool) -> Written {
        let mut written = Written { streams, ..Written::default() };
        let front = self.space();
        written.add(front);
        written.add("{");
        if asks {
            written.sent.push_str("\"stream_options\":{\"include_usage\":true},");
        }
        for (number, Member { key, value, sent }) in members.into_iter().enumerate() {
            if number > 0 {
                written.add(",");
            }
            let [a, b, c, d] = [(); 4].map(|()| self.space());
            written.add(&format!("{a}{key}{b}:{c}"));
            written.body.push_str(&value);
            written.sent.push_str(&sent);
            written.add(d);
        }
        written.add("}");
        let behind = self.space();
        written.add(behind);
        written
    }
}

/// A member of a body: its key as it is written, its value, and what is sent in place of that.
struct Member {
    key: String,
    value: String,
    sent: String,
}

impl Written {
    fn add(&mut self, text: &str) {
        self.body.push_str(text);
        self.sent.push_str(text);
    }
}

/// Returns a request whose body is framed by its length or, at a throw of the `dice`, as chunks.
fn request(path: &str, body: &str, dice: &mut StdRng) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n");
    if dice.random_range(0..2) == 0 {
        return format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes();
    }
    let mut request = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.as_bytes().chunks(dice.random_range(1..200)) {
        request.extend(chunk(piece));
    }
    request.extend(b"0\r\n\r\n");
    request
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    if piece.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

#[tokio::test]
async fn the_provider_gets_the_clients_bytes_but_for_the_usage_that_is_asked_for() {
    let provider = Provider::start(|_, _| Says::all(json("200 OK", "", SAID))).await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    let mut wire = Wire::to(proxy.listen()).await;
    let mut writer = Writer { dice: StdRng::seed_from_u64(4) };
    #[rustfmt::skip] // One path a line: whether its streams are asked for their usage.
    let paths = [
        ("/v1/chat/completions", true),
        ("/chat/completions?a=b", true),
        ("/v1/completions", true),
        ("/v1/responses", false),
        ("/v1/embeddings", false),
        ("/v1/something/else", false),
    ];
    let (mut changed, mut streamed) = (0, 0);
    for number in 0..500 {
        let (path, asks) = paths[number % paths.len()];
        let written = writer.call(asks);
        wire.say(request(path, &written.body, &mut writer.dice)).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status(), 200, "{}: {}", answer.text(), written.body);
        let heard = provider.heard_last();
        assert_eq!(heard.text(), written.sent, "request {number} to {path}: {}", written.body);
        changed += usize::from(written.sent != written.body);
        streamed += usize::from(written.streams);
    }
    assert_eq!(provider.heard().len(), 500);
    assert!(changed > 50 && streamed > 150, "the draw is poor: {changed} of {streamed}");
    let lanes = proxy.proxy().admission().snapshot().lanes;
    assert!(lanes.len() > 3, "{}", lanes.len());
    for lane in lanes {
        assert!(!lane.group.contains("first"), "of equal keys the last counts: {}", lane.group);
    }
}

const TOLD: &str = "\u{feff}: hello\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"é漢😀\"}}],\"usage\":null}\n\n\
    event: x\rid: 7\rdata: {\"choices\":[]}\r\rdata: {\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,\"total_tokens\":9}}\r\n\r\n\
    data: {\"us\\u0061ge\":\ndata: null,\"a\":1}\n\ndata: [DONE]\n\n: bye";
/// The same for who did not ask for usage.
const SHOWN: &str = "\u{feff}: hello\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"é漢😀\"}}]}\n\n\
    event: x\rid: 7\rdata: {\"choices\":[]}\r\r\
    data: {\"us\\u0061ge\":\ndata: null,\"a\":1}\n\ndata: [DONE]\n\n: bye";
const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A provider that says [`TOLD`] in two pieces: request `number` is cut at `number`, and what is behind
/// that comes only if it is `whole`.
async fn cutting_house(whole: bool) -> (Provider, Running) {
    let provider = Provider::start(move |number, _: &Message| {
        let (first, second) = TOLD.as_bytes().split_at(number);
        let mut pieces = vec![EVENTS.as_bytes().to_vec(), chunk(first)];
        if whole {
            pieces.extend([chunk(second), b"0\r\n\r\n".to_vec()]);
        }
        Says { pieces, then: if whole { Then::GoesOn } else { Then::Closes } }
    })
    .await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    (provider, proxy)
}

const SILENT: &str = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;
const ASKING: &str =
    r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;

/// Asks once for each place at which the stream can be cut, each time on a connection of its own.
async fn ask_for_each_cut(proxy: &Running, body: &str) -> Vec<Message> {
    let mut answers = Vec::new();
    for _ in 0..=TOLD.len() {
        let mut wire = Wire::to(proxy.listen()).await;
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n";
        wire.say(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
        answers.push(wire.answer().await);
    }
    answers
}

#[tokio::test]
async fn a_stream_is_the_same_wherever_it_is_cut_into_pieces() {
    for (body, expected) in [(ASKING, TOLD), (SILENT, SHOWN)] {
        let (_provider, proxy) = cutting_house(true).await;
        for (place, answer) in ask_for_each_cut(&proxy, body).await.iter().enumerate() {
            assert_eq!(answer.text(), expected, "cut at {place}");
            assert!(answer.is_whole, "cut at {place}");
        }
        let settled = proxy.proxy().metrics().totals().settled.count();
        assert_eq!(settled, 9 * (TOLD.len() as u64 + 1), "each is settled as it told");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_anywhere_gives_what_came_and_breaks_off() {
    let (_provider, proxy) = cutting_house(false).await;
    for (place, answer) in ask_for_each_cut(&proxy, ASKING).await.iter().enumerate() {
        assert_eq!(answer.body, &TOLD.as_bytes()[..place]);
        assert!(!answer.is_whole, "cut at {place}, it looks whole");
    }
    let (_provider, proxy) = cutting_house(false).await;
    let mut longest = 0;
    for (place, answer) in ask_for_each_cut(&proxy, SILENT).await.iter().enumerate() {
        assert!(SHOWN.as_bytes().starts_with(&answer.body), "cut at {place}: {}", answer.text());
        assert!(!answer.is_whole, "cut at {place}, it looks whole");
        assert!(answer.body.len() >= longest, "cut at {place}");
        longest = answer.body.len();
    }
    assert_eq!(longest, SHOWN.len() - ": bye".len(), "only what no event ended is missing");
}

#[tokio::test]
async fn a_download_that_breaks_off_anywhere_does_too() {
    let provider = Provider::start(|number, _| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", SAID.len());
        Says::last([head.as_bytes(), &SAID.as_bytes()[..number]].concat())
    })
    .await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    for place in 0..=SAID.len() {
        let mut wire = Wire::to(proxy.listen()).await;
        wire.say("GET /v1/files/f1/content HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let answer = wire.answer().await;
        assert_eq!(answer.text(), &SAID[..place]);
        assert_eq!(answer.is_whole, place == SAID.len(), "cut at {place}");
    }
}

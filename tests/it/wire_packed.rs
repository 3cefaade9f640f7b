//! Compressed bodies: untouched on their way, and read beside it.

use std::io::Read as _;

use flate2::Compression;
use flate2::read::{GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use sluicegate::server::Running;

use crate::house::{one_account, proxy};
use crate::path::{CHAT, HELLO, SAID, accounts};
use crate::wire::{Message, Provider, Says, Wire, json};

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

fn packed(coding: &str, text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let level = Compression::default();
    match coding {
        "gzip" => GzEncoder::new(text, level).read_to_end(&mut packed),
        "deflate" => ZlibEncoder::new(text, level).read_to_end(&mut packed),
        "br" => brotli::CompressorReader::new(text, 4096, 5, 22).read_to_end(&mut packed),
        "zstd" => {
            packed = compress_to_vec(text, CompressionLevel::Fastest);
            Ok(packed.len())
        }
        _ => panic!("{coding}?"),
    }
    .expect("packed");
    packed
}

/// Returns a message of `head`, without the length, and `body`.
fn message(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn post(coding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: {coding}\r\n");
    message(&head, body)
}

fn answer(kind: &str, coding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-encoding: {coding}\r\n");
    message(&head, body)
}

async fn house(
    script: impl Fn(usize, &Message) -> Says + Send + Sync + 'static,
) -> (Provider, Running) {
    let provider = Provider::start(script).await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    (provider, proxy)
}

fn settled(proxy: &Running) -> u64 {
    proxy.proxy().metrics().totals().settled.count()
}

#[tokio::test]
async fn a_packed_request_is_counted_and_goes_as_it_came() {
    let (provider, proxy) = house(|_, _| Says::all(json("200 OK", "", SAID))).await;
    let mut wire = Wire::to(proxy.listen()).await;
    let streamed = HELLO.replacen('{', "{\"stream\":true,", 1);
    for coding in CODINGS {
        for text in [HELLO, &streamed] {
            let body = packed(coding, text.as_bytes());
            wire.say(post(coding, &body)).await;
            let answer = wire.answer().await;
            assert_eq!(answer.text(), SAID, "{coding}");
            assert_eq!(answer.header("x-sluicegate-estimated-tokens"), Some("16"), "{coding}");
            assert_eq!(answer.header("x-sluicegate-count"), Some("exact"), "{coding}");
            let heard = provider.heard_last();
            assert_eq!(heard.body, body, "{coding}");
            assert_eq!(heard.header("content-encoding"), Some(coding));
            assert_eq!(heard.header("accept-encoding"), None, "nobody asked for any");
        }
    }
}

#[tokio::test]
async fn a_packed_body_that_cannot_be_read_is_refused_before_it_costs_anything() {
    let (provider, proxy) = house(|_, _| Says::all(json("200 OK", "", SAID))).await;
    let mut wire = Wire::to(proxy.listen()).await;
    let bomb = vec![b' '; 30 << 20];
    for coding in CODINGS {
        wire.say(post(coding, &packed(coding, &bomb))).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status(), 413, "{coding}: {}", answer.text());
        assert!(answer.text().contains("unpacks to more than"), "{}", answer.text());
        wire.say(post(coding, HELLO.as_bytes())).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status(), 400, "{coding}: {}", answer.text());
    }
    assert!(provider.heard().is_empty());
    wire.say(post("compress", b"whatever it is")).await;
    assert_eq!(wire.answer().await.status(), 200);
    assert_eq!(
        provider.heard()[0].text(),
        "whatever it is",
        "the provider says whether it takes it"
    );
}

#[tokio::test]
async fn a_packed_answer_reaches_the_client_as_it_came_and_its_usage_is_settled() {
    let (provider, proxy) = house(|_, message| {
        let coding = message.header("accept-encoding").expect("what the client takes");
        Says::all(answer("application/json", coding, &packed(coding, SAID.as_bytes())))
    })
    .await;
    let mut wire = Wire::to(proxy.listen()).await;
    for (number, coding) in CODINGS.into_iter().enumerate() {
        let head =
            format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: {coding}\r\n");
        wire.say(message(&head, HELLO.as_bytes())).await;
        let answer = wire.answer().await;
        assert_eq!(answer.body, packed(coding, SAID.as_bytes()), "{coding}");
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(answer.header("x-sluicegate-charged-tokens"), Some("9"), "{coding}");
        assert_eq!(settled(&proxy), 9 * (number as u64 + 1), "{coding}");
    }
    assert_eq!(provider.heard().len(), 4);
}

const CHUNK: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
const SHOWN: &str =
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,\"total_tokens\":9}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A provider that packs its stream, whatever was asked for, and sends it in pieces of 7 bytes.
async fn packing_house(coding: &'static str) -> (Provider, Running) {
    house(move |_, _| {
        let stream = packed(coding, [CHUNK, USAGE, DONE].concat().as_bytes());
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {coding}\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        let mut all = head.into_bytes();
        for piece in stream.chunks(7) {
            all.extend(format!("{:x}\r\n", piece.len()).into_bytes());
            all.extend(piece);
            all.extend(b"\r\n");
        }
        all.extend(b"0\r\n\r\n");
        Says::all(all)
    })
    .await
}

#[tokio::test]
async fn a_packed_stream_is_untouched_for_who_asked_for_its_usage() {
    let asks =
        HELLO.replacen('{', "{\"stream\":true,\"stream_options\":{\"include_usage\":true},", 1);
    for coding in CODINGS {
        let (provider, proxy) = packing_house(coding).await;
        let mut wire = Wire::to(proxy.listen()).await;
        let head =
            format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: {coding}\r\n");
        wire.say(message(&head, asks.as_bytes())).await;
        let answer = wire.answer().await;
        assert_eq!(answer.body, packed(coding, [CHUNK, USAGE, DONE].concat().as_bytes()));
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(settled(&proxy), 9, "{coding}");
        assert_eq!(provider.heard()[0].header("accept-encoding"), Some(coding));
    }
}

#[tokio::test]
async fn a_stream_that_was_packed_against_our_wish_is_unpacked_to_take_out_what_we_added() {
    let asks = HELLO.replacen('{', "{\"stream\":true,", 1);
    for coding in CODINGS {
        let (provider, proxy) = packing_house(coding).await;
        let mut wire = Wire::to(proxy.listen()).await;
        let head =
            format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: {coding}\r\n");
        wire.say(message(&head, asks.as_bytes())).await;
        let answer = wire.answer().await;
        assert_eq!(answer.text(), [SHOWN, DONE].concat(), "{coding}");
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(settled(&proxy), 9, "{coding}");
        assert_eq!(provider.heard()[0].header("accept-encoding"), Some("identity"));
    }
}

#[tokio::test]
async fn what_a_packed_error_says_is_understood() {
    const NO_QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
    let provider = Provider::start(|_, message| match message.header("authorization") {
        Some("Bearer sk-poor") => {
            let body = packed("gzip", NO_QUOTA.as_bytes());
            let head = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\n\
                        content-encoding: gzip\r\n";
            Says::all(self::message(head, &body))
        }
        _ => Says::all(json("200 OK", "", SAID)),
    })
    .await;
    let names = [("poor", &["sk-poor"][..]), ("rich", &["sk-rich"])];
    let proxy = proxy(&accounts(&provider.base_url(), &names)).await;
    let mut wire = Wire::to(proxy.listen()).await;
    for _ in 0..6 {
        wire.say(message(
            &format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\n"),
            HELLO.as_bytes(),
        ))
        .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("x-sluicegate-account"), Some("rich"));
    }
    assert!(provider.heard().len() <= 7, "an account without quota is asked once");
}

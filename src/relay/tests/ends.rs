//! Every way in which a stream ends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{IDLE, INPUT, Path, Way, kept, settled};
use crate::call::StreamUsage::{Spliced, Told};
use crate::config::Disconnect::{Cancel, Drain};
use crate::settle::Ending;
use crate::units::Tokens;

/// "Hello world" is two tokens of `o200k_base`.
const DELTAS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}],\"usage\":null}\n\n\
                      data: {\"choices\":[{\"delta\":{\"content\":\" world\"}}],\"usage\":null}\n\n";
const DELTAS_UNASKED: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n\
                              data: {\"choices\":[{\"delta\":{\"content\":\" world\"}}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":40}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const END: &str = "0\r\n\r\n";

fn chunked(pieces: &[&str]) -> String {
    let chunk = |piece: &&str| format!("{:X}\r\n{piece}\r\n", piece.len());
    pieces.iter().map(chunk).collect::<String>() + END
}

#[tokio::test]
async fn a_told_stream_arrives_as_it_came_and_is_settled_as_reported() {
    let mut path = Path::open(Way::Stream(Told, Cancel)).await;
    path.answer().await;
    for piece in [DELTAS, USAGE, DONE] {
        path.chunk(piece).await;
        path.read_until(piece).await;
    }
    path.provide(END).await;
    assert_eq!(path.outcome().await, settled(Tokens::new(9), 40, Ending::Reported));
}

#[tokio::test]
async fn a_spliced_stream_hides_what_was_not_asked_for() {
    let mut path = Path::open(Way::Stream(Spliced, Cancel)).await;
    path.answer().await;
    path.chunk(DELTAS).await;
    path.read_until(DELTAS_UNASKED).await;
    path.chunk(USAGE).await;
    path.chunk(DONE).await;
    path.provide(END).await;
    let mut rest = Vec::new();
    path.client.read_to_end(&mut rest).await.expect("it ends");
    let rest = String::from_utf8(rest).expect("UTF-8");
    assert!(!rest.contains("usage") && rest.ends_with(&chunked(&[DONE])), "{rest:?}");
    assert_eq!(path.outcome().await, settled(Tokens::new(9), 40, Ending::Reported));
}

#[tokio::test]
async fn a_stream_without_usage_is_counted() {
    let mut path = Path::open(Way::Stream(Told, Cancel)).await;
    path.answer().await;
    path.chunk(DELTAS).await;
    path.provide(END).await;
    assert_eq!(path.read_to_end().await, chunked(&[DELTAS]));
    assert_eq!(path.outcome().await, settled(INPUT, 2, Ending::Counted));
}

#[tokio::test]
async fn a_stream_that_the_provider_breaks_off_does_not_end_cleanly() {
    let mut path = Path::open(Way::Stream(Told, Cancel)).await;
    path.answer().await;
    path.chunk(DELTAS).await;
    path.read_until(" world").await;
    path.provider.shutdown().await.expect("it is open");
    let mut rest = Vec::new();
    // Whether it is closed or reset is the system's choice.
    path.client.read_to_end(&mut rest).await.unwrap_or_default();
    assert!(!rest.ends_with(END.as_bytes()), "a clean end would be a lie");
    assert_eq!(path.outcome().await, settled(INPUT, 2, Ending::UpstreamCut));
}

#[tokio::test]
async fn a_cut_after_the_usage_is_reported_all_the_same() {
    let mut path = Path::open(Way::Stream(Told, Cancel)).await;
    path.answer().await;
    path.chunk(USAGE).await;
    path.read_until("completion_tokens").await;
    path.provider.shutdown().await.expect("it is open");
    assert_eq!(path.outcome().await, settled(Tokens::new(9), 40, Ending::Reported));
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_answer() {
    let mut path = Path::open(Way::Stream(Told, Cancel)).await;
    path.answer().await;
    path.chunk(DELTAS).await;
    path.read_until(" world").await;
    path.hang_up().await;
    let end = path.provider.read(&mut [0; 16]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "the provider sees that nobody listens");
    assert_eq!(path.outcome().await, settled(INPUT, 2, Ending::ClientGone));
}

#[tokio::test]
async fn a_client_that_hangs_up_after_the_usage_changes_nothing() {
    let mut path = Path::open(Way::Stream(Told, Drain)).await;
    path.answer().await;
    path.chunk(USAGE).await;
    path.read_until("completion_tokens").await;
    path.hang_up().await;
    assert_eq!(path.outcome().await, settled(Tokens::new(9), 40, Ending::Reported));
}

#[tokio::test]
async fn a_drained_answer_is_read_to_its_end_after_the_client_has_left() {
    let mut path = Path::open(Way::Stream(Spliced, Drain)).await;
    path.answer().await;
    path.chunk(DELTAS).await;
    path.read_until(" world").await;
    path.hang_up().await;
    path.chunk(DELTAS).await;
    path.chunk(USAGE).await;
    path.provide(END).await;
    assert_eq!(path.outcome().await, settled(Tokens::new(9), 40, Ending::Reported));
}

#[tokio::test]
async fn a_drained_answer_is_given_up_when_it_falls_silent() {
    let mut path = Path::open(Way::Stream(Told, Drain)).await;
    path.answer().await;
    path.chunk(DELTAS).await;
    path.read_until(" world").await;
    path.hang_up().await;
    tokio::time::pause();
    assert_eq!(path.outcome().await, settled(INPUT, 2, Ending::UpstreamCut));
}

#[tokio::test]
async fn silence_breaks_the_stream_off() {
    let mut path = Path::open(Way::Stream(Told, Cancel)).await;
    path.answer().await;
    path.chunk(DELTAS).await;
    path.read_until(" world").await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let mut rest = Vec::new();
    path.client.read_to_end(&mut rest).await.unwrap_or_default();
    assert!(!rest.ends_with(END.as_bytes()), "a clean end would be a lie");
    assert!(start.elapsed() <= IDLE + std::time::Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(path.outcome().await, settled(INPUT, 2, Ending::UpstreamCut));
}

#[tokio::test]
async fn an_answer_of_known_length_is_settled_with_its_last_byte() {
    let mut path = Path::open(Way::Pass).await;
    path.provide("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!(path.read_to_end().await, "hello");
    assert_eq!(path.outcome().await, kept(Ending::Counted));
}

#[tokio::test]
async fn an_answer_without_a_body_is_settled() {
    let mut path = Path::open(Way::Pass).await;
    path.provide("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(path.read_to_end().await, "");
    assert_eq!(path.outcome().await, kept(Ending::Counted));
}

#[tokio::test]
async fn trailers_pass() {
    let mut path = Path::open(Way::Pass).await;
    path.provide("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n").await;
    path.provide("2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n").await;
    assert!(path.read_to_end().await.starts_with("2\r\nhi\r\n0\r\n"));
    assert_eq!(path.outcome().await, kept(Ending::Counted));
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_provider() {
    const PIECE: usize = 1 << 20;
    /// What the system's socket buffers may hold, generously.
    const BUFFERS: usize = 96;
    let mut path = Path::open(Way::Stream(Spliced, Cancel)).await;
    path.answer().await;
    path.chunk(DELTAS).await;
    path.read_until(" world").await;
    let event = format!("data: {}\n\n", "x".repeat(1000));
    let piece = event.repeat(PIECE / event.len());
    tokio::time::pause();
    let mut written = 0;
    // Time stands still until nothing can be written or relayed any more.
    while timeout(IDLE / 2, path.chunk(&piece)).await.is_ok() {
        written += 1;
        assert!(written < BUFFERS, "{written} MiB went into the relay, and nobody reads");
    }
}

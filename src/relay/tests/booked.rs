//! What ends an answer goes out when its entry is stored, and all else before.

use super::{Path, Way};
use crate::call::StreamUsage::{self, Spliced, Told};
use crate::config::Disconnect::Cancel;
use crate::ledger::Booked;

const DELTA: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":40}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const RESPONSE: &str = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":\
    {\"usage\":{\"input_tokens\":9,\"output_tokens\":4}}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const SOUND: &str = "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":1,\
    \"output_tokens\":2}}\r\n\r\n";

/// Streams `events`, the last of which ends the answer, cut into pieces of `size`; checks that all but its last
/// line end comes before the entry is stored, and that after it.
async fn all_but_the_last_line_end(usage: StreamUsage, events: &[&str], shown: &str, size: usize) {
    let (mut path, store) = Path::open_booked(Way::Stream(usage, Cancel)).await;
    path.answer().await;
    let stream = events.concat();
    for piece in stream.as_bytes().chunks(size) {
        path.chunk(std::str::from_utf8(piece).expect("ASCII")).await;
    }
    path.outcomes.recv().await.expect("it is settled before the stream is closed");
    let held = if shown.ends_with("\r\n") { 2 } else { 1 };
    let (most, last) = shown.split_at(shown.len() - held);
    let read = path.read_body(most.len()).await;
    assert_eq!(read, most, "in pieces of {size}");
    path.nothing_comes().await;
    store.send(Booked::there()).expect("the answer waits for it");
    assert_eq!(path.read_body(last.len()).await, last);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_held_at_the_blank_line_that_ends_it() {
    for size in [1, 7, 10_000] {
        let told = [DELTA, USAGE, DONE];
        all_but_the_last_line_end(Told, &told, &told.concat(), size).await;
        all_but_the_last_line_end(Told, &[DELTA, DONE], &[DELTA, DONE].concat(), size).await;
        all_but_the_last_line_end(Spliced, &told, &[DELTA, DONE].concat(), size).await;
        for last in [RESPONSE, STOP, SOUND] {
            all_but_the_last_line_end(Told, &[DELTA, last], &[DELTA, last].concat(), size).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_say_that_it_ends_is_held_at_its_end() {
    let (mut path, store) = Path::open_booked(Way::Stream(Told, Cancel)).await;
    path.answer().await;
    path.chunk(DELTA).await;
    path.provide("0\r\n\r\n").await;
    assert_eq!(path.read_body(DELTA.len()).await, DELTA);
    path.nothing_comes().await;
    store.send(Booked::there()).expect("the answer waits for it");
    path.read_until("0\r\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn other_bodies_are_held_at_their_last_byte() {
    let body = "x".repeat(40_000);
    let ways = [Way::Pass, Way::Whole(1 << 20, Cancel), Way::Whole(10, Cancel)];
    for way in ways {
        let (mut path, store) = Path::open_booked(way).await;
        path.provide("HTTP/1.1 200 OK\r\ncontent-length: 40000\r\n\r\n").await;
        path.provide(&body).await;
        assert_eq!(path.read_body(39_999).await.len(), 39_999, "{way:?}");
        path.nothing_comes().await;
        store.send(Booked::there()).expect("the answer waits for it");
        assert_eq!(path.read_body(1).await, "x", "{way:?}");
    }
}

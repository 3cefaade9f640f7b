//! Answers that are read ahead.

use tokio::io::AsyncWriteExt;

use super::{INPUT, Path, Way, kept, settled};
use crate::config::Disconnect::{Cancel, Drain};
use crate::settle::Ending;
use crate::units::Tokens;

const LIMIT: usize = 1 << 20;
const ANSWER: &str = "{\"choices\":[{\"message\":{\"content\":\"Hello world\"}}],\
                       \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":40}}";
const UNTOLD: &str = "{\"choices\":[{\"message\":{\"content\":\"Hello world\"}}]}";
const END: &str = "0\r\n\r\n";

#[tokio::test]
async fn a_whole_answer_is_settled_as_reported_before_it_leaves() {
    let mut path = Path::open(Way::Whole(LIMIT, Cancel)).await;
    path.answer().await;
    let (head, tail) = ANSWER.split_at(70);
    path.chunk(head).await;
    path.chunk(tail).await;
    path.provide(END).await;
    assert_eq!(path.read_to_end().await, ANSWER, "one piece, of known length");
    assert_eq!(path.outcome().await, settled(Tokens::new(9), 40, Ending::Reported));
}

#[tokio::test]
async fn a_whole_answer_that_tells_nothing_is_counted() {
    let mut path = Path::open(Way::Whole(LIMIT, Cancel)).await;
    path.answer().await;
    path.chunk(UNTOLD).await;
    path.provide(END).await;
    assert_eq!(path.read_to_end().await, UNTOLD);
    assert_eq!(path.outcome().await, settled(INPUT, 2, Ending::Counted));
}

#[tokio::test]
async fn an_answer_beyond_the_limit_streams_and_keeps_its_estimate() {
    let mut path = Path::open(Way::Whole(100, Cancel)).await;
    path.answer().await;
    path.chunk(ANSWER).await;
    path.read_until("completion_tokens").await;
    path.chunk("and more").await;
    path.read_until("and more").await;
    path.provide(END).await;
    assert_eq!(path.outcome().await, kept(Ending::Counted));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_nothing_was_sent() {
    let mut path = Path::open(Way::Whole(LIMIT, Cancel)).await;
    path.answer().await;
    path.chunk(&ANSWER[..30]).await;
    path.provider.shutdown().await.expect("it is open");
    assert_eq!(path.read_to_end().await, "the provider broke off its answer");
    assert_eq!(path.outcome().await, kept(Ending::UpstreamCut));
}

#[tokio::test]
async fn a_client_that_leaves_early_keeps_the_estimate_debited() {
    let mut path = Path::open(Way::Whole(LIMIT, Cancel)).await;
    path.answer().await;
    path.chunk(&ANSWER[..30]).await;
    path.hang_up().await;
    assert_eq!(path.outcome().await, kept(Ending::ClientGone));
}

#[tokio::test]
async fn a_drained_whole_answer_is_settled_as_reported() {
    let mut path = Path::open(Way::Whole(LIMIT, Drain)).await;
    path.answer().await;
    path.chunk(&ANSWER[..30]).await;
    path.hang_up().await;
    path.chunk(&ANSWER[30..]).await;
    path.provide(END).await;
    assert_eq!(path.outcome().await, settled(Tokens::new(9), 40, Ending::Reported));
}

#[tokio::test]
async fn blanks_before_an_answer_keep_its_client_alive_and_it_is_settled_as_reported() {
    let mut path = Path::open(Way::Whole(LIMIT, Cancel)).await;
    path.answer().await;
    path.chunk("\n").await;
    path.chunk("\n").await;
    path.read_until("\n\r\n").await;
    let (head, tail) = ANSWER.split_at(70);
    path.chunk(head).await;
    path.read_until("Hello world").await;
    path.chunk(tail).await;
    path.provide(END).await;
    assert_eq!(path.outcome().await, settled(Tokens::new(9), 40, Ending::Reported));
}

#[tokio::test]
async fn an_answer_behind_blanks_that_tells_nothing_is_counted_and_one_that_breaks_off_is_kept() {
    let mut path = Path::open(Way::Whole(LIMIT, Cancel)).await;
    path.answer().await;
    path.chunk("\n").await;
    path.chunk(UNTOLD).await;
    path.provide(END).await;
    assert_eq!(path.outcome().await, settled(INPUT, 2, Ending::Counted));
    let mut path = Path::open(Way::Whole(LIMIT, Cancel)).await;
    path.answer().await;
    path.chunk("\n").await;
    path.read_until("\n").await;
    path.provider.shutdown().await.expect("it is open");
    assert_eq!(path.outcome().await, kept(Ending::UpstreamCut));
}

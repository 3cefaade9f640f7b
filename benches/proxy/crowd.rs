//! What many streams take in memory while they are open: connections, tasks, and what each remembers.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;

use super::load::connect;
use super::process::Target;
use super::prompts;

/// How many streams are open at once.
pub(crate) const STREAMS: usize = 2_000;

/// Opens all streams through a target and returns by how many bytes its processes grew for each; `None`
/// where nothing stands in between.
pub(crate) async fn growth(target: &Target) -> Option<usize> {
    // One before the others: what is made once is there.
    let _first = begun(target.address()).await;
    let before = target.resident_bytes()?;
    let mut open = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        open.push(begun(target.address()).await);
    }
    let grown = target.resident_bytes()?.saturating_sub(before);
    Some(usize::try_from(grown).unwrap_or(usize::MAX) / STREAMS)
}

/// A stream whose first event is there. Dropping it hangs up.
type Begun = (SendRequest<Full<Bytes>>, Incoming);

async fn begun(address: &str) -> Begun {
    let mut sender = connect(address).await;
    let request = Request::post("/v1/chat/completions")
        .header("host", address)
        .header("authorization", "Bearer sk-bench")
        .header("content-type", "application/json")
        .body(Full::new(prompts::held()))
        .expect("a valid request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK, "a stream");
    let mut body = response.into_body();
    body.frame().await.expect("a first event").expect("a frame");
    (sender, body)
}

//! A provider that answers at once and always the same, so that little of a run is its own time.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::prompts;

/// Events of one stream, and the time between two of them.
pub(crate) const EVENTS: usize = 200;
const EVERY: Duration = Duration::from_millis(40);
/// Events of one stream that is sent at once.
pub(crate) const BURST: usize = 50;

/// Stands before the time of sending in each event.
pub(crate) const STAMP: &str = "fp_";

/// Serves until the process is ended.
pub(crate) async fn serve() -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    eprintln!("listening on http://{address}");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        tokio::spawn(async move {
            let service = service_fn(answer);
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that goes away is no matter of the provider's.
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let says = |words: &str| memchr::memmem::find(&body, words.as_bytes()).is_some();
    let response = Response::builder()
        .header("openai-organization", "org-bench")
        .header("openai-processing-ms", "1")
        .header("x-request-id", "req_0123456789abcdef")
        .header("x-ratelimit-limit-requests", "1000000000")
        .header("x-ratelimit-limit-tokens", "1000000000000")
        .header("x-ratelimit-remaining-requests", "999999999")
        .header("x-ratelimit-remaining-tokens", "999999999999")
        .header("x-ratelimit-reset-requests", "1ms")
        .header("x-ratelimit-reset-tokens", "0s");
    let response = if says(prompts::AT_ONCE) {
        response
            .header("content-type", "text/event-stream")
            .body(burst(says("\"include_usage\":true")))
    } else if says("\"stream\":true") {
        response
            .header("content-type", "text/event-stream")
            .body(events(says("\"include_usage\":true"), says(prompts::HELD)))
    } else {
        response
            .header("content-type", "application/json")
            .body(Full::from(COMPLETION).boxed_unsync())
    };
    Ok(response.expect("headers that are valid"))
}

/// What a stream has still to send.
struct Ahead {
    clock: Interval,
    sent: usize,
    usage: bool,
}

/// Returns a paced stream of [`EVENTS`] events and its end; one that is `held` has one event and no end.
fn events(usage: bool, held: bool) -> UnsyncBoxBody<Bytes, Infallible> {
    if held {
        let first = stream::once(async move { Ok(Frame::data(Bytes::from(event(usage)))) });
        return StreamBody::new(first.chain(stream::pending())).boxed_unsync();
    }
    static STREAMS: AtomicU32 = AtomicU32::new(0);
    // Streams that begin together do not send together: what queues behind others is not the
    // time that an event is held.
    let place = STREAMS.fetch_add(1, Ordering::Relaxed) % 200;
    let mut clock = interval_at(Instant::now() + EVERY * place / 200, EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ahead = Ahead { clock, sent: 0, usage };
    let frames = stream::unfold(ahead, |mut ahead| async move {
        let text = match ahead.sent {
            sent if sent < EVENTS => {
                ahead.clock.tick().await;
                event(ahead.usage)
            }
            EVENTS if ahead.usage => LAST_USAGE.to_owned(),
            sent if sent == EVENTS + usize::from(ahead.usage) => "data: [DONE]\n\n".to_owned(),
            _ => return None,
        };
        ahead.sent += 1;
        Some((Ok(Frame::data(Bytes::from(text))), ahead))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Returns a stream of [`BURST`] events and its end, as fast as it is read.
fn burst(usage: bool) -> UnsyncBoxBody<Bytes, Infallible> {
    let events = (0..BURST).map(move |_| event(usage));
    let last = usage.then(|| LAST_USAGE.to_owned()).into_iter();
    let all = events.chain(last).chain(std::iter::once("data: [DONE]\n\n".to_owned()));
    let frames = stream::iter(all.map(|text| Ok(Frame::data(Bytes::from(text)))));
    StreamBody::new(frames).boxed_unsync()
}

fn event(usage: bool) -> String {
    let usage = if usage { ",\"usage\":null" } else { "" };
    format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\
         \"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\
         \"system_fingerprint\":\"{STAMP}{}\",\"choices\":[{{\"index\":0,\
         \"delta\":{{\"content\":\" word\"}},\"logprobs\":null,\"finish_reason\":null}}]{usage}}}\n\n",
        nanos(),
    )
}

/// Returns the nanoseconds of a clock that all processes of this machine share.
pub(crate) fn nanos() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

const LAST_USAGE: &str = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\
    \"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[],\"usage\":\
    {\"prompt_tokens\":40,\"completion_tokens\":200,\"total_tokens\":240}}\n\n";

const COMPLETION: &str = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\
    \"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\
    \"message\":{\"role\":\"assistant\",\"content\":\"Certainly: this is an answer.\",\
    \"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":\
    {\"prompt_tokens\":40,\"completion_tokens\":8,\"total_tokens\":48},\
    \"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\"}";

//! The edges of the path: what is refused, what passes through, and how clients may talk.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use sluicegate::server::Running;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::house::{Answer, App, one_account, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{Recorder, Reply};

async fn echo() -> (Recorder, Running) {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    (recorder, proxy)
}

fn error(answer: &Answer) -> (Value, Value) {
    let json = answer.json();
    let field = |name: &str| json.pointer(&format!("/error/{name}")).cloned().unwrap_or_default();
    (field("type"), field("param"))
}

#[tokio::test]
async fn a_body_that_is_no_call_is_refused_in_the_providers_shape() {
    let (recorder, proxy) = echo().await;
    let app = App::new(proxy.listen(), "notebook");
    let broken = app.post(CHAT, "{\"model\":").await;
    assert_eq!(broken.status(), 400);
    assert_eq!(error(&broken), ("invalid_request_error".into(), Value::Null));
    let nameless = app.post(CHAT, "{\"messages\":[]}").await;
    assert_eq!(nameless.status(), 400);
    assert_eq!(error(&nameless), ("invalid_request_error".into(), "model".into()));
    assert!(nameless.header("x-sluicegate-request-id").is_some());
    assert!(recorder.seen().is_empty(), "quota was spent on it");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_413() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let upstream = one_account(&recorder.base_url(), "sk-1", "");
    let mut settings = crate::house::settings(&upstream);
    settings.server.max_body = 1000;
    let environment = sluicegate::upstream::NetworkEnvironment::read(|_| None);
    let proxy = sluicegate::server::start(settings, environment).await.expect("a proxy");
    let app = App::new(proxy.listen(), "notebook");
    let large = HELLO.replace("hi", &"x".repeat(2000));
    let refused = app.post(CHAT, &large).await;
    assert_eq!(refused.status(), 413);
    assert!(refused.text().contains("server.max_body"), "{}", refused.text());
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200, "a small one goes");
}

#[tokio::test]
async fn any_number_of_connections_may_be_allowed() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let mut settings = crate::house::settings(&one_account(&recorder.base_url(), "sk-1", ""));
    settings.server.max_connections = usize::MAX;
    let environment = sluicegate::upstream::NetworkEnvironment::read(|_| None);
    let proxy = sluicegate::server::start(settings, environment).await.expect("a proxy");
    let answer = App::new(proxy.listen(), "notebook").try_post(CHAT, HELLO).await;
    assert_eq!(answer.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_body_that_says_it_is_plain_is_read() {
    let (recorder, proxy) = echo().await;
    let app = App::new(proxy.listen(), "notebook");
    for encoding in ["Identity", ""] {
        let request = Request::post(format!("http://{}{CHAT}", proxy.listen()))
            .header("content-encoding", encoding)
            .body(Full::from(HELLO))
            .expect("a request");
        let answer = app.send(request).await;
        assert_eq!(answer.header("x-sluicegate-estimated-tokens"), Some("16"), "{encoding:?}");
    }
    assert_eq!(recorder.seen().len(), 2);
}

#[tokio::test]
async fn what_can_never_fit_is_refused_at_once_and_names_the_limit() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let limit = "[[upstreams.limits]]\nmodels = \"*\"\ntokens_per_minute = 1000\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", limit)).await;
    let body = HELLO.replace("\"max_tokens\":8", "\"max_tokens\":2000");
    let refused = App::new(proxy.listen(), "notebook").post(CHAT, &body).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(refused.header("retry-after"), None, "it is not to come back");
    let text = refused.text();
    assert!(text.contains("Limit 1000, Requested 2008"), "{text}");
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn those_refused_together_are_told_different_times_within_a_minute() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let limit = "[line]\nmax_wait = \"300ms\"\n[[upstreams.limits]]\nmodels = \"*\"\n\
                 requests_per_minute = 10\ncharging = \"later\"\ncounting = \"sliding\"\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", limit)).await;
    let app = App::new(proxy.listen(), "notebook");
    let mut tasks = JoinSet::new();
    for n in 0..30 {
        let app = app.clone();
        // Equal requests could be one that tries again: the later takes the earlier one's place.
        let body = HELLO.replace("\"max_tokens\":8", &format!("\"max_tokens\":8,\"seed\":{n}"));
        tasks.spawn(async move { app.post(CHAT, &body).await });
    }
    let refused: Vec<Answer> =
        tasks.join_all().await.into_iter().filter(|answer| answer.status() == 429).collect();
    assert!(refused.len() >= 15, "{} were refused", refused.len());
    let mut told = std::collections::BTreeSet::new();
    for answer in &refused {
        let number = |name: &str| answer.header(name).and_then(|text| text.parse::<u64>().ok());
        let seconds = number("retry-after").expect("whole seconds");
        assert!((1..=59).contains(&seconds), "{seconds}");
        told.insert(number("retry-after-ms").expect("milliseconds"));
        assert_eq!(answer.header("x-should-retry"), None);
    }
    assert_eq!(told.len(), refused.len(), "some would come back together: {told:?}");
}

#[tokio::test]
async fn answers_carry_limits_and_what_became_of_the_request() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let limit = "[[upstreams.limits]]\nmodels = \"*\"\ntokens_per_minute = 1000\n\
                 requests_per_minute = 60\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", limit)).await;
    let answer = App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some("1000"));
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("59"));
    assert_eq!(answer.header("x-sluicegate-account"), Some("main"));
    assert_eq!(answer.header("x-sluicegate-key"), Some("first"));
    assert_eq!(answer.header("x-sluicegate-estimated-tokens"), Some("16"));
    assert_eq!(answer.header("x-sluicegate-count"), Some("exact"));
    assert_eq!(answer.header("x-sluicegate-charged-tokens"), Some("9"));
    // 8 x $2.50 + 8 x $10 for a million at most, and 8 x $2.50 + 1 x $10 in the end.
    assert_eq!(answer.header("x-sluicegate-estimated-cost-usd"), Some("0.0001"));
    assert_eq!(answer.header("x-sluicegate-cost-usd"), Some("0.00003"));
    for name in ["x-sluicegate-request-id", "x-sluicegate-queued-ms"] {
        assert!(answer.header(name).is_some(), "{name} is missing");
    }
}

#[tokio::test]
async fn other_paths_pass_through_and_count_as_one_request() {
    let (recorder, proxy) = echo().await;
    let app = App::new(proxy.listen(), "notebook");
    let answer = app.get("/v1/models?limit=2").await;
    assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, SAID));
    assert_eq!(answer.header("x-sluicegate-count"), None, "nothing was counted");
    assert_eq!(answer.header("x-sluicegate-estimated-tokens"), None);
    assert!(answer.header("x-sluicegate-request-id").is_some());
    let seen = recorder.seen();
    assert_eq!((&seen[0].method, seen[0].path.as_str()), (&Method::GET, "/v1/models?limit=2"));
    let totals = proxy.proxy().metrics().totals();
    assert_eq!((totals.requests, totals.settled.count()), (1, 0));
    let snapshot = proxy.proxy().admission().snapshot();
    assert_eq!(snapshot.lanes[0].group, "(other paths)");
}

const UPLOAD: &str =
    "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b--\r\n";

fn upload(proxy: &Running) -> Request<Full<Bytes>> {
    Request::post(format!("http://{}/v1/files", proxy.listen()))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(Full::from(UPLOAD))
        .expect("a request")
}

#[tokio::test]
async fn an_upload_streams_through_byte_for_byte() {
    let (recorder, proxy) = echo().await;
    let answer = App::new(proxy.listen(), "notebook").send(upload(&proxy)).await;
    assert_eq!(answer.status(), 200);
    let seen = recorder.seen();
    assert_eq!(seen[0].text(), UPLOAD);
    assert_eq!(seen[0].header("content-type"), Some("multipart/form-data; boundary=b"));
}

#[tokio::test]
async fn an_upload_is_never_sent_again_without_its_body() {
    let recorder = Recorder::start(|_, _| Reply::Json(503, "{}")).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let answer = App::new(proxy.listen(), "notebook").send(upload(&proxy)).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(recorder.seen().len(), 1);
}

#[tokio::test]
async fn a_deletion_that_failed_is_not_repeated_but_a_look_is() {
    let recorder = Recorder::start(|_, _| Reply::Json(500, "{}")).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let delete = Request::delete(format!("http://{}/v1/files/f1", proxy.listen()));
    let answer = app.send(delete.body(Full::default()).expect("a request")).await;
    assert_eq!((answer.status().as_u16(), recorder.seen().len()), (500, 1));
    assert_eq!(app.get("/v1/files/f1").await.status(), 500);
    assert_eq!(recorder.seen().len(), 5, "a GET is tried four times");
}

#[tokio::test]
async fn a_method_that_would_tell_our_key_is_not_passed_on() {
    let (recorder, proxy) = echo().await;
    let request = Request::builder()
        .method(Method::TRACE)
        .uri(format!("http://{}/v1/models", proxy.listen()))
        .body(Full::default())
        .expect("a request");
    let answer = App::new(proxy.listen(), "notebook").send(request).await;
    assert_eq!(answer.status(), 405);
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn http_2_is_spoken_without_asking_first() {
    let (_recorder, proxy) = echo().await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::post(format!("http://{}{CHAT}", proxy.listen()))
        .body(Full::<Bytes>::from(HELLO))
        .expect("a request");
    let answer = client.request(request).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
    assert_eq!(body, SAID);
}

/// Sends `requests` on one connection and returns all that came back once `answers` answers did.
async fn raw(address: std::net::SocketAddr, requests: &str, answers: usize) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(requests.as_bytes()).await.expect("sent");
    let mut text = String::new();
    let mut piece = [0; 4096];
    while text.matches("HTTP/1.1 ").count() < answers || !text.ends_with(['}', '\n']) {
        let read = stream.read(&mut piece).await.expect("readable");
        if read == 0 {
            break;
        }
        text.push_str(&String::from_utf8_lossy(piece.get(..read).unwrap_or_default()));
    }
    text
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let (_recorder, proxy) = echo().await;
    let get = "GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let text = raw(proxy.listen(), &get.repeat(3), 3).await;
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on() {
    let (recorder, proxy) = echo().await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        HELLO.len()
    );
    let mut stream = TcpStream::connect(proxy.listen()).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut piece = [0; 25];
    stream.read_exact(&mut piece).await.expect("an interim answer");
    assert_eq!(String::from_utf8_lossy(&piece), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(HELLO.as_bytes()).await.expect("sent");
    let mut start = [0; 15];
    stream.read_exact(&mut start).await.expect("an answer");
    assert_eq!(String::from_utf8_lossy(&start), "HTTP/1.1 200 OK");
    assert_eq!(recorder.seen()[0].header("expect"), None, "it is between client and proxy");
}

#[tokio::test]
async fn web_pages_are_kept_out_of_both_listeners() {
    let (recorder, proxy) = echo().await;
    for address in [proxy.listen(), proxy.admin()] {
        let rebound = "GET /v1/models HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
        let text = raw(address, rebound, 1).await;
        assert!(text.starts_with("HTTP/1.1 403"), "{text}");
        let page = "GET /line HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\n\
                    connection: close\r\n\r\n";
        let text = raw(address, page, 1).await;
        assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    }
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn people_and_monitors_see_how_it_goes() {
    let (_recorder, proxy) = echo().await;
    App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
    let admin = App::new(proxy.admin(), "monitor");
    assert_eq!(admin.get("/healthz").await.text(), "ok\n");
    assert_eq!(admin.get("/readyz").await.text(), "ready\n");
    let metrics = admin.get("/metrics").await.text();
    let line = r#"sluicegate_requests_total{app="notebook",model="gpt-4o",class="standard",status="2xx"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let page = admin.get("/line").await.json();
    assert_eq!(page["waiting"], 0);
    assert_eq!(page["lanes"][0]["group"], "gpt-4o");
    assert_eq!(admin.get("/nonsense").await.status(), 404);
}

#[tokio::test]
async fn who_waits_when_the_time_to_drain_is_over_is_told_so() {
    let recorder = Recorder::start(|_, _| Reply::Silence).await;
    let one =
        "[timeouts]\ndrain = \"50ms\"\n[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", one)).await;
    let ask = || {
        let app = App::new(proxy.listen(), "notebook");
        tokio::spawn(async move { app.post(CHAT, HELLO).await })
    };
    let under_way = ask();
    recorder.asked(1).await;
    let waiting = ask();
    while proxy.proxy().admission().snapshot().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let cut = tokio::time::timeout(Duration::from_secs(30), proxy.stop()).await;
    assert_eq!(cut.expect("it stops"), 1, "what never ends is cut");
    assert_eq!(waiting.await.expect("an answer").status(), 503);
    assert!(under_way.await.is_err(), "its connection was closed");
}

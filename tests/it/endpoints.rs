//! Every metered endpoint through the proxy: the answer is the provider's, and what is settled is what the
//! provider charged.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sluicegate::server::Running;
use sluicegate::simulate::engine::Limits;
use sluicegate::simulate::{Config, Faults, Latency, Outputs, Provider};

use crate::house::{Answer, App, one_account, proxy};
use crate::recorder::{Recorder, Reply};

/// Starts a provider with small answers that come at once.
pub(crate) async fn provider() -> Provider {
    let config = Config {
        outputs: Outputs { mean: 40.0, sigma: 0.3 },
        latency: Latency { first_token: Duration::ZERO, per_token: Duration::ZERO, jitter: 0.0 },
        ..Config::single("sk-sim", Limits::default())
    };
    Provider::bind(config).await.expect("a provider")
}

/// Starts a proxy before it, with the key that the provider knows.
pub(crate) async fn proxy_of(provider: &Provider) -> Running {
    proxy(&one_account(&provider.base_url(), "sk-sim", "")).await
}

/// Returns what the provider was given and wrote, answered or cut.
pub(crate) fn charged(provider: &Provider) -> u64 {
    let lanes = provider.stats().lanes;
    let tallies = lanes.iter().map(|lane| &lane.tally);
    tallies.map(|it| it.prompt + it.output + it.cut_prompt + it.cut_output).sum()
}

async fn ask(app: &App, path: &str, body: &Value) -> Answer {
    app.post(path, &body.to_string()).await
}

/// A request whose usage is told, by path and body.
fn told() -> Vec<(&'static str, Value)> {
    vec![
        ("/v1/responses", json!({"model": "gpt-4o", "input": "hi"})),
        ("/v1/responses", json!({"model": "gpt-4o", "input": "hi", "stream": true})),
        ("/v1/responses/compact", json!({"model": "gpt-4o", "input": "hi"})),
        ("/v1/embeddings", json!({"model": "text-embedding-3-small", "input": ["a b", "c"]})),
        ("/v1/images/generations", json!({"model": "gpt-image-1.5", "prompt": "a boat", "n": 2})),
        (
            "/v1/images/generations",
            json!({"model": "gpt-image-1.5", "prompt": "a boat", "stream": true,
                   "partial_images": 2}),
        ),
        (
            "/v1/images/edits",
            json!({"model": "gpt-image-1.5", "prompt": "a boat",
                   "images": [{"image_url": "https://example.com/a.png"}]}),
        ),
        (
            "/v1/audio/speech",
            json!({"model": "gpt-4o-mini-tts", "input": "hello there", "voice": "alloy",
                   "stream_format": "sse"}),
        ),
    ]
}

#[tokio::test]
async fn what_an_answer_tells_is_settled_to_the_token() {
    for (path, body) in told() {
        let provider = provider().await;
        let proxy = proxy_of(&provider).await;
        let answer = ask(&App::new(proxy.listen(), "notebook"), path, &body).await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        let settled = proxy.proxy().metrics().totals().settled.count();
        assert_eq!(settled, charged(&provider), "{path} {body}");
        assert!(settled > 0, "{path} {body}");
    }
}

#[tokio::test]
async fn what_has_no_output_is_settled_by_its_input() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let app = App::new(proxy.listen(), "notebook");
    let parts = json!({"input": [{"type": "text", "text": "is this rude"}]});
    for body in [json!({"input": "is this rude"}), json!({"input": ["a", "b c"]}), parts] {
        let answer = ask(&app, "/v1/moderations", &body).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let results = answer.json()["results"].as_array().map(Vec::len);
        assert_eq!(results, Some(if body["input"][1].is_string() { 2 } else { 1 }));
        assert_eq!(answer.header("x-sluicegate-count"), Some("approximate"));
    }
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), charged(&provider));
}

#[tokio::test]
async fn a_decision_is_settled_by_what_it_tells() {
    const DECIDED: &str = r#"{"id":"dec_1","object":"decision","answers":[],"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":10},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":2}}}"#;
    let recorder = Recorder::start(|_, _| Reply::Json(200, DECIDED)).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-sim", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let body = json!({"model": "gpt-6", "input": "It rains.", "questions": ["Does it rain?"]});
    let answer = ask(&app, "/v1/decisions", &body).await;
    assert_eq!(answer.header("x-sluicegate-charged-tokens"), Some("34"), "{}", answer.text());
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), 34);
}

#[tokio::test]
async fn counting_a_prompt_and_ordering_a_video_cost_a_request_alone() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let app = App::new(proxy.listen(), "notebook");
    let input = json!({"model": "gpt-4o", "input": "how long is this?"});
    let counted = ask(&app, "/v1/responses/input_tokens", &input).await;
    assert!(counted.json()["input_tokens"].as_u64() > Some(5), "{}", counted.text());
    let video = ask(&app, "/v1/videos", &json!({"prompt": "a boat", "seconds": "8"})).await;
    assert_eq!(
        (&video.json()["seconds"], &video.json()["status"]),
        (&"8".into(), &"queued".into())
    );
    let totals = proxy.proxy().metrics().totals();
    assert_eq!((totals.requests, totals.settled.count(), charged(&provider)), (2, 0, 0));
}

#[tokio::test]
async fn sound_streams_through_and_old_models_tell_no_tokens() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let (app, direct) = (App::new(proxy.listen(), "notebook"), App::new(provider.addr(), "sk-sim"));
    let speech = json!({"model": "tts-1", "input": "hello", "voice": "alloy"}).to_string();
    let (through, plain) = (
        app.post("/v1/audio/speech", &speech).await,
        direct.post("/v1/audio/speech", &speech).await,
    );
    assert_eq!(through.0.body(), plain.0.body());
    assert_eq!(through.header("content-type"), Some("audio/mpeg"));
    assert!(
        through.header("x-sluicegate-charged-tokens").is_none(),
        "its head left before its end"
    );
    let boat = json!({"model": "dall-e-3", "prompt": "a boat"});
    let drawn = ask(&app, "/v1/images/generations", &boat).await;
    assert!(drawn.json()["data"][0]["url"].is_string(), "{}", drawn.text());
    assert!(drawn.json().get("usage").is_none());
}

#[tokio::test]
async fn a_model_that_must_be_named_is_asked_for() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let app = App::new(proxy.listen(), "notebook");
    let request = Request::post(format!("http://{}/v1/audio/speech", proxy.listen()))
        .body(Full::from(r#"{"input":"x","voice":"alloy"}"#))
        .expect("a request");
    let answer = app.send(request).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.json()["error"]["param"]),
        (400, &"model".into())
    );
}

#[tokio::test]
async fn what_lies_at_the_provider_is_counted_as_the_last_answer_told_it() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let app = App::new(proxy.listen(), "notebook");
    let estimated = |answer: &Answer| -> u64 {
        let told = answer.header("x-sluicegate-estimated-tokens").expect("an estimate");
        told.parse().expect("a number")
    };
    let first = json!({"model": "gpt-4o", "input": "tell me a story", "max_output_tokens": 64});
    let first = ask(&app, "/v1/responses", &first).await;
    let mut before = first.json()["usage"]["total_tokens"].as_u64().expect("usage");
    let mut id = first.json()["id"].as_str().expect("an id").to_owned();
    for stream in [false, true, false] {
        let next = json!({"model": "gpt-4o", "input": "go on", "previous_response_id": id,
                          "max_output_tokens": 64, "stream": stream});
        let answer = ask(&app, "/v1/responses", &next).await;
        assert_eq!(answer.header("x-sluicegate-count"), Some("assumed"));
        let response = if stream {
            let text = answer.text();
            let last = text.lines().rev().find_map(|line| line.strip_prefix("data: "));
            serde_json::from_str::<Value>(last.expect("events")).expect("JSON")["response"].clone()
        } else {
            answer.json()
        };
        let usage = &response["usage"];
        let input = usage["input_tokens"].as_u64().expect("usage");
        assert_eq!(estimated(&answer), input + 64, "{usage}, {before} before");
        assert!(input > before);
        before = usage["total_tokens"].as_u64().expect("usage");
        id = response["id"].as_str().expect("an id").to_owned();
    }
    let settled = proxy.proxy().metrics().totals().settled.count();
    assert_eq!(settled, charged(&provider));
}

#[tokio::test]
async fn a_response_in_the_background_is_settled_by_the_later_answer_that_tells_what_it_used() {
    const QUEUED: &str = r#"{"id":"resp_1","object":"response","status":"queued","usage":null}"#;
    const DONE: &str = r#"{"id":"resp_1","object":"response","status":"completed","output":[],"usage":{"input_tokens":30,"output_tokens":70,"total_tokens":100}}"#;
    let recorder = Recorder::start(|turn, _| match turn {
        0 | 1 => Reply::Json(200, QUEUED),
        _ => Reply::Json(200, DONE),
    })
    .await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-sim", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let settled = || proxy.proxy().metrics().totals().settled.count();
    let open = || -> usize {
        proxy.proxy().admission().snapshot().lanes.iter().map(|lane| lane.open).sum()
    };
    let body = json!({"model": "gpt-4o", "input": "hi", "background": true});
    let answer = ask(&app, "/v1/responses", &body).await;
    assert_eq!(answer.text(), QUEUED);
    assert_eq!(answer.header("x-sluicegate-charged-tokens"), None);
    let answer = app.get("/v1/responses/resp_1").await;
    assert_eq!(answer.text(), QUEUED);
    // What was asked is over, and what goes on is not.
    while open() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!((settled(), open()), (0, 1), "still being made");
    let answer = app.get("/v1/responses/resp_1").await;
    assert_eq!(answer.text(), DONE);
    while open() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(settled(), 100);
    app.get("/v1/responses/resp_1").await;
    assert_eq!(settled(), 100, "it is told once");
}

#[tokio::test]
async fn what_nobody_asked_about_keeps_its_estimate_when_the_program_stops() {
    const QUEUED: &str = r#"{"id":"resp_1","object":"response","status":"in_progress"}"#;
    let recorder = Recorder::start(|_, _| Reply::Json(200, QUEUED)).await;
    let running = proxy(&one_account(&recorder.base_url(), "sk-sim", "")).await;
    let proxy = running.proxy().clone();
    let app = App::new(running.listen(), "notebook");
    let body = json!({"model": "gpt-4o", "input": "hi", "max_output_tokens": 50});
    assert_eq!(ask(&app, "/v1/responses", &body).await.status(), 200);
    drop(app);
    assert_eq!(running.stop().await, 0);
    assert!(proxy.metrics().totals().settled.count() > 50);
}

/// Starts a provider that writes some hundred tokens, one each 2 ms, and breaks off in the middle if it is to.
pub(crate) async fn slow_provider(cut: f64) -> Provider {
    let millis = Duration::from_millis;
    let config = Config {
        outputs: Outputs { mean: 600.0, sigma: 0.01 },
        latency: Latency { first_token: millis(2), per_token: millis(2), jitter: 0.0 },
        faults: Faults { cut, ..Faults::default() },
        ..Config::single("sk-sim", Limits::default())
    };
    Provider::bind(config).await.expect("a provider")
}

/// Waits until the provider has seen a stream end early, and the proxy has settled it; returns what the
/// provider wrote, prompts included, what of that was output, and what was settled.
async fn cut_short(provider: &Provider, proxy: &Running) -> (u64, u64, u64) {
    let tally = loop {
        let lanes = provider.stats().lanes;
        let cut = lanes.iter().find(|lane| lane.tally.cut > 0).map(|lane| lane.tally.clone());
        let settled = proxy.proxy().metrics().totals().settled.count();
        if let Some(tally) = cut.filter(|_| settled > 0) {
            break tally;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let settled = proxy.proxy().metrics().totals().settled.count();
    (tally.cut_prompt + tally.cut_output, tally.cut_output, settled)
}

const STORY: &str =
    r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"tell me a story"}]}"#;

#[tokio::test]
async fn a_stream_that_is_cut_is_settled_by_what_was_seen_of_it() {
    for (by_client, body) in [(true, STORY), (false, STORY)] {
        let provider = slow_provider(if by_client { 0.0 } else { 1.0 }).await;
        let proxy = proxy_of(&provider).await;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::post(format!("http://{}/v1/chat/completions", proxy.listen()))
            .body(Full::<Bytes>::from(body))
            .expect("a request");
        let mut events = client.request(request).await.expect("a head").into_body();
        let mut seen = 0;
        while let Some(Ok(frame)) = events.frame().await {
            let text = String::from_utf8_lossy(frame.data_ref().expect("data")).into_owned();
            seen += text.matches("data: ").count();
            if by_client && seen > 250 {
                break;
            }
        }
        drop(events);
        let (written, output, settled) = cut_short(&provider, &proxy).await;
        if output >= 100 {
            let off = settled.abs_diff(written);
            assert!(off * 20 <= output, "{settled} settled of {written}, by client: {by_client}");
        }
        assert!(!by_client || output >= 240, "the client saw {seen}, {output} were written");
    }
}

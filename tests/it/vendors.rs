//! Every dialect of the simulated provider through the proxy, and errors that come inside of answers.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate::server::Running;
use sluicegate::simulate::engine::Limits;
use sluicegate::simulate::{Config, Dialect, Faults, Latency, Outputs, Provider};

use crate::house::{Answer, App, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{End, Recorder, Reply};

const KEY: &str = "sk-sim-1";

async fn provider(dialect: Dialect, limits: Limits, faults: Faults) -> Provider {
    let mut config = Config {
        dialect,
        faults,
        latency: Latency { first_token: Duration::ZERO, per_token: Duration::ZERO, jitter: 0.0 },
        outputs: Outputs { mean: 30.0, sigma: 0.5 },
        ..Config::single(KEY, limits)
    };
    config.rules.models = vec!["gpt-4o".to_owned()];
    Provider::bind(config).await.expect("a free port")
}

async fn before(base: &str, dialect: &str) -> Running {
    let upstream = format!(
        "[[upstreams]]\nname = \"it\"\nbase_url = \"{base}\"\ndialect = \"{dialect}\"\naccounts = [{{ name = \"main\", \
         keys = [{{ key = \"{KEY}\", label = \"ours\" }}] }}]\n"
    );
    proxy(&upstream).await
}

fn chat(more: Value) -> String {
    let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]});
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("fields").clone());
    body.to_string()
}

fn said(answer: &Answer) -> String {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    events
        .filter_map(|event| event.pointer("/choices/0/delta/content")?.as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn each_dialect_is_served_whole_and_streamed_and_settled_to_the_token() {
    for dialect in Dialect::ALL {
        let name = dialect.name();
        let provider = provider(dialect, Limits::default(), Faults::default()).await;
        let proxy = before(&provider.base_url(), name).await;
        let app = App::new(proxy.listen(), "notebook");
        let whole = app.post(CHAT, &chat(json!({"max_tokens": 500}))).await;
        assert_eq!(whole.status(), 200, "{name}: {}", whole.text());
        let streamed = app.post(CHAT, &chat(json!({"max_tokens": 500, "stream": true}))).await;
        assert_eq!(streamed.status(), 200, "{name}: {}", streamed.text());
        let text = whole.json()["choices"][0]["message"]["content"].clone();
        assert_eq!(Value::from(said(&streamed)), text, "{name}");
        let metrics = App::new(proxy.admin(), "").get("/metrics").await.text();
        let tally = provider.stats().lanes[0].tally.clone();
        let told = |kind: &str| -> u64 {
            let kind = format!("account=\"main\",kind=\"{kind}\"}} ");
            let numbers =
                metrics.lines().filter_map(|line| line.split_once(&kind)?.1.parse::<u64>().ok());
            numbers.sum()
        };
        assert_eq!((told("input"), told("output")), (tally.prompt, tally.output), "{name}");
    }
}

#[tokio::test]
async fn who_waits_hears_what_the_vendor_sends_meanwhile() {
    for (dialect, whole, streamed) in [
        (Dialect::DeepSeek, "\n", ": keep-alive\n\n"),
        (Dialect::OpenRouter, "", ": OPENROUTER PROCESSING\n\n"),
    ] {
        let provider = provider(dialect, Limits::default(), Faults::default()).await;
        let app = App::new(provider.addr(), KEY);
        let answer = app.post(CHAT, &chat(json!({}))).await.text();
        assert!(answer.starts_with(&format!("{whole}{{")), "{answer}");
        let answer = app.post(CHAT, &chat(json!({"stream": true}))).await.text();
        assert!(answer.starts_with(&format!("{streamed}data: ")), "{answer}");
    }
}

#[tokio::test]
async fn usage_stands_where_the_vendor_puts_it() {
    let options = json!({"include_usage": true, "continuous_usage_stats": true});
    for (dialect, more, expected) in [
        (Dialect::OpenAi, json!({}), [false, false, false]),
        (Dialect::OpenAi, json!({"stream_options": {"include_usage": true}}), [false, false, true]),
        (Dialect::OpenRouter, json!({}), [false, false, true]),
        (Dialect::Mistral, json!({}), [false, true, false]),
        (Dialect::Vllm, json!({"stream_options": options}), [true, true, false]),
    ] {
        let provider = provider(dialect, Limits::default(), Faults::default()).await;
        let mut more = more;
        more["stream"] = true.into();
        let answer = App::new(provider.addr(), KEY).post(CHAT, &chat(more)).await;
        let text = answer.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data.filter_map(|data| serde_json::from_str(data).ok()).collect();
        let telling = || events.iter().filter(|event| event["usage"].is_object());
        let with =
            |place: &str| telling().any(|event| event.pointer(place).is_some_and(Value::is_string));
        let apart = telling().any(|event| event["choices"] == json!([]));
        let places = [with("/choices/0/delta/content"), with("/choices/0/finish_reason"), apart];
        assert_eq!(places, expected, "{dialect:?}");
    }
}

#[tokio::test]
async fn what_mistral_does_not_know_it_refuses_and_the_proxy_does_without() {
    let provider = provider(Dialect::Mistral, Limits::default(), Faults::default()).await;
    let body = chat(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let direct = App::new(provider.addr(), KEY).post(CHAT, &body).await;
    assert_eq!(direct.status(), 422);
    assert!(direct.text().contains("extra_forbidden"), "{}", direct.text());
    let proxy = before(&provider.base_url(), "mistral").await;
    let app = App::new(proxy.listen(), "notebook");
    assert_eq!(app.post(CHAT, &chat(json!({"stream": true}))).await.status(), 200);
}

#[tokio::test]
async fn azures_path_names_the_deployment_whatever_the_body_says() {
    let provider = provider(Dialect::Azure, Limits::default(), Faults::default()).await;
    let app = App::new(provider.addr(), KEY);
    let ask =
        |name: &str| format!("/openai/deployments/{name}/chat/completions?api-version=2024-10-21");
    let body = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(app.post(&ask("gpt-4o"), body).await.json()["model"], "gpt-4o");
    let missing = app.post(&ask("none"), body).await;
    assert_eq!(missing.json()["error"]["code"], "DeploymentNotFound");
}

const FAILED: &str = r#"{"error":{"message":"Provider returned error","code":502}}"#;
const UNFIT: &str = r#"{"error":{"message":"No such tool","code":400}}"#;
const FAILED_STREAM: &[&str] = &[
    ": OPENROUTER PROCESSING\n\n",
    "data: {\"id\":\"gen-1\",\"error\":{\"code\":503,\"message\":\"busy\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
    "data: [DONE]\n\n",
];
const SAID_STREAM: &[&str] = &[
    ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n",
    "data: {\"id\":\"gen-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"gen-1\",\"error\":{\"code\":502,\"message\":\"too late\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
];

fn streaming() -> String {
    HELLO.replacen('{', "{\"stream\":true,\"stream_options\":{\"include_usage\":true},", 1)
}

async fn openrouter(recorder: &Recorder) -> Running {
    before(&recorder.base_url(), "openrouter").await
}

#[tokio::test]
async fn an_error_inside_of_an_answer_is_tried_again_like_the_status_that_it_stands_for() {
    let provider = Recorder::start(|number, _| match number {
        0 => Reply::Json(200, FAILED),
        _ => Reply::Json(200, SAID),
    })
    .await;
    let proxy = openrouter(&provider).await;
    let answer = App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
    assert_eq!((answer.text().as_str(), provider.seen().len()), (SAID, 2));
}

#[tokio::test]
async fn so_is_one_that_is_the_first_event_of_a_stream() {
    let provider = Recorder::start(|number, _| match number {
        0 => Reply::Events(FAILED_STREAM, End::Clean),
        _ => Reply::Events(SAID_STREAM, End::Clean),
    })
    .await;
    let proxy = openrouter(&provider).await;
    let answer = App::new(proxy.listen(), "notebook").post(CHAT, &streaming()).await;
    assert_eq!((answer.text(), provider.seen().len()), (SAID_STREAM.concat(), 2));
}

#[tokio::test]
async fn one_that_would_not_be_tried_again_goes_to_the_client_as_it_came() {
    let provider = Recorder::start(|_, _| Reply::Json(200, UNFIT)).await;
    let proxy = openrouter(&provider).await;
    let answer = App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
    assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, UNFIT));
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn failures_inside_of_the_simulated_answers_fail_nobody() {
    let faults = Faults { server_error: 0.3, ..Faults::default() };
    let provider = provider(Dialect::OpenRouter, Limits::default(), faults).await;
    let proxy = before(&provider.base_url(), "openrouter").await;
    let app = App::new(proxy.listen(), "notebook");
    for number in 0..20 {
        let more = json!({"user": format!("{number}"), "stream": number % 2 == 0});
        let answer = app.post(CHAT, &chat(more)).await;
        assert!(!answer.text().contains("\"error\""), "{}", answer.text());
    }
    assert!(provider.stats().lanes[0].tally.failed > 0, "nothing went wrong");
}

/// Issue 4, point 7: with a concurrency limit only, the first refusal tells how many slots there are. Who was let go
/// before its answer came may be refused, too: one, as one at a time tries whether there is another slot. A client that
/// hangs up leaves its slot to nobody who gets there before the provider has heard of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_only_takes_so_many_at_a_time_refuses_nobody_after_the_first() {
    const SLOTS: u64 = 10;
    for dialect in [Dialect::DeepSeek, Dialect::Ollama, Dialect::Vllm] {
        let mut config = Config {
            dialect,
            latency: Latency {
                first_token: Duration::from_millis(100),
                per_token: Duration::from_millis(2),
                jitter: 0.1,
            },
            outputs: Outputs { mean: 15.0, sigma: 0.5 },
            ..Config::single(KEY, Limits { concurrency: Some(SLOTS), ..Limits::default() })
        };
        config.rules.models = vec!["gpt-4o".to_owned()];
        let provider = Provider::bind(config).await.expect("a free port");
        let proxy = before(&provider.base_url(), dialect.name()).await;
        let app = App::new(proxy.listen(), "notebook");
        let asked = (0..200).map(|number| {
            let app = app.clone();
            let body = chat(json!({"max_tokens": 20, "stream": number % 2 == 1}));
            async move {
                match number % 10 {
                    // It hangs up as soon as the answer begins.
                    7 => app.open(CHAT, &body).await.status(),
                    _ => app.post(CHAT, &body).await.status(),
                }
            }
        });
        let statuses = futures_util::future::join_all(asked).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        let stats = provider.stats();
        let refused = stats.lanes[0].tally.refused.concurrency;
        assert!((1..=2).contains(&refused), "{}: {refused} were refused", dialect.name());
    }
}

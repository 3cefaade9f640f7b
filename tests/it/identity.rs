//! On whose behalf a request is sent: classes, rules and deadlines, from the client's headers to what
//! people and the provider see.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use sluicegate::server::Running;

use sluicegate::simulate::engine::Limits;
use sluicegate::simulate::{Config, Provider};

use crate::house::{Answer, App, one_account, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{Recorder, Reply};

/// Sends a greeting with these headers.
async fn hello(proxy: &Running, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(format!("http://{}{CHAT}", proxy.listen()))
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::from(HELLO)).expect("a request");
    App::new(proxy.listen(), "notebook").send(request).await
}

async fn counted(proxy: &Running, app: &str, class: &str) -> bool {
    let metrics = App::new(proxy.admin(), "monitor").get("/metrics").await.text();
    let line = format!(
        r#"sluicegate_requests_total{{app="{app}",model="gpt-4o",class="{class}",status="2xx"}} 1"#
    );
    metrics.contains(&line)
}

#[tokio::test]
async fn a_client_chooses_its_class_and_the_provider_hears_nothing_of_it() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let headers = [
        ("authorization", "Bearer nightly"),
        ("x-sluicegate-class", "batch"),
        ("x-sluicegate-deadline", "60"),
    ];
    assert_eq!(hello(&proxy, &headers).await.status(), 200);
    assert!(counted(&proxy, "nightly", "batch").await, "its class is not in the metrics");
    let seen = recorder.seen();
    let names: Vec<&str> = seen[0].headers.keys().map(|name| name.as_str()).collect();
    assert!(names.iter().all(|name| !name.starts_with("x-sluicegate")), "{names:?}");
}

#[tokio::test]
async fn a_rule_sets_app_and_class_by_what_a_request_looks_like() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let rule = "[[rules]]\npath = \"/v1/chat/*\"\nuser_agent = \"notes/*\"\napp = \"notes\"\n\
                class = \"standard\"\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", rule)).await;
    let wish = ("x-sluicegate-class", "interactive");
    hello(&proxy, &[("user-agent", "notes/2.1"), wish]).await;
    hello(&proxy, &[("user-agent", "curl/8"), ("authorization", "Bearer me"), wish]).await;
    assert!(counted(&proxy, "notes", "standard").await, "the rule did not count");
    assert!(counted(&proxy, "me", "interactive").await, "the rule counted for another");
}

#[tokio::test]
async fn a_header_that_means_nothing_is_refused_by_its_name() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("x-sluicegate-class", "urgent"),
        ("x-sluicegate-deadline", "soon"),
        ("x-sluicegate-deadline", "2020-01-01T00:00:00Z"),
    ];
    for (name, value) in cases {
        let refused = hello(&proxy, &[(name, value)]).await;
        assert_eq!(refused.status(), 400, "{name}: {value}");
        let error = refused.json();
        assert_eq!(error.pointer("/error/param"), Some(&name.into()), "{value}");
        assert_eq!(error.pointer("/error/type"), Some(&"invalid_request_error".into()));
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(recorder.seen().is_empty(), "one of them was sent");
}

#[tokio::test]
async fn a_stated_deadline_ends_the_wait_and_nobody_is_to_come_back() {
    let recorder = Recorder::start(|_, _| Reply::Silence).await;
    let one =
        "[timeouts]\ndrain = \"50ms\"\n[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", one)).await;
    let address = proxy.listen();
    let under_way =
        tokio::spawn(async move { App::new(address, "notebook").post(CHAT, HELLO).await });
    recorder.asked(1).await;
    let late = hello(&proxy, &[("x-sluicegate-deadline", "0.2")]).await;
    assert_eq!(late.status(), 429, "{}", late.text());
    assert_eq!(late.header("x-should-retry"), Some("false"));
    assert_eq!(late.header("retry-after"), None);
    assert!(!late.text().contains("try again"), "{}", late.text());
    assert_eq!(late.header("retry-after-ms"), None);
    assert!(late.header("x-sluicegate-expected-wait-ms").is_some(), "the true wait is not told");
    under_way.abort();
}

#[tokio::test]
async fn what_a_model_needs_is_left_of_a_clients_patience() {
    let limits = Limits { tokens_per_minute: Some(1_000_000), ..Limits::default() };
    let mut config = Config::single("sk-1", limits);
    config.latency.first_token = Duration::from_millis(500);
    config.latency.per_token = Duration::ZERO;
    config.latency.jitter = 0.0;
    let provider = Provider::bind(config).await.expect("a provider");
    let one = "[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\n";
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", one)).await;
    assert_eq!(hello(&proxy, &[]).await.status(), 200, "the first one tells the time");
    let app = App::new(proxy.listen(), "notebook");
    let under_way = tokio::spawn(async move { app.post(CHAT, HELLO).await });
    while proxy.proxy().admission().snapshot().lanes.iter().all(|lane| lane.open == 0) {
        tokio::task::yield_now().await;
    }
    // It would hold out for 0.8 s: the slot is free before, but the answer would come too late.
    let patience = [("user-agent", "OpenAI/Python 3.54.0"), ("x-stainless-read-timeout", "1.0")];
    let refused = hello(&proxy, &patience).await;
    assert_eq!(refused.status(), 429, "{}", refused.text());
    assert_eq!(under_way.await.expect("an answer").status(), 200);
}

const LIMITED: &str = r#"{"error":{"message":"Rate limit reached for gpt-4o","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;

#[tokio::test]
async fn whose_refusal_by_the_provider_is_final_is_told_when_its_turn_comes() {
    let recorder =
        Recorder::start(|_, _| Reply::With(429, LIMITED, vec![("retry-after", "40")])).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    // An upload streams through, so it cannot be sent again.
    let upload = Request::post(format!("http://{}/v1/files", proxy.listen()));
    let upload = upload.body(Full::from("a file")).expect("a request");
    let refused = App::new(proxy.listen(), "notebook").send(upload).await;
    assert_eq!((refused.status().as_u16(), refused.text().as_str()), (429, LIMITED));
    let number = |name: &str| refused.header(name).and_then(|text| text.parse::<u64>().ok());
    assert!(number("retry-after").is_some_and(|seconds| (1..=59).contains(&seconds)));
    assert!(number("retry-after-ms").is_some_and(|millis| (1_000..=59_000).contains(&millis)));
    let expected = number("x-sluicegate-expected-wait-ms").expect("the true wait");
    assert!((30_000..60_000).contains(&expected), "{expected} ms");
}

#[tokio::test]
async fn where_nobody_is_held_the_providers_refusal_reaches_the_client_as_it_came() {
    let recorder =
        Recorder::start(|_, _| Reply::With(429, LIMITED, vec![("retry-after", "300")])).await;
    let proxy =
        proxy(&one_account(&recorder.base_url(), "sk-1", "[line]\nmode = \"observe\"\n")).await;
    let refused = hello(&proxy, &[]).await;
    assert_eq!((refused.status().as_u16(), refused.text().as_str()), (429, LIMITED));
    assert_eq!(refused.header("retry-after"), Some("300"));
    assert_eq!(recorder.seen().len(), 1, "it was tried again");
}

#[tokio::test]
async fn where_nobody_is_held_it_is_told_how_long_each_would_have_waited() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let more = "[line]\nmode = \"observe\"\n[[upstreams.limits]]\nmodels = \"*\"\n\
                requests_per_minute = 2\ncharging = \"later\"\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", more)).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let answer = hello(&proxy, &[]).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("x-sluicegate-queued-ms"), Some("0"), "it was held");
        let wait = answer.header("x-sluicegate-would-wait-ms");
        told.push(wait.map(|text| text.parse::<u64>().expect("a number") / 1_000));
    }
    // Two a minute fit; the third would have waited for half a minute, the fourth behind it.
    assert_eq!(told.iter().flatten().count(), 2, "{told:?}");
    assert!(told[2].is_some_and(|seconds| (25..=31).contains(&seconds)), "{told:?}");
    assert!(told[3].is_some_and(|seconds| (55..=61).contains(&seconds)), "{told:?}");
    let metrics = App::new(proxy.admin(), "monitor").get("/metrics").await.text();
    let held = r#"sluicegate_would_hold_total{app="anonymous",model="gpt-4o",class="standard"} 2"#;
    assert!(metrics.contains(held), "{metrics}");
}

/// Entra ID's tokens stand where OpenAI's keys do, Azure's own keys in a header of their own
/// (<https://learn.microsoft.com/azure/ai-foundry/openai/reference>, read 2026-11-21).
#[tokio::test]
async fn an_azure_without_a_key_of_ours_gets_each_clients_own_as_it_came() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let base = recorder.base_url().replace("/v1", "/openai/v1");
    let proxy =
        proxy(&format!("[[upstreams]]\ndialect = \"azure\"\nbase_url = \"{base}\"\n")).await;
    let app = App::new(proxy.listen(), "notebook");
    for (header, value) in [("authorization", "Bearer eyJ0eXAi.e30.sig"), ("api-key", "0123abcd")] {
        let request = Request::post(format!("http://{}{CHAT}", proxy.listen()))
            .header("content-type", "application/json")
            .header(header, value)
            .body(Full::from(HELLO))
            .expect("a request");
        assert_eq!(app.send(request).await.status(), 200, "{header}");
        let seen = recorder.seen().pop().expect("a request");
        for name in ["authorization", "api-key"] {
            let expected = (name == header).then_some(value);
            assert_eq!(seen.header(name), expected, "{name}, where {header} was sent");
        }
    }
}

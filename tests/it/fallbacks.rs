//! Other names of models, and requests that go elsewhere because they cannot be served where they would go.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use sluicegate::server::Running;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::house::{Answer, App, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{End, Recorder, Reply, Seen};
use crate::routes::{says, two};

const NO_QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
const BAD_KEY: &str = r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;
const NO_MODEL: &str = r#"{"error":{"message":"The model `gpt-4o` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
const BROKEN: &str =
    r#"{"error":{"message":"oops","type":"server_error","param":null,"code":null}}"#;
const LIMITED: &str = r#"{"error":{"message":"Rate limit reached for gpt-4o","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
const WRONG: &str = r#"{"error":{"message":"messages is required","type":"invalid_request_error","param":"messages","code":null}}"#;
const TO_B: &str =
    "[[models]]\nname = \"gpt-4o\"\nfallbacks = [{ upstream = \"b\", model = \"other\" }]\n";

fn model(seen: &Seen) -> String {
    let body: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
    body.get("model").and_then(|model| model.as_str()).expect("a model").to_owned()
}

async fn ask(proxy: &Running) -> Answer {
    App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await
}

#[tokio::test]
async fn another_name_is_put_into_the_request_and_nothing_else_changes() {
    let (a, b) = (says(SAID).await, says(SAID).await);
    let fast = "[[models]]\nname = \"fast\"\nupstream = \"b\"\nmodel = \"gpt-4o-mini\"\n";
    let proxy = proxy(&two(&a, &b, fast)).await;
    let app = App::new(proxy.listen(), "notebook");
    let body = r#"{ "model" : "x", "messages":[{"role":"user","content":"h\u0069"}],"n":1.0,  "model": "fast" }"#;
    let answer = app.post(CHAT, body).await;
    assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, SAID));
    assert_eq!(b.seen()[0].text(), body.replace("\"fast\"", "\"gpt-4o-mini\""));
    assert_eq!(answer.header("x-sluicegate-upstream"), Some("b"));
    assert_eq!(answer.header("x-sluicegate-model"), Some("gpt-4o-mini"));
    let plain = app.post(CHAT, HELLO).await;
    assert_eq!(plain.header("x-sluicegate-upstream"), None, "it went where it was meant to");
    assert_eq!(a.seen().len(), 1);
    let metrics = App::new(proxy.admin(), "").get("/metrics").await.text();
    for line in [
        r#"sluicegate_requests_total{app="notebook",model="fast",class="standard",status="2xx"} 1"#,
        r#"sluicegate_diverted_total{model="fast",upstream="b",sent_model="gpt-4o-mini"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn what_cannot_be_served_goes_to_the_next_and_the_next_request_goes_there_at_once() {
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("no quota",     Reply::Json(429, NO_QUOTA), 1, 1),
        ("a wrong key",  Reply::Json(401, BAD_KEY),  1, 1),
        ("no model",     Reply::Json(404, NO_MODEL), 1, 1),
        ("a failure",    Reply::Json(500, BROKEN),   2, 2),
        ("a reset",      Reply::Reset,               2, 2),
    ];
    for (name, reply, tries, most) in cases {
        let a = Recorder::start(move |_, _| reply.clone()).await;
        let b = says(SAID).await;
        let proxy = proxy(&two(&a, &b, TO_B)).await;
        let answer = ask(&proxy).await;
        assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, SAID), "{name}");
        assert_eq!(answer.header("x-sluicegate-upstream"), Some("b"), "{name}");
        assert_eq!(answer.header("x-sluicegate-model"), Some("other"), "{name}");
        assert_eq!((a.seen().len(), b.seen().len()), (tries, 1), "{name}");
        assert_eq!(model(&b.seen()[0]), "other", "{name}");
        assert_eq!(b.seen()[0].header("authorization"), Some("Bearer b"), "{name}");
        assert_eq!(ask(&proxy).await.status(), 200, "{name}");
        let again = a.seen().len() - tries;
        assert!(again <= most && (again == 0 || tries == 2), "{name}: asked {again} times more");
        let open: usize = proxy
            .proxy()
            .sites()
            .flat_map(|site| site.admission().snapshot().lanes)
            .map(|lane| lane.open)
            .sum();
        assert_eq!(open, 0, "{name}: every try is closed");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_request_and_a_mere_wait_stay_where_they_are() {
    let b = says(SAID).await;
    let wrong = Recorder::start(|_, _| Reply::Json(400, WRONG)).await;
    let proxy_of_wrong = proxy(&two(&wrong, &b, TO_B)).await;
    assert_eq!(ask(&proxy_of_wrong).await.status(), 400);
    let limited = Recorder::start(|n, _| match n {
        0 => Reply::With(429, LIMITED, vec![("retry-after-ms", "20")]),
        _ => Reply::Json(200, SAID),
    })
    .await;
    let proxy_of_limited = proxy(&two(&limited, &b, TO_B)).await;
    assert_eq!(ask(&proxy_of_limited).await.status(), 200);
    assert_eq!((limited.seen().len(), b.seen().len()), (2, 0));
}

#[tokio::test]
async fn where_all_fail_the_last_ones_words_are_told() {
    let a = Recorder::start(|_, _| Reply::Json(404, NO_MODEL)).await;
    let b = Recorder::start(|_, _| Reply::Json(429, NO_QUOTA)).await;
    let proxy = proxy(&two(&a, &b, TO_B)).await;
    let answer = ask(&proxy).await;
    assert_eq!((answer.status().as_u16(), answer.text().as_str()), (429, NO_QUOTA));
}

#[tokio::test]
async fn after_a_byte_went_to_the_client_nothing_goes_elsewhere() {
    let breaks = Arc::new(Notify::new());
    let told = Arc::clone(&breaks);
    let a = Recorder::start(move |_, _| Reply::Events(BEGUN, End::Broken(Arc::clone(&told)))).await;
    let b = says(SAID).await;
    let proxy = proxy(&two(&a, &b, TO_B)).await;
    let streamed = HELLO.replace("\"max_tokens\":8", "\"stream\":true");
    let answer = App::new(proxy.listen(), "notebook").open(CHAT, &streamed).await;
    assert_eq!(answer.status(), 200);
    breaks.notify_one();
    assert!(answer.into_body().collect().await.is_err(), "it ended as if it were whole");
    assert_eq!((a.seen().len(), b.seen().len()), (1, 0), "it went elsewhere in the middle");
}

const BEGUN: &[&str] = &["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\"}}]}\n\n"];

#[tokio::test]
async fn who_would_wait_too_long_goes_elsewhere_where_that_is_configured() {
    let a =
        Recorder::start(|n, _| if n == 0 { Reply::Silence } else { Reply::Json(200, SAID) }).await;
    let b = says(SAID).await;
    let slot = "limits = [{ models = \"*\", concurrency = 1 }]\n[[upstreams]]\nname = \"b\"";
    let waits = format!("{TO_B}fallback_on_wait = \"50ms\"\n");
    let toml = two(&a, &b, &waits).replace("[[upstreams]]\nname = \"b\"", slot);
    let proxy = proxy(&toml).await;
    let address = proxy.listen();
    let first = tokio::spawn(async move { App::new(address, "notebook").post(CHAT, HELLO).await });
    a.asked(1).await;
    let answer = timeout(Duration::from_secs(20), ask(&proxy)).await.expect("it waits");
    assert_eq!(answer.header("x-sluicegate-upstream"), Some("b"));
    assert_eq!((a.seen().len(), b.seen().len()), (1, 1));
    assert_eq!(proxy.proxy().admission().snapshot().waiting, 0, "it left the line");
    first.abort();
}

#[tokio::test]
async fn what_is_too_large_for_one_goes_to_the_next() {
    let (a, b) = (says(SAID).await, says(SAID).await);
    let small =
        "limits = [{ models = \"*\", tokens_per_minute = 10 }]\n[[upstreams]]\nname = \"b\"";
    let toml = two(&a, &b, TO_B).replace("[[upstreams]]\nname = \"b\"", small);
    let proxy = proxy(&toml).await;
    assert_eq!(ask(&proxy).await.header("x-sluicegate-upstream"), Some("b"));
    assert!(a.seen().is_empty());
}

#[tokio::test]
async fn a_stream_is_not_asked_for_its_usage_where_that_was_not_understood() {
    const UNKNOWN: &str = r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}"#;
    let a = Recorder::start(|_, seen| match seen.text().contains("stream_options") {
        true => Reply::Json(422, UNKNOWN),
        false => Reply::Events(BEGUN, End::Clean),
    })
    .await;
    let b = says(SAID).await;
    let proxy = proxy(&two(&a, &b, "[[routes]]\nmodels = \"b\"\nupstream = \"b\"\n")).await;
    let streamed = HELLO.replace("\"max_tokens\":8", "\"stream\":true");
    let app = App::new(proxy.listen(), "notebook");
    for tries in [2, 3] {
        let answer = app.post(CHAT, &streamed).await;
        assert_eq!((answer.status().as_u16(), answer.text()), (200, BEGUN.concat()));
        assert_eq!(a.seen().len(), tries, "it is known after the first");
        assert_eq!(a.seen().last().map(Seen::text), Some(streamed.clone()));
    }
}

//! Providers that ask for keys, paths and models in their own way.

use http::Request;
use http_body_util::Full;
use sluicegate::server::Running;

use crate::house::{App, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{End, Recorder, Reply};
use crate::routes::says;

/// One upstream of a dialect, at `path` of the recorder's host.
fn speaking(recorder: &Recorder, dialect: &str, path: &str, more: &str) -> String {
    let base = recorder.base_url().replace("/v1", path);
    format!(
        "[[upstreams]]\nname = \"{dialect}\"\nbase_url = \"{base}\"\ndialect = \"{dialect}\"\n{more}\n\
         accounts = [{{ name = \"main\", keys = [{{ key = \"ours\", label = \"ours\" }}] }}]\n"
    )
}

async fn ask(proxy: &Running, path: &str, body: &str) -> u16 {
    App::new(proxy.listen(), "notebook").post(path, body).await.status().as_u16()
}

const DEPLOYMENTS: &str = "deployments = [{ model = \"gpt-4o\", name = \"mine\" }]";

#[tokio::test]
async fn azure_gets_its_key_and_the_name_of_the_deployment_in_the_body() {
    let azure = says(SAID).await;
    let proxy = proxy(&speaking(&azure, "azure", "/openai/v1", DEPLOYMENTS)).await;
    assert_eq!(ask(&proxy, CHAT, HELLO).await, 200);
    let seen = azure.seen().remove(0);
    assert_eq!(seen.path, "/openai/v1/chat/completions");
    assert_eq!(seen.text(), HELLO.replace("gpt-4o", "mine"));
    assert_eq!((seen.header("api-key"), seen.header("authorization")), (Some("ours"), None));
}

#[tokio::test]
async fn azures_older_paths_name_the_deployment_and_leave_the_body_alone() {
    let azure = says(SAID).await;
    let dated = format!("{DEPLOYMENTS}\napi_version = \"2024-10-21\"");
    let proxy = proxy(&speaking(&azure, "azure", "/openai", &dated)).await;
    assert_eq!(ask(&proxy, CHAT, HELLO).await, 200);
    let seen = azure.seen().remove(0);
    assert_eq!(seen.path, "/openai/deployments/mine/chat/completions?api-version=2024-10-21");
    assert_eq!(seen.text(), HELLO);
}

#[tokio::test]
async fn a_client_of_azures_is_counted_wherever_it_is_led() {
    let (azure, other) = (says(SAID).await, says(SAID).await);
    let more = format!(
        "[[upstreams]]\nname = \"other\"\nbase_url = \"{}\"\naccounts = [{{ name = \"b\", keys = \
         [{{ key = \"b\", label = \"b\" }}] }}]\n[[routes]]\nmodels = \"far\"\nupstream = \"other\"\n",
        other.base_url()
    );
    let proxy = proxy(&format!("{}{more}", speaking(&azure, "azure", "/openai/v1", ""))).await;
    // Its body need not name the model.
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":8}"#;
    let path =
        |name: &str| format!("/openai/deployments/{name}/chat/completions?api-version=2024-10-21");
    let app = App::new(proxy.listen(), "notebook");
    for name in ["near", "far"] {
        let request = Request::post(format!("http://{}{}", proxy.listen(), path(name)))
            .header("api-key", "notebook")
            .body(Full::from(body))
            .expect("a request");
        let answer = app.send(request).await;
        assert_eq!(
            answer.header("x-sluicegate-charged-tokens"),
            Some("9"),
            "{name} is not counted"
        );
    }
    assert_eq!((azure.seen()[0].path.clone(), azure.seen()[0].text()), (path("near"), body.into()));
    let led = other.seen().remove(0);
    assert_eq!(led.path, "/v1/chat/completions");
    assert_eq!(led.text(), body.replacen('{', "{\"model\":\"far\",", 1));
    assert_eq!(led.header("authorization"), Some("Bearer b"));
}

const MESSAGE: &str = r#"{"model":"claude-x","max_tokens":50,"system":"be brief","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#;
const ANSWERED: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":5,"output_tokens":7}}"#;

async fn claude(recorder: &Recorder) -> Running {
    proxy(&speaking(recorder, "anthropic", "/v1", "")).await
}

#[tokio::test]
async fn anthropics_messages_are_counted_and_settled_with_what_the_cache_gave() {
    let provider = says(ANSWERED).await;
    let proxy = claude(&provider).await;
    let request = Request::post(format!("http://{}/v1/messages", proxy.listen()))
        .header("x-api-key", "notebook")
        .header("anthropic-version", "2023-06-01")
        .body(Full::from(MESSAGE))
        .expect("a request");
    let answer = App::new(proxy.listen(), "notebook").send(request).await;
    assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, ANSWERED));
    assert_eq!(answer.header("x-sluicegate-charged-tokens"), Some("25"));
    assert_eq!(answer.header("x-sluicegate-count"), Some("approximate"));
    let seen = provider.seen().remove(0);
    assert_eq!((seen.path.as_str(), seen.text().as_str()), ("/v1/messages", MESSAGE));
    assert_eq!((seen.header("x-api-key"), seen.header("authorization")), (Some("ours"), None));
    assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
    let metrics = App::new(proxy.admin(), "").get("/metrics").await.text();
    for line in ["kind=\"input\"} 18", "kind=\"cached\"} 5", "kind=\"output\"} 7"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

const EVENTS: &[&str] = &[
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[],\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];

#[tokio::test]
async fn a_stream_of_messages_is_settled_with_its_beginning_and_its_end() {
    let provider = Recorder::start(|_, _| Reply::Events(EVENTS, End::Clean)).await;
    let proxy = claude(&provider).await;
    let body = MESSAGE.replacen('{', "{\"stream\":true,", 1);
    let answer = App::new(proxy.listen(), "notebook").post("/v1/messages", &body).await;
    assert_eq!(answer.text(), EVENTS.concat());
    assert_eq!(provider.seen()[0].text(), body, "nothing is asked for that the client did not");
    let metrics = App::new(proxy.admin(), "").get("/metrics").await.text();
    for line in ["kind=\"input\"} 15", "kind=\"cached\"} 5", "kind=\"output\"} 7"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn who_asks_for_anthropics_paths_is_refused_in_its_words() {
    let provider = says(ANSWERED).await;
    let limit = "limits = [{ models = \"*\", input_tokens_per_minute = 5 }]";
    let proxy = proxy(&speaking(&provider, "anthropic", "/v1", limit)).await;
    let app = App::new(proxy.listen(), "notebook");
    let large = app.post("/v1/messages", MESSAGE).await;
    assert_eq!(large.status(), 429);
    let error = large.json();
    assert_eq!(error["type"], "error", "{error}");
    assert_eq!(error["error"]["type"], "rate_limit_error", "{error}");
    assert_eq!(large.header("x-should-retry"), Some("false"));
    let wrong = app.post("/v1/messages", "{").await.json();
    assert_eq!(wrong["error"]["type"], "invalid_request_error", "{wrong}");
    let chat = app.post(CHAT, "{").await.json();
    assert_eq!(chat["type"], serde_json::Value::Null, "{chat}");
}

#[tokio::test]
async fn an_overload_is_tried_again_and_counting_a_prompt_has_a_lane_of_its_own() {
    const OVERLOADED: &str =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let provider = Recorder::start(|n, seen| match n {
        0 => Reply::Json(529, OVERLOADED),
        _ if seen.path.ends_with("count_tokens") => Reply::Json(200, r#"{"input_tokens":14}"#),
        _ => Reply::Json(200, ANSWERED),
    })
    .await;
    let proxy = claude(&provider).await;
    assert_eq!(ask(&proxy, "/v1/messages", MESSAGE).await, 200);
    assert_eq!(ask(&proxy, "/v1/messages/count_tokens", MESSAGE).await, 200);
    assert_eq!(provider.seen().len(), 3);
    let lanes = proxy.proxy().admission().snapshot().lanes;
    let groups: Vec<&str> = lanes.iter().map(|lane| lane.group.as_str()).collect();
    assert_eq!(groups, ["(other paths)", "claude-x"]);
}

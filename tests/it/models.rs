//! The list of models of several upstreams.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use sluicegate::simulate::engine::Limits;
use sluicegate::simulate::{Config, Dialect, Provider};

use crate::house::{Answer, App, proxy};
use crate::recorder::{Recorder, Reply};
use crate::routes::{two, upstream};

const OF_A: &str = r#"{"object":"list","data":[{"id":"gpt-4o","object":"model","created":1,"owned_by":"a","more":[1]},{"id":"llama-3","object":"model","created":2,"owned_by":"a"}]}"#;
const OF_B: &str = r#"{"object":"list","data":[{"id":"llama-3","object":"model","created":3,"owned_by":"b"},{"id":"gpt-4o","object":"model","created":4,"owned_by":"b"}]}"#;
const TO_B: &str = "[[routes]]\nmodels = \"llama-*\"\nupstream = \"b\"\n\
    [[routes]]\npath = \"/b\"\nupstream = \"b\"\n\
    [[models]]\nname = \"fast\"\nmodel = \"gpt-4o\"\n";

async fn says(status: u16, body: &'static str) -> Recorder {
    Recorder::start(move |_, _| Reply::Json(status, body)).await
}

fn ids(answer: &Answer) -> Vec<(String, String)> {
    let list = answer.json();
    assert_eq!(list.get("object"), Some(&Value::from("list")), "{list}");
    let text = |model: &Value, name: &str| {
        model.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let all = list.get("data").and_then(Value::as_array).expect("models");
    all.iter().map(|model| (text(model, "id"), text(model, "owned_by"))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, owner)| ((*id).to_owned(), (*owner).to_owned())).collect()
}

#[tokio::test]
async fn each_model_stands_there_once_as_the_upstream_has_it_that_it_is_asked_of() {
    let (a, b) = (says(200, OF_A).await, says(200, OF_B).await);
    let proxy = proxy(&two(&a, &b, TO_B)).await;
    let app = App::new(proxy.listen(), "notebook");
    let answer = app.get("/v1/models").await;
    let expected = [("gpt-4o", "a"), ("llama-3", "b"), ("fast", "sluicegate")];
    assert_eq!(ids(&answer), pairs(&expected));
    assert!(answer.text().contains("\"more\":[1]"), "as it was told: {}", answer.text());
    assert_eq!(answer.header("x-sluicegate-unlisted"), None);
    assert_eq!(app.get("/b/v1/models").await.text(), OF_B, "who names a place wants that place");
}

#[tokio::test]
async fn an_upstream_that_fails_is_named_and_the_others_are_listed() {
    let (a, b) = (says(200, OF_A).await, says(401, "{}").await);
    let proxy = proxy(&two(&a, &b, TO_B)).await;
    let answer = App::new(proxy.listen(), "notebook").get("/v1/models").await;
    assert_eq!(ids(&answer), pairs(&[("gpt-4o", "a"), ("fast", "sluicegate")]));
    assert_eq!(answer.header("x-sluicegate-unlisted"), Some("b"));
}

#[tokio::test]
async fn where_all_fail_the_first_says_why() {
    let (a, b) = (says(403, r#"{"error":{"message":"no"}}"#).await, says(401, "{}").await);
    let proxy = proxy(&two(&a, &b, TO_B)).await;
    let answer = App::new(proxy.listen(), "notebook").get("/v1/models").await;
    assert_eq!((answer.status().as_u16(), answer.text().contains("no")), (403, true));
}

#[tokio::test]
async fn models_of_anthropic_are_told_in_openais_words() {
    let config =
        Config { dialect: Dialect::Anthropic, ..Config::single("claude", Limits::default()) };
    let provider = Provider::bind(config).await.expect("a provider");
    let a = says(200, OF_A).await;
    let claude = upstream("claude", &provider.base_url()).replacen(
        "name",
        "dialect = \"anthropic\"\nname",
        1,
    );
    let route = "[[routes]]\nmodels = \"claude-*\"\nupstream = \"claude\"\n";
    let proxy = proxy(&format!("{}{claude}{route}", upstream("a", &a.base_url()))).await;
    let app = App::new(proxy.listen(), "notebook");
    let answer = app.get("/v1/models").await;
    let all = ids(&answer);
    assert!(all.contains(&("gpt-4o".to_owned(), "a".to_owned())), "{all:?}");
    let claude = all.iter().find(|(id, _)| id.starts_with("claude-")).expect("Anthropic's");
    assert_eq!(claude.1, "claude");
    assert!(answer.text().contains("\"created\":1747180800"), "{}", answer.text());

    let request = Request::get(format!("http://{}/v1/models?limit=1000", proxy.listen()))
        .header("x-api-key", "notebook")
        .header("anthropic-version", "2023-06-01");
    let told = app.send(request.body(Full::<Bytes>::default()).expect("a request")).await.json();
    let first = told.pointer("/data/0").expect("models in its own words");
    assert_eq!(first.get("type"), Some(&Value::from("model")), "{told}");
    assert!(first.get("id").is_some_and(|id| id.to_string().contains("claude")), "{told}");
}

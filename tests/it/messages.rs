//! Anthropic's messages at the simulated provider, direct and through the proxy.

use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use sluicegate::server::Running;
use sluicegate::simulate::engine::{Charging, Key, KeyState, Limits};
use sluicegate::simulate::{Config, Dialect, Faults, Latency, Outputs, Provider};

use crate::house::{Answer, App, proxy};

const KEY: &str = "sk-ant-1";
const MODEL: &str = "claude-sonnet-4-5";

fn config(limits: Limits) -> Config {
    Config {
        dialect: Dialect::Anthropic,
        latency: Latency { first_token: Duration::ZERO, per_token: Duration::ZERO, jitter: 0.0 },
        outputs: Outputs { mean: 30.0, sigma: 0.5 },
        ..Config::single(KEY, limits)
    }
}

async fn provider(limits: Limits) -> Provider {
    Provider::bind(config(limits)).await.expect("a free port")
}

fn apart(input: u64, output: u64) -> Limits {
    Limits {
        requests_per_minute: Some(50),
        input_per_minute: Some(input),
        output_per_minute: Some(output),
        charging: Charging::Split,
        ..Limits::default()
    }
}

/// Sends a body as Anthropic's SDK does.
async fn ask(at: SocketAddr, path: &str, key: &str, body: &Value) -> Answer {
    let request = Request::post(format!("http://{at}{path}"))
        .header("x-api-key", key)
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .expect("a request");
    App::new(at, "unused").send(request).await
}

async fn message(provider: &Provider, more: Value) -> Answer {
    ask(provider.addr(), "/v1/messages", KEY, &asked(more)).await
}

fn asked(more: Value) -> Value {
    let mut body = json!({
        "model": MODEL,
        "max_tokens": 1_000,
        "messages": [{"role": "user", "content": "hello"}],
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("fields").clone());
    body
}

/// Reads named events; each data says its name once more.
fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let blocks = text.split_terminator("\n\n").map(|block| {
        let (name, data) = block.split_once('\n').expect("two lines");
        let data: Value =
            serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), data.get("type").and_then(Value::as_str));
        data
    });
    blocks.collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    kinds.dedup();
    kinds
}

fn said(events: &[Value], delta: &str) -> String {
    let deltas = events.iter().filter_map(|event| event.get("delta")?.get(delta)?.as_str());
    deltas.collect()
}

#[tokio::test]
async fn a_stream_of_events_says_the_same_as_the_message() {
    let provider = provider(Limits::default()).await;
    let whole = message(&provider, json!({})).await;
    assert_eq!(whole.status(), 200);
    assert!(whole.header("request-id").is_some_and(|id| id.starts_with("req_")));
    assert_eq!(whole.header("openai-version"), None);
    let whole = whole.json();
    assert_eq!((&whole["type"], &whole["stop_reason"]), (&json!("message"), &json!("end_turn")));
    let streamed = events(&message(&provider, json!({"stream": true})).await);
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds(&streamed), expected);
    assert_eq!(said(&streamed, "text"), whole["content"][0]["text"].as_str().expect("text"));
    assert_eq!(streamed[0]["message"]["content"], json!([]));
    let end = &streamed[streamed.len() - 2];
    assert_eq!(end["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
    assert_eq!(end["delta"]["stop_reason"], "end_turn");
}

#[tokio::test]
async fn a_tool_that_must_be_called_gets_input_that_fits_its_schema() {
    let provider = provider(Limits::default()).await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let more = json!({
        "tools": [{"name": "weather", "description": "Tells it.", "input_schema": schema}],
        "tool_choice": {"type": "tool", "name": "weather"},
    });
    let whole = message(&provider, more.clone()).await.json();
    let call = &whole["content"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("tool_use"), &json!("weather")));
    assert!(call["input"]["city"].is_string(), "{call}");
    assert_eq!(whole["stop_reason"], "tool_use");
    let mut more = more;
    more["stream"] = true.into();
    let streamed = events(&message(&provider, more).await);
    let input: Value = serde_json::from_str(&said(&streamed, "partial_json")).expect("JSON");
    assert_eq!(input, call["input"]);
}

#[tokio::test]
async fn what_is_thought_is_told_before_the_answer_and_paid_with_it() {
    let provider = provider(Limits::default()).await;
    let more = json!({"thinking": {"type": "enabled", "budget_tokens": 100}});
    let plain = message(&provider, json!({})).await.json();
    let whole = message(&provider, more.clone()).await.json();
    let output = |message: &Value| message["usage"]["output_tokens"].as_u64().expect("a number");
    assert_eq!((&whole["content"][0]["type"]), &json!("thinking"));
    assert_eq!(whole["content"][1]["text"], plain["content"][0]["text"]);
    assert!(output(&whole) > output(&plain));
    let mut more = more;
    more["stream"] = true.into();
    let streamed = events(&message(&provider, more).await);
    assert_eq!(
        said(&streamed, "thinking"),
        whole["content"][0]["thinking"].as_str().expect("text")
    );
    assert!(said(&streamed, "signature").starts_with("sig"));
    assert_eq!(said(&streamed, "text"), whole["content"][1]["text"].as_str().expect("text"));
}

#[tokio::test]
async fn what_is_marked_is_cached_and_stands_beside_the_input() {
    let provider = provider(apart(10_000, 10_000)).await;
    let long = "word ".repeat(1_500);
    let more = json!({"system": [
        {"type": "text", "text": long, "cache_control": {"type": "ephemeral"}},
    ]});
    let usage = |answer: Answer| {
        let usage = answer.json()["usage"].clone();
        let names = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
        names.map(|name| usage[name].as_u64().expect("a number"))
    };
    let counted =
        ask(provider.addr(), "/v1/messages/count_tokens", KEY, &asked(more.clone())).await;
    let all = counted.json()["input_tokens"].as_u64().expect("a number");
    let first = usage(message(&provider, more.clone()).await);
    let [input, written, read] = first;
    assert_eq!((input + written, read), (all, 0));
    assert!(written > 1_500, "{written}");
    assert_eq!(usage(message(&provider, more).await), [input, 0, written]);
    let unmarked = usage(message(&provider, json!({"system": long})).await);
    assert_eq!(unmarked, [all, 0, 0]);
    let charged = provider.stats().lanes[0].tally.prompt;
    assert_eq!(charged, all + input + all, "what the cache gave is free of limits");
}

#[tokio::test]
async fn errors_have_the_vendors_shape_and_names() {
    let mut config = config(apart(60, 10_000));
    config.rules.models = vec!["claude-*".to_owned()];
    config.rules.organisations[0]
        .keys
        .push(Key { state: KeyState::OutOfQuota, ..Key::valid("sk-poor") });
    let provider = Provider::bind(config).await.expect("a free port");
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        (KEY,       json!({"messages": []}),                400, "invalid_request_error", "messages: at least one"),
        (KEY,       json!({"max_tokens": 0}),               400, "invalid_request_error", "max_tokens: "),
        (KEY,       json!({"max_tokens": null}),            400, "invalid_request_error", "max_tokens: "),
        (KEY,       json!({"model": "gpt-4o"}),             404, "not_found_error",       "model: gpt-4o"),
        ("sk-none", json!({}),                              401, "authentication_error",  "invalid x-api-key"),
        ("sk-poor", json!({}),                              400, "invalid_request_error", "credit balance is too low"),
        (KEY,       json!({"system": "word ".repeat(100)}), 429, "rate_limit_error",      "rate limit of 60 input tokens per minute"),
    ];
    for (key, more, status, kind, words) in cases {
        let answer = ask(provider.addr(), "/v1/messages", key, &asked(more)).await;
        let error = answer.json();
        assert_eq!(
            (answer.status().as_u16(), &error["type"]),
            (status, &json!("error")),
            "{error}"
        );
        assert_eq!(error["error"]["type"], kind, "{error}");
        assert!(error["error"]["message"].as_str().expect("words").contains(words), "{error}");
        assert_eq!(answer.header("request-id"), error["request_id"].as_str());
    }
    let request = Request::post(format!("http://{}/v1/messages", provider.addr()))
        .header("x-api-key", KEY)
        .body(Full::from(asked(json!({})).to_string()))
        .expect("a request");
    let answer = App::new(provider.addr(), "unused").send(request).await;
    assert_eq!(answer.status(), 400, "it does not say which version it speaks");
}

#[tokio::test]
async fn too_much_to_do_has_a_status_of_its_own() {
    let faults = Faults { server_error: 1.0, ..Faults::default() };
    let provider = Provider::bind(Config { faults, ..config(Limits::default()) }).await;
    let provider = provider.expect("a free port");
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..20 {
        let answer = message(&provider, json!({"system": format!("number {number}")})).await;
        let kind = answer.json()["error"]["type"].as_str().expect("a type").to_owned();
        seen.insert((answer.status().as_u16(), kind));
    }
    let expected = [(500, "api_error".to_owned()), (529, "overloaded_error".to_owned())];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

/// A proxy before `provider`.
async fn through(provider: &Provider) -> Running {
    let base = provider.base_url();
    let upstream = format!(
        "[[upstreams]]\nname = \"claude\"\nbase_url = \"{base}\"\ndialect = \"anthropic\"\naccounts = [{{ \
         name = \"main\", keys = [{{ key = \"{KEY}\", label = \"ours\" }}] }}]\n"
    );
    proxy(&upstream).await
}

#[tokio::test]
async fn through_the_proxy_every_body_is_the_same_and_every_token_is_settled() {
    let provider = provider(apart(100_000, 20_000)).await;
    let proxy = through(&provider).await;
    let long = "word ".repeat(1_500);
    let marked = json!([{"type": "text", "text": long, "cache_control": {"type": "ephemeral"}}]);
    let tool = json!([{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]);
    let each = [
        json!({}),
        json!({"stream": true}),
        json!({"system": marked}),
        json!({"system": marked, "stream": true}),
        json!({"tools": tool, "tool_choice": {"type": "any"}}),
        json!({"thinking": {"type": "enabled", "budget_tokens": 64}, "stream": true}),
    ];
    let mut answers = Vec::new();
    for more in &each {
        let body = asked(more.clone());
        answers.push(ask(proxy.listen(), "/v1/messages", "notebook", &body).await);
    }
    let metrics = App::new(proxy.admin(), "").get("/metrics").await.text();
    let told = |kind: &str| -> u64 {
        let kind = format!("account=\"main\",kind=\"{kind}\"}} ");
        let numbers =
            metrics.lines().filter_map(|line| line.split_once(&kind)?.1.parse::<u64>().ok());
        numbers.sum()
    };
    let tally = provider.stats().lanes[0].tally.clone();
    assert_eq!(told("input") - told("cached"), tally.prompt, "{metrics}");
    assert_eq!(told("output"), tally.output, "{metrics}");
    for (more, through) in each.iter().zip(&answers) {
        let direct = message(&provider, more.clone()).await;
        assert_eq!(through.status(), 200, "{}", through.text());
        assert_eq!(gist(through), gist(&direct), "{more}");
    }
}

/// Returns what an answer says: its contents or events, without ids and what the cache gave.
fn gist(answer: &Answer) -> Vec<Value> {
    let mut parts = match answer.header("content-type") {
        Some("application/json") => vec![answer.json()],
        _ => events(answer),
    };
    for part in &mut parts {
        if part["type"] == "message_start" {
            *part = part["message"].take();
        }
        let fields = part.as_object_mut().expect("an object");
        for new in ["id", "usage"] {
            fields.remove(new);
        }
        for block in ["content", "content_block"] {
            blank_ids(fields.get_mut(block));
        }
        blank_ids(fields.get_mut("delta"));
    }
    parts
}

/// Removes what is made anew for each answer from a block, or from several.
fn blank_ids(value: Option<&mut Value>) {
    match value {
        Some(Value::Array(blocks)) => blocks.iter_mut().for_each(|block| blank_ids(Some(block))),
        Some(Value::Object(fields)) => {
            fields.remove("id");
            fields.remove("signature");
        }
        _ => {}
    }
}

//! A real inference server as the upstream: llama.cpp's, with a tiny random model.
//!
//! Nothing here is simulated but the weights: what llama.cpp tells of its usage is what must be
//! settled, and what it writes is what the client must get. `tests/run server` installs it and names
//! it to this binary; `cargo test` alone leaves it out.

#![expect(clippy::expect_used, reason = "a test binary: helpers outside test functions fail so")]

use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sluicegate::server::Running;
use tokio::task::JoinSet;

#[path = "../it/house.rs"]
#[expect(dead_code, reason = "it is the house of another test binary, too")]
mod house;
mod process;

use house::{Answer, App, one_account, proxy};
use process::{Server, client};

/// Starts a proxy before it, with more settings of the upstream.
async fn proxy_of(base_url: &str, more: &str) -> Running {
    proxy(&one_account(base_url, "sk-nobody-asks", more)).await
}

fn settled(proxy: &Running) -> u64 {
    proxy.proxy().metrics().totals().settled.count()
}

/// The requests that are answered with texts, each for `tokens` tokens; their answers do not depend on
/// chance, as the likeliest word is taken.
fn asks(tokens: u32) -> Vec<(&'static str, Value)> {
    let says = |text: &str| json!([{"role": "user", "content": text}]);
    vec![
        ("/v1/chat/completions", json!({"messages": says("hi"), "max_tokens": tokens})),
        ("/v1/completions", json!({"prompt": "once upon a time", "max_tokens": tokens})),
        ("/v1/responses", json!({"input": "tell me a story", "max_output_tokens": tokens})),
        ("/v1/messages", json!({"messages": says("good morning"), "max_tokens": tokens})),
    ]
}

fn likeliest(mut body: Value, stream: bool) -> String {
    body["model"] = "nonsense".into();
    body["temperature"] = 0.into();
    body["stream"] = stream.into();
    body.to_string()
}

#[tokio::test]
async fn each_endpoint_answers_as_it_does_directly_and_is_settled_to_the_token() {
    let server = Server::alone().await;
    let (proxy, direct) = (proxy_of(&server.texts(), "").await, client(&server.texts()));
    let app = App::new(proxy.listen(), "notebook");
    for (path, body) in asks(48) {
        let body = likeliest(body, false);
        let (plain, before) = (direct.post(path, &body).await, settled(&proxy));
        let through = app.post(path, &body).await;
        assert_eq!(through.status(), StatusCode::OK, "{path}: {}", through.text());
        assert_eq!(timeless(through.json()), timeless(plain.json()), "{path}");
        let used = total(&through.json()["usage"]);
        assert!(used > 48, "{path}: {}", through.text());
        assert_eq!(settled(&proxy) - before, used, "{path}");
        assert_eq!(through.header("x-sluicegate-charged-tokens"), Some(&*used.to_string()));
    }
}

#[tokio::test]
async fn each_stream_is_the_direct_one_and_is_settled_to_the_token() {
    let server = Server::alone().await;
    let (proxy, direct) = (proxy_of(&server.texts(), "").await, client(&server.texts()));
    let app = App::new(proxy.listen(), "notebook");
    for (path, body) in asks(48) {
        // What the same answer uses when it comes whole.
        let whole = direct.post(path, &likeliest(body.clone(), false)).await.json();
        let body = likeliest(body, true);
        let (plain, before) = (direct.post(path, &body).await, settled(&proxy));
        let through = app.post(path, &body).await;
        let (heard, said) = (events(&through), events(&plain));
        assert!(heard.len() > 48, "{path}: {}", through.text());
        assert_eq!(heard, said, "{path}");
        assert_eq!(settled(&proxy) - before, total(&whole["usage"]), "{path}");
    }
}

#[tokio::test]
async fn embeddings_are_the_servers_and_are_settled_to_the_token() {
    let server = Server::alone().await;
    let base_url = server.embeddings();
    let proxy = proxy_of(&base_url, "").await;
    let app = App::new(proxy.listen(), "notebook");
    for format in ["float", "base64"] {
        let ask = json!({"model": "nonsense", "input": ["a boat", "the sea"],
                         "encoding_format": format});
        let before = settled(&proxy);
        let through = app.post("/v1/embeddings", &ask.to_string()).await;
        let plain = client(&base_url).post("/v1/embeddings", &ask.to_string()).await;
        assert_eq!(through.json(), plain.json());
        let used = total(&through.json()["usage"]);
        assert!(used > 0, "{}", through.text());
        assert_eq!(settled(&proxy) - before, used);
    }
}

#[tokio::test]
async fn models_and_errors_reach_the_client_as_the_server_tells_them() {
    let server = Server::alone().await;
    let (proxy, direct) = (proxy_of(&server.texts(), "").await, client(&server.texts()));
    let app = App::new(proxy.listen(), "notebook");
    let (through, plain) = (app.get("/v1/models").await, direct.get("/v1/models").await);
    assert_eq!(through.json()["data"][0]["id"], "nonsense");
    assert_eq!(timeless(through.json()), timeless(plain.json()));

    let endless = "a".repeat(40_000);
    let cases = [
        ("/v1/chat/completions", json!({"model": "nonsense"})),
        ("/v1/completions", json!({"model": "nonsense", "prompt": endless, "max_tokens": 3})),
        ("/v1/nothing", json!({})),
    ];
    for (path, body) in cases {
        let body = body.to_string();
        let (through, plain) = (app.post(path, &body).await, direct.post(path, &body).await);
        assert!(plain.status().is_client_error(), "{path}: {}", plain.text());
        assert_eq!((through.status(), through.text()), (plain.status(), plain.text()), "{path}");
    }
    assert_eq!(settled(&proxy), 0, "an error costs no tokens");
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_the_server_and_is_settled_by_what_it_saw() {
    const FAR_TOO_MANY: u32 = 30_000;
    let server = Server::alone().await;
    let proxy = proxy_of(&server.texts(), "").await;
    let before = server.written().await;
    for (path, body) in asks(FAR_TOO_MANY) {
        let settled_before = settled(&proxy);
        // A client of its own: with it goes its connection.
        let app = App::new(proxy.listen(), "notebook");
        let mut answer = app.open(path, &likeliest(body, true)).await.into_body();
        let mut seen = 0;
        while seen < 20 {
            let frame = answer.frame().await.expect("more to come").expect("a frame");
            let text = String::from_utf8_lossy(frame.data_ref().expect("data")).into_owned();
            seen += text.matches("data: ").count();
        }
        drop((answer, app));
        while server.busy().await > 0 || settled(&proxy) == settled_before {
            tokio::task::yield_now().await;
        }
        assert!(settled(&proxy) - settled_before < u64::from(FAR_TOO_MANY), "{path}");
    }
    let written = server.written().await - before;
    assert!(written < u64::from(FAR_TOO_MANY), "{written} tokens for nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_clients_than_the_server_has_slots_wait_in_line() {
    const CLIENTS: usize = 8;
    /// A prompt as we count it, and its bound.
    const ASKED: [u64; 2] = [3, 100];
    let server = Server::alone().await;
    let slots = "[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 2\n";
    let proxy = proxy_of(&server.texts(), slots).await;
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let app = App::new(proxy.listen(), "notebook");
        let body = json!({"prompt": format!("story {n}"), "max_tokens": ASKED[1]});
        let body = likeliest(body, n % 2 == 0);
        clients.spawn(async move { app.post("/v1/completions", &body).await });
    }
    let (mut waited, mut used) = (0, Vec::new());
    while !clients.is_empty() {
        let snapshot = proxy.proxy().admission().snapshot();
        let open: usize = snapshot.lanes.iter().map(|lane| lane.open).sum();
        assert!(open <= 2, "{open} at once");
        waited = waited.max(snapshot.waiting);
        while let Some(answer) = clients.try_join_next() {
            let answer = answer.expect("it is answered");
            assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text());
            used.extend(
                serde_json::from_slice(answer.0.body()).ok().map(|it: Value| total(&it["usage"])),
            );
        }
        tokio::task::yield_now().await;
    }
    assert!(waited > 0, "nobody waited");
    // Half of them are streams, and as long as the others.
    assert_eq!(used.len(), CLIENTS / 2);
    // A busy server may break a connection off: what it may have begun keeps its estimate, and is tried again.
    let tries = proxy.proxy().metrics().totals().counted.count() / ASKED[0];
    let again = tries.checked_sub(CLIENTS as u64).expect("each was tried");
    assert!(again <= 1, "{again} tries broke off");
    let begun = again * ASKED.iter().sum::<u64>();
    assert_eq!(settled(&proxy), 2 * used.iter().sum::<u64>() + begun);
}

/// Returns the sum of a usage object of any endpoint; what came from a cache is a part of the input
/// everywhere but in Anthropic's.
fn total(usage: &Value) -> u64 {
    let of = |name: &str| usage[name].as_u64().unwrap_or_default();
    let input = of("prompt_tokens") + of("input_tokens") + of("cache_read_input_tokens");
    input + of("completion_tokens") + of("output_tokens")
}

/// Returns the events of a stream, without what differs from one time to the next.
fn events(answer: &Answer) -> Vec<(Option<String>, Value)> {
    let text = answer.text();
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    let events = blocks.map(|block| {
        let name = block.lines().find_map(|line| line.strip_prefix("event: ")).map(str::to_owned);
        let data = block.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
        let data = serde_json::from_str(data).map_or_else(|_| data.into(), timeless);
        (name, data)
    });
    events.collect()
}

/// Takes out what differs from one time to the next: ids and times.
fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|name, _| !DIFFERENT.contains(&name.as_str()));
            fields.values_mut().for_each(|field| *field = timeless(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = timeless(item.take())),
        _ => {}
    }
    value
}

const DIFFERENT: [&str; 6] = ["id", "item_id", "created", "created_at", "completed_at", "timings"];

//! The simulated provider over real sockets: what SDKs and proxies get to see.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sluicegate::simulate::engine::{Counting, Key, KeyState, Limits, Stats};
use sluicegate::simulate::{Config, Faults, Latency, Outputs, Provider};

const KEY: &str = "sk-a";

/// A provider and a client of it; cloning it shares both.
#[derive(Clone)]
struct Bench {
    provider: Arc<Provider>,
    client: Client<HttpConnector, Full<Bytes>>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON answer")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    fn events(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).expect("UTF-8");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events = data.filter(|data| *data != "[DONE]");
        events.map(|data| serde_json::from_str(data).expect("JSON in every event")).collect()
    }
}

impl Bench {
    async fn new(config: Config) -> Self {
        let provider = Provider::bind(config).await.expect("a free port");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { provider: Arc::new(provider), client }
    }

    /// A provider without limits or latency.
    async fn free() -> Self {
        Self::new(config(Limits::default())).await
    }

    async fn ask(&self, method: &str, path: &str, key: &str, body: Vec<u8>) -> Answer {
        let response = self.open(method, path, key, body).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn open(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Vec<u8>,
    ) -> Result<http::Response<hyper::body::Incoming>, hyper_util::client::legacy::Error> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.provider.addr()))
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "multipart/form-data; boundary=b")
            .body(Full::from(body))
            .expect("a request");
        self.client.request(request).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, KEY, body.to_string().into_bytes()).await
    }

    async fn chat(&self, more: Value) -> Answer {
        self.post("/v1/chat/completions", chat(more)).await
    }

    /// Lets the provider run until its statistics are as wanted.
    async fn until(&self, wanted: impl Fn(&Stats) -> bool) -> Stats {
        loop {
            let stats = self.provider.stats();
            if wanted(&stats) {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn config(limits: Limits) -> Config {
    Config {
        latency: Latency { first_token: Duration::ZERO, per_token: Duration::ZERO, jitter: 0.0 },
        outputs: Outputs { mean: 30.0, sigma: 0.5 },
        ..Config::single(KEY, limits)
    }
}

fn chat(more: Value) -> Value {
    let mut body = json!({
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "hello"}],
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("fields").clone());
    body
}

fn tokens_per_minute(limit: u64) -> Limits {
    Limits { tokens_per_minute: Some(limit), ..Limits::default() }
}

fn tokens_in(text: &str) -> u64 {
    static VOCABULARY: LazyLock<tiktoken_rs::CoreBPE> =
        LazyLock::new(|| tiktoken_rs::o200k_base().expect("embedded"));
    VOCABULARY.encode_ordinary(text).len() as u64
}

#[tokio::test]
async fn a_chat_completion_tells_its_true_usage() {
    let bench = Bench::free().await;
    let answer = bench.chat(json!({"n": 2, "max_tokens": 1000})).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    let texts = body["choices"].as_array().expect("choices").iter();
    let texts = texts.map(|choice| choice["message"]["content"].as_str().expect("text"));
    let output: u64 = texts.map(tokens_in).sum();
    assert_eq!(body["usage"]["prompt_tokens"], 8, "3 + role + hello + 3");
    assert_eq!(body["usage"]["completion_tokens"], output);
    assert_eq!(body["usage"]["total_tokens"], output + 8);
    let stats = bench.provider.stats();
    assert_eq!((stats.lanes[0].tally.prompt, stats.lanes[0].tally.output), (8, output));
}

#[tokio::test]
async fn the_cookbooks_messages_and_tool_cost_what_the_provider_reported() {
    let bench = Bench::free().await;
    let tool: Value =
        serde_json::from_str(include_str!("simulate/weather_tool.json")).expect("JSON");
    let question = json!([
        {"role": "system",
         "content": "You are a helpful assistant that can answer to questions about the weather."},
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ]);
    let six: Value =
        serde_json::from_str(include_str!("simulate/six_messages.json")).expect("JSON");
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("gpt-4",  json!({"messages": six}), 129),
        ("gpt-4o", json!({"messages": six}), 124),
        ("gpt-4",  json!({"messages": question, "tools": tool}), 105),
        ("gpt-4o", json!({"messages": question, "tools": tool}), 101),
    ];
    for (model, mut more, tokens) in cases {
        more["model"] = model.into();
        let answer = bench.chat(more).await;
        assert_eq!(answer.json()["usage"]["prompt_tokens"], tokens, "{model}");
    }
}

#[tokio::test]
async fn a_stream_says_the_same_as_the_object_with_one_token_an_event() {
    let bench = Bench::free().await;
    let whole = bench.chat(json!({})).await.json();
    let stream =
        bench.chat(json!({"stream": true, "stream_options": {"include_usage": true}})).await;
    assert!(stream.header("content-type").starts_with("text/event-stream"));
    assert!(stream.body.ends_with(b"data: [DONE]\n\n"));
    let events = stream.events();
    let (usage, chunks) = events.split_last().expect("events");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], whole["usage"]);
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    let deltas = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    let deltas: Vec<&str> = deltas.filter(|delta| !delta.is_empty()).collect();
    assert!(deltas.iter().all(|delta| tokens_in(delta) == 1));
    assert_eq!(deltas.concat(), whole["choices"][0]["message"]["content"].as_str().expect("text"));
    assert_eq!(chunks.last().expect("a last")["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn a_stream_without_include_usage_never_speaks_of_usage() {
    let bench = Bench::free().await;
    let stream = bench.chat(json!({"stream": true})).await;
    assert!(stream.events().iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn an_answer_ends_at_its_bound() {
    let bench = Bench::free().await;
    let body = bench.chat(json!({"max_completion_tokens": 3})).await.json();
    assert_eq!(body["usage"]["completion_tokens"], 3);
    assert_eq!(body["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_required_tool_is_called_with_arguments_that_fit() {
    let bench = Bench::free().await;
    let tool: Value =
        serde_json::from_str(include_str!("simulate/weather_tool.json")).expect("JSON");
    let asked = json!({"tools": tool, "tool_choice": "required"});
    let body = bench.chat(asked.clone()).await.json();
    let call = &body["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["name"], "get_current_weather");
    let text = call["arguments"].as_str().expect("a text");
    let arguments: Value = serde_json::from_str(text).expect("valid JSON");
    assert!(arguments["location"].is_string() && arguments["unit"] == "celsius");
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    let mut streamed = asked;
    streamed["stream"] = true.into();
    let events = bench.chat(streamed).await.events();
    let pieces = events.iter().filter_map(|event| {
        event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
    });
    assert_eq!(pieces.collect::<String>(), text);
}

#[tokio::test]
async fn a_response_streams_numbered_events_that_agree_with_its_object() {
    let bench = Bench::free().await;
    let ask = json!({"model": "gpt-4o-mini", "input": "hello", "instructions": "Be brief."});
    let whole = bench.post("/responses", ask.clone()).await.json();
    let text = whole["output"][0]["content"][0]["text"].as_str().expect("text");
    assert_eq!(whole["usage"]["output_tokens"], tokens_in(text));
    let mut streamed = ask;
    streamed["stream"] = true.into();
    let events = bench.post("/v1/responses", streamed).await.events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    let deltas = events.iter().filter(|event| event["type"] == "response.output_text.delta");
    let deltas = deltas.map(|event| event["delta"].as_str().expect("text"));
    assert_eq!(deltas.collect::<String>(), text);
    let last = events.last().expect("events");
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["usage"], whole["usage"]);
}

#[tokio::test]
async fn completions_answer_every_prompt_and_repeat_it_when_asked() {
    let bench = Bench::free().await;
    let ask = json!({"model": "davinci-002", "prompt": ["one", "two"], "n": 2, "echo": true});
    let body = bench.post("/v1/completions", ask).await.json();
    let choices = body["choices"].as_array().expect("choices");
    let starts: Vec<&str> =
        choices.iter().map(|choice| &choice["text"].as_str().expect("text")[..3]).collect();
    assert_eq!(starts, ["one", "one", "two", "two"]);
    assert!(body["usage"]["completion_tokens"].as_u64().expect("tokens") <= 4 * 16);
}

#[tokio::test]
async fn embeddings_are_the_same_in_both_formats() {
    let bench = Bench::free().await;
    let ask = |format: &str| {
        json!({"model": "text-embedding-3-small", "input": ["a", [1, 2, 3]], "dimensions": 4,
               "encoding_format": format})
    };
    let floats = bench.post("/v1/embeddings", ask("float")).await.json();
    let base64 = bench.post("/v1/embeddings", ask("base64")).await.json();
    assert_eq!(floats["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    for index in 0..2 {
        let vector = floats["data"][index]["embedding"].as_array().expect("floats");
        let vector = vector.iter().map(|part| part.as_f64().expect("a number"));
        let length: f64 = vector.clone().map(|part| part * part).sum();
        assert!((length - 1.0).abs() < 1e-5, "a unit vector");
        let text = base64["data"][index]["embedding"].as_str().expect("base64");
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text);
        let bytes = bytes.expect("base64");
        let decoded =
            bytes.as_chunks::<4>().0.iter().map(|part| f64::from(f32::from_le_bytes(*part)));
        assert!(decoded.eq(vector));
    }
}

#[tokio::test]
async fn a_refusal_says_limit_used_requested_and_when_to_come_again() {
    let bench = Bench::new(config(tokens_per_minute(1_000))).await;
    assert_eq!(
        bench.chat(json!({"max_tokens": 900})).await.header("x-ratelimit-remaining-tokens"),
        "92"
    );
    let stall = Config {
        faults: Faults { stall: 1.0, ..Faults::default() },
        ..config(Limits { counting: Counting::FirstRequest, ..tokens_per_minute(1_000) })
    };
    let bench = Bench::new(stall).await;
    let other = bench.clone();
    let body = chat(json!({"max_tokens": 900})).to_string().into_bytes();
    let held = tokio::spawn(async move {
        other.open("POST", "/v1/chat/completions", KEY, body).await.map(drop)
    });
    bench.until(|stats| stats.lanes.iter().any(|lane| lane.in_flight == 1)).await;
    let refused = bench.chat(json!({"max_tokens": 500})).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("x-ratelimit-remaining-tokens"), "92");
    let error = &refused.json()["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("tokens"), &json!("rate_limit_exceeded")));
    let message = error["message"].as_str().expect("a message");
    let start = "Rate limit reached for gpt-4o-mini in organization org-sim on tokens per min (TPM): \
         Limit 1000, Used 908, Requested 508. Please try again in ";
    assert!(message.starts_with(start), "{message}");
    let wait: u64 = refused.header("retry-after-ms").parse().expect("milliseconds");
    assert_eq!(refused.header("retry-after"), wait.div_ceil(1000).to_string());
    assert!((1..=60_000).contains(&wait));
    held.abort();
    bench.until(|stats| stats.lanes[0].in_flight == 0).await;
}

#[tokio::test]
async fn errors_have_their_status_type_and_code() {
    let mut settings = config(tokens_per_minute(1_000));
    settings.rules.models = vec!["gpt-4o-mini".into()];
    let broke = Key { state: KeyState::OutOfQuota, ..Key::valid("sk-broke") };
    settings.rules.organisations[0].keys.push(broke);
    let bench = Bench::new(settings).await;
    struct Case {
        name: &'static str,
        key: &'static str,
        body: String,
        status: u16,
        kind: &'static str,
        code: Value,
    }
    let usual = |more| chat(more).to_string();
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { name: "no key",       key: "sk-unknown-key", body: usual(json!({})),                     status: 401, kind: "invalid_request_error", code: json!("invalid_api_key") },
        Case { name: "broke",        key: "sk-broke",       body: usual(json!({})),                     status: 429, kind: "insufficient_quota",    code: json!("insufficient_quota") },
        Case { name: "too large",    key: KEY,              body: usual(json!({"max_tokens": 5_000})),  status: 429, kind: "tokens",                code: json!("rate_limit_exceeded") },
        Case { name: "no model",     key: KEY,              body: usual(json!({"model": "gpt-9"})),     status: 404, kind: "invalid_request_error", code: json!("model_not_found") },
        Case { name: "no messages",  key: KEY,              body: usual(json!({"messages": []})),       status: 400, kind: "invalid_request_error", code: Value::Null },
        Case { name: "no JSON",      key: KEY,              body: "{".into(),                           status: 400, kind: "invalid_request_error", code: Value::Null },
        Case { name: "beyond model", key: KEY,              body: usual(json!({"max_tokens": 999_999})), status: 400, kind: "invalid_request_error", code: Value::Null },
        Case { name: "odd n",        key: KEY,              body: usual(json!({"n": 0})),               status: 400, kind: "invalid_request_error", code: Value::Null },
    ];
    for case in cases {
        let answer =
            bench.ask("POST", "/v1/chat/completions", case.key, case.body.into_bytes()).await;
        let error = &answer.json()["error"];
        assert_eq!(answer.status.as_u16(), case.status, "{}: {error}", case.name);
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!(case.kind), &case.code),
            "{}",
            case.name
        );
        assert!(error["message"].is_string() && error.get("param").is_some(), "{}", case.name);
    }
    assert_eq!(bench.ask("GET", "/v1/nothing", KEY, Vec::new()).await.status, 404);
}

#[tokio::test]
async fn faults_strike_after_admission_and_cost_what_they_say() {
    let stats_after = async |faults: Faults, stream: bool| {
        let bench = Bench::new(Config { faults, ..config(tokens_per_minute(100_000)) }).await;
        let body = chat(json!({"stream": stream, "max_tokens": 50})).to_string().into_bytes();
        let answer = bench.open("POST", "/v1/chat/completions", KEY, body).await;
        let (status, whole) = match answer {
            Ok(answer) => (Some(answer.status()), answer.collect().await.is_ok()),
            Err(_) => (None, false),
        };
        let stats = bench.until(|stats| stats.lanes[0].in_flight == 0).await;
        let lane = stats.lanes.into_iter().next().expect("a lane");
        let charged = lane.meters[0].reading.charged;
        (status, whole, lane.tally, charged)
    };
    let none = Faults::default();
    let (status, whole, tally, charged) =
        stats_after(Faults { server_error: 1.0, ..none }, false).await;
    assert!(whole && status.is_some_and(|status| status.is_server_error()));
    assert_eq!((tally.admitted, tally.failed, charged), (1, 1, 0));

    let (status, _, tally, charged) = stats_after(Faults { reset: 1.0, ..none }, false).await;
    assert_eq!((status, tally.failed, charged), (None, 1, 0));

    for stream in [true, false] {
        let (status, whole, tally, charged) =
            stats_after(Faults { cut: 1.0, ..none }, stream).await;
        assert_eq!((status, whole, tally.cut), (Some(StatusCode::OK), false, 1));
        assert_eq!(charged.unsigned_abs(), tally.cut_prompt + tally.cut_output);
    }
}

#[tokio::test]
async fn who_hangs_up_in_mid_stream_is_charged_for_what_was_written() {
    let mut settings = config(tokens_per_minute(100_000));
    settings.latency.per_token = Duration::from_millis(2);
    settings.outputs = Outputs { mean: 5_000.0, sigma: 0.0 };
    let bench = Bench::new(settings).await;
    let body = chat(json!({"stream": true})).to_string().into_bytes();
    let answer = bench.open("POST", "/v1/chat/completions", KEY, body).await.expect("a stream");
    let mut body = answer.into_body();
    for _ in 0..3 {
        body.frame().await.expect("an event").expect("data");
    }
    drop(body);
    let stats = bench.until(|stats| stats.lanes[0].in_flight == 0).await;
    let tally = &stats.lanes[0].tally;
    assert_eq!((tally.answered, tally.cut), (0, 1));
    assert!((2..5_000).contains(&tally.cut_output), "{}", tally.cut_output);
    let charged = stats.lanes[0].meters[0].reading.charged;
    assert_eq!(charged.unsigned_abs(), tally.cut_prompt + tally.cut_output);
}

#[tokio::test]
async fn the_oracle_waits_and_is_never_refused() {
    let limits = Limits {
        requests_per_minute: Some(2),
        minute: Duration::from_millis(50),
        counting: Counting::FirstRequest,
        ..Limits::default()
    };
    let mut settings = config(limits);
    settings.rules.oracle_key = Some("sk-oracle".into());
    let bench = Bench::new(settings).await;
    let body = chat(json!({})).to_string().into_bytes();
    let asks = (0..6).map(|_| bench.ask("POST", "/v1/chat/completions", "sk-oracle", body.clone()));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    let stats = bench.provider.stats();
    assert!(stats.elapsed >= Duration::from_millis(100), "two windows had to pass");
    assert_eq!(stats.lanes[0].tally.refused.total(), 0);
    assert_eq!(stats.lanes[0].meters[0].reading.most_used, 2);
}

#[tokio::test]
async fn a_batch_is_worked_off_without_limits() {
    let bench = Bench::new(config(tokens_per_minute(1))).await;
    let line = |id: &str, body: Value| json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body});
    let good = line("good", chat(json!({"max_tokens": 5})));
    let bad = line("bad", json!({"model": "gpt-4o-mini"}));
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n\
         {good}\n{bad}\n\r\n--b--\r\n"
    );
    let file = bench.ask("POST", "/v1/files", KEY, form.into_bytes()).await.json();
    let create = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions",
                        "completion_window": "24h", "metadata": {"a": "b"}});
    let created = bench.post("/v1/batches", create).await.json();
    let path = format!("/v1/batches/{}", created["id"].as_str().expect("an id"));
    let batch = loop {
        let batch = bench.ask("GET", &path, KEY, Vec::new()).await.json();
        if batch["status"] == "completed" {
            break batch;
        }
    };
    assert_eq!(batch["request_counts"], json!({"total": 2, "completed": 1, "failed": 1}));
    for (file, id, status) in [("output_file_id", "good", 200), ("error_file_id", "bad", 400)] {
        let path = format!("/v1/files/{}/content", batch[file].as_str().expect("a file"));
        let line = bench.ask("GET", &path, KEY, Vec::new()).await.json();
        assert_eq!(
            (&line["custom_id"], &line["response"]["status_code"]),
            (&json!(id), &json!(status))
        );
    }
    let listed = bench.ask("GET", "/v1/batches?limit=1", KEY, Vec::new()).await.json();
    assert_eq!(listed["data"][0]["id"], created["id"]);
}

#[tokio::test]
async fn statistics_and_reset_are_served() {
    let bench = Bench::new(config(tokens_per_minute(10_000))).await;
    bench.chat(json!({"max_tokens": 10})).await;
    let stats = bench.ask("GET", "/sim/stats", "", Vec::new()).await.json();
    assert_eq!(stats["totals"]["answered"], 1);
    assert_eq!(stats["lanes"][0]["meters"][0]["metric"], "tokens_per_minute");
    assert_eq!(stats["lanes"][0]["meters"][0]["charged"], stats["totals"]["total_tokens"]);
    bench.ask("POST", "/sim/reset", "", Vec::new()).await;
    let stats = bench.ask("GET", "/sim/stats", "", Vec::new()).await.json();
    assert_eq!(stats["lanes"], json!([]));
}

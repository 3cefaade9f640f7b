//! The program is killed at random moments under load: what a client got is booked, once, and nothing twice.
//!
//! `SLUICEGATE_KILLS` says how often; 20 times if it does not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use sluicegate::simulate::engine::Limits;
use sluicegate::simulate::{Config, Latency, Outputs, Provider};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::books::Books;
use crate::cli::Serving;
use crate::ledger::SOON;
use crate::path::CHAT;

const CLIENTS: usize = 50;
const KEY: &str = "sk-sim";
const WHOLE: &str =
    r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello there"}],"max_tokens":20}"#;
const STREAM: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello there"}],"max_tokens":20,
    "stream":true,"stream_options":{"include_usage":true}}"#;
/// The most that a request uses: its prompt, and its bound.
const MOST_TOKENS: u64 = 64;

/// The tokens of each answer that a client got whole, by the id of its request.
type Got = Arc<Mutex<HashMap<String, (i64, i64)>>>;

/// The tokens of each entry that is complete, by the id of its request.
type Booked = HashMap<String, Vec<(i64, i64)>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_got_whole_is_booked_once_however_often_the_program_is_killed() {
    let kills = std::env::var("SLUICEGATE_KILLS").ok().and_then(|text| text.parse().ok());
    let kills: usize = kills.unwrap_or(20);
    let provider = provider().await;
    let books = Books::new().await;
    let settings = books.settings() + SETTINGS;
    std::fs::write(books.path().join("test.toml"), settings).expect("written");
    let (file, base_url) = (books.path().join("test.toml"), provider.base_url());
    let args = ["--config", file.to_str().expect("a plain path"), "--upstream", &base_url];
    let got = Got::default();
    for _ in 0..kills {
        let program = Serving::start(&args, &books.home);
        let mut load = Load::start(&program.listen, &got);
        load.answers(1 + rand::random_range(0..3 * CLIENTS)).await;
        program.kill();
        load.end().await;
        if books.is_file() {
            assert_eq!(books.rows("PRAGMA integrity_check").await, [["ok"]]);
        }
    }
    // What was under way is booked by the next start.
    let last = Serving::start(&args, &books.home);
    let open = "SELECT COUNT(*) FROM entries WHERE booked_ms IS NULL";
    let booked = async {
        while books.number(open).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, booked).await.expect("all is booked");
    last.kill();

    let got = got.lock().expect("no panic").clone();
    assert!(got.len() > kills, "only {} answers", got.len());
    let mut complete = Booked::new();
    let sql = "SELECT request, input, output FROM entries WHERE ending = 'complete'";
    for row in books.rows(sql).await {
        let [request, input, output] = &row[..] else { panic!("three columns") };
        let tokens = [input, output].map(|tokens| tokens.as_i64().expect("a number"));
        let request = request.as_str().expect("a text").to_owned();
        complete.entry(request).or_default().push(tokens.into());
    }
    for (request, tokens) in got.iter() {
        assert_eq!(complete.get(request), Some(&vec![*tokens]), "{request}");
    }
    let twice: Vec<_> = complete.iter().filter(|(_, entries)| entries.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    agree(&provider, &complete, kills, &books).await;
}

/// Checks that what the provider counted and what is booked differ by what was under way at most.
async fn agree(provider: &Provider, complete: &Booked, kills: usize, books: &Books) {
    let lanes = provider.stats().lanes;
    let answered: u64 = lanes.iter().map(|lane| lane.tally.prompt + lane.tally.output).sum();
    let tokens: i64 = complete.values().flatten().map(|(input, output)| input + output).sum();
    let booked = u64::try_from(tokens).expect("not negative");
    let most = (kills * CLIENTS) as u64 * MOST_TOKENS;
    assert!(booked <= answered, "{booked} booked, {answered} at the provider");
    assert!(answered - booked <= most, "{booked} booked, {answered} at the provider");
    let others = "SELECT COUNT(*) FROM entries WHERE ending <> 'complete'";
    let others = books.number(others).await;
    let under_way = i64::try_from(kills * CLIENTS).expect("few");
    assert!(others <= under_way, "{others} of {under_way} under way ended otherwise");
    println!("{} complete, {others} otherwise; {booked} tokens of {answered}", complete.len());
}

const SETTINGS: &str = r#"
    [[upstreams]]
    accounts = [{ name = "main", keys = [{ key = "sk-sim" }] }]
"#;

async fn provider() -> Provider {
    let mut config = Config::single(KEY, Limits::default());
    config.outputs = Outputs { mean: 8.0, sigma: 0.3 };
    let (first_token, per_token) = (Duration::from_millis(10), Duration::from_millis(1));
    config.latency = Latency { first_token, per_token, jitter: 0.5 };
    Provider::bind(config).await.expect("a provider")
}

/// Clients that ask as long as they are answered.
struct Load {
    clients: JoinSet<()>,
    answered: watch::Receiver<usize>,
}

impl Load {
    fn start(listen: &str, got: &Got) -> Self {
        let (answers, answered) = watch::channel(0);
        let (answers, count) = (Arc::new(answers), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (listen, got) = (listen.to_owned(), Arc::clone(got));
            let (answers, count) = (Arc::clone(&answers), Arc::clone(&count));
            clients.spawn(async move {
                let body = if number % 2 == 0 { WHOLE } else { STREAM };
                while let Some((request, tokens)) = ask(&listen, body).await {
                    got.lock().expect("no panic").insert(request, tokens);
                    answers.send_replace(count.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
        Self { clients, answered }
    }

    /// Waits until so many were answered.
    async fn answers(&mut self, count: usize) {
        let answered = self.answered.wait_for(|answered| *answered >= count);
        timeout(SOON, answered).await.expect("in time").expect("clients ask");
    }

    /// Waits until nobody is answered any more.
    async fn end(mut self) {
        let ended = async { while self.clients.join_next().await.is_some() {} };
        timeout(SOON, ended).await.expect("the program is gone");
    }
}

/// Asks once; returns the id of the request and its tokens if the whole answer came.
async fn ask(listen: &str, body: &'static str) -> Option<(String, (i64, i64))> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::post(format!("http://{listen}{CHAT}"))
        .header("authorization", "Bearer notebook")
        .header("content-type", "application/json")
        .body(Full::from(body))
        .expect("a request");
    let answer = client.request(request).await.ok()?;
    assert_eq!(answer.status(), 200);
    let id = answer.headers().get("x-sluicegate-request-id")?.to_str().ok()?.to_owned();
    let is_stream = body == STREAM;
    let mut text = Vec::new();
    let mut coming = answer.into_body();
    let mut is_whole = false;
    while let Some(frame) = coming.frame().await {
        let Ok(frame) = frame else { break };
        text.extend_from_slice(frame.data_ref()?);
        is_whole |= is_stream && text.ends_with(b"data: [DONE]\n\n");
        is_whole |= !is_stream && serde_json::from_slice::<Value>(&text).is_ok();
    }
    is_whole.then_some(())?;
    let text = String::from_utf8(text).ok()?;
    let json = if is_stream {
        text.lines().rfind(|line| line.contains("\"prompt_tokens\""))?.strip_prefix("data: ")?
    } else {
        &text
    };
    let usage: Value = serde_json::from_str(json).ok()?;
    let tokens = |name: &str| usage.get("usage")?.get(name)?.as_i64();
    Some((id, (tokens("prompt_tokens")?, tokens("completion_tokens")?)))
}

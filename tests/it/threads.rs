//! Runs of threads through the proxy: counted with what is known of them, and settled by what the whole run used.

#![expect(clippy::indexing_slicing, reason = "a test: what is not there fails it")]

use serde_json::{Value, json};
use sluicegate::server::Running;
use sluicegate::simulate::engine::{Key, LimitRule, Limits, Organisation, Rules};
use sluicegate::simulate::{Config, Provider};

use crate::cuts::{By, between, booked, cut_short, usual};
use crate::endpoints::{charged, provider, proxy_of};
use crate::house::{Answer, App, proxy};

/// A client with an assistant and a thread, in which something was said.
struct Desk {
    app: App,
    assistant: String,
    thread: String,
}

impl Desk {
    async fn new(proxy: &Running, tools: Value) -> Self {
        let app = App::new(proxy.listen(), "notebook");
        let assistant = json!({"model": "gpt-4o", "instructions": "Be brief.", "tools": tools});
        let assistant = id(&app.post("/v1/assistants", &assistant.to_string()).await);
        let thread = id(&app.post("/v1/threads", "{}").await);
        let said = json!({"role": "user", "content": "tell me a story, or use fill"});
        let path = format!("/v1/threads/{thread}/messages");
        assert_eq!(app.post(&path, &said.to_string()).await.status(), 200);
        Self { app, assistant, thread }
    }

    async fn run(&self, more: Value) -> Answer {
        let mut body = json!({"assistant_id": self.assistant});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        self.app.post(&format!("/v1/threads/{}/runs", self.thread), &body.to_string()).await
    }

    fn at(&self, run: &str, part: &str) -> String {
        format!("/v1/threads/{}/runs/{run}{part}", self.thread)
    }

    /// Asks for a run until it is no more under way.
    async fn poll(&self, run: &str) -> Value {
        loop {
            let run = self.app.get(&self.at(run, "")).await.json();
            if !matches!(run["status"].as_str(), Some("queued" | "in_progress")) {
                return run;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn submit(&self, run: &str, stream: bool) -> Answer {
        let outputs = json!([{"tool_call_id": "call_1", "output": "It is all filled in now."}]);
        let body = json!({"tool_outputs": outputs, "stream": stream});
        self.app.post(&self.at(run, "/submit_tool_outputs"), &body.to_string()).await
    }
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["id"].as_str().expect("an id").to_owned()
}

fn fill() -> Value {
    let field = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    json!([{"type": "function", "function": {"name": "fill", "parameters": field}}])
}

/// The last event of that kind in a stream.
fn event(stream: &Answer, kind: &str) -> Value {
    let text = stream.text();
    let named = format!("event: {kind}\ndata: ");
    let (_, behind) = text.rsplit_once(&named).unwrap_or_else(|| panic!("no {kind}:\n{text}"));
    serde_json::from_str(behind.split("\n\n").next().expect("data")).expect("JSON")
}

/// Waits until nothing is open.
async fn quiet(proxy: &Running) {
    let open = || -> usize {
        proxy.proxy().admission().snapshot().lanes.iter().map(|lane| lane.open).sum()
    };
    while open() > 0 {
        tokio::task::yield_now().await;
    }
}

fn settled(proxy: &Running) -> u64 {
    proxy.proxy().metrics().totals().settled.count()
}

#[tokio::test]
async fn a_run_is_settled_by_the_later_answer_that_tells_what_it_used() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let desk = Desk::new(&proxy, json!([])).await;
    let answer = desk.run(json!({"max_completion_tokens": 500})).await;
    assert_eq!(answer.header("x-sluicegate-count"), Some("assumed"));
    assert_eq!(answer.header("x-sluicegate-charged-tokens"), None, "it is still being made");
    let run = desk.poll(&id(&answer)).await;
    assert_eq!(run["status"], "completed", "{run}");
    quiet(&proxy).await;
    assert_eq!(settled(&proxy), charged(&provider));
    assert_eq!(run["usage"]["total_tokens"], settled(&proxy));
}

#[tokio::test]
async fn a_run_that_streams_is_settled_by_what_its_last_event_tells() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let desk = Desk::new(&proxy, json!([])).await;
    let mut last = 0;
    for turn in 1..=3 {
        let before = settled(&proxy);
        let stream = desk.run(json!({"stream": true, "max_completion_tokens": 500})).await;
        let run = event(&stream, "thread.run.completed");
        let told = stream.header("x-sluicegate-estimated-tokens").expect("told");
        let told: u64 = told.parse().expect("a number");
        // What the last run told of the thread is what this one is counted with.
        assert!((last + 500..last + 520).contains(&told), "{told} for run {turn} after {last}");
        last = settled(&proxy) - before;
        assert_eq!(run["usage"]["total_tokens"], last, "run {turn}");
        assert_eq!(settled(&proxy), charged(&provider));
    }
}

#[tokio::test]
async fn a_run_that_waits_for_its_tools_is_settled_once_polled_or_streamed() {
    for streams in [false, true] {
        let provider = provider().await;
        let proxy = proxy_of(&provider).await;
        let desk = Desk::new(&proxy, fill()).await;
        let begun = desk.run(json!({"stream": streams})).await;
        let run = match streams {
            true => event(&begun, "thread.run.requires_action"),
            false => desk.poll(&id(&begun)).await,
        };
        assert_eq!(run["status"], "requires_action", "{run}");
        assert_eq!((&run["usage"], settled(&proxy)), (&Value::Null, 0), "it is not over");
        let run = run["id"].as_str().expect("an id");
        let submitted = desk.submit(run, streams).await;
        let run = match streams {
            true => event(&submitted, "thread.run.completed"),
            false => desk.poll(&id(&submitted)).await,
        };
        assert_eq!(run["status"], "completed", "{run}");
        quiet(&proxy).await;
        assert_eq!(settled(&proxy), charged(&provider), "streamed: {streams}");
        assert_eq!(run["usage"]["total_tokens"], settled(&proxy));
    }
}

#[tokio::test]
async fn a_run_in_a_new_thread_and_one_that_is_cancelled_are_settled_too() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let desk = Desk::new(&proxy, fill()).await;
    let messages = json!([{"role": "user", "content": "one more story"}]);
    let ask = json!({"assistant_id": desk.assistant, "thread": {"messages": messages},
                     "stream": true, "tools": []});
    let stream = desk.app.post("/v1/threads/runs", &ask.to_string()).await;
    event(&stream, "thread.run.completed");
    assert_eq!(settled(&proxy), charged(&provider));
    let run = id(&desk.run(json!({})).await);
    assert_eq!(desk.poll(&run).await["status"], "requires_action");
    let cancelled = desk.app.post(&desk.at(&run, "/cancel"), "{}").await;
    assert_eq!(cancelled.json()["status"], "cancelled");
    quiet(&proxy).await;
    assert_eq!(settled(&proxy), charged(&provider));
}

#[tokio::test]
async fn the_model_of_an_assistant_is_known_after_its_first_run() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let desk = Desk::new(&proxy, json!([])).await;
    let groups = || -> Vec<String> {
        let lanes = proxy.proxy().admission().snapshot().lanes;
        lanes.iter().map(|lane| lane.group.to_string()).collect()
    };
    desk.run(json!({"stream": true})).await;
    assert!(!groups().contains(&"gpt-4o".to_owned()), "nobody said it: {:?}", groups());
    desk.run(json!({"stream": true})).await;
    assert!(groups().contains(&"gpt-4o".to_owned()), "{:?}", groups());
}

#[tokio::test]
async fn a_run_that_is_cut_is_settled_by_what_was_written() {
    for by in [By::Client, By::Provider] {
        let case = format!("a run, cut by {by:?}");
        let mut config = usual();
        config.faults.share = Some(0.6);
        let (cut, hang) = if by == By::Provider { (1.0, 0.0) } else { (0.0, 1.0) };
        (config.faults.cut, config.faults.hang) = (cut, hang);
        let (provider, books, toml) = between(config, by).await;
        let running = proxy(&toml).await;
        let desk = Desk::new(&running, json!([])).await;
        let path = format!("/v1/threads/{}/runs", desk.thread);
        let body = json!({"assistant_id": desk.assistant, "stream": true,
                          "additional_instructions": "Be long."});
        let mut stream = desk.app.open(&path, &body.to_string()).await.into_body();
        let mut seen = 0;
        while let Some(Ok(frame)) = http_body_util::BodyExt::frame(&mut stream).await {
            let text = String::from_utf8_lossy(frame.data_ref().expect("data")).into_owned();
            seen += text.matches("thread.message.delta\ndata").count();
            if by == By::Client && seen >= 240 {
                break;
            }
        }
        drop((stream, desk));
        let written = cut_short(&provider).await.cut_output;
        assert_eq!(written, 240, "{case}");
        running.stop().await;
        let booked = booked(&books, &toml, &case).await;
        let expected = (by.ending().to_owned(), "approximate".to_owned());
        assert_eq!((booked.ending, booked.method), expected, "{case}");
        assert!(booked.output.abs_diff(written) * 20 <= written, "{case}: {}", booked.output);
    }
}

#[tokio::test]
async fn a_run_goes_where_its_thread_lies() {
    let owner = |name: &str, key: &str| Organisation {
        name: name.into(),
        keys: vec![Key::valid(key)],
        rules: vec![LimitRule { models: "*".into(), shared: false, limits: Limits::default() }],
    };
    let organisations = vec![owner("org-a", "sk-a"), owner("org-b", "sk-b")];
    let rules = Rules { organisations, ..Rules::default() };
    let provider = Provider::bind(Config { rules, ..usual() }).await.expect("a provider");
    let account = |name: &str, key: &str| {
        format!(
            "[[upstreams.accounts]]\nname = \"{name}\"\n[[upstreams.accounts.keys]]\nkey = \"{key}\"\nlabel = \"{name}\"\n"
        )
    };
    let base = provider.base_url();
    let (a, b) = (account("a", "sk-a"), account("b", "sk-b"));
    let proxy = proxy(&format!("[[upstreams]]\nbase_url = \"{base}\"\n{a}{b}")).await;
    let app = App::new(proxy.listen(), "notebook");
    let make = async |path: &str, body: Value| {
        let request = http::Request::post(format!("http://{}{path}", proxy.listen()))
            .header("content-type", "application/json")
            .header("x-sluicegate-account", "b")
            .body(http_body_util::Full::from(body.to_string()))
            .expect("a request");
        id(&app.send(request).await)
    };
    let assistant = make("/v1/assistants", json!({"model": "gpt-4o"})).await;
    let thread = make("/v1/threads", json!({})).await;
    let desk = Desk { app: app.clone(), assistant, thread };
    let said = json!([{"role": "user", "content": "hi"}]);
    let answer = desk.run(json!({"stream": true, "additional_messages": said})).await;
    assert_eq!(answer.header("x-sluicegate-account"), Some("b"), "{}", answer.text());
    event(&answer, "thread.run.completed");
}

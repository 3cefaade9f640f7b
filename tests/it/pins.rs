//! What lies in one account is served by that account, and by no other.

#![expect(clippy::indexing_slicing, reason = "a test: what is not there fails it")]

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use sluicegate::ledger::Pins;
use sluicegate::simulate::engine::{Key, LimitRule, Limits, Organisation};
use sluicegate::simulate::{Config, Latency, Outputs, Provider};
use tokio::time::timeout;

use crate::books::Books;
use crate::cli::Serving;
use crate::house::{Answer, App, proxy};
use crate::recorder::{Recorder, Reply};

const ACCOUNTS: [&str; 2] = ["one", "two"];
const FIRST: Option<&str> = Some("one");
const SECOND: Option<&str> = Some("two");

/// Two organisations with a key each.
async fn provider() -> Provider {
    let organisation = |name: &str| Organisation {
        name: name.into(),
        keys: vec![Key::valid(&format!("sk-{name}"))],
        rules: vec![LimitRule {
            models: "*".into(),
            shared: false,
            limits: Limits { tokens_per_minute: Some(100_000_000), ..Limits::default() },
        }],
    };
    let mut config = Config::default();
    config.rules.organisations = ACCOUNTS.map(organisation).into();
    config.outputs = Outputs { mean: 10.0, sigma: 0.3 };
    config.latency =
        Latency { first_token: Duration::ZERO, per_token: Duration::ZERO, jitter: 0.0 };
    Provider::bind(config).await.expect("a provider")
}

fn settings(base_url: &str) -> String {
    let accounts: String = ACCOUNTS
        .iter()
        .map(|name| {
            format!(
                "[[upstreams.accounts]]\nname = \"{name}\"\n[[upstreams.accounts.keys]]\n\
                 key = \"sk-{name}\"\nlabel = \"key-{name}\"\n"
            )
        })
        .collect();
    format!("[[upstreams]]\nbase_url = \"{base_url}\"\n{accounts}")
}

/// A client that may say which account it wants.
struct Client {
    app: App,
    address: SocketAddr,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self { app: App::new(address, "notebook"), address }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        account: Option<&str>,
        (kind, body): (&str, String),
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", kind);
        if let Some(account) = account {
            request = request.header("x-sluicegate-account", account);
        }
        self.app.send(request.body(Full::new(Bytes::from(body))).expect("a request")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None, (JSON, String::new())).await
    }

    async fn post(&self, path: &str, account: Option<&str>, body: Value) -> Answer {
        self.ask(Method::POST, path, account, (JSON, body.to_string())).await
    }

    async fn upload(&self, account: Option<&str>) -> Answer {
        let line = json!({
            "custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
            "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
        });
        let form = format!(
            "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n{line}\n\r\n--b--\r\n"
        );
        self.ask(Method::POST, "/v1/files", account, (FORM, form)).await
    }
}

const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data; boundary=b";

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }
}

/// What lies at the provider: kind, id, account.
type Thing = (&'static str, String, String);

/// What is known to lie there.
#[derive(Default)]
struct World {
    things: Vec<Thing>,
    made: BTreeMap<&'static str, usize>,
    crossed: usize,
}

impl World {
    fn add(&mut self, kind: &'static str, id: &Value, account: &str) {
        let id = id.as_str().unwrap_or_else(|| panic!("a {kind} without an id")).to_owned();
        *self.made.entry(kind).or_default() += 1;
        self.things.push((kind, id, account.to_owned()));
    }

    /// Returns one of a kind, in `account` if one is named.
    fn pick(&self, kind: &str, account: Option<&str>, dice: &mut Dice) -> Option<(String, String)> {
        let fit: Vec<_> = self
            .things
            .iter()
            .filter(|(its, _, owner)| *its == kind && account.is_none_or(|name| name == owner))
            .collect();
        if fit.is_empty() {
            return None;
        }
        let (_, id, account) = fit[dice.below(fit.len())];
        Some((id.clone(), account.clone()))
    }

    /// Does one thing, and checks that the account served it that has what it names.
    async fn step(&mut self, client: &Client, dice: &mut Dice) {
        let wish = [None, FIRST, SECOND][dice.below(3)];
        match dice.below(10) {
            0 => {
                let answer = client.upload(wish).await;
                let account = served(&answer, None);
                self.add("file", &answer.json()["id"], &account);
            }
            1 => {
                let Some((file, account)) = self.pick("file", None, dice) else { return };
                let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions",
                                  "completion_window": "24h"});
                let answer = client.post("/v1/batches", None, body).await;
                served(&answer, Some(&account));
                self.add("batch", &answer.json()["id"], &account);
            }
            2 => self.look_at_batch(client, dice).await,
            3..5 => self.respond(client, wish, dice).await,
            5 => {
                let answer = client.post("/v1/conversations", wish, json!({})).await;
                let account = served(&answer, None);
                self.add("conversation", &answer.json()["id"], &account);
            }
            6 => {
                let Some((file, account)) = self.pick("file", None, dice) else { return };
                let Some((other, its)) = self.pick("file", None, dice) else { return };
                let body = json!({"name": "a", "file_ids": [file, other], "metadata": {"file_id": "mine"}});
                let answer = client.post("/v1/vector_stores", None, body).await;
                if its != account {
                    self.crossed += 1;
                    assert_eq!(answer.status(), 400, "{}", answer.text());
                    assert_eq!(answer.json()["error"]["code"], "different_accounts");
                    return;
                }
                served(&answer, Some(&account));
                self.add("vector_store", &answer.json()["id"], &account);
            }
            _ => self.look_at_any(client, dice).await,
        }
    }

    async fn look_at_any(&mut self, client: &Client, dice: &mut Dice) {
        if self.things.is_empty() {
            return;
        }
        let (kind, id, account) = self.things[dice.below(self.things.len())].clone();
        let path = match kind {
            "file" => format!("/v1/files/{id}/content"),
            "batch" => format!("/v1/batches/{id}"),
            "response" => format!("/v1/responses/{id}/input_items"),
            "conversation" => format!("/conversations/{id}"),
            _ => format!("/v1/vector_stores/{id}"),
        };
        served(&client.get(&path).await, Some(&account));
    }

    async fn look_at_batch(&mut self, client: &Client, dice: &mut Dice) {
        let Some((batch, account)) = self.pick("batch", None, dice) else { return };
        let answer = client.get(&format!("/v1/batches/{batch}")).await;
        served(&answer, Some(&account));
        if let Some(output) = answer.json()["output_file_id"].as_str() {
            self.made.entry("output").and_modify(|count| *count += 1).or_insert(1);
            let content = client.get(&format!("/v1/files/{output}/content")).await;
            served(&content, Some(&account));
        }
    }

    async fn respond(&mut self, client: &Client, wish: Option<&str>, dice: &mut Dice) {
        let mut body = json!({"model": "gpt-4o", "input": "hi", "stream": dice.below(2) == 0});
        let named = match dice.below(4) {
            0 => self.pick("response", None, dice).inspect(|(id, _)| {
                body["previous_response_id"] = json!(id);
            }),
            1 => self.pick("conversation", None, dice).inspect(|(id, _)| {
                body["conversation"] =
                    if dice.below(2) == 0 { json!(id) } else { json!({"id": id}) };
            }),
            2 => self.pick("file", None, dice).inspect(|(id, _)| {
                let part = json!({"type": "input_file", "file_id": id});
                body["input"] = json!([{"role": "user", "content": [part]}]);
            }),
            _ => None,
        };
        let account = named.map(|(_, account)| account);
        let wish = if account.is_some() { None } else { wish };
        let answer = client.post("/v1/responses", wish, body).await;
        let account = served(&answer, account.as_deref().or(wish));
        let id = match answer.header("content-type") {
            Some(JSON) => answer.json()["id"].clone(),
            _ => {
                let text = answer.text();
                let id =
                    text.split("\"id\":\"resp_").nth(1).and_then(|rest| rest.split('"').next());
                json!(format!("resp_{}", id.expect("an id")))
            }
        };
        self.add("response", &id, &account);
    }
}

/// Checks that an answer is good and came from `account`, and returns whose it is.
fn served(answer: &Answer, account: Option<&str>) -> String {
    assert_eq!(answer.status(), 200, "{account:?}: {}", answer.text());
    let by = answer.header("x-sluicegate-account").expect("an account");
    assert!(account.is_none_or(|account| account == by), "{by} served what {account:?} has");
    by.to_owned()
}

fn own_file(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own file");
}

/// Waits until what `books` keep knows whose `id` is.
async fn kept(books: &Books, id: &str) {
    let pins = Pins::new(0);
    pins.look_into(books.store());
    let date = SystemTime::UNIX_EPOCH.elapsed().expect("a date");
    let found = async {
        while pins.find("openai", id, date).await.expect("readable").is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), found).await.expect("it is written soon");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_operations_go_where_things_lie_also_after_a_kill() {
    let provider = provider().await;
    let books = Books::new().await;
    own_file(books.path(), "test.toml", &(books.settings() + &settings(&provider.base_url())));
    let file = books.path().join("test.toml");
    let args = ["--config", file.to_str().expect("a plain path")];
    let (mut world, mut dice) = (World::default(), Dice(7));
    for run in 0..2 {
        let program = Serving::start(&args, &books.home);
        let client = Client::new(program.listen.parse().expect("an address"));
        for _ in 0..500 {
            world.step(&client, &mut dice).await;
        }
        let (_, last, _) = world.things.last().expect("something was made");
        kept(&books, last).await;
        program.kill();
        let made = &world.made;
        assert!(made.values().all(|count| *count > 10 * (run + 1)), "{made:?}");
    }
    for account in ACCOUNTS {
        let has = |kind| world.pick(kind, Some(account), &mut Dice(0)).is_some();
        assert!(["file", "batch", "response", "conversation"].into_iter().all(has), "{account}");
    }
    assert!(world.made.len() == 6 && world.crossed > 10, "{:?}, {}", world.made, world.crossed);
}

#[tokio::test]
async fn an_account_that_is_down_is_named_and_no_other_is_asked() {
    let provider = Recorder::start(|_, asked| match asked.header("authorization") {
        Some("Bearer sk-two") if asked.method == Method::GET => Reply::Json(
            401,
            r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        ),
        _ => Reply::Json(200, r#"{"id":"conv_1","object":"conversation"}"#),
    })
    .await;
    let proxy = proxy(&settings(&provider.base_url())).await;
    let client = Client::new(proxy.listen());
    let made = client.post("/v1/conversations", SECOND, json!({})).await;
    assert_eq!(served(&made, SECOND), "two");
    let answer = client.get("/v1/conversations/conv_1").await;
    assert_eq!(answer.status(), 503, "{}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "account_unavailable");
    assert!(error["message"].as_str().is_some_and(|told| told.contains("`two`")), "{error}");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(provider.seen().len(), 2, "another account was asked");
    served(&client.get("/v1/conversations/conv_2").await, FIRST);
}

#[tokio::test]
async fn a_wish_that_cannot_be_granted_is_refused_in_words() {
    let provider = provider().await;
    let apps = "[[apps]]\nname = \"a\"\nkey = \"ka\"\n[[apps]]\nname = \"b\"\nkey = \"kb\"\nchoose_account = true\n";
    let keyed = proxy(&format!("{}{apps}", settings(&provider.base_url()))).await;
    let open = proxy(&settings(&provider.base_url())).await;
    let wish = async |app: App, address: SocketAddr, key: &str, account: &str| {
        let request = Request::get(format!("http://{address}/v1/files"))
            .header("authorization", format!("Bearer {key}"))
            .header("x-sluicegate-account", account)
            .body(Full::default())
            .expect("a request");
        let answer = app.send(request).await;
        (answer.status().as_u16(), answer.json()["error"]["param"].clone())
    };
    let refused = (400, json!("x-sluicegate-account"));
    let app = App::new(keyed.listen(), "");
    assert_eq!(wish(app.clone(), keyed.listen(), "ka", "two").await, refused);
    assert_eq!(wish(app.clone(), keyed.listen(), "kb", "two").await, (200, Value::Null));
    assert_eq!(wish(app.clone(), keyed.listen(), "kb", "three").await, refused);
    assert_eq!(wish(app, open.listen(), "", "two").await, (200, Value::Null));
    let client = Client::new(open.listen());
    let file = client.upload(SECOND).await.json()["id"].clone();
    let path = format!("/v1/files/{}", file.as_str().expect("an id"));
    let answer = client.ask(Method::GET, &path, FIRST, (JSON, String::new())).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.json()["error"]["code"]),
        (400, &json!("different_accounts"))
    );
}

//! What was learned outlives the program, however it ends.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use sluicegate::simulate::engine::{Limits, Stats};
use sluicegate::simulate::{Config, Latency, Outputs, Provider};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::books::Books;
use crate::cli::Serving;
use crate::house::{App, one_account, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{Recorder, Reply};
use crate::usage::json;

/// Far longer than anything takes that goes right, and shorter than first contact's five seconds.
const SOON: Duration = Duration::from_secs(4);

fn settings(books: &Books, base_url: &str) -> String {
    books.settings() + &one_account(base_url, "sk-sim", "")
}

#[tokio::test]
async fn after_a_restart_the_first_burst_goes_at_full_speed() {
    let told = vec![
        ("x-ratelimit-limit-requests", "1000"),
        ("x-ratelimit-remaining-requests", "999"),
        ("x-ratelimit-reset-requests", "60ms"),
    ];
    let first_answers = move |turn, _: &_| match turn {
        0 => Reply::With(200, SAID, told.clone()),
        _ => Reply::Silence,
    };
    let provider = Recorder::start(first_answers).await;
    let books = Books::new().await;
    let settings = settings(&books, &provider.base_url());

    let first = proxy(&settings).await;
    let kept_in = first.kept_in().expect("it is kept").to_string();
    match books.is_file() {
        true => assert_eq!(kept_in, books.path().join("sluicegate.db").display().to_string()),
        false => assert!(kept_in.starts_with("PostgreSQL `"), "{kept_in}"),
    }
    let answer = App::new(first.listen(), "notebook").post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    first.stop().await;

    let second = proxy(&settings).await;
    let app = App::new(second.listen(), "notebook");
    let mut burst = JoinSet::new();
    for _ in 0..40 {
        let app = app.clone();
        burst.spawn(async move { app.post(CHAT, HELLO).await });
    }
    let all_came = timeout(SOON, provider.asked(41)).await;
    assert!(all_came.is_ok(), "{} of 40 came before an answer", provider.seen().len() - 1);
    let line = App::new(second.admin(), "").get("/line").await.json();
    assert!(line["lanes"][0]["recalled_age_ms"].is_u64(), "{line}");
}

#[tokio::test]
async fn behind_another_key_nothing_is_recalled() {
    let told = vec![("x-ratelimit-limit-requests", "1000")];
    let provider = Recorder::start(move |_, _| Reply::With(200, SAID, told.clone())).await;
    let books = Books::new().await;
    let settings = settings(&books, &provider.base_url());
    for (key, recalled) in [("sk-sim", false), ("sk-sim", true), ("sk-other", false)] {
        let proxy = proxy(&settings.replace("sk-sim", key)).await;
        let answer = App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let line = App::new(proxy.admin(), "").get("/line").await.json();
        let age = &line["lanes"][0]["recalled_age_ms"];
        assert_eq!(age.is_u64(), recalled, "{key}: {line}");
        proxy.stop().await;
    }
}

/// Charged 1,000 tokens: 8 for the prompt and all of its bound.
const LARGE: &str =
    r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"max_tokens":992}"#;
/// A minute is so long here, for the provider and for the proxy.
const WINDOW: Duration = Duration::from_secs(5);
/// Large requests per minute.
const FIT: u64 = 20;

const SETTINGS: &str = r#"
    [[upstreams]]
    accounts = [{ name = "main", keys = [{ file = "sim.key" }] }]
"#;

/// Starts a provider that has room for [`FIT`] large requests in a window.
async fn provider() -> Provider {
    let limits =
        Limits { tokens_per_minute: Some(FIT * 1000), minute: WINDOW, ..Limits::default() };
    let mut config = Config::single("sk-sim", limits);
    config.outputs = Outputs { mean: 10_000.0, sigma: 0.0 };
    let token = Duration::from_micros(10);
    config.latency =
        Latency { first_token: Duration::from_millis(5), per_token: token, jitter: 0.0 };
    Provider::bind(config).await.expect("a provider")
}

/// Writes a configuration beside `books`, and returns its path.
fn configured(books: &Books, limits: &str) -> String {
    let [file, key] = ["test.toml", "sim.key"].map(|name| books.path().join(name));
    std::fs::write(&file, format!("{}{SETTINGS}{limits}", books.settings())).expect("written");
    std::fs::write(&key, "sk-sim").expect("written");
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("our own file");
    file.to_str().expect("a plain path").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_within_the_window_nothing_is_sent_too_early() {
    let (provider, books) = (provider().await, Books::new().await);
    let file = configured(&books, "limits = [{ models = \"*\", minute = \"5s\" }]\n");
    let base_url = provider.base_url();
    let args = ["--config", &file, "--upstream", &base_url];

    let first = Serving::start(&args, &books.home);
    let burst = send(&first, FIT + 20);
    until(&provider, |stats| admitted(stats) >= FIT + 2).await;
    first.kill();
    drop(burst);
    let before = admitted(&provider.stats());
    // What the first one earned while it learned is its own.
    let earlier = refused(&provider.stats());
    assert!(earlier <= 1, "{earlier} refusals before the kill");

    let second = Serving::start(&args, &books.home);
    let _burst = send(&second, 20);
    until(&provider, |stats| admitted(stats) >= before + 3).await;
    let later = refused(&provider.stats()) - earlier;
    assert_eq!(later, 0, "the provider had no room left when it was killed");
}

/// What [`LARGE`] comes to: all of its bound.
const ALL_OF_IT: &str = r#"{"id":"c1","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"length"}],"usage":{"prompt_tokens":8,"completion_tokens":992,"total_tokens":1000}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_and_never_learned_is_charged_by_what_is_booked() {
    // The last one is under way when the program is killed; nothing tells a level.
    let script =
        |turn, _: &_| if turn == 17 { Reply::Silence } else { Reply::Json(200, ALL_OF_IT) };
    let (provider, books) = (Recorder::start(script).await, Books::new().await);
    let limits =
        "limits = [{ models = \"*\", tokens_per_minute = 20000, tokens_per_day = 100000 }]\n";
    let (file, base_url) = (configured(&books, limits), provider.base_url());
    let args = ["--config", &file, "--upstream", &base_url];

    let first = Serving::start(&args, &books.home);
    let app = App::new(first.listen.parse().expect("an address"), "notebook");
    for _ in 0..17 {
        assert_eq!(app.post(CHAT, LARGE).await.status(), 200);
    }
    let last = send(&first, 1);
    let written = async {
        while books.number("SELECT COUNT(*) FROM entries").await < 18 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, written).await.expect("what is sent is written soon");
    first.kill();
    drop(last);
    // As if it had been killed before the first of it was kept.
    books.rows("DELETE FROM learned RETURNING account").await;

    let second = Serving::start(&args, &books.home);
    let app = App::new(second.listen.parse().expect("an address"), "notebook");
    assert_eq!(app.post(CHAT, LARGE).await.status(), 200, "there is room for one");
    let line = App::new(second.admin.parse().expect("an address"), "").get("/line").await.json();
    let quotas = line["lanes"][0]["quotas"].as_array().expect("quotas");
    let headroom = |kind: &str| {
        let quota = quotas.iter().find(|quota| quota["quota"] == kind);
        quota.and_then(|quota| quota["headroom"].as_i64()).expect("a level")
    };
    // A bucket may have got something back meanwhile.
    assert!(headroom("tpm") < 10_000, "{line}");
    assert!(headroom("tpd") < 81_500, "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lay_beside_the_database_at_a_kill_is_told_and_charged() {
    let provider = Recorder::start(|_, _: &_| Reply::Json(200, ALL_OF_IT)).await;
    let books = Books::new().await;
    let limits =
        "limits = [{ models = \"*\", tokens_per_minute = 20000, tokens_per_day = 100000 }]\n";
    let (file, base_url) = (configured(&books, limits), provider.base_url());
    let args = ["--config", &file, "--upstream", &base_url];

    let first = Serving::start(&args, &books.home);
    let app = App::new(first.listen.parse().expect("an address"), "notebook");
    assert_eq!(app.post(CHAT, LARGE).await.status(), 200);
    while books.number("SELECT COUNT(*) FROM entries WHERE booked_ms > 0").await < 1 {
        tokio::task::yield_now().await;
    }
    let thief = books.lock().await;
    for _ in 0..16 {
        assert_eq!(app.post(CHAT, LARGE).await.status(), 200, "it is booked beside the database");
    }
    first.kill();
    thief.leave().await;
    assert_eq!(books.number("SELECT COUNT(*) FROM entries WHERE booked_ms > 0").await, 1);
    assert_eq!(json(&books, &[]).await["total"]["requests"], 17);
    // As if it had been killed before the first of it was kept.
    books.rows("DELETE FROM learned RETURNING account").await;

    let second = Serving::start(&args, &books.home);
    let app = App::new(second.listen.parse().expect("an address"), "notebook");
    assert_eq!(app.post(CHAT, LARGE).await.status(), 200, "there is room for one");
    let line = App::new(second.admin.parse().expect("an address"), "").get("/line").await.json();
    let quotas = line["lanes"][0]["quotas"].as_array().expect("quotas");
    let day = quotas.iter().find(|quota| quota["quota"] == "tpd").expect("it is configured");
    assert!(day["headroom"].as_i64() < Some(82_500), "{line}");
    assert_eq!(json(&books, &[]).await["total"]["requests"], 18);
}

/// Sends so many at once, until the set is dropped.
fn send(program: &Serving, count: u64) -> JoinSet<()> {
    let app = App::new(program.listen.parse().expect("an address"), "notebook");
    let mut burst = JoinSet::new();
    for _ in 0..count {
        let app = app.clone();
        burst.spawn(async move {
            // Those under way are cut off when the program is killed.
            let _answer = app.try_post(CHAT, LARGE).await;
        });
    }
    burst
}

async fn until(provider: &Provider, is_so: impl Fn(&Stats) -> bool) {
    let waiting = async {
        while !is_so(&provider.stats()) {
            tokio::task::yield_now().await;
        }
    };
    let came = timeout(SOON, waiting).await;
    assert!(came.is_ok(), "{:?}", provider.stats().lanes);
}

fn admitted(stats: &Stats) -> u64 {
    stats.lanes.iter().map(|lane| lane.tally.admitted).sum()
}

fn refused(stats: &Stats) -> u64 {
    stats.lanes.iter().map(|lane| lane.tally.refused.tokens_per_minute).sum()
}

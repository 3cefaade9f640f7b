//! Apps with keys: what they may ask for, and quotas of their own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use sluicegate::server::Running;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::house::{Answer, App, one_account, proxy, settings};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{End, Recorder, Reply};

/// Far longer than anything takes that goes right.
const SOON: Duration = Duration::from_secs(20);

/// Two apps, the first with `more` of its own.
fn apps(more: &str) -> String {
    format!(
        "[[apps]]\nname = \"one\"\nkey = \"key-of-one\"\n{more}\n[[apps]]\nname = \"two\"\nkey = \"key-of-two\"\n"
    )
}

async fn with_apps(recorder: &Recorder, more: &str) -> (Running, App, App) {
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", &apps(more))).await;
    let [one, two] = ["key-of-one", "key-of-two"].map(|key| App::new(proxy.listen(), key));
    (proxy, one, two)
}

fn error(answer: &Answer) -> Value {
    answer.json().get("error").cloned().unwrap_or_default()
}

#[tokio::test]
async fn an_app_asks_for_its_own_models_and_paths_only() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let more = "models = [\"gpt-4o*\"]\nendpoints = [\"/chat/*\", \"/v1/models\"]";
    let (proxy, one, two) = with_apps(&recorder, more).await;
    assert_eq!(one.post(CHAT, HELLO).await.status(), 200);
    let other = HELLO.replace("gpt-4o", "o3");
    let refused = one.post(CHAT, &other).await;
    assert_eq!(refused.status(), 403);
    let told = error(&refused);
    assert_eq!(
        (&told["code"], &told["type"]),
        (&"model_not_found".into(), &"invalid_request_error".into())
    );
    assert_eq!(
        told["message"],
        "App `one` does not have access to model `o3`; it may ask for `gpt-4o*`."
    );
    let refused = one.get("/v1/files").await;
    assert_eq!(refused.status(), 403);
    let message = error(&refused)["message"].to_string();
    assert!(
        message
            .contains("does not have access to `/v1/files`; it may ask for `/chat/*`, `/models`"),
        "{message}"
    );
    assert_eq!(two.post(CHAT, &other).await.status(), 200);
    assert_eq!(two.get("/v1/files").await.status(), 200);
    assert_eq!(recorder.seen().len(), 3, "what is forbidden is not sent");
    proxy.stop().await;
}

#[tokio::test]
async fn an_apps_endpoints_are_known_behind_azures_paths_and_routes() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let route = "[[routes]]\npath = \"/az2\"\nupstream = \"openai\"\n";
    let toml =
        one_account(&recorder.base_url(), "sk-1", &apps("endpoints = [\"chat/completions\"]"));
    let proxy = proxy(&format!("{toml}{route}")).await;
    let one = App::new(proxy.listen(), "key-of-one");
    let azures = "/openai/deployments/mine/chat/completions?api-version=1";
    for path in [CHAT, azures, "/openai/v1/chat/completions", "/az2/v1/chat/completions"] {
        let answer = one.post(path, HELLO).await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    }
    for path in ["/v1/embeddings", "/openai/deployments/mine/embeddings", "/az2/v1/files"] {
        assert_eq!(one.post(path, HELLO).await.status(), 403, "{path}");
    }
    let sent = recorder.seen().len();
    for path in ["/v1/files/../chat/completions", "/v1/chat/%63ompletions", "/az2/%2e%2e/v1/files"]
    {
        let refused = one.post(path, HELLO).await;
        assert_eq!(refused.status(), 400, "{path}: {}", refused.text());
    }
    assert_eq!(recorder.seen().len(), sent, "one of them was sent");
}

#[tokio::test]
async fn an_expired_key_is_told_so() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let (proxy, one, two) = with_apps(&recorder, "expires = \"2020-01-01\"").await;
    let refused = one.post(CHAT, HELLO).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(error(&refused)["code"], "invalid_api_key");
    let message = error(&refused)["message"].to_string();
    assert!(message.contains("has expired"), "{message}");
    assert_eq!(two.post(CHAT, HELLO).await.status(), 200);
    proxy.stop().await;
}

#[tokio::test]
async fn an_app_beyond_its_own_quota_waits_and_others_do_not() {
    let go_on = Arc::new(Notify::new());
    let end = End::Later(Arc::clone(&go_on), &["data: [DONE]\n\n"]);
    let recorder = Recorder::start(move |turn, _| match turn {
        0 => Reply::Events(&["data: {\"choices\":[]}\n\n"], end.clone()),
        _ => Reply::Json(200, SAID),
    })
    .await;
    let (proxy, one, two) = with_apps(&recorder, "concurrency = 1").await;
    let streamed = HELLO.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"");
    let stream = one.open(CHAT, &streamed).await;
    let waits = tokio::spawn(async move { one.post(CHAT, HELLO).await });
    let line = async {
        loop {
            let lines = proxy.proxy().admission().snapshot().lines;
            if let Some(app) = lines.first().and_then(|line| line.apps.first()) {
                return app.lacks.map(|quota| quota.label());
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(timeout(SOON, line).await.expect("it waits"), Some("app_concurrency"));
    assert_eq!(two.post(CHAT, HELLO).await.status(), 200, "it has nothing to do with that");
    go_on.notify_one();
    drop(stream);
    let answer = timeout(SOON, waits).await.expect("its turn").expect("an answer");
    assert_eq!(answer.status(), 200);
    proxy.stop().await;
}

#[tokio::test]
async fn fifty_at_once_get_what_their_apps_day_has_and_changed_quotas_hold_at_once() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let more = "requests_per_day = 20\n";
    let line = "[line]\nmax_wait = \"2s\"\n";
    let toml =
        |more: &str| format!("{line}{}", one_account(&recorder.base_url(), "sk-1", &apps(more)));
    let proxy = proxy(&toml(more)).await;
    let one = App::new(proxy.listen(), "key-of-one");
    let served = |answers: &[Answer]| answers.iter().filter(|it| it.status() == 200).count();
    let answers = join_all((0..50).map(|_| one.post(CHAT, HELLO))).await;
    assert_eq!((served(&answers), recorder.seen().len()), (20, 20));
    let refused = answers.iter().find(|answer| answer.status() == 429).expect("30 of them");
    assert_eq!(error(refused)["code"], "rate_limit_exceeded");
    let message = error(refused)["message"].to_string();
    assert!(message.contains("requests per day of its app"), "{message}");
    let expected = refused.header("x-sluicegate-expected-wait-ms").expect("when its turn comes");
    let expected: u64 = expected.parse().expect("a number");
    assert!(expected > 23 * 3_600_000, "tomorrow, not in {expected} ms");
    proxy.renew(settings(&toml("requests_per_day = 30\n"))).await.expect("taken over");
    let answers = join_all((0..50).map(|_| one.post(CHAT, HELLO))).await;
    assert_eq!((served(&answers), recorder.seen().len()), (10, 30));
    proxy.stop().await;
}

#[tokio::test]
async fn a_restart_gives_an_app_no_second_day() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let home = TempDir::new().expect("a folder");
    let toml = format!(
        "data_dir = \"{}\"\n[line]\nmax_wait = \"1s\"\n{}",
        home.path().display(),
        one_account(&recorder.base_url(), "sk-1", &apps("requests_per_day = 3\n"))
    );
    for statuses in [[200, 200, 200, 429], [429, 429, 429, 429]] {
        let proxy = proxy(&toml).await;
        let [one, two] = ["key-of-one", "key-of-two"].map(|key| App::new(proxy.listen(), key));
        for status in statuses {
            assert_eq!(one.post(CHAT, HELLO).await.status(), status);
        }
        assert_eq!(two.post(CHAT, HELLO).await.status(), 200, "it has no quota of its own");
        proxy.stop().await;
    }
}

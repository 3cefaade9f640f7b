//! A key that the provider refuses and a provider that is down: who is told what, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::house::{App, one_account, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::path_process::Program;
use crate::recorder::{Recorder, Reply};

const BAD_KEY: &str = r#"{"error":{"message":"Incorrect API key provided: sk-very-secret-key. Or sk-ve****-key.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;

/// Returns `state` and `said` of the account and of its key in `/line`.
async fn states(admin: &App) -> [(String, Value); 2] {
    let page = admin.get("/line").await.json();
    let state = |of: &str| {
        let of = page.pointer(of).expect("an account and its key");
        let said = of.get("said").cloned().expect("what was said");
        (of.get("state").and_then(Value::as_str).unwrap_or_default().to_owned(), said)
    };
    [state("/accounts/0"), state("/accounts/0/keys/0")]
}

#[tokio::test]
async fn a_refused_key_of_ours_is_told_as_ours_to_the_client_and_to_monitors() {
    let refuses = Arc::new(AtomicBool::new(true));
    let is_refused = Arc::clone(&refuses);
    let recorder = Recorder::start(move |_, _| match is_refused.load(Ordering::SeqCst) {
        true => Reply::Json(401, BAD_KEY),
        false => Reply::Json(200, SAID),
    })
    .await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-very-secret-key", "")).await;
    let (app, admin) = (App::new(proxy.listen(), "notebook"), App::new(proxy.admin(), ""));
    assert_eq!(admin.get("/readyz").await.status(), 200);

    for path in [CHAT, "/v1/files"] {
        let answer = app.post(path, HELLO).await;
        assert_eq!(answer.status(), 502, "{}", answer.text());
        assert_eq!(answer.header("x-should-retry"), Some("false"), "waiting does not help");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "upstream_key_refused");
        assert_eq!(
            error["message"],
            "sluicegate's own key `first` for the account `main` of the upstream `openai`, and not the client's, \
             was refused by the provider: Incorrect API key provided: ***. Or ***."
        );
    }
    let [account, key] = states(&admin).await;
    assert_eq!(account, key, "it has no other key");
    assert_eq!(key, ("key_refused".into(), "Incorrect API key provided: ***. Or ***.".into()));
    let readiness = admin.get("/readyz").await;
    assert_eq!(readiness.status(), 503);
    assert_eq!(readiness.text(), "no account can serve: see /line\n");
    let usable = r#"sluicegate_key_usable{upstream="openai",account="main",key="first"}"#;
    let metrics = admin.get("/metrics").await.text();
    assert!(metrics.contains(&format!("{usable} 0\n")), "{metrics}");

    refuses.store(false, Ordering::SeqCst);
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200, "the only key is used on");
    let ready = ("ready".to_owned(), Value::Null);
    assert_eq!(states(&admin).await, [ready.clone(), ready]);
    assert_eq!(admin.get("/readyz").await.status(), 200);
    assert!(admin.get("/metrics").await.text().contains(&format!("{usable} 1\n")));
}

#[tokio::test]
async fn a_provider_that_is_down_is_no_reason_to_be_ready() {
    let recorder = Recorder::start(|_, _| Reply::Reset).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let (app, admin) = (App::new(proxy.listen(), "notebook"), App::new(proxy.admin(), ""));
    let answer = app.post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    let answer = app.post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    let [(account, said), (key, _)] = states(&admin).await;
    assert_eq!((account.as_str(), key.as_str()), ("unreachable", "ready"));
    assert!(said.as_str().is_some_and(|said| said.contains("broke off")), "{said}");
    assert_eq!(admin.get("/readyz").await.status(), 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_warns_once_of_a_key_and_once_more_when_it_is_back() {
    let recorder = Recorder::start(|number, _| match number {
        0..5 => Reply::Json(401, BAD_KEY),
        _ => Reply::Json(200, SAID),
    })
    .await;
    let program = Program::start(&recorder.base_url(), "json");
    let app = App::new(program.listen(), "notebook");
    for status in [502, 502, 502, 502, 502, 200, 200] {
        assert_eq!(app.post(CHAT, HELLO).await.status(), status);
    }
    let told = program.stop();
    let about = |line: &&Value| line["message"].as_str().is_some_and(|text| text.contains("key"));
    let lines: Vec<&Value> =
        told.iter().filter(about).filter(|line| line["level"] != "DEBUG").collect();
    let [refused, back] = lines.as_slice() else { panic!("not told once each: {lines:?}") };
    assert_eq!((&refused["level"], &back["level"]), (&"WARN".into(), &"INFO".into()));
    assert_eq!(refused["account"], "default");
    assert_eq!(refused["key"], "env:OPENAI_API_KEY");
    assert_eq!(refused["state"], "key_refused");
    assert_eq!(refused["said"], "Incorrect API key provided: ***. Or ***.");
    let requests = told.iter().filter(|line| line["message"] == "request");
    let why: Vec<&Value> = requests.map(|line| &line["cause"]).filter(|it| !it.is_null()).collect();
    assert_eq!(why.len(), 5, "the line of each request that failed says why");
    assert!(!format!("{told:?}").contains("sk-very"), "the key is in the log");
}

//! Keys, accounts and limits that change while the program serves.

use std::sync::Arc;
use std::time::Duration;

use sluicegate::server::Running;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cli::Serving;
use crate::house::{Answer, App, one_account, proxy, settings};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{End, Recorder, Reply};

/// Far longer than anything takes that goes right.
const SOON: Duration = Duration::from_secs(20);

/// An account of each name, with a key of that name, and one slot for each.
fn accounts(base_url: &str, names: &[&str], more: &str) -> String {
    let account = |name: &&str| {
        format!(
            "[[upstreams.accounts]]\nname = \"{name}\"\nkeys = [{{ key = \"{name}\", label = \"{name}\" }}]\n"
        )
    };
    let accounts: String = names.iter().map(account).collect();
    let slot = "[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\n";
    format!(
        "[timeouts]\ndrain = \"50ms\"\n[[upstreams]]\nbase_url = \"{base_url}\"\n{accounts}{slot}{more}"
    )
}

fn ask(proxy: &Running) -> JoinHandle<Answer> {
    let address = proxy.listen();
    tokio::spawn(async move { App::new(address, "notebook").post(CHAT, HELLO).await })
}

/// Waits until so many stand in line.
async fn waiting(proxy: &Running, count: usize) {
    let come = async {
        while proxy.proxy().admission().snapshot().waiting < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, come).await.expect("they never came");
}

fn keys(recorder: &Recorder) -> Vec<String> {
    let seen = recorder.seen();
    let key =
        |name: Option<&str>| name.and_then(|key| key.strip_prefix("Bearer ")).map(str::to_owned);
    seen.iter().map(|seen| key(seen.header("authorization")).unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_new_account_takes_whoever_waits_at_once() {
    let recorder = Recorder::start(|_, _| Reply::Silence).await;
    let base = recorder.base_url();
    let proxy = proxy(&accounts(&base, &["a"], "")).await;
    let mut calls = vec![ask(&proxy)];
    recorder.asked(1).await;
    calls.extend([ask(&proxy), ask(&proxy)]);
    waiting(&proxy, 2).await;
    let left = proxy.renew(settings(&accounts(&base, &["a", "b"], ""))).await.expect("taken over");
    assert!(left.is_empty(), "{left:?}");
    timeout(SOON, recorder.asked(2)).await.expect("the new account has a slot");
    assert_eq!(keys(&recorder), ["a", "b"]);
    waiting(&proxy, 1).await;
    calls.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn an_account_that_is_gone_gets_nothing_more_and_its_call_ends_well() {
    let go_on = Arc::new(Notify::new());
    let end = End::Later(Arc::clone(&go_on), &["data: [DONE]\n\n"]);
    let recorder = Recorder::start(move |turn, _| match turn {
        0 | 1 => Reply::Events(&["data: {\"choices\":[]}\n\n"], end.clone()),
        _ => Reply::Json(200, SAID),
    })
    .await;
    let base = recorder.base_url();
    let proxy = proxy(&accounts(&base, &["a", "b"], "")).await;
    let calls = [ask(&proxy), ask(&proxy)];
    recorder.asked(2).await;
    let next = ask(&proxy);
    waiting(&proxy, 1).await;
    proxy.renew(settings(&accounts(&base, &["a"], ""))).await.expect("taken over");
    go_on.notify_waiters();
    go_on.notify_waiters();
    for call in calls {
        let answer = timeout(SOON, call).await.expect("in time").expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(answer.text().contains("[DONE]"), "{}", answer.text());
    }
    assert_eq!(timeout(SOON, next).await.expect("in time").expect("an answer").status(), 200);
    assert_eq!(ask(&proxy).await.expect("an answer").status(), 200);
    assert_eq!(keys(&recorder)[2..], ["a", "a"]);
}

#[tokio::test]
async fn apps_and_rules_hold_from_the_next_request_on() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let base = recorder.base_url();
    let app = |key: &str| {
        one_account(&base, "sk-1", &format!("[[apps]]\nname = \"app\"\nkey = \"{key}\"\n"))
    };
    let proxy = proxy(&app("before")).await;
    let status =
        async |key| App::new(proxy.listen(), key).post(CHAT, HELLO).await.status().as_u16();
    assert_eq!((status("before").await, status("after").await), (200, 401));
    proxy.renew(settings(&app("after"))).await.expect("taken over");
    assert_eq!((status("before").await, status("after").await), (401, 200));
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_stays() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let proxy = proxy(&accounts(&recorder.base_url(), &["a"], "")).await;
    let mut other = settings(&accounts("http://127.0.0.1:9/v1", &["b"], ""));
    other.timeouts.idle = SOON;
    let left = proxy.renew(other).await.expect("taken over");
    assert_eq!(left, ["timeouts", "upstreams.base_url"]);
    assert_eq!(ask(&proxy).await.expect("an answer").status(), 200);
    assert_eq!(keys(&recorder), ["a"], "a key for another place went to the old one");

    let own = format!("[[upstreams]]\nbase_url = \"{}\"\n", recorder.base_url());
    let refused = proxy.renew(settings(&own)).await.expect_err("clients would have to bring keys");
    assert!(refused.to_string().contains("restart"), "{refused}");
    assert_eq!(ask(&proxy).await.expect("an answer").status(), 200);
    assert_eq!(keys(&recorder), ["a", "a"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_reads_the_file_again_and_a_wrong_one_changes_nothing() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let home = TempDir::new().expect("a folder");
    let file = home.path().join("test.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    let with =
        |names: &[&str]| format!("data_dir = \"\"\n{}", accounts(&recorder.base_url(), names, ""));
    write(&with(&["a"]));
    let mut serving = Serving::start(&["--config", file.to_str().expect("a plain path")], &home);
    let app = App::new(serving.listen.parse().expect("an address"), "notebook");

    write(&with(&["b"]).replace("concurrency = 1", "concurrency = 0"));
    serving.hang_up();
    let problem = serving.tells("ERROR");
    assert!(problem.contains("test.toml:11: `upstreams.limits.concurrency` is 0"), "{problem}");
    assert!(serving.tells("ERROR").contains("is not taken over"));
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200);

    write(&with(&["b"]));
    serving.hang_up();
    let told = serving.tells("the configuration is read again");
    assert!(told.contains("1 account, 1 key from b"), "{told}");
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200);
    assert_eq!(keys(&recorder), ["a", "b"]);
    serving.kill();
}

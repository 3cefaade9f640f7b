//! Several upstreams: what goes where, with accounts, lanes and lines of their own.

use tempfile::TempDir;

use crate::house::{App, proxy, settings};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{Recorder, Reply};

/// An upstream with one key, which has its name.
pub(crate) fn upstream(name: &str, base_url: &str) -> String {
    format!(
        "[[upstreams]]\nname = \"{name}\"\nbase_url = \"{base_url}\"\naccounts = [{{ name = \"{name}\", \
         keys = [{{ key = \"{name}\", label = \"{name}\" }}] }}]\n"
    )
}

/// Two upstreams, `a` and `b`.
pub(crate) fn two(a: &Recorder, b: &Recorder, more: &str) -> String {
    format!("{}{}{more}", upstream("a", &a.base_url()), upstream("b", &b.base_url()))
}

const TO_B: &str = "[[routes]]\npath = \"/b\"\nupstream = \"b\"\n\
    [[routes]]\nmodels = \"b-*\"\nupstream = \"b\"\n";

pub(crate) async fn says(body: &'static str) -> Recorder {
    Recorder::start(move |_, _| Reply::Json(200, body)).await
}

fn paths(recorder: &Recorder) -> Vec<String> {
    recorder.seen().into_iter().map(|seen| seen.path).collect()
}

#[tokio::test]
async fn a_request_goes_by_its_path_else_by_its_model_else_to_the_first() {
    let (a, b) = (says(SAID).await, says(SAID).await);
    let proxy = proxy(&two(&a, &b, TO_B)).await;
    let app = App::new(proxy.listen(), "notebook");
    let b_model = HELLO.replace("gpt-4o", "b-1");
    for (path, body) in [
        (CHAT, HELLO),
        ("/b/v1/chat/completions?x=1", HELLO),
        ("/b/chat/completions", HELLO),
        (CHAT, &b_model),
        ("/v1/chat/completions", &HELLO.replace("gpt-4o", "b")),
    ] {
        let answer = app.post(path, body).await;
        assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, SAID), "{path}");
    }
    assert_eq!(app.get("/b/v1/models").await.status(), 200);
    assert_eq!(app.get("/v1/models").await.status(), 200);
    assert_eq!(app.get("/b").await.status(), 200);
    assert_eq!(paths(&a), ["/v1/chat/completions", "/v1/chat/completions", "/v1/models"]);
    let chat = "/v1/chat/completions";
    // Models are listed of all upstreams, where the path leads to none.
    let models = "/v1/models";
    assert_eq!(paths(&b), [&format!("{chat}?x=1"), chat, chat, models, models, "/v1/"]);
    let keys = |recorder: &Recorder| {
        let seen = recorder.seen();
        seen.iter().all(|seen| seen.header("authorization") == Some("Bearer a"))
    };
    assert!(keys(&a) && !keys(&b), "a key went to the wrong provider");
    let text = String::from_utf8_lossy(&b.seen()[0].body).into_owned();
    assert_eq!(text, HELLO, "the body was changed");
}

#[tokio::test]
async fn lanes_lines_and_metrics_are_told_for_each_upstream() {
    let told = vec![("x-ratelimit-limit-requests", "80"), ("x-ratelimit-remaining-requests", "79")];
    let b = Recorder::start(move |_, _| Reply::With(200, SAID, told.clone())).await;
    let a = says(SAID).await;
    let proxy = proxy(&two(&a, &b, TO_B)).await;
    let app = App::new(proxy.listen(), "notebook");
    app.post(CHAT, HELLO).await;
    app.post("/b/v1/chat/completions", HELLO).await;
    let admin = App::new(proxy.admin(), "monitor");
    let lanes = admin.get("/line").await.json();
    let named: Vec<_> = lanes["lanes"]
        .as_array()
        .expect("lanes")
        .iter()
        .map(|lane| {
            (lane["upstream"].as_str().expect("a name"), lane["account"].as_str().expect("a name"))
        })
        .collect();
    assert_eq!(named, [("a", "a"), ("b", "b")]);
    let metrics = admin.get("/metrics").await.text();
    for line in [
        "sluicegate_waiting{upstream=\"b\"} 0",
        "sluicegate_headroom{upstream=\"b\",account=\"b\",group=\"gpt-4o\",quota=\"rpm\"} 79",
        "sluicegate_account_tokens_total{upstream=\"b\",account=\"b\",kind=\"input\"}",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert_eq!(admin.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn what_is_within_an_upstream_changes_while_it_serves() {
    let (a, b) = (says(SAID).await, says(SAID).await);
    let proxy = proxy(&two(&a, &b, TO_B)).await;
    let app = App::new(proxy.listen(), "notebook");
    app.post("/b/v1/chat/completions", HELLO).await;
    let other = two(&a, &b, TO_B).replace("key = \"b\"", "key = \"other\"");
    let left = proxy.renew(settings(&other)).await.expect("taken over");
    assert!(left.is_empty(), "{left:?}");
    app.post("/b/v1/chat/completions", HELLO).await;
    app.post(CHAT, HELLO).await;
    let keys = |recorder: &Recorder| -> Vec<String> {
        let seen = recorder.seen();
        seen.iter().filter_map(|seen| seen.header("authorization").map(str::to_owned)).collect()
    };
    assert_eq!(keys(&b), ["Bearer b", "Bearer other"]);
    assert_eq!(keys(&a), ["Bearer a"]);
}

#[tokio::test]
async fn what_is_learned_is_kept_for_each_upstream() {
    let limit = |limit| vec![("x-ratelimit-limit-requests", limit)];
    let of_a = Recorder::start(move |_, _| Reply::With(200, SAID, limit("70"))).await;
    let of_b = Recorder::start(move |_, _| Reply::With(200, SAID, limit("80"))).await;
    let home = TempDir::new().expect("a folder");
    let toml = format!("data_dir = {:?}\n{}", home.path(), two(&of_a, &of_b, TO_B));
    // Both call their account the same.
    let toml = toml.replace("accounts = [{ name = \"b\"", "accounts = [{ name = \"a\"");
    for recalled in [false, true] {
        let proxy = proxy(&toml).await;
        let app = App::new(proxy.listen(), "notebook");
        app.post(CHAT, HELLO).await;
        app.post("/b/v1/chat/completions", HELLO).await;
        let line = App::new(proxy.admin(), "").get("/line").await.json();
        for (lane, limit) in [(0, 70), (1, 80)] {
            let lane = &line["lanes"][lane];
            assert_eq!(lane["recalled_age_ms"].is_u64(), recalled, "{lane}");
            assert_eq!(lane["quotas"][0]["limit"], limit, "{lane}");
        }
        proxy.stop().await;
    }
}

//! What is sent is booked, whatever becomes of it, and what cannot be booked is not sent.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::books::Books;
use crate::house::{App, one_account, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{End, Recorder, Reply};

/// Far longer than anything takes that goes right.
pub(crate) const SOON: Duration = Duration::from_secs(20);

const LIMITED: &str =
    r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#;
const ASKS: &str =
    r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const HEAD: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":5}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn settings(books: &Books, base_url: &str) -> String {
    format!("{}{}", books.settings(), one_account(base_url, "sk-1", ""))
}

async fn state(admin: &App) -> Value {
    admin.get("/ledger").await.json()
}

/// Waits until the state of the ledger is as `is_so` asks for.
pub(crate) async fn until(admin: &App, is_so: impl Fn(&Value) -> bool) {
    let waiting = async {
        while !is_so(&state(admin).await) {
            tokio::task::yield_now().await;
        }
    };
    let came = timeout(SOON, waiting).await;
    assert!(came.is_ok(), "{}", state(admin).await);
}

/// Waits until all that was booked is in the store.
pub(crate) async fn until_stored(admin: &App) {
    until(admin, |state| state["waiting"] == 0 && state["spilled_bytes"] == 0).await;
}

#[tokio::test]
async fn when_the_answer_is_there_each_try_is_booked() {
    let told = vec![("x-request-id", "req_1")];
    let script = move |turn, seen: &crate::recorder::Seen| match turn {
        0 => Reply::With(429, LIMITED, vec![("retry-after-ms", "1")]),
        1 => Reply::With(200, SAID, told.clone()),
        _ if seen.path == "/v1/models" => Reply::Json(200, "{}"),
        _ => Reply::Events(&[HEAD, USAGE, DONE], End::Clean),
    };
    let provider = Recorder::start(script).await;
    let books = Books::new().await;
    let proxy = proxy(&settings(&books, &provider.base_url())).await;
    let app = App::new(proxy.listen(), "notebook");
    let answer = app.post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let id = answer.header("x-sluicegate-request-id").expect("an id").to_owned();
    let admin = App::new(proxy.admin(), "");
    until_stored(&admin).await;
    let tries = "SELECT request, attempt, ending, status, provider_id, input, output, est_input, est_output, \
                 booked_ms - sent_ms, cost_pico, app, account, account_key, endpoint, model \
                 FROM entries JOIN facets ON facets.id = entries.facet ORDER BY seq";
    let booked = books.rows(tries).await;
    assert_eq!(booked.len(), 2);
    for (row, attempt, ending, status) in
        [(&booked[0], 1, "refused", 429), (&booked[1], 2, "complete", 200)]
    {
        assert_eq!(row[..4], [json!(id), json!(attempt), json!(ending), json!(status)]);
        assert_eq!(row[7..9], [8, 8]);
        assert!(row[9].as_i64() >= Some(0));
        assert_eq!(row[11..], ["notebook", "main", "first", "/chat/completions", "gpt-4o"]);
    }
    assert_eq!([&booked[0][5], &booked[0][6], &booked[0][10]], [0, 0, 0]);
    assert_eq!(booked[1][5..7], [8, 1]);
    assert!(booked[1][10].as_i64() > Some(0), "its price is known");
    assert_eq!(booked[1][4], "req_1");

    let answer = app.post(CHAT, ASKS).await;
    assert!(answer.text().ends_with(DONE), "{}", answer.text());
    let sums = "SELECT COUNT(*), CAST(SUM(input) AS BIGINT), CAST(SUM(output) AS BIGINT) \
                FROM entries WHERE ending = 'complete'";
    until_stored(&admin).await;
    assert_eq!(books.rows(sums).await[0], [2, 16, 6]);
    assert_eq!(app.get("/v1/models").await.status(), 200);
    until_stored(&admin).await;
    assert_eq!(books.rows(sums).await[0][0], 3, "it took a request, too");
    assert_eq!(state(&admin).await["open"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_booked_is_not_sent_and_what_was_sent_waits_for_its_entry() {
    let provider = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let books = Books::new().await;
    let no_folder = books.path().join("file");
    std::fs::write(&no_folder, "").expect("written");
    let no_room = format!("ledger.spill_dir = \"{}\"\n", no_folder.display());
    let proxy = proxy(&(no_room + &settings(&books, &provider.base_url()))).await;
    let (app, admin) = (App::new(proxy.listen(), "notebook"), App::new(proxy.admin(), ""));
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200);
    let thief = books.lock().await;
    let held = tokio::spawn({
        let app = app.clone();
        async move { app.post(CHAT, HELLO).await }
    });
    until(&admin, |state| state["refuses"] == true).await;
    let refused = app.post(CHAT, HELLO).await;
    assert_eq!(refused.status(), 503, "{}", refused.text());
    let error = &refused.json()["error"];
    assert_eq!(
        (&error["code"], &error["type"]),
        (&"ledger_unavailable".into(), &"service_unavailable_error".into())
    );
    assert_eq!(provider.seen().len(), 2, "it was not sent");
    assert!(!held.is_finished(), "its answer waits for its entry");
    thief.leave().await;
    let answer = timeout(SOON, held).await.expect("in time").expect("no panic");
    assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, SAID));
    until(&admin, |state| state["stores"] == true).await;
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200);
    let complete = "SELECT COUNT(*) FROM entries WHERE ending = 'complete'";
    assert_eq!(books.number(complete).await, 3);
}

#[tokio::test]
async fn where_nothing_is_kept_nothing_is_waited_for() {
    let provider = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    assert_eq!(App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await.status(), 200);
    assert_eq!(state(&App::new(proxy.admin(), "")).await["is_kept"], false);
}

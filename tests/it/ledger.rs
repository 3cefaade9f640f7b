//! What is sent is booked, whatever becomes of it, and what cannot be booked is not sent.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _};
use tempfile::TempDir;
use tokio::time::timeout;

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

fn with_data_in(folder: &Path, base_url: &str, more: &str) -> String {
    let folder = folder.display();
    format!("data_dir = \"{folder}\"\n{}\n{more}", one_account(base_url, "sk-1", ""))
}

pub(crate) async fn open(folder: &Path) -> SqliteConnection {
    let file = SqliteConnectOptions::new().filename(folder.join("sluicegate.db"));
    file.connect().await.expect("the store opens")
}

pub(crate) async fn rows(folder: &Path, sql: &'static str) -> Vec<SqliteRow> {
    sqlx::query(sql).fetch_all(&mut open(folder).await).await.expect("the store can be read")
}

async fn state(admin: &App) -> Value {
    admin.get("/ledger").await.json()
}

/// Waits until the state of the ledger is as `is_so` asks for.
async fn until(admin: &App, is_so: impl Fn(&Value) -> bool) {
    let waiting = async {
        while !is_so(&state(admin).await) {
            tokio::task::yield_now().await;
        }
    };
    let came = timeout(SOON, waiting).await;
    assert!(came.is_ok(), "{}", state(admin).await);
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
    let home = TempDir::new().expect("a folder");
    let proxy = proxy(&with_data_in(home.path(), &provider.base_url(), "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let answer = app.post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let id = answer.header("x-sluicegate-request-id").expect("an id").to_owned();
    let tries = "SELECT request, attempt, ending, status, provider_id, input, output, est_input, est_output, \
                 booked_ms - sent_ms, cost_pico, app, account, account_key, endpoint, model \
                 FROM entries JOIN facets ON facets.id = entries.facet ORDER BY seq";
    let booked = rows(home.path(), tries).await;
    assert_eq!(booked.len(), 2);
    let texts = |row: &SqliteRow, at: [usize; 4]| at.map(|at| row.get::<String, _>(at));
    for (row, attempt, ending, status) in
        [(&booked[0], 1, "refused", 429), (&booked[1], 2, "complete", 200)]
    {
        assert_eq!(texts(row, [0, 2, 11, 14]), [&id, ending, "notebook", "/chat/completions"]);
        assert_eq!(texts(row, [12, 13, 15, 2]), ["main", "first", "gpt-4o", ending]);
        assert_eq!([row.get::<i64, _>(1), row.get(3)], [attempt, status]);
        assert_eq!([row.get::<i64, _>(7), row.get(8)], [8, 8]);
        assert!(row.get::<i64, _>(9) >= 0);
    }
    assert_eq!([booked[0].get::<i64, _>(5), booked[0].get(6), booked[0].get(10)], [0, 0, 0]);
    assert_eq!([booked[1].get::<i64, _>(5), booked[1].get(6)], [8, 1]);
    assert!(booked[1].get::<i64, _>(10) > 0, "its price is known");
    assert_eq!(booked[1].get::<String, _>(4), "req_1");

    let answer = app.post(CHAT, ASKS).await;
    assert!(answer.text().ends_with(DONE), "{}", answer.text());
    let sums = "SELECT COUNT(*), SUM(input), SUM(output) FROM entries WHERE ending = 'complete'";
    let sum = rows(home.path(), sums).await;
    assert_eq!([sum[0].get::<i64, _>(0), sum[0].get(1), sum[0].get(2)], [2, 16, 6]);
    assert_eq!(app.get("/v1/models").await.status(), 200);
    assert_eq!(rows(home.path(), sums).await[0].get::<i64, _>(0), 3, "it took a request, too");
    assert_eq!(state(&App::new(proxy.admin(), "")).await["open"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_booked_is_not_sent_and_what_was_sent_waits_for_its_entry() {
    let provider = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let home = TempDir::new().expect("a folder");
    std::fs::write(home.path().join("file"), "").expect("written");
    let no_folder = home.path().join("file");
    let more = format!("[ledger]\nspill_dir = \"{}\"\n", no_folder.display());
    let proxy = proxy(&with_data_in(home.path(), &provider.base_url(), &more)).await;
    let (app, admin) = (App::new(proxy.listen(), "notebook"), App::new(proxy.admin(), ""));
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200);
    let mut thief = open(home.path()).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut thief).await.expect("locked");
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
    sqlx::query("ROLLBACK").execute(&mut thief).await.expect("unlocked");
    let answer = timeout(SOON, held).await.expect("in time").expect("no panic");
    assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, SAID));
    until(&admin, |state| state["stores"] == true).await;
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200);
    let complete =
        rows(home.path(), "SELECT COUNT(*) FROM entries WHERE ending = 'complete'").await;
    assert_eq!(complete[0].get::<i64, _>(0), 3);
}

#[tokio::test]
async fn where_nothing_is_kept_nothing_is_waited_for() {
    let provider = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    assert_eq!(App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await.status(), 200);
    assert_eq!(state(&App::new(proxy.admin(), "")).await["is_kept"], false);
}

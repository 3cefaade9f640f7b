//! Files and batches of two accounts are listed as one, page by page.

#![expect(clippy::indexing_slicing, reason = "a test: what is not there fails it")]

use serde_json::{Value, json};

use crate::house::{App, proxy};
use crate::recorder::{Recorder, Reply, Seen};

const ACCOUNTS: [&str; 2] = ["one", "two"];

/// Made at these times, oldest first: some in both accounts at once, and one account far behind.
const MADE: [&[u64]; 2] = [&[10, 20, 20, 30, 50, 60, 70, 80, 90], &[20, 20, 40, 90, 95, 96, 97]];

fn settings(base_url: &str) -> String {
    let account = |name: &str| {
        format!(
            "[[upstreams.accounts]]\nname = \"{name}\"\n[[upstreams.accounts.keys]]\n\
             key = \"sk-{name}\"\nlabel = \"key-{name}\"\n"
        )
    };
    format!("[[upstreams]]\nbase_url = \"{base_url}\"\n{}", ACCOUNTS.map(account).concat())
}

/// Returns the objects of an account, as its provider lists them.
fn objects(account: usize, is_oldest_first: bool) -> Vec<Value> {
    let object = |(number, at): (usize, &u64)| json!({"id": format!("file-{}-{number}", ACCOUNTS[account]), "created_at": at, "odd": [1.50]});
    let mut all: Vec<Value> = MADE[account].iter().enumerate().map(object).collect();
    if !is_oldest_first {
        all.reverse();
    }
    all
}

/// Lists as OpenAI does.
fn list(seen: &Seen) -> Reply {
    let key = seen.header("authorization").expect("a key");
    let account = ACCOUNTS.iter().position(|name| key.ends_with(name)).expect("a known key");
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
    let mut all = objects(account, value("order=") == Some("asc"));
    if let Some(id) = path.strip_prefix("/v1/files/") {
        let found = all.into_iter().find(|it| it["id"] == id);
        return found.map_or(Reply::Json(404, r#"{"error":{"message":"No such File"}}"#), |it| {
            Reply::Json(200, it.to_string().leak())
        });
    }
    if let Some(after) = value("after=") {
        let behind = all.iter().position(|it| it["id"] == after).map_or(all.len(), |at| at + 1);
        all.drain(..behind);
    }
    // A provider may give less than was asked for.
    let limit = value("limit=").map_or(3, |limit| limit.parse().expect("a number")).min(3);
    let has_more = all.len() > limit;
    all.truncate(limit);
    Reply::Json(
        200,
        json!({"object": "list", "data": all, "has_more": has_more}).to_string().leak(),
    )
}

fn ids(list: &[Value]) -> Vec<&str> {
    list.iter().map(|it| it["id"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn pages_of_any_length_and_order_join_to_the_list_of_all() {
    let provider = Recorder::start(|_, seen| list(seen)).await;
    let proxy = proxy(&settings(&provider.base_url())).await;
    let app = App::new(proxy.listen(), "notebook");
    for (order, is_oldest_first) in [("asc", true), ("desc", false)] {
        let mut expected = [0, 1].map(|account| objects(account, is_oldest_first)).concat();
        // It keeps the order of equals: the first account's go first.
        expected.sort_by_key(|it| {
            let at = it["created_at"].as_i64().expect("a number");
            if is_oldest_first { at } else { -at }
        });
        for limit in [1, 2, 3, 4, 7, 15, 16, 17, 10_000] {
            let (mut listed, mut after) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/files?order={order}&limit={limit}&purpose=batch{after}");
                let page = app.get(&path).await;
                assert_eq!(page.status(), 200, "{path}: {}", page.text());
                assert_eq!(page.header("x-sluicegate-account"), Some("one, two"));
                let page = page.json();
                let data = page["data"].as_array().expect("a list");
                assert!(data.len() <= limit && !data.is_empty(), "{path}: {page}");
                assert_eq!(page["last_id"], data[data.len() - 1]["id"]);
                listed.extend(data.iter().cloned());
                let is_last = listed.len() == expected.len();
                assert_eq!(page["has_more"], json!(!is_last), "{path}: {page}");
                if is_last {
                    break;
                }
                after = format!("&after={}", page["last_id"].as_str().expect("an id"));
            }
            assert_eq!(ids(&listed), ids(&expected), "{order}, {limit} at a time");
        }
    }
    let asked = provider.seen();
    assert!(
        asked
            .iter()
            .all(|seen| seen.path.contains("/files/") || seen.path.contains("purpose=batch"))
    );
}

#[tokio::test]
async fn what_is_listed_is_known_and_what_is_unknown_is_refused_by_the_provider() {
    let provider = Recorder::start(|_, seen| list(seen)).await;
    let proxy = proxy(&settings(&provider.base_url())).await;
    let app = App::new(proxy.listen(), "notebook");
    let odd = app.get("/v1/files?limit=0").await;
    assert_eq!(
        odd.header("x-sluicegate-account"),
        Some("one"),
        "its limit is the provider's to judge"
    );
    let unknown = app.get("/v1/files?after=file-nobody").await;
    assert_eq!(
        (unknown.status().as_u16(), unknown.header("x-sluicegate-account")),
        (404, Some("one"))
    );
    app.get("/v1/files").await;
    for account in ACCOUNTS {
        let answer = app.get(&format!("/v1/files/file-{account}-3")).await;
        assert_eq!(
            (answer.status().as_u16(), answer.header("x-sluicegate-account")),
            (200, Some(account))
        );
        assert!(answer.text().contains("[1.5]"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_list_without_an_account_is_no_list() {
    let provider = Recorder::start(|_, seen| match seen.header("authorization") {
        Some("Bearer sk-two") => Reply::Json(
            401,
            r#"{"error":{"message":"Incorrect API key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        ),
        _ => list(seen),
    })
    .await;
    let proxy = proxy(&settings(&provider.base_url())).await;
    let app = App::new(proxy.listen(), "notebook");
    let answer = app.get("/v1/files").await;
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(answer.text().contains("`two`"), "{}", answer.text());
}

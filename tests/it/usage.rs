//! What was used is told on the command line, while the proxy runs and when it does not.

use std::process::Output;

use serde_json::Value;
use sluicegate::cli::Exit;
use tokio::task::spawn_blocking;

use crate::books::Books;
use crate::cli::{code, expect, home, home_with, sluicegate, text};
use crate::house::{App, one_account, proxy};
use crate::ledger::until_stored;
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{Recorder, Reply};

const LIMITED: &str =
    r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#;
/// A model that no list has.
const DREAM: &str =
    r#"{"model":"dream-1","max_tokens":8,"messages":[{"role":"user","content":"hi"}]}"#;
const DREAMT: &str = r#"{"id":"c2","object":"chat.completion","model":"dream-1","choices":[],"usage":{"prompt_tokens":8,"completion_tokens":5,"total_tokens":13}}"#;

/// Runs `sluicegate usage` on these books.
async fn usage(books: &Books, args: &[&str]) -> Output {
    let folder = books.path().display().to_string();
    let url = (!books.is_file()).then(|| books.url().to_owned());
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let running = spawn_blocking(move || {
        let mut all = vec!["usage", "--data-dir", folder.as_str()];
        all.extend(args.iter().map(String::as_str));
        let mut env = vec![("TZ", "UTC")];
        env.extend(url.as_deref().map(|url| ("SLUICEGATE_LEDGER_URL", url)));
        sluicegate(&all, &env, &home())
    });
    running.await.expect("it ends")
}

pub(crate) async fn json(books: &Books, args: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend(args);
    let output = usage(books, &all).await;
    assert_eq!(code(&output), expect(Exit::Done), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

/// Sends one request that is refused once, one more, and one for a model without prices.
async fn three_requests(books: &Books) -> (sluicegate::server::Running, String) {
    let script = |turn, seen: &crate::recorder::Seen| match turn {
        0 => Reply::With(429, LIMITED, vec![("retry-after-ms", "1")]),
        _ if seen.text().contains("dream-1") => Reply::Json(200, DREAMT),
        _ => Reply::With(200, SAID, vec![("x-request-id", "req_1")]),
    };
    let provider = Recorder::start(script).await;
    let settings = one_account(&provider.base_url(), "sk-1", "");
    let proxy = proxy(&(books.settings() + &settings)).await;
    let app = App::new(proxy.listen(), "notebook");
    let first = app.post(CHAT, HELLO).await;
    assert_eq!(first.status(), 200, "{}", first.text());
    let id = first.header("x-sluicegate-request-id").expect("an id").to_owned();
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200);
    assert_eq!(App::new(proxy.listen(), "other").post(CHAT, DREAM).await.status(), 200);
    until_stored(&App::new(proxy.admin(), "")).await;
    (proxy, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_has_one_name_behind_routes_and_in_azures_paths() {
    let books = Books::new().await;
    let provider = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let settings = one_account(&provider.base_url(), "sk-1", "");
    let routes = "[[routes]]\npath = \"/az2\"\nupstream = \"openai\"\n";
    let proxy = proxy(&(books.settings() + &settings + routes)).await;
    let app = App::new(proxy.listen(), "notebook");
    let paths = [
        CHAT,
        "/chat/completions",
        "/az2/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/deployments/my-4o/chat/completions?api-version=1",
    ];
    for path in paths {
        let answer = app.post(path, HELLO).await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    }
    assert_eq!(app.post("/az2/v1/files/file-1/content", "").await.status(), 200);
    until_stored(&App::new(proxy.admin(), "")).await;
    let told = json(&books, &["--by", "endpoint"]).await;
    let rows = told.pointer("/rows").and_then(Value::as_array).expect("rows");
    let mut named: Vec<_> = rows
        .iter()
        .map(|row| (row.get("endpoint").and_then(Value::as_str), row.get("requests").cloned()))
        .collect();
    named.sort_by_key(|(name, _)| *name);
    let expected = [(Some("/chat/completions"), Some(5.into())), (Some("/files"), Some(1.into()))];
    assert_eq!(named, expected, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_tells_the_same_while_the_proxy_runs_and_after() {
    let books = Books::new().await;
    let (proxy, id) = three_requests(&books).await;
    let told = json(&books, &["--by", "app,model"]).await;
    let total = &told["total"];
    assert_eq!(total["requests"], 3, "{told}");
    assert_eq!(total["attempts"], 4);
    assert_eq!(total["total_tokens"], 9 + 9 + 13);
    assert_eq!(total["unknown_cost_attempts"], 1);
    assert_eq!(total["endings"]["refused"], 1);
    assert!(total["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0), "{told}");
    assert_eq!(told["rows"][0]["app"], "notebook");
    assert_eq!(told["rows"][0]["model"], "gpt-4o");
    assert_eq!(told["rows"][1]["app"], "other");
    assert_eq!(told["unknown_cost"][0]["model"], "dream-1");

    proxy.stop().await;
    assert_eq!(json(&books, &["--by", "app,model"]).await, told, "it does not run any more");
    for by in [
        "account", "day", "label", "class", "endpoint", "upstream", "key", "served", "tier",
        "ending",
    ] {
        let cut = json(&books, &["--by", by]).await;
        assert_eq!(cut["total"], told["total"], "{by}");
        let requests =
            cut["rows"].as_array().expect("rows").iter().map(|row| row["requests"].as_u64());
        assert_eq!(requests.sum::<Option<u64>>(), Some(3), "{by}");
    }
    for when in [&["--today"][..], &["--last", "1h"], &["--month"], &["--from", "2026-01-01"]] {
        assert_eq!(json(&books, when).await["total"], told["total"], "{when:?}");
    }
    assert_eq!(json(&books, &["--to", "2026-01-01"]).await["total"]["requests"], 0);
    assert_eq!(json(&books, &["--only", "app=other"]).await["total"]["total_tokens"], 13);

    let table = text(&usage(&books, &[]).await.stdout);
    assert!(table.contains("model = \"dream-1\""), "{table}");
    assert!(table.contains("tries are all that were sent"), "{table}");
    let csv = text(&usage(&books, &["--csv", "--by", "app"]).await.stdout);
    assert!(csv.lines().any(|line| line.starts_with("notebook,2,3,18,")), "{csv}");

    for asked in [id.as_str(), "req_1"] {
        let output = usage(&books, &["--explain", asked]).await;
        let story = text(&output.stdout);
        assert_eq!(code(&output), expect(Exit::Done), "{}", text(&output.stderr));
        assert!(story.contains("try ") && story.contains("ended     complete"), "{story}");
        assert!(story.contains("    sum "), "{story}");
        assert!(
            story.contains("  chosen    account: the only one; key: the only one\n"),
            "{story}"
        );
    }
    let unknown = usage(&books, &["--explain", "sg_never"]).await;
    assert_eq!(code(&unknown), expect(Exit::Failed));
    assert!(text(&unknown.stderr).contains("no request with the id `sg_never` is booked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_own_figures_are_held_against_the_books() {
    let books = Books::new().await;
    let (proxy, _) = three_requests(&books).await;
    proxy.stop().await;
    let page = |output: u64| {
        let result = "\"object\":\"organization.usage.completions.result\"";
        let gpt = format!(
            "{{{result},\"model\":\"gpt-4o\",\"input_tokens\":16,\"output_tokens\":{output},\"num_model_requests\":2}}"
        );
        let dream = format!(
            "{{{result},\"model\":\"dream-1\",\"input_tokens\":8,\"output_tokens\":5,\"num_model_requests\":1}}"
        );
        format!(
            "{{\"object\":\"page\",\"has_more\":false,\"data\":[{{\"object\":\"bucket\",\"start_time\":0,\
             \"end_time\":4102444800,\"results\":[{gpt},{dream}]}}]}}"
        )
    };
    for (output, exit) in [(2, Exit::Done), (3, Exit::Differs)] {
        let export = home_with("export.json", &page(output));
        let path = export.path().join("export.json").display().to_string();
        let compared = usage(&books, &["--against", &path]).await;
        let words = text(&compared.stdout);
        assert_eq!(code(&compared), expect(exit), "{words}{}", text(&compared.stderr));
        assert_eq!(words.contains("output_tokens"), exit == Exit::Differs, "{words}");
    }
    let broken = home_with("export.json", "{\"object\":\"page\"}");
    let path = broken.path().join("export.json").display().to_string();
    let refused = usage(&books, &["--against", &path]).await;
    assert_eq!(code(&refused), expect(Exit::Failed));
    assert!(text(&refused.stderr).contains("missing field `data`"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn usage_makes_nothing_where_nothing_is() {
    let books = Books::new().await;
    let output = usage(&books, &[]).await;
    assert_eq!(code(&output), expect(Exit::Failed));
    let told = text(&output.stderr);
    let wanted = match books.is_file() {
        true => "sluicegate.db is not there: nothing was booked yet",
        false => "was written by an older version of this program, or is empty",
    };
    assert!(told.contains(wanted), "{told}");
    assert_eq!(std::fs::read_dir(books.path()).expect("a folder").count(), 0);

    for (args, exit, told) in [
        (&["--by", "colour"][..], Exit::Usage, "`colour` is nothing that rows can be by"),
        (&["--from", "soon"], Exit::Usage, "`soon` is no time"),
        (&["--time-zone", "Mars"], Exit::Usage, "`Mars` is no time zone"),
        (&["--only", "app"], Exit::Usage, "`--only app` is not of the form"),
        (&["--only", "day=2026-11-22"], Exit::Usage, "days are what --from and --to are for"),
        (&["--last", "0s"], Exit::Usage, "nothing can be in it"),
        (&["--data-dir", ""], Exit::Config, "nothing is booked"),
    ] {
        let mut all = vec!["usage"];
        all.extend(args);
        let output = sluicegate(&all, &[], &home());
        assert_eq!(code(&output), expect(exit), "{args:?}");
        assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    }
}

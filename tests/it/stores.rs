//! The file of the books is deleted, or its disk is full: nobody is answered for nothing, and nothing is lost that
//! could be kept.

use std::process::Command;

use serde_json::Value;
use sluicegate::cli::Exit;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::books::Books;
use crate::cli::{Serving, code, expect, home, sluicegate, text};
use crate::house::{Answer, App, one_account, proxy};
use crate::ledger::{SOON, until, until_stored};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{Recorder, Reply};

fn id(answer: &Answer) -> Value {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.header("x-sluicegate-request-id").expect("an id").into()
}

/// Returns the requests that are booked as complete, in order.
async fn complete(books: &Books) -> Vec<Value> {
    let sql = "SELECT request FROM entries WHERE ending = 'complete' ORDER BY seq";
    books.rows(sql).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_deleted_is_made_anew_and_what_comes_after_is_booked() {
    let provider = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let books = Books::in_a_file();
    let account = one_account(&provider.base_url(), "sk-1", "");
    let proxy = proxy(&(books.settings() + &account)).await;
    let (app, admin) = (App::new(proxy.listen(), "notebook"), App::new(proxy.admin(), ""));
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200);
    until_stored(&admin).await;
    std::fs::remove_dir_all(books.path()).expect("it is ours");
    let mut after = Vec::new();
    for _ in 0..5 {
        after.push(id(&timeout(SOON, app.post(CHAT, HELLO)).await.expect("an answer")));
    }
    until(&admin, |state| state["stores"] == true && state["spilled_bytes"] == 0).await;
    assert_eq!(complete(&books).await, after, "each once, and in order");
    proxy.stop().await;
}

/// Lets no file of the program grow beyond so many bytes, as a full disk does.
fn limit_files(program: &Serving, bytes: &str) {
    let id = program.id().to_string();
    let limit = format!("--fsize={bytes}:");
    let set = Command::new("prlimit").args(["--pid", &id, &limit]).status();
    assert!(set.is_ok_and(|status| status.success()), "prlimit is of util-linux");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_requests_are_refused_and_what_was_sent_is_booked_when_there_is_room() {
    let provider = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let books = Books::in_a_file();
    let file = books.path().join("test.toml");
    let settings = books.settings() + &one_account(&provider.base_url(), "sk-1", "");
    std::fs::write(&file, settings).expect("written");
    let args = ["--config", file.to_str().expect("a plain path")];
    let program = Serving::start(&args, &books.home);
    let app = App::new(program.listen.parse().expect("an address"), "notebook");
    let admin = App::new(program.admin.parse().expect("an address"), "");
    let mut served = vec![id(&app.post(CHAT, HELLO).await)];

    limit_files(&program, "0");
    let held = tokio::spawn({
        let app = app.clone();
        async move { app.post(CHAT, HELLO).await }
    });
    // Whether there is room beside it is known before the store was asked.
    until(&admin, |state| state["refuses"] == true && state["trouble"].is_string()).await;
    let state = admin.get("/ledger").await.json();
    assert!(state["trouble"].as_str().is_some_and(|it| it.contains("sluicegate.db")), "{state}");
    let refused = app.post(CHAT, HELLO).await;
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert!(admin.get("/metrics").await.text().contains("sluicegate_ledger_stores 0"));

    limit_files(&program, "unlimited");
    served.push(id(&timeout(SOON, held).await.expect("it is booked").expect("no panic")));
    until(&admin, |state| state["stores"] == true && state["refuses"] == false).await;
    served.push(id(&app.post(CHAT, HELLO).await));
    until_stored(&admin).await;
    assert_eq!(complete(&books).await, served, "each once, and in order");
    program.kill();
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_beside_the_store_that_has_no_room_leaves_the_room_to_the_store() {
    let provider = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let books = Books::in_a_file();
    let file = books.path().join("test.toml");
    let settings = books.settings() + &one_account(&provider.base_url(), "sk-1", "");
    std::fs::write(&file, settings).expect("written");
    // Blocks of 512 bytes: less than that file, more than the database.
    let mut shell = Command::new("sh");
    let run = "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"";
    shell.args(["-c", run, env!("CARGO_BIN_EXE_sluicegate")]);
    let args = ["--config", file.to_str().expect("a plain path")];
    let program = Serving::start_by(shell, &args, &books.home);
    let app = App::new(program.listen.parse().expect("an address"), "notebook");
    let served = id(&app.post(CHAT, HELLO).await);
    assert_eq!(complete(&books).await, [served], "the store alone will do");
    let folder = std::fs::read_dir(books.path()).expect("a folder");
    let files = folder.map(|file| file.expect("readable"));
    let beside = files.filter(|file| file.file_name().to_string_lossy().ends_with(".spill"));
    let sizes = beside.map(|file| file.metadata().expect("readable").len());
    assert_eq!(sizes.collect::<Vec<_>>(), [0], "nothing of what could not be had is kept");
    program.kill();
}

#[test]
fn a_place_that_cannot_be_written_is_told_at_the_start() {
    let home: TempDir = home();
    let folder = home.path().join("file");
    std::fs::write(&folder, "").expect("written");
    let args = ["--data-dir", folder.to_str().expect("a plain path"), "--listen", "127.0.0.1:0"];
    let output = sluicegate(&args, &[("SLUICEGATE_ADMIN", "127.0.0.1:0")], &home);
    let told = text(&output.stderr);
    assert_eq!(code(&output), expect(Exit::Config), "{told}");
    assert!(told.contains("cannot use the folder") && told.contains("/file"), "{told}");
    // Nobody listens on port 1.
    let env = [
        ("SLUICEGATE_ADMIN", "127.0.0.1:0"),
        ("SLUICEGATE_LEDGER_URL", "postgres://me:pa55word@127.0.0.1:1/books"),
    ];
    let output = sluicegate(&["--listen", "127.0.0.1:0"], &env, &home);
    let told = text(&output.stderr);
    assert_eq!(code(&output), expect(Exit::Config), "{told}");
    assert!(told.contains("PostgreSQL `books` at 127.0.0.1:1 cannot be reached"), "{told}");
    assert!(!told.contains("pa55word"), "{told}");
}

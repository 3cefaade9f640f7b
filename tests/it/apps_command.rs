//! `sluicegate apps`, while a program serves from the same store.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use sluicegate::cli::Exit;
use sluicegate::server::{self, Running};
use sluicegate::upstream::NetworkEnvironment;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::cli::{code, expect, home, sluicegate, text};
use crate::house::{App, one_account, proxy, settings};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{End, Recorder, Reply};

/// Far longer than anything takes that goes right.
const SOON: Duration = Duration::from_secs(20);

/// A program that serves, and the folder of its store.
struct House {
    running: Running,
    folder: Arc<TempDir>,
}

impl House {
    async fn new(recorder: &Recorder) -> Self {
        Self::with(recorder, "").await
    }

    /// The same with `more` behind its account.
    async fn with(recorder: &Recorder, more: &str) -> Self {
        let folder = Arc::new(home());
        let data = folder.path().join("data");
        let account = one_account(&recorder.base_url(), "sk-1", more);
        let running = proxy(&format!("data_dir = \"{}\"\n{account}", data.display())).await;
        Self { running, folder }
    }

    /// Runs the command with these words.
    async fn apps(&self, words: &str) -> Output {
        let (folder, admin) = (Arc::clone(&self.folder), self.running.admin().to_string());
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let run = move || {
            let place = ["--data-dir", "data", "--admin", &admin];
            let words = words.iter().map(String::as_str);
            let args: Vec<&str> = ["apps"].into_iter().chain(words).chain(place).collect();
            sluicegate(&args, &[("OPENAI_API_KEY", "sk-1")], &folder)
        };
        spawn_blocking(run).await.expect("it ends")
    }

    /// Runs the command, which works, and returns what it prints.
    async fn done(&self, words: &str) -> String {
        let output = self.apps(words).await;
        assert_eq!(code(&output), expect(Exit::Done), "{words}: {}", text(&output.stderr));
        let told = text(&output.stderr);
        assert!(words.starts_with("list") || told.contains("goes by it now"), "{words}: {told}");
        text(&output.stdout).trim().to_owned()
    }

    /// Runs the command, which does not work, and returns what it tells.
    async fn fails(&self, words: &str) -> String {
        let output = self.apps(words).await;
        assert_eq!(code(&output), expect(Exit::Failed), "{words}");
        text(&output.stderr)
    }

    fn client(&self, key: &str) -> App {
        App::new(self.running.listen(), key.to_owned().leak())
    }

    async fn status(&self, key: &str) -> u16 {
        self.client(key).post(CHAT, HELLO).await.status().as_u16()
    }
}

/// Tells whether any file below `folder` has `text` in it.
fn lies_in(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).expect("readable").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return lies_in(&path, text);
        }
        let bytes = std::fs::read(&path).expect("readable");
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn apps_come_change_and_go_without_a_restart() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let house = House::new(&recorder).await;
    assert_eq!(house.status("notebook").await, 200, "without apps nobody needs a key");
    let told = house.fails("add indexer").await;
    assert!(told.contains("say --yes if programs are to need keys"), "{told}");
    assert_eq!(house.status("notebook").await, 200, "nothing has changed");

    let first = house.done("add indexer --rpd 1000 --label team=a --yes").await;
    assert!(first.starts_with("sg-") && first.len() == 67, "{first}");
    assert_eq!((house.status(&first).await, house.status("notebook").await), (200, 401));
    assert!(house.fails("add indexer").await.contains("there is an app `indexer` already"));
    let second = house.done("rotate indexer").await;
    assert_eq!((house.status(&first).await, house.status(&second).await), (401, 200));
    let third = house.done("rotate indexer --overlap 1h").await;
    assert_eq!((house.status(&second).await, house.status(&third).await), (200, 200));

    house.done("limit indexer --model o3 --weight 7").await;
    assert_eq!(house.status(&third).await, 403, "it may ask for another model only");
    house.done("limit indexer --model none").await;
    assert_eq!(house.status(&third).await, 200);
    let listed: Value = serde_json::from_str(&house.done("list --json").await).expect("JSON");
    let app = &listed[0];
    assert_eq!((&app["state"], &app["weight"]), (&"active".into(), &7.into()), "{listed}");
    assert_eq!(
        (&app["requests_per_day"], app["keys"].as_array().map(Vec::len)),
        (&1000.into(), Some(2))
    );
    let pages = App::new(house.running.admin(), "");
    let mut shown = listed.to_string() + &house.done("list").await;
    for page in ["/line", "/metrics", "/ledger", "/budgets"] {
        shown += &pages.get(page).await.text();
    }
    for key in [&first, &second, &third] {
        assert!(!shown.contains(key.as_str()), "a page or a list shows a key");
        assert!(
            recorder.seen().iter().all(|seen| !format!("{seen:?}").contains(key.as_str())),
            "a key was passed on"
        );
    }

    house.done("revoke indexer").await;
    assert_eq!((house.status(&third).await, house.status("notebook").await), (401, 401));
    assert!(house.fails("limit indexer --rpm 1").await.contains("there is no app `indexer`"));
    house.done("revoke indexer --forget").await;
    let answer = house.client("notebook").post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 200, "there is no app any more: {}", answer.text());
    house.running.stop().await;
    // Not before: who closes a file of SQLite gives up its locks for the whole process.
    for key in [&first, &second, &third] {
        assert!(!lies_in(house.folder.path(), key), "a file has a key");
    }
}

#[tokio::test]
async fn fifty_clients_notice_nothing_while_others_come_and_go() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let house = House::new(&recorder).await;
    let steady = house.done("add steady --yes").await;
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..50 {
        let (app, over) = (house.client(&steady), Arc::clone(&over));
        clients.spawn(async move {
            let mut statuses = Vec::new();
            while !over.load(Ordering::Relaxed) {
                statuses.push(app.post(CHAT, HELLO).await.status().as_u16());
            }
            statuses
        });
    }
    recorder.asked(100).await;
    let other = house.done("add other --rpm 5").await;
    assert_eq!(house.status(&other).await, 200);
    let renewed = house.done("rotate steady --overlap 1h").await;
    assert_eq!(house.status(&renewed).await, 200);
    house.done("limit steady --concurrency 40").await;
    house.done("limit steady --concurrency none").await;
    house.done("revoke other").await;
    assert_eq!(house.status(&other).await, 401);
    over.store(true, Ordering::Relaxed);
    let mut served = 0;
    while let Some(statuses) = clients.join_next().await {
        let statuses = statuses.expect("answers");
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        served += statuses.len();
    }
    assert_eq!(recorder.seen().len(), served + 2, "each was sent once");
    house.running.stop().await;
}

#[tokio::test]
async fn what_is_under_way_ends_well_after_its_app_was_revoked() {
    let go_on = Arc::new(Notify::new());
    let end = End::Later(Arc::clone(&go_on), &["data: [DONE]\n\n"]);
    let recorder =
        Recorder::start(move |_, _| Reply::Events(&["data: {\"choices\":[]}\n\n"], end.clone()))
            .await;
    let house = House::new(&recorder).await;
    let key = house.done("add brief --yes").await;
    let streamed = HELLO.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"");
    let client = house.client(&key);
    let stream = tokio::spawn(async move { client.post(CHAT, &streamed).await });
    recorder.asked(1).await;
    house.done("revoke brief").await;
    assert_eq!(house.status(&key).await, 401);
    go_on.notify_one();
    let answer = timeout(SOON, stream).await.expect("its end").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    house.running.stop().await;
}

#[tokio::test]
async fn who_waits_in_line_when_its_app_is_revoked_is_refused_at_once() {
    let go_on = Arc::new(Notify::new());
    let end = End::Later(Arc::clone(&go_on), &["data: [DONE]\n\n"]);
    let recorder = Recorder::start(move |turn, _| match turn {
        0 => Reply::Events(&["data: {\"choices\":[]}\n\n"], end.clone()),
        _ => Reply::Json(200, SAID),
    })
    .await;
    let one_slot = "[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\n";
    let house = House::with(&recorder, one_slot).await;
    let [brief, steady] = [house.done("add brief --yes").await, house.done("add steady").await];
    let ask = |key: &str, body: String| {
        let client = house.client(key);
        tokio::spawn(async move { client.post(CHAT, &body).await })
    };
    let first = ask(&brief, HELLO.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\""));
    recorder.asked(1).await;
    let (waits, other) = (ask(&brief, HELLO.to_owned()), ask(&steady, HELLO.to_owned()));
    let pages = App::new(house.running.admin(), "");
    while pages.get("/line").await.json()["waiting"] != 2 {
        tokio::task::yield_now().await;
    }
    house.done("revoke brief").await;
    let refused = timeout(SOON, waits).await.expect("at once").expect("an answer");
    assert_eq!(refused.status(), 401, "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    assert!(!first.is_finished() && !other.is_finished());
    go_on.notify_one();
    for served in [first, other] {
        assert_eq!(served.await.expect("an answer").status(), 200);
    }
    assert_eq!(recorder.seen().len(), 2, "it was not sent");
    house.running.stop().await;
}

#[tokio::test]
async fn beyond_this_machine_only_the_keys_of_apps_open_the_gate() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let folder = Arc::new(home());
    let key = [("OPENAI_API_KEY", "sk-1")];
    let open = ["--data-dir", "data", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"];
    let run = |words: &[&str]| sluicegate(&[words, &open].concat(), &key, &folder);
    assert_eq!(code(&run(&["check"])), expect(Exit::Done), "apps may be in the store");
    let refused = run(&[]);
    assert_eq!(code(&refused), expect(Exit::Config));
    let told = text(&refused.stderr);
    assert!(told.contains("but there is no app: give each program a key"), "{told}");
    let nowhere = ["check", "--data-dir", "", "--listen", "0.0.0.0:0"];
    let nowhere = sluicegate(&nowhere, &key, &folder);
    assert_eq!(code(&nowhere), expect(Exit::Config), "nor can there be one: nothing is kept");

    let add = ["apps", "add", "a", "--yes", "--data-dir", "data", "--admin", "127.0.0.1:1"];
    let key = text(&sluicegate(&add, &key, &folder).stdout).trim().to_owned();
    let data = folder.path().join("data");
    let account = one_account(&recorder.base_url(), "sk-1", "");
    let mut settings = settings(&format!("data_dir = \"{}\"\n{account}", data.display()));
    settings.server.listen = "0.0.0.0:0".parse().expect("an address");
    let environment = NetworkEnvironment::read(|_| None);
    let running = server::start(settings, environment).await.expect("there is an app");
    let listen = format!("127.0.0.1:{}", running.listen().port()).parse().expect("an address");
    let answer = async |key: &str| App::new(listen, key.to_owned().leak()).post(CHAT, HELLO).await;
    let house = House { running, folder: Arc::clone(&folder) };
    assert_eq!(answer(&key).await.status(), 200);
    assert_eq!(answer("notebook").await.status(), 401, "also from this machine");
    house.done("revoke a --forget").await;
    for key in [key.as_str(), "notebook"] {
        let refused = answer(key).await;
        assert_eq!(refused.status(), 401, "it does not open to the nameless");
        assert!(
            refused.text().contains("`sluicegate apps add NAME` makes one"),
            "{}",
            refused.text()
        );
    }
    house.running.stop().await;
}

#[tokio::test]
async fn the_budget_of_an_app_holds_at_once() {
    const ALL_OF_IT: &str = r#"{"id":"c1","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"length"}],"usage":{"prompt_tokens":8,"completion_tokens":8,"total_tokens":16}}"#;
    let recorder = Recorder::start(|_, _| Reply::Json(200, ALL_OF_IT)).await;
    let house = House::new(&recorder).await;
    let [rich, poor] = [house.done("add rich --yes").await, house.done("add poor").await];
    assert_eq!(house.status(&poor).await, 200, "it may spend what it likes");
    let told = house.fails("budget poor --amount tenusd --per day").await;
    assert!(told.contains("this is no budget"), "{told}");
    house.done("budget poor --amount 0.0001usd --per total --strict").await;
    let refused = house.client(&poor).post(CHAT, HELLO).await;
    let refused = match refused.status().as_u16() {
        // What it spent before may not be in the store yet.
        200 => house.client(&poor).post(CHAT, HELLO).await,
        _ => refused,
    };
    assert_eq!(refused.status(), 429, "{}", refused.text());
    assert!(refused.text().contains("`apps/poor` has not enough left"), "{}", refused.text());
    assert_eq!(house.status(&rich).await, 200);
    house.done("budget poor --none").await;
    assert_eq!(house.status(&poor).await, 200);
    house.running.stop().await;
}

// The command waits for the program's transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_knows_the_apps_and_a_command_may_come_before_the_program() {
    let folder = home();
    let run = |words: &[&str]| {
        let args: Vec<&str> = ["apps"].iter().chain(words).copied().collect();
        let args: Vec<&str> =
            args.into_iter().chain(["--data-dir", "data", "--admin", "127.0.0.1:1"]).collect();
        sluicegate(&args, &[("OPENAI_API_KEY", "sk-1")], &folder)
    };
    let added = run(&["add", "early", "--yes", "--expires", "2d"]);
    let told = text(&added.stderr);
    assert!(told.contains("no program answers at http://127.0.0.1:1"), "{told}");
    let key = text(&added.stdout).trim().to_owned();
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let data = folder.path().join("data");
    let account = one_account(&recorder.base_url(), "sk-1", "");
    let running = proxy(&format!("data_dir = \"{}\"\n{account}", data.display())).await;
    let status = async |key: &str| {
        App::new(running.listen(), key.to_owned().leak()).post(CHAT, HELLO).await.status().as_u16()
    };
    assert_eq!((status(&key).await, status("notebook").await), (200, 401));
    // Nobody tells it: it looks by itself.
    assert_eq!(code(&run(&["revoke", "early"])), expect(Exit::Done));
    let gone = async { while status(&key).await != 401 {} };
    timeout(SOON, gone).await.expect("it looks now and then");
    running.stop().await;
}

#[tokio::test]
async fn where_programs_bring_their_own_keys_apps_do_not_count_and_their_keys_go_nowhere() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let folder = Arc::new(home());
    let data = folder.path().join("data");
    let base = recorder.base_url();
    let toml = format!("data_dir = \"{}\"\n[[upstreams]]\nbase_url = \"{base}\"\n", data.display());
    let house = House { running: proxy(&toml).await, folder };
    let added = house.apps("add a --yes").await;
    let told = text(&added.stderr);
    assert!(told.contains("apps do not count"), "{told}");
    let key = text(&added.stdout).trim().to_owned();
    assert_eq!((house.status(&key).await, house.status("sk-mine").await), (401, 200));
    assert_eq!(recorder.seen().len(), 1);
    house.running.stop().await;
}

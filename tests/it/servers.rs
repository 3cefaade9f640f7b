//! The books are on a server that goes, hangs or breaks off: what is answered is booked once when it is back.
//!
//! Between program and server there is a [`Bridge`] that does what servers and networks do.

#![expect(clippy::indexing_slicing, reason = "a test: what is not there fails it")]

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::books::Books;
use crate::house::{App, one_account, proxy};
use crate::ledger::{SOON, until};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{Recorder, Reply};

/// What the bridge does with those who come and with what goes over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Carries,
    /// Nobody gets over it, and who was on it falls.
    Gone,
    /// Nothing moves on it, and nobody is told.
    Frozen,
    /// It falls when a commit is on it that the server has carried out.
    FallsBehindCommit,
}

/// Carries bytes between the program and a server, or does not.
struct Bridge {
    address: SocketAddr,
    mood: Arc<watch::Sender<Mood>>,
}

impl Bridge {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mood = Arc::new(watch::Sender::new(Mood::Carries));
        let moods = Arc::clone(&mood);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a client");
                if *moods.borrow() != Mood::Gone {
                    tokio::spawn(carry(client, server, Arc::clone(&moods)));
                }
            }
        });
        Self { address, mood }
    }

    fn is(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

/// Carries what goes on one connection, until the bridge falls.
async fn carry(mut client: TcpStream, server: SocketAddr, mood: Arc<watch::Sender<Mood>>) {
    let mut server = TcpStream::connect(server).await.expect("the server listens");
    let mut moods = mood.subscribe();
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut commits = false;
    loop {
        let now = *moods.borrow_and_update();
        if now == Mood::Gone {
            return;
        }
        let moves = now != Mood::Frozen;
        tokio::select! {
            _changed = moods.changed() => {}
            read = client.read(&mut up), if moves => {
                let Ok(read @ 1..) = read else { return };
                commits = is_write(&up[..read]);
                if server.write_all(&up[..read]).await.is_err() { return }
            }
            read = server.read(&mut down), if moves => {
                let Ok(read @ 1..) = read else { return };
                if now == Mood::FallsBehindCommit && commits {
                    mood.send_replace(Mood::Gone);
                    return;
                }
                if client.write_all(&down[..read]).await.is_err() { return }
            }
        }
    }
}

/// Tells whether a message ends a change of the books: `COMMIT`, or a statement that is its own transaction. An
/// entry's values hold its request's id.
fn is_write(message: &[u8]) -> bool {
    let holds = |word: &[u8]| message.windows(word.len()).any(|part| part == word);
    holds(b"COMMIT") || holds(b"sg_")
}

/// A proxy whose books are beyond a bridge, and who asks it.
struct Scene {
    _provider: Recorder,
    running: sluicegate::server::Running,
    books: Books,
    bridge: Bridge,
    app: App,
    admin: App,
}

impl Scene {
    async fn new(more: &str) -> Self {
        let server = std::env::var("SLUICEGATE_TEST_POSTGRES")
            .expect("`tests/run postgres` starts a server and says where it is");
        let books = Books::on(&server).await;
        let (front, behind) = books.url().rsplit_once('@').expect("user, password and host");
        let (host, path) = behind.split_once('/').expect("a database");
        let bridge = Bridge::to(host.parse().expect("an address")).await;
        let url = format!("{front}@{}/{path}", bridge.address);
        let provider = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
        let account = one_account(&provider.base_url(), "sk-1", "");
        let toml = format!("{}{more}\n{account}", books.settings_at(Some(&url)));
        let running = proxy(&toml).await;
        let app = App::new(running.listen(), "notebook");
        let admin = App::new(running.admin(), "");
        Self { _provider: provider, running, books, bridge, app, admin }
    }

    /// Asks so often, one after the other; returns the ids of those that were served.
    async fn ask(&self, times: usize) -> Vec<Value> {
        let mut served = Vec::new();
        for _ in 0..times {
            let answer = timeout(SOON, self.app.post(CHAT, HELLO)).await.expect("an answer");
            if answer.status() == 200 {
                served.push(answer.header("x-sluicegate-request-id").expect("an id").into());
            }
        }
        served
    }

    /// Waits until all of `served` are booked, and checks that each is booked once, and nothing else.
    async fn all_booked(self, served: Vec<Value>) {
        until(&self.admin, |state| state["stores"] == true && state["spilled_bytes"] == 0).await;
        let sql = "SELECT request FROM entries WHERE ending = 'complete' ORDER BY seq";
        let booked: Vec<Value> = self.books.rows(sql).await.into_iter().flatten().collect();
        assert_eq!(booked, served, "in order, each once");
        let others = "SELECT COUNT(*) FROM entries WHERE ending <> 'complete' OR ending IS NULL";
        assert_eq!(self.books.number(others).await, 0);
        self.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL: tests/run postgres"]
async fn while_the_server_is_gone_answers_go_on_and_are_booked_when_it_is_back() {
    let scene = Scene::new("").await;
    let mut served = scene.ask(3).await;
    scene.bridge.is(Mood::Gone);
    served.extend(scene.ask(20).await);
    assert_eq!(served.len(), 23, "they lie beside it");
    let state = scene.admin.get("/ledger").await.json();
    assert_eq!(state["stores"], false);
    let trouble = state["trouble"].as_str().expect("words");
    assert!(
        trouble.starts_with("PostgreSQL `") && trouble.contains("cannot be reached"),
        "{trouble}"
    );
    assert!(!trouble.contains("pa55word"), "{trouble}");
    assert!(scene.admin.get("/metrics").await.text().contains("sluicegate_ledger_stores 0"));
    scene.bridge.is(Mood::Carries);
    scene.all_booked(served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL: tests/run postgres"]
async fn a_server_that_hangs_holds_nobody_and_is_told() {
    let scene = Scene::new("").await;
    let mut served = scene.ask(3).await;
    scene.bridge.is(Mood::Frozen);
    served.extend(scene.ask(5).await);
    until(&scene.admin, |state| state["stores"] == false).await;
    let state = scene.admin.get("/ledger").await.json();
    assert!(state["trouble"].as_str().is_some_and(|it| it.contains("does not answer")), "{state}");
    served.extend(scene.ask(20).await);
    assert_eq!(served.len(), 28);
    scene.bridge.is(Mood::Carries);
    scene.all_booked(served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL: tests/run postgres"]
async fn a_commit_of_which_nobody_knows_is_neither_lost_nor_doubled() {
    let scene = Scene::new("").await;
    let mut served = scene.ask(2).await;
    for _ in 0..5 {
        scene.bridge.is(Mood::FallsBehindCommit);
        served.extend(scene.ask(1).await);
        until(&scene.admin, |state| state["stores"] == false).await;
        scene.bridge.is(Mood::Carries);
        until(&scene.admin, |state| state["stores"] == true).await;
    }
    assert_eq!(served.len(), 7);
    scene.all_booked(served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL: tests/run postgres"]
async fn without_room_beside_it_requests_are_refused_while_it_is_gone_and_nothing_is_lost() {
    let no_folder = tempfile::NamedTempFile::new().expect("a file");
    let more = format!("ledger.spill_dir = \"{}\"", no_folder.path().display());
    let scene = Scene::new(&more).await;
    let mut served = scene.ask(3).await;
    for mood in [Mood::Gone, Mood::Frozen] {
        scene.bridge.is(mood);
        let held = tokio::spawn({
            let app = scene.app.clone();
            async move { app.post(CHAT, HELLO).await }
        });
        until(&scene.admin, |state| state["refuses"] == true).await;
        let refused = timeout(SOON, scene.app.post(CHAT, HELLO)).await.expect("an answer");
        assert_eq!(refused.status(), 503, "{}", refused.text());
        scene.bridge.is(Mood::Carries);
        let answer = timeout(SOON, held).await.expect("it is booked").expect("no panic");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        served.push(answer.header("x-sluicegate-request-id").expect("an id").into());
        until(&scene.admin, |state| state["refuses"] == false).await;
    }
    scene.all_booked(served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL: tests/run postgres"]
async fn what_lies_beside_a_server_that_is_gone_is_booked_by_the_next_start() {
    let scene = Scene::new("").await;
    let mut served = scene.ask(1).await;
    scene.bridge.is(Mood::Gone);
    served.extend(scene.ask(4).await);
    let Scene { running, books, .. } = scene;
    running.stop().await;
    let account = one_account("http://127.0.0.1:9", "sk-1", "");
    let next = proxy(&format!("{}{account}", books.settings())).await;
    let admin = App::new(next.admin(), "");
    until(&admin, |state| state["stores"] == true && state["spilled_bytes"] == 0).await;
    let booked = async {
        let sql = "SELECT COUNT(*) FROM entries WHERE ending = 'complete'";
        while books.number(sql).await < 5 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, booked).await.expect("all are booked");
    next.stop().await;
    assert_eq!(served.len(), 5);
}

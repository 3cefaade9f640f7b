//! llama.cpp's server on a tiny model, started once for all tests.
//!
//! Invariant: it ends with this process, however that ends.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};

use crate::house::App;

/// The server, for one test at a time: what it counts is that test's.
pub(crate) struct Server {
    addresses: &'static Addresses,
    _alone: MutexGuard<'static, ()>,
}

/// Where its two processes listen: one of them only makes embeddings.
#[derive(Debug, Deserialize)]
struct Addresses {
    texts: String,
    embeddings: String,
}

impl Server {
    /// Waits until no other test uses the server; starts it for the first.
    pub(crate) async fn alone() -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        Self { addresses: &started().addresses, _alone: alone }
    }

    /// Returns the base URL of what writes texts.
    pub(crate) fn texts(&self) -> String {
        format!("{}/v1", self.addresses.texts)
    }

    /// Returns the base URL of what makes embeddings.
    pub(crate) fn embeddings(&self) -> String {
        format!("{}/v1", self.addresses.embeddings)
    }

    /// Returns how many tokens were written in all, of answers that are over.
    pub(crate) async fn written(&self) -> u64 {
        let page = client(&self.texts()).get("/metrics").await.text();
        let line = page.lines().find_map(|it| it.strip_prefix("llamacpp:tokens_predicted_total "));
        line.and_then(|count| count.parse().ok()).expect("a number of tokens")
    }

    /// Returns how many of its slots are at work.
    pub(crate) async fn busy(&self) -> usize {
        let slots = client(&self.texts()).get("/slots").await.json();
        let slots = slots.as_array().expect("a list of slots").clone();
        slots.iter().filter(|slot| slot["is_processing"] == true).count()
    }
}

/// Returns a client that asks there directly.
pub(crate) fn client(base_url: &str) -> App {
    let address = base_url.trim_start_matches("http://").trim_end_matches("/v1");
    App::new(address.parse::<SocketAddr>().expect("an address"), "nobody asks")
}

struct Started {
    addresses: Addresses,
    /// It ends when its standard input does.
    _process: Child,
}

fn started() -> &'static Started {
    static STARTED: OnceLock<Started> = OnceLock::new();
    STARTED.get_or_init(|| {
        let python = env::var_os("SERVER_PYTHON");
        let python = python.expect("SERVER_PYTHON: run `tests/run server`, which installs it");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/python/serve.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the interpreter starts");
        let mut line = String::new();
        let said = process.stdout.take().expect("a piped stdout");
        BufReader::new(said).read_line(&mut line).expect("a line");
        let addresses = serde_json::from_str(&line).expect("it said where it listens");
        Started { addresses, _process: process }
    })
}

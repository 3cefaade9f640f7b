//! The real program: what it logs, and how it stops.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{End, Recorder, Reply};

/// A running proxy with everything that it logs.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    listen: String,
    _home: TempDir,
}

impl Program {
    pub(crate) fn start(base_url: &str, log: &str) -> Self {
        let home = TempDir::new().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluicegate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log", log])
            .args(["--upstream", base_url])
            .env_clear()
            .env("HOME", home.path())
            .env("OPENAI_API_KEY", "sk-very-secret-key")
            .env("RUST_LOG", "trace")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (tell, lines) = channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
        });
        let mut program = Self { child, lines, listen: String::new(), _home: home };
        let said = program.until("listening");
        let start = said.find("127.0.0.1:").expect("an address");
        let address = &said[start..];
        let end = address.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
        program.listen = address[..end.unwrap_or(address.len())].to_owned();
        program
    }

    /// Returns the next line that says `word`.
    fn until(&self, word: &str) -> String {
        self.lines.iter().find(|line| line.contains(word)).expect("the program said it")
    }

    fn post(&self, body: &str) -> TcpStream {
        self.post_with("", body)
    }

    /// Sends a chat with more lines in its head.
    fn post_with(&self, more: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.listen).expect("a connection");
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk-client-secret-abcdef\r\n\
             {more}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen.parse().expect("an address")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns a figure of the system's about the program, in kB.
    pub(crate) fn kilobytes(&self, name: &str) -> u64 {
        kilobytes(self.id(), name)
    }

    /// Ends it, and returns what it logged since as JSON.
    pub(crate) fn stop(self) -> Vec<Value> {
        self.terminate();
        let told = self.lines.iter().map(|line| serde_json::from_str(&line).expect("JSON"));
        told.collect()
    }

    fn terminate(&self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(status.expect("kill is there").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which is what is wanted here.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns a figure of the system's about a process, such as `VmHWM`, the most memory that it had so far, in
/// kB.
pub(crate) fn kilobytes(id: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the system tells");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.expect(name).split_ascii_whitespace().next().expect("a number");
    number.parse().expect("a number")
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a whole answer");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_lines_are_json_and_tell_everything_but_secrets() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let program = Program::start(&recorder.base_url(), "json");
    let answer = rest(program.post(HELLO));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let forged = HELLO.replace("gpt-4o", "x\\\"\\n{\\\"forged\\\":true}");
    rest(program.post(&forged));
    program.terminate();
    let lines: Vec<String> = program.lines.iter().collect();
    let told: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let requests: Vec<&Value> = told.iter().filter(|line| line["message"] == "request").collect();
    assert_eq!(requests.len(), 2, "one line for each request");
    let first = requests[0];
    assert!(first["id"].as_str().is_some_and(|id| id.starts_with("sg_")), "{first}");
    assert!(first["app"].as_str().is_some_and(|app| app.starts_with("key-")), "{first}");
    assert_eq!(first["model"], "gpt-4o");
    assert_eq!(first["status"], 200);
    assert_eq!((&first["input"], &first["output"]), (&8.into(), &1.into()));
    assert_eq!(first["key"], "env:OPENAI_API_KEY");
    assert_eq!((&first["path"], &first["account"]), (&CHAT.into(), &"default".into()));
    assert_eq!(first.get("waited_for"), None, "what is empty is left out");
    assert!(first["queued_ms"].is_u64(), "{first}");
    assert_eq!(requests[1]["model"], "x\"\n{\"forged\":true}");
    for secret in ["very-secret", "client-secret"] {
        let leak = lines.iter().find(|line| line.contains(secret));
        assert_eq!(leak, None, "a secret was logged");
    }
}

/// Returns the next line about a request.
fn next_request(program: &Program) -> Value {
    let line = program.until("\"request\"");
    serde_json::from_str(&line).expect("JSON")
}

#[test]
fn who_gets_no_answer_hears_from_whom_and_why_and_so_does_the_log() {
    let nobody =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let program = Program::start(&format!("http://{nobody}/v1"), "json");
    let answer = rest(program.post(HELLO));
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    for word in ["`openai`", "cannot be reached", "Connection refused"] {
        assert!(answer.contains(word), "{word}: {answer}");
    }
    let line = next_request(&program);
    assert_eq!(line["upstream"], "openai");
    let cause = line["cause"].as_str().expect("a cause");
    assert!(cause.contains("Connection refused"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_for_what_those_waited_who_were_refused_in_line() {
    let full = || {
        let headers = [
            ("x-ratelimit-limit-requests", "1"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m0s"),
        ];
        Reply::With(200, SAID, headers.to_vec())
    };
    let recorder = Recorder::start(move |_, _| full()).await;
    let program = Program::start(&recorder.base_url(), "json");
    rest(program.post(HELLO));
    assert_eq!(next_request(&program)["status"], 200);
    let answer = rest(program.post_with("x-sluicegate-deadline: 1\r\n", HELLO));
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    let line = next_request(&program);
    assert_eq!((&line["waited_for"], &line["ending"]), (&"rpm".into(), &"refused_in_line".into()));
    assert!(line["queued_ms"].as_u64().is_some_and(|waited| waited > 0), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sigterm_a_stream_ends_whole_and_nobody_new_comes_in() {
    const BODY: &str =
        r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    let go_on = Arc::new(Notify::new());
    let end = End::Later(Arc::clone(&go_on), &["data: [DONE]\n\n"]);
    let recorder =
        Recorder::start(move |_, _| Reply::Events(&["data: {\"choices\":[]}\n\n"], end.clone()))
            .await;
    let mut program = Program::start(&recorder.base_url(), "text");
    let mut stream = program.post(BODY);
    let mut begun = String::new();
    while !begun.contains("choices") {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).expect("readable");
        assert!(read > 0, "it ended early: {begun}");
        begun.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    program.terminate();
    let line = program.until("stopping");
    assert!(!line.contains('\u{1b}'), "colours for nobody: {line:?}");
    while TcpStream::connect(&program.listen).is_ok() {
        thread::yield_now();
    }
    go_on.notify_one();
    let text = rest(stream);
    assert!(text.contains("data: [DONE]"), "{text}");
    assert!(text.ends_with("0\r\n\r\n"), "the stream has its end: {text:?}");
    let status = program.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
}

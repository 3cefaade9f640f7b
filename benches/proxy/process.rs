//! The processes of a run: the provider, the targets, and what the kernel booked on them.
//!
//! Invariant: a process ends with the value that started it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What requests are sent to, under the name of its row.
#[derive(Debug)]
pub(crate) struct Target {
    name: &'static str,
    address: String,
    process: Option<Process>,
}

impl Target {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the CPU time of its processes so far; none if nothing stands in between.
    pub(crate) fn cpu(&self) -> Duration {
        self.process.as_ref().map(Process::cpu).unwrap_or_default()
    }

    /// Returns what its processes hold in memory; `None` if nothing stands in between.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        self.process.as_ref().map(Process::resident_bytes)
    }
}

/// Starts the provider.
pub(crate) fn upstream() -> Process {
    Process::announced(this_program().arg("upstream"), None)
}

/// Starts all that stands in front of `upstream`; says so if nginx is not there.
pub(crate) fn targets(upstream: &Process) -> Vec<Target> {
    let of = |name, process: Process| Target {
        name,
        address: process.address.clone(),
        process: Some(process),
    };
    let direct = Target { name: "direct", address: upstream.address.clone(), process: None };
    let bare = Process::announced(this_program().args(["bare", &upstream.address]), None);
    let mut targets = vec![direct, of("bare hyper proxy", bare)];
    match nginx(upstream) {
        Some(process) => targets.push(of("nginx", process)),
        None => println!("No nginx here: its rows are left out. `apt-get install nginx-light`.\n"),
    }
    targets.push(of("sluicegate", sluicegate(upstream, "strict")));
    targets
}

/// Starts the bare proxy, and sluicegate with each of these durabilities of its ledger.
pub(crate) fn with_ledgers(upstream: &Process, durabilities: &[&'static str]) -> Vec<Target> {
    let of = |name, process: Process| Target {
        name,
        address: process.address.clone(),
        process: Some(process),
    };
    let bare = Process::announced(this_program().args(["bare", &upstream.address]), None);
    let ours = durabilities.iter().map(|name| of(*name, sluicegate(upstream, name)));
    std::iter::once(of("bare", bare)).chain(ours).collect()
}

/// What a start took until the first answer, and what the process held in memory then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) first_answer: Duration,
    pub(crate) resident_bytes: u64,
}

/// Starts sluicegate, asks for something that is not counted, and ends it.
pub(crate) async fn start_of_sluicegate(upstream: &Process) -> Start {
    let start = Instant::now();
    let process = sluicegate(upstream, "strict");
    let stream = TcpStream::connect(&process.address).await.expect("a listening proxy");
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let request = Request::get("/v1/models")
        .header("host", &process.address)
        .body(Empty::<Bytes>::new())
        .expect("a valid request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK, "the first answer");
    response.into_body().collect().await.expect("a whole answer");
    Start { first_answer: start.elapsed(), resident_bytes: process.resident_bytes() }
}

fn sluicegate(upstream: &Process, durability: &str) -> Process {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.toml");
    // Limits that never bind: given, so that a first contact does not feel its way.
    let limits = "[[upstreams]]\n[[upstreams.limits]]\nmodels = \"*\"\n\
        requests_per_minute = 1000000000\ntokens_per_minute = 1000000000000\n";
    let settings = format!("[ledger]\ndurability = \"{durability}\"\n{limits}");
    fs::write(&config, settings).expect("a written configuration");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--upstream", &format!("http://{}/v1", upstream.address)])
        .arg("--data-dir")
        .arg(folder.path())
        .arg("--config")
        .arg(&config)
        .env("OPENAI_API_KEY", "sk-bench")
        .env_remove("RUST_LOG");
    Process::announced(&mut command, Some(folder))
}

/// Starts nginx with a configuration of its own and the usual advice for proxying streams.
fn nginx(upstream: &Process) -> Option<Process> {
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].map(Path::new);
    let program: PathBuf = program.into_iter().find(|path| path.exists())?.to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    // It cannot say which port it took, so it is given one that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port").to_string();
    let here = folder.path().display();
    let config = format!(
        "daemon off; pid {here}/pid; error_log stderr error; worker_processes 2;
        events {{ worker_connections 2048; }}
        http {{
          access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;
          fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
          client_max_body_size 64m; client_body_buffer_size 256k; tcp_nodelay on;
          keepalive_requests 10000000;
          upstream provider {{
            server {}; keepalive 512; keepalive_requests 10000000;
          }}
          server {{
            listen {address};
            location / {{
              proxy_pass http://provider; proxy_http_version 1.1;
              proxy_set_header Connection \"\"; proxy_buffering off;
              proxy_request_buffering off;
            }}
          }}
        }}",
        upstream.address
    );
    let path = folder.path().join("nginx.conf");
    fs::write(&path, config).expect("a written configuration");
    let mut command = Command::new(program);
    command.arg("-c").arg(&path).stderr(Stdio::null());
    let child = command.spawn().expect("nginx starts");
    let process = Process { child, address, _folder: Some(folder) };
    process.wait_until_it_listens();
    Some(process)
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().expect("the path of this program"))
}

/// A running process, its address, and the folder that goes with it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    address: String,
    _folder: Option<TempDir>,
}

impl Process {
    /// Starts a process that says where it is listening.
    fn announced(command: &mut Command, folder: Option<TempDir>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a process that starts");
        let stderr = child.stderr.take().expect("a piped stderr");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let address = lines.by_ref().find_map(|line| {
            let address = line
                .split_once("listening on http://")
                .map(|(_, address)| address.trim().to_owned());
            said.push(line);
            address
        });
        // A full pipe would stop the process.
        thread::spawn(move || lines.for_each(drop));
        let address = address.unwrap_or_else(|| {
            panic!("{command:?} ended before it listened, and said:\n{}", said.join("\n"))
        });
        Self { child, address, _folder: folder }
    }

    fn wait_until_it_listens(&self) {
        for _ in 0..100_000 {
            if std::net::TcpStream::connect(&self.address).is_ok() {
                return;
            }
            thread::yield_now();
        }
        panic!("{} does not listen", self.address);
    }

    /// Returns the CPU time that it and its children have used.
    fn cpu(&self) -> Duration {
        let ticks: u64 = self.family().iter().map(|stat| stat.ticks).sum();
        // The kernel counts in hundredths of a second, whatever its timer does (proc(5)).
        Duration::from_millis(10 * ticks)
    }

    /// Returns what it and its children hold in memory.
    fn resident_bytes(&self) -> u64 {
        self.family().iter().map(Stat::resident_bytes).sum()
    }

    /// Returns what the kernel says of it and its children.
    fn family(&self) -> Vec<Stat> {
        let own = self.child.id();
        let all = fs::read_dir("/proc").expect("a /proc folder").filter_map(|entry| {
            let text = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
            Stat::parse(&text).filter(|stat| stat.id == own || stat.parent == own)
        });
        all.collect()
    }
}

impl Stat {
    fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id));
        let status = status.expect("the status of a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
        1024 * kilobytes.expect("a resident size")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx ends its workers only when it is asked to.
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().ok();
        self.child.wait().ok();
    }
}

/// What a line of `/proc/<id>/stat` says.
struct Stat {
    id: u32,
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        let id = text.split_once(' ')?.0.parse().ok()?;
        // The name in parentheses may hold anything; the numbers follow the last one.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let parent = fields.get(1)?.parse().ok()?;
        let user: u64 = fields.get(11)?.parse().ok()?;
        let system: u64 = fields.get(12)?.parse().ok()?;
        Some(Self { id, parent, ticks: user + system })
    }
}

//! The real program on the command line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread;

use sluicegate::cli::Exit;
use tempfile::TempDir;

/// Runs the program in an empty home, with nothing in its environment but `env`.
pub(crate) fn sluicegate(args: &[&str], env: &[(&str, &str)], home: &TempDir) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluicegate"))
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .envs(env.iter().copied())
        .current_dir(home.path())
        .output()
        .expect("the program runs")
}

pub(crate) fn home() -> TempDir {
    TempDir::new().expect("a folder")
}

/// Returns a home in which `name` holds `text`.
pub(crate) fn home_with(name: &str, text: &str) -> TempDir {
    let home = home();
    let path = home.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
    home
}

pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub(crate) fn expect(exit: Exit) -> Option<i32> {
    Some(i32::from(exit.code()))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_flags_variables_and_every_exit_code() {
    let output = sluicegate(&["--help"], &[], &home());
    let help = text(&output.stdout);
    assert_eq!(code(&output), expect(Exit::Done));
    for word in
        ["--listen", "--admin", "--upstream", "--data-dir", "--config", "--log", "OPENAI_API_KEY"]
    {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
    let exits =
        [Exit::Done, Exit::Failed, Exit::Usage, Exit::Config, Exit::Bind, Exit::Key, Exit::Differs];
    for exit in exits {
        assert!(
            help.contains(&format!("\n  {}  ", exit.code())),
            "{exit:?} is missing in:\n{help}"
        );
    }
}

#[test]
fn an_unknown_flag_is_a_mistake_of_usage() {
    let output = sluicegate(&["--frobnicate"], &[], &home());
    assert_eq!(code(&output), expect(Exit::Usage));
}

#[test]
fn flags_of_serve_stand_alone_and_behind_the_word() {
    let bad = ["--listen", "nonsense"];
    for args in [&bad[..], &["serve", "--listen", "nonsense"]] {
        let output = sluicegate(args, &[], &home());
        assert_eq!(code(&output), expect(Exit::Config));
        let told = text(&output.stderr);
        let start =
            "sluicegate: cannot start: flag --listen: `server.listen` is \"nonsense\", but must";
        assert!(told.starts_with(start), "{told}");
    }
}

#[test]
fn check_tells_every_mistake_with_its_place() {
    let home =
        home_with("my.toml", "[server]\nlisen = \"127.0.0.1:1\"\n\n[line]\nmax_wait = \"0s\"\n");
    let output = sluicegate(&["check", "--config", "my.toml"], &[], &home);
    assert_eq!(code(&output), expect(Exit::Config));
    assert_eq!(text(&output.stdout), "");
    let told = text(&output.stderr);
    assert_eq!(
        told,
        "sluicegate: cannot start: the configuration has 2 problems\n\
         \x20 my.toml:2: `server.lisen` is unknown; did you mean `server.listen`?\n\
         \x20 my.toml:5: `line.max_wait` is \"0s\", but must be a duration from \"1ms\" to \"366d\", such as \
         \"90s\" or \"1m30s\"\n"
    );
}

#[test]
fn a_file_that_is_not_there_is_told_with_what_to_do() {
    let output = sluicegate(&["check", "--config", "nowhere.toml"], &[], &home());
    assert_eq!(code(&output), expect(Exit::Config));
    let told = text(&output.stderr);
    assert!(told.contains("nowhere.toml (`sluicegate check --defaults` prints one"), "{told}");
    assert!(told.contains("No such file"), "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_file_in_the_users_folder_counts_below_environment_and_flags() {
    let file =
        "[server]\nlisten = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\n[log]\nformat = \"json\"\n";
    let home = home_with(".config/sluicegate/config.toml", file);
    let env = [("SLUICEGATE_ADMIN", "127.0.0.1:3"), ("OPENAI_API_KEY", "sk-do-not-show")];
    let output = sluicegate(&["check", "--log", "text"], &env, &home);
    assert_eq!(code(&output), expect(Exit::Done), "{}", text(&output.stderr));
    let listing = text(&output.stdout);
    let line = |key: &str| {
        let line = listing.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    let place = home.path().join(".config/sluicegate/config.toml");
    assert_eq!(line("server.listen"), format!("\"127.0.0.1:1\" {}:2", place.display()));
    assert_eq!(line("server.admin"), "\"127.0.0.1:3\" environment SLUICEGATE_ADMIN");
    assert_eq!(line("log.format"), "\"text\" flag --log");
    assert_eq!(line("line.on_disconnect"), "\"cancel\" default");
    assert!(listing.contains("1 account, 1 key from OPENAI_API_KEY"), "{listing}");
    assert!(!listing.contains("sk-do-not-show"), "{listing}");
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_is_used_with_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;

    let accounts =
        "[[upstreams]]\n[[upstreams.accounts]]\nname = \"a\"\nkeys = [{ file = \"a.key\" }]\n";
    let home = home_with("my.toml", accounts);
    let key = home.path().join("a.key");
    std::fs::write(&key, "sk-do-not-show\n").expect("a file");
    for (mode, warned) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).expect("a mode");
        let output = sluicegate(&["check", "--config", "my.toml"], &[], &home);
        let (listing, told) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(code(&output), expect(Exit::Done), "{told}");
        assert_eq!(told.contains("chmod 600"), warned, "{mode:o}: {told}");
        assert!(!format!("{listing}{told}").contains("sk-do-not-show"), "{listing}{told}");
    }
}

#[test]
fn the_printed_defaults_are_a_valid_configuration() {
    let output = sluicegate(&["check", "--defaults"], &[], &home());
    assert_eq!(code(&output), expect(Exit::Done));
    let home = home_with("printed.toml", &text(&output.stdout));
    let output = sluicegate(&["check", "--config", "printed.toml"], &[], &home);
    assert_eq!(code(&output), expect(Exit::Done), "{}", text(&output.stderr));
}

/// A program that serves; it is killed when the test ends early.
pub(crate) struct Serving {
    program: Child,
    told: BufReader<ChildStderr>,
    pub(crate) listen: String,
    pub(crate) admin: String,
}

impl Serving {
    /// Starts on ports of the system's choice and waits until the program has said which.
    pub(crate) fn start(args: &[&str], home: &TempDir) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_sluicegate")), args, home)
    }

    /// The same by a command that takes the program's arguments and becomes the program.
    pub(crate) fn start_by(mut command: Command, args: &[&str], home: &TempDir) -> Self {
        let mut program = command
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut told = BufReader::new(program.stderr.take().expect("a pipe"));
        let [listen, admin] = ["listening on http://", "admin on http://"].map(|start| {
            // A warning may come first.
            let mut lines = told.by_ref().lines().map(|line| line.expect("a line"));
            let found = lines.find_map(|line| line.strip_prefix(start).map(str::to_owned));
            found.unwrap_or_else(|| panic!("it never said {start:?}"))
        });
        Self { program, told, listen, admin }
    }

    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    /// Kills it; it gets no chance to say a last word.
    pub(crate) fn kill(mut self) {
        self.program.kill().expect("it runs");
        self.program.wait().expect("an end");
    }

    /// Tells it to read its configuration again.
    pub(crate) fn hang_up(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.program.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIGHUP");
    }

    /// Waits for a line that holds `words`, and returns it.
    pub(crate) fn tells(&mut self, words: &str) -> String {
        let mut lines = self.told.by_ref().lines().map(|line| line.expect("a line"));
        let found = lines.find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("it never said {words:?}"))
    }

    /// Sends SIGTERM, and returns the exit code and what was said since the start.
    fn terminate(mut self) -> (Option<i32>, String) {
        let sent = Command::new("kill").arg(self.program.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIGTERM");
        let code = self.program.wait().expect("an end").code();
        let mut rest = String::new();
        self.told.read_to_string(&mut rest).expect("text");
        (code, rest)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        self.program.kill().unwrap_or_default();
    }
}

/// Asks for `path` and returns the whole answer.
fn get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("a request is taken");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

#[cfg(unix)]
#[test]
fn it_serves_where_it_says_until_it_is_told_to_stop() {
    let upstream = format!("http://{}/v1", provider(1));
    // What it books lies there as long as it runs.
    let home = home();
    let serving = Serving::start(&["--upstream", &upstream], &home);
    let health = get(&serving.admin, "/healthz");
    let models = get(&serving.listen, "/v1/models");
    let (ended, rest) = serving.terminate();
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    assert!(models.starts_with("HTTP/1.1 401 "), "passed on as it came:\n{models}");
    assert_eq!(ended, expect(Exit::Done), "{rest}");
    assert!(rest.contains(&format!("own key is passed on to {upstream}")), "{rest}");
    assert!(rest.contains("SIGTERM"), "{rest}");
}

#[test]
fn an_address_that_is_taken_is_told_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = sluicegate(&["--listen", &address, "--admin", "127.0.0.1:0"], &[], &home());
    let told = text(&output.stderr);
    assert_eq!(code(&output), expect(Exit::Bind), "{told}");
    assert!(told.contains(&address) && told.contains("server.listen"), "{told}");
}

/// Answers `requests` lists of models: accepts the key `good`, refuses others.
fn provider(requests: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for _ in 0..requests {
            let (mut socket, _) = listener.accept().expect("a client");
            let reader = BufReader::new(socket.try_clone().expect("a handle"));
            let head: Vec<String> =
                reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let listed = head.first().is_some_and(|line| line.starts_with("GET /v1/models "));
            let good =
                head.iter().any(|line| line.eq_ignore_ascii_case("authorization: bearer good"));
            let status = match (listed, good) {
                (true, true) => "200 OK",
                (true, false) => "401 Unauthorized",
                (false, _) => "404 Not Found",
            };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            socket.write_all(answer.as_bytes()).expect("an answer is taken");
        }
    });
    address
}

#[test]
fn check_online_tries_each_key() {
    let upstream = format!("http://{}/v1", provider(2));
    let accounts = "[[upstreams]]\n[[upstreams.accounts]]\nname = \"main\"\n\
                    keys = [{ label = \"one\", env = \"ONE\" }, { label = \"two\", env = \"TWO\" }]\n";
    let home = home_with("my.toml", accounts);
    let args = ["check", "--online", "--config", "my.toml", "--upstream", &upstream];
    let output = sluicegate(&args, &[("ONE", "good"), ("TWO", "bad")], &home);
    let listing = text(&output.stdout);
    assert_eq!(code(&output), expect(Exit::Key), "{listing}{}", text(&output.stderr));
    assert!(listing.contains("\nmain  one  ok\n"), "{listing}");
    assert!(
        listing.contains("\nmain  two  invalid: the provider does not accept it\n"),
        "{listing}"
    );
}

#[test]
fn check_online_without_a_key_tells_whether_the_provider_is_there() {
    let upstream = format!("http://{}/v1", provider(1));
    let output = sluicegate(&["check", "--online", "--upstream", &upstream], &[], &home());
    let listing = text(&output.stdout);
    assert_eq!(code(&output), expect(Exit::Done), "{listing}{}", text(&output.stderr));
    assert!(listing.contains("\nopenai  without a key  reachable\n"), "{listing}");

    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let upstream = format!("http://{}/v1", nobody.expect("a port that is free again"));
    let output = sluicegate(&["check", "--online", "--upstream", &upstream], &[], &home());
    assert_eq!(code(&output), expect(Exit::Failed), "no key is at fault");
    assert!(text(&output.stdout).contains("unreachable: "), "{}", text(&output.stdout));
}

#[test]
fn a_named_data_folder_must_work_and_the_usual_one_may_not() {
    let home = home_with("file", "");
    let args = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", "file"];
    let output = sluicegate(&args, &[], &home);
    assert_eq!(code(&output), expect(Exit::Config));
    let told = text(&output.stderr);
    assert!(told.contains("what is learned and booked cannot be kept"), "{told}");
    assert!(told.contains("cannot use the folder file"), "{told}");

    std::fs::create_dir_all(home.path().join(".local/share")).expect("made");
    std::fs::write(home.path().join(".local/share/sluicegate"), "").expect("written");
    let args = ["--upstream", "http://127.0.0.1:1/v1", "--log", "text"];
    let serving = Serving::start(&args, &home);
    assert!(get(&serving.admin, "/healthz").starts_with("HTTP/1.1 200"));
    let (code, told) = serving.terminate();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("what is learned is not kept over a restart"), "{told}");
}

#[test]
fn an_empty_data_folder_keeps_nothing() {
    let home = home();
    let args = ["--upstream", "http://127.0.0.1:1/v1", "--data-dir", ""];
    let (code, told) = Serving::start(&args, &home).terminate();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("what is learned is not kept over a restart"), "{told}");
    let left = std::fs::read_dir(home.path()).expect("readable").count();
    assert_eq!(left, 0, "something was written");
}

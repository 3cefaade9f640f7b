//! Tests of the whole way from texts to settings.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::units::AccountName;

mod ledger;
mod prices;
mod routing;

/// A machine with these variables and files.
#[derive(Default)]
struct Machine {
    env: BTreeMap<&'static str, String>,
    files: BTreeMap<&'static str, (String, bool)>,
}

impl Machine {
    fn with_file(text: &str) -> Self {
        Self::default().file("/etc/config.toml", text)
    }

    fn file(mut self, path: &'static str, text: &str) -> Self {
        self.files.insert(path, (text.to_owned(), false));
        self
    }

    fn env(mut self, variable: &'static str, text: &str) -> Self {
        self.env.insert(variable, text.to_owned());
        self
    }

    fn load(&self, flags: &Flags) -> Result<Loaded, ConfigError> {
        let env = |name: &str| self.env.get(name).map(OsString::from);
        let read = |path: &Path| {
            let file = path.to_str().and_then(|path| self.files.get(path));
            let (text, open_to_others) = file.cloned().ok_or(io::ErrorKind::NotFound)?;
            Ok(FileText { text, open_to_others })
        };
        let outside = Outside {
            env: &env,
            read: &read,
            config_dir: Some("/etc".into()),
            data_dir: Some("/var/lib/sluicegate".into()),
        };
        load(flags, &outside)
    }

    fn loaded(&self) -> Loaded {
        self.load(&Flags::default()).expect("a valid configuration")
    }

    fn error(&self) -> String {
        self.load(&Flags::default()).expect_err("an invalid configuration").to_string()
    }
}

/// The reference with every example line in force.
fn all_examples() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.is_empty() || rest.starts_with(' ') => String::new(),
        // One of the three ways to give a key is enough, and only one is permitted.
        Some(rest) if rest.starts_with("file =") || rest.starts_with("key =") => String::new(),
        Some(rest) => rest.to_owned(),
        None => line.to_owned(),
    };
    DEFAULTS.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn without_anything_each_clients_own_key_is_passed_on_to_openai() {
    let settings = Machine::default().loaded().settings;
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8484");
    assert_eq!(settings.server.admin.to_string(), "127.0.0.1:8485");
    assert_eq!(settings.data_dir, DataDir::Usual("/var/lib/sluicegate".into()));
    let mode = "client's keys: each client's own key is passed on to https://api.openai.com/v1";
    assert_eq!(settings.mode().to_string(), mode);
}

#[test]
fn a_key_in_the_environment_makes_one_account() {
    let machine = Machine::default()
        .env("OPENAI_API_KEY", "sk-one")
        .env("OPENAI_ORG_ID", "org-a")
        .env("OPENAI_PROJECT_ID", "proj-b");
    let loaded = machine.loaded();
    assert_eq!(loaded.settings.mode().to_string(), "1 account, 1 key from OPENAI_API_KEY");
    let account = &loaded.settings.upstreams[0].accounts[0];
    assert_eq!(account.name.as_str(), "default");
    assert_eq!(account.organization.as_deref(), Some("org-a"));
    assert_eq!(account.project.as_deref(), Some("proj-b"));
    assert_eq!(account.keys[0].label.as_str(), "env:OPENAI_API_KEY");
    assert_eq!(account.keys[0].secret.expose(), "sk-one");
}

#[test]
fn the_clients_variable_for_the_base_url_is_not_ours() {
    let machine = Machine::default().env("OPENAI_BASE_URL", "http://127.0.0.1:8484/v1");
    let url = machine.loaded().settings.upstreams[0].base_url.to_string();
    assert_eq!(url, "https://api.openai.com/v1");
}

#[test]
fn a_base_url_that_lacks_its_version_is_pointed_out() {
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("https://api.openai.com",            Some("https://api.openai.com/chat/completions")),
        ("http://localhost:11434/",           Some("http://localhost:11434/chat/completions")),
        ("https://api.openai.com/v1",         None),
        ("https://api.deepseek.com",          None),
        ("https://mine.openai.azure.com",     None),
    ];
    for (url, asked) in cases {
        let file = format!("[[upstreams]]\nbase_url = \"{url}\"");
        let told: Vec<_> =
            Machine::with_file(&file).loaded().warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), usize::from(asked.is_some()), "{url}: {told:?}");
        let told = told.concat();
        assert!(asked.is_none_or(|asked| told.contains(asked)), "{told}");
    }
}

#[test]
fn a_key_of_the_environment_is_not_sent_to_another_host_that_a_file_names() {
    struct Case {
        name: &'static str,
        file: &'static str,
        flag: Option<&'static str>,
        accounts: usize,
        warnings: usize,
    }
    let other = "[[upstreams]]\nbase_url = \"https://elsewhere.example/v1\"";
    let home = "[[upstreams]]\nbase_url = \"https://api.openai.com/v1\"";
    let none = "[[upstreams]]\naccounts = []";
    let flag = Some("https://elsewhere.example/v1");
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { name: "nothing said",           file: "",    flag: None, accounts: 1, warnings: 0 },
        Case { name: "the same host",          file: home,  flag: None, accounts: 1, warnings: 0 },
        Case { name: "another host in a file", file: other, flag: None, accounts: 0, warnings: 1 },
        Case { name: "another host by flag",   file: "",    flag,       accounts: 1, warnings: 0 },
        Case { name: "explicitly none",        file: none,  flag: None, accounts: 0, warnings: 0 },
    ];
    for case in cases {
        let machine = Machine::with_file(case.file).env("OPENAI_API_KEY", "sk-one");
        let flags = Flags { upstream: case.flag.map(str::to_owned), ..Flags::default() };
        let loaded = machine.load(&flags).expect("a valid configuration");
        assert_eq!(loaded.settings.upstreams[0].accounts.len(), case.accounts, "{}", case.name);
        assert_eq!(loaded.warnings.len(), case.warnings, "{}", case.name);
    }
}

#[test]
fn later_sources_win_and_each_value_knows_its_own() {
    let machine =
        Machine::with_file("[server]\nlisten = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\n")
            .env("SLUICEGATE_ADMIN", "127.0.0.1:3")
            .env("SLUICEGATE_LOG", "json");
    let flags = Flags { log: Some("text".to_owned()), ..Flags::default() };
    let loaded = machine.load(&flags).expect("a valid configuration");
    let origin = |key: &str| {
        let found = loaded.effective.iter().find(|one| one.key == key).expect(key);
        format!("{} {}", found.value, found.origin)
    };
    assert_eq!(origin("server.listen"), "\"127.0.0.1:1\" /etc/config.toml:2");
    assert_eq!(origin("server.admin"), "\"127.0.0.1:3\" environment SLUICEGATE_ADMIN");
    assert_eq!(origin("log.format"), "\"text\" flag --log");
    assert_eq!(origin("line.max_wait"), "\"280s\" default");
    assert_eq!(loaded.settings.server.admin.port(), 3);
    assert_eq!(loaded.settings.log, LogFormat::Text);
}

#[test]
fn a_key_may_stand_twice_where_it_draws_on_two_projects() {
    let account = |name: &str, more: &str| {
        format!("{{ name = \"{name}\", keys = [{{ label = \"{name}\", key = \"x\" }}]{more} }}")
    };
    let listed = |first: &str, second: &str| {
        format!("[[upstreams]]\naccounts = [{},\n{}]", account("a", first), account("b", second))
    };
    Machine::with_file(&listed("", ", project = \"p\"")).loaded();
    let (same, other) = (", organization = \"o\"", ", organization = \"q\"");
    Machine::with_file(&listed(same, other)).loaded();
    let error = Machine::with_file(&listed(same, same)).error();
    assert!(error.contains("config.toml:3") && error.contains("counted twice"), "{error}");
}

#[test]
fn a_wrong_item_of_a_list_is_named_and_so_is_what_others_call_otherwise() {
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("a single wrong item", "[[budgets]]\nname = \"b\"\nusd = 1\nper = \"day\"\non_red = [\"explode\"]".into(), "/etc/config.toml:5: `budgets.on_red` is a list whose item 1 is \"explode\", but must be a list of \"warn\", \"step_down\", \"pause_batch\" and \"refuse\""),
        ("no table in a list", "[[models]]\nname = \"x\"\nfallbacks = [{ model = \"y\" }, \"z\"]".into(), "/etc/config.toml:3: `models.fallbacks` is a list whose item 2 is \"z\", but must be a list of tables, each under `[[models.fallbacks]]`"),
        ("apps in a text", "[[budgets]]\nname = \"b\"\nusd = 1\nper = \"day\"\napps = \"x\"".into(), "/etc/config.toml:5: `budgets.apps` is \"x\", but must be a list of names of apps, each once: [\"notebook\"]"),
        ("another's word", "[[upstreams]]\n[[upstreams.limits]]\nmodels = \"*\"\ntpm = 5".into(), "/etc/config.toml:4: `upstreams.limits.tpm` is unknown; did you mean `upstreams.limits.tokens_per_minute`?"),
    ];
    each_is_told(&cases);
}

#[test]
fn an_app_with_the_key_of_a_provider_is_warned_of() {
    let warnings = |key: &str| {
        let file = format!(
            "[[upstreams]]\naccounts = [{{ name = \"a\", keys = [{{ key = \"sk-1\" }}] }}]\n\
             [[apps]]\nname = \"one\"\nkey = \"{key}\"\n"
        );
        let warnings = Machine::with_file(&file).loaded().warnings;
        warnings
            .iter()
            .filter(|it| it.to_string().contains("`one` has the key of a provider"))
            .count()
    };
    assert_eq!((warnings("sk-1"), warnings("sk-2")), (1, 0));
}

#[test]
fn every_mistake_is_named_with_its_place_and_what_would_be_right() {
    let upstream = "[[upstreams]]\n";
    let account = "[[upstreams.accounts]]\nname = \"a\"\n[[upstreams.accounts.keys]]\n";
    let two = format!("{upstream}{account}key = \"x\"\n{account}key = \"y\"\nlabel = \"l\"");
    let app = "[[apps]]\nname = \"a\"\nkey = \"x\"\n";
    let keyed = "[[upstreams]]\naccounts = [{ name = \"a\", keys = [{ key = \"y\" }] }]";
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("a slip of the pen", "[server]\nlisen = 1".into(), "/etc/config.toml:2: `server.lisen` is unknown; did you mean `server.listen`?"),
        ("another table's key", "max_wait = \"1s\"".into(), "/etc/config.toml:1: `max_wait` is unknown; did you mean `line.max_wait`?"),
        ("nothing like it", "[server]\ncolour = 1".into(), "/etc/config.toml:2: `server.colour` is unknown; `sluicegate check --defaults` shows every key"),
        ("a wrong type", "[line]\nmax_waiting = \"many\"".into(), "/etc/config.toml:2: `line.max_waiting` is \"many\", but must be a whole number of at least 1"),
        ("a wrong word", "[line]\non_disconnect = \"stop\"".into(), "/etc/config.toml:2: `line.on_disconnect` is \"stop\", but must be \"cancel\" or \"drain\""),
        ("no unit", "[line]\nmax_wait = 90".into(), "/etc/config.toml:2: `line.max_wait` is 90, but must be a duration from \"1ms\" to \"366d\", such as \"90s\" or \"1m30s\""),
        ("a wrong item", "[server]\ncors_origins = [\"http://a.example\",\n\"b.example\"]".into(), "/etc/config.toml:3: `server.cors_origins` is a list whose item 2 is \"b.example\", but must be a list of origins as browsers write them, without a path: [\"https://chat.example\", \"http://localhost:3000\"]"),
        ("no table", "server = 1".into(), "/etc/config.toml:1: `server` is 1, but must be a table, `[server]`"),
        ("no list", "[upstreams]\nname = \"x\"".into(), "/etc/config.toml:1: `upstreams` is a table, but must be a list of tables, each under `[[upstreams]]`"),
        ("not TOML", "[server\nlisten = 1".into(), "/etc/config.toml:1: not valid TOML: unclosed table, expected `]`"),
        ("a limit of zero", format!("{upstream}[[upstreams.limits]]\nmodels = \"*\"\ntokens_per_minute = 0"), "/etc/config.toml:4: `upstreams.limits.tokens_per_minute` is 0, but must be a whole number of at least 1"),
        ("a minute of zero", format!("{upstream}[[upstreams.limits]]\nmodels = \"*\"\nminute = \"0s\""), "/etc/config.toml:4: `upstreams.limits.minute` is \"0s\", but must be a duration from \"1ms\" to \"366d\", such as \"90s\" or \"1m30s\""),
        ("no models", format!("{upstream}[[upstreams.limits]]\nminute = \"1s\""), "/etc/config.toml:2: `upstreams.limits.models` is missing, but must be a text in which `*` stands for any text"),
        ("a pattern twice", format!("{upstream}limits = [{{ models = \"a\" }}, {{ models = \"a\" }}]"), "/etc/config.toml:2: `upstreams.limits.models` is \"a\", but another one has the same: they must differ"),
        ("an account twice", two, "/etc/config.toml:7: `upstreams.accounts.name` is \"a\", but another one has the same: they must differ"),
        ("a key twice", format!("{upstream}{account}key = \"x\"\n[[upstreams.accounts.keys]]\nlabel = \"l\"\nkey = \"x\""), "/etc/config.toml:8: `upstreams.accounts.keys.key` is ***, but the same key stands above, for the same organisation and project: its quota would be counted twice"),
        ("a minute longer than a day", format!("{upstream}[[upstreams.limits]]\nmodels = \"*\"\nday = \"1m\""), "/etc/config.toml:4: `upstreams.limits.minute` is 60s beside a `day` of 60s, but a minute must be shorter than a day"),
        ("no key", format!("{upstream}[[upstreams.accounts]]\nname = \"a\""), "/etc/config.toml:2: `upstreams.accounts.keys` is missing, but an account needs at least one key, `[[upstreams.accounts.keys]]`"),
        ("an empty list of keys", format!("{upstream}accounts = [\n{{ name = \"a\", keys = [] }}]"), "/etc/config.toml:3: `upstreams.accounts.keys` is missing, but an account needs at least one key, `[[upstreams.accounts.keys]]`"),
        ("too little room in the line", "[line]\nmax_waiting_bytes = \"1MiB\"".into(), "/etc/config.toml:2: `line.max_waiting_bytes` is 1048576 bytes, but must be at least `server.max_body`, 67108864 bytes: a larger request could never wait"),
        ("too large a body", "[server]\nmax_body = \"1GiB\"".into(), "/etc/config.toml:2: `server.max_body` is 1073741824 bytes, but must be at most `line.max_waiting_bytes`, 268435456 bytes: a larger request could never wait"),
        ("an unset variable", format!("{upstream}{account}env = \"NOT_SET\""), "/etc/config.toml:5: `upstreams.accounts.keys.env` is \"NOT_SET\", but this environment variable is not set, or is empty: it must hold the key"),
        ("an absent file", format!("{upstream}{account}file = \"none.key\""), "/etc/config.toml:5: `upstreams.accounts.keys.file` is \"none.key\", but this file cannot be read (entity not found): it must hold the key"),
        ("an empty file", format!("{upstream}{account}file = \"empty.key\""), "/etc/config.toml:5: `upstreams.accounts.keys.file` is \"empty.key\", but this file is empty: it must hold the key"),
        ("two sources of a key", format!("{upstream}{account}file = \"empty.key\"\nkey = \"x\""), "/etc/config.toml:4: `upstreams.accounts.keys.key` is one of several, but a key comes from only one of `env`, `file` and `key`"),
        ("a key with a space", format!("{upstream}{account}key = \"a b\""), "/etc/config.toml:5: `upstreams.accounts.keys.key` is not such a text, but a key must be one word of printable ASCII characters"),
        ("no scheme", format!("{upstream}base_url = \"api.openai.com\""), "/etc/config.toml:2: `upstreams.base_url` is \"api.openai.com\", but must be a URL that begins with http:// or https://, without user, query and fragment, such as \"https://api.openai.com/v1\""),
        ("ourselves", format!("{upstream}base_url = \"http://localhost:8484/v1\""), "/etc/config.toml:2: `upstreams.base_url` is \"http://localhost:8484/v1\", but this is where sluicegate itself listens: name the provider"),
        ("an upstream's name twice", format!("{upstream}{upstream}"), "/etc/config.toml:2: `upstreams.name` is \"openai\", but another one has the same: they must differ"),
        ("no upstream", "upstreams = []".into(), "/etc/config.toml:1: `upstreams` is an empty list, but there must be at least one, `[[upstreams]]`"),
        ("one port twice", "[server]\nadmin = \"127.0.0.1:8484\"".into(), "/etc/config.toml:2: `server.admin` is \"127.0.0.1:8484\", but must differ from `server.listen`"),
        ("open to all", "[server]\nlisten = \"0.0.0.0:8484\"".into(), "/etc/config.toml:2: `server.listen` is \"0.0.0.0:8484\", but other machines could spend your quota: give each program a key, by `[[apps]]` or by `sluicegate apps add` (the upstream needs a key of its own then), or listen on 127.0.0.1"),
        ("an open admin", "[server]\nadmin = \"[::]:8485\"".into(), "/etc/config.toml:2: `server.admin` is \"[::]:8485\", but it shows everything and asks for no key: it must be on this machine, such as \"127.0.0.1:8485\""),
        ("apps without a key", "[[apps]]\nname = \"a\"\nkey = \"x\"".into(), "/etc/config.toml:1: `upstreams.accounts` is missing, but apps have keys of their own, so there is none to pass on: give the upstream a key"),
        ("a class that is none", format!("{app}class = \"urgent\"\n{keyed}"), "/etc/config.toml:4: `apps.class` is \"urgent\", but must be \"interactive\", \"standard\" or \"batch\""),
        ("a highest class below the usual", format!("{app}class = \"interactive\"\nmax_class = \"batch\"\n{keyed}"), "/etc/config.toml:5: `apps.max_class` is \"batch\", but the app's `class` is \"interactive\": it must be at least that"),
        ("no weight", format!("{app}weight = 0\n{keyed}"), "/etc/config.toml:4: `apps.weight` is 0, but must be a whole number from 1 to 10000; 100 is usual"),
        ("a rule that asks for nothing", "[[rules]]\nclass = \"batch\"".into(), "/etc/config.toml:1: `rules.path` is missing, but a rule asks for at least one of `path`, `model` and `user_agent`"),
        ("a rule that sets nothing right", "[[rules]]\nmodel = \"*\"\nclass = \"urgent\"".into(), "/etc/config.toml:3: `rules.class` is \"urgent\", but must be \"interactive\", \"standard\" or \"batch\""),
        ("a rule that sets nothing", "[[rules]]\nmodel = \"*\"".into(), "/etc/config.toml:1: `rules.class` is missing, but a rule sets `app`, `class` or both"),
        ("a rule twice", "rules = [{ path = \"/v1/a*\", app = \"x\" },\n{ path = \"/a*\", class = \"batch\" }]".into(), "/etc/config.toml:2: `rules.path` is a rule that never counts, but an earlier rule asks the same, and the first that matches counts"),
        ("a rule for nobody", format!("{app}{keyed}\n[[rules]]\nmodel = \"*\"\napp = \"b\""), "/etc/config.toml:8: `rules.app` is \"b\", but no app under `[[apps]]` has this name"),
        ("a rule above all", format!("{app}{keyed}\n[[rules]]\nmodel = \"*\"\nclass = \"interactive\""), "/etc/config.toml:8: `rules.class` is \"interactive\", but no app may go so high: raise the `max_class` of one under `[[apps]]`"),
        ("a mode that is none", "[line]\nmode = \"dry-run\"".into(), "/etc/config.toml:2: `line.mode` is \"dry-run\", but must be \"enforce\" or \"observe\""),
        ("a home that is not expanded", "data_dir = \"~/x\"".into(), "/etc/config.toml:1: `data_dir` is \"~/x\", but `~` is not expanded here: write the whole path"),
        ("a line break in a name", format!("{upstream}name = \"a\\nb\""), "/etc/config.toml:2: `upstreams.name` is \"a\\nb\", but must be a name of 1 to 64 printable ASCII characters"),
    ];
    each_is_told(&cases);
}

/// The name of a case, a file, and what is to be told of it.
type Mistake<'a> = (&'a str, String, &'a str);

/// Holds what is told of each file against what must be.
fn each_is_told(cases: &[Mistake<'_>]) {
    let differing = cases.iter().filter_map(|(name, file, message)| {
        let error = Machine::with_file(file).file("/etc/empty.key", " \n").error();
        (error != *message).then(|| format!("{name}:\n  is   {error}\n  must {message}"))
    });
    let differing: Vec<_> = differing.collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn rules_are_shown_by_their_number_and_apps_by_their_name() {
    let text = "[server]\ncors_origins = [\"https://Chat.example\", \"http://localhost:3000\"]\n[[rules]]\nmodel = \"*-mini\"\nclass = \"batch\"\n[[upstreams]]\naccounts = \
                [{ name = \"a\", keys = [{ key = \"y\" }] }]\n[[apps]]\nname = \"ui\"\nkey = \"x\"\nweight = 300";
    let loaded = Machine::with_file(text).loaded();
    let shown = |key: &str| {
        let found = loaded.effective.iter().find(|one| one.key == key);
        found.map(|one| one.value.as_str())
    };
    assert_eq!(shown("rules[1].model"), Some("\"*-mini\""));
    assert_eq!(shown("rules[1].class"), Some("\"batch\""));
    assert_eq!(shown("apps[ui].weight"), Some("300"));
    assert_eq!(shown("upstreams[openai].dialect"), Some("\"auto\" (openai)"));
    assert_eq!(
        shown("server.cors_origins"),
        Some("[\"https://Chat.example\", \"http://localhost:3000\"]")
    );
    assert_eq!(
        loaded.settings.server.cors_origins,
        ["https://chat.example", "http://localhost:3000"]
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let error = Machine::with_file("nonsense = 1\n[server]\nlisten = 1\nadmin = 2\n").error();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[0], "the configuration has 3 problems");
    assert!(lines[1].starts_with("  /etc/config.toml:1: `nonsense` is unknown"), "{error}");
    assert!(lines[2].starts_with("  /etc/config.toml:3: `server.listen` is 1"), "{error}");
    assert!(lines[3].starts_with("  /etc/config.toml:4: `server.admin` is 2"), "{error}");
}

#[test]
fn flags_and_variables_are_named_as_the_place() {
    let flags = Flags { listen: Some("8484".to_owned()), ..Flags::default() };
    let error = Machine::default().load(&flags).expect_err("no address").to_string();
    assert!(error.starts_with("flag --listen: `server.listen` is \"8484\""), "{error}");
    let error = Machine::default().env("SLUICEGATE_LOG", "xml").error();
    assert!(error.starts_with("environment SLUICEGATE_LOG: `log.format` is \"xml\""), "{error}");
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let flags = Flags { config: Some("/nowhere.toml".into()), ..Flags::default() };
    let error = Machine::default().load(&flags).expect_err("no file").to_string();
    assert!(error.starts_with("cannot read the configuration /nowhere.toml"), "{error}");
}

#[test]
fn keys_come_from_variables_and_from_files_beside_the_configuration() {
    let text = "[[upstreams]]\n[[upstreams.accounts]]\nname = \"a\"\n\
                keys = [{ env = \"ONE\" }, { file = \"two.key\" }, { label = \"third\", key = \"three\" }]";
    let mut machine = Machine::with_file(text).env("ONE", "one").file("/etc/two.key", "two\n");
    machine.files.get_mut("/etc/two.key").expect("just put there").1 = true;
    let loaded = machine.loaded();
    let keys = &loaded.settings.upstreams[0].accounts[0].keys;
    let shown: Vec<_> = keys.iter().map(|key| (key.label.as_str(), key.secret.expose())).collect();
    assert_eq!(shown, [("env:ONE", "one"), ("file:two.key", "two"), ("third", "three")]);
    let warned =
        |text: &str| loaded.warnings.iter().any(|warning| warning.to_string().contains(text));
    assert!(warned("chmod 600 /etc/two.key"), "{:?}", loaded.warnings);
    assert!(warned("stands in the file itself"), "{:?}", loaded.warnings);
    assert_eq!(
        loaded.settings.mode().to_string(),
        "1 account, 3 keys (env:ONE, file:two.key, third)"
    );
}

#[test]
fn the_accounts_limits_come_first_then_the_upstreams_then_nothing() {
    let text = r#"
        [[upstreams]]
        [[upstreams.accounts]]
        name = "a"
        keys = [{ key = "x" }]
        limits = [{ models = "gpt-4o*", shared = true, tokens_per_minute = 1, minute = "2s", counting = "fixed" }]
        [[upstreams.limits]]
        models = "gpt-4o-mini"
        tokens_per_minute = 2
        [[upstreams.limits]]
        models = "gpt-*"
        tokens_per_minute = 3
    "#;
    let settings = Machine::with_file(text).loaded().settings;
    let cases = [
        ("a", "gpt-4o-mini", "gpt-4o*", Some(1)),
        ("a", "gpt-5", "gpt-5", Some(3)),
        ("a", "o3", "o3", None),
        ("of a client", "gpt-4o-mini", "gpt-4o-mini", Some(2)),
    ];
    for (account, model, group, tokens) in cases {
        let (found, lane) = settings.upstreams[0].lane_settings(&AccountName::new(account), model);
        assert_eq!((found.as_str(), lane.tokens_per_minute), (group, tokens), "{account} {model}");
    }
    let (_, lane) = settings.upstreams[0].lane_settings(&AccountName::new("a"), "gpt-4o");
    assert_eq!(lane.minute, Duration::from_secs(2));
    assert_eq!(lane.counting, Some(crate::limit::Counting::Fixed));
}

#[test]
fn the_reference_shows_every_key_that_is_read_and_no_other() {
    let machine = Machine::with_file(&all_examples())
        .env("OPENAI_API_KEY", "x")
        .env("INDEXER_KEY", "y")
        .env("AZURE_OPENAI_API_KEY", "z");
    machine.loaded();

    let outside = Outside {
        env: &|_| None,
        read: &|_| Err(io::ErrorKind::NotFound.into()),
        config_dir: None,
        data_dir: None,
    };
    let mut check = Check::new(&outside);
    let root = RawTable::parse(&all_examples(), None).expect("TOML");
    let written: RefCell<BTreeSet<String>> = RefCell::default();
    written_keys(&root, "", &written);
    check::settings(Section::root(root), &mut check);
    let one_of = |key: &String| !key.ends_with(".file") && !key.ends_with(".key");
    // The limits of accounts are those of upstreams: the reference says so instead of repeating them.
    let repeated = |key: &String| key.starts_with("upstreams.accounts.limits.");
    let read: BTreeSet<String> =
        check.asked().iter().filter(|key| one_of(key) && !repeated(key)).cloned().collect();
    let written: BTreeSet<String> =
        written.into_inner().into_iter().filter(|key| !repeated(key)).collect();
    assert_eq!(written, read);
}

fn written_keys(table: &RawTable, path: &str, keys: &RefCell<BTreeSet<String>>) {
    for (key, raw) in table.iter() {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        keys.borrow_mut().insert(path.clone());
        match &raw.value {
            RawValue::Table(below) => written_keys(below, &path, keys),
            RawValue::List(items) => {
                for item in items {
                    let RawValue::Table(below) = &item.value else { continue };
                    written_keys(below, &path, keys);
                }
            }
            _ => {}
        }
    }
}

proptest! {
    /// Wherever a key is put, by intention or by mistake, nothing that is shown contains it.
    #[test]
    fn nothing_shown_contains_a_key(
        secret in "sk-[a-z]{4}-[A-Za-z0-9]{16}",
        place in prop::sample::select(vec![
            "key = \"S\"", "env = \"S\"", "file = \"S\"", "key = [\"S\"]", "key = \"S S\"", "api_key = \"S\"",
            "env = \"HELD\"", "file = \"held.key\"", "key = \"S", "key = S", "label = \"l\"\nkey = \"S\"",
        ]),
        table in prop::sample::select(vec!["[[upstreams.accounts.keys]]", "[[apps]]\nname = \"app\""]),
    ) {
        let place = place.replace('S', &secret);
        let head = "[[upstreams]]\n[[upstreams.accounts]]\nname = \"a\"\n";
        let other = if table.starts_with("[[apps") { "keys = [{ env = \"OTHER\" }]\n" } else { "" };
        let machine = Machine::with_file(&format!("{head}{other}{table}\n{place}\n"))
            .env("HELD", &secret).env("OTHER", "o").file("/etc/held.key", &secret);
        let shown = match machine.load(&Flags::default()) {
            Ok(loaded) => format!("{:?} {:?} {loaded:?} {}", loaded.effective, loaded.warnings, loaded.settings.mode()),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains(&secret), "{shown}");
    }

    /// No text makes the reader panic, and what it rejects it explains.
    #[test]
    fn any_text_is_read_or_explained(text in "(\\[\\[?[a-z.]{1,12}\\]\\]?\n|[a-z]{1,6} ?= ?[\"0-9a-z\\[{]{0,6}\n|\\PC{0,8}){0,6}") {
        if let Err(error) = Machine::with_file(&text).load(&Flags::default()) {
            prop_assert!(error.to_string().contains("/etc/config.toml:"), "{error}");
        }
    }
}

//! Turns the written tree into settings, and checks what spans several keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::apps::{apps, rules};
use super::budgets::budgets;
use super::clients::AppSettings;
use super::dialect::Dialect;
use super::environment::Keys;
use super::ledger::ledger;
use super::prices::prices;
use super::problem::{Origin, Problem, Warning};
use super::routing::routing;
use super::section::{Check, Located, Section};
use super::settings::{
    DataDir, Disconnect, LineMode, LineSettings, LogFormat, ServerSettings, Settings,
    TimeoutSettings,
};
use super::upstreams::{Addressed, upstreams};
use super::values::{AtLeastOne, BaseUrl, Bytes, Origins, Text};
use crate::catalog::PriceList;
use crate::units::KeyDigest;

/// Reads everything; `None` only if `check` has a problem to show for it.
pub(super) fn settings(mut root: Section, check: &mut Check<'_>) -> Option<Settings> {
    let data_dir = data_dir(&mut root, check);
    let server = server(root.table("server", check), check);
    let ledger = ledger(root.table("ledger", check), &data_dir, check);
    let log = log(root.table("log", check), check);
    let line = line(root.table("line", check), check);
    let timeouts = timeouts(root.table("timeouts", check), check);
    let upstreams = upstreams(&mut root, check);
    let apps = apps(&mut root, check);
    let rules = rules(&mut root, &apps, check);
    let budgets = budgets(&mut root, &apps, check);
    let routing = routing(&mut root, upstreams.as_deref().unwrap_or_default(), check);
    let prices = prices(&mut root, check);
    root.finish(check);

    let (server, line, upstreams) = (server?, line?, upstreams?);
    // The store may have apps, and who starts looks there; where clients bring their own keys they do not count.
    let may_be_kept =
        !matches!(data_dir, DataDir::Nowhere) || ledger.as_ref().is_some_and(|it| it.url.is_some());
    let are_ours = upstreams.iter().all(|upstream| !upstream.settings.accounts.is_empty());
    let may_have_apps = !apps.is_empty() || may_be_kept && are_ours;
    check_addresses(&server, may_have_apps, check);
    check_room(&server, &line, check);
    for upstream in &upstreams {
        check_target(&upstream.url, &server.listen, check);
        check_version(&upstream.url, upstream.settings.dialect, check);
        // Who only reads the books may lack the environment that has the key.
        let lacks_account = upstream.settings.accounts.is_empty() && check.keys == Keys::Needed;
        if let (true, Some(app)) = (lacks_account, apps.first()) {
            check.problem(Problem::Missing {
                origin: app.origin.clone(),
                key: "upstreams.accounts".to_owned(),
                rule: "apps have keys of their own, so there is none to pass on: give the upstream a key".into(),
            });
        }
    }
    check_keys(&upstreams, &apps, check);
    Some(Settings {
        server: server.settings(),
        data_dir,
        ledger: ledger?,
        log: log?,
        upstreams: upstreams.into_iter().map(|upstream| upstream.settings).collect(),
        routes: routing.routes,
        models: routing.models,
        apps: apps.into_iter().map(|app| app.value).collect(),
        rules,
        prices: Arc::new(PriceList::embedded().with_own(prices)),
        budgets,
        line: line.settings(),
        timeouts: timeouts?,
    })
}

/// Tells of an app whose key is that of a provider: who has it could do without the proxy.
fn check_keys(upstreams: &[Addressed], apps: &[Located<AppSettings>], check: &mut Check<'_>) {
    let accounts = upstreams.iter().flat_map(|upstream| &upstream.settings.accounts);
    let ours: Vec<KeyDigest> = accounts
        .flat_map(|account| &account.keys)
        .map(|key| KeyDigest::of(key.secret.expose()))
        .collect();
    for app in apps {
        if app.value.keys.iter().any(|key| ours.contains(&key.digest)) {
            let (origin, app) = (app.origin.clone(), app.value.name.clone());
            check.warnings.push(Warning::SharedKey { origin, app });
        }
    }
}

/// Resolves a path that a file names: relative to that file.
pub(super) fn resolve(path: &str, origin: &Origin) -> PathBuf {
    match origin {
        Origin::File { path: file, .. } => file.parent().unwrap_or(Path::new("")).join(path),
        _ => PathBuf::from(path),
    }
}

/// Notes a path that would name a folder `~`, which nobody means.
pub(super) fn check_home(path: &Located<String>, key: String, check: &mut Check<'_>) {
    if path.value.starts_with('~') {
        check.problem(Problem::Value {
            origin: path.origin.clone(),
            key,
            found: format!("{:?}", path.value),
            rule: "`~` is not expanded here: write the whole path".into(),
        });
    }
}

/// The server's settings while origins are still needed.
struct Server {
    listen: Located<SocketAddr>,
    admin: Located<SocketAddr>,
    max_body: Located<Bytes>,
    max_connections: usize,
    cors_origins: Origins,
}

impl Server {
    fn settings(self) -> ServerSettings {
        let Self { listen, admin, max_body, max_connections, cors_origins } = self;
        ServerSettings {
            listen: listen.value,
            admin: admin.value,
            max_body: max_body.value.0,
            max_connections,
            cors_origins: cors_origins.0,
        }
    }
}

/// The line's settings while origins are still needed.
struct Line {
    max_wait: Duration,
    max_waiting: usize,
    max_waiting_per_app: usize,
    max_waiting_bytes: Located<Bytes>,
    mode: LineMode,
    keep_alive: Option<Duration>,
    on_disconnect: Disconnect,
}

impl Line {
    fn settings(self) -> LineSettings {
        LineSettings {
            max_wait: self.max_wait,
            max_waiting: self.max_waiting,
            max_waiting_per_app: self.max_waiting_per_app,
            max_waiting_bytes: self.max_waiting_bytes.value.0,
            mode: self.mode,
            keep_alive: self.keep_alive,
            on_disconnect: self.on_disconnect,
        }
    }
}

fn data_dir(root: &mut Section, check: &mut Check<'_>) -> DataDir {
    match root.take::<Text>("data_dir", check) {
        Some(Located { value: Text(path), .. }) if path.is_empty() => DataDir::Nowhere,
        Some(Located { value: Text(value), origin }) => {
            let given = Located { value, origin };
            check_home(&given, root.path_of("data_dir"), check);
            DataDir::Named(resolve(&given.value, &given.origin))
        }
        None => check.outside.data_dir.clone().map_or(DataDir::Nowhere, DataDir::Usual),
    }
}

fn server(mut section: Section, check: &mut Check<'_>) -> Option<Server> {
    let listen = section.require("listen", check);
    let admin = section.require("admin", check);
    let max_body = section.require::<Bytes>("max_body", check);
    let max_connections = count(&mut section, "max_connections", check);
    let cors_origins = section.require::<Origins>("cors_origins", check);
    section.finish(check);
    Some(Server {
        listen: listen?,
        admin: admin?,
        max_body: max_body?,
        max_connections: max_connections?,
        cors_origins: cors_origins?.value,
    })
}

fn log(mut section: Section, check: &mut Check<'_>) -> Option<LogFormat> {
    let format = section.require("format", check);
    section.finish(check);
    Some(format?.value)
}

fn line(mut section: Section, check: &mut Check<'_>) -> Option<Line> {
    let max_wait = section.require::<Duration>("max_wait", check);
    let max_waiting = count(&mut section, "max_waiting", check);
    let max_waiting_per_app = count(&mut section, "max_waiting_per_app", check);
    let max_waiting_bytes = section.require::<Bytes>("max_waiting_bytes", check);
    let mode = section.require("mode", check);
    let keep_alive = section.take("keep_alive", check).map(|given| given.value);
    let on_disconnect = section.require("on_disconnect", check);
    section.finish(check);
    Some(Line {
        max_wait: max_wait?.value,
        max_waiting: max_waiting?,
        max_waiting_per_app: max_waiting_per_app?,
        max_waiting_bytes: max_waiting_bytes?,
        mode: mode?.value,
        keep_alive,
        on_disconnect: on_disconnect?.value,
    })
}

fn timeouts(mut section: Section, check: &mut Check<'_>) -> Option<TimeoutSettings> {
    let mut duration = |key| section.require::<Duration>(key, check).map(|given| given.value);
    let connect = duration("connect");
    let response = duration("response");
    let idle = duration("idle");
    let drain = duration("drain");
    let client = duration("client");
    section.finish(check);
    Some(TimeoutSettings {
        connect: connect?,
        response: response?,
        idle: idle?,
        drain: drain?,
        client: client?,
    })
}

fn count(section: &mut Section, key: &str, check: &mut Check<'_>) -> Option<usize> {
    let given = section.require::<AtLeastOne>(key, check)?;
    Some(usize::try_from(given.value.0).unwrap_or(usize::MAX))
}

/// Checks that the listeners do not collide and that nobody beyond this machine gets in unasked.
fn check_addresses(server: &Server, apps: bool, check: &mut Check<'_>) {
    let (listen, admin) = (&server.listen, &server.admin);
    let mut wrong = |key: &str, address: &Located<SocketAddr>, rule: &'static str| {
        check.problem(Problem::Value {
            origin: address.origin.clone(),
            key: key.to_owned(),
            found: format!("\"{}\"", address.value),
            rule: rule.into(),
        });
    };
    let same_host = listen.value.ip() == admin.value.ip()
        || listen.value.ip().is_unspecified()
        || admin.value.ip().is_unspecified();
    if listen.value.port() == admin.value.port() && listen.value.port() != 0 && same_host {
        wrong("server.admin", admin, "must differ from `server.listen`");
    }
    if !listen.value.ip().is_loopback() && !apps {
        wrong(
            "server.listen",
            listen,
            "other machines could spend your quota: give each program a key, by `[[apps]]` or by `sluicegate apps \
             add` (the upstream needs a key of its own then), or listen on 127.0.0.1",
        );
    }
    if !admin.value.ip().is_loopback() {
        wrong(
            "server.admin",
            admin,
            "it shows everything and asks for no key: it must be on this machine, such as \
             \"127.0.0.1:8485\"",
        );
    }
}

/// Checks that the largest request has room in the line.
fn check_room(server: &Server, line: &Line, check: &mut Check<'_>) {
    let (Bytes(room), Bytes(largest)) = (line.max_waiting_bytes.value, server.max_body.value);
    if room >= largest {
        return;
    }
    let (wait, body) = ("line.max_waiting_bytes", "server.max_body");
    let why = "a larger request could never wait";
    // The one that somebody chose is the one to be changed.
    let (origin, key, found, rule) = match line.max_waiting_bytes.origin {
        Origin::Default => {
            let rule = format!("must be at most `{wait}`, {room} bytes: {why}");
            (&server.max_body.origin, body, largest, rule)
        }
        _ => {
            let rule = format!("must be at least `{body}`, {largest} bytes: {why}");
            (&line.max_waiting_bytes.origin, wait, room, rule)
        }
    };
    check.problem(Problem::Value {
        origin: origin.clone(),
        key: key.to_owned(),
        found: format!("{found} bytes"),
        rule: rule.into(),
    });
}

/// Checks that requests do not come back to where they came in, nor cross a network in the clear.
fn check_target(url: &Located<BaseUrl>, listen: &Located<SocketAddr>, check: &mut Check<'_>) {
    let BaseUrl(uri) = &url.value;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>().ok();
    let here = host == "localhost" || address.is_some_and(|ip| ip.is_loopback());
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    if port == listen.value.port() && (here || address == Some(listen.value.ip())) {
        check.problem(Problem::Value {
            origin: url.origin.clone(),
            key: "upstreams.base_url".to_owned(),
            found: format!("\"{uri}\""),
            rule: "this is where sluicegate itself listens: name the provider".into(),
        });
    }
    if !secure && !here {
        check.warnings.push(Warning::Cleartext { origin: url.origin.clone() });
    }
}

/// Checks that nobody forgot what all but Azure's base URLs, which clients extend, and DeepSeek's end with
/// (<https://api-docs.deepseek.com>, read 2026-11-22).
fn check_version(url: &Located<BaseUrl>, dialect: Dialect, check: &mut Check<'_>) {
    let BaseUrl(uri) = &url.value;
    let is_bare = uri.path().trim_end_matches('/').is_empty();
    let is_right = uri.host().is_some_and(|host| host.ends_with("deepseek.com"));
    if is_bare && !is_right && dialect != Dialect::Azure {
        let shown = uri.to_string();
        let asked = format!("{}/chat/completions", shown.trim_end_matches('/'));
        check.warnings.push(Warning::NoVersion { origin: url.origin.clone(), asked });
    }
}

//! Holds the import arrows between the modules, what each layer may say, and the file sizes.
//!
//! Owns the table of modules ([`RULES`]); reading the sources is [`source`], judging them is
//! [`judge`], and [`planted`] shows that every kind of violation is seen. The sources are parsed,
//! so that inline, grouped, renamed, re-exported and `super` paths count, also in macros and
//! attributes; only an item marked `#[cfg(test)]` is left out, never the rest of its file.
//!
//! Invariant: an arrow goes from a module to a lower layer, or within a layer where the table
//! names it; all arrows together have no circle.

#![expect(clippy::expect_used, reason = "a test binary: helpers outside test functions fail so")]

use std::{fs, path::Path};

#[path = "architecture/judge.rs"]
mod judge;
#[path = "architecture/planted.rs"]
mod planted;
#[path = "architecture/source.rs"]
mod source;

use judge::{Layer, Rule, layering_problems, source_problems, table_problems, unused_arrows};
use source::Sources;

use Layer::{Effects, Pure, Shells, Spine, Vocabulary};

/// What no module but `cli`, `demo` and `main` says: words to a terminal are theirs.
const NO_PRINT: &[&str] = &["println", "eprintln", "print", "eprint", "dbg", "std::process"];
/// For what runs programs of the user: the same, but for what that needs.
const NO_PRINT_NOR_EXIT: &[&str] =
    &["println", "eprintln", "print", "eprint", "dbg", "std::process::exit", "std::process::abort"];

/// What the pure cores do not say on top: they neither wait, nor look at a clock, nor act.
const NO_EFFECT: &[&str] = &[
    ".await",
    "Instant::now",
    "SystemTime",
    "spawn",
    "tracing",
    "tokio", // `tokio::time::Instant`, a type, is the exception that the judge makes.
    "hyper",
    "rand::rng",
    "std::env",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::thread",
    "std::process",
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg",
];

#[rustfmt::skip] // One module a line: the table is read by columns.
const RULES: &[Rule] = &[
    Rule { layer: Vocabulary, module: "units",     may_import: &[], must_not_say: NO_EFFECT },
    Rule { layer: Vocabulary, module: "clock",     may_import: &[], must_not_say: NO_PRINT },
    Rule { layer: Pure,       module: "catalog",   may_import: &["units"], must_not_say: NO_EFFECT },
    Rule { layer: Pure,       module: "packing",   may_import: &[], must_not_say: NO_EFFECT },
    Rule { layer: Pure,       module: "call",      may_import: &["units"], must_not_say: NO_EFFECT },
    Rule { layer: Pure,       module: "count",     may_import: &["units", "call", "catalog"], must_not_say: NO_EFFECT },
    Rule { layer: Pure,       module: "limit",     may_import: &["units", "count"], must_not_say: NO_EFFECT },
    Rule { layer: Pure,       module: "budget",    may_import: &["units"], must_not_say: NO_EFFECT },
    Rule { layer: Pure,       module: "report",    may_import: &["units", "catalog", "budget"], must_not_say: NO_EFFECT },
    Rule { layer: Pure,       module: "config",    may_import: &["units", "catalog", "limit", "budget"], must_not_say: NO_EFFECT },
    Rule { layer: Pure,       module: "auth",      may_import: &["units", "config"], must_not_say: NO_EFFECT },
    Rule { layer: Pure,       module: "line",      may_import: &["units"], must_not_say: NO_EFFECT },
    Rule { layer: Effects,    module: "telemetry", may_import: &["units", "clock", "limit", "config"], must_not_say: NO_PRINT },
    Rule { layer: Effects,    module: "ledger",    may_import: &["units", "report", "clock", "count", "limit", "config"], must_not_say: NO_PRINT },
    Rule { layer: Effects,    module: "upstream",  may_import: &["units", "count", "limit", "config"], must_not_say: NO_PRINT },
    Rule { layer: Effects,    module: "admit",     may_import: &["units", "count", "limit", "config", "line", "upstream"], must_not_say: NO_PRINT },
    Rule { layer: Effects,    module: "settle",    may_import: &["units", "clock", "budget", "catalog", "call", "count", "limit", "upstream", "admit", "ledger", "telemetry"], must_not_say: NO_PRINT },
    Rule { layer: Effects,    module: "relay",     may_import: &["units", "catalog", "call", "packing", "count", "config", "ledger", "upstream", "settle"], must_not_say: NO_PRINT },
    Rule { layer: Spine,      module: "proxy",     may_import: &["units", "clock", "budget", "catalog", "packing", "call", "count", "limit", "config", "auth", "line", "ledger", "upstream", "admit", "settle", "relay", "telemetry"], must_not_say: NO_PRINT },
    Rule { layer: Shells,     module: "admin",     may_import: &["units", "budget", "limit", "upstream", "admit", "ledger", "settle", "telemetry"], must_not_say: NO_PRINT },
    Rule { layer: Shells,     module: "server",    may_import: &["units", "clock", "budget", "limit", "config", "upstream", "admit", "ledger", "settle", "relay", "proxy", "admin"], must_not_say: NO_PRINT_NOR_EXIT },
    Rule { layer: Shells,     module: "simulate",  may_import: &["clock", "catalog", "count"], must_not_say: NO_PRINT },
    Rule { layer: Shells,     module: "demo",      may_import: &["upstream", "report", "config", "limit", "simulate", "server"], must_not_say: &["tracing"] },
    Rule { layer: Shells,     module: "cli",       may_import: &["auth", "clock", "catalog", "report", "ledger", "units", "config", "upstream", "telemetry", "server", "simulate", "demo"], must_not_say: &[] },
    Rule { layer: Shells,     module: "main",      may_import: &["cli"], must_not_say: &[] },
];

/// Lines of a hand-written file of `src`, its test items left out.
const MOST_LINES: usize = 400;

#[test]
fn modules_import_and_say_only_what_they_may() {
    let problems = source_problems(RULES, &sources());
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn the_arrows_of_the_table_go_down_and_never_in_a_circle() {
    let problems = layering_problems(RULES);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_arrow_of_the_table_is_used() {
    let problems = unused_arrows(RULES, &sources());
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let problems = sources().too_long(MOST_LINES);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_folder_or_file_beside_lib_rs_is_a_module_of_the_table() {
    let problems = sources().unknown_roots(RULES);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn the_map_in_lib_rs_names_the_modules_of_the_table() {
    let lib = read("src/lib.rs");
    let map: String = lib.lines().filter_map(|line| line.strip_prefix("//! ")).fold(
        String::new(),
        |mut map, line| {
            map.push_str(line);
            map.push('\n');
            map
        },
    );
    let problems = table_problems(RULES, &map, &["main"]);
    assert!(problems.is_empty(), "src/lib.rs:\n{}", problems.join("\n"));
}

#[test]
fn the_map_in_architecture_md_names_the_modules_of_the_table() {
    let problems = table_problems(RULES, &read("ARCHITECTURE.md"), &["main"]);
    assert!(problems.is_empty(), "ARCHITECTURE.md:\n{}", problems.join("\n"));
}

/// Returns the sources of this crate, read from disk.
fn sources() -> Sources {
    let mut sources = Sources::default();
    add_folder(&mut sources, &root().join("src"));
    sources
}

fn add_folder(sources: &mut Sources, folder: &Path) {
    for entry in fs::read_dir(folder).expect("a readable source folder") {
        let path = entry.expect("a readable folder entry").path();
        if path.is_dir() {
            add_folder(sources, &path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("a file below the root");
            let text = fs::read_to_string(&path).expect("a readable source file");
            sources.add(&name.to_string_lossy(), &text);
        }
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect(name)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

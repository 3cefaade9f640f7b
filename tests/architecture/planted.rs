//! Plants one violation of each kind and sees it reported: a test that cannot fail holds nothing.

use super::judge::{Rule, layering_problems, source_problems, table_problems, unused_arrows};
use super::source::Sources;
use super::{Layer, MOST_LINES, RULES};

/// Returns what is reported when `text` is the module `call`, beside a lawful crate.
///
/// In it `call` may import `units` and nothing else.
fn reported(text: &str) -> Vec<String> {
    source_problems(RULES, &crate_with("src/call/mod.rs", text))
}

fn crate_with(name: &str, text: &str) -> Sources {
    let mut sources = Sources::default();
    sources.add("src/lib.rs", "pub mod call; pub mod limit; pub mod units; pub use limit::Lane;");
    sources.add("src/limit/mod.rs", "pub struct Lane; mod meter;");
    sources.add("src/limit/meter.rs", "use crate::units::Tokens;");
    sources.add("src/units.rs", "pub struct Tokens;");
    sources.add(name, text);
    sources
}

#[test]
fn every_way_to_import_a_forbidden_module_is_reported() {
    struct Case {
        name: &'static str,
        text: &'static str,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { name: "a plain use",               text: "use crate::limit::Lane;" },
        Case { name: "the module itself",         text: "use crate::limit;" },
        Case { name: "renamed",                   text: "use crate::limit as cheap; type L = cheap::Lane;" },
        Case { name: "grouped",                   text: "use crate::{units::Tokens, limit::{self, Lane}};" },
        Case { name: "by super",                  text: "use super::limit::Lane;" },
        Case { name: "by super in a nested item", text: "mod inner { use super::super::limit::Lane; }" },
        Case { name: "by self and super",         text: "use self::super::limit::Lane;" },
        Case { name: "by the crate's own name",   text: "use sluicegate::limit::Lane;" },
        Case { name: "inside a function",         text: "fn f() { use crate::limit::Lane; }" },
        Case { name: "inline, in an expression",  text: "fn f() { let _ = crate::limit::Lane; }" },
        Case { name: "inline, in a type",         text: "struct S { lane: Vec<Option<crate::limit::Lane>> }" },
        Case { name: "inline, in a bound",        text: "fn f<T: Into<crate::limit::Lane>>(_: T) {}" },
        Case { name: "inline, in a pattern",      text: "fn f() { if let crate::limit::Lane = g() {} }" },
        Case { name: "passed on to others",       text: "pub use crate::limit::Lane;" },
        Case { name: "passed on by the root",     text: "use crate::Lane;" },
        Case { name: "in a macro's tokens",       text: "fn f() { println!(\"{:?}\", crate::limit::Lane); }" },
        Case { name: "grouped in tokens",         text: "wrap! { use crate::{units::Tokens, limit::Lane}; }" },
        Case { name: "by super in tokens",        text: "fn f() { vec![super::limit::Lane]; }" },
        Case { name: "in an attribute",           text: "#[serde(with = crate::limit)] struct S;" },
        Case { name: "below a test item",         text: "#[cfg(test)] mod tests {}\nuse crate::limit::Lane;" },
        Case { name: "not quite a test item",     text: "#[cfg(any(test, unix))] use crate::limit::Lane;" },
    ];
    for case in cases {
        let found = reported(case.text);
        let expected = "`call` may not import `limit`";
        assert!(found.iter().any(|p| p.contains(expected)), "{}: {found:?}", case.name);
    }
}

#[test]
fn what_hides_an_arrow_is_reported() {
    struct Case {
        text: &'static str,
        problem: &'static str,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { text: "use crate as root;",              problem: "imports the crate's root" },
        Case { text: "use super as root;",              problem: "imports the crate's root" },
        Case { text: "use crate::{self as root};",      problem: "imports the crate's root" },
        Case { text: "use crate::units::*;",            problem: "imports by a glob" },
        Case { text: "pub use crate::*;",               problem: "imports by a glob" },
        Case { text: "extern crate self as other;",     problem: "says `extern crate`" },
        Case { text: "#[path = \"../x.rs\"] mod x;",    problem: "gives a module a path of its own" },
        Case { text: "use crate::nowhere::Thing;",      problem: "`nowhere` is not in the table" },
    ];
    for case in cases {
        let found = reported(case.text);
        assert!(found.iter().any(|p| p.contains(case.problem)), "{}: {found:?}", case.text);
    }
}

#[test]
fn a_name_passed_on_by_an_allowed_module_counts_as_its_own_module() {
    let mut sources = crate_with("src/call/mod.rs", "use crate::units::Passed;");
    sources.add("src/units.rs", "pub use crate::limit::Lane as Passed;");
    let found = source_problems(RULES, &sources);
    let expected = "src/call/mod.rs:1: `call` may not import `limit`";
    assert!(found.iter().any(|problem| problem == expected), "{found:?}");
}

#[test]
fn the_simulated_provider_cannot_use_the_limits_that_it_checks() {
    let sources = crate_with("src/simulate/engine.rs", "use crate::limit::Lane;");
    let found = source_problems(RULES, &sources);
    assert_eq!(found, ["src/simulate/engine.rs:1: `simulate` may not import `limit`"]);
}

#[test]
fn every_forbidden_word_is_reported_in_a_pure_core() {
    struct Case {
        text: &'static str,
        word: &'static str,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { text: "async fn f() { g().await; }",                             word: ".await" },
        Case { text: "fn f() { select! { x = g().await => x } }",               word: ".await" },
        Case { text: "use tokio::time::Instant; fn f() { Instant::now(); }",    word: "Instant::now" },
        Case { text: "use tokio::time::Instant as I; fn f() { I::now(); }",     word: "Instant::now" },
        Case { text: "use tokio::time; fn f() { time::Instant::now(); }",       word: "Instant::now" },
        Case { text: "fn f() { map.or_insert_with(tokio::time::Instant::now); }", word: "Instant::now" },
        Case { text: "fn f() { std::time::SystemTime::now(); }",                word: "SystemTime" },
        Case { text: "fn f() { tokio::spawn(g()); }",                           word: "spawn" },
        Case { text: "fn f(on: Handle) { on.spawn(g()); }",                     word: "spawn" },
        Case { text: "use tokio::sync::Notify;",                                word: "tokio" },
        Case { text: "fn f() { tracing::debug!(\"x\"); }",                      word: "tracing" },
        Case { text: "use std::{env, fmt}; fn f() { env::var(\"X\"); }",        word: "std::env" },
        Case { text: "use std::env as e; fn f() { e::var(\"X\"); }",            word: "std::env" },
        Case { text: "fn f() { println!(\"x\"); }",                             word: "println" },
    ];
    for case in cases {
        let found = reported(case.text);
        let expected = format!("may not say `{}`", case.word);
        assert!(found.iter().any(|p| p.ends_with(&expected)), "{}: {found:?}", case.text);
    }
}

#[test]
fn what_is_lawful_is_not_reported() {
    let lawful = [
        "use crate::units::Tokens; use tokio::time::Instant; fn f(now: Instant) {}",
        "//! Never calls `tokio::spawn`, see [`crate::limit`].\nconst TEXT: &str = \"println!\";",
        "mod inner { use super::Other; pub(crate) struct X; } use self::inner::X; struct Other;",
        "#[cfg(test)] mod tests { use crate::limit::Lane; fn f() { println!(); } }",
        "#[cfg(test)] mod tests;",
        "impl S { #[cfg(test)] fn probe() -> crate::limit::Lane { todo!() } }",
    ];
    for text in lawful {
        let mut sources = crate_with("src/call/mod.rs", text);
        sources.add("src/call/tests.rs", "use super::*; use crate::units::Tokens;");
        if text.contains("mod tests;") {
            sources.add("src/call/tests.rs", "use super::*; use crate::limit::Lane;");
        } else {
            sources.add("src/call/tests.rs", "");
        }
        let found = source_problems(RULES, &sources);
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn a_file_is_too_long_by_what_stands_outside_its_test_items() {
    let line = "const X: u8 = 0;\n";
    let test_item = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", line.repeat(900));
    let fits = format!("{}{test_item}", line.repeat(MOST_LINES));
    let longer = format!("{}{test_item}{line}", line.repeat(MOST_LINES));

    assert!(crate_with("src/call/mod.rs", &fits).too_long(MOST_LINES).is_empty());
    let found = crate_with("src/call/mod.rs", &longer).too_long(MOST_LINES);
    assert_eq!(found, ["src/call/mod.rs: 401 lines, at most 400"]);
}

#[test]
fn a_module_without_a_rule_and_a_rule_without_a_module_are_reported() {
    let sources = crate_with("src/helpers.rs", "");
    let found = sources.unknown_roots(RULES);
    assert!(found.contains(&"`helpers` is not in the table".to_owned()), "{found:?}");
    assert!(found.contains(&"`line` is in no file".to_owned()), "{found:?}");
}

#[test]
fn arrows_up_to_nowhere_and_in_a_circle_are_reported() {
    let rule = |layer, module, may_import| Rule { layer, module, may_import, must_not_say: &[] };
    struct Case {
        rules: [Rule; 2],
        problem: &'static str,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { rules: [rule(Layer::Pure, "a", &["b"]), rule(Layer::Effects, "b", &[])],  problem: "`a` -> `b` goes up" },
        Case { rules: [rule(Layer::Pure, "a", &["c"]), rule(Layer::Pure, "b", &[])],     problem: "`a` -> `c`: no such module" },
        Case { rules: [rule(Layer::Pure, "a", &["b"]), rule(Layer::Pure, "b", &["a"])],  problem: "`a` is in or above a circle" },
    ];
    for case in cases {
        let found = layering_problems(&case.rules);
        assert!(found.iter().any(|p| p == case.problem), "{}: {found:?}", case.problem);
    }
}

#[test]
fn an_arrow_that_nobody_uses_is_reported() {
    let sources = crate_with("src/call/mod.rs", "fn f() { crate::units::Tokens; }");
    let rule =
        |module, may_import| Rule { layer: Layer::Pure, module, may_import, must_not_say: &[] };
    let found = unused_arrows(&[rule("call", &["units", "catalog"])], &sources);
    assert_eq!(found, ["nothing in `call` imports `catalog`"]);
}

#[test]
fn a_map_that_differs_from_the_table_is_reported() {
    let rule = |layer, module| Rule { layer, module, may_import: &[], must_not_say: &[] };
    let rules = [
        rule(Layer::Pure, "call"),
        rule(Layer::Pure, "limit"),
        rule(Layer::Effects, "admit"),
        rule(Layer::Shells, "cli"),
    ];
    let map = "| layer | module | owns |\n|---|---|---|\n| pure cores | `call/` | x |\n\
        | | `admit` | x |\n| shells | `cli`, `tui` | x |\n\nmore | text\n";
    let found = table_problems(&rules, map, &[]);
    let expected = [
        "`limit` is missing from the map",
        "`admit` is not in `pure cores`",
        "`tui` is in the map only",
    ];
    assert_eq!(found, expected);
}

//! Where the books are kept.

use super::{Flags, Keys, Machine};

#[test]
fn where_the_books_are_comes_from_the_environment_and_is_not_shown() {
    let url = "postgres://me:pa%24sword@db.example/books";
    let loaded = Machine::default().env("SLUICEGATE_LEDGER_URL", url).loaded();
    assert_eq!(loaded.settings.ledger.url.as_ref().map(|url| url.expose()), Some(url));
    let shown = loaded.effective.iter().find(|one| one.key == "ledger.url").expect("it is listed");
    assert_eq!(shown.value, "***");
    assert_eq!(shown.origin.to_string(), "environment SLUICEGATE_LEDGER_URL");
    assert!(!format!("{loaded:?}").contains("sword"));
}

#[test]
fn what_is_wrong_with_it_is_told_without_its_secrets() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("another kind of database", "[ledger]\nurl = \"mysql://host/books\"", "/etc/config.toml:2: `ledger.url` is \"mysql://host/books\", but must be the URL of a PostgreSQL, \"postgres://user:password@host:5432/database\", with no other parameters than sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, port, dbname, user, password, application_name and options"),
        ("a parameter with a slip", "[ledger]\nurl = \"postgres://host/books?sslmode=require&pasword=x\"", "/etc/config.toml:2: `ledger.url` is ***, but must be the URL of a PostgreSQL, \"postgres://user:password@host:5432/database\", with no other parameters than sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, port, dbname, user, password, application_name and options"),
        ("no folder beside the database", "data_dir = \"\"\n[ledger]\nurl = \"postgres:///books?host=/run\"", "/etc/config.toml:3: `ledger.spill_dir` is missing, but without `data_dir` it must name the folder for what the database does not take in time"),
    ];
    for (name, file, message) in cases {
        assert_eq!(Machine::with_file(file).error(), message, "{name}");
    }
}

#[test]
fn entries_are_kept_for_some_days_or_for_ever() {
    let kept = |text: &str| Machine::with_file(&format!("[ledger]\nkeep_entries = \"{text}\"\n"));
    let days = |days: u64| Some(std::time::Duration::from_secs(days * 86_400));
    assert_eq!(Machine::default().loaded().settings.ledger.keep_entries, days(90));
    assert_eq!(kept("2d").loaded().settings.ledger.keep_entries, days(2));
    assert_eq!(kept("forever").loaded().settings.ledger.keep_entries, None);
    let rule = "but must be \"forever\", or a duration from \"2d\" to \"366d\"";
    for wrong in ["1d", "367d", "never"] {
        let message = format!("/etc/config.toml:2: `ledger.keep_entries` is \"{wrong}\", {rule}");
        assert_eq!(kept(wrong).error(), message);
    }
}

#[test]
fn who_only_reads_the_books_needs_no_keys() {
    let account = "[[upstreams]]\nbase_url = \"https://api.example/v1\"\n[[upstreams.accounts]]\nname = \"a\"\n";
    let keys = "keys = [{ env = \"NOT_SET\" }, { file = \"none.key\" }]\n";
    let machine = Machine::with_file(&format!("{account}{keys}"));
    assert!(machine.error().contains("NOT_SET"), "else they must be there");
    let flags = Flags { keys: Keys::Unused, ..Flags::default() };
    let loaded = machine.load(&flags).expect("it is valid without them");
    assert_eq!(loaded.settings.upstreams[0].accounts[0].keys.len(), 2);
    let machine = Machine::with_file("[[apps]]\nname = \"desk\"\nenv = \"NOT_SET\"\n");
    assert!(machine.error().contains("NOT_SET"), "else it must be there");
    let loaded = machine.load(&flags).expect("it is valid without the key of the environment");
    assert_eq!(loaded.settings.apps.len(), 1);
}

mod apps;
mod booking;
mod damage;
mod home;
mod leftover;
mod pins;
mod rollups;
mod spill;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use self::home::Home;
use super::*;
use crate::limit::{LastEnd, Learned};
use crate::units::Secret;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn learned(limit: u64) -> Learned {
    let text = format!(r#"{{"quotas":[{{"quota":"tokens_per_minute","told":{limit}}}]}}"#);
    serde_json::from_str(&text).expect("it is well-formed")
}

fn lesson(group: &str, saved_at: Duration) -> Lesson {
    Lesson {
        account: "main".into(),
        group: group.into(),
        holders: "0badcafe".into(),
        learned: learned(1_000),
        end: LastEnd::Clean,
        saved_at,
    }
}

/// Opens the file in `folder`.
async fn open(folder: &Path) -> Store {
    try_open(folder).await.expect("a folder of our own")
}

async fn try_open(folder: &Path) -> Result<Store, StoreError> {
    let store = Store::place(folder)?;
    store.update().await?;
    Ok(store)
}

async fn execute(store: &Store, statement: &'static str) {
    store.write(vec![link::Statement::new(statement, [])]).await.expect("it is right");
}

/// Returns the only number that `sql` finds.
async fn number(home: &Home, sql: &'static str) -> i64 {
    home.ask(sql).await[0][0].as_number().expect("a number")
}

#[tokio::test]
async fn what_was_saved_is_there_after_opening_again() {
    let home = Home::new().await;
    let store = home.open().await;
    assert_eq!(store.is_new(), home.is_file());
    assert_eq!(store.lessons("openai", NOW).await.expect("readable"), []);
    let first = [lesson("gpt-4o", NOW), Lesson { end: LastEnd::Cut, ..lesson("o3", NOW - DAY) }];
    store.save("openai", &first).await.expect("saved");
    store.save("other", &[lesson("gpt-4o", NOW)]).await.expect("saved");
    let newer = Lesson { learned: learned(2_000), holders: "another".into(), ..first[0].clone() };
    store.save("openai", std::slice::from_ref(&newer)).await.expect("saved");
    store.close().await;
    let store = home.open().await;
    assert!(!store.is_new());
    let again = store.lessons("openai", NOW).await.expect("readable");
    assert_eq!(again, [newer, first[1].clone()]);
}

#[tokio::test]
async fn what_another_program_has_is_given_up_and_said_so() {
    let home = Home::new().await;
    home.open().await.close().await;
    let mut thief = home.lock().await;
    if !home.is_file() {
        thief.say("SELECT pg_advisory_xact_lock(1936487785, hashtext(current_schema()))").await;
    }
    // A server has to be connected meanwhile.
    let patience = Duration::from_millis(if home.is_file() { 1 } else { 1_000 });
    let store = home.store(patience).expect("it is there");
    let error = store.update().await.expect_err("it is taken");
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    thief.leave().await;
    home.open().await;
}

#[tokio::test]
async fn two_instances_write_into_one_file() {
    let home = Home::new().await;
    let (one, other, ..) = tokio::join!(home.open(), home.open(), home.open(), home.open());
    let write = async |store: &Store, mine: &str| {
        for i in 0..20_u32 {
            let both = [lesson("shared", NOW), lesson(&format!("{mine}{i}"), NOW)];
            store.save("openai", &both).await.expect("it waits for the other");
        }
    };
    tokio::join!(write(&one, "one"), write(&other, "other"));
    assert_eq!(one.lessons("openai", NOW).await.expect("readable").len(), 41);
    if home.is_file() {
        let checked = home.ask("PRAGMA integrity_check").await;
        assert_eq!(checked[0][0].as_text(), Some("ok"));
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_skipped_and_left() {
    let home = Home::new().await;
    let store = home.open().await;
    let all = ["good", "newer", "broken", "strange"].map(|group| lesson(group, NOW));
    store.save("openai", &all).await.expect("saved");
    execute(&store, "UPDATE learned SET version = 2 WHERE limit_group = 'newer'").await;
    execute(&store, "UPDATE learned SET state = '{\"quotas\":[' WHERE limit_group = 'broken'")
        .await;
    let strange = match home.is_file() {
        true => "UPDATE learned SET saved_at_ms = 'soon' WHERE limit_group = 'strange'",
        false => "UPDATE learned SET state = 'strange' WHERE limit_group = 'strange'",
    };
    execute(&store, strange).await;
    let read = store.lessons("openai", NOW).await.expect("readable");
    assert_eq!(read, [lesson("good", NOW)]);
    let rows = number(&home, "SELECT COUNT(*) FROM learned").await;
    assert_eq!(rows, 4, "a newer program may still read them");
}

#[tokio::test]
async fn what_is_a_month_old_is_forgotten() {
    let home = Home::new().await;
    let store = home.open().await;
    let all = [lesson("old", NOW - OLDEST - DAY), lesson("new", NOW - OLDEST + DAY)];
    store.save("openai", &all).await.expect("saved");
    assert_eq!(store.lessons("openai", NOW).await.expect("readable"), all[1..]);
    store.forget_old(NOW).await.expect("writable");
    let before = NOW - OLDEST;
    assert_eq!(store.lessons("openai", before).await.expect("readable"), all[1..]);
}

#[tokio::test]
async fn the_latest_rows_stay_where_there_are_too_many() {
    let home = Home::new().await;
    let store = home.open().await;
    let second = Duration::from_secs(1);
    let all: Vec<Lesson> =
        (0..4_100).map(|i| lesson(&format!("model-{i}"), NOW - i * second)).collect();
    store.save("openai", &all).await.expect("saved");
    store.forget_old(NOW).await.expect("writable");
    let rows = number(&home, "SELECT COUNT(*) FROM learned").await;
    assert_eq!(rows, 4_096);
    assert_eq!(store.lessons("openai", NOW).await.expect("readable"), all[..4_096]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told_and_left() {
    let home = TempDir::new().expect("a folder");
    let path = home.path().join("sluicegate.db");
    let text = "a letter to my sister, ".repeat(100);
    std::fs::write(&path, &text).expect("written");
    let error = try_open(home.path()).await.expect_err("it is a letter");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), text);
}

#[tokio::test]
async fn a_damaged_page_is_told() {
    let home = TempDir::new().expect("a folder");
    let store = open(home.path()).await;
    let all: Vec<Lesson> = (0..200).map(|i| lesson(&format!("model-{i}"), NOW)).collect();
    store.save("openai", &all).await.expect("saved");
    store.close().await;
    let path = home.path().join("sluicegate.db");
    let mut bytes = std::fs::read(&path).expect("readable");
    bytes[4096..].fill(0x5a);
    std::fs::write(&path, bytes).expect("written");
    let error = match try_open(home.path()).await {
        Ok(store) => store.lessons("openai", NOW).await.expect_err("its pages are gone"),
        Err(error) => error,
    };
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_schema_is_told_and_left() {
    let home = Home::new().await;
    let store = home.open().await;
    execute(
        &store,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'later', TRUE, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    store.close().await;
    let error = home.try_open().await.expect_err("it is newer");
    assert!(matches!(error, StoreError::Newer { .. }), "{error:?}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_one_is_told() {
    let home = TempDir::new().expect("a folder");
    let file = home.path().join("file");
    std::fs::write(&file, "").expect("written");
    let error = try_open(&file).await.expect_err("it is a file");
    assert!(matches!(error, StoreError::Folder { .. }), "{error:?}");
    std::fs::create_dir(home.path().join("sluicegate.db")).expect("made");
    let error = try_open(home.path()).await.expect_err("the file is a folder");
    assert!(matches!(error, StoreError::File { .. }), "{error:?}");
}

#[tokio::test]
async fn a_password_is_in_no_word_that_a_store_says() {
    // Nobody listens on port 1.
    let url = "postgres://me:pa%24sword@127.0.0.1:1/books?application_name=test";
    let store = Store::at_for(&Secret::new(url), Duration::from_secs(5)).expect("a URL");
    let error = store.update().await.expect_err("nobody is there");
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
    assert_eq!(error.to_string(), "PostgreSQL `books` at 127.0.0.1:1 cannot be reached");
    let said = format!("{store:?} {error:?} {error} {:?}", std::error::Error::source(&error));
    assert!(!said.contains("sword"), "{said}");
    for url in
        ["postgres://me:pa%24sword@host:port/", "postgres://me:pa%24sword@host/?sslmode=maybe"]
    {
        let error = Store::at(&Secret::new(url)).expect_err("it is no URL");
        let said = format!("{error:?} {error} {:?}", std::error::Error::source(&error));
        assert!(!said.contains("sword"), "{said}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_look_inside() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = TempDir::new().expect("a folder");
    let folder = home.path().join("data");
    let store = open(&folder).await;
    store.save("openai", &[lesson("gpt-4o", NOW)]).await.expect("saved");
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in std::fs::read_dir(&folder).expect("readable") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

/// What a program that knew only so many migrations left in its tables, one row each.
const LEFT: [(i64, &str); 3] = [
    (
        1,
        "INSERT INTO learned VALUES ('openai', 'main', 'gpt-4o', '0badcafe', 1, '{\"quotas\":[]}', 1, 1799999999000)",
    ),
    (2, "INSERT INTO pins VALUES ('openai', 'file-1', 'two', 400, 1834560000000)"),
    (
        3,
        "INSERT INTO entries (run, seq, facet, request, attempt, sent_ms, queued_ms, est_input, est_method, \
         input, cached, cache_write, output, reasoning, input_audio, input_image, output_audio, output_image, \
         cached_audio, cached_image, cache_write_long, heard_ms, spoken, images, searches) \
         VALUES (1, 2, 3, 'sg_a', 1, 1799999999000, 0, 11, 'exact', 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
    ),
];

#[tokio::test]
async fn what_an_older_program_wrote_is_there_after_every_later_migration() {
    for known in 1..=i64::try_from(sqlite::MIGRATIONS.iter().count()).expect("few") {
        let home = Home::new().await;
        home.make_by_first(known).await;
        let older = home.store(Duration::from_secs(5)).expect("it is there");
        for (_, row) in LEFT.iter().filter(|(since, _)| *since <= known) {
            execute(&older, row).await;
        }
        older.close().await;
        let store = home.open().await;
        let lessons = store.lessons("openai", NOW).await.expect("readable");
        assert_eq!(lessons.len(), 1, "{known}");
        let pins = Pins::new(1);
        pins.look_into(store);
        let account = pins.find("openai", "file-1", NOW).await.expect("readable");
        assert_eq!(account.is_some(), known >= 2, "{known}");
        let entries = home.ask("SELECT request, input FROM entries").await;
        assert_eq!(entries.len(), usize::from(known >= 3), "{known}");
    }
}

/// The compiler does not notice a new file in a folder by itself.
#[test]
fn every_migration_is_embedded_and_there_for_either_database() {
    let names = |folder: &str| {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger/migrations").join(folder);
        let files = std::fs::read_dir(folder).expect("readable");
        let mut names: Vec<_> = files.map(|file| file.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let (of_sqlite, of_postgres) = (names("sqlite"), names("postgres"));
    assert_eq!(of_sqlite, of_postgres);
    assert_eq!(sqlite::MIGRATIONS.iter().count(), of_sqlite.len(), "touch src/ledger/sqlite.rs");
    assert_eq!(
        postgres::MIGRATIONS.iter().count(),
        of_postgres.len(),
        "touch src/ledger/postgres.rs"
    );
}

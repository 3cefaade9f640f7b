mod booking;
mod pins;
mod spill;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::limit::{LastEnd, Learned};

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

async fn open(folder: &Path) -> Store {
    try_open(folder).await.expect("a folder of our own")
}

async fn try_open(folder: &Path) -> Result<Store, StoreError> {
    let store = Store::place(folder)?;
    store.update().await?;
    Ok(store)
}

async fn execute(store: &Store, statement: &'static str) {
    sqlx::query(statement).execute(&store.pool).await.expect("it is right");
}

#[tokio::test]
async fn what_was_saved_is_there_after_opening_again() {
    let home = TempDir::new().expect("a folder");
    let folder = home.path().join("deeper/still");
    let store = open(&folder).await;
    assert!(store.is_new());
    assert_eq!(store.lessons("openai", NOW).await.expect("readable"), []);
    let first = [lesson("gpt-4o", NOW), Lesson { end: LastEnd::Cut, ..lesson("o3", NOW - DAY) }];
    store.save("openai", &first).await.expect("saved");
    store.save("other", &[lesson("gpt-4o", NOW)]).await.expect("saved");
    let newer = Lesson { learned: learned(2_000), holders: "another".into(), ..first[0].clone() };
    store.save("openai", std::slice::from_ref(&newer)).await.expect("saved");
    store.close().await;
    let store = open(&folder).await;
    assert!(!store.is_new());
    let again = store.lessons("openai", NOW).await.expect("readable");
    assert_eq!(again, [newer, first[1].clone()]);
}

#[tokio::test]
async fn a_file_that_another_program_has_is_given_up_and_said_so() {
    let home = TempDir::new().expect("a folder");
    let other = open(home.path()).await;
    let taken = other.pool.begin_with("BEGIN EXCLUSIVE").await.expect("nobody else has it");
    let store = Store::place_for(home.path(), Duration::from_millis(1)).expect("it is there");
    let error = store.update().await.expect_err("it is taken");
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    taken.rollback().await.expect("given back");
    store.update().await.expect("it is free");
}

#[tokio::test]
async fn two_instances_write_into_one_file() {
    let home = TempDir::new().expect("a folder");
    let (one, other, ..) =
        tokio::join!(open(home.path()), open(home.path()), open(home.path()), open(home.path()));
    let write = async |store: &Store, mine: &str| {
        for i in 0..20_u32 {
            let both = [lesson("shared", NOW), lesson(&format!("{mine}{i}"), NOW)];
            store.save("openai", &both).await.expect("it waits for the other");
        }
    };
    tokio::join!(write(&one, "one"), write(&other, "other"));
    assert_eq!(one.lessons("openai", NOW).await.expect("readable").len(), 41);
    let checked: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&other.pool)
        .await
        .expect("it can be checked");
    assert_eq!(checked, "ok");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_skipped_and_left() {
    let home = TempDir::new().expect("a folder");
    let store = open(home.path()).await;
    let all = ["good", "newer", "broken", "strange"].map(|group| lesson(group, NOW));
    store.save("openai", &all).await.expect("saved");
    execute(&store, "UPDATE learned SET version = 2 WHERE limit_group = 'newer'").await;
    execute(&store, "UPDATE learned SET state = '{\"quotas\":[' WHERE limit_group = 'broken'")
        .await;
    execute(&store, "UPDATE learned SET saved_at_ms = 'soon' WHERE limit_group = 'strange'").await;
    let read = store.lessons("openai", NOW).await.expect("readable");
    assert_eq!(read, [lesson("good", NOW)]);
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM learned")
        .fetch_one(&store.pool)
        .await
        .expect("it can be counted");
    assert_eq!(rows, 4, "a newer program may still read them");
}

#[tokio::test]
async fn what_is_a_month_old_is_forgotten() {
    let home = TempDir::new().expect("a folder");
    let store = open(home.path()).await;
    let all = [lesson("old", NOW - OLDEST - DAY), lesson("new", NOW - OLDEST + DAY)];
    store.save("openai", &all).await.expect("saved");
    assert_eq!(store.lessons("openai", NOW).await.expect("readable"), all[1..]);
    store.forget_old(NOW).await.expect("writable");
    let before = NOW - OLDEST;
    assert_eq!(store.lessons("openai", before).await.expect("readable"), all[1..]);
}

#[tokio::test]
async fn the_latest_rows_stay_where_there_are_too_many() {
    let home = TempDir::new().expect("a folder");
    let store = open(home.path()).await;
    let second = Duration::from_secs(1);
    let all: Vec<Lesson> =
        (0..4_100).map(|i| lesson(&format!("model-{i}"), NOW - i * second)).collect();
    store.save("openai", &all).await.expect("saved");
    store.forget_old(NOW).await.expect("writable");
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM learned")
        .fetch_one(&store.pool)
        .await
        .expect("it can be counted");
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
    let home = TempDir::new().expect("a folder");
    let store = open(home.path()).await;
    execute(
        &store,
        "INSERT INTO _sqlx_migrations VALUES (9999, 'later', '2030-01-01', TRUE, x'00', 0)",
    )
    .await;
    store.close().await;
    let error = try_open(home.path()).await.expect_err("it is newer");
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

/// The compiler does not notice a new file in the folder by itself.
#[test]
fn every_migration_in_the_folder_is_embedded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger/migrations");
    let files = std::fs::read_dir(folder).expect("readable").count();
    assert_eq!(store::MIGRATIONS.iter().count(), files, "touch src/ledger/store.rs");
}

//! Pins: known at once, in the file soon after, and forgotten by their rule.

use super::*;

fn pin(id: &str, account: &str) -> Pin {
    let (upstream, id, account) = ("openai".into(), id.into(), account.into());
    Pin { upstream, id, account, term: Term::Year, used_at: NOW }
}

async fn save(pins: &Pins, store: &Store) -> usize {
    let unsaved = pins.unsaved();
    store.save_pins(&unsaved).await.expect("writable");
    unsaved.len()
}

async fn account(pins: &Pins, id: &str, now: Duration) -> Option<String> {
    pins.find("openai", id, now).await.expect("readable").map(|account| account.to_string())
}

#[tokio::test]
async fn a_pin_is_known_at_once_and_found_in_the_file_later() {
    let home = Home::new().await;
    let store = home.open().await;
    let pins = Pins::new(1);
    pins.note(pin("file-1", "two"));
    assert_eq!(account(&pins, "file-1", NOW).await.as_deref(), Some("two"));
    assert_eq!(pins.find("other", "file-1", NOW).await.expect("readable"), None);
    pins.worth_keeping().await;
    assert_eq!(save(&pins, &store).await, 1);
    store.close().await;

    let (store, pins) = (home.open().await, Pins::new(2));
    assert_eq!(account(&pins, "file-1", NOW).await, None);
    pins.look_into(store.clone());
    assert_eq!(account(&pins, "file-1", NOW).await.as_deref(), Some("two"));
    assert_eq!(save(&pins, &store).await, 0, "it was used on the day of its making");
    assert_eq!(account(&pins, "file-2", NOW).await, None);
}

#[tokio::test]
async fn the_same_is_written_once_a_day_and_another_account_at_once() {
    let pins = Pins::new(1);
    let half = DAY / 2;
    for (account, at) in [("one", NOW), ("one", NOW + half), ("one", NOW + DAY), ("two", NOW + DAY)]
    {
        pins.note(Pin { used_at: at, ..pin("file-1", account) });
    }
    let written: Vec<_> = pins.unsaved().into_iter().map(|it| (it.account, it.used_at)).collect();
    assert_eq!(
        written,
        [("one".into(), NOW), ("one".into(), NOW + DAY), ("two".into(), NOW + DAY)]
    );
}

#[tokio::test]
async fn what_is_used_is_kept_and_what_is_not_is_forgotten_after_its_term() {
    let home = Home::new().await;
    let (store, pins) = (home.open().await, Pins::new(1));
    for id in ["used", "unused"] {
        pins.note(Pin { term: Term::Month, ..pin(id, "one") });
    }
    pins.note(pin("file", "one"));
    save(&pins, &store).await;
    let later = NOW + 30 * DAY;
    assert!(account(&pins, "used", later).await.is_some());
    assert_eq!(save(&pins, &store).await, 1);
    store.forget_pins(later + 2 * DAY).await.expect("writable");
    let pins = Pins::new(1);
    pins.look_into(store);
    assert!(account(&pins, "used", later + 2 * DAY).await.is_some());
    assert!(account(&pins, "unused", later + 2 * DAY).await.is_none());
    assert!(account(&pins, "file", later + 2 * DAY).await.is_some());
    assert!(
        account(&pins, "file", NOW + 500 * DAY).await.is_some(),
        "in memory until it makes room"
    );
}

#[tokio::test]
async fn of_too_many_those_go_first_whose_time_is_over_first() {
    let home = Home::new().await;
    let (store, pins) = (home.open().await, Pins::new(1));
    let all = (0..20_u32).map(|n| {
        let term = if n < 10 { Term::Month } else { Term::Year };
        Pin { term, used_at: NOW + n * DAY, ..pin(&format!("id-{n}"), "one") }
    });
    store.save_pins(&all.collect::<Vec<_>>()).await.expect("writable");
    store.keep_pins(NOW, 12).await.expect("writable");
    pins.look_into(store);
    for n in 0..20 {
        let found = account(&pins, &format!("id-{n}"), NOW).await.is_some();
        assert_eq!(found, n >= 8, "id-{n}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_is_bounded() {
    let pins = Pins::new(1);
    for n in 0..70_000 {
        pins.note(pin(&format!("id-{n}"), "one"));
    }
    let unsaved = pins.unsaved();
    assert_eq!((unsaved.len(), &*unsaved[0].id), (65_536, "id-4464"));
    pins.note(pin("new", "one"));
    pins.still_unsaved(unsaved);
    let unsaved = pins.unsaved();
    assert_eq!((unsaved.len(), &*unsaved[65_535].id), (65_536, "new"));
    assert_eq!(account(&pins, "id-0", NOW).await, None, "memory is bounded, too");
}

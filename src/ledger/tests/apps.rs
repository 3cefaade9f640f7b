//! Apps: kept with the digests of their keys, changed by several at a time.

use super::*;
use crate::units::{AppName, KeyDigest};

fn limited(requests: u64) -> AppTerms {
    AppTerms { requests_per_minute: Some(requests), ..AppTerms::default() }
}

#[tokio::test]
async fn an_app_is_there_as_it_was_made_until_it_is_revoked() {
    let home = Home::new().await;
    let store = home.open().await;
    assert_eq!(store.apps().await.expect("readable"), KeptApps::default());
    let (name, [first, second]) = (AppName::new("indexer"), ["sg-1", "sg-2"].map(KeyDigest::of));
    let terms = AppTerms { models: vec!["gpt-4o*".into()], ..limited(60) };
    store.add_app((&name, &terms), first, NOW).await.expect("written");
    assert!(store.add_app((&name, &terms), second, NOW).await.is_err(), "there is one");
    let kept = store.apps().await.expect("readable");
    let app = &kept.apps[0];
    assert_eq!((&app.name, &app.terms, app.made_at), (&name, &terms, NOW));
    assert_eq!(
        app.keys.iter().map(|key| (key.digest, key.until)).collect::<Vec<_>>(),
        [(first, None)]
    );
    assert_eq!(app.settings().limits.requests_per_minute, Some(60));

    store.rotate_app(&name, (second, Some(NOW + DAY)), NOW).await.expect("written");
    let keys = store.apps().await.expect("readable").apps[0].keys.clone();
    let keys: std::collections::BTreeMap<_, _> =
        keys.iter().map(|key| (key.digest, key.until)).collect();
    assert_eq!((keys[&first], keys[&second]), (Some(NOW + DAY), None), "both work for a day");
    let third = KeyDigest::of("sg-3");
    store.rotate_app(&name, (third, None), NOW + DAY / 2).await.expect("written");
    let keys = store.apps().await.expect("readable").apps[0].keys.clone();
    assert_eq!(
        keys.iter().map(|key| key.digest).collect::<Vec<_>>(),
        [third],
        "the others end at once"
    );

    store.revoke_app(&name, NOW + DAY).await.expect("written");
    let revoked = store.apps().await.expect("readable");
    assert_eq!(revoked.apps[0].revoked_at, Some(NOW + DAY), "that there was one is remembered");
    assert!(revoked.apps[0].settings().keys.is_empty() && revoked.version > kept.version);
    store.add_app((&name, &limited(7)), first, NOW + DAY).await.expect("its name is free again");
    assert_eq!(store.apps().await.expect("readable").apps[0].terms, limited(7));
    store.forget_app(&name).await.expect("written");
    assert_eq!(store.apps().await.expect("readable").apps, []);
}

#[tokio::test]
async fn who_changes_what_another_has_changed_is_told_so() {
    let home = Home::new().await;
    let store = home.open().await;
    let name = AppName::new("a");
    store.add_app((&name, &limited(1)), KeyDigest::of("sg-1"), NOW).await.expect("written");
    assert!(store.change_app(&name, (&limited(1), &limited(2))).await.expect("written"));
    assert!(!store.change_app(&name, (&limited(1), &limited(3))).await.expect("written"));
    assert_eq!(store.apps().await.expect("readable").apps[0].terms, limited(2));
}

#[tokio::test]
async fn terms_that_nobody_can_read_let_nobody_in() {
    let home = Home::new().await;
    let store = home.open().await;
    let name = AppName::new("a");
    store.add_app((&name, &limited(1)), KeyDigest::of("sg-1"), NOW).await.expect("written");
    execute(&store, "UPDATE apps SET terms = '{\"weight\": \"heavy\"}'").await;
    let kept = store.apps().await.expect("readable");
    assert!(kept.apps[0].settings().keys.is_empty(), "there is an app, and no key opens");
    execute(&store, "UPDATE apps SET terms = '{\"a newer word\": 7, \"weight\": 9}'").await;
    assert_eq!(store.apps().await.expect("readable").apps[0].settings().weight, 9);
}

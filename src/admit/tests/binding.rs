//! Requests that one account has to serve.

use super::*;
use crate::upstream::Standing;

fn bound(name: &str) -> Ask {
    Ask { account: Some(AccountName::new(name)), ..ask(100) }
}

/// Has the only key of an account rejected.
async fn reject(admission: &Admission, name: &str) {
    let reservation = now(admission, bound(name)).await;
    let in_flight = reservation.commit(Instant::now());
    let said = Some("no such key".into());
    let finding = Finding { said, ..Finding::of(Verdict::KeyRejected) };
    let _change = in_flight.report(&finding, &HeaderMap::new(), Instant::now());
    in_flight.refused(Instant::now());
}

#[tokio::test(start_paused = true)]
async fn a_bound_request_goes_to_its_account_and_waits_for_that_alone() {
    let admission = admission(&[1, 1], slots(1));
    let held = now(&admission, bound("b")).await;
    assert_eq!(held.account_name(), Some(AccountName::new("b")));
    let mut waiting = Pending::of(&admission, bound("b"));
    let free = now(&admission, ask(100)).await;
    assert_eq!(free.account_name(), Some(AccountName::new("a")));
    drop(free);
    assert!(waiting.poll().is_none(), "it went to another account");
    drop(held);
    let granted = waiting.granted().expect("its account is free");
    assert_eq!(granted.account_name(), Some(AccountName::new("b")));
}

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_be_used_refuses_what_is_bound_to_it_at_once() {
    let admission = admission(&[1, 1], LaneSettings::default());
    assert_eq!(admission.home(), Some(AccountName::new("a")));
    reject(&admission, "a").await;
    let refusal = admission.acquire(bound("a")).await.expect_err("its key is out");
    let words =
        "the account `a` cannot be used for now (the provider refuses its key: no such key)";
    assert!(refusal.to_string().starts_with(words), "{refusal}");
    assert!(matches!(refusal, Refusal::AccountDown { back_in: None, .. }), "{refusal:?}");
    assert!(refusal.is_worth_retrying());
    assert_eq!(admission.home(), Some(AccountName::new("b")));
    let other = now(&admission, ask(100)).await;
    assert_eq!(other.account_name(), Some(AccountName::new("b")));
    let gone = admission.acquire(bound("c")).await.expect_err("there is none");
    assert_eq!(gone, Refusal::AccountGone { account: AccountName::new("c") });
    assert!(!gone.is_worth_retrying());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_account_that_goes_is_told_so() {
    let admission = admission(&[1, 1], slots(1));
    let held = now(&admission, bound("a")).await.commit(Instant::now());
    let mut waiting = Pending::of(&admission, bound("a"));
    let finding = Finding::of(Verdict::KeyRejected);
    let _change = held.report(&finding, &HeaderMap::new(), Instant::now());
    held.refused(Instant::now());
    let standing = admission.with_fleet(|fleet| {
        let account = fleet.named(&AccountName::new("a")).expect("configured");
        fleet.standing(account, Instant::now())
    });
    assert_eq!(standing, Standing::Out);
    advance(MINUTES + SECOND).await;
    let told = waiting.poll().expect("its time is up").expect_err("its account is out");
    assert!(matches!(told, Refusal::AccountDown { .. }), "{told}");
}

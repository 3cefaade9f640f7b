//! Keys and accounts going out and coming back.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Uri};

use super::*;
use crate::config::{AccountSettings, AzureSettings, Dialect, KeySettings};
use crate::units::Secret;
use crate::upstream::classify::{Finding, Verdict};

/// Makes accounts with the given numbers of keys: `a0` with `a0-k0`, `a0-k1`, ...
fn upstream(keys: &[usize]) -> UpstreamSettings {
    let account = |(number, &keys): (usize, &usize)| AccountSettings {
        name: AccountName::new(format!("a{number}")),
        keys: (0..keys)
            .map(|key| KeySettings {
                label: KeyLabel::new(format!("a{number}-k{key}")),
                secret: Secret::new(format!("sk-{number}-{key}")),
            })
            .collect(),
        organization: None,
        project: None,
        limits: Vec::new(),
    };
    UpstreamSettings {
        name: "test".into(),
        base_url: Uri::from_static("https://a.b/v1"),
        dialect: Dialect::OpenAi,
        azure: AzureSettings::default(),
        accounts: keys.iter().enumerate().map(account).collect(),
        limits: Vec::new(),
    }
}

fn fleet(keys: &[usize]) -> Fleet {
    Fleet::new(&upstream(keys)).expect("fits into headers")
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const A: AccountId = AccountId::new(0);
const B: AccountId = AccountId::new(1);

/// Lends a key of `account` for a request that ends with `verdict` at once.
fn play(fleet: &mut Fleet, account: AccountId, verdict: Verdict, now: Instant) -> Change {
    let lent = fleet.lend(account, now).expect("can be lent");
    let change = fleet.report(&lent, &Finding::of(verdict), now, 0.0);
    fleet.release(lent, now);
    change
}

#[test]
fn the_key_with_the_fewest_requests_is_lent_then_the_one_that_rested_longest() {
    let mut fleet = fleet(&[2]);
    let now = Instant::now();
    let mut lend = || fleet.lend(A, now).expect("ready");
    let (first, second, third) = (lend(), lend(), lend());
    assert_ne!(first.key(), second.key());
    assert_eq!(third.key(), first.key());
    fleet.release(first, now);
    fleet.release(third, now);
    fleet.release(second, now);
    let fourth = fleet.lend(A, now).expect("ready");
    assert_eq!(fourth.credential().label.as_str(), "a0-k1", "a0-k0 was lent last");
    fleet.release(fourth, now);
}

#[test]
fn a_lent_key_tells_what_set_it_apart() {
    let now = Instant::now();
    let mut alone = fleet(&[1]);
    assert_eq!(alone.lend(A, now).expect("ready").pick().to_string(), "only 1/1");
    let mut fleet = fleet(&[3]);
    let mut lend = || fleet.lend(A, now).expect("ready");
    let lent = [lend(), lend(), lend(), lend()];
    let told = lent.each_ref().map(|lent| lent.pick().to_string());
    assert_eq!(told, ["order 1/3", "order 1/3", "idle 1/3", "order 1/3"]);
    for lent in lent {
        let rejected = Finding::of(Verdict::KeyRejected);
        if lent.credential().label.as_str() != "a0-k2" {
            fleet.report(&lent, &rejected, now, 0.0);
        }
        fleet.release(lent, now);
    }
    assert_eq!(fleet.lend(A, now).expect("ready").pick().to_string(), "health 1/1");
}

#[test]
fn a_rejected_key_is_out_until_a_probe_finds_it_accepted() {
    let mut fleet = fleet(&[2]);
    let now = Instant::now();
    let lent = fleet.lend(A, now).expect("ready");
    let bad = lent.key();
    let change = fleet.report(&lent, &Finding::of(Verdict::KeyRejected), now, 0.0);
    fleet.release(lent, now);
    assert_eq!(change, Change::KeyOut(bad));
    assert_eq!(fleet.standing(A, now), Standing::Ready, "the other key is left");

    assert_eq!(fleet.next_probe_at(), Some(now + secs(30)));
    assert!(fleet.probes_due(now + secs(29)).is_empty());
    let due = fleet.probes_due(now + secs(30));
    assert_eq!(due.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [bad]);
    assert!(fleet.probes_due(now + secs(30)).is_empty(), "it is being probed");
    fleet.probed(bad, &Finding::of(Verdict::KeyRejected), now + secs(30), 0.0);
    assert_eq!(fleet.next_probe_at(), Some(now + secs(90)), "the rest doubles");
    let _due = fleet.probes_due(now + secs(90));
    assert_eq!(
        fleet.probed(bad, &Finding::of(Verdict::Fine), now + secs(90), 0.0),
        Change::Back(A)
    );
    assert_eq!(fleet.next_probe_at(), None);
}

#[test]
fn the_last_usable_key_stays_and_its_answers_are_passed_on() {
    let mut fleet = fleet(&[1]);
    let now = Instant::now();
    assert_eq!(play(&mut fleet, A, Verdict::KeyRejected, now), Change::LastUsable);
    assert_eq!(fleet.standing(A, now), Standing::Doubtful);
    assert_eq!(play(&mut fleet, A, Verdict::KeyRejected, now + secs(1)), Change::LastUsable);
    assert!(fleet.next_probe_at().is_some(), "it is probed nevertheless");
    assert_eq!(play(&mut fleet, A, Verdict::Fine, now + secs(2)), Change::Back(A));
    assert_eq!(fleet.standing(A, now + secs(2)), Standing::Ready);
}

#[test]
fn requests_that_fail_together_count_once() {
    let mut fleet = fleet(&[1, 1]);
    let now = Instant::now();
    let lent: Vec<Lent> = (0..50).filter_map(|_| fleet.lend(A, now)).collect();
    let later = now + secs(1);
    assert_eq!(lent.len(), 50);
    for lent in lent {
        let change = fleet.report(&lent, &Finding::of(Verdict::OutOfQuota), later, 0.0);
        fleet.release(lent, later);
        assert_eq!(change, Change::AccountOut(A), "each request learns to go elsewhere");
    }
    assert_eq!(fleet.standing(A, later), Standing::Resting(later + secs(30)));
}

#[test]
fn an_account_without_quota_comes_back_by_one_trial() {
    let mut fleet = fleet(&[2, 1]);
    let now = Instant::now();
    assert_eq!(play(&mut fleet, A, Verdict::OutOfQuota, now), Change::AccountOut(A));
    assert!(fleet.lend(A, now + secs(29)).is_none());
    let due = now + secs(30);
    assert_eq!(fleet.standing(A, due), Standing::Trial);
    let trial = fleet.lend(A, due).expect("one may try");
    assert!(fleet.lend(A, due).is_none(), "only one");
    let still = fleet.report(&trial, &Finding::of(Verdict::OutOfQuota), due, 0.0);
    fleet.release(trial, due);
    assert_eq!(still, Change::AccountOut(A));
    assert_eq!(fleet.standing(A, due), Standing::Resting(due + secs(60)));
    let due = due + secs(60);
    assert_eq!(play(&mut fleet, A, Verdict::Fine, due), Change::Back(A));
    assert_eq!(fleet.standing(A, due), Standing::Ready);
}

#[test]
fn a_trial_that_tells_nothing_makes_room_for_the_next() {
    let mut fleet = fleet(&[1, 1]);
    let now = Instant::now();
    let _change = play(&mut fleet, A, Verdict::OutOfQuota, now);
    let due = now + secs(30);
    assert_eq!(play(&mut fleet, A, Verdict::BadRequest, due), Change::Unchanged);
    assert_eq!(fleet.standing(A, due), Standing::Trial);
    let trial = fleet.lend(A, due).expect("one may try");
    fleet.release(trial, due);
    assert_eq!(fleet.standing(A, due), Standing::Trial);
}

#[test]
fn when_all_accounts_are_empty_the_last_one_is_used_on() {
    let mut fleet = fleet(&[1, 1]);
    let now = Instant::now();
    assert_eq!(play(&mut fleet, A, Verdict::OutOfQuota, now), Change::AccountOut(A));
    assert_eq!(play(&mut fleet, B, Verdict::OutOfQuota, now), Change::LastUsable);
    let due = now + secs(30);
    assert_eq!(play(&mut fleet, A, Verdict::Fine, due), Change::Back(A));
    assert_eq!(play(&mut fleet, B, Verdict::OutOfQuota, due), Change::AccountOut(B));
}

#[test]
fn an_overloaded_account_rests_as_long_as_the_provider_says() {
    let mut fleet = fleet(&[1]);
    let now = Instant::now();
    let lent = fleet.lend(A, now).expect("ready");
    let finding = Finding { retry_after: Some(secs(7)), ..Finding::of(Verdict::Overloaded) };
    let change = fleet.report(&lent, &finding, now, 0.0);
    fleet.release(lent, now);
    assert_eq!(change, Change::Resting { account: A, until: now + secs(7) });
    assert_eq!(play(&mut fleet, A, Verdict::Fine, now + secs(7)), Change::Back(A));
}

#[test]
fn one_overload_among_successes_holds_up_nobody_and_three_in_a_row_do() {
    let mut fleet = fleet(&[1]);
    let now = Instant::now();
    for verdict in [Verdict::Overloaded, Verdict::Overloaded, Verdict::Fine].repeat(3) {
        assert_eq!(play(&mut fleet, A, verdict, now), Change::Unchanged, "{verdict:?}");
        assert_eq!(fleet.standing(A, now), Standing::Ready);
    }
    for _ in 0..2 {
        play(&mut fleet, A, Verdict::Overloaded, now);
    }
    let until = now + secs(1);
    let change = play(&mut fleet, A, Verdict::Overloaded, now);
    assert_eq!(change, Change::Resting { account: A, until });
    let change = play(&mut fleet, A, Verdict::Overloaded, until);
    assert_eq!(change, Change::Resting { account: A, until: until + secs(2) }, "a failed trial");
}

#[test]
fn server_errors_let_an_account_rest_only_while_another_works() {
    let mut fleet = fleet(&[1, 1]);
    let now = Instant::now();
    for _ in 0..2 {
        assert_eq!(play(&mut fleet, A, Verdict::ServerError, now), Change::Unchanged);
    }
    let until = now + secs(1);
    let change = play(&mut fleet, A, Verdict::ServerError, now);
    assert_eq!(change, Change::Resting { account: A, until });
    for _ in 0..2 {
        assert_eq!(play(&mut fleet, B, Verdict::Unreachable, now), Change::Unchanged);
    }
    assert_eq!(play(&mut fleet, B, Verdict::Unreachable, now), Change::LastUsable);
    assert_eq!(fleet.standing(B, now), Standing::Doubtful);
    assert_eq!(play(&mut fleet, B, Verdict::Fine, now), Change::Back(B));
}

#[test]
fn rate_limits_take_nothing_out() {
    let mut fleet = fleet(&[1, 1]);
    let now = Instant::now();
    for verdict in [Verdict::RateLimited, Verdict::TooLarge, Verdict::BadRequest] {
        assert_eq!(play(&mut fleet, A, verdict, now), Change::Unchanged);
        assert_eq!(fleet.standing(A, now), Standing::Ready);
    }
}

#[test]
fn a_clients_own_key_is_never_taken_out() {
    let mut fleet = fleet(&[]);
    assert!(fleet.is_clients_own());
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer sk-client"));
    let now = Instant::now();
    let account = fleet.adopt(&ClientKey::from_headers(&headers)).expect("room").account;
    assert!(!account.is_ours());
    for verdict in [Verdict::KeyRejected, Verdict::OutOfQuota, Verdict::Unreachable] {
        assert_eq!(play(&mut fleet, account, verdict, now), Change::Unchanged);
        assert_eq!(fleet.standing(account, now), Standing::Ready);
    }
    assert_eq!(fleet.next_probe_at(), None);
}

#[test]
fn accounts_that_are_the_same_organisation_are_merged() {
    let mut fleet = fleet(&[1, 1]);
    let now = Instant::now();
    let mut answer = HeaderMap::new();
    answer.insert("openai-organization", HeaderValue::from_static("org-1"));
    let a = fleet.lend(A, now).expect("ready");
    let b = fleet.lend(B, now).expect("ready");
    assert_eq!(fleet.observe(a.key(), &answer), Change::Unchanged);
    let merged = Change::Merged { from: B, into: A };
    assert_eq!(fleet.observe(b.key(), &answer), merged);
    assert_eq!(fleet.observe(b.key(), &answer), Change::Unchanged, "only once");
    fleet.release(a, now);
    fleet.release(b, now);
    assert_eq!(fleet.standing(B, now), Standing::Out);
    let lent: Vec<Lent> = (0..2).filter_map(|_| fleet.lend(A, now)).collect();
    assert_ne!(lent[0].key(), lent[1].key(), "both keys are of the one account now");
}

#[test]
fn projects_of_one_organisation_stay_apart() {
    let mut fleet = fleet(&[1, 1]);
    let now = Instant::now();
    for (account, project) in [(A, "proj-1"), (B, "proj-2")] {
        let mut answer = HeaderMap::new();
        answer.insert("openai-organization", HeaderValue::from_static("org-1"));
        answer.insert("openai-project", HeaderValue::from_static(project));
        let lent = fleet.lend(account, now).expect("ready");
        assert_eq!(fleet.observe(lent.key(), &answer), Change::Unchanged);
        fleet.release(lent, now);
    }
}

#[test]
fn what_stays_in_the_configuration_keeps_its_health_and_what_is_new_takes_part() {
    let (mut fleet, now) = (fleet(&[2, 1]), Instant::now());
    play(&mut fleet, A, Verdict::KeyRejected, now);
    let known = fleet.accounts();
    fleet.renew(&upstream(&[3, 1, 1]), now).expect("fits into headers");
    assert_eq!(fleet.accounts()[..2], known, "in the order of the configuration");
    let labels: Vec<String> =
        (0..3).map(|_| fleet.lend(A, now).expect("ready").credential().label.to_string()).collect();
    assert!(!labels.contains(&"a0-k0".to_owned()), "it was rejected: {labels:?}");
    assert!(labels.contains(&"a0-k2".to_owned()), "it is new: {labels:?}");
    assert_eq!(fleet.standing(fleet.accounts()[2], now), Standing::Ready);
}

#[test]
fn what_the_configuration_names_no_more_lends_nothing_and_ends_what_it_lent() {
    let (mut fleet, now) = (fleet(&[1, 1]), Instant::now());
    let lent = fleet.lend(B, now).expect("ready");
    fleet.renew(&upstream(&[1]), now).expect("fits into headers");
    assert!(fleet.lend(B, now).is_none());
    assert_eq!((fleet.standing(B, now), fleet.name(B)), (Standing::Out, None));
    let change = fleet.report(&lent, &Finding::of(Verdict::KeyRejected), now, 0.0);
    assert_eq!(change, Change::KeyOut(lent.key()), "another key can serve it");
    fleet.release(lent, now);
    assert_eq!(fleet.standing(A, now), Standing::Ready, "it is nothing to the others");
}

#[test]
fn behind_another_key_or_organization_there_is_another_account() {
    let (mut fleet, now) = (fleet(&[1]), Instant::now());
    let mut other = upstream(&[1]);
    other.accounts[0].organization = Some("org-b".into());
    fleet.renew(&other, now).expect("fits into headers");
    let second = fleet.accounts()[0];
    assert_ne!(second, A);
    other.accounts[0].keys[0].secret = Secret::new("sk-other");
    fleet.renew(&other, now).expect("fits into headers");
    assert!(![A, second].contains(&fleet.accounts()[0]));
    other.accounts[0].keys[0].label = KeyLabel::new("another name");
    let third = fleet.accounts();
    fleet.renew(&other, now).expect("fits into headers");
    assert_eq!(fleet.accounts(), third, "a label is no other key");
    let lent = fleet.lend(third[0], now).expect("ready");
    assert_eq!(lent.credential().label.as_str(), "another name");
}

#[test]
fn what_is_left_is_used_although_it_failed() {
    let (mut fleet, now) = (fleet(&[1, 1]), Instant::now());
    assert!(matches!(play(&mut fleet, B, Verdict::KeyRejected, now), Change::KeyOut(_)));
    let mut left = upstream(&[1, 1]);
    left.accounts.remove(0);
    fleet.renew(&left, now).expect("fits into headers");
    assert_eq!(fleet.standing(B, now), Standing::Doubtful);
    assert_eq!(fleet.probes_due(now).len(), 1);
}

#[test]
fn keys_that_are_one_accounts_stay_so_until_that_is_gone() {
    let (mut fleet, now) = (fleet(&[1, 1]), Instant::now());
    let headers = HeaderMap::from_iter([
        ("openai-organization".parse().expect("a name"), HeaderValue::from_static("org")),
        ("openai-project".parse().expect("a name"), HeaderValue::from_static("proj")),
    ]);
    let [first, second] = [A, B].map(|id| fleet.lend(id, now).expect("ready").key());
    fleet.observe(first, &headers);
    assert_eq!(fleet.observe(second, &headers), Change::Merged { from: B, into: A });
    fleet.renew(&upstream(&[1, 2]), now).expect("fits into headers");
    assert_eq!(fleet.standing(B, now), Standing::Out, "its new key is paid for by the other, too");
    let mut left = upstream(&[1, 1]);
    left.accounts.remove(0);
    fleet.renew(&left, now).expect("fits into headers");
    assert_eq!(fleet.standing(B, now), Standing::Ready);
}

#[test]
fn a_key_that_fits_into_no_header_changes_nothing() {
    let (mut fleet, now) = (fleet(&[1]), Instant::now());
    let mut wrong = upstream(&[1, 1]);
    wrong.accounts[1].keys[0].secret = Secret::new("a\nb");
    assert!(fleet.renew(&wrong, now).is_err());
    assert_eq!(fleet.accounts(), [A]);
    assert!(fleet.lend(A, now).is_some());
}

#[test]
fn a_trial_with_a_key_that_is_gone_leaves_the_next_one_to_another() {
    let (mut fleet, start) = (fleet(&[2, 1]), Instant::now());
    assert!(matches!(play(&mut fleet, A, Verdict::OutOfQuota, start), Change::AccountOut(A)));
    let later = start + secs(600);
    let lent = fleet.lend(A, later).expect("on trial");
    let mut left = upstream(&[2, 1]);
    left.accounts[0].keys.retain(|key| key.label != lent.credential().label);
    fleet.renew(&left, later).expect("fits into headers");
    assert_eq!(fleet.standing(A, later), Standing::Out);
    fleet.release(lent, later);
    assert_eq!(fleet.standing(A, later), Standing::Trial);
}

//! What breaks: S5, S7.

use std::time::Duration;

use sluicegate::simulate::engine::{Charging, Counting, Key, KeyState, Limits};

use super::{Account, Faults, Scenario, Size, at_most, single, usual};

pub(super) fn scenarios(size: Size) -> Vec<Scenario> {
    vec![dying_keys(size), faults(size)]
}

/// S5: one of two keys of an account dies, and another account runs out of money.
fn dying_keys(size: Size) -> Scenario {
    let whole = usual(size, Counting::Bucket, Charging::Refund);
    let third = Limits {
        tokens_per_minute: whole.tokens_per_minute.map(|limit| limit / 3),
        requests_per_minute: whole.requests_per_minute.map(|limit| limit / 3),
        ..whole.clone()
    };
    let dies = |secret, seconds, dies_as| Key {
        dies_at: Some(Duration::from_secs(seconds)),
        dies_as,
        ..Key::valid(secret)
    };
    let mut first = Account::told("sk-first", third.clone());
    first.keys.push(dies("sk-dies", 70, KeyState::Invalid));
    let mut poor = Account::told("sk-poor", third.clone());
    poor.keys = vec![dies("sk-poor", 130, KeyState::OutOfQuota)];
    let accounts = vec![first, poor, Account::told("sk-rich", third)];
    let scenario = single("S5", "a key and an account", whole, size);
    Scenario { accounts, judged: at_most(1.06, 2.0), ..scenario }
}

/// S7: one try in twenty goes wrong.
fn faults(size: Size) -> Scenario {
    let limits = usual(size, Counting::Bucket, Charging::Refund);
    let scenario = single("S7", "5 % faults", limits, size);
    Scenario { faults: FAULTS, judged: at_most(1.04, 1.0), ..scenario }
}

/// One try in twenty.
pub(super) const FAULTS: Faults = Faults { error: 0.02, overloaded: 0.01, reset: 0.01, cut: 0.01 };

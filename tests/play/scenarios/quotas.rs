//! Which quota is scarce: S2, S3, S8, S12, S13.

use std::time::Duration;

use sluicegate::limit::LaneSettings;
use sluicegate::simulate::engine::{Charging, Counting, Limits};

use super::modes::unenforced;
use super::{Account, Flow, Scenario, Size, at_most, single, usual, words};

pub(super) fn scenarios(size: Size) -> Vec<Scenario> {
    [unequal(size), requests_bound(size), large_ones(size), day_bound(size), long_streams(size)]
        .concat()
}

/// S2: three accounts of unequal limits.
fn unequal(size: Size) -> Vec<Scenario> {
    let part = |part: u64, of: u64| {
        let limits = usual(size, Counting::Bucket, Charging::Refund);
        Limits {
            tokens_per_minute: limits.tokens_per_minute.map(|limit| limit * part / of),
            requests_per_minute: limits.requests_per_minute.map(|limit| limit * part / of),
            ..limits
        }
    };
    let accounts = vec![
        Account::told("sk-large", part(4, 7)),
        Account::told("sk-middle", part(2, 7)),
        Account::told("sk-small", part(1, 7)),
    ];
    let whole = usual(size, Counting::Bucket, Charging::Refund);
    let scenario = single("S2", "4:2:1", whole, size);
    vec![Scenario { accounts, judged: at_most(1.02, 1.0), ..scenario }]
}

/// S3: requests are scarce, tokens are not.
fn requests_bound(size: Size) -> Vec<Scenario> {
    let rate = size.tokens / 200;
    let limits = Limits {
        requests_per_minute: Some(rate),
        tokens_per_minute: Some(size.tokens),
        ..Limits::default()
    };
    let scenario = single("S3", "bucket/refund", limits, size);
    let small = Flow {
        prompt: 20.0,
        bound: Some(20),
        output: 10.0,
        ..Flow::chats("app", size.requests(rate, 1.0))
    };
    vec![Scenario { judged: at_most(1.02, 1.0), ..scenario.with_flows(vec![small]) }]
}

/// S8: now and then a request of two fifths of the limit.
fn large_ones(size: Size) -> Vec<Scenario> {
    let limits = usual(size, Counting::Bucket, Charging::Refund);
    let scenario = single("S8", "bucket/refund", limits, size);
    let (every, prompt) = (100, size.tokens * 2 / 5);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let each = 210.0 + prompt as f64 / 100.0;
    let mixed = Flow {
        large: Some((every, prompt)),
        ..Flow::chats("app", size.requests(size.tokens, each))
    };
    vec![Scenario { judged: at_most(1.02, 1.0), ..scenario.with_flows(vec![mixed]) }]
}

/// S12: the day's limit is scarce. It lasts for days.
fn day_bound(size: Size) -> Vec<Scenario> {
    let day = size.tokens * 2;
    let cell = |(name, counting, of_tokens): (&str, Counting, bool), told: bool| {
        let limits = Limits {
            requests_per_day: (!of_tokens).then_some(day / 210),
            tokens_per_day: of_tokens.then_some(day),
            ..usual(size, counting, Charging::Refund)
        };
        let (told_word, judged) =
            if told { ("configured", at_most(1.02, 1.0)) } else { ("learned", at_most(1.03, 3.0)) };
        let scenario = single("S12", format!("{name}, {told_word}"), limits, size);
        let accounts = scenario.accounts.iter().cloned().map(|account| {
            let minute = LaneSettings {
                requests_per_day: None,
                tokens_per_day: None,
                ..account.told.clone()
            };
            Account { told: if told { account.told } else { minute }, ..account }
        });
        let accounts = accounts.collect();
        let flows = vec![Flow::chats("app", size.requests(day, 210.0))];
        Scenario { judged, accounts, ..scenario.with_flows(flows) }
    };
    let cells = [
        ("requests, bucket", Counting::Bucket, false),
        ("tokens, bucket", Counting::Bucket, true),
        ("tokens, sliding", Counting::Sliding, true),
        ("tokens, fixed", Counting::Calendar, true),
    ];
    [true, false].into_iter().flat_map(|told| cells.map(|kind| cell(kind, told))).collect()
}

/// S13: answers take a minute, and their output is charged when it is known.
fn long_streams(size: Size) -> Vec<Scenario> {
    let cell = |counting| {
        let limits = usual(size, counting, Charging::Later);
        let scenario = single("S13", words(counting, Charging::Later), limits, size);
        let long = Flow {
            bound: Some(4_000),
            output: 1_200.0,
            per_token: Duration::from_millis(50),
            ..Flow::chats("app", size.requests(size.tokens, 1_267.0))
        };
        Scenario { judged: at_most(1.02, 1.0), ..scenario.with_flows(vec![long]) }
    };
    let enforced = vec![cell(Counting::Bucket)];
    let unenforced = unenforced(enforced.clone());
    [enforced, unenforced].concat()
}

//! S1, S4 and S7 in every vendor's dialect: its headers, its errors, its way of counting and charging.
//!
//! What sluicegate is told of limits are the minute's and the day's, and those of a second where a vendor names one and tells
//! none by headers; of slots it is told nothing.

use std::time::Duration;

use sluicegate::limit::LaneSettings;
use sluicegate::simulate::Dialect;
use sluicegate::simulate::engine::{Charging, Counting, LimitChange, Limits};
use sluicegate::units::Class;

use super::super::scenario::{Arrivals, Judged};
use super::troubles::FAULTS;
use super::{Account, Flow, Scenario, Size, at_most, single};

/// Returns the three scenarios in all dialects but OpenAI's, in which all others are played, and one of slots that become
/// fewer.
pub(super) fn scenarios(size: Size) -> Vec<Scenario> {
    let others = Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::OpenAi);
    let each = others.flat_map(|dialect| {
        [short(dialect, size), beside_people(dialect, size), with_faults(dialect, size)]
    });
    each.chain([fewer_slots(size)]).collect()
}

/// S1: more work from the start than the limits allow.
fn short(dialect: Dialect, size: Size) -> Scenario {
    let scenario = of("S1", dialect, size);
    let flow = Scarce::of(dialect).flow(dialect, size);
    let judged = judged(dialect, 1.02);
    Scenario { judged, ..scenario.with_flows(vec![flow]) }
}

/// S4: people at prompts ask for a tenth of the quota while batch work takes all that is left.
fn beside_people(dialect: Dialect, size: Size) -> Scenario {
    let size = Size { tokens: size.tokens * 3, ..size };
    let scenario = of("S4", dialect, size);
    let all = Scarce::of(dialect).flow(dialect, size);
    let tenth = all.requests / 10;
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let rate = tenth as f64 / size.windows;
    let people = Flow {
        app: "people",
        class: Class::Interactive,
        arrivals: Arrivals::PerMinute(rate),
        requests: tenth + tenth / 20,
        ..all.clone()
    };
    // More than enough for as long as people ask.
    let batch = Flow { app: "batch", class: Class::Batch, requests: all.requests * 5 / 4, ..all };
    let judged = Judged { latency_of: Some("people"), ..judged(dialect, 1.02) };
    Scenario { judged, ..scenario.with_flows(vec![people, batch]) }
}

/// S7: one try in twenty goes wrong.
fn with_faults(dialect: Dialect, size: Size) -> Scenario {
    let scenario = of("S7", dialect, size);
    let flow = Scarce::of(dialect).flow(dialect, size);
    let judged = judged(dialect, 1.04);
    Scenario { faults: FAULTS, judged, ..scenario.with_flows(vec![flow]) }
}

/// S11: half of the slots are taken away. DeepSeek's are as many as it has room for.
fn fewer_slots(size: Size) -> Scenario {
    let scenario = short(Dialect::DeepSeek, size);
    let change = |seconds, factor| LimitChange { at: Duration::from_secs(seconds), factor };
    let accounts = scenario.accounts.iter().cloned().map(|account| {
        let limits = Limits { changes: vec![change(70, 0.5)], ..account.limits };
        Account { limits, ..account }
    });
    // Those in flight tell a limit that falls one by one.
    let judged = Judged { used: Some(0.95), ..at_most(1.05, 5.0) };
    Scenario {
        name: "S11",
        cell: "slots halved".into(),
        judged,
        accounts: accounts.collect(),
        ..scenario
    }
}

/// What is expected: issue 3's figures of the scenario with rate headers, those of S18 without, and where only so
/// many may be under way no refusal after the first.
fn judged(dialect: Dialect, ratio: f64) -> Judged {
    let limits = dialect.usual_limits();
    let is_usual = limits.counting == Counting::Bucket && limits.charging == Charging::Refund;
    match (Scarce::of(dialect), dialect) {
        // What the first refusal finds too much is an eighth at most, of 40 or 120 slots.
        (Scarce::Slots, _) => {
            let (used, slots) = (Some(0.97), Some(0.97));
            Judged { again: true, used, slots, ..at_most(ratio.max(1.0 / 0.97), 5.0) }
        }
        // Nobody hears what a request has used that broke off, so faults cost more.
        (_, Dialect::Fireworks | Dialect::OpenRouter | Dialect::Gemini) => {
            match ratio <= 1.02 && is_usual {
                true => at_most(1.02, 1.0),
                false => at_most(1.15, 10.0),
            }
        }
        _ => at_most(ratio, 1.0),
    }
}

/// What a dialect's accounts are short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scarce {
    Tokens,
    Requests,
    Slots,
}

impl Scarce {
    fn of(dialect: Dialect) -> Self {
        let limits = dialect.usual_limits();
        let tokens = [limits.tokens_per_minute, limits.input_per_minute, limits.output_per_minute];
        match limits.concurrency {
            Some(_) => Self::Slots,
            None if tokens.iter().any(Option::is_some) => Self::Tokens,
            None => Self::Requests,
        }
    }

    /// Returns requests that fill the windows of such limits.
    fn flow(self, dialect: Dialect, size: Size) -> Flow {
        let usual = dialect.usual_limits();
        let chats = |each| Flow::chats("app", size.requests(size.tokens, each));
        match (self, usual.charging, usual.output_per_minute) {
            (Self::Slots, ..) => Flow {
                // Models that think take their time.
                per_token: Duration::from_millis(40),
                ..chats(600.0)
            },
            (Self::Requests, ..) => {
                Flow { prompt: 20.0, bound: Some(20), output: 10.0, ..chats(200.0) }
            }
            (_, Charging::Max, _) => chats(1_000.0),
            (_, Charging::Split, None) => Flow { prompt: 210.0, ..chats(210.0) },
            (_, Charging::Split, Some(_)) => chats(143.0),
            _ => chats(210.0),
        }
    }
}

/// Returns one account of the dialect's limits, as large as the cells are.
fn of(name: &'static str, dialect: Dialect, size: Size) -> Scenario {
    let usual = dialect.usual_limits();
    let large = |limit: Option<u64>| limit.map(|_| size.tokens);
    let requests = match (Scarce::of(dialect), dialect) {
        (Scarce::Requests, _) => size.tokens / 200,
        (_, Dialect::Azure) => size.tokens * 6 / 1_000,
        _ => size.tokens / 20,
    };
    let limits = Limits {
        requests_per_minute: usual.requests_per_minute.map(|_| requests),
        tokens_per_minute: large(usual.tokens_per_minute),
        input_per_minute: large(usual.input_per_minute),
        output_per_minute: large(usual.output_per_minute),
        // Not scarce: there is more than an hour's work in a day.
        requests_per_day: usual.requests_per_day.map(|_| requests * 60),
        tokens_per_day: usual.tokens_per_day.map(|_| size.tokens * 60),
        concurrency: usual.concurrency.map(|_| size.tokens / 5_000),
        ..usual
    };
    let cell = dialect.name();
    let scenario = single(name, cell, limits.clone(), size);
    let account = Account::told("sk-main", limits);
    let second = Some(requests.div_ceil(60)).filter(|_| dialect == Dialect::Mistral);
    let told = LaneSettings { concurrency: None, requests_per_second: second, ..account.told };
    let accounts = vec![Account { told, ..account }];
    Scenario { speaks: dialect, seeds: Some(3), accounts, ..scenario }
}

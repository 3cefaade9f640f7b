//! Several apps: S4, S14.

use sluicegate::simulate::engine::{Charging, Counting, Limits};
use sluicegate::units::Class;

use super::super::scenario::{Arrivals, Judged};
use super::{Flow, SECOND, Scenario, Size, at_most, single, usual};

pub(super) fn scenarios(size: Size) -> Vec<Scenario> {
    vec![batch_beside_people(size), many_apps(size), weighted_apps(size)]
}

/// S4: people at prompts ask for a tenth of the quota while batch work takes all that is left.
fn batch_beside_people(size: Size) -> Scenario {
    let limits = scaled(size, 3);
    let scenario = single("S4", "a tenth", limits, size);
    let tokens = size.tokens * 3;
    let rate = size.requests(tokens / 10, 210.0 * size.windows);
    let people = Flow {
        class: Class::Interactive,
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        arrivals: Arrivals::PerMinute(rate as f64),
        ..Flow::chats("people", size.requests(tokens / 10, 200.0))
    };
    // More than enough for as long as people ask.
    let batch = Flow { class: Class::Batch, ..Flow::chats("batch", size.requests(tokens, 170.0)) };
    let judged = Judged { latency_of: Some("people"), ..at_most(1.02, 1.0) };
    Scenario { judged, ..scenario.with_flows(vec![people, batch]) }
}

/// S14: 500 equal apps with 20,000 requests.
fn many_apps(size: Size) -> Scenario {
    let scenario = single("S14", "500 equal apps", scaled(size, 4), size);
    let flow = Flow { apps: 500, arrivals: Arrivals::Within(SECOND), ..Flow::chats("app", 20_000) };
    let judged = Judged { jain: Some(0.98), ..at_most(1.03, 1.0) };
    Scenario { judged, ..scenario.with_flows(vec![flow]) }
}

/// S14 with few apps of unequal weights.
fn weighted_apps(size: Size) -> Scenario {
    let limits = usual(size, Counting::Bucket, Charging::Refund);
    let scenario = single("S14", "unequal weights", limits, size);
    let all = size.requests(size.tokens, 210.0);
    let app =
        |app, weight: u32| Flow { weight, ..Flow::chats(app, all * u64::from(weight) / 1_000) };
    let flows = vec![app("a", 50), app("b", 100), app("c", 150), app("d", 300), app("e", 400)];
    let judged = Judged { weights: Some(3.0), ..at_most(1.03, 1.0) };
    Scenario { judged, ..scenario.with_flows(flows) }
}

fn scaled(size: Size, times: u64) -> Limits {
    let larger = Size { tokens: size.tokens * times, ..size };
    usual(larger, Counting::Bucket, Charging::Refund)
}

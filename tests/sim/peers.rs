//! What people do today comes out in the order that is known of it, so that the table compares with the real thing.

use std::time::Duration;

use crate::play::figures::Figures;
use crate::play::gate::Sluicegate;
use crate::play::oracle::oracle;
use crate::play::peers::Peer;
use crate::play::run::{Run, play};
use crate::play::scenario::Scenario;
use crate::quota::cell;

const SEED: u64 = 1;

/// Plays a peer at each of its settings, for at most three times as long as the oracle.
fn settings(peer: Peer, scenario: &Scenario) -> Vec<Figures> {
    let best = oracle(scenario, SEED);
    let play = |setting| figures(&peer.play(setting, (scenario, SEED), best * 3), scenario, best);
    (0..peer.settings().len()).map(play).collect()
}

fn figures(run: &Run, scenario: &Scenario, best: Duration) -> Figures {
    Figures::of(run, scenario, Some(best))
}

#[test]
fn more_retries_fail_less_often_and_are_refused_more_often() {
    let scenario = cell("S1", "bucket/refund");
    let (two, ten) = (settings(Peer::Sdk2, &scenario)[0], settings(Peer::Sdk10, &scenario)[0]);
    assert!(two.failed > ten.failed && ten.failed > 0, "{two:?}\n{ten:?}");
    assert!(ten.refused > two.refused && two.refused > 300.0, "{two:?}\n{ten:?}");
}

#[test]
fn a_bucket_without_refund_leaves_most_of_a_quota_with_refunds_idle() {
    for figures in settings(Peer::Bucket, &cell("S1", "bucket/refund")) {
        assert!(figures.used < 0.4, "{figures:?}");
        assert!(figures.unfinished > 0, "{figures:?}");
        assert!(figures.refused <= 0.0, "{figures:?}");
    }
}

#[test]
fn a_bucket_without_refund_fits_a_provider_without_refund() {
    let figures = settings(Peer::Bucket, &cell("S1", "bucket/max"))[0];
    assert!(figures.ratio < 1.2 && figures.unfinished == 0, "{figures:?}");
    assert!(figures.refused <= 0.0, "{figures:?}");
}

#[test]
fn who_counts_afterwards_or_puts_back_serves_everybody_but_later() {
    let scenario = cell("S1", "bucket/refund");
    let best = oracle(&scenario, SEED);
    let ours = figures(&play::<Sluicegate>(&scenario, SEED), &scenario, best);
    for (peer, setting) in
        [(Peer::Counters, "4 at once, over the last minute"), (Peer::Log, "128 workers, sleep 2s")]
    {
        let settings = peer.settings();
        let found = settings.iter().position(|words| words.starts_with(setting));
        let run = peer.play(found.expect("it is tried"), (&scenario, SEED), best * 3);
        let theirs = figures(&run, &scenario, best);
        assert_eq!(theirs.failed + theirs.unfinished, 0, "{peer:?}: {theirs:?}");
        assert!(theirs.ratio > ours.ratio + 0.02, "{peer:?}: {theirs:?}\n{ours:?}");
    }
}
